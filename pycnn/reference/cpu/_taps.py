"""Convolution tap by tap, on those parts of the images alone that a tap meets.

Slower than columns where taps are neighbours, but nothing is padded: for padding, dilations and
strides that are far larger than the images.
"""

from collections.abc import Iterator

import numpy as np

from pycnn.reference.cpu._geometry import Conv

Index = tuple[slice, slice]


def forward(
    conv: Conv, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, y: np.ndarray
) -> None:
    """Write the convolution to y."""
    y[...] = 0 if bias is None else bias[:, None, None]
    images, filters, sums = _groups(conv, x), _filters(conv, weight), _groups(conv, y)
    for r, s, windows, inputs in _taps(conv):
        part = np.einsum("gkc,ngchw->ngkhw", filters[..., r, s], images[(..., *inputs)])
        sums[(..., *windows)] += part


def weight_gradient(conv: Conv, dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gradient with respect to the weight; 0 of a tap that meets nothing."""
    dweight = np.zeros(conv.weight_shape, x.dtype)
    images, above, filters = _groups(conv, x), _groups(conv, dy), _filters(conv, dweight)
    for r, s, windows, inputs in _taps(conv):
        filters[..., r, s] = np.einsum(
            "ngkhw,ngchw->gkc", above[(..., *windows)], images[(..., *inputs)]
        )
    return dweight


def input_gradient(conv: Conv, dy: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Gradient with respect to x; 0 where no tap meets it."""
    dx = np.zeros(conv.x_shape, dy.dtype)
    images, above, filters = _groups(conv, dx), _groups(conv, dy), _filters(conv, weight)
    for r, s, windows, inputs in _taps(conv):
        part = np.einsum("gkc,ngkhw->ngchw", filters[..., r, s], above[(..., *windows)])
        images[(..., *inputs)] += part
    return dx


def _taps(conv: Conv) -> Iterator[tuple[int, int, Index, Index]]:
    """The taps that meet anything: (r, s), the windows that have them there, and what they meet."""
    rows, columns = conv.axes
    for r, row in rows.numbered_taps:
        for s, column in columns.numbered_taps:
            yield r, s, (row.windows, column.windows), (row.inputs, column.inputs)


def _groups(conv: Conv, array: np.ndarray) -> np.ndarray:
    """(N, C, H, W) -> (N, G, C/G, H, W); an axis cut in two is a view."""
    n, c, *rest = array.shape
    return array.reshape(n, conv.groups, c // conv.groups, *rest)


def _filters(conv: Conv, weight: np.ndarray) -> np.ndarray:
    """(K, C/G, R, S) -> (G, K/G, C/G, R, S)."""
    k, *rest = weight.shape
    return weight.reshape(conv.groups, k // conv.groups, *rest)
