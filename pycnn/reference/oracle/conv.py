"""Convolution as R * S shifted matrix products, one per filter tap.

y[n, k, p, q] = bias[k] + sum_{c, r, s} w[k, c, r, s] * x[n, c, p*stride_h - top + r*dilation_h, ..]
with c running over the channels of the group of k. Padding holds zeros that are multiplied like
any other value, so an infinite weight over padding gives NaN, as in PyTorch.
"""

import numpy as np

from pycnn.reference.oracle._window import Padding, Pair, output_extent, taps


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """Two-dimensional cross-correlation.

    Parameters
    ----------
    x : array (N, C, H, W)
    weight : array (K, C/G, R, S)
    bias : array (K,) or None
    stride, dilation : (int, int)
    padding : ((top, bottom), (left, right))
    groups : int

    Returns
    -------
    array (N, K, P, Q), float64

    Examples
    --------
    >>> x, w = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    >>> conv2d(x, w, None, (1, 1), ((0, 0), (0, 0)), (1, 1), 1)[0, 0].tolist()
    [[4.0, 4.0], [4.0, 4.0]]
    """
    w = _grouped_weight(weight, groups)
    padded = _grouped_input(x, padding, groups)
    n = x.shape[0]
    kernel = weight.shape[2:]
    p, q = output_extent(x.shape, kernel, stride, padding, dilation)
    y = np.zeros((n, groups, w.shape[1], p * q))
    with np.errstate(invalid="ignore"):
        for r, s, met in taps(kernel, (p, q), stride, dilation):
            y += w[..., r, s] @ padded[met].reshape(n, groups, w.shape[2], p * q)
    y = y.reshape(n, weight.shape[0], p, q)
    return y if bias is None else y + bias.astype(np.float64)[:, None, None]


def conv2d_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Gradients of `conv2d` with respect to input, weight and bias; None where not needed.

    Parameters
    ----------
    dy : array (N, K, P, Q)
    x, weight, stride, padding, dilation, groups
        As given to `conv2d`.
    needs : (bool, bool, bool), default (True, True, True)

    Returns
    -------
    (dx, dweight, dbias) : arrays shaped as x, weight and (K,), float64
    """
    w = _grouped_weight(weight, groups)
    padded = _grouped_input(x, padding, groups)
    n, (p, q) = x.shape[0], dy.shape[2:]
    flat_dy = dy.astype(np.float64).reshape(n, groups, w.shape[1], p * q)
    d_padded, dw = np.zeros_like(padded), np.zeros_like(w)
    with np.errstate(invalid="ignore"):
        for r, s, met in taps(weight.shape[2:], (p, q), stride, dilation):
            window = padded[met]
            d_padded[met] += (w[..., r, s].swapaxes(1, 2) @ flat_dy).reshape(window.shape)
            products = flat_dy @ window.reshape(n, groups, w.shape[2], p * q).swapaxes(2, 3)
            dw[..., r, s] = products.sum(axis=0)
    (top, _), (left, _) = padding
    dx = d_padded[..., top : top + x.shape[2], left : left + x.shape[3]].reshape(x.shape)
    db = flat_dy.sum(axis=(0, 3)).reshape(-1)
    return (
        dx if needs[0] else None,
        dw.reshape(weight.shape) if needs[1] else None,
        db if needs[2] else None,
    )


def _grouped_weight(weight: np.ndarray, groups: int) -> np.ndarray:
    """(K, C/G, R, S) -> (G, K/G, C/G, R, S)."""
    k = weight.shape[0] // groups
    return weight.astype(np.float64).reshape(groups, k, *weight.shape[1:])


def _grouped_input(x: np.ndarray, padding: Padding, groups: int) -> np.ndarray:
    """(N, C, H, W) -> (N, G, C/G, H + top + bottom, W + left + right), zeros around."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *padding))
    n, c, h, w = padded.shape
    return padded.reshape(n, groups, c // groups, h, w)
