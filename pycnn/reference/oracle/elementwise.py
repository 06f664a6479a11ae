"""Sums and products with broadcasting in float64, and their gradients."""

from collections.abc import Sequence

import numpy as np

Array = np.ndarray
Shape = tuple[int, ...]


def add(a: Array, b: Array, alpha: float) -> Array:
    """a + alpha b."""
    return _wide(a) + alpha * _wide(b)


def add_backward(dy: Array, a: Shape, b: Shape, alpha: float) -> tuple[Array, Array]:
    """Gradients of operands of shapes `a` and `b`."""
    return sum_to(_wide(dy), a), sum_to(alpha * _wide(dy), b)


def mul(a: Array, b: Array) -> Array:
    """a b."""
    return _wide(a) * _wide(b)


def mul_backward(dy: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Gradients of both operands."""
    return sum_to(_wide(dy) * _wide(b), a.shape), sum_to(_wide(dy) * _wide(a), b.shape)


def add_n(tensors: Sequence[Array]) -> Array:
    """The sum of all tensors."""
    return np.asarray(sum(map(_wide, tensors)))


def add_n_backward(dy: Array, shapes: Sequence[Shape]) -> list[Array]:
    """Gradients of tensors of these shapes."""
    return [sum_to(_wide(dy), shape) for shape in shapes]


def sum_to(dy: Array, shape: Shape) -> Array:
    """Every element of dy added to the one that it came from.

    Examples
    --------
    >>> sum_to(np.ones((2, 3)), (3,))
    array([2., 2., 2.])
    """
    numbers = np.broadcast_to(np.arange(np.prod(shape, dtype=int)).reshape(shape), dy.shape)
    total = np.zeros(shape)
    np.add.at(total.reshape(-1), numbers.ravel(), dy.ravel())
    return total


def _wide(x: Array) -> Array:
    return np.asarray(x).astype(np.float64)
