"""Plans of interpolation by filters of several taps: kernels/resize/filter.cu."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._strided import Ints, row_major, strided
from pycnn.runtime.plan import SCALAR, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

FILE = "resize/filter.cu"
THREADS = 256

#: In the order of enum Kind.
KINDS = ("cubic", "linear area", "cubic area")


@dataclass(frozen=True)
class FilterAxis:
    """Where the elements of a resized axis come from.

    Attributes
    ----------
    extent, resized : int
        Of x and of y.
    numerator, denominator, shift, offset : float
        As of `pycnn.plan.resize.Axis`; of an area only the first two matter.
    kind : str
        Of `KINDS`.
    """

    extent: int
    resized: int
    numerator: float
    denominator: float
    shift: float
    offset: float
    kind: str

    @cached_property
    def taps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Elements of x, their weights, and whether they are there at all.

        For every element of y a row, of as many as any one has.
        """
        o = np.arange(self.resized)
        if self.kind == "cubic":
            at = (o + self.shift) * self.numerator / self.denominator + self.offset
            index = np.floor(at).astype(np.int64)[:, None] + np.arange(-1, 3)
            weights = _keys(index - at[:, None], -0.75)
            return index.clip(0, self.extent - 1), weights, np.full(index.shape, True)
        wide = max(self.numerator / self.denominator, 1.0)
        centre = (o + 0.5) * self.numerator / self.denominator
        reach = (1 if self.kind == "linear area" else 2) * wide
        first = np.trunc(np.maximum(centre - reach + 0.5, 0)).astype(np.int64)
        last = np.trunc(np.minimum(centre + reach + 0.5, self.extent)).astype(np.int64)
        index = first[:, None] + np.arange((last - first).max())
        at = (index - centre[:, None] + 0.5) / wide
        linear = self.kind == "linear area"
        weights = np.maximum(1 - np.abs(at), 0) if linear else _keys(at, -0.5)
        there = index < last[:, None]
        weights[~there] = 0
        weights /= weights.sum(axis=1, keepdims=True)
        return np.minimum(index, last[:, None] - 1), weights, there

    @property
    def struct(self) -> np.void:
        """struct FilterAxis."""
        return struct(
            FILE, "FilterAxis",
            numerator=self.numerator, denominator=self.denominator,
            shift=self.shift, offset=self.offset,
            extent_x=self.extent, extent_y=self.resized, kind=KINDS.index(self.kind),
        )  # fmt: skip


def _keys(at: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic."""
    u = np.abs(at)
    near = ((a + 2) * u - (a + 3)) * u * u + 1
    far = (((u - 5) * u + 8) * u - 4) * a
    return np.where(u <= 1, near, np.where(u < 2, far, 0.0))


def interpolate(x: View, axes: Sequence[tuple[int, FilterAxis]]) -> Plan:
    """Plan of `pycnn.interpolate`: input ``x``, output ``y``, the last axis first.

    Parameters
    ----------
    x : View
    axes : sequence of (int, FilterAxis)
        Two, with their numbers.

    Examples
    --------
    >>> x = View((1, 3, 8, 8), (192, 64, 8, 1), "float32")
    >>> axis = FilterAxis(8, 16, 8.0, 16.0, 0.5, -0.5, "cubic")
    >>> [launch.kernel.entry for launch in interpolate(x, [(2, axis), (3, axis)]).launches]
    ['resize_filter_first', 'resize_filter_last']
    """
    return _passes("interpolate", "resize_filter", "x", "y", x, axes[::-1], False)


def interpolate_backward(dy: View, axes: Sequence[tuple[int, FilterAxis]]) -> Plan:
    """Plan of `pycnn.interpolate_backward`: input ``dy``, output ``dx``, the first axis first.

    Parameters
    ----------
    dy : View
    axes
        As for `interpolate`.
    """
    entry = "resize_filter_backward"
    return _passes("interpolate_backward", entry, "dy", "dx", dy, axes, True)


def _passes(
    op: str,
    entry: str,
    source: str,
    output: str,
    view: View,
    axes: Sequence[tuple[int, FilterAxis]],
    backward: bool,
) -> Plan:
    shape, strides, dtype = view.shape, view.strides, view.dtype
    if prod(shape) == 0:
        extents = {number: a.extent if backward else a.resized for number, a in axes}
        result = tuple(extents.get(i, extent) for i, extent in enumerate(shape))
        return Plan(op, "filter", (), {output: ArraySpec(result, numpy_dtype(dtype))})
    launches: list[Launch] = []
    workspace = {}
    for end, (number, axis) in zip(("first", "last"), axes, strict=True):
        last = end == "last"
        target = output if last else "between"
        extent = axis.extent if backward else axis.resized
        result = (*shape[:number], extent, *shape[number + 1 :])
        params = struct(
            FILE, "FilterPass",
            axis=axis.struct, count=prod(result), inner=prod(shape[number + 1 :]),
            step=strides[number],
            rest=strided(_without(shape, number), [_without(strides, number)]),
        )  # fmt: skip
        kernel = Kernel(FILE, f"{entry}_{end}", (("SCALAR", SCALAR[dtype]),))
        grid = (ceil_div(prod(result), THREADS), 1, 1)
        buffers = Buffer("between" if last else source), Buffer(target)
        launches.append(Launch(kernel, grid, (THREADS, 1, 1), (*buffers, params)))
        if not last:
            workspace = {"between": ArraySpec(result, np.dtype(FLOATS[dtype].accumulate))}
        shape, strides = result, row_major(result)
    outputs = {output: ArraySpec(shape, numpy_dtype(dtype))}
    return Plan(op, "filter", tuple(launches), outputs, workspace)


def _without(values: Ints, number: int) -> Ints:
    return (*values[:number], *values[number + 1 :])
