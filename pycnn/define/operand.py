"""An array that goes into an operation, as its definition describes it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Operand:
    """An array that goes into an operation.

    Attributes
    ----------
    name : str
        The argument's name.
    axes : str
        What its axes mean, as error messages say it: ``"(N, C, H, W) or (C, H, W)"``.
    ranks : tuple of int
        Numbers of axes allowed; empty for any.
    dtypes : tuple of str or None
        Allowed dtypes of its own; None for the dtype of the computation, which all operands
        without one of their own share.
    optional : bool
        Whether it may be None.
    """

    name: str
    axes: str = "any shape"
    ranks: tuple[int, ...] = ()
    dtypes: tuple[str, ...] | None = None
    optional: bool = False
