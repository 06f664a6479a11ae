"""What is wrong with a model, or with what it is given."""


class OnnxError(ValueError):
    """A model, or an input of it, that cannot be taken; nothing was executed.

    One class for everything: a file that is none, an operator that is not there, a wrong input. The
    message names the node or value, and what is allowed.
    """
