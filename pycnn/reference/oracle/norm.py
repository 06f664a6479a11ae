"""Normalisation: batch, group, instance and layer norm, local response normalisation."""

import math

import numpy as np

Array = np.ndarray
Axes = tuple[int, ...]


def _mean(x: Array, axes: Axes) -> Array:
    """Mean over axes that stay; of nothing it is zero."""
    return x.sum(axis=axes, keepdims=True) / max(math.prod(x.shape[a] for a in axes), 1)


def standardised(x: Array, axes: Axes, eps: float) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(variance + eps) over `axes`, the mean, and 1 / sqrt(variance + eps).

    Parameters
    ----------
    x : array
    axes : tuple of int
    eps : float

    Returns
    -------
    (z, mean, rstd) : arrays, float64
        The last two keep the axes, with extent 1.

    Examples
    --------
    >>> standardised(np.array([[1.0, 3.0]]), (1,), 0.0)[0].tolist()
    [[-1.0, 1.0]]
    """
    x = x.astype(np.float64)
    mean = _mean(x, axes)
    variance = _mean((x - mean) ** 2, axes)
    rstd = 1 / np.sqrt(variance + eps)
    return (x - mean) * rstd, mean, rstd


def standardised_backward(g: Array, z: Array, rstd: Array, axes: Axes) -> Array:
    """Gradient of `standardised` with respect to x, `g` being that with respect to z."""
    mean_g = _mean(g, axes)
    mean_gz = _mean(g * z, axes)
    return rstd * (g - mean_g - z * mean_gz)


def along(parameter: Array | None, axis: int, rank: int, missing: float) -> Array:
    """A vector of parameters, shaped to go along one axis of a tensor."""
    if parameter is None:
        return np.full((1,) * rank, missing)
    shape = [1] * rank
    shape[axis] = -1
    return parameter.astype(np.float64).reshape(shape)


def all_but(axis: int, rank: int) -> Axes:
    """The axes other than one."""
    return tuple(a for a in range(rank) if a != axis % rank)


def batch_norm(
    x: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, axis: int,
    eps: float,
) -> Array:  # fmt: skip
    """(x - mean) / sqrt(var + eps) * weight + bias, with vectors along `axis`.

    Examples
    --------
    >>> x, one = np.array([[5.0]]), np.ones(1)
    >>> batch_norm(x, one, 4 * one, None, one, 1, 0.0).tolist()
    [[3.0]]
    """
    m, v = along(mean, axis, x.ndim, 0), along(var, axis, x.ndim, 1)
    z = (x.astype(np.float64) - m) / np.sqrt(v + eps)
    return z * along(weight, axis, x.ndim, 1) + along(bias, axis, x.ndim, 0)


def batch_norm_backward(
    dy: Array, x: Array, mean: Array, var: Array, weight: Array | None, axis: int, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `batch_norm` with respect to x, weight and bias."""
    rstd = 1 / np.sqrt(along(var, axis, x.ndim, 1) + eps)
    z = (x.astype(np.float64) - along(mean, axis, x.ndim, 0)) * rstd
    dy, others = dy.astype(np.float64), all_but(axis, x.ndim)
    dx = dy * rstd * along(weight, axis, x.ndim, 1)
    return dx, (dy * z).sum(axis=others), dy.sum(axis=others)


def batch_norm_train(
    x: Array, weight: Array | None, bias: Array | None, axis: int, eps: float
) -> tuple[Array, Array, Array, Array]:
    """y, mean, 1 / sqrt(variance + eps) and unbiased variance, of every channel."""
    others = all_but(axis, x.ndim)
    z, mean, rstd = standardised(x, others, eps)
    y = z * along(weight, axis, x.ndim, 1) + along(bias, axis, x.ndim, 0)
    mean = np.where(np.isfinite(mean), mean, np.nan)  # of infinities there is none
    return y, mean.ravel(), rstd.ravel(), x.astype(np.float64).var(axis=others, ddof=1)


def batch_norm_train_backward(
    dy: Array, x: Array, mean: Array, rstd: Array, weight: Array | None, axis: int
) -> tuple[Array, Array, Array]:
    """Gradients of `batch_norm_train`, mean and rstd being those of x."""
    dy, others = dy.astype(np.float64), all_but(axis, x.ndim)
    r = along(rstd, axis, x.ndim, 1)
    z = (x.astype(np.float64) - along(mean, axis, x.ndim, 0)) * r
    dx = standardised_backward(dy * along(weight, axis, x.ndim, 1), z, r, others)
    return dx, (dy * z).sum(axis=others), dy.sum(axis=others)


def layer_norm(x: Array, axes: int, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """Normalised over the last `axes` axes; weight and bias have their extents.

    Examples
    --------
    >>> layer_norm(np.array([[1.0, 3.0]]), 1, None, None, 0.0).tolist()
    [[-1.0, 1.0]]
    """
    z = standardised(x, tuple(range(-axes, 0)), eps)[0]
    return z * (1.0 if weight is None else weight) + (0.0 if bias is None else bias)


def layer_norm_backward(
    dy: Array, x: Array, axes: int, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `layer_norm` with respect to x, weight and bias."""
    last = tuple(range(-axes, 0))
    z, _, rstd = standardised(x, last, eps)
    dy, rows = dy.astype(np.float64), tuple(range(x.ndim - axes))
    g = dy * (1.0 if weight is None else weight.astype(np.float64))
    dx = standardised_backward(g, z, rstd, last)
    return dx, (dy * z).sum(axis=rows), dy.sum(axis=rows)


def group_norm(
    x: Array, groups: int, weight: Array | None, bias: Array | None, axis: int, eps: float
) -> Array:
    """Normalised over groups of neighbouring channels of each image; channels on `axis`.

    Examples
    --------
    >>> group_norm(np.array([[1.0, 3.0, 0.0, 8.0]]), 2, None, None, 1, 0.0).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    grouped, others = _grouped(x, groups, axis)
    z = standardised(grouped, others, eps)[0]
    y = np.moveaxis(z.reshape(np.moveaxis(x, axis, 1).shape), 1, axis)
    return y * along(weight, axis, x.ndim, 1) + along(bias, axis, x.ndim, 0)


def group_norm_backward(
    dy: Array, x: Array, groups: int, weight: Array | None, axis: int, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `group_norm` with respect to x, weight and bias."""
    grouped, others = _grouped(x, groups, axis)
    z, _, rstd = standardised(grouped, others, eps)
    shape = np.moveaxis(x, axis, 1).shape
    dy = dy.astype(np.float64)
    g = _grouped(dy * along(weight, axis, x.ndim, 1), groups, axis)[0]
    dx = standardised_backward(g, z, rstd, others).reshape(shape)
    dy_z = dy * np.moveaxis(z.reshape(shape), 1, axis)
    rest = all_but(axis, x.ndim)
    return np.moveaxis(dx, 1, axis), dy_z.sum(axis=rest), dy.sum(axis=rest)


def _grouped(x: Array, groups: int, axis: int) -> tuple[Array, Axes]:
    """(N, groups, channels of a group, ...), and the axes that one statistic covers."""
    x = np.moveaxis(x, axis, 1)
    n, c = x.shape[:2]
    grouped = x.reshape(n, groups, c // groups, *x.shape[2:])
    return grouped, tuple(range(2, grouped.ndim))


def local_response_norm(
    x: Array, size: int, alpha: float, beta: float, k: float, axis: int
) -> Array:
    """x / (k + alpha * mean of x^2 over `size` channels)^beta; outside there are zeros.

    Examples
    --------
    >>> local_response_norm(np.array([[3.0, 1.0]]), 1, 1.0, 1.0, 1.0, 1).tolist()
    [[0.3, 0.5]]
    """
    x = x.astype(np.float64)
    return x / _response(x, size, alpha, k, axis) ** beta


def local_response_norm_backward(
    dy: Array, x: Array, size: int, alpha: float, beta: float, k: float, axis: int
) -> Array:
    """Gradient of `local_response_norm` with respect to x."""
    dy, x = dy.astype(np.float64), x.astype(np.float64)
    d = _response(x, size, alpha, k, axis)
    behind = dy * x * d ** (-beta - 1)  # of channel j; x of channel i is in the window of some j
    gathered = _windows(behind, size, (size - 1) // 2, axis)
    return dy * d**-beta - 2 * alpha / size * beta * x * gathered


def _response(x: Array, size: int, alpha: float, k: float, axis: int) -> Array:
    return k + alpha / size * _windows(x * x, size, size // 2, axis)


def _windows(x: Array, size: int, before: int, axis: int) -> Array:
    """Sums over `size` channels, `before` of them before the one at hand."""
    moved = np.moveaxis(x, axis, 0)
    total = np.zeros_like(moved)
    for i in range(len(moved)):
        total[i] = moved[max(i - before, 0) : max(i - before + size, 0)].sum(axis=0)
    return np.moveaxis(total, 0, axis)
