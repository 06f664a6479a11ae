"""What a compiler's refusal looks like, whichever compiler it was."""

from pathlib import Path


class CompileError(RuntimeError):
    """A kernel does not compile; the compiler's own lines point at file and line.

    Attributes
    ----------
    file : Path or str
        The kernel file, or the name given to a source text.
    target : str
        What it was compiled for: an architecture such as ``"sm_90a"``, or a host compiler.
    log : str
        Everything the compiler said.
    """

    def __init__(self, file: Path | str, target: str, log: str) -> None:
        super().__init__(file, target, log)
        self.file, self.target, self.log = file, target, log.strip()

    def __str__(self) -> str:
        return f"{self.file} does not compile for {self.target}:\n{self.log}"
