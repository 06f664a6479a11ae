"""Which box of results a block of pooling works on, so that little is read twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod

from pycnn.plan._strided import Ints
from pycnn.plan.pool_axis import Axis
from pycnn.shapes import ceil_div

#: Shared memory that every architecture gives a block without being asked.
SHARED_BYTES = 48 * 1024

#: Bytes that global memory moves at a time.
SECTOR = 32

#: Elements of a box, of results or of sources, are counted in 16 bits.
MOST_ELEMENTS = 2**16 - 1

#: Results that a block should have: a few for every thread.
BUSY = 1024

#: What more traffic than the least is worth for smaller tiles, of which there are more.
SLACK = 1.02


@dataclass(frozen=True)
class Work:
    """What there is to divide into tiles.

    Attributes
    ----------
    planes, inner : int
        Outer planes and inner channels, one of them 1 or more.
    axes : tuple of Axis
        Three of them.
    backward : bool
        Whether results are elements of dx and sources those of dy.
    itemsize : int
        Of an element of dx or y.
    result_bytes : int
        Moved for each result.
    source_bytes : int
        Moved for each source.
    kept_bytes : int
        Of shared memory for each source.
    """

    planes: int
    inner: int
    axes: tuple[Axis, Axis, Axis]
    backward: bool
    itemsize: int
    result_bytes: int
    source_bytes: int
    kept_bytes: int

    def results(self) -> Ints:
        """Along each axis."""
        return tuple(axis.results(self.backward) for axis in self.axes)


@dataclass(frozen=True)
class Tile:
    """A box of results.

    Attributes
    ----------
    planes, inner : int
    extent : tuple of int
        Along each axis.
    sources : tuple of int
        Along each axis, at most.
    shared : int
        Bytes of shared memory.
    traffic : int
        Bytes moved by all tiles.
    """

    planes: int
    inner: int
    extent: Ints
    sources: Ints
    shared: int
    traffic: int

    @property
    def results(self) -> int:
        """Elements of the box."""
        return self.planes * self.inner * prod(self.extent)

    def blocks(self, work: Work) -> int:
        """Tiles that cover all results."""
        spatial = (ceil_div(n, t) for n, t in zip(work.results(), self.extent, strict=True))
        return ceil_div(work.planes, self.planes) * ceil_div(work.inner, self.inner) * prod(spatial)


def choose_tile(work: Work) -> Tile | None:
    """The tile that moves the least, or None if no result's sources fit into shared memory.

    Of those that move hardly more, the smallest that keeps a block busy; then as many planes as
    that takes, where a plane has little to do.

    Parameters
    ----------
    work : Work

    Examples
    --------
    >>> rows = Axis.sliding(112, 3, 2, (1, 1), 1, False)
    >>> work = Work(64, 1, (Axis(1, 1, 1), rows, rows), False, 4, 4, 4, 4)
    >>> choose_tile(work).extent
    (1, 19, 56)
    """
    spatial = [_halvings(n) for n in work.results()]
    fitting = [
        tile
        for inner in _groups(work)
        for extent in product(*spatial)
        if (tile := _tile(work, 1, inner, extent)) is not None
    ]
    if not fitting:
        return None
    least = min(tile.traffic for tile in fitting)
    good = [tile for tile in fitting if tile.traffic <= SLACK * least]
    busy = min(BUSY, max(tile.results for tile in good))
    best = min((t for t in good if t.results >= busy), key=lambda t: (t.shared, t.traffic))
    return _widen(work, best)


def _widen(work: Work, tile: Tile) -> Tile:
    """With more planes, if the tile has all of one and that is little."""
    if tile.extent != work.results() or tile.inner != work.inner:
        return tile
    planes = min(work.planes, ceil_div(BUSY, tile.results))
    if planes < work.planes:
        planes = ceil_div(planes, SECTOR) * SECTOR  # a tile then begins where a sector does
    while planes > 1:
        wider = _tile(work, planes, tile.inner, tile.extent)
        if wider is not None:
            return wider
        planes = planes // 2
    return tile


def _groups(work: Work) -> list[int]:
    """Numbers of inner channels to try: all, or whole sectors."""
    sector = SECTOR // work.itemsize
    return [work.inner, *(n for n in (4 * sector, 2 * sector, sector) if n < work.inner)]


def _halvings(extent: int) -> list[int]:
    """`extent`, and what is left of it in 2, 3, 4, 6, 8 ... parts, as far as it can fit."""
    powers = [2**n for n in range(extent.bit_length())]
    parts = {extent, *(ceil_div(extent, few * many) for few in (2, 3) for many in powers)}
    return sorted((part for part in parts if part <= MOST_ELEMENTS), reverse=True)


def _tile(work: Work, planes: int, inner: int, extent: Ints) -> Tile | None:
    """The tile of this shape, if it fits."""
    back = work.backward
    along = tuple(zip(work.axes, extent, strict=True))
    sources = tuple(_most_sources(axis, t, back) for axis, t in along)
    box = planes * inner * prod(sources)
    results = planes * inner * prod(extent)
    tables = 8 * sum(extent) + 4 * (sum(sources if back else extent) + 1)
    shared = tables + box * work.kept_bytes
    if max(box, results) > MOST_ELEMENTS or shared > SHARED_BYTES:
        return None
    tiles = Tile(planes, inner, extent, sources, shared, 0).blocks(work)
    others = tuple(axis.results(not back) for axis in work.axes)
    outer = work.planes * work.inner
    read = outer * prod(_all_sources(axis, t, back) for axis, t in along)
    read += tiles * _besides(sources, others, inner, work)
    written = outer * prod(work.results())
    pieces = tiles * _besides(extent, work.results(), inner, work)
    # Stores of a warp run on from piece to piece, and so begin anywhere in a sector.
    written += max(pieces, written // 4) if pieces > tiles * SECTOR // work.itemsize else pieces
    traffic = read * work.source_bytes + written * work.result_bytes
    return Tile(planes, inner, extent, sources, shared, traffic)


_most_sources = lru_cache(maxsize=4096)(Axis.most_sources)
_all_sources = lru_cache(maxsize=4096)(Axis.all_sources)


def _besides(box: Ints, whole: Ints, inner: int, work: Work) -> int:
    """Elements that come along in the first and last sectors of the pieces of a box."""
    sector = SECTOR // work.itemsize
    pieces, length = 1, inner
    joined = inner == work.inner
    aligned = joined or work.inner % sector == 0
    for extent, all_of_it in zip(reversed(box), reversed(whole), strict=True):
        if joined:
            length *= extent
        else:
            pieces *= extent
        joined = joined and extent == all_of_it
    return 0 if aligned and length % sector == 0 else pieces * sector


def joined_axes(tile: Tile, work: Work, channels: int, strides: Sequence[int]) -> int:
    """How many axes, from the last one on, make the sources of a tile neighbours in memory.

    1 if lines are, with their inner channels; 2 if lines follow each other without a gap; 3 if
    sheets of them do; 4 if all sources of a tile do; 0 if not even those of a line are.

    Parameters
    ----------
    tile : Tile
    work : Work
    channels : int
        Outer planes of an image.
    strides : sequence of int
        Of the operand: image, channel, three axes, inner channel.
    """
    n, c, *axes, inner = strides
    boxes = [(inner, tile.inner, tile.inner == work.inner)]
    for a in (2, 1, 0):
        boxes.append((axes[a], tile.sources[a], tile.extent[a] == work.results()[a]))
    if tile.planes == 1 or work.planes <= channels or n == c * channels:
        boxes.append((n if channels == 1 else c, tile.planes, True))
    expected, exact = 1, True
    for joined, (stride, count, single) in enumerate(boxes):
        if count > 1:
            if not exact or stride != expected:
                return max(joined - 1, 0)
            expected *= count
            exact = single  # else the last tile has fewer
    return len(boxes) - 1
