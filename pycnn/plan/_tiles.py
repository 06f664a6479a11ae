"""Which tile a product on tensor cores is computed by: how well each fills a GPU."""

from collections.abc import Sequence
from math import prod

from pycnn.shapes import ceil_div

Tile = tuple[int, int]

#: Multiprocessors of the GPU that plans are made for, an H200.
PROCESSORS = 132


def effort(tile: Tile) -> float:
    """What a block takes for its tile, in outputs of a very large one.

    Every output costs a multiplication, and every row and column of the tile a load from shared
    memory, as much as 24 multiplications: predicted from the instructions of the main loops, not
    yet measured on a GPU.

    Examples
    --------
    >>> effort((128, 128)) < 2 * effort((128, 64)) < 4 * effort((64, 64))
    True
    """
    return prod(tile) + 24 * sum(tile)


def best_tile(tiles: Sequence[Tile], extents: tuple[int, int], batch: int = 1) -> Tile:
    """The tile with which the busiest multiprocessor has the least to do.

    Parameters
    ----------
    tiles : sequence of (int, int)
    extents : (int, int)
        Of the product.
    batch : int, default 1
        How many products there are.

    Examples
    --------
    >>> menu = (64, 64), (64, 128), (128, 64), (128, 128)
    >>> best_tile(menu, (4096, 4096)), best_tile(menu, (64, 4096 * 64)), best_tile(menu, (49, 512))
    ((128, 128), (64, 128), (64, 64))
    """

    def time(tile: Tile) -> float:
        blocks = batch * prod(map(ceil_div, extents, tile))
        return ceil_div(blocks, PROCESSORS) * effort(tile)

    return min(tiles, key=time)
