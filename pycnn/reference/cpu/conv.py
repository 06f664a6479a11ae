"""Convolution on the CPU: the fastest of six methods for the layer, chosen by its shape.

gemm      1x1 filters: the image itself is the right-hand matrix
im2col    any filters, groups, strides: the columns of a block of pixels, gathered (`_im2col`)
batched   the same for many small images, the batch innermost (`_batched`)
direct    compiled loops over shifted planes, without columns (`_direct`), where they are built
winograd  3x3, float32: four times fewer multiplications, more copies (`_winograd`)
taps      padding, dilation or stride far beyond the image, of which nothing is padded (`_taps`)
"""

from collections.abc import Callable
from functools import lru_cache, partial
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from pycnn.reference.cpu import _batched, _direct, _im2col, _taps, _winograd
from pycnn.reference.cpu._common import Padding, Pair, quiet
from pycnn.reference.cpu._elementwise import is_finite
from pycnn.reference.cpu._geometry import Conv
from pycnn.reference.cpu._threads import thread_count
from pycnn.runtime import measured
from pycnn.runtime.measured import Measured


class Method(NamedTuple):
    """Which convolutions it computes, and how: forward(conv, x, weight, bias, y)."""

    applies: Callable[[Conv], bool]
    forward: Callable[[Conv, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray], None]


METHODS = {
    "gemm": Method(lambda conv: conv.is_pointwise, _im2col.forward),
    "im2col": Method(lambda conv: True, _im2col.forward),
    "batched": Method(lambda conv: True, _batched.forward),
    "direct": Method(_direct.applies, _direct.forward),
    "winograd": Method(_winograd.applies, _winograd.forward),
    "taps": Method(lambda conv: True, _taps.forward),
}

#: Faster than the other gradients where they compute dx.
FAST = ("gemm", "winograd")


def conv_method(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    dtype: DTypeLike = "float32",
) -> str:
    """Name of the method `conv2d` uses: by shapes and dtype, unless ``pycnn tune`` measured it.

    Winograd is for float32 only: who asks for float64 wants its digits.

    Returns
    -------
    {"gemm", "im2col", "batched", "direct", "winograd", "taps"}

    Examples
    --------
    >>> conv_method((1, 64, 56, 56), (256, 64, 1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    'gemm'
    """
    return _method(Conv(x_shape, weight_shape, stride, padding, dilation, groups), dtype)


@lru_cache(1024)
def _seen(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    dtype: np.dtype,
) -> tuple[Conv, str]:
    """The convolution and its method by shape; small ones take as long as finding these does."""
    conv = Conv(x_shape, weight_shape, stride, padding, dilation, groups)
    return conv, by_shape(conv, dtype)[0]


@quiet
def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    *,
    method: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Two-dimensional cross-correlation.

    Parameters
    ----------
    x : array (N, C, H, W), float32 or float64
    weight : array (K, C/G, R, S)
    bias : array (K,) or None
    stride, dilation : (int, int)
    padding : ((top, bottom), (left, right))
    groups : int
    method : str, default None
        One of METHODS that fits the shape; None leaves the choice to `conv_method`.
    out : array (N, K, P, Q), default None
        Where to put the result.

    Returns
    -------
    array (N, K, P, Q), dtype of x

    Raises
    ------
    ValueError
        If the method does not compute such a convolution.

    Examples
    --------
    >>> x, w = np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 2, 2), np.float32)
    >>> conv2d(x, w, None, (1, 1), ((0, 0), (0, 0)), (1, 1), 1)[0, 0].tolist()
    [[4.0, 4.0], [4.0, 4.0]]
    """
    conv, fastest = _seen(x.shape, weight.shape, stride, padding, dilation, groups, x.dtype)
    if method is None:
        found = _tuned(conv, x.dtype)
        method = found.algo if found else fastest
    elif method not in METHODS or not METHODS[method].applies(conv):
        fitting = [name for name, candidate in METHODS.items() if candidate.applies(conv)]
        raise ValueError(f"method={method!r}; for these shapes allowed are {', '.join(fitting)}")
    direct = out is not None and out.flags.c_contiguous  # where a matrix product can write
    y = out if out is not None and direct else np.empty(conv.y_shape, x.dtype)
    _forward(conv, method, x, weight, bias, y)
    if out is None or direct:
        return y
    out[...] = y
    return out


def fixed(
    conv: Conv, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, out: np.ndarray
) -> Callable[[], None]:
    """What convolves x into `out`, which is contiguous, again and again: all else is found now."""
    method, _ = chosen(conv, x.dtype)
    return partial(_forward, conv, method, x, weight, bias, out)


@quiet
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
    (dx, dweight, dbias) : arrays shaped as x, weight and (K,), dtype of x
    """
    conv = Conv(x.shape, weight.shape, stride, padding, dilation, groups)
    return (
        _input_gradient(conv, dy, weight) if needs[0] else None,
        _weight_gradient(conv, dy, x) if needs[1] else None,
        dy.sum(axis=(2, 3)).sum(axis=0) if needs[2] else None,
    )


def _forward(
    conv: Conv,
    method: str,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
) -> None:
    METHODS[method].forward(conv, x, weight, bias, y)
    if method == "winograd" and not is_finite(y):
        # Its transforms spread a NaN or an infinity over the tile; a product keeps it in place.
        _im2col.forward(conv, x, weight, bias, y)


def _input_gradient(conv: Conv, dy: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A convolution of dy with the filters turned round, if one of the fast ones; else col2im."""
    turned = _turned(conv)
    method = _method(turned, dy.dtype)
    plain = conv.stride == (1, 1) and min(map(min, turned.padding)) >= 0 and not conv.is_sparse
    if plain and method in FAST:
        k, c, r, s = conv.weight_shape
        filters = weight.reshape(conv.groups, k // conv.groups, c, r, s)[..., ::-1, ::-1]
        dx = np.empty(conv.x_shape, dy.dtype)
        filters = filters.swapaxes(1, 2).reshape(turned.weight_shape)
        METHODS[method].forward(turned, dy, filters, None, dx)
        if is_finite(dx):
            return dx
    way = _gradients(conv)
    dx = way.input_gradient(conv, dy, weight)
    if way is _direct and not is_finite(dx):  # an infinity times the zeros around dy
        return _columns(conv).input_gradient(conv, dy, weight)
    return dx


def _weight_gradient(conv: Conv, dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    method = _gradients(conv)
    dweight = method.weight_gradient(conv, dy, x)
    if method is _direct and not is_finite(dweight):
        # It multiplies by the zeros between rows; of an infinity that makes NaN.
        return _columns(conv).weight_gradient(conv, dy, x)
    return dweight


def _turned(conv: Conv) -> Conv:
    """The convolution that takes dy to dx when the stride is 1."""
    k, _, r, s = conv.weight_shape
    (top, bottom), (left, right) = conv.padding
    rows, columns = (r - 1) * conv.dilation[0], (s - 1) * conv.dilation[1]
    return Conv(
        conv.y_shape,
        (conv.x_shape[1], k // conv.groups, r, s),
        (1, 1),
        ((rows - top, rows - bottom), (columns - left, columns - right)),
        conv.dilation,
        conv.groups,
    )


def _method(conv: Conv, dtype: DTypeLike) -> str:
    return chosen(conv, dtype)[0]


def chosen(conv: Conv, dtype: DTypeLike) -> tuple[str, str]:
    """The method for a convolution, and why."""
    found = _tuned(conv, dtype)
    if found:
        return found.algo, f"measured on this machine, {found.date}"
    return by_shape(conv, dtype)


def _tuned(conv: Conv, dtype: DTypeLike) -> Measured | None:
    """What `pycnn tune` found for it here, if that is a method of its."""
    known = measured.on_cpu(thread_count)
    found = known.get(key_of(conv, dtype)) if known else None
    usable = found and found.algo in METHODS and METHODS[found.algo].applies(conv)
    return found if usable else None


def key_of(conv: Conv, dtype: DTypeLike) -> str:
    """Names a convolution in the data base of `pycnn tune`."""
    return (
        f"conv forward {np.dtype(dtype).name} x {conv.x_shape} w {conv.weight_shape} stride "
        f"{conv.stride} pad {conv.padding} dilation {conv.dilation} groups {conv.groups}"
    )


def by_shape(conv: Conv, dtype: DTypeLike) -> tuple[str, str]:
    """The method by shape and dtype alone, and why."""
    direct = _direct.pays(conv)
    if conv.is_pointwise and not direct:
        return "gemm", "1x1 filters: the image is the matrix as it stands"
    if conv.is_sparse:
        return "taps", "far more of padding, dilation or stride than of image"
    winograd = (
        np.dtype(dtype) == np.float32 and _winograd.applies(conv) and _winograd.pays(conv, direct)
    )
    if winograd:
        return "winograd", "3x3 filters, channels enough to pay for the transforms"
    if direct:
        return "direct", "compiled loops; the filters of a group fit into the cache"
    if _batched.pays(conv):
        return "batched", "many small images: the batch innermost"
    return "im2col", "columns of a block of pixels, which any convolution has"


def _gradients(conv: Conv) -> ModuleType:
    """Where the gradients are found."""
    return _direct if _direct.pays(conv) else _columns(conv)


def _columns(conv: Conv) -> ModuleType:
    """Where the gradients through columns are found."""
    if conv.is_sparse:
        return _taps
    return _batched if _batched.pays(conv) else _im2col
