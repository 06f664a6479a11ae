"""What is wrong with a PTX text, said before anything runs."""


class PtxError(ValueError):
    """A PTX text that cannot be run: malformed, or with something that the emulator has not.

    Attributes
    ----------
    name : str
        What the text is called, such as ``"kernel.ptx"``.
    line : int
        Line in it, 0 where none is meant.
    """

    def __init__(self, message: str, *, name: str = "PTX", line: int = 0) -> None:
        super().__init__(message)
        self.name, self.line = name, line

    def __str__(self) -> str:
        where = f"{self.name}:{self.line}: " if self.line else f"{self.name}: "
        return where + str(self.args[0])
