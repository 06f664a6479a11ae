"""What kernels/include/pycnn/gemm_wgmma.cuh is launched with: tiles, shared memory, blocks."""

from math import prod

from pycnn.runtime.plan import Dim3
from pycnn.runtime.target import target
from pycnn.shapes import ceil_div

#: The architecture whose instructions these are.
ARCH = "sm_90a"

#: Rows and columns of a tile.
Tile = tuple[int, int]

#: Tiles, elements of k in a stage, threads of a block.
TILES, BLK_K, THREADS = ((128, 64), (128, 128), (128, 256)), 64, 384

#: Stages of the ring, by columns of the tile: as many as shared memory holds.
_STAGES = {64: 8, 128: 6, 256: 4}

#: Bytes through which the sums of a warp pass, and warps that have some.
_SUMS, _WARPS = 16 * 64 * 4, 8

#: Products of 16-bit elements that an SM adds in a cycle, bytes that it gets from L2, and cycles
#: that a tile takes besides. The first is the data sheet's, the others are rules of thumb, not yet
#: measured on a GPU.
_PRODUCTS, _FROM_L2, _BESIDES = 2048, 40, 1500

#: Cycles until the launch that follows adds up the first sum. Likewise.
_LAUNCH = 4000

#: Strides, in elements of 16 bits, that tensor maps can have.
STEP, MAX_STRIDE = 8, 2**39

#: Coordinates of a tensor map are ints, and the last box reaches a little further.
MAX_EXTENT = 2**31 - 2**16


def obstacle() -> str | None:
    """Why nothing runs by these instructions here; None if it does."""
    here = target().arch
    return None if here == ARCH else f"architecture {here or 'not known'}; allowed: {ARCH}"


def shared_bytes(tile: Tile) -> int:
    """Size of the kernel's struct Shared."""
    stages = _STAGES[tile[1]]
    return stages * sum(tile) * BLK_K * 2 + _WARPS * _SUMS + 2 * stages * 8


def tiles_of(m: int, n: int, tile: Tile) -> int:
    """Tiles of an m x n matrix."""
    return ceil_div(m, tile[0]) * ceil_div(n, tile[1])


def best_tile(
    m: int, n: int, k: int, batches: int = 1, most_parts: int = 1, *, always: bool = False
) -> tuple[Tile, int]:
    """The tile with which the last block ends first, by arithmetic, and how often sums are cut.

    Parameters
    ----------
    m, n, k, batches : int
    most_parts : int
        Into how many parts the sums may be cut, each of a block; another launch adds them up.
    always : bool
        Whether there is that launch for one part, too.

    Examples
    --------
    >>> best_tile(8192, 8192, 8192), best_tile(1568, 512, 4608), best_tile(100000, 64, 576)
    (((128, 256), 1), ((128, 64), 1), ((128, 64), 1))
    >>> best_tile(49, 512, 4608, most_parts=64)
    ((128, 64), 15)
    """
    steps = ceil_div(k, BLK_K)

    def cycles(way: tuple[Tile, int]) -> float:
        tile, parts = way
        rounds = ceil_div(tiles_of(m, n, tile) * batches * parts, target().processors)
        products = prod(tile) * BLK_K / _PRODUCTS
        loads = sum(tile) * BLK_K * 2 / _FROM_L2
        in_parts = parts > 1 or always
        stores = prod(tile) * (4 if in_parts else 2) / _FROM_L2
        sums = parts * m * n * batches * 4 / _FROM_L2 / target().processors
        adding = sums + _LAUNCH if in_parts else 0
        return rounds * (ceil_div(steps, parts) * max(products, loads) + stores + _BESIDES) + adding

    ways = (
        (tile, ceil_div(steps, ceil_div(steps, parts)))
        for tile in TILES
        for parts in range(1, max(1, min(most_parts, steps, target().processors)) + 1)
    )
    return min(ways, key=cycles)


def grid(tiles: int) -> Dim3:
    """A block for every SM, or tile if these are fewer."""
    return min(tiles, target().processors), 1, 1
