"""What a compiler's refusal looks like, whichever compiler it was."""

import re
from pathlib import Path

#: What NVRTC says of the headers of a host's C or C++ library, which it has not.
_HOST_HEADER = re.compile(
    r'cannot open source file "([a-z_]+|(?:assert|math|std\w+|string|time)\.h)"'
)


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
        if found := _HOST_HEADER.search(self.log):
            return (
                f"{self.file} includes <{found[1]}>, which is code for the host; kernels are "
                "compiled alone, and printf, assert and the functions of math are there without "
                "it: leave the line out, or put it between #ifndef __CUDACC_RTC__ and #endif"
            )
        return f"{self.file} does not compile for {self.target}:\n{self.log}"
