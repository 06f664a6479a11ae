"""Convolution of many small images through matrix products, the batch innermost.

As `_im2col`, but the images of a block lie side by side at every pixel. A row of a small image is
copied in about the time of a call, and such a row with all images in two to three times that, so
that the columns of a LeNet are made in a third of the time. Input and output are transposed, which
takes more than is gained where filters are many and small.
"""

from collections.abc import Iterator

import numpy as np

from pycnn.reference.cpu._common import scratch
from pycnn.reference.cpu._geometry import Conv
from pycnn.reference.cpu._threads import each

#: Elements of the columns of a block: an inner cache holds them.
BLOCK_ELEMENTS = 2**18

#: Images that make it worth while.
ENOUGH_IMAGES = 4


def pays(conv: Conv) -> bool:
    """Whether it is faster than `_im2col`, as measured on the layers of small networks."""
    k, c, r, s = conv.weight_shape
    many = min(conv.x_shape[0], _images(conv)) >= ENOUGH_IMAGES
    return many and not conv.is_pointwise and k <= c * conv.groups * r * s


def forward(
    conv: Conv, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, y: np.ndarray
) -> None:
    """Write the convolution to y."""
    filters = conv.filters(weight)

    def block(images: slice) -> None:
        columns = _columns(conv, _phases(conv, x[images]))
        shape = (*filters.shape[:2], columns.shape[2])
        products = np.matmul(filters, columns, out=scratch("products", shape, y.dtype))
        products = products.reshape(conv.weight_shape[0], -1)
        if bias is not None:
            products += bias[:, None]
        y[images] = products.reshape(len(products), *conv.out, -1).transpose(3, 0, 1, 2)

    each(block, _blocks(conv))


def weight_gradient(conv: Conv, dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gradient with respect to the weight: dy times the columns, transposed."""
    k, c, r, s = conv.weight_shape

    def block(images: slice) -> np.ndarray:
        columns = _columns(conv, _phases(conv, x[images]))
        return _matrix(conv, dy[images]) @ columns.swapaxes(1, 2)

    dweight = np.zeros((conv.groups, k // conv.groups, c * r * s), x.dtype)
    for part in each(block, _blocks(conv)):
        dweight += part
    return dweight.reshape(conv.weight_shape)


def input_gradient(conv: Conv, dy: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Gradient with respect to x: that of the columns, added back tap by tap."""
    filters = conv.filters(weight).swapaxes(1, 2)
    dx = np.empty(conv.x_shape, dy.dtype)

    def block(images: slice) -> None:
        part = dx[images]
        above = _matrix(conv, dy[images])
        shape = (*filters.shape[:2], above.shape[2])
        dcolumns = np.matmul(filters, above, out=scratch("columns", shape, dy.dtype))
        dtaps = dcolumns.reshape(part.shape[1], *conv.weight_shape[2:], *conv.out, len(part))
        phases = _zero_phases(conv, len(part), dy.dtype)
        for r, s, met in conv.taps(slice(0, conv.out[0])):
            phases[met] += dtaps[:, r, s].transpose(3, 0, 1, 2)
        conv.join(phases, part)

    each(block, _blocks(conv))
    return dx


def _images(conv: Conv) -> int:
    """Images of a block."""
    _, c, r, s = conv.weight_shape
    pixels = conv.out[0] * conv.out[1]
    return max(1, BLOCK_ELEMENTS // max(1, conv.groups * c * r * s * pixels))


def _blocks(conv: Conv) -> Iterator[slice]:
    n, m = conv.x_shape[0], _images(conv)
    for start in range(0, n, m):
        yield slice(start, min(start + m, n))


def _zero_phases(conv: Conv, m: int, dtype: np.dtype) -> np.ndarray:
    """As `Conv.zero_phases`, the images innermost in memory."""
    rows, columns = conv.phase_extents
    shape = (*conv.stride, conv.x_shape[1], rows, columns, m)
    phases = scratch("phases", shape, dtype)
    phases.fill(0)
    return phases.transpose(0, 1, 5, 2, 3, 4)


def _phases(conv: Conv, x: np.ndarray) -> np.ndarray:
    phases = _zero_phases(conv, len(x), x.dtype)
    conv.fill(phases, x)
    return phases


def _columns(conv: Conv, phases: np.ndarray) -> np.ndarray:
    """Phases of m images -> (G, C/G * R * S, pixels of m images, the images innermost)."""
    m, c = phases.shape[2:4]
    _, depth, kernel_r, kernel_s = conv.weight_shape
    p, q = conv.out
    columns = scratch("columns", (c, kernel_r, kernel_s, p, q, m), phases.dtype)
    for r, s, met in conv.taps(slice(0, p)):
        columns[:, r, s] = phases[met].transpose(1, 2, 3, 0)
    return columns.reshape(conv.groups, depth * kernel_r * kernel_s, p * q * m)


def _matrix(conv: Conv, dy: np.ndarray) -> np.ndarray:
    """(images, K, P, Q) -> (G, K/G, pixels, the images innermost)."""
    m, k, p, q = dy.shape
    matrix = scratch("products", (k, p, q, m), dy.dtype)
    matrix[...] = dy.transpose(1, 2, 3, 0)
    return matrix.reshape(conv.groups, k // conv.groups, p * q * m)
