"""What the emulator finds: one exception class for each kind of defect."""

from functools import partial
from typing import Any


class KernelError(RuntimeError):
    """A kernel did something that CUDA does not allow.

    Attributes
    ----------
    kernel : str
        Name of the entry.
    file : str
        Source file, empty if unknown.
    line : int
        Line in it, 0 if unknown.
    block, thread : tuple of int
        ``blockIdx`` and ``threadIdx`` (x, y, z) of the thread at fault.
    address : int
        Address of the access, 0 where none is involved.
    array : str
        Which array, and where in or beside it.
    other : str
        The other access or barrier involved: file, line, block and thread.
    trace : tuple of str
        Where the line was inlined to, outwards, and the line of the PTX if that is what ran.
    """

    trace: tuple[str, ...] = ()

    def __init__(
        self,
        message: str,
        *,
        kernel: str,
        file: str,
        line: int,
        block: tuple[int, int, int],
        thread: tuple[int, int, int],
        address: int = 0,
        array: str = "",
        other: str = "",
    ) -> None:
        super().__init__(message)
        self.kernel, self.file, self.line = kernel, file, line
        self.block, self.thread = block, thread
        self.address, self.array, self.other = address, array, other

    def __reduce__(self) -> Any:
        where = ("kernel", "file", "line", "block", "thread")
        kind = partial(type(self), **{name: getattr(self, name) for name in where})
        return kind, self.args, vars(self)

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.file else ""
        text = f"{where}{self.args[0]}\n  kernel {self.kernel}"
        text += f", block {self.block}, thread {self.thread}"
        text += "".join(f"\n  in {line}" for line in self.trace)
        if self.array:
            text += f"\n  at {self.array}, address {self.address:#x}"
        if self.other:
            text += f"\n  the other: {self.other}"
        return text


class RaceError(KernelError):
    """Two threads touch the same bytes, one of them writing, and nothing orders them."""


class OutOfBoundsError(KernelError):
    """An access outside every array that the kernel was given."""


class UninitialisedReadError(KernelError):
    """A read of memory that nobody has written."""


class MisalignedAccessError(KernelError):
    """An access at an address that is no multiple of its size."""


class DivergentBarrierError(KernelError):
    """A block barrier that not all threads of the block reach."""


class DivergentCollectiveError(KernelError):
    """A shuffle, vote or ``__syncwarp`` that not all lanes of its mask reach."""


class AsyncCopyError(KernelError):
    """Bytes of an asynchronous copy, read or overwritten before it was waited for."""


class ProxyFenceError(KernelError):
    """Bytes that a thread wrote and an asynchronous unit uses, with no ``fence.proxy.async``."""


class MbarrierError(KernelError):
    """An mbarrier that is not initialised, or used in a way that its state does not allow."""


class WgmmaError(KernelError):
    """Registers of ``wgmma`` used before they may be, or a descriptor that means nothing."""


class DeadlockError(KernelError):
    """Threads of a block wait for each other."""


class KernelAssertionError(KernelError):
    """``assert``, ``__trap`` or ``abort`` in the kernel."""


class KernelTimeoutError(KernelError):
    """A launch took more seconds, or more steps, than it was given."""


class SharedMemoryError(KernelError):
    """A kernel has more shared memory than a GPU would give it."""


class KernelForkedError(KernelError):
    """The process was forked while the kernel ran, and this is the child."""


class KernelLimitError(KernelError):
    """The kernel is larger than the checked build can follow."""


class KernelFault(KernelError):
    """The fast build crashed: a bad address, a stack overflow."""


CLASSES: dict[str, type[KernelError]] = {
    "race": RaceError,
    "out_of_bounds": OutOfBoundsError,
    "uninitialised": UninitialisedReadError,
    "misaligned": MisalignedAccessError,
    "divergent_barrier": DivergentBarrierError,
    "divergent_collective": DivergentCollectiveError,
    "async_copy": AsyncCopyError,
    "proxy_fence": ProxyFenceError,
    "mbarrier": MbarrierError,
    "wgmma": WgmmaError,
    "deadlock": DeadlockError,
    "assertion": KernelAssertionError,
    "timeout": KernelTimeoutError,
    "shared": SharedMemoryError,
    "forked": KernelForkedError,
    "fault": KernelFault,
    "limit": KernelLimitError,
}


def from_report(
    report: dict[str, Any], kernel: str, block: tuple[int, int, int], locate: Any
) -> KernelError | MemoryError:
    """The exception for a report of the runtime; `locate` turns positions into (file, line)."""

    def thread(linear: int) -> tuple[int, int, int]:
        x, y, _ = block
        return linear % x, linear // x % y, linear // (x * y)

    if report["kind"] == "memory":
        return MemoryError(f"kernel {kernel}: {report['message']}")
    file, line = locate(report["where"])
    other = ""
    if report["other_thread"] >= 0:
        other_file, other_line = locate(report["other"])
        other = f"{other_file}:{other_line}" if other_file else "unknown line"
        other += f", block {report['other_block']}, thread {thread(report['other_thread'])}"
    return CLASSES[report["kind"]](
        report["message"],
        kernel=kernel,
        file=file,
        line=line,
        block=report["block"],
        thread=thread(max(report["thread"], 0)),
        address=report["address"],
        array=report["array"],
        other=other,
    )
