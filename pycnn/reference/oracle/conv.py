"""Convolution along any number of axes, as shifted matrix products, one for each filter tap.

y[n, k, p...] = sum over c, r... of w[k, c, r...] x[n, c, p*stride - before + r*dilation, ...] with
c running over the channels of the group of k. What lies beyond the edges of x is written out by
`numpy.pad`. Zeros there are multiplied like any other value, so an infinite weight over padding
gives NaN, as in PyTorch.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

Ints = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]
Gradients = tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]

#: Padding modes by the names of PyTorch, as NumPy calls them.
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def convolve(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    mode: str = "zeros",
) -> np.ndarray:
    """Cross-correlation.

    Parameters
    ----------
    x : array (N, C, H...)
    weight : array (K, C/G, R...)
    bias : array (K,) or None
    stride, dilation : tuple of int
        One an axis.
    padding : tuple of (int, int)
        (before, after), one an axis.
    groups : int
    mode : {"zeros", "reflect", "replicate", "circular"}

    Returns
    -------
    array (N, K, P...), float64

    Examples
    --------
    >>> x, w = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    >>> convolve(x, w, None, (1, 1), ((0, 0), (0, 0)), (1, 1), 1)[0, 0].tolist()
    [[4.0, 4.0], [4.0, 4.0]]
    """
    w = _grouped_weight(weight, groups)
    padded = _grouped(_padded(x.astype(np.float64), padding, mode), groups)
    n, kernel = x.shape[0], weight.shape[2:]
    axes = zip(padded.shape[3:], kernel, stride, dilation, strict=True)
    out = tuple(len(range(0, extent - (r - 1) * d, s)) for extent, r, s, d in axes)
    y = np.zeros((n, groups, w.shape[1], int(np.prod(out))))
    with np.errstate(invalid="ignore"):
        for tap, met in _taps(kernel, out, stride, dilation):
            y += w[_at(tap)] @ padded[met].reshape(n, groups, w.shape[2], y.shape[-1])
    return _with_bias(y.reshape(n, weight.shape[0], *out), bias)


def convolve_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    needs: tuple[bool, bool, bool] = (True, True, True),
    mode: str = "zeros",
) -> Gradients:
    """Gradients of `convolve` with respect to input, weight and bias; None where not needed.

    Parameters
    ----------
    dy : array (N, K, P...)
    x, weight, stride, padding, dilation, groups, mode
        As given to `convolve`.
    needs : (bool, bool, bool), default (True, True, True)

    Returns
    -------
    (dx, dweight, dbias) : arrays shaped as x, weight and (K,), float64
    """
    w = _grouped_weight(weight, groups)
    padded = _grouped(_padded(x.astype(np.float64), padding, mode), groups)
    n, out = x.shape[0], dy.shape[2:]
    flat_dy = _flat(dy, groups)
    d_padded, dw = np.zeros_like(padded), np.zeros_like(w)
    with np.errstate(invalid="ignore"):
        for tap, met in _taps(weight.shape[2:], out, stride, dilation):
            window = padded[met]
            at = _at(tap)
            if needs[0]:
                d_padded[met] += (w[at].swapaxes(1, 2) @ flat_dy).reshape(window.shape)
            if needs[1]:
                row = window.reshape(n, groups, w.shape[2], flat_dy.shape[-1])
                dw[at] = _products(flat_dy, row)
    whole = d_padded.reshape(n, x.shape[1], *d_padded.shape[3:])
    return (
        _unpadded(whole, x.shape, padding, mode) if needs[0] else None,
        dw.reshape(weight.shape) if needs[1] else None,
        flat_dy.sum(axis=(0, 3)).reshape(-1) if needs[2] else None,
    )


def convolve_transposed(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    out: Ints,
) -> np.ndarray:
    """Transposed convolution: every element of x adds a filter to y.

    y[n, k, i*stride + r*dilation - before, ...] collects w[c, k, r...] x[n, c, i...].

    Parameters
    ----------
    x : array (N, C, H...)
    weight : array (C, K/G, R...)
    bias : array (K,) or None
    stride, padding, dilation, groups
        As for `convolve`, which this is the transpose of.
    out : tuple of int
        Extents of y.

    Returns
    -------
    array (N, K, P...), float64
    """
    w = _grouped_weight(weight, groups)
    n, extents, kernel = x.shape[0], x.shape[2:], weight.shape[2:]
    flat_x = _flat(x, groups)
    whole = _whole(extents, kernel, stride, padding, dilation, out)
    y = np.zeros((n, groups, w.shape[2], *whole))
    with np.errstate(invalid="ignore"):
        for tap, met in _taps(kernel, extents, stride, dilation):
            added = w[_at(tap)].swapaxes(1, 2) @ flat_x
            y[met] += added.reshape(y[met].shape)
    y = y[_kept(padding, out)].reshape(n, groups * w.shape[2], *out)
    return _with_bias(y, bias)


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
    """Gradients of `convolve_transposed`, as those of `convolve`."""
    w = _grouped_weight(weight, groups)
    n, extents, kernel, out = x.shape[0], x.shape[2:], weight.shape[2:], dy.shape[2:]
    whole = _whole(extents, kernel, stride, padding, dilation, out)
    padded = np.zeros((n, groups, w.shape[2], *whole))
    padded[_kept(padding, out)] = _grouped(dy.astype(np.float64), groups)
    flat_x = _flat(x, groups)
    dx, dw = np.zeros_like(flat_x), np.zeros_like(w)
    with np.errstate(invalid="ignore"):
        for tap, met in _taps(kernel, extents, stride, dilation):
            window = padded[met].reshape(n, groups, w.shape[2], flat_x.shape[-1])
            dx += w[_at(tap)] @ window
            dw[_at(tap)] = _products(flat_x, window)
    return (
        dx.reshape(x.shape) if needs[0] else None,
        dw.reshape(weight.shape) if needs[1] else None,
        _flat(dy, groups).sum(axis=(0, 3)).reshape(-1) if needs[2] else None,
    )


def finished(
    sums: np.ndarray,
    scale: np.ndarray | None = None,
    shift: np.ndarray | None = None,
    residual: np.ndarray | None = None,
    activation: str | None = None,
    slope: float = 0.01,
) -> np.ndarray:
    """activation(sums * scale[k] + shift[k] + residual), of sums (N, K, P...)."""
    along_k = (slice(None), *[None] * (sums.ndim - 2))
    with np.errstate(all="ignore"):
        if scale is not None:
            sums = sums * scale.astype(np.float64)[along_k]
        if shift is not None:
            sums = sums + shift.astype(np.float64)[along_k]
        if residual is not None:
            sums = sums + residual.astype(np.float64)
        if activation is None:
            return sums
        if activation in ("relu", "relu6"):
            return np.clip(sums, 0, 6 if activation == "relu6" else None)
        if activation == "leaky_relu":
            return np.where(sums < 0, sums * slope, sums)
        sigmoid = 1 / (1 + np.exp(-sums))
        return sums * sigmoid if activation == "silu" else sigmoid


def _taps(kernel: Ints, out: Ints, stride: Ints, dilation: Ints) -> Iterator[tuple[Ints, Any]]:
    """(r..., index) for every tap: `index` selects what it meets in every window."""
    for tap in product(*map(range, kernel)):
        along = zip(tap, out, stride, dilation, strict=True)
        slices = [slice(r * d, r * d + (extent - 1) * s + 1, s) for r, extent, s, d in along]
        yield tap, (..., *slices)


def _at(tap: Ints) -> Any:
    """Index of one tap in a weight."""
    return (..., *tap)


def _grouped_weight(weight: np.ndarray, groups: int) -> np.ndarray:
    """(K, C/G, R...) -> (G, K/G, C/G, R...)."""
    k = weight.shape[0] // groups
    return weight.astype(np.float64).reshape(groups, k, *weight.shape[1:])


def _grouped(x: np.ndarray, groups: int) -> np.ndarray:
    """(N, C, H...) -> (N, G, C/G, H...)."""
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])


def _flat(array: np.ndarray, groups: int) -> np.ndarray:
    """(N, K, P...) -> (N, G, K/G, all P)."""
    pixels = int(np.prod(array.shape[2:]))
    per_group = array.shape[1] // groups
    return array.astype(np.float64).reshape(array.shape[0], groups, per_group, pixels)


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Sum over images and pixels of left (N, G, A, pixels) times right (N, G, B, pixels)."""
    return (left @ right.swapaxes(2, 3)).sum(axis=0)


def _with_bias(y: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    if bias is None:
        return y
    return y + bias.astype(np.float64)[(slice(None), *[None] * (y.ndim - 2))]


def _padded(x: np.ndarray, padding: Padding, mode: str) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), *padding), mode=MODES[mode])  # type: ignore[call-overload]


def _unpadded(padded: np.ndarray, shape: Ints, padding: Padding, mode: str) -> np.ndarray:
    """The transpose of `_padded`: every padded element is added to the one it came from."""
    for axis, (before, after) in enumerate(padding, start=2):
        extent = shape[axis]
        if mode == "zeros":
            padded = padded.take(range(before, before + extent), axis)
            continue
        source = np.pad(np.arange(extent), (before, after), mode=MODES[mode])  # type: ignore
        folded = np.zeros((*padded.shape[:axis], extent, *padded.shape[axis + 1 :]))
        np.add.at(np.moveaxis(folded, axis, 0), source, np.moveaxis(padded, axis, 0))
        padded = folded
    return padded


def _whole(
    extents: Ints, kernel: Ints, stride: Ints, padding: Padding, dilation: Ints, out: Ints
) -> Ints:
    """Extents of everything that filters reach, and of what is kept of it."""
    axes = zip(extents, kernel, stride, padding, dilation, out, strict=True)
    return tuple(
        max((i - 1) * s + (r - 1) * d + 1, before + o) for i, r, s, (before, _), d, o in axes
    )


def _kept(padding: Padding, out: Ints) -> tuple:
    return (..., *[slice(p[0], p[0] + o) for p, o in zip(padding, out, strict=True)])
