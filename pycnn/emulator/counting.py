"""Memory traffic of everything that is launched within a block of code."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycnn.emulator.raw import Counters


@dataclass
class Counting:
    """What was launched, in order.

    Attributes
    ----------
    launches : list of (str, Counters or None)
        Entry of the kernel and its memory traffic; None from the fast build, which counts nothing.
    """

    launches: "list[tuple[str, Counters | None]]" = field(default_factory=list)

    @property
    def entries(self) -> list[str]:
        """Names of the kernels."""
        return [entry for entry, _ in self.launches]

    def of(self, entry: str) -> "Counters":
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
    def total(self) -> "Counters":
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
    token = _active.set((*_active.get(), log))
    try:
        yield log
    finally:
        _active.reset(token)


def note(entry: str, counters: "Counters | None") -> None:
    """Add a launch to every block that counts."""
    for log in _active.get():
        log.launches.append((entry, counters))
