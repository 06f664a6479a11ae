"""Plans of interpolation: kernels/resize/resize.cu, double.cu and their gradients."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import gcd, prod
from types import MappingProxyType

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import numpy_dtype
from pycnn.plan._strided import Ints
from pycnn.runtime.plan import SCALAR, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

THREADS, WARP = 256, 32

#: Of kernels/resize/double.cu and its gradient: bytes of a vector, threads of a block, rows of x
#: that a thread has, by whether channels are last, and of dx.
VECTOR_BYTES, DOUBLE_THREADS = 16, 128
DOUBLE_ROWS, DOUBLE_STRIP = {False: 4, True: 2}, 7

#: Rows and columns whose double, and a strip more, these kernels count in 32 bits.
LONGEST = 2**30 - 2**8

#: What is read and written: forward, backward.
_BUFFERS = (Buffer("x"), Buffer("y")), (Buffer("dy"), Buffer("dx"))

#: Rows of its result that a thread of kernels/resize/resize.cu has at most (BAND) and at least, and
#: blocks for which it has fewer.
BAND, LEAST_BAND, BLOCKS = 16, 4, 1056

#: Of kernels/resize/tile.cu and its gradient: blocks at most, those that an H200 has at once, and
#: shared memory of one; columns that reach one of dx; columns between the halves, by the itemsize.
TILE_BLOCKS, TILE_BYTES = 528, 56 * 1024
SPANS, APART = (3, 4, 8), {2: 2, 4: 0}

#: RESIZE_TABLE of kernels/include/pycnn/resize.cuh.
TABLE = 1024

#: How coordinates are rounded, in the order of enum Rounding of kernels/include/pycnn/resize.cuh.
_ROUND: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda at: np.ceil(at - 0.5),
    "round_prefer_ceil": lambda at: np.floor(at + 0.5),
}
ROUNDINGS = tuple(_ROUND)

HEADER = "pycnn/resize.cuh"


@dataclass(frozen=True)
class Axis:
    """Where the elements of a resized axis come from.

    Attributes
    ----------
    extent, resized : int
        Of x and of y.
    numerator, denominator, shift, offset : float
        The coordinate of element o is (o + shift) numerator / denominator + offset: one division,
        so that a coordinate that is an integer comes out as one.
    rounding : str or None
        Of `ROUNDINGS`; None for linear interpolation.
    """

    extent: int
    resized: int
    numerator: float = 1.0
    denominator: float = 1.0
    shift: float = 0.0
    offset: float = 0.0
    rounding: str | None = None

    @cached_property
    def taps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For every element of y: the first of x, the last of x, and the last one's weight."""
        at = (np.arange(self.resized) + self.shift) * self.numerator / self.denominator
        at = at + self.offset
        if self.rounding is not None:
            rounded = _ROUND[self.rounding](at)
            index = rounded.clip(0, self.extent - 1).astype(np.int64)
            return index, index, np.zeros(self.resized)
        last = self.extent - 1
        lower = np.floor(at.clip(0, last)).astype(np.int64)
        single = (at < 0) | (at >= last)
        return lower, lower + ~single, np.where(single, 0.0, at - lower)

    @cached_property
    def ranges(self) -> tuple[np.ndarray, np.ndarray]:
        """For every element of x: the first of y that is made from it, and the one after."""
        lower, upper, _ = self.taps
        each = np.arange(self.extent)
        first = np.searchsorted(upper, each)
        return first, np.maximum(first, np.searchsorted(lower, each, "right"))

    @property
    def doubles(self) -> bool:
        """Whether y has two elements for each of x, as kernels/resize/double.cu makes them."""
        if self.resized != 2 * self.extent:
            return False
        if self.rounding is None:
            halves = self.denominator == 2 * self.numerator
            return halves and (self.shift, self.offset) == (0.5, -0.5)
        return bool((self.taps[0] == np.arange(self.resized) // 2).all())

    @property
    def struct(self) -> np.void:
        """struct ResizeAxis."""
        return struct(
            HEADER, "ResizeAxis",
            numerator=self.numerator, denominator=self.denominator,
            shift=self.shift, offset=self.offset,
            extent_x=self.extent, extent_y=self.resized,
            rounding=ROUNDINGS.index(self.rounding) if self.rounding else 0,
        )  # fmt: skip


Axes = tuple[Axis, Axis, Axis]


def interpolate(x: View, axes: Axes, shape: Ints, channels_last: bool) -> Plan:
    """Plan of `pycnn.interpolate`.

    Parameters
    ----------
    x : View
        (N, C, D, H, W), whatever the order in memory.
    axes : (Axis, Axis, Axis)
        Of D, H and W.
    shape : tuple of int
        Of the result, in its own layout.
    channels_last : bool
        Whether the result is (N, D, P, Q, C) in memory.
    """
    spec = ArraySpec(shape, numpy_dtype(x.dtype))
    double = _double("double", x, axes, channels_last, DOUBLE_ROWS[channels_last])
    if double:
        return Plan("interpolate", "double", double, {"y": spec})
    tiles = () if channels_last else _tiles("tile", x, axes)
    if tiles:
        return Plan("interpolate", "tiles", tiles, {"y": spec})
    launches = _strips("resize", x, axes, channels_last, prod(shape))
    return Plan("interpolate", "strips", launches, {"y": spec})


def interpolate_backward(dy: View, axes: Axes, shape: Ints, channels_last: bool) -> Plan:
    """Plan of `pycnn.interpolate_backward`.

    Parameters
    ----------
    dy : View
        (N, C, D, P, Q), whatever the order in memory.
    axes : (Axis, Axis, Axis)
        Of D, H and W.
    shape : tuple of int
        Of the result, in its own layout.
    channels_last : bool
        Whether the result is (N, D, H, W, C) in memory.
    """
    spec = ArraySpec(shape, numpy_dtype(dy.dtype))
    double = _double("double_backward", dy, axes, channels_last, DOUBLE_STRIP)
    if double:
        return Plan("interpolate_backward", "double", double, {"dx": spec})
    tiles = () if channels_last else _tiles("tile_backward", dy, axes)
    if tiles:
        return Plan("interpolate_backward", "tiles", tiles, {"dx": spec})
    launches = _strips("resize_backward", dy, axes, channels_last, prod(shape))
    return Plan("interpolate_backward", "strips", launches, {"dx": spec})


def _double(
    name: str, read: View, axes: Axes, channels_last: bool, band: int
) -> tuple[Launch, ...]:
    """The launch where rows and columns are doubled and memory has vectors of neighbours, if so."""
    d, h, w = axes
    n, c = read.shape[:2]
    image, channel, _, *steps = read.strides
    size = numpy_dtype(read.dtype).itemsize
    neighbour = channel if channels_last else steps[1]
    if not (d.extent == d.resized == 1 and h.doubles and w.doubles and neighbour == 1):
        return ()
    columns = 1
    if channels_last:
        lanes = VECTOR_BYTES // size
        if any(step % lanes for step in (c, image, *steps)):
            return ()
        across = w.extent * c // lanes
    else:
        wide = 1 if name == "double" else 2  # elements of what is read, for a column of x
        whole = (w.extent * wide, image, channel, steps[0])
        most = VECTOR_BYTES // (2 * size)  # of y, a vector
        fitting = (k for k in (4, 2, 1) if k <= most)
        fitting = (k for k in fitting if not any(step % (k * wide) for step in whole))
        columns = next(fitting, 0)
        if not columns:
            return ()
        across = w.extent // columns * c
    threads = n * across * ceil_div(h.extent, band)
    if not 0 < threads < 2**31 - DOUBLE_THREADS or max(h.extent, w.extent) > LONGEST:
        return ()
    where = "channels" if channels_last else "planes"
    entry = name.replace("double", f"double_{where}")
    kernel = Kernel(f"resize/{name}.cu", entry, (*_defines(read, axes), ("COLUMNS", str(columns))))
    buffers = _BUFFERS[name.endswith("backward")]
    arguments = (*buffers, _struct(read, axes, channels_last, h.extent, band))
    grid = (ceil_div(threads, DOUBLE_THREADS), 1, 1)
    return (Launch(kernel, grid, (DOUBLE_THREADS, 1, 1), arguments),)


def _tiles(name: str, read: View, axes: Axes) -> tuple[Launch, ...]:
    """The launch by tiles of planes, where rows do not become fewer and memory has whole pieces."""
    d, h, w = axes
    backward = name.endswith("backward")
    n, c = read.shape[:2]
    image, channel, _, *steps = read.strides
    size = numpy_dtype(read.dtype).itemsize
    wide = w.resized if backward else w.extent
    rows, columns = (h.extent, w.extent) if backward else (h.resized, w.resized)
    planes, piece = VECTOR_BYTES // size, VECTOR_BYTES // size // 2
    maps = h.extent * w.extent, h.resized * w.resized
    if not (d.extent == d.resized == 1 and size in APART and steps == [wide, 1]):
        return ()
    if h.extent > h.resized or columns > THREADS or n * c == 0 or max(n * c, *maps) >= 2**31:
        return ()
    even = image == c * channel or n == 1  # planes are a constant stride apart
    if any(k % piece for k in (*maps, image, channel)) or not (even or c % planes == 0):
        return ()
    defines = _defines(read, axes)
    if backward:
        first, last = w.ranges
        span = next((s for s in SPANS if s >= (last - first).max()), None)
        if span is None:
            return ()
        defines = (*defines, ("SPAN", str(span)))

    whole = piece // gcd(columns, piece)
    for band in (rows, *range((rows - 1) // whole * whole, 0, -whole)):
        staged = ceil_div(_most_rows(h, band, backward) * wide, piece) * piece + piece + APART[size]
        taps = columns + band
        if backward:  # and what reaches each row and column
            taps += wide + staged // wide
        shared = VECTOR_BYTES * (staged + band * columns + APART[size]) + 8 * (taps + taps % 2)
        if shared <= TILE_BYTES:
            break
    else:
        return ()
    strips = ceil_div(rows, band)
    turns = ceil_div(ceil_div(n * c, planes) * strips, TILE_BLOCKS)
    second = backward and round(2 * wide / columns) % 2 == 1  # else 16 threads would meet in banks
    lanes = ceil_div(columns, WARP) * WARP if second else columns
    tile = {
        "staged": staged, "turns": turns, "walk": ceil_div(band, THREADS // lanes),
        "lanes": lanes, "inverse": ceil_div(2**16, lanes), "second": int(second),
        "channels": n * c if even else c,
    }  # fmt: skip
    kernel = Kernel(f"resize/{name}.cu", f"resize_{name}", defines)
    arguments = (*_BUFFERS[backward], _struct(read, axes, False, rows, band, tile))
    blocks = ceil_div(n * c, planes * turns) * strips
    return (Launch(kernel, (blocks, 1, 1), (THREADS, 1, 1), arguments, shared=shared),)


def _most_rows(h: Axis, band: int, backward: bool) -> int:
    """Rows of what is read that any `band` rows of the result are made from."""
    if backward:
        if band >= h.extent or h.numerator <= 0:
            return h.resized
        return min(h.resized, int((band + 1) * h.denominator / h.numerator + 6))  # of window()
    lower, upper, _ = h.taps
    begins = np.arange(0, h.resized, band)
    ends = np.minimum(begins + band, h.resized) - 1
    return int((upper[ends] + 1 - lower[begins]).max())


def _defines(read: View, axes: Axes) -> tuple[tuple[str, str], ...]:
    return (
        ("SCALAR", SCALAR[read.dtype]),
        ("TAPS", "1" if axes[0].rounding is not None else "2"),
    )


def _strips(
    name: str, read: View, axes: Axes, channels_last: bool, count: int
) -> tuple[Launch, ...]:
    """The launch by strips of rows; none for no result."""
    if count == 0:
        return ()
    n, c = read.shape[:2]
    backward = name.endswith("backward")
    depths, rows, columns = (a.extent if backward else a.resized for a in axes)
    size = numpy_dtype(read.dtype).itemsize
    image, channel, *steps = read.strides
    lanes = VECTOR_BYTES // size
    flat = axes[0].extent == axes[0].resized == 1
    together, macro = 1, "0" if backward else "1"
    first, last = axes[2].ranges
    span = int((last - first).max(initial=0))
    fits = span <= 8 and max(axes[2].extent, axes[2].resized) <= TABLE
    flat = flat and n * c * columns < 2**31 - THREADS  # counted in 32 bits
    if flat and channels_last and channel == 1 and not any(k % lanes for k in (c, image, *steps)):
        kind, together = "channels", lanes
    elif flat and not channels_last and steps[2] == 1 and (fits or not backward):
        kind = "planes"
        if not backward:
            together = next(k for k in (4, 2, 1) if k <= lanes and columns % k == 0)
            macro = str(together)
    else:
        kind = "any"
    if backward and fits and kind != "any":
        macro = "4" if span <= 4 else "8"
    wide = ceil_div(n * c * columns // together, THREADS) * depths
    band = min(BAND, max(LEAST_BAND, rows * wide // BLOCKS))
    defines = (*_defines(read, axes), ("SPAN" if backward else "COLUMNS", macro))
    kernel = Kernel(f"resize/{name}.cu", name.replace("resize", f"resize_{kind}"), defines)
    arguments = (*_BUFFERS[backward], _struct(read, axes, channels_last, rows, band))
    blocks = wide * ceil_div(rows, band)
    return (Launch(kernel, (blocks, 1, 1), (THREADS, 1, 1), arguments),)


#: What struct Resize has for tiles alone.
_TILE = ("staged", "turns", "walk", "lanes", "inverse", "second")


def _struct(
    read: View,
    axes: Axes,
    channels_last: bool,
    rows: int,
    band: int,
    tile: Mapping[str, int] = MappingProxyType({}),
) -> np.void:
    """struct Resize."""
    n, c = read.shape[:2]
    image, channel, *steps = read.strides
    return struct(
        HEADER, "Resize",
        **{name: axis.struct for name, axis in zip("dhw", axes, strict=True)},
        outer=n if channels_last else n * c, inner=c if channels_last else 1,
        band=band, strips=ceil_div(rows, band), n=image,
        **{"channels": 1 if channels_last else c, **dict.fromkeys(_TILE, 0), **tile},
        **{"c": 0, "si": channel} if channels_last else {"c": channel, "si": 0},
        **dict(zip(("sd", "sh", "sw"), steps, strict=True)),
    )  # fmt: skip
