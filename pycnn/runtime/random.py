"""What is drawn where no seed is given: one generator of the process, which can be set."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from pycnn.runtime.context import held

LIMIT = 2**64 - 1


@dataclass
class _State:
    seed: int
    masks: Any = field(default_factory=count)  # whose next() is one step, threads or not
    values: Any = None  # numpy.random takes a while to import


_state = _State(0)


def manual_seed(seed: int) -> None:
    """Begin all random numbers anew that are drawn without a seed of their own.

    These are the masks of `dropout` and `dropout2d`, and the first weights and the seeds of layers
    of `pycnn.nn` outside `nn.seeded`. They are the same in every run, with seed 0 until this is
    called, and on every backend. It holds for all threads of the process.

    Parameters
    ----------
    seed : int from 0 to 2^64 - 1

    Raises
    ------
    TypeError, ValueError
        If `seed` is no such number.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.manual_seed(3)
    >>> first = pycnn.dropout(np.ones(8)), pycnn.dropout(np.ones(8))
    >>> pycnn.manual_seed(3)
    >>> again = pycnn.dropout(np.ones(8)), pycnn.dropout(np.ones(8))
    >>> np.array_equal(first, again), np.array_equal(first[0], first[1])
    (True, False)
    """
    from pycnn.define.validate import integer  # which `import pycnn` does not load

    global _state
    if integer("seed", seed, 0) > LIMIT:
        raise ValueError(f"seed={seed}; allowed: int from 0 to 2^64 - 1")
    _state = _State(int(seed))


def next_mask() -> tuple[int, int]:
    """Seed and offset of the next mask."""
    return _source.get()()


def _draw() -> tuple[int, int]:
    return _state.seed, next(_state.masks)


_source: ContextVar[Callable[[], tuple[int, int]]] = ContextVar("pycnn_masks", default=_draw)


@contextmanager
def drawing(masks: list[tuple[int, int]], again: bool = False) -> Iterator[None]:
    """Note the masks that are drawn inside in `masks`; or draw those that it holds `again`."""
    before = _source.get()

    def noted() -> tuple[int, int]:
        masks.append(before())
        return masks[-1]

    with held(_source, iter(masks).__next__ if again else noted):
        yield


def values() -> np.random.Generator:
    """What draws values."""
    if _state.values is None:
        _state.values = np.random.default_rng(_state.seed)
    return _state.values
