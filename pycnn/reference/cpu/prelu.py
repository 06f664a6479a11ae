"""prelu on the CPU."""

from typing import Any

import numpy as np

from pycnn.reference.cpu._common import quiet
from pycnn.reference.cpu.elementwise import sum_to

Array = np.ndarray


@quiet
def prelu(x: Array, weight: Array, out: Any = None) -> Array:
    """x where x > 0, else the slope of its channel, axis 1, times x."""
    y = np.where(x > 0, x, _slopes(x, weight) * x)
    if out is None:
        return y
    np.copyto(out, y)
    return np.asarray(out)


@quiet
def prelu_backward(dy: Array, x: Array, weight: Array) -> tuple[Array, Array]:
    """Gradients of x and weight."""
    slopes = _slopes(x, weight)
    positive = x > 0
    dx = np.where(positive, dy, slopes * dy)
    dslopes = sum_to(np.where(positive, 0, x * dy), slopes.shape)
    return dx, dslopes.reshape(weight.shape)


def _slopes(x: Array, weight: Array) -> Array:
    """With an axis for each of x."""
    return weight.reshape((1,) * x.ndim if weight.size == 1 else (-1, *(1,) * (x.ndim - 2)))
