"""The launch that is profiled, on the checked build: what that finds stands by the prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from pycnn.emulator.errors import KernelError, KernelLimitError, KernelTimeoutError
from pycnn.emulator.ptx import PtxModule
from pycnn.predict import sample
from pycnn.predict.code import Code
from pycnn.runtime.plan import Dim3

#: Threads of a launch that is checked as a whole; of a larger one the sampled blocks are.
MANY = 1 << 16


@dataclass(frozen=True)
class Check:
    """What the checked build says of a launch.

    Attributes
    ----------
    ran, blocks : int
        Blocks that were run, or begun, and those that the launch has.
    command : str
        Checks all of them.
    error : KernelError, optional
        The defect that was found; the run ends at the first.
    left : str
        Why the launch was not checked; empty if it was.
    """

    ran: int
    blocks: int
    command: str
    error: KernelError | None = None
    left: str = ""

    def text(self) -> list[str]:
        """For a terminal; a command is a line of its own, which can be copied."""
        whole = self.ran == self.blocks
        run = "all" if whole else f"{self.ran} sampled"
        run += f" of {self.blocks} block{'s' * (self.blocks > 1)}"
        if self.error is not None:
            said = [f"checked, {run}: {type(self.error).__name__}"]
            return said + [f"  {line}" for line in str(self.error).splitlines()]
        if self.left:
            return [
                f"not checked, the launch has {self.blocks} blocks: {self.left}; without a limit:",
                f"    {self.command}",
            ]
        said = [f"checked, {run}: no defect found"]
        return said if whole else [f"{said[0]}; all of them:", f"    {self.command}"]

    def as_json(self) -> dict[str, Any]:
        e = self.error
        found = e and {"kind": type(e).__name__, "message": str(e), "file": e.file, "line": e.line,
                       "block": e.block, "thread": e.thread}  # fmt: skip
        return {"ran": self.ran, "blocks": self.blocks, "found": found, "left": self.left,
                "command": self.command}  # fmt: skip


def check(
    code: Code, grid: Dim3, block: Dim3, args: Sequence[Any], command: str, *,
    sampled: int, shared: int, most: int, timeout: float,
) -> Check:  # fmt: skip
    """Launch on the checked build: all blocks if threads are at most `MANY`, else the sampled ones.

    Parameters
    ----------
    code : Code
    grid, block, shared, most, timeout
        As of `sample.run`.
    args : sequence
        As before the kernel has run; arrays are written to.
    command : str
        What checks the whole launch.
    sampled : int
        Blocks that `sample.run` runs.
    """
    blocks = prod(grid)
    whole = blocks * prod(block) <= MANY
    ran = blocks if whole else sampled
    try:
        if whole:
            kernel = PtxModule(code.ptx, checked=True, timeout=timeout).get_function(code.entry)
            kernel.max_dynamic_shared_size_bytes = sample.ALL_SHARED
            kernel(grid, block, args, shared_mem=shared)
        else:
            sample.run(code.ptx, code.entry, grid, block, args, {}, shared=shared, most=most,
                       timeout=timeout, checked=True)  # fmt: skip
    except (KernelTimeoutError, KernelLimitError, MemoryError) as error:
        return Check(0, blocks, command, left=str(error).partition("\n")[0] or "no memory")
    except KernelError as error:
        return Check(ran, blocks, command, error)
    return Check(ran, blocks, command)
