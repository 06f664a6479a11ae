"""prelu in float64."""

import numpy as np

Array = np.ndarray


def prelu(x: Array, weight: Array) -> Array:
    """x where x > 0, else the slope of its channel, axis 1, times x."""
    x = x.astype(np.float64)
    return np.where(x > 0, x, _slopes(x, weight) * x)


def prelu_backward(dy: Array, x: Array, weight: Array) -> tuple[Array, Array]:
    """Gradients of x and weight."""
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    below = np.where(x > 0, 0.0, x * dy)
    dx = np.where(x > 0, dy, _slopes(x, weight) * dy)
    if weight.size == 1:
        return dx, below.sum().reshape(weight.shape)
    return dx, np.array([below[:, c].sum() for c in range(weight.size)])


def _slopes(x: Array, weight: Array) -> Array:
    """The slope of every element."""
    slopes = np.empty(x.shape)
    if weight.size == 1:
        slopes[...] = weight.reshape(())
    else:
        for c in range(weight.size):
            slopes[:, c] = weight[c]
    return slopes
