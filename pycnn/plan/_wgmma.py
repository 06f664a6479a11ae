"""What kernels/include/pycnn/gemm_wgmma.cuh is launched with: tiles, shared memory, blocks."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from pycnn.dtypes import numpy_dtype
from pycnn.runtime.plan import Dim3
from pycnn.runtime.target import target
from pycnn.shapes import ceil_div

#: The architecture whose instructions these are.
ARCH = "sm_90a"

#: Rows and columns of a tile.
Tile = tuple[int, int]

#: Tiles.
TILES: tuple[Tile, ...] = ((128, 64), (128, 128), (128, 256))

#: Bytes of k in a stage, the width of the swizzle.
ROW = 128

#: Blocks of a cluster: below each other, and beside each other.
Cluster = tuple[int, int]
CLUSTERS: tuple[Cluster, ...] = ((1, 1), (2, 1))

#: Tiles of which a convolution has the choice, and clusters of each: tiles beside each other ask L2
#: for less in layers of 14x14 and 7x7 pixels (docs/family-conv.md).
OF_CONV: dict[Tile, tuple[Cluster, ...]] = {
    **dict.fromkeys(TILES, CLUSTERS),
    (128, 64): (*CLUSTERS, (1, 4)),
    (192, 128): ((2, 1), (1, 2)),
}

#: And blocks of a cluster that have the same tile, and of each of its sums a part.
ALONG: dict[Tile, tuple[int, ...]] = {(128, 64): (4, 8), (128, 128): (2, 4), (128, 256): (4,)}

#: Multiprocessors that are sure to lie together, as those of a cluster must.
_TOGETHER = 16

#: Columns of a tile are a multiple of these.
_COLUMNS = 64

#: Rows of a tile that a warpgroup multiplies, and threads of one.
WARPGROUP_M, WARPGROUP = 64, 128

#: Of the 3x3 convolution whose stages have three taps: tiles, in clusters of two; taps; and rows of
#: A that a warpgroup has in a stage, 8x10 pixels.
TILES_OF_PATCHES: tuple[Tile, ...] = ((192, 64), (192, 128))
TAPS, _PATCH = 3, 80

#: Rows and columns that a warp copies to C together, and how many of such pieces it has.
PIECE, _PIECES = (16, 64), 2

#: Bytes of shared memory, those of a barrier, and stages at most.
_ROOM, _BARRIER, _MOST_STAGES = 227 * 1024, 8, 8

#: Products of 16-bit elements that an SM adds in a cycle, bytes of its shared memory that are read
#: or written meanwhile, bytes that it gets from L2, where all SMs ask for some and at most, and
#: cycles that a tile takes besides. The first two are the data sheet's, the others are rules of
#: thumb, not yet measured on a GPU.
_PRODUCTS, _SHARED, _FROM_L2, _AT_MOST, _BESIDES = 2048, 128, 40, 64, 1500

#: Bytes that an SM gets in a cycle from the others of its cluster, `NETWORK` of the model
#: (pycnn/predict/model.py), and cycles in which all of them meet: a guess.
_NETWORK, _MEET = 16, 500

#: Share of its loads that a step takes even where something else takes longer: a queue.
_QUEUED = 0.1

#: Cycles of the launch that adds up the sums, and of each part, whose loads wait for L2. These are
#: what pycnn.predict has of layers at batch 1 on an H200 (docs/family-conv.md).
_LAUNCH, _PART = 5000, 370

#: Strides that tensor maps can have: multiples of so many bytes, and below so many elements.
ALIGNED, MAX_STRIDE = 16, 2**38

#: In place of a tensor map that a kernel does without.
NO_MAP = np.void(bytes(128))

#: Coordinates of a tensor map are ints, and the last box reaches a little further.
MAX_EXTENT = 2**31 - 2**16


def depth(dtype: str) -> int:
    """Elements of k in a stage.

    Examples
    --------
    >>> [depth(dtype) for dtype in ("bfloat16", "float32")]
    [64, 32]
    """
    return ROW // numpy_dtype(dtype).itemsize


def step(dtype: str) -> int:
    """Elements of which strides are multiples."""
    return ALIGNED // numpy_dtype(dtype).itemsize


def copied_as(dtype: str) -> str:
    """What tensor maps of operands say: float32 is rounded to the nearest TF32 as it is copied."""
    return "tf32" if dtype == "float32" else dtype


def obstacle() -> str | None:
    """Why nothing runs by these instructions here; None if it does."""
    here = target().arch
    return None if here == ARCH else f"architecture {here or 'not known'}; allowed: {ARCH}"


def shared_bytes(tile: Tile, taps: int = 1) -> int:
    """Size of the kernel's struct Shared: as many stages as there is room for.

    Examples
    --------
    >>> shared_bytes((128, 64)), shared_bytes((192, 64), TAPS)
    (229504, 215088)
    """
    tile_m, tile_n = tile
    pieces = tile_m // PIECE[0] * _PIECES * prod(PIECE) * 2
    stage = (_rows(tile_m, taps) + taps * tile_n) * ROW + 2 * _BARRIER
    return min(_MOST_STAGES, (_ROOM - pieces) // stage) * stage + pieces


def _rows(tile_m: int, taps: int) -> int:
    """Of A in a stage."""
    return tile_m if taps == 1 else tile_m // WARPGROUP_M * _PATCH


def threads(tile: Tile) -> int:
    """Of a block: one warpgroup copies, the others multiply."""
    return (1 + tile[0] // WARPGROUP_M) * WARPGROUP


class Way(NamedTuple):
    """How a product is shared out among blocks.

    Attributes
    ----------
    tile : (int, int)
    parts : int
        Into how many the sums are cut, each of a block; another launch adds them up.
    cluster : int
        Blocks with tiles below each other, each of which copies its share of B to all of them.
    across : int
        The same of tiles beside each other, and of A.
    taps : int
        That one copy of A is multiplied by, and steps of k in a stage.
    along : int
        Blocks of a cluster that have the same tile and a part of its sums each, which they add up.
    """

    tile: Tile
    parts: int = 1
    cluster: int = 1
    across: int = 1
    taps: int = 1
    along: int = 1

    @property
    def defines(self) -> tuple[tuple[str, str], ...]:
        """Those of the kernel."""
        names = ("TILE_M", "TILE_N", "CLUSTER")
        return tuple(zip(names, map(str, (*self.tile, self.cluster)), strict=True))

    def tiles(self, m: int, n: int, batches: int) -> int:
        """Tiles of so many m x n matrices, those that only fill up a cluster among them."""
        height, width = self.tile[0] * self.cluster, self.tile[1] * self.across
        return ceil_div(m, height) * ceil_div(n, width) * self.blocks * batches

    @property
    def blocks(self) -> int:
        """Of a cluster."""
        return self.cluster * self.across * self.along

    def grid(self, tiles: int) -> Dim3:
        """A block for every SM, or tile if these are fewer; whole clusters.

        Where tiles are shared out along k a cluster has one tile.
        """
        return tiles if self.along > 1 else min(tiles, self._at_once), 1, 1

    @property
    def _at_once(self) -> int:
        processors, blocks = target().processors, self.blocks
        whole = processors if blocks <= 2 else processors // _TOGETHER * _TOGETHER
        return max(blocks, whole // blocks * blocks)

    def cycles(self, m: int, n: int, steps: int, batches: int, always: bool, size: int) -> float:
        """Until the last block ends, by arithmetic; `always`: even one part is added up.

        Of `size` bytes an element, and `steps` stages of k.
        """
        tile_m, tile_n = self.tile
        steps = ceil_div(steps, self.parts * self.along)
        in_parts = self.parts > 1 or always
        tiles, sms = self.tiles(m, n, batches * self.parts), target().processors
        rounds = ceil_div(tiles, self._at_once)
        from_l2 = min(_AT_MOST, _FROM_L2 * sms / min(tiles, self._at_once))
        taps, rows = self.taps, _rows(tile_m, self.taps)
        products = taps * prod(self.tile) * (ROW // 2) / _PRODUCTS  # of any type
        # Every warpgroup reads its rows and all columns, and the copies write both.
        used = rows + taps * (tile_m + (tile_m // WARPGROUP_M + 1) * tile_n)
        shared = used * ROW / _SHARED
        loads = (rows / self.across + taps * tile_n / self.cluster) * ROW / from_l2
        stores = prod(self.tile) * (4 if in_parts else size) / from_l2 / self.along
        sent = prod(self.tile) * 4 * (1 - 1 / self.along) / _NETWORK
        meeting = sent + 2 * _MEET if self.along > 1 else 0
        sums = self.parts * (m * n * batches * 4 / _FROM_L2 / sms + _PART)
        adding = sums + _LAUNCH if in_parts else 0
        step = max(products, shared, loads) + _QUEUED * loads
        return rounds * (steps / taps * step + stores + meeting + _BESIDES) + adding


def best_way(
    m: int,
    n: int,
    k: int,
    batches: int = 1,
    most_parts: int = 1,
    *,
    always: bool = False,
    tiles: Sequence[Tile] | None = None,
    clusters: Mapping[Tile, Sequence[Cluster]] | None = None,
    along: Mapping[Tile, Sequence[int]] | None = None,
    patches: bool = False,
    dtype: str = "float16",
) -> Way:
    """The way in which the last block ends first, by arithmetic.

    Parameters
    ----------
    m, n, k, batches : int
    most_parts : int
        Into how many the sums may be cut.
    always : bool
        Whether even one part is added up by another launch.
    tiles : sequence of (int, int), optional
        Those to choose among; `TILES` by default.
    clusters : mapping of (int, int) to sequence of (int, int), optional
        In place of `tiles`: the same with their clusters, if they are not `CLUSTERS`.
    along : mapping of (int, int) to sequence of int, optional
        Of tiles, blocks of a cluster that may share out their sums; none by default.
    patches : bool
        Whether three steps may have one copy of A.
    dtype : str, default "float16"
        Of the operands.

    Examples
    --------
    >>> best_way(8192, 8192, 8192).tile, best_way(49, 512, 4608, most_parts=64)
    ((128, 256), Way(tile=(128, 64), parts=9, cluster=1, across=1, taps=1, along=1))
    """
    steps, size = ceil_div(k, depth(dtype)), numpy_dtype(dtype).itemsize
    most = max(1, min(most_parts, steps, target().processors))
    parts = dict.fromkeys(ceil_div(steps, ceil_div(steps, p)) for p in range(1, most + 1))
    # None that is mostly beyond the columns, if there is another.
    every = clusters or dict.fromkeys(tiles or TILES, CLUSTERS)
    narrow = [t for t in every if t[1] <= ceil_div(n, _COLUMNS) * _COLUMNS]
    ways = [
        Way(t, p, *c)
        for t in narrow or every
        for p in parts
        for c in every[t]
        if m > (c[0] - 1) * t[0] and n > (c[1] - 1) * t[1] and prod(c) <= target().processors
    ]
    for tile, numbers in (along or {}).items():
        whole = (n for n in numbers if ceil_div(steps, ceil_div(steps, n)) == n)
        ways += [Way(tile, along=n) for n in whole if tile in (narrow or every)]
    if patches and m > max(TILES_OF_PATCHES)[0] and target().processors > 1:
        ways += [Way(t, cluster=2, taps=TAPS) for t in TILES_OF_PATCHES]
    return min(ways, key=lambda way: way.cycles(m, n, steps, batches, always, size))
