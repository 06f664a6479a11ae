"""Convolution on the CPU along two or three axes, in every padding mode.

Two axes are the work of `conv`. Of three, the first is
a sum over the taps along it of convolutions along the others, whose images are its positions.
Beyond the edges other than by zeros, x is written out.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np

from pycnn.reference.cpu import _common, conv
from pycnn.reference.cpu._axis import Sliding, Tap
from pycnn.reference.cpu._common import quiet
from pycnn.reference.cpu._elementwise import in_blocks
from pycnn.reference.cpu._geometry import Conv
from pycnn.reference.cpu.activation import logistic, relu
from pycnn.shapes import conv_out

Ints = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]
Gradients = tuple[Any, Any, Any]

#: Stride, padding, dilation and groups along two axes.
Plane = tuple[_common.Pair, _common.Padding, _common.Pair, int]

#: Padding modes by the names of PyTorch, as NumPy calls them.
MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def convolve(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    *,
    mode: str = "zeros",
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Cross-correlation.

    Parameters
    ----------
    x : array (N, C, H, W) or (N, C, D, H, W), float32 or float64
    weight : array (K, C/G, R, S) or (K, C/G, T, R, S)
    bias : array (K,) or None
    stride, dilation : tuple of int
        One an axis.
    padding : tuple of (int, int)
        (before, after), one an axis.
    groups : int
    mode : {"zeros", "reflect", "replicate", "circular"}
    out : array shaped as the result, default None
        Where to put it.

    Returns
    -------
    array (N, K, P, Q) or (N, K, Z, P, Q), dtype of x

    Examples
    --------
    >>> x, w = np.arange(4.0).reshape(1, 1, 1, 4), np.ones((1, 1, 1, 3))
    >>> convolve(x, w, None, (1, 1), ((0, 0), (1, 1)), (1, 1), 1, mode="circular").tolist()
    [[[[4.0, 3.0, 6.0, 5.0]]]]
    """
    x, padding = _written_out(x, padding, mode)
    if x.ndim == 4:
        return conv.conv2d(x, weight, bias, *_plane(stride, padding, dilation, groups), out=out)
    y = _Planes(x, weight, stride, padding, dilation, groups).forward(x, weight, bias)
    if out is None:
        return y
    out[...] = y
    return out


def fixed(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    *,
    mode: str,
    out: np.ndarray,
) -> Callable[[], Any]:
    """What convolves arrays that stay, again and again; parameters as of `convolve`."""
    if x.ndim == 4 and mode == "zeros" and out.flags.c_contiguous:
        plane = Conv(x.shape, weight.shape, *_plane(stride, padding, dilation, groups))
        return conv.fixed(plane, x, weight, bias, out)
    return partial(convolve, x, weight, bias, stride, padding, dilation, groups, mode=mode, out=out)


def methods(
    x_shape: Ints,
    weight_shape: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    dtype: str,
) -> list[tuple[str, bool, str]]:
    """Every method of `conv` by name, whether it computes a convolution along two axes, and why.

    The one that is taken comes first.

    Examples
    --------
    >>> found = methods((1, 3, 8, 8), (4, 3, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1, "float32")
    >>> found[0][1], [name for name, fits, _ in found if not fits]
    (True, ['gemm'])
    """
    geometry = Conv(x_shape, weight_shape, *_plane(stride, padding, dilation, groups))
    taken, why = conv.chosen(geometry, dtype)
    names = [taken, *(name for name in conv.METHODS if name != taken)]
    return [
        (name, True, why if name == taken else f"behind {taken}")
        if conv.METHODS[name].applies(geometry)
        else (name, False, "not for such filters, padding, stride or dilation")
        for name in names
    ]


def convolve_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    needs: tuple[bool, bool, bool] = (True, True, True),
    *,
    mode: str = "zeros",
) -> Gradients:
    """Gradients of `convolve` with respect to input, weight and bias; None where not needed.

    Parameters
    ----------
    dy : array shaped as the result
    x, weight, stride, padding, dilation, groups, mode
        As given to `convolve`.
    needs : (bool, bool, bool), default (True, True, True)

    Returns
    -------
    (dx, dweight, dbias) : arrays shaped as x, weight and (K,), dtype of x
    """
    shape, sides = x.shape, padding
    x, padding = _written_out(x, padding, mode)
    if x.ndim == 4:
        plane = _plane(stride, padding, dilation, groups)
        dx, dweight, dbias = conv.conv2d_backward(dy, x, weight, *plane, needs)
    else:
        planes = _Planes(x, weight, stride, padding, dilation, groups)
        dx, dweight, dbias = planes.backward(dy, x, weight, needs)
    if dx is not None and dx.shape != shape:
        dx = _folded(dx, shape, sides, mode)
    return dx, dweight, dbias


@quiet
def finish(
    sums: np.ndarray,
    scale: np.ndarray | None = None,
    shift: np.ndarray | None = None,
    residual: np.ndarray | None = None,
    activation: str | None = None,
    slope: float = 0.01,
) -> np.ndarray:
    """activation(sums * scale[k] + shift[k] + residual) in place, of sums (N, K, ...).

    Examples
    --------
    >>> finish(np.array([[[-1.0, 2.0]]]), np.array([5.0]), activation="relu").tolist()
    [[[0.0, 10.0]]]
    """
    along_k = (slice(None), *[None] * (sums.ndim - 2))
    if scale is not None:
        sums *= scale[along_k]
    if shift is not None:
        sums += shift[along_k]
    if residual is not None:
        sums += residual
    if activation == "relu":
        in_blocks(relu, (sums,), (), sums)
    elif activation == "relu6":
        np.clip(sums, 0, 6, out=sums)
    elif activation == "leaky_relu":
        np.multiply(sums, sums.dtype.type(slope), out=sums, where=sums < 0)
    elif activation == "silu":
        sums *= logistic(sums)
    elif activation == "sigmoid":
        sums[...] = logistic(sums)
    return sums


class _Planes:
    """A convolution along three axes as convolutions along the last two, one for every tap t."""

    def __init__(
        self,
        x: np.ndarray,
        weight: np.ndarray,
        stride: Ints,
        padding: Padding,
        dilation: Ints,
        groups: int,
    ) -> None:
        taps, low_high = weight.shape[2], padding[0]
        out = conv_out(x.shape[2], *low_high, taps, stride[0], dilation[0])
        self.axis = Sliding(x.shape[2], out, taps, stride[0], *low_high, dilation[0])
        self.rest = _plane(stride, padding, dilation, groups)

    def forward(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        image, filters = (s[:2] + s[3:] for s in (x.shape, weight.shape))
        rows, columns = Conv(image, filters, *self.rest).out
        y = np.zeros((x.shape[0], weight.shape[0], self.axis.out, rows, columns), x.dtype)
        if bias is not None:
            y += bias[:, None, None, None]
        for t, tap in self.axis.numbered_taps:
            part = conv.conv2d(_images(x[:, :, tap.inputs]), weight[:, :, t], None, *self.rest)
            y[:, :, tap.windows] += _volumes(part, x.shape[0], tap)
        return y

    def backward(
        self, dy: np.ndarray, x: np.ndarray, weight: np.ndarray, needs: tuple[bool, bool, bool]
    ) -> Gradients:
        dx, dweight = np.zeros(x.shape, x.dtype), np.zeros(weight.shape, x.dtype)
        for t, tap in self.axis.numbered_taps:
            above, met = _images(dy[:, :, tap.windows]), _images(x[:, :, tap.inputs])
            dmet, dtap, _ = conv.conv2d_backward(
                above, met, weight[:, :, t], *self.rest, (needs[0], needs[1], False)
            )
            if dmet is not None:
                dx[:, :, tap.inputs] += _volumes(dmet, x.shape[0], tap)
            if dtap is not None:
                dweight[:, :, t] = dtap
        return (
            dx if needs[0] else None,
            dweight if needs[1] else None,
            dy.sum(axis=(2, 3, 4)).sum(axis=0) if needs[2] else None,
        )


def _images(array: np.ndarray) -> np.ndarray:
    """(N, C, Z, H, W) -> (N Z, C, H, W)."""
    n, c, z, h, w = array.shape
    return array.swapaxes(1, 2).reshape(n * z, c, h, w)


def _volumes(images: np.ndarray, n: int, tap: Tap) -> np.ndarray:
    """(N Z, C, H, W) -> (N, C, Z, H, W)."""
    planes = tap.windows.stop - tap.windows.start
    return images.reshape(n, planes, *images.shape[1:]).swapaxes(1, 2)


def _plane(stride: Ints, padding: Padding, dilation: Ints, groups: int) -> Plane:
    """Arguments for the last two axes."""
    return cast("Plane", (stride[-2:], padding[-2:], dilation[-2:], groups))


def _written_out(x: np.ndarray, padding: Padding, mode: str) -> tuple[np.ndarray, Padding]:
    """x with what lies beyond its edges, unless that is zeros; and the padding that is left."""
    if mode == "zeros":
        return x, padding
    widths = ((0, 0), (0, 0), *padding)
    written: np.ndarray = np.pad(x, widths, mode=MODES[mode])  # type: ignore[call-overload]
    return written, ((0, 0),) * len(padding)


def _folded(padded: np.ndarray, shape: Ints, padding: Padding, mode: str) -> np.ndarray:
    """Every element of the gradient of what `_written_out` gave, added to that of its source."""
    for axis, (before, after) in enumerate(padding, start=2):
        extent, lines = shape[axis], np.moveaxis(padded, axis, 0)
        source = np.pad(np.arange(extent), (before, after), mode=MODES[mode])  # type: ignore
        folded = lines[before : before + extent].copy()
        for i in (*range(before), *range(before + extent, before + extent + after)):
            folded[source[i]] += lines[i]
        padded = np.moveaxis(folded, 0, axis)
    return padded
