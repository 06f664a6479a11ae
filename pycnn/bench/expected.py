"""What the oracle says of a problem, computed once and kept in the disk cache.

On large layers the oracle takes seconds of the CPU in which a GPU would wait. `pycnn bench
--prepare` computes beforehand what a run of the same suite then finds (`pycnn.bench.prepare`). An
entry is keyed by the problem, the seed of its inputs and the source of all that computes it, so
whatever could change a value makes another entry.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

import numpy as np

from pycnn.runtime import cache
from pycnn.runtime.context import held

#: Seed of the inputs: the same random numbers in every run.
SEED = 20261121

#: Folders and files of the package from which inputs and expected values follow.
SOURCES = ("bench/operations", "bench/cases.py", "define", "reference/oracle", "shapes.py")

SUFFIX = ".npz"

Values = Mapping[str, np.ndarray]


class _Calls:
    """Results of the oracle's calls for one problem, in the order in which they are made."""

    def __init__(self, known: Values | None = None) -> None:
        self._known, self._asked = known, 0
        self.computed: dict[str, np.ndarray] = {}

    def next(self, compute: Callable[[], Values]) -> Values:
        prefix = f"{self._asked}/"
        self._asked += 1
        if self._known is not None:
            names = [name for name in self._known if name.startswith(prefix)]
            return {name.removeprefix(prefix): self._known[name] for name in names}
        values = compute()
        self.computed |= {prefix + name: np.asarray(value) for name, value in values.items()}
        return values


_calls: ContextVar[_Calls | None] = ContextVar("calls", default=None)


def recalled(compute: Callable[[], Values]) -> Values:
    """What `compute`, a call of the oracle, gives: as it is kept, or computed now."""
    calls = _calls.get()
    return compute() if calls is None else calls.next(compute)


@contextlib.contextmanager
def recalling(key: str) -> Iterator[bool]:
    """While the block runs, `recalled` finds what is kept under `key`.

    Yields
    ------
    bool
        Whether anything is.
    """
    path = cache.find(key, SUFFIX)
    if path is None:
        yield False
        return
    with np.load(path) as known, held(_calls, _Calls(known)):
        yield True


@contextlib.contextmanager
def collecting() -> Iterator[Values]:
    """What `recalled` computes while the block runs, to be kept."""
    calls = _Calls()
    with held(_calls, calls):
        yield calls.computed


def keep(key: str, values: Values) -> None:
    """Put what was collected into the disk cache."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **values)  # type: ignore[arg-type]

    cache.get_or_build(key, SUFFIX, write)


def rng() -> np.random.Generator:
    """Of the inputs of every problem."""
    return np.random.default_rng(SEED)


def key(op: str, case: str, direction: str, dtype: str) -> str:
    """Name in the cache of what must come out of a problem."""
    about = (op, case, direction, dtype, str(SEED), np.__version__, _source())
    return cache.key("expected", *about)


@functools.cache
def _source() -> str:
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for name in SOURCES:
        path = root / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
