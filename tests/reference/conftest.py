"""Shared helpers of the reference tests."""

from collections.abc import Callable

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


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
