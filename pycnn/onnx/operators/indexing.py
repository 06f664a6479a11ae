"""Elements chosen by their places: slices, gathers, scatters."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.limits import check_size
from pycnn.onnx.operators.arrays import integers, normal_axis, scalar
from pycnn.onnx.operators.registry import operator

Ints = Sequence[int] | None


@operator("Slice", since=10)
def slice_by_inputs(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    first, last = integers(starts), integers(ends)
    chosen = list(range(len(first))) if axes is None else integers(axes)
    step = [1] * len(first) if steps is None else integers(steps)
    where = [slice(None)] * x.ndim
    for a, b, axis, by in zip(first, last, chosen, step, strict=True):
        where[normal_axis(axis, x.ndim)] = _slice(x.shape[normal_axis(axis, x.ndim)], a, b, by)
    return x[tuple(where)]


@operator("Slice")
def slice_by_attributes(
    x: Any, *, starts: Sequence[int], ends: Sequence[int], axes: Ints = None
) -> Any:
    chosen = None if axes is None else np.array(axes)
    return slice_by_inputs(x, np.array(starts), np.array(ends), chosen)


def _slice(extent: int, first: int, last: int, step: int) -> slice:
    """Ends are clamped, as Python's; one before the beginning is reached by counting down."""
    if step == 0:
        raise OnnxError("a step of 0")
    first = first + extent if first < 0 else first
    last = last + extent if last < 0 else last
    if step > 0:
        return slice(max(first, 0), max(last, 0), step)
    if first < 0:
        return slice(0, 0)
    return slice(min(first, extent - 1), None if last < 0 else last, step)


def within(indices: Any, extent: int) -> Any:
    """Indices counted from the front; refused outside of an axis."""
    if indices.size and not -extent <= int(indices.min()) <= int(indices.max()) < extent:
        raise OnnxError(f"an index outside of an axis of extent {extent}")
    return np.where(indices < 0, indices + extent, indices)


@operator("Gather")
def gather(x: Any, indices: Any, *, axis: int = 0) -> Any:
    axis = normal_axis(axis, x.ndim)
    check_size([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]], x.itemsize)
    return np.take(x, within(indices, x.shape[axis]), axis=axis)


def _elements(x: Any, indices: Any, axis: int) -> tuple[Any, ...]:
    """The places that indices along an axis stand for."""
    if indices.ndim != x.ndim:
        raise OnnxError(f"indices of rank {indices.ndim} into an array of rank {x.ndim}")
    axis = normal_axis(axis, x.ndim)
    places = list(np.indices(indices.shape, sparse=True))
    places[axis] = within(indices, x.shape[axis])
    return tuple(places)


@operator("GatherElements")
def gather_elements(x: Any, indices: Any, *, axis: int = 0) -> Any:
    return x[_elements(x, indices, axis)]


def _points(x: Any, indices: Any, batch: int = 0) -> tuple[Any, ...]:
    """The places that the last axis of indices stands for, behind axes that run along."""
    deep = indices.shape[-1]
    if not 1 <= deep <= x.ndim - batch:
        raise OnnxError(f"indices of {deep} axes; allowed: 1 to {x.ndim - batch}")
    along = np.indices(indices.shape[:batch], sparse=True)
    places = [a.reshape(a.shape + (1,) * (indices.ndim - 1 - batch)) for a in along]
    return (*places, *(within(indices[..., i], x.shape[batch + i]) for i in range(deep)))


@operator("GatherND")
def gather_nd(x: Any, indices: Any, *, batch_dims: int = 0) -> Any:
    return x[_points(x, indices, batch_dims)]


_REDUCTIONS = {
    "add": np.add.at,
    "mul": np.multiply.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


def _scattered(x: Any, places: tuple[Any, ...], updates: Any, reduction: str) -> Any:
    y = x.copy(order="C")
    if reduction == "none":
        y[places] = updates
    elif reduction in _REDUCTIONS:
        _REDUCTIONS[reduction](y, places, updates)
    else:
        raise OnnxError(f"reduction {reduction!r}; allowed: none, {', '.join(_REDUCTIONS)}")
    return y


@operator("Scatter", "ScatterElements")
def scatter_elements(
    x: Any, indices: Any, updates: Any, *, axis: int = 0, reduction: str = "none"
) -> Any:
    return _scattered(x, _elements(x, indices, axis), updates, reduction)


@operator("ScatterND")
def scatter_nd(x: Any, indices: Any, updates: Any, *, reduction: str = "none") -> Any:
    return _scattered(x, _points(x, indices), updates, reduction)


@operator("TensorScatter")
def tensor_scatter(
    past: Any, update: Any, starts: Any = None, *, axis: int = -2, mode: str = "linear"
) -> Any:
    """A part of a cache anew, from another place on for every member of the batch."""
    axis = normal_axis(axis, past.ndim)
    if axis == 0 or mode not in ("linear", "circular"):
        raise OnnxError(f"axis {axis}, mode {mode!r}; allowed: no axis 0; linear, circular")
    first = [0] * len(past) if starts is None else integers(starts)
    y = past.copy(order="C")
    extent, length = past.shape[axis], update.shape[axis]
    for member, begin in enumerate(first):
        if mode == "linear" and not 0 <= begin <= extent - length:
            raise OnnxError(f"write index {begin}; allowed: 0 to {extent - length}")
        places = (begin + np.arange(length)) % extent
        y[member][(*[slice(None)] * (axis - 1), places)] = update[member]
    return y


@operator("Where")
def where(condition: Any, a: Any, b: Any) -> Any:
    return np.where(condition, a, b)


@operator("NonZero")
def non_zero(x: Any) -> Any:
    return np.array(np.nonzero(x), np.int64).reshape(x.ndim, -1)


@operator("Compress")
def compress(x: Any, condition: Any, *, axis: int | None = None) -> Any:
    return np.compress(condition, x, axis)


@operator("OneHot")
def one_hot(indices: Any, depth: Any, values: Any, *, axis: int = -1) -> Any:
    count = int(scalar(depth))
    rank = indices.ndim + 1
    axis = normal_axis(axis, rank)
    check_size([*indices.shape, count], values.itemsize)
    chosen = np.expand_dims(indices.astype(np.int64), axis)
    chosen = np.where(chosen < 0, chosen + count, chosen)
    places = np.arange(count).reshape([-1 if i == axis else 1 for i in range(rank)])
    return np.where(chosen == places, values[1], values[0]).astype(values.dtype, copy=False)


@operator("ReverseSequence")
def reverse_sequence(x: Any, lengths: Any, *, batch_axis: int = 1, time_axis: int = 0) -> Any:
    y = np.moveaxis(x.copy(), (batch_axis, time_axis), (0, 1))
    for member, length in enumerate(integers(lengths)):
        y[member, :length] = y[member, :length][::-1].copy()
    return np.moveaxis(y, (0, 1), (batch_axis, time_axis))


@operator("Unique")
def unique(x: Any, *, axis: int | None = None, sorted: int = 1) -> Any:
    values, first, inverse, counts = np.unique(
        x, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    inverse = inverse.reshape(-1)
    if not sorted:
        order = np.argsort(first)
        values = np.take(values, order, axis=0 if axis is None else axis)
        first, counts, inverse = first[order], counts[order], np.argsort(order)[inverse]
    return (values, *(v.astype(np.int64) for v in (first, inverse, counts)))


@operator("Trilu")
def trilu(x: Any, k: Any = None, *, upper: int = 1) -> Any:
    diagonal = 0 if k is None else scalar(k)
    return (np.triu if upper else np.tril)(x, diagonal)
