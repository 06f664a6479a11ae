"""Plans of max, average and Lp pooling over windows: kernels/include/pycnn/pool.cuh."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._strided import Ints
from pycnn.plan.pool_axis import ABSENT, Axis
from pycnn.plan.pool_cells import Cells, choose_cells
from pycnn.plan.pool_channels import Strips, choose_strips
from pycnn.plan.pool_planes import Rows, choose_rows
from pycnn.plan.pool_tile import SHARED_BYTES, Tile, Work, choose_tile, joined_axes
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

THREADS = 256

HEADER = "pycnn/pool.cuh"


@dataclass(frozen=True)
class Pooling:
    """A pooling problem, whatever is computed in its windows.

    Attributes
    ----------
    images, channels : int
    axes : tuple of Axis
        One to three spatial axes.
    last : bool
        Whether the channels are the last axis of arrays in memory (NHWC).
    batched : bool
        Whether arrays have an axis for the images.
    """

    images: int
    channels: int
    axes: tuple[Axis, ...]
    last: bool = False
    batched: bool = True

    @property
    def three(self) -> tuple[Axis, Axis, Axis]:
        """The axes, with those that are missing in front."""
        first, second, third = (*[ABSENT] * (3 - len(self.axes)), *self.axes)
        return first, second, third

    def shape(self, of_x: bool) -> Ints:
        """Of x, or of y, as it lies in memory."""
        spatial = tuple(a.results(of_x) for a in self.axes)
        image = (*spatial, self.channels) if self.last else (self.channels, *spatial)
        return (self.images, *image) if self.batched else image

    @property
    def windows(self) -> int:
        """Elements of y."""
        return self.images * self.channels * prod(a.windows for a in self.axes)

    @property
    def taps(self) -> int:
        """Most elements of x under one window."""
        return prod(a.largest for a in self.axes)

    @property
    def is_global(self) -> bool:
        """Whether the only window of a plane is all of it."""
        return all(a.windows == 1 and a.kernel == 0 for a in self.axes)


@dataclass(frozen=True)
class Average:
    """What the sum of a window is divided by; `divisor` 0 counts elements."""

    count_include_pad: bool = True
    divisor: int = 0

    def over(self, pooling: Pooling) -> "Average":
        """The same with a divisor, if all windows count the same number of elements.

        Examples
        --------
        >>> Average().over(Pooling(1, 1, (Axis.sliding(6, 3, 3, (0, 0), 1, False),))).divisor
        3
        """
        regular = Axis.even if self.count_include_pad else Axis.inside
        if self.divisor or not all(a.even() and regular(a) for a in pooling.axes):
            return self
        return Average(self.count_include_pad, pooling.taps)


def max_pool(op: str, pooling: Pooling, strides: Ints, dtype: str, indices: bool) -> Plan:
    """Plan of max pooling: input ``x``, outputs ``y`` and, if asked for, ``indices``.

    Parameters
    ----------
    op : str
        Name of the operation.
    pooling : Pooling
    strides : tuple of int
        Element strides of x: image, channel, spatial axes.
    dtype : str
    indices : bool

    Examples
    --------
    >>> pair = Axis.sliding(6, 2, 2, (0, 0), 1, False)
    >>> pooling = Pooling(2, 3, (pair, pair))
    >>> max_pool("max_pool2d", pooling, (108, 36, 6, 1), "float32", False).outputs["y"].shape
    (2, 3, 3, 3)
    """
    shape = pooling.shape(of_x=False)
    outputs = {"y": ArraySpec(shape, numpy_dtype(dtype))}
    if indices:
        outputs["indices"] = ArraySpec(shape, np.dtype(np.int64))
    size = FLOATS[dtype].itemsize
    work = _work(pooling, False, size, size + 8 * indices, size, size)
    by = _by_vectors(op, "max_pool", dtype, pooling, work, outputs, {"x": strides})
    if by is not None:
        return by
    arguments = (Buffer("x"), Buffer("y"), Buffer("indices") if indices else None)
    return _plan(op, "max_pool", dtype, pooling, work, outputs, arguments, {"x": strides})


def max_pool_backward(op: str, pooling: Pooling, dy: Ints, indices: Ints, dtype: str) -> Plan:
    """Plan of the gradient: ``dy`` and ``indices`` to ``dx``; parameters as `max_pool`."""
    outputs = {"dx": ArraySpec(pooling.shape(of_x=True), numpy_dtype(dtype))}
    size = FLOATS[dtype].itemsize
    work = _work(pooling, True, size, size, size + 8, size + 8)
    operands = {"dy": dy, "indices": indices}
    by = _by_vectors(op, "max_pool", dtype, pooling, work, outputs, operands)
    if by is not None:
        return by
    arguments = (Buffer("dy"), Buffer("indices"), Buffer("dx"))
    return _plan(op, "max_pool", dtype, pooling, work, outputs, arguments, operands)


def avg_pool(op: str, pooling: Pooling, strides: Ints, dtype: str, average: Average) -> Plan:
    """Plan of a mean or, with divisor 1, a sum: ``x`` to ``y``; parameters as `max_pool`."""
    outputs = {"y": ArraySpec(pooling.shape(of_x=False), numpy_dtype(dtype))}
    size = FLOATS[dtype].itemsize
    work = _work(pooling, False, size, size, size, size)
    operands = {"x": strides}
    by = _by_vectors(op, "avg_pool", dtype, pooling, work, outputs, operands, average)
    if by is not None:
        return by
    arguments = (Buffer("x"), Buffer("y"))
    return _plan(op, "avg_pool", dtype, pooling, work, outputs, arguments, operands, average)


def avg_pool_backward(op: str, pooling: Pooling, dy: Ints, dtype: str, average: Average) -> Plan:
    """Plan of its gradient: ``dy`` to ``dx``; parameters as `max_pool`."""
    outputs = {"dx": ArraySpec(pooling.shape(of_x=True), numpy_dtype(dtype))}
    size = FLOATS[dtype].itemsize
    work = _work(pooling, True, size, size, size, size)
    operands = {"dy": dy}
    by = _by_vectors(op, "avg_pool", dtype, pooling, work, outputs, operands, average)
    if by is not None:
        return by
    arguments = (Buffer("dy"), Buffer("dx"))
    return _plan(op, "avg_pool", dtype, pooling, work, outputs, arguments, operands, average)


def lp_pool(op: str, pooling: Pooling, strides: Ints, dtype: str, norm: float) -> Plan:
    """Plan of Lp pooling: ``x`` to ``y``; parameters as `max_pool`."""
    outputs = {"y": ArraySpec(pooling.shape(of_x=False), numpy_dtype(dtype))}
    size, kept = FLOATS[dtype].itemsize, numpy_dtype(FLOATS[dtype].accumulate).itemsize
    work = _work(pooling, False, size, size, size, kept)
    arguments = (Buffer("x"), Buffer("y"), np.float64(norm))
    operands = {"x": strides}
    return _plan(op, "lp_pool", dtype, pooling, work, outputs, arguments, operands, Average())


def lp_pool_backward(
    op: str, pooling: Pooling, dy: Ints, y: Ints, x: Ints, dtype: str, norm: float
) -> Plan:
    """Plan of its gradient: ``dy``, ``y`` and ``x`` to ``dx``; parameters as `max_pool`."""
    outputs = {"dx": ArraySpec(pooling.shape(of_x=True), numpy_dtype(dtype))}
    size, kept = FLOATS[dtype].itemsize, numpy_dtype(FLOATS[dtype].accumulate).itemsize
    work = _work(pooling, True, size, 2 * size, 2 * size, 2 * kept)
    arguments = (Buffer("dy"), Buffer("y"), Buffer("x"), Buffer("dx"), np.float64(norm))
    after = (struct(HEADER, "PoolStrides", **_strides(pooling, x), joined=0),)
    operands = {"dy": dy, "y": y}
    return _plan(
        op, "lp_pool", dtype, pooling, work, outputs, arguments, operands, Average(), after
    )


def _work(
    pooling: Pooling, backward: bool, itemsize: int, result: int, source: int, kept: int
) -> Work:
    planes, inner = pooling.images * pooling.channels, 1
    if pooling.last:
        planes, inner = pooling.images, pooling.channels
    return Work(planes, inner, pooling.three, backward, itemsize, result, source, kept)


def _strides(pooling: Pooling, strides: Ints) -> dict[str, Any]:
    """Fields of struct PoolStrides, but for the last one."""
    n, c, *spatial = strides
    outer, inner = (0, c) if pooling.last else (c, 0)
    axis = (0,) * (3 - len(spatial)) + tuple(spatial)
    return {"n": n, "c": outer, "axis": axis, "inner": inner}


def _plan(
    op: str,
    stem: str,
    dtype: str,
    pooling: Pooling,
    work: Work,
    outputs: dict[str, ArraySpec],
    arguments: tuple[Argument, ...],
    operands: Mapping[str, Ints],
    average: Average | None = None,
    after: tuple[np.void, ...] = (),
) -> Plan:
    """In tiles where sources fit into shared memory and lie close together, else without."""
    count = prod(next(iter(outputs.values())).shape)
    tile = choose_tile(work) if count and not _sparse(work) else None
    average = (average or Average()).over(pooling)
    params = _params(pooling, work, tile, operands, average)
    entry = stem + "_backward" * work.backward + "_direct" * (tile is None)
    kernel = Kernel(f"pool/{stem}.cu", entry, (("SCALAR", SCALAR[dtype]),))
    launches: tuple[Launch, ...] = ()
    if count:
        blocks = ceil_div(count, THREADS) if tile is None else tile.blocks(work)
        shared = 0 if tile is None else min(ceil_div(tile.shared, 16) * 16, SHARED_BYTES)
        all_arguments = (*arguments, params, *after)
        launches = (Launch(kernel, (blocks, 1, 1), (THREADS, 1, 1), all_arguments, shared),)
    return Plan(op, "direct" if tile is None else "tiled", launches, outputs)


def _by_vectors(
    op: str,
    stem: str,
    dtype: str,
    pooling: Pooling,
    work: Work,
    outputs: dict[str, ArraySpec],
    operands: Mapping[str, Ints],
    average: Average | None = None,
) -> Plan | None:
    """By channels.cu, planes.cu or their gradients in kernels/pool/, where these compute it."""
    name, indices = "channels" if pooling.last else "planes", "indices" in outputs
    found: Strips | Rows | Cells | None
    if work.backward:
        found = choose_cells(work, pooling.channels, pooling.last, tuple(operands.values()))
    elif pooling.last:
        found = choose_strips(work, pooling.images, operands["x"], indices)
    else:
        found = choose_rows(work, pooling.images, pooling.channels, operands["x"], indices)
    if found is None or not found.threads:
        return None
    average = (average or Average()).over(pooling)
    params = _params(pooling, work, found, operands, average)
    macros = [("SCALAR", SCALAR[dtype]), ("WINDOW", str(found.window))]
    if found.low is not None:
        macros.append(("LOW", str(found.low)))
    end = "_backward" * work.backward
    launch = Launch(
        Kernel(f"pool/{name}{end}.cu", f"{stem}_{name}{end}" + "_indices" * indices, tuple(macros)),
        (found.blocks, 1, 1),
        (found.block, 1, 1),
        (*map(Buffer, (*operands, *outputs)), params),
    )
    return Plan(op, name, (launch,), outputs)


def _sparse(work: Work) -> bool:
    """Whether windows leave so much of x out that bringing all of it in would be waste."""
    gaps = prod(max(1, a.stride // a.span) for a in work.axes if a.kernel)
    return not work.backward and gaps > 4


def _params(
    pooling: Pooling,
    work: Work,
    by: Tile | Strips | Rows | Cells | None,
    operands: Mapping[str, Ints],
    average: Average,
) -> np.void:
    """Struct Pool by value."""
    channels = 1 if pooling.last else pooling.channels
    extents: Ints = (1, 1, 1)
    tile = by if isinstance(by, Tile) else None
    planes = by.planes if isinstance(by, Tile | Rows) else 1
    if isinstance(by, Strips | Cells):
        extents = (1, by.rows, 1)
    elif tile:
        extents = tile.extent
    axes = [
        struct(
            HEADER,
            "PoolAxis",
            **asdict(a),
            step=a.step(work.backward),
            tile=t,
            whole=a.whole(t, work.backward),
        )
        for a, t in zip(work.axes, extents, strict=True)
    ]
    strides = []
    for view in operands.values():
        steps = _strides(pooling, view)
        flat = (steps["n"], steps["c"], *steps["axis"], steps["inner"])
        joined = joined_axes(tile, work, channels, flat) if tile else 0
        strides.append(struct(HEADER, "PoolStrides", **steps, joined=joined))
    nothing = {"n": 0, "c": 0, "axis": (0, 0, 0), "inner": 0, "joined": 0}
    strides += [struct(HEADER, "PoolStrides", **nothing)] * (2 - len(strides))
    return struct(
        HEADER, "Pool",
        images=pooling.images, channels=channels, inner=work.inner,
        planes_tile=planes,
        inner_tile=tile.inner if tile else 1,
        axis=axes,
        operand=strides,
        count_include_pad=average.count_include_pad,
        divisor=average.divisor,
    )  # fmt: skip
