"""Sums and products with broadcasting on the CPU, and their gradients."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycnn.reference.cpu._common import quiet

Array = np.ndarray
Shape = tuple[int, ...]


@quiet
def add(a: Array, b: Array, alpha: float, out: Any = None) -> Array:
    """a + alpha b."""
    return np.asarray(np.add(a, b if alpha == 1 else alpha * b, out=out))


@quiet
def add_backward(dy: Array, a: Shape, b: Shape, alpha: float) -> tuple[Array, Array]:
    """Gradients of operands of shapes `a` and `b`."""
    return sum_to(dy, a), alpha * sum_to(dy, b)


@quiet
def mul(a: Array, b: Array, out: Any = None) -> Array:
    """a b."""
    return np.asarray(np.multiply(a, b, out=out))


@quiet
def mul_backward(dy: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Gradients of both operands."""
    return sum_to(dy * b, a.shape), sum_to(dy * a, b.shape)


@quiet
def add_n(tensors: Sequence[Array], out: Any = None) -> Array:
    """The sum of all tensors."""
    total = tensors[0] if len(tensors) == 1 else tensors[0] + tensors[1]
    for tensor in tensors[2:]:
        total = total + tensor
    if out is None:
        return np.array(total)
    np.copyto(out, total)
    return np.asarray(out)


@quiet
def add_n_backward(dy: Array, shapes: Sequence[Shape]) -> list[Array]:
    """Gradients of tensors of these shapes."""
    return [sum_to(dy, shape) for shape in shapes]


def sum_to(dy: Array, shape: Shape) -> Array:
    """A new array: dy summed over the axes that an array of `shape` was broadcast over.

    Examples
    --------
    >>> sum_to(np.ones((2, 3)), (3,))
    array([2., 2., 2.])
    """
    padded = (1,) * (dy.ndim - len(shape)) + shape
    axes = tuple(i for i, (e, o) in enumerate(zip(dy.shape, padded, strict=True)) if e != o)
    summed = dy.sum(axis=axes, keepdims=True) if axes else dy.copy()
    return np.asarray(summed).reshape(shape)
