"""Memory traffic of everything that is launched within a block of code."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from functools import reduce
from operator import add

from pycnn.runtime.context import held


@dataclass(frozen=True)
class Counters:
    """Memory traffic of one checked launch.

    A request is one instruction of one warp. Global memory moves in sectors of 32 bytes; a
    wavefront is one pass over the 32 banks of shared memory, of which a request needs one for
    every 128 bytes at best. Of 8 bytes a lane, 16 lanes are served in a pass, of 16 bytes 8; twice
    as many where all lanes i and i^1 that take part want the same, or all i and i^2.
    """

    global_load_requests: int
    global_load_sectors: int
    global_store_requests: int
    global_store_sectors: int
    global_atomic_requests: int
    global_atomic_sectors: int
    shared_load_requests: int
    shared_store_requests: int
    shared_atomic_requests: int
    shared_wavefronts: int
    bank_conflicts: int
    global_bytes_read: int
    global_bytes_written: int
    barriers: int

    @property
    def bytes_moved(self) -> int:
        """Bytes of all sectors requested, as if no cache held any."""
        sectors = self.global_load_sectors + self.global_store_sectors + self.global_atomic_sectors
        return 32 * sectors

    @property
    def bytes_necessary(self) -> int:
        """Distinct bytes read plus distinct bytes written."""
        return self.global_bytes_read + self.global_bytes_written

    @property
    def sectors_per_load(self) -> float:
        """Average sectors of a global load request; 4 is ideal for 4-byte elements."""
        return self.global_load_sectors / max(self.global_load_requests, 1)

    @property
    def sectors_per_store(self) -> float:
        """Average sectors of a global store request."""
        return self.global_store_sectors / max(self.global_store_requests, 1)

    def __add__(self, other: "Counters") -> "Counters":
        return Counters(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass
class Counting:
    """What was launched, in order.

    Attributes
    ----------
    launches : list of (str, Counters or None)
        Entry of the kernel and its memory traffic; None from the fast build, which counts nothing.
    """

    launches: list[tuple[str, Counters | None]] = field(default_factory=list)

    @property
    def entries(self) -> list[str]:
        """Names of the kernels."""
        return [entry for entry, _ in self.launches]

    def of(self, entry: str) -> Counters:
        """Traffic of all launches of one kernel.

        Raises
        ------
        LookupError
            If none of them was counted.
        """
        counted = [c for name, c in self.launches if c is not None and name == entry]
        if not counted:
            raise LookupError(f"no counted launch of {entry} among {', '.join(self.entries)}")
        return reduce(add, counted)

    @property
    def total(self) -> Counters:
        """Traffic of all launches.

        Raises
        ------
        LookupError
            If nothing was launched, or by the fast build.
        """
        counted = [c for _, c in self.launches if c is not None]
        if not counted:
            raise LookupError("nothing was counted; allowed: launches of the checked build")
        return reduce(add, counted)


_active: ContextVar[tuple[Counting, ...]] = ContextVar("pycnn_counting", default=())


@contextmanager
def counting() -> Iterator[Counting]:
    """Count the memory traffic of all launches of the emulator's checked build inside.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> from pycnn.emulator import counting
    >>> with pycnn.use_backend("emulator", checked=True), counting() as counted:
    ...     y = pycnn.relu(np.ones(1000, np.float32))
    >>> counted.entries, counted.total.bytes_necessary
    (['relu'], 8000)
    """
    log = Counting()
    with held(_active, (*_active.get(), log)):
        yield log


def note(entry: str, counters: Counters | None) -> None:
    """Add a launch to every block that counts."""
    for log in _active.get():
        log.launches.append((entry, counters))
