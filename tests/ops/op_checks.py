"""What the tests of the operations share: views of every kind, comparison, counted traffic."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest

import pycnn
from pycnn.emulator import Counting, counting
from pycnn.testing.tolerance import compare

DTYPES = ("float32", "float64")
VIEWS = ("contiguous", "transposed", "stepped", "reversed", "misaligned")
SCHEDULES = ("forward", "reverse", "random:7")


def view_of(array: np.ndarray, kind: str) -> np.ndarray:
    """`array` with the same values and other strides."""
    if array.ndim == 0:
        return array
    if kind == "contiguous":
        return np.ascontiguousarray(array)
    if kind == "transposed":
        return np.ascontiguousarray(array.T).T
    if kind == "reversed":
        flip = (slice(None, None, -1),) * array.ndim
        return np.ascontiguousarray(array[flip])[flip]
    if kind == "misaligned":  # contiguous, one element after a 16-byte boundary
        base = np.zeros(array.size + 1, array.dtype)
        base[1:] = array.ravel()
        return base[1:].reshape(array.shape)
    base = np.zeros([2 * extent + 1 for extent in array.shape], array.dtype)
    every_other = base[(slice(1, None, 2),) * array.ndim]
    every_other[...] = array
    return every_other


def drawn(rng, shape, dtype):
    """Any integer that the dtype has."""
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def behind(x):
    """A view that begins one element behind a vector, with whole vectors from row to row."""
    wide = np.zeros((*x.shape[:2], x.shape[2] + 1, x.shape[3]), x.dtype)
    moved = np.lib.stride_tricks.as_strided(wide.reshape(-1)[1:], x.shape, wide.strides)
    moved[...] = x
    return moved


def far_apart(pair: np.ndarray) -> np.ndarray:
    """Two things in one float32 array, more than 2^31 elements apart; the rest is never touched."""
    each = pair[0].size
    try:
        base = np.zeros(2**31 + each, np.float32)  # address space, not memory: pages come on touch
    except MemoryError:
        pytest.skip("no 8 GiB of address space for an offset beyond 2^31 elements")
    strides = (2**33, *np.ascontiguousarray(pair[0]).strides)
    view = np.lib.stride_tricks.as_strided(base, pair.shape, strides)
    view[...] = pair
    return view


def assert_matches(
    actual: object, expected: np.ndarray, dtype: str, reduction: int = 1, backend=None
) -> None:
    """Right dtype, right shape, within the tolerance of a sum of `reduction` terms."""
    got = actual if backend is None else backend.numpy(actual)
    assert isinstance(got, np.ndarray)
    assert got.dtype == dtype
    assert got.shape == expected.shape
    error, allowed = compare(got, expected, dtype, reduction)
    assert error <= allowed


def refused_on_both(bad: dict) -> Callable[[str, str], None]:
    """A test that no call of `bad`, {name: (call, error, message)}, is accepted on any backend."""

    @pytest.mark.parametrize("case", bad)
    @pytest.mark.parametrize("selected", ["reference", "emulator"])
    def test_bad_input(selected, case):
        call, error, message = bad[case]
        with pycnn.use_backend(selected), pytest.raises(error, match=message):
            call()

    return test_bad_input


def numeric_gradient(function: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
    """Central differences of a scalar function, in float64."""
    step = 1e-6
    gradient = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        moved = [x.copy(), x.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        gradient[place] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return gradient


def counted(backend) -> AbstractContextManager[Counting]:
    """What is launched inside, and its memory traffic; skips where nothing is counted."""
    if backend.name != "checked":
        pytest.skip(f"traffic is counted in the emulator's checked build, not on {backend.name}")
    return counting()


def same_under_all_schedules(backend, monkeypatch, call: Callable[[], object]) -> None:
    """The result of `call` is the same bit for bit, whatever the order in which threads run."""
    results = []
    for variable, value in orders(backend):
        monkeypatch.setenv(variable, value)
        results.append(backend.numpy(call()).tobytes())
    assert len(set(results)) == 1


def orders(backend) -> list[tuple[str, str]]:
    """Environment variables that change the order in which threads run: of a GPU, none do."""
    if backend.name == "reference":
        return [("PYCNN_CPU_THREADS", threads) for threads in ("1", "3")]
    schedules = SCHEDULES if backend.name in ("emulator", "checked") else SCHEDULES[:1] * 2
    return [("PYCNN_SCHEDULE", schedule) for schedule in schedules]
