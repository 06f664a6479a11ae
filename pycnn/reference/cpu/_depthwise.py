"""Depthwise convolution: each tap multiplies a shifted image, many channels at once.

With one input channel for each group a matrix product has little to sum over. Here an image lies
padded in one row for each channel, so that a tap is a shift of whole rows and every pass is long;
what wraps around from one image row to the next falls into columns that are cut off. With a
stride the image is first split into its phases, in which the tap is a shift again.
"""

from itertools import product

import numpy as np

from pycnn.reference.cpu._common import plane_blocks
from pycnn.reference.cpu._geometry import Conv


def applies(conv: Conv) -> bool:
    """Whether every channel is a group with one filter; with several, im2col is faster."""
    c = conv.x_shape[1]
    return conv.groups == conv.weight_shape[0] == c > 1


def forward(
    conv: Conv, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, y: np.ndarray
) -> None:
    """Write the convolution to y."""
    (n, c, p, q), (_, _, r, s) = conv.y_shape, conv.weight_shape
    (row_step, column_step), (row_distance, column_distance) = conv.stride, conv.dilation
    for images, channels in plane_blocks(n, c, p * q):
        phases, width = _phases(conv, x[images, channels])
        total = np.zeros((*phases.shape[2:4], p * width), y.dtype)
        term = np.empty_like(total)
        for i, j in product(range(r), range(s)):
            row, column = i * row_distance, j * column_distance
            start = row // row_step * width + column // column_step
            phase = phases[row % row_step, column % column_step]
            tap = weight[channels, 0, i, j, None]
            np.multiply(phase[..., start : start + p * width], tap, out=term)
            total += term
        y[images, channels] = total.reshape(*total.shape[:2], p, width)[..., :q]
        if bias is not None:
            y[images, channels] += bias[channels, None, None]


def _phases(conv: Conv, x: np.ndarray) -> tuple[np.ndarray, int]:
    """(phases (stride, stride, images, C, flat image), width of a row in them).

    Phase (i, j) holds every stride-th row and column of the padded image from (i, j) on.
    """
    m, c, h, w = x.shape
    rows, columns = conv.stride
    (top, bottom), (left, right) = conv.padding
    height, width = -(-(top + h + bottom) // rows), -(-(left + w + right) // columns)
    # The last tap of the last row begins beyond the image by less than a row: one row more.
    phases = np.zeros((rows, columns, m, c, height + 1, width), x.dtype)
    for i, j in product(range(rows), range(columns)):
        part = x[:, :, (i - top) % rows :: rows, (j - left) % columns :: columns]
        first, start = -((i - top) // rows), -((j - left) // columns)
        place = phases[i, j, :, :, first : first + part.shape[2], start : start + part.shape[3]]
        place[...] = part
    return phases.reshape(rows, columns, m, c, -1), width
