"""Tiles of Winograd convolution: where their factors lie, and which a block transforms."""

from dataclasses import dataclass
from math import gcd

from pycnn.plan.conv_problem import Pair
from pycnn.runtime.plan import Buffer
from pycnn.shapes import ceil_div

#: Threads of a block, and taps a side of a filter.
BLOCK, TAPS = 256, 3

#: Shared memory that every GPU grants a block, and what leaves room for several blocks.
SHARED_LIMIT, SHARED_GOAL = 48 * 1024, 24 * 1024

#: Channels that a block loads together where they are neighbours: whole sectors of 16-bit types.
NEIGHBOURS = 16
SECTOR = 32


@dataclass(frozen=True)
class Grid:
    """The tiles of y: `side` outputs a side, rows and columns of an image."""

    side: int
    rows: int
    cols: int

    @classmethod
    def of(cls, side: int, extents: Pair) -> "Grid":
        return cls(side, ceil_div(extents[0], side), ceil_div(extents[1], side))

    @property
    def tiles(self) -> int:
        """Of an image."""
        return self.rows * self.cols

    @property
    def places(self) -> int:
        """Factors of a tile, each of which is an element of another matrix product."""
        return (self.side + TAPS - 1) ** 2


@dataclass(frozen=True)
class Factors:
    """An array (parts, places, channels, tiles), in the precision of sums.

    With `channels_first` the channels of a tile are neighbours; else the tiles of a channel are,
    and every channel begins on a sector.
    """

    name: str
    grid: Grid
    channels: int
    images: int  # a part
    channels_first: bool = False
    parts: int = 1

    @property
    def tiles(self) -> int:
        """Of a part."""
        return self.grid.tiles * self.images

    @property
    def channel(self) -> int:
        """Stride from channel to channel."""
        return 1 if self.channels_first else ceil_div(self.tiles, 8) * 8

    @property
    def tile(self) -> int:
        """Stride from tile to tile."""
        return self.channels if self.channels_first else 1

    @property
    def place(self) -> int:
        """Stride from place to place."""
        return self.channels * (self.tiles if self.channels_first else self.channel)

    @property
    def part(self) -> int:
        """Stride from part to part."""
        return self.grid.places * self.place

    @property
    def elements(self) -> int:
        return self.parts * self.part

    @property
    def buffer(self) -> Buffer:
        return Buffer(self.name)


def block_of(
    to: Factors, neighbours: bool, reach: int, itemsize: int, size: int
) -> tuple[int, int, int]:
    """Channels, rows and columns of tiles of a block: about a tile a thread, little rim.

    Where channels are neighbours on both sides, a square of about 18 elements a side; else rows of
    tiles as long as may be, in numbers that end on a sector.
    """
    grid, channels = to.grid, to.channels
    if neighbours and to.channels_first:
        side = max(1, 16 // grid.side)
        return min(channels, NEIGHBOURS), _even(grid.rows, side), _even(grid.cols, side)
    cols = _even(grid.cols, 64)
    step = 8 // gcd(8, cols)
    rows = min(grid.rows, ceil_div(_even(grid.rows, max(1, BLOCK // cols)), step) * step)
    least = max(1, SECTOR // itemsize) if neighbours else 1
    most = min(channels, max(least, BLOCK // (rows * cols)))

    def fits() -> bool:
        return staged((most, rows, cols), grid.side, reach) * size <= SHARED_GOAL

    while most > least and not fits():
        most -= 1
    while rows > 1 and not fits():
        rows = max(1, rows - step)
    return max(1, most), rows, cols


def _even(extent: int, most: int) -> int:
    """At most `most`, so that the parts of `extent` are about equal."""
    return ceil_div(extent, ceil_div(extent, most))


def staged(block: tuple[int, int, int], step: int, reach: int) -> int:
    """Elements of shared memory, as TileBlock of kernels/include/pycnn/winograd.cuh has them."""
    channels, rows, cols = block
    rows, cols = rows * step + reach - step, cols * step + reach - step
    return channels * (rows * ceil_div(cols, step) * step | 1)
