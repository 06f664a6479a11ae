"""Reductions over axes, places of extremes, the largest elements, running sums."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import pycnn
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.operators.arrays import integers, is_float, normal_axis, scalar
from pycnn.onnx.operators.registry import operator

Axes = tuple[int, ...]


def _reduction(name: str, function: Callable[[Any, Axes, bool], Any], **before: Any) -> None:
    """`before` is what the elements go through even where no axis is reduced."""

    def apply(
        x: Any,
        along: Any = None,
        *,
        axes: Sequence[int] | None = None,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Any:
        chosen = integers(along) if along is not None else list(axes or [])
        if not chosen and noop_with_empty_axes:
            return before["alone"](x) if "alone" in before else x
        reduced = tuple(normal_axis(a, x.ndim) for a in chosen) or tuple(range(x.ndim))
        return function(x, reduced, bool(keepdims)).astype(x.dtype, copy=False)

    operator(name, kernels=True)(apply)


def _sum(x: Any, axes: Axes, keepdims: bool) -> Any:
    if is_float(x):
        return pycnn.sum(x, axes, keepdims)
    return np.sum(x, axis=axes, keepdims=keepdims, dtype=x.dtype)


def _mean(x: Any, axes: Axes, keepdims: bool) -> Any:
    if is_float(x):
        return pycnn.mean(x, axes, keepdims)
    return np.mean(x, axis=axes, keepdims=keepdims)


def _extreme(ours: str, theirs: Any, largest: bool) -> Callable[[Any, Axes, bool], Any]:
    def reduce(x: Any, axes: Axes, keepdims: bool) -> Any:
        if is_float(x) and x.size:
            return getattr(pycnn, ours)(x, axes, keepdims)
        return theirs(x, axis=axes, keepdims=keepdims, **_of_nothing(x, largest))

    return reduce


def _of_nothing(x: Any, largest: bool) -> dict[str, Any]:
    """The extreme of no elements: the least, or the largest value there is."""
    if x.size:
        return {}
    if x.dtype.kind == "b":
        return {"initial": not largest}
    if x.dtype.kind in "iu":
        info = np.iinfo(x.dtype)
        return {"initial": info.min if largest else info.max}
    return {"initial": -np.inf if largest else np.inf}


def _sum_square(x: Any, axes: Axes, keepdims: bool) -> Any:
    return _sum(x * x, axes, keepdims)


def _root(x: Any, axes: Axes, keepdims: bool) -> Any:
    return np.sqrt(_sum_square(x, axes, keepdims))


def _magnitudes(x: Any, axes: Axes, keepdims: bool) -> Any:
    return _sum(np.abs(x), axes, keepdims)


def _log_sum(x: Any, axes: Axes, keepdims: bool) -> Any:
    return np.log(_sum(x, axes, keepdims))


def _log_sum_exp(x: Any, axes: Axes, keepdims: bool) -> Any:
    """Of differences to the maximum, so that nothing overflows."""
    if not x.size:
        return _log_sum(x, axes, keepdims)
    top = np.max(x, axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, x.dtype.type(0))
    total = np.log(_sum(np.exp(x - top), axes, keepdims))
    return total + (top if keepdims else np.squeeze(top, axis=axes))


def _product(x: Any, axes: Axes, keepdims: bool) -> Any:
    return np.prod(x, axis=axes, keepdims=keepdims, dtype=x.dtype)


_reduction("ReduceSum", _sum)
_reduction("ReduceMean", _mean)
_reduction("ReduceMax", _extreme("amax", np.max, True))
_reduction("ReduceMin", _extreme("amin", np.min, False))
_reduction("ReduceProd", _product)
_reduction("ReduceSumSquare", _sum_square, alone=lambda x: x * x)
_reduction("ReduceL2", _root, alone=np.abs)
_reduction("ReduceL1", _magnitudes, alone=np.abs)
_reduction("ReduceLogSum", _log_sum, alone=np.log)
_reduction("ReduceLogSumExp", _log_sum_exp)


def _place(ours: str, theirs: Any) -> Callable[..., Any]:
    def apply(x: Any, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Any:
        axis = normal_axis(axis, x.ndim)
        if select_last_index:
            last = theirs(np.flip(x, axis), axis=axis, keepdims=bool(keepdims))
            return (x.shape[axis] - 1 - last).astype(np.int64)
        if is_float(x):
            return getattr(pycnn, ours)(x, axis, bool(keepdims))
        return theirs(x, axis=axis, keepdims=bool(keepdims)).astype(np.int64)

    return apply


operator("ArgMax", kernels=True)(_place("argmax", np.argmax))
operator("ArgMin", kernels=True)(_place("argmin", np.argmin))

#: What the kernel takes.
_MOST = 1024


@operator("TopK", kernels=True)
def top_k(
    x: Any, count: Any = None, *, k: int = 0, axis: int = -1, largest: int = 1, sorted: int = 1
) -> Any:
    k = k if count is None else scalar(count)
    axis = normal_axis(axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise OnnxError(f"k={k}; allowed: 0 to {x.shape[axis]}")
    if is_float(x) and 1 <= k <= _MOST:
        return pycnn.topk(x, k, axis, bool(largest))
    if largest:  # of equal ones the first comes first, from both ends
        order = np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
        order = x.shape[axis] - 1 - order
    else:
        order = np.argsort(x, axis=axis, kind="stable")
    chosen = np.take(order, np.arange(k), axis=axis)
    return np.take_along_axis(x, chosen, axis), chosen.astype(np.int64)


def _running(function: Any, neutral: int) -> Callable[..., Any]:
    def apply(x: Any, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Any:
        along = normal_axis(scalar(axis), x.ndim)
        x = np.flip(x, along) if reverse else x
        if exclusive:
            first = np.full_like(np.take(x, np.arange(min(1, x.shape[along])), along), neutral)
            rest = np.take(x, np.arange(x.shape[along] - 1 if x.shape[along] else 0), along)
            x = np.concatenate([first, rest], along)
        total = function(x, axis=along, dtype=x.dtype)
        return np.flip(total, along) if reverse else total

    return apply


operator("CumSum")(_running(np.cumsum, 0))
operator("CumProd")(_running(np.cumprod, 1))
