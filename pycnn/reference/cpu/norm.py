"""Normalisation on the CPU.

The mean is taken off before anything is squared, and then what rounding took from it: large means
cost no digits. Where squares leave the range of the dtype, they are taken of values scaled by a
power of two.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from pycnn.reference.cpu import _norm_loops
from pycnn.reference.cpu._common import quiet

Array = np.ndarray
Axes = tuple[int, ...]


def _mean(x: Array, axes: Axes, dtype: DTypeLike | None = None) -> Array:
    """Mean over axes that stay, in `dtype` if that is another; of nothing it is zero."""
    total: Array = x.sum(axis=axes, dtype=dtype, keepdims=True)
    return total / max(math.prod(x.shape[a] for a in axes), 1)


def centred(x: Array, axes: Axes) -> tuple[Array, Array]:
    """x less its mean over `axes`, and the mean with those axes kept.

    Sums of float32 are in float64: along an outer axis NumPy adds one by one, and values on a
    coarse grid, as of a 16-bit type, less a mean that is not, are all rounded to the same side.
    """
    if x.dtype == np.float32:
        exact = _mean(x, axes, np.float64)
        mean = exact.astype(x.dtype)
        off, rest = x - mean, (exact - mean).astype(x.dtype)
    else:
        mean = _mean(x, axes)
        off = x - mean
        rest = _mean(off, axes)
    off -= rest
    return off, mean + rest


def standardised(x: Array, axes: Axes, eps: float) -> tuple[Array, Array, Array, Array]:
    """(x - mean) * rstd over `axes`, mean, rstd = 1 / sqrt(variance + eps), and variance."""
    z, mean = centred(x, axes)
    variance = _mean(np.square(z), axes)
    rstd = 1 / np.sqrt(variance + x.dtype.type(eps))
    scaled = ~np.isfinite(variance)
    if scaled.any():
        unit = np.where(scaled, _unit(x, axes), x.dtype.type(1))
        z, mean = centred(x * unit, axes)
        variance = _mean(np.square(z), axes)
        # hypot, as the square of the second would be 0
        spread = np.hypot(np.sqrt(variance), x.dtype.type(math.sqrt(eps)) * unit)
        z = np.where(scaled, z / spread, z * rstd)
        rstd = np.where(scaled, unit / spread, rstd)
        return z, mean / unit, rstd, variance / unit / unit
    z *= rstd
    return z, mean, rstd, variance


def _unit(x: Array, axes: Axes) -> Array:
    """A power of two that brings the largest of the values near 1."""
    exponent = np.frexp(np.abs(x).max(axis=axes, keepdims=True, initial=1))[1]
    return np.ldexp(x.dtype.type(1), np.maximum(-exponent, np.finfo(x.dtype).minexp))


def normalised(x: Array, mean: Array, rstd: Array) -> Array:
    """(x - mean) * rstd of statistics that are there."""
    if (rstd < np.finfo(x.dtype).tiny ** 0.5).any():  # then the difference may overflow
        unit = x.dtype.type(0.25)
        return (x * unit - mean * unit) * (rstd / unit)
    z = x - mean
    z *= rstd
    return z


def standardised_backward(g: Array, z: Array, rstd: Array, axes: Axes) -> Array:
    """Gradient of `standardised`, in the memory of `g`."""
    mean_gz = _mean(g * z, axes)
    g -= _mean(g, axes)
    g -= z * mean_gz
    g *= rstd
    return g


def along(parameter: Array, axis: int, rank: int) -> Array:
    """A vector of parameters, shaped to go along one axis of a tensor."""
    shape = [1] * rank
    shape[axis] = -1
    return parameter.reshape(shape)


def all_but(axis: int, rank: int) -> Axes:
    """The axes other than one."""
    return tuple(a for a in range(rank) if a != axis % rank)


@quiet
def batch_norm(
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    axis: int,
    eps: float,
    *,
    out: Array | None = None,
) -> Array:
    """(x - mean) / sqrt(var + eps) * weight + bias, with vectors along `axis`.

    Parameters
    ----------
    x : array
    mean, var, weight, bias : arrays (C,), the last two optional
    axis : int
    eps : float
    out : array like x, default None

    Returns
    -------
    array like x
    """
    scale = 1 / np.sqrt(var + x.dtype.type(eps))
    if weight is not None:
        scale = scale * weight
    if _norm_loops.take(axis, x, *(() if out is None else (out,))):
        y = np.empty(x.shape, x.dtype) if out is None else out
        return _norm_loops.apply(x, mean, scale, np.zeros_like(mean) if bias is None else bias, y)
    y = np.subtract(x, along(mean, axis, x.ndim), out=out)
    y *= along(scale, axis, x.ndim)
    return y if bias is None else np.add(y, along(bias, axis, x.ndim), out=y)


@quiet
def batch_norm_backward(
    dy: Array, x: Array, mean: Array, var: Array, weight: Array | None, axis: int, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `batch_norm` with respect to x, weight and bias."""
    rstd = 1 / np.sqrt(var + x.dtype.type(eps))
    others = all_but(axis, x.ndim)
    z = normalised(x, along(mean, axis, x.ndim), along(rstd, axis, x.ndim))
    scale = rstd if weight is None else rstd * weight
    return dy * along(scale, axis, x.ndim), (dy * z).sum(axis=others), dy.sum(axis=others)


@quiet
def batch_norm_train(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    axis: int,
    eps: float,
    residual: Array | None = None,
    rectified: bool = False,
) -> tuple[Array, Array, Array, Array]:
    """y, mean, rstd and unbiased variance, of every channel; y plus `residual`, and max(0, y)."""
    others = all_but(axis, x.ndim)
    count = math.prod(x.shape[a] for a in others)
    if _norm_loops.take(axis, x, *(() if residual is None else (residual,))):
        found = _norm_loops.train(x, weight, bias, eps, residual, rectified)
        if found:
            return found
    z, mean, rstd, variance = standardised(x, others, eps)
    y = _affine(z, weight, bias, axis)
    if residual is not None:
        y += residual
    if rectified:
        np.maximum(y, 0, out=y)
    return y, mean.ravel(), rstd.ravel(), variance.ravel() * count / (count - 1)


@quiet
def batch_norm_train_backward(
    dy: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    weight: Array | None,
    axis: int,
    y: Array | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Gradients of `batch_norm_train`, mean and rstd being those of x, and of a residual.

    `y` is what came out rectified, None where it was not.
    """
    if _norm_loops.take(axis, dy, x, *(() if y is None else (y,))):
        found = _norm_loops.train_backward(dy, x, mean, rstd, weight, y)
        if found:
            return found
    if y is not None:
        dy = np.where(y <= 0, dy.dtype.type(0), dy)
    others, r = all_but(axis, x.ndim), along(rstd, axis, x.ndim)
    z = normalised(x, along(mean, axis, x.ndim), r)
    g = dy * (x.dtype.type(1) if weight is None else along(weight, axis, x.ndim))
    parameters = (dy * z).sum(axis=others), dy.sum(axis=others)
    return standardised_backward(g, z, r, others), *parameters, dy


@quiet
def layer_norm(x: Array, axes: int, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """Normalised over the last `axes` axes; weight and bias have their extents."""
    y = standardised(x, tuple(range(-axes, 0)), eps)[0]
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return y


@quiet
def layer_norm_backward(
    dy: Array, x: Array, axes: int, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `layer_norm` with respect to x, weight and bias."""
    last, rows = tuple(range(-axes, 0)), tuple(range(x.ndim - axes))
    z, _, rstd, _ = standardised(x, last, eps)
    parameters = (dy * z).sum(axis=rows), dy.sum(axis=rows)
    g = dy.copy() if weight is None else dy * weight
    return standardised_backward(g, z, rstd, last), *parameters


@quiet
def group_norm(
    x: Array, groups: int, weight: Array | None, bias: Array | None, axis: int, eps: float
) -> Array:
    """Normalised over groups of neighbouring channels of each image; channels on `axis`."""
    grouped, others = _grouped(x, groups, axis)
    y = standardised(grouped, others, eps)[0].reshape(x.shape)
    return _affine(y, weight, bias, axis)


@quiet
def image_means(x: Array, axis: int) -> tuple[Array, Array]:
    """Over the images, means of the means and of the unbiased variances of their channels."""
    others = tuple(a for a in all_but(axis, x.ndim) if a)
    off, mean = centred(x, others)
    variance = np.square(off).sum(axis=others) / (math.prod(x.shape[a] for a in others) - 1)
    return _mean(mean.squeeze(others), (0,))[0], _mean(variance, (0,))[0]


@quiet
def group_norm_backward(
    dy: Array, x: Array, groups: int, weight: Array | None, axis: int, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `group_norm` with respect to x, weight and bias."""
    grouped, others = _grouped(x, groups, axis)
    z, _, rstd, _ = standardised(grouped, others, eps)
    g = dy * (x.dtype.type(1) if weight is None else along(weight, axis, x.ndim))
    rest = all_but(axis, x.ndim)
    parameters = (dy * z.reshape(x.shape)).sum(axis=rest), dy.sum(axis=rest)
    dx = standardised_backward(_grouped(g, groups, axis)[0], z, rstd, others)
    return dx.reshape(x.shape), *parameters


def _grouped(x: Array, groups: int, axis: int) -> tuple[Array, Axes]:
    """x with its channels on two axes, and the axes that one statistic covers."""
    at = axis % x.ndim
    grouped = x.reshape(*x.shape[:at], groups, x.shape[at] // max(groups, 1), *x.shape[at + 1 :])
    return grouped, tuple(a for a in range(1, grouped.ndim) if a != at)


def _affine(y: Array, weight: Array | None, bias: Array | None, axis: int) -> Array:
    if weight is not None:
        y *= along(weight, axis, y.ndim)
    if bias is not None:
        y += along(bias, axis, y.ndim)
    return y


@quiet
def local_response_norm(
    x: Array, size: int, alpha: float, beta: float, k: float, axis: int
) -> Array:
    """x / (k + alpha * mean of x^2 over `size` channels)^beta; outside there are zeros."""
    d, unit = _response(x, size, alpha, k, axis)
    return _by_power(x, d, unit, x.dtype.type(beta))


@quiet
def local_response_norm_backward(
    dy: Array, x: Array, size: int, alpha: float, beta: float, k: float, axis: int
) -> Array:
    """Gradient of `local_response_norm` with respect to x."""
    d, unit = _response(x, size, alpha, k, axis)
    dx = _by_power(dy, d, unit, x.dtype.type(beta))
    behind = _windows(dx * (x * unit) / d * unit, size, (size - 1) // 2, axis)
    behind *= x
    behind *= x.dtype.type(2 * alpha / size * beta)
    dx -= behind
    return dx


def _response(x: Array, size: int, alpha: float, k: float, axis: int) -> tuple[Array, Array]:
    """What stands below, times unit^2: 1 but where squares overflow, a power of two there."""
    one, share = x.dtype.type(1), x.dtype.type(alpha / size)
    if share == 0:
        return np.full_like(x, k), np.asarray(one)
    d = _windows(np.square(x), size, size // 2, axis)
    d *= share
    d += x.dtype.type(k)
    far = ~np.isfinite(d)
    if not far.any():
        return d, np.asarray(one)
    unit = np.ldexp(one, -90 if x.dtype == np.float32 else -700)
    scaled = _windows(np.square(x * unit), size, size // 2, axis) * share
    return np.where(far, scaled + x.dtype.type(k) * unit * unit, d), np.where(far, unit, one)


def _by_power(x: Array, d: Array, unit: Array, beta: Any) -> Array:
    """x (d / unit^2)^-beta."""
    y = x * d**-beta
    if unit.ndim:
        half = unit**beta  # the square of it may be no number of this type
        y = y * half * half
    return y


def _windows(x: Array, size: int, before: int, axis: int) -> Array:
    """Sums over `size` channels, `before` of them before the one at hand: a sum of shifts."""
    total = np.zeros_like(x)
    to, of = np.moveaxis(total, axis, 0), np.moveaxis(x, axis, 0)
    count = len(to)
    for shift in range(max(-before, 1 - count), min(size - before, count)):
        first, last = max(0, -shift), count - max(0, shift)
        to[first:last] += of[first + shift : last + shift]
    return total
