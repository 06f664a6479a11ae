"""Transposed convolution on the CPU: a gradient of the convolution that it is the transpose of."""

from typing import Any

import numpy as np

from pycnn.reference.cpu.conv_axes import Gradients, Ints, Padding, convolve, convolve_backward


def convolve_transposed(
    x: np.ndarray,
    weight: np.ndarray,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    extents: Ints,
) -> np.ndarray:
    """Every element of x adds a filter to y.

    Parameters
    ----------
    x : array (N, C, ...) with two or three more axes, float32 or float64
    weight : array (C, K/G, ...)
    stride, padding, dilation, groups
        Of the convolution from y to x.
    extents : tuple of int
        Of y.

    Returns
    -------
    array (N, K, ...), dtype of x

    Examples
    --------
    >>> x, w = np.array([[[[1.0, 2.0]]]]), np.array([[[[1.0, 10.0]]]])
    >>> convolve_transposed(x, w, (1, 2), ((0, 0), (0, 0)), (1, 1), 1, (1, 4)).tolist()
    [[[[1.0, 10.0, 2.0, 20.0]]]]
    """
    shape = (x.shape[0], weight.shape[1] * groups, *extents)
    source = np.broadcast_to(np.zeros((), x.dtype), shape)  # only its shape counts
    dy = _completed(x, shape, weight, stride, padding, dilation)
    geometry = stride, padding, dilation, groups
    y = convolve_backward(dy, source, weight, *geometry, (True, False, False))[0]
    result: np.ndarray = y
    return result


def convolve_transposed_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """Gradients of `convolve_transposed` and of a bias; None where not needed."""
    geometry = stride, padding, dilation, groups
    dx = dweight = None
    if needs[0]:
        inside: Any = (..., *[slice(extent) for extent in x.shape[2:]])
        dx = convolve(dy, weight, None, *geometry)[inside]
    if needs[1]:
        whole = _completed(x, dy.shape, weight, stride, padding, dilation)
        dweight = convolve_backward(whole, dy, weight, *geometry, (False, True, False))[1]
    dbias = dy.sum(axis=tuple(range(2, dy.ndim))).sum(axis=0) if needs[2] else None
    return dx, dweight, dbias


def _completed(
    x: np.ndarray, shape: Ints, weight: np.ndarray, stride: Ints, padding: Padding, dilation: Ints
) -> np.ndarray:
    """x with zeros at positions that a large output padding adds to the convolution's result."""
    missing = []
    for axis, (before, after) in enumerate(padding, start=2):
        span = (weight.shape[axis] - 1) * dilation[axis - 2] + 1
        out = (shape[axis] + before + after - span) // stride[axis - 2] + 1
        missing.append((0, out - x.shape[axis]))
    if not any(after for _, after in missing):
        return x
    return np.pad(x, ((0, 0), (0, 0), *missing))
