"""Winograd convolution F(4x4, 3x3): 36 multiplications for 16 outputs instead of 144.

A 6x6 tile d of the input and a 3x3 filter g give the 4x4 output tile A' [(G g G') * (B' d B)] A,
where * is elementwise; summed over channels it is a matrix product for each of the 36 places. The
transforms are matrix products too, with the Kronecker squares of G, B' and A'.

Digits are lost in the transforms. The customary interpolation points 0, +-1, +-2 lose five times
as much as 0, +-sqrt(1/2), +-sqrt(2), which are used here: with normally distributed float32 data
the largest error is 11 roundings of the largest output at C = 64 and 21 at C = 256 (4 by im2col).
A NaN or an infinity spreads over its tile, so the caller must check that the result is finite.

Sources: Lavin, Gray, *Fast Algorithms for Convolutional Neural Networks*, arXiv 1509.09308,
section 4; for the points Alam, Anderson, Barabasz, Gregg, *Winograd Convolution for Deep Neural
Networks: Efficient Point Selection*, arXiv 2201.10369.
"""

from functools import cache
from itertools import product

import numpy as np

from pycnn.reference.cpu._common import pixel_blocks, scratch
from pycnn.reference.cpu._geometry import Conv

TILE, OUT, TAPS = 6, 4, 3
PLACES = TILE * TILE
POINTS = (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))
#: Tiles that make one block: fewer starve the matrix products, more leave the cache.
ENOUGH_TILES = 160


def applies(conv: Conv) -> bool:
    """Whether the convolution is of the one kind computed here."""
    unit = conv.stride == conv.dilation == (1, 1) and conv.groups == 1
    return unit and conv.weight_shape[2:] == (TAPS, TAPS)


def pays(conv: Conv, direct: bool = False) -> bool:
    """Whether it is estimated to be faster than im2col, or than compiled loops.

    Both times are in copied elements. A transformed element counts twice, one of the filters
    1.5 times; in the time of a copy a large matrix product makes 45 multiply-adds and 36 small
    ones make 22; the last term is that of the calls. So fitted to the times of 50 shapes with one
    thread and 16 with two, the choice costs 2 % on average over always choosing the faster.

    Compiled loops make 28, and copy nothing. Beside them an element of the input counts three
    times, and more where rows are short; so fitted to 19 shapes (processor time of one thread, in
    turns), the choice costs 0.4 % on average, and 2 % for 12 other shapes.
    """
    (n, c, _, _), k, (p, q) = conv.x_shape, conv.weight_shape[0], conv.out
    seen = TAPS * TAPS * n * p * q
    tiles = PLACES * n * -(-p // OUT) * -(-q // OUT)
    other: float = seen * c * (1 + k / 45)
    copied: float = 2 * (c + k)
    if direct:
        other, copied = seen * c * k / 28, (3 * c + 2 * k) * (1 + 1 / -(-q // OUT))
    winograd = 1.5 * PLACES * k * c + tiles * (copied + c * k / 22) + 3e5
    return winograd < other


def forward(
    conv: Conv, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, y: np.ndarray
) -> None:
    """Write the convolution to y, which is contiguous."""
    (n, c, h, w), k = conv.x_shape, conv.weight_shape[0]
    (top, _), (left, _) = conv.padding
    p, q = conv.out
    tile_rows, tile_columns = -(-p // OUT), -(-q // OUT)
    of_filter, of_input, of_output = _transforms(x.dtype.name)
    weights = weight.reshape(k * c, TAPS * TAPS).T
    filters = _product("filters", of_filter, weights).reshape(PLACES, k, c)
    per_tile = PLACES * max(c, k)
    for images, row_slices in pixel_blocks(n, tile_rows, tile_columns, per_tile, ENOUGH_TILES):
        m = len(x[images])
        height, width = OUT * tile_rows + TILE - OUT, OUT * tile_columns + TILE - OUT
        source = scratch("padded", (c, m, height, width), x.dtype)
        source.fill(0)
        # Right of and below the output nothing is read that a kept pixel needs.
        inside = x[images, :, : height - top, : width - left].swapaxes(0, 1)
        source[:, :, top : top + h, left : left + w] = inside
        for rows in row_slices:
            count = m * (rows.stop - rows.start) * tile_columns
            tiles = _tiles(source, rows, tile_columns)
            spectra = _product("other", of_input, tiles).reshape(PLACES, c, count)
            products = _product("tiles", filters, spectra).reshape(PLACES, k * count)
            outputs = _product("other", of_output, products)
            outputs = outputs.reshape(OUT, OUT, k, m, -1, tile_columns)
            target = y[images, :, OUT * rows.start : OUT * rows.stop].swapaxes(0, 1)
            for i, j in product(range(OUT), repeat=2):
                place = target[:, :, i::OUT, j::OUT]
                place[...] = outputs[i, j, :, :, : place.shape[2], : place.shape[3]]
            if bias is not None:
                target += bias[:, None, None, None]


def _product(name: str, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left @ right in the scratch array of that name."""
    shape = (*left.shape[:-1], right.shape[-1])
    return np.matmul(left, right, out=scratch(name, shape, left.dtype))


def _tiles(source: np.ndarray, rows: slice, tile_columns: int) -> np.ndarray:
    """(C, images, padded H, padded W) -> (36, C * images * tile rows * tile columns)."""
    c, m = source.shape[:2]
    tile_rows = rows.stop - rows.start
    tiles = scratch("tiles", (TILE, TILE, c, m, tile_rows, tile_columns), source.dtype)
    for i, j in product(range(TILE), repeat=2):
        top = OUT * rows.start + i
        met_rows = slice(top, top + OUT * (tile_rows - 1) + 1, OUT)
        tiles[i, j] = source[:, :, met_rows, j : j + OUT * (tile_columns - 1) + 1 : OUT]
    return tiles.reshape(PLACES, -1)


@cache
def _transforms(dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kronecker squares of G (6x3), B' (6x6) and A' (4x6) for POINTS and infinity."""
    points = np.array(POINTS)
    others = [np.delete(points, i) for i in range(len(points))]
    scale = np.array([np.prod(a - rest) for a, rest in zip(points, others, strict=True)])
    g, b, a = np.zeros((TILE, TAPS)), np.zeros((TILE, TILE)), np.zeros((OUT, TILE))
    g[:-1] = np.vander(points, TAPS, increasing=True) / scale[:, None]
    b[:-1, :-1] = [np.poly(rest)[::-1] for rest in others]
    b[-1] = np.poly(points)[::-1]
    a[:, :-1] = np.vander(points, OUT, increasing=True).T
    g[-1, -1] = a[-1, -1] = 1
    of_filter, of_input, of_output = (np.kron(m, m).astype(dtype) for m in (g, b, a))
    return of_filter, of_input, of_output
