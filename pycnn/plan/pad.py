"""Plans of padding, and of its gradient: kernels/movement/pad.cu and pad_backward.cu."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, prod
from typing import Any

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import numpy_dtype
from pycnn.plan._strided import Ints
from pycnn.runtime.plan import SCALAR, Argument, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

THREADS = 256

#: Elements of a row that is staged at most.
STAGED = 4096

#: Elements of a block, if a row has no more: at least enough loads on the way; at most few look-ups
#: of rows, forward (of which eight blocks are to fit on a multiprocessor) and backward, where few
#: blocks have the edges; and blocks that are to be there first.
LEAST, MOST, MOST_BYTES, MOST_BACKWARD, BLOCKS = 2048, 8192, 24576, 4096, 800

SECTOR_BYTES = 32

#: Of pad_backward_planes.cu: threads of a block, elements of a plane of dy that keep them busy, and
#: bytes of one at most.
PLANES = "movement/pad_backward_planes.cu"
PLANES_THREADS, LEAST_PLANE, MOST_PLANE_BYTES, VECTOR_BYTES = 128, 1024, 48 * 1024, 16

#: In the order of enum PaddingMode.
MODES = ("constant", "reflect", "replicate", "circular")

#: PAD_RANK of kernels/include/pycnn/boundary.cuh.
OUTER = 7

HEADER = "pycnn/boundary.cuh"


@dataclass(frozen=True)
class Axis:
    """Padding along one axis; negative padding crops.

    Attributes
    ----------
    extent : int
        Of x.
    before, after : int
    """

    extent: int
    before: int = 0
    after: int = 0

    @property
    def padded(self) -> int:
        """Extent of y."""
        return self.extent + self.before + self.after

    @property
    def left(self) -> tuple[int, int]:
        """Begin and end of what is left of x after cropping."""
        return max(0, -self.before), self.extent - max(0, -self.after)

    @property
    def is_plain(self) -> bool:
        return self.before == self.after == 0

    def times(self, extent: int) -> "Axis":
        """This axis, which is not padded, and one of `extent` behind it, as one."""
        return Axis(self.extent * extent)


def pad(x: View, axes: Sequence[Axis], mode: str, value: Any, name: str = "x") -> Plan:
    """Plan of `pycnn.pad`, and by constants of its gradient: crop what was padded.

    Parameters
    ----------
    x : View
    axes : sequence of Axis
        Of all axes of x.
    mode : {"constant", "reflect", "replicate", "circular"}
    value : scalar of the dtype of x
        The constant.
    name : {"x", "dy"}, default "x"
        Of the array that is padded; the result has the corresponding one.

    Examples
    --------
    >>> x = View((2, 5), (5, 1), "float32")
    >>> plan = pad(x, (Axis(2), Axis(5, 1, 1)), "constant", np.float32(0))
    >>> plan.outputs["y"].shape, plan.algo
    ((2, 7), 'rows')
    """
    shape = tuple(axis.padded for axis in axes)
    result, op = ("y", "pad") if name == "x" else ("dx", "pad_backward")
    spec = ArraySpec(shape, numpy_dtype(x.dtype))
    size = spec.dtype.itemsize
    bits = np.uint64(int.from_bytes(np.asarray(value, spec.dtype).tobytes(), "little"))
    merged, strides = _merge(axes, x.strides)
    row = merged[-1]
    first, last = row.left
    staged = max(0, last - first)
    outer = [axis.padded for axis in merged[:-1]]
    rows = prod(outer)
    cropped = mode != "constant" and min(row.before, row.after) < 0
    most = min(MOST, MOST_BYTES // size)
    per_block = 0 if cropped else _rows_per_block(outer, max(row.padded, staged), most)
    arguments = Buffer(name), Buffer(result), bits
    params = {
        "rows": rows,
        "rows_per_block": max(per_block, 1),
        "step": strides[-1],
        "first": first,
        "staged": staged,
        "together": _together(row.extent, strides),
    }
    return Plan(
        op,
        "rows" if per_block else "direct",
        _launch(
            "movement/pad.cu:pad", ("BYTES", str(size)), arguments, params,
            (mode, merged, strides), rows * row.padded,
            per_block and per_block * row.padded * size + SECTOR_BYTES,
        ),
        {result: spec},
    )  # fmt: skip


def pad_backward(dy: View, axes: Sequence[Axis], mode: str) -> Plan:
    """Plan of `pycnn.pad_backward` for padding by elements of x.

    Parameters
    ----------
    dy : View
    axes : sequence of Axis
        Of all axes of x.
    mode : {"reflect", "replicate", "circular"}
    """
    spec = ArraySpec(tuple(axis.extent for axis in axes), numpy_dtype(dy.dtype))
    size = spec.dtype.itemsize
    merged, strides = _merge(axes, dy.strides)
    planes = _by_planes(merged, strides, mode, dy.dtype)
    if planes:
        return Plan("pad_backward", "planes", planes, {"dx": spec})
    row = merged[-1]
    outer = [axis.extent for axis in merged[:-1]]
    rows = prod(outer)
    simple = min(row.before, row.after) >= 0 and max(rows, *(a.padded for a in merged)) < 2**31
    per_block = _rows_per_block(outer, row.extent, MOST_BACKWARD) if simple else 0
    params = {
        "rows": rows,
        "rows_per_block": max(per_block, 1),
        "step": strides[-1],
        "first": row.before,
        "staged": row.extent,
        "together": _together(row.padded, strides),
    }
    return Plan(
        "pad_backward",
        "rows" if per_block else "direct",
        _launch(
            "movement/pad_backward.cu:pad_backward", ("SCALAR", SCALAR[dy.dtype]),
            (Buffer("dy"), Buffer("dx")), params, (mode, merged, strides),
            rows * row.extent,
            per_block and per_block * row.extent * size + SECTOR_BYTES,
        ),
        {"dx": spec},
    )  # fmt: skip


def _by_planes(merged: Sequence[Axis], strides: Ints, mode: str, dtype: str) -> tuple[Launch, ...]:
    """The launch by planes of dy, where they fit and an axis folds at most once."""
    outer, plane = merged[:-2], merged[-2:]
    if len(plane) < 2 or len(outer) > 1 or any(not axis.is_plain for axis in outer):
        return ()
    rows, columns = (_folded_axis(axis, mode) for axis in plane)
    planes, wide = prod(axis.extent for axis in outer), plane[1].padded
    count = plane[0].padded * wide
    shared = count * numpy_dtype(dtype).itemsize + VECTOR_BYTES
    whole = strides[-2:] == (wide, 1) and 0 < planes < 2**31
    if rows is None or columns is None or not whole:
        return ()
    if count < LEAST_PLANE or shared > MOST_PLANE_BYTES:
        return ()
    stride = strides[0] if outer else count
    params = struct(PLANES, "FoldedPlanes", stride=stride, rows=rows, columns=columns)
    kernel = Kernel(PLANES, "pad_backward_planes", (("SCALAR", SCALAR[dtype]),))
    arguments = (Buffer("dy"), Buffer("dx"), params)
    block = (PLANES_THREADS, 1, 1)
    return (Launch(kernel, (planes, 1, 1), block, arguments, shared=shared),)


def _folded_axis(axis: Axis, mode: str) -> np.void | None:
    """struct FoldedAxis, where at most two positions stand for any element."""
    n, before, after = axis.extent, axis.before, axis.after
    last, sign = n - 1, -1 if mode == "reflect" else 1
    if mode == "reflect":  # first, count, and what sign * element is added to
        edges = (1, before, before), (last - after, after, before + 2 * last)
    elif mode == "circular":
        edges = (0, after, before + n), (n - before, before, before - n)
    else:
        edges = (0, before, 0), (last, after, before + after)
    apart = edges[0][0] + edges[0][1] <= edges[1][0]
    if min(before, after) < 0 or not apart or (mode == "replicate" and max(before, after) > 1):
        return None
    return struct(
        PLANES, "FoldedAxis",
        extent=n, padded=axis.padded, before=before, sign=sign,
        edge=[struct(PLANES, "Edge", first=f, count=c, other=o) for f, c, o in edges],
    )  # fmt: skip


def _together(extent: int, strides: Ints) -> int:
    """Neighbours in memory that all rows of so many elements are made of."""
    return gcd(extent, *strides[:-1]) if strides[-1] == 1 else 1


def _rows_per_block(outer: Sequence[int], width: int, most: int) -> int:
    """Rows that a block takes, whole planes if it can; 0 if one row is too wide to be staged."""
    if width > STAGED:
        return 0
    goal = min(most, max(LEAST, prod(outer) * width // BLOCKS))
    rows = max(1, min(prod(outer), THREADS, goal // max(width, 1)))
    plane = outer[-1] if outer else 1
    return rows - rows % plane if 1 < plane < rows else rows


def _launch(
    entry: str,
    define: tuple[str, str],
    arguments: tuple[Argument, ...],
    params: dict[str, int],
    problem: tuple[str, Sequence[Axis], Ints],
    count: int,
    shared: int,
) -> tuple[Launch, ...]:
    """One launch, by rows if shared memory is to be had; none for an empty result."""
    if count == 0:
        return ()
    file, _, name = entry.partition(":")
    mode, merged, strides = problem
    by_rows = shared > 0
    outer = [_axis(axis) for axis in merged[:-1]]
    unused = OUTER - len(outer)
    padding = struct(
        HEADER,
        "Padding",
        **params,
        mode=MODES.index(mode),
        outer=len(outer),
        row=_axis(merged[-1]),
        axis=[*outer, *[_axis(Axis(0))] * unused],
        stride=[*strides[:-1], *[0] * unused],
    )
    kernel = Kernel(file, f"{name}_rows" if by_rows else f"{name}_direct", (define,))
    blocks = (
        ceil_div(params["rows"], params["rows_per_block"]) if by_rows else ceil_div(count, THREADS)
    )
    grid = blocks, 1, 1
    return (Launch(kernel, grid, (THREADS, 1, 1), (*arguments, padding), shared=shared),)


def _axis(axis: Axis) -> np.void:
    begin, end = axis.left
    return struct(
        HEADER, "PadAxis",
        extent_x=axis.extent, extent_y=axis.padded,
        before=axis.before, begin=begin, end=end,
    )  # fmt: skip


def _merge(axes: Sequence[Axis], strides: Ints) -> tuple[list[Axis], Ints]:
    """The fewest axes: neighbours that are not padded become one, if the strides allow.

    Raises
    ------
    ValueError
        If more than eight remain.
    """
    merged: list[Axis] = []
    steps: list[int] = []
    for axis, step in zip(axes, strides, strict=True):
        if axis.is_plain and axis.extent == 1:
            continue
        if merged and axis.is_plain and merged[-1].is_plain and steps[-1] == step * axis.extent:
            merged[-1], steps[-1] = merged[-1].times(axis.extent), step
        else:
            merged.append(axis)
            steps.append(step)
    if len(merged) > OUTER + 1:
        raise ValueError(
            f"x of shape {tuple(a.extent for a in axes)} has {len(merged)} axes that are padded "
            f"or cannot be merged; allowed: {OUTER + 1}"
        )
    if not merged:
        return [Axis(1)], (1,)
    return merged, tuple(steps)
