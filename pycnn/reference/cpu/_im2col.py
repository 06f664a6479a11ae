"""Convolution through matrix products: the columns of a block of pixels, times the filters.

The columns are the matrix (G, C/G * R * S, pixels) of all that the output pixels see. Only those
of one block exist at a time; those of a 1x1 filter are the image itself, without a copy.

Source: Chellapilla, Puri, Simard, *High Performance Convolutional Neural Networks for Document
Processing* (2006), section 3.
"""

from collections.abc import Iterator

import numpy as np

from pycnn.reference.cpu._common import pixel_blocks, scratch
from pycnn.reference.cpu._geometry import Conv

#: Columns a matrix product wants before it runs at full speed.
ENOUGH_COLUMNS = 384


def forward(
    conv: Conv, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, y: np.ndarray
) -> None:
    """Write the convolution to y, which is contiguous."""
    filters = conv.filters(weight)
    for images, row_slices in _blocks(conv):
        source = conv.split(x[images])
        for rows in row_slices:
            columns, target = _columns(conv, source, rows), y[images, :, rows]
            m, k, b, q = target.shape
            if m == 1:  # one image's channels are the rows of a matrix: the product goes there
                np.matmul(filters, columns, out=target.reshape(*filters.shape[:2], b * q))
            else:
                shape = (*filters.shape[:2], m * b * q)
                products = np.matmul(filters, columns, out=scratch("products", shape, y.dtype))
                target[...] = products.reshape(k, m, b, q).swapaxes(0, 1)
            if bias is not None:
                target += bias[:, None, None]


def weight_gradient(conv: Conv, dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gradient with respect to the weight: dy times the columns, transposed."""
    k, c, r, s = conv.weight_shape
    dweight = np.zeros((conv.groups, k // conv.groups, c * r * s), x.dtype)
    for images, row_slices in _blocks(conv):
        source = conv.split(x[images])
        for rows in row_slices:
            columns = _columns(conv, source, rows)
            dweight += _matrix(conv, dy[images, :, rows]) @ columns.swapaxes(1, 2)
    return dweight.reshape(conv.weight_shape)


def input_gradient(conv: Conv, dy: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Gradient with respect to x: that of the columns, added back tap by tap (col2im)."""
    filters = conv.filters(weight).swapaxes(1, 2)
    dx = np.empty(conv.x_shape, dy.dtype)
    for images, row_slices in _blocks(conv):
        m, c = dx[images].shape[:2]
        target = conv.zero_phases(m, c, dy.dtype)
        for rows in row_slices:
            above = _matrix(conv, dy[images, :, rows])
            shape = (*filters.shape[:2], above.shape[2])
            dcolumns = np.matmul(filters, above, out=scratch("columns", shape, dy.dtype))
            dtaps = dcolumns.reshape(c, *conv.weight_shape[2:], m, -1, conv.out[1])
            for r, s, met in conv.taps(rows):
                target[met] += dtaps[:, r, s].swapaxes(0, 1)
        conv.join(target, dx[images])
    return dx


def _blocks(conv: Conv) -> Iterator[tuple[slice, list[slice]]]:
    (n, c), (r, s) = conv.x_shape[:2], conv.weight_shape[2:]
    return pixel_blocks(n, *conv.out, c * r * s, ENOUGH_COLUMNS)


def _matrix(conv: Conv, dy: np.ndarray) -> np.ndarray:
    """(images, K, rows, Q) -> (G, K/G, pixels); a view of a single image."""
    m, k, b, q = dy.shape
    return dy.swapaxes(0, 1).reshape(conv.groups, k // conv.groups, m * b * q)


def _columns(conv: Conv, phases: np.ndarray, rows: slice) -> np.ndarray:
    """Phases of m images -> (G, C/G * R * S, pixels of the rows of m images)."""
    m, c = phases.shape[2:4]
    _, depth, kernel_r, kernel_s = conv.weight_shape
    b, q = rows.stop - rows.start, conv.out[1]
    shape = conv.groups, depth * kernel_r * kernel_s, m * b * q
    if m == 1 and conv.is_pointwise:
        return phases[0, 0, :, :, rows].reshape(shape)
    columns = scratch("columns", (c, kernel_r, kernel_s, m, b, q), phases.dtype)
    for r, s, met in conv.taps(rows):
        columns[:, r, s] = phases[met].swapaxes(0, 1)
    return columns.reshape(shape)
