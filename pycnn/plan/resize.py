"""Plans of interpolation: kernels/resize/resize.cu, double.cu and their gradients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._strided import Ints
from pycnn.runtime.plan import SCALAR, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

THREADS = 256

#: Of kernels/resize/double.cu and its gradient: bytes of a vector, threads of a block, rows of x
#: that a thread has, by whether channels are last, and of dx.
VECTOR_BYTES, DOUBLE_THREADS = 16, 128
DOUBLE_ROWS, DOUBLE_STRIP = {False: 4, True: 2}, 7

#: Rows and columns whose double, and a strip more, these kernels count in 32 bits.
LONGEST = 2**30 - 2**8

#: What is read and written: forward, backward.
_BUFFERS = (Buffer("x"), Buffer("y")), (Buffer("dy"), Buffer("dx"))

#: Bytes of shared memory that a block uses at best, and at most.
GOAL, MOST = 24 * 1024, 48 * 1024

#: Elements of its result that a block computes at least, if there are so many.
RESULT = 1024

#: Traffic that is enough, as a multiple of the necessary one; neighbouring blocks read rows twice.
ENOUGH = 1.07

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
    d, h, w = axes
    taps = 1 if h.rounding is not None else 2
    planes = 1 if taps == 1 or d.extent == 1 else 2
    size = spec.dtype.itemsize

    rows = _Rows(h.taps[0], h.taps[1] + 1)

    def shared(band: int, chunk: int) -> int:
        tables = (band + w.resized) * _tap_bytes(x.dtype)
        return tables + planes * rows.most(band) * w.extent * chunk * size

    sparse = h.extent > 1.5 * taps * h.resized
    line = w.resized if not sparse else 0
    share = prod(x.shape) * size / max(1, prod(x.shape) * size + spec.nbytes)
    band, chunk = _choose(rows, line, _chunks(x, channels_last), shared, share)
    lines = (d.resized, h.resized, band, chunk)
    launch = _launch(
        "resize", x, axes, channels_last, lines, prod(shape), shared(band, chunk) if band else 0
    )
    return Plan(
        "interpolate", "bands" if band else "direct", launch, {"y": spec},
    )  # fmt: skip


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
    d, h, w = axes
    size, wide = spec.dtype.itemsize, numpy_dtype(FLOATS[dy.dtype].accumulate).itemsize

    rows = _Rows(*h.ranges)

    def shared(band: int, chunk: int) -> int:
        most = rows.most(band)
        tables = (most + w.resized) * _tap_bytes(dy.dtype) + (band + w.extent) * 8
        return tables + (band * w.extent * wide + most * w.resized * size) * chunk

    share = prod(dy.shape) * size / max(1, prod(dy.shape) * size + spec.nbytes)
    band, chunk = _choose(rows, w.extent, _chunks(dy, channels_last), shared, share)
    lines = (d.extent, h.extent, band, chunk)
    launch = _launch(
        "resize_backward", dy, axes, channels_last, lines, prod(shape),
        shared(band, chunk) if band else 0,
    )  # fmt: skip
    return Plan(
        "interpolate_backward", "bands" if band else "direct", launch, {"dx": spec},
    )  # fmt: skip


def _tap_bytes(dtype: str) -> int:
    return 16 if dtype == "float64" else 8


def _chunks(view: View, channels_last: bool) -> list[int]:
    """Channels that a block may take: neighbours in memory, of 128, 64 or 32 bytes."""
    if not channels_last:
        return [1]
    line = 128 // numpy_dtype(view.dtype).itemsize
    return sorted({max(1, min(view.shape[1], line // k)) for k in (1, 2, 4)}, reverse=True)


@dataclass(frozen=True)
class _Rows:
    """For every row of the result: the first row that it is made from, and the one after."""

    first: np.ndarray
    last: np.ndarray

    def of(self, band: int) -> np.ndarray:
        """Rows that every band of the result needs."""
        begins = np.arange(0, len(self.first), band)
        ends = np.minimum(begins + band, len(self.first)) - 1
        needed: np.ndarray = self.last[ends] - self.first[begins]
        return needed

    def most(self, band: int) -> int:
        """The most that any band needs."""
        return int(self.of(band).max(initial=0))

    def again(self, band: int) -> float:
        """How often a row is read, on average."""
        return float(self.of(band).sum() / max(1, self.most(len(self.first))))


def _choose(
    rows: _Rows,
    columns: int,
    chunks: Sequence[int],
    shared: Callable[[int, int], int],
    share: float,
) -> tuple[int, int]:
    """Rows and channels of a block: the smallest blocks that move little more than they have to.

    `share` is that of what is read in the necessary traffic. (0, 0) if nothing fits, or for no
    columns.
    """
    count = len(rows.first)
    if not columns or not count:
        return 0, 0
    bands = sorted({ceil_div(count, parts) for parts in range(1, count + 1)})
    moved = {band: share * rows.again(band) + 1 - share for band in bands}
    for limit in (GOAL, MOST):
        for chunk in chunks:
            for band in bands:
                large = band == count or band * columns * chunk >= RESULT
                if large and moved[band] <= ENOUGH and shared(band, chunk) <= limit:
                    return band, chunk
    fitting = [(moved[b], b, c) for c in chunks for b in bands if shared(b, c) <= MOST]
    return min(fitting, default=(0.0, 0, 0))[1:]


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
    arguments = (*buffers, _struct(read, axes, channels_last, band, 1))
    grid = (ceil_div(threads, DOUBLE_THREADS), 1, 1)
    return (Launch(kernel, grid, (DOUBLE_THREADS, 1, 1), arguments),)


def _defines(read: View, axes: Axes) -> tuple[tuple[str, str], ...]:
    return (
        ("SCALAR", SCALAR[read.dtype]),
        ("TAPS", "1" if axes[0].rounding is not None else "2"),
    )


def _launch(
    name: str, read: View, axes: Axes, channels_last: bool, lines: Ints, count: int, shared: int
) -> tuple[Launch, ...]:
    """By bands of rows if they fit, else an element a thread; none for no result."""
    if count == 0:
        return ()
    depths, rows, band, chunk = lines
    if band:
        n, c = read.shape[:2]
        inner, outer = (c, n) if channels_last else (1, n * c)
        entry, blocks = name, outer * depths * ceil_div(rows, band) * ceil_div(inner, chunk)
    else:
        entry, blocks = f"{name}_direct", ceil_div(count, THREADS)
    kernel = Kernel(f"resize/{name}.cu", entry, _defines(read, axes))
    buffers = _BUFFERS[name.endswith("backward")]
    arguments = (*buffers, _struct(read, axes, channels_last, max(band, 1), max(chunk, 1)))
    return (Launch(kernel, (blocks, 1, 1), (THREADS, 1, 1), arguments, shared=shared),)


def _struct(read: View, axes: Axes, channels_last: bool, band: int, chunk: int) -> np.void:
    """struct Resize."""
    n, c = read.shape[:2]
    image, channel, *steps = read.strides
    return struct(
        HEADER, "Resize",
        **{name: axis.struct for name, axis in zip("dhw", axes, strict=True)},
        outer=n if channels_last else n * c, channels=1 if channels_last else c,
        inner=c if channels_last else 1, band=band, chunk=chunk, n=image,
        **{"c": 0, "si": channel} if channels_last else {"c": channel, "si": 0},
        **dict(zip(("sd", "sh", "sw"), steps, strict=True)),
    )  # fmt: skip
