"""Shared helpers of the reference tests."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from pycnn.reference.cpu import _loops, conv


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


@pytest.fixture
def without_loops(monkeypatch) -> Iterator[None]:
    """The CPU path as it is where no C++ compiler built its loops."""
    monkeypatch.setattr(_loops, "compiled", None)
    conv._seen.cache_clear()  # methods by shape
    yield
    conv._seen.cache_clear()


@pytest.fixture(params=["as built", "without loops"])
def both_ways(request) -> None:
    """With the compiled loops, where they are, and without."""
    if request.param == "without loops":
        request.getfixturevalue("without_loops")


@pytest.fixture(scope="session")
def torch():
    """PyTorch as an independent peer."""
    return pytest.importorskip("torch", reason="torch is not installed: no peer to compare with")


@pytest.fixture(scope="session")
def finite_difference() -> Callable[..., np.ndarray]:
    return _finite_difference


def _finite_difference(
    scalar: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-5
) -> np.ndarray:
    """Gradient of `scalar` at the float64 array x by central differences, element by element."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        values = []
        for sign in (1, -1):
            moved = x.copy()
            moved[index] += sign * step
            values.append(scalar(moved))
        gradient[index] = (values[0] - values[1]) / (2 * step)
    return gradient
