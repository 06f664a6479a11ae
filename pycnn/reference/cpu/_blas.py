"""Threads of NumPy's OpenBLAS, as far as this process finds the library.

OpenBLAS cuts every product into as many parts as there are cores, and its threads wait for one
another by spinning. Where other programs use the cores, a part waits for its turn and the rest
spin: a product takes ten times as long as on one thread, and more. So on a machine that is busy
when pycnn begins the CPU path limits it, and lets it be again when a call is over.
"""

import contextlib
import ctypes
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pycnn import config

#: Variables by which a user says how many threads there are; then nothing is changed.
NAMED = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")

#: Looks at what else runs, and seconds between them; the one that sees the least counts.
SAMPLES, PAUSE = 5, 0.002

#: As the wheels of NumPy name them, and as a system's OpenBLAS does.
_NAMES = ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_",
          "scipy_openblas_{}_num_threads", "openblas_{}_num_threads")  # fmt: skip


class OpenBlas(NamedTuple):
    """The two functions of the library."""

    get_threads: Callable[[], int]
    set_threads: Callable[[int], object]


@functools.cache
def library() -> OpenBlas | None:
    """The OpenBLAS that NumPy has loaded; None where it is another library."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for path in dict.fromkeys(line.split()[-1] for line in lines if "openblas" in line):
        with contextlib.suppress(OSError):
            loaded = ctypes.CDLL(path)
            for name in _NAMES:
                if hasattr(loaded, name.format("set")):
                    return OpenBlas(getattr(loaded, name.format("get")),
                                    getattr(loaded, name.format("set")))  # fmt: skip
    return None


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def running() -> tuple[int, int]:
    """Threads that run or wait for a core now: of the machine, and of this process.

    Raises
    ------
    OSError
        Where the system does not say.
    """
    everywhere = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    own = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has ended meanwhile
            own += (task / "stat").read_text().rpartition(")")[2].split()[0] == "R"
    return everywhere, own


#: Called with the free and with all cores when some turn out not to be free.
when_busy: Callable[[int, int], object] | None = None


@functools.cache
def free_cores() -> int:
    """Cores that no other program used when this process first asked; at least one.

    It is asked once: how many threads there are shows in the last bits of a product. Where the
    environment says how many BLAS has, all are.
    """
    if any(os.environ.get(name) for name in NAMED):
        return cores()
    try:
        others = min(max(everywhere - own, 0) for everywhere, own in _samples())
    except (OSError, ValueError, IndexError):
        return cores()
    free = max(1, min(cores(), (os.cpu_count() or 1) - others))
    if free < cores() and when_busy is not None:
        when_busy(free, cores())
    return free


def _samples() -> Iterator[tuple[int, int]]:
    for _ in range(SAMPLES):
        yield running()
        time.sleep(PAUSE)


def usable_cores() -> int:
    """Threads that a computation gets: ``OMP_NUM_THREADS``, or else the free cores."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdecimal() and int(named) else free_cores()


_lock = threading.Lock()
_limits: list[int] = []  # of all blocks that are open, in whatever thread
_before = 0


def _new_lock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)  # whoever held it is not in the child


@contextlib.contextmanager
def limited(threads: int) -> Iterator[None]:
    """BLAS on at most so many threads while the block runs; of several blocks the least counts.

    It is a setting of the whole process: products that another thread computes meanwhile have it
    too. What the environment says of BLAS is left as it is.
    """
    global _before
    blas = library()
    if blas is None or any(os.environ.get(name) for name in NAMED):
        yield
        return
    with _lock:
        if not _limits:
            _before = blas.get_threads()
        _limits.append(threads)
        blas.set_threads(min(_before, *_limits))
    try:
        yield
    finally:
        with _lock:
            _limits.remove(threads)
            blas.set_threads(min([_before, *_limits]))


def considerate() -> contextlib.AbstractContextManager[None]:
    """BLAS on what ``PYCNN_CPU_THREADS`` says, else on the free cores."""
    threads: int = config.get("PYCNN_CPU_THREADS") or free_cores()
    return limited(threads) if threads < cores() else contextlib.nullcontext()
