"""Argument checks shared by the operations: one clear exception, before anything is allocated."""

import math
import numbers
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from pycnn.define.operand import Operand
from pycnn.dtypes import dtype_name
from pycnn.runtime.text import did_you_mean

Pair = tuple[int, int]

#: (before, after), one an axis.
Padding = tuple[Pair, ...]

#: Names of the spatial axes, by their number.
SIDES = {
    1: ("horizontal",),
    2: ("vertical", "horizontal"),
    3: ("depth", "vertical", "horizontal"),
}


def check_dtypes(
    op: str,
    operands: Sequence[Operand],
    dtypes: Sequence[str],
    arrays: Mapping[str, Any],
) -> str:
    """Every operand is there and has a dtype it may have; returns that of the computation.

    Operands without dtypes of their own share one, and nothing is cast in silence. Where there
    is no such operand, the dtype of the computation is that of the first one.
    """
    by_name = {operand.name: operand for operand in operands}
    shared: tuple[str, np.dtype] | None = None
    for name, array in arrays.items():
        operand = by_name[name.partition("[")[0]]  # "tensors[2]" is one of "tensors"
        if array is None:
            if not operand.optional:
                raise TypeError(f"{name} is None; allowed: numpy.ndarray, cupy.ndarray")
            continue
        allowed = dtypes if operand.dtypes is None else operand.dtypes
        if dtype_name(array.dtype) not in allowed or not array.dtype.isnative:
            raise TypeError(
                f"{name} has dtype {array.dtype}; allowed for {op}: {', '.join(allowed)}"
            )
        if operand.dtypes is not None:
            continue
        if shared is None:
            shared = (name, array.dtype)
        elif array.dtype != shared[1]:
            raise TypeError(
                f"{name} has dtype {array.dtype} but {shared[0]} has {shared[1]}; "
                "allowed: one dtype for all (nothing is cast in silence)"
            )
    dtype = shared[1] if shared else next(iter(arrays.values())).dtype
    return dtype_name(dtype)


def check_ranks(operands: Sequence[Operand], arrays: Mapping[str, Any]) -> None:
    """Every array has one of the ranks that its operand may have."""
    for operand in operands:
        array = arrays.get(operand.name)
        if array is not None and operand.ranks and array.ndim not in operand.ranks:
            raise ValueError(
                f"{operand.name} has shape {tuple(array.shape)} (rank {array.ndim}); "
                f"allowed: {operand.axes}"
            )


def check_shape(name: str, shape: Sequence[int], expected: Sequence[int], meaning: str) -> None:
    """`shape` equals `expected`, which is `meaning`."""
    if tuple(shape) != tuple(expected):
        raise ValueError(f"{name} has shape {tuple(shape)}; allowed: {tuple(expected)} ({meaning})")


def check_out(out: Any, shape: Sequence[int], dtype: np.dtype, name: str = "out") -> None:
    """`out` can take the result as it is: shape, dtype, C-contiguous, writable."""
    check_shape(name, out.shape, shape, "the shape of the result")
    if out.dtype != dtype:
        raise TypeError(f"{name} has dtype {out.dtype}; allowed: {dtype}, that of the result")
    if not out.flags.c_contiguous:
        raise ValueError(f"{name} has strides {out.strides}; allowed: a C-contiguous array")
    if not getattr(out.flags, "writeable", True):
        raise ValueError(f"{name} is read-only; allowed: a writeable array")


def check_like(name: str, array: Any, own: Any, what: str) -> None:
    """`array` is in the library, and of the shape and dtype, of `own`, for which `what`."""
    kind = type(own)
    if not isinstance(array, kind):
        allowed = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        raise TypeError(
            f"{name} is of type {type(array).__name__}; allowed: {allowed}, for which {what}"
        )
    if (array.shape, array.dtype) != (own.shape, own.dtype):
        raise ValueError(
            f"{name} is {array.dtype} of shape {array.shape}; allowed: {own.dtype} of shape "
            f"{own.shape}, for which {what}"
        )


#: Largest number of elements to move, skip or put on a side: products of two fit into 64 bits.
MOST = 2**31 - 1


def integer(name: str, value: Any, minimum: int, maximum: int | None = 2**63 - 1) -> int:
    """`value` as an int from `minimum` to `maximum`; bool, float and NaN are refused."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name}={value!r} is of type {type(value).__name__}; allowed: int >= {minimum}"
        ) from None
    if number < minimum:
        raise ValueError(f"{name}={number}; allowed: int >= {minimum}")
    if maximum is not None and number > maximum:
        raise ValueError(f"{name}={number}; allowed: int from {minimum} to {maximum}")
    return number


def each(name: str, value: Any, count: int, allowed: str, *, one: bool = False) -> tuple[Any, ...]:
    """One value for each of `count` axes; a single one serves all of them.

    With `one`, a sequence of one does so as well.
    """
    values = value if isinstance(value, (tuple, list)) else (value,) * count
    if len(values) != count and not (one and len(values) == 1):
        raise ValueError(f"{name}={value!r}; allowed: {allowed}")
    return tuple(values) * (count // len(values))


def per_axis(name: str, value: Any, minimum: int, axes: int) -> tuple[int, ...]:
    """An int, or a sequence of one or of one for each spatial axis, for every axis."""
    if isinstance(value, int):
        return (integer(name, value, minimum, MOST),) * axes
    values = each(name, value, axes, f"an int or ({', '.join(SIDES[axes])})", one=True)
    return tuple([integer(name, v, minimum, MOST) for v in values])


def pair(name: str, value: Any, minimum: int) -> Pair:
    """`per_axis` for two of them."""
    vertical, horizontal = per_axis(name, value, minimum, 2)
    return vertical, horizontal


def paddings(value: Any, axes: int) -> Padding:
    """An int, one for each axis, or (before, after) for each, as the last form."""
    if not isinstance(value, (tuple, list)) or not any(isinstance(v, (tuple, list)) for v in value):
        both = per_axis("padding", value, 0, axes)
        return tuple(zip(both, both, strict=True))
    if len(value) != axes or any(not isinstance(v, (tuple, list)) or len(v) != 2 for v in value):
        raise ValueError(f"padding={value!r}; allowed: {padding_words(axes)}")
    return tuple((integer("padding", a, 0, MOST), integer("padding", b, 0, MOST)) for a, b in value)


def padding_words(axes: int) -> str:
    """What `paddings` takes."""
    pairs = {1: "((left, right),)", 2: "((top, bottom), (left, right))"}
    most = pairs.get(axes, "((front, back), (top, bottom), (left, right))")
    return f"an int, ({', '.join(SIDES[axes])}) or {most}"


def number(name: str, value: Any, minimum: float = -math.inf, maximum: float = math.inf) -> float:
    """`value` as a float from `minimum` to `maximum`; bool, text and NaN are refused."""
    if type(value) is float and minimum <= value <= maximum:
        return value
    unbounded = math.isinf(minimum) and math.isinf(maximum)
    allowed = "a number" if unbounded else f"{minimum:g} to {maximum:g}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r} is of type {type(value).__name__}; allowed: {allowed}")
    real = float(value)
    if not minimum <= real <= maximum:
        raise ValueError(f"{name}={value!r}; allowed: {allowed}")
    return real


def ensure(name: str, value: Any, holds: Callable[[Any], bool], allowed: str) -> None:
    """`value` is a number of which `holds` is true."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r} is of type {type(value).__name__}; allowed: {allowed}")
    if not holds(value):
        raise ValueError(f"{name}={value}: allowed are {allowed}")


def boolean(name: str, value: Any) -> bool:
    """`value` as a bool; nothing else is taken for one."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}={value!r} is of type {type(value).__name__}; allowed: True, False")
    return bool(value)


def choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """`value` is one of the names in `allowed`."""
    if value not in allowed:
        near = did_you_mean(value, allowed) if isinstance(value, str) else ""
        raise ValueError(f"{name}={value!r}; allowed: {', '.join(allowed)}{near}")
    return value


def slope_of(
    activation: Any, slope: Any, usual: float, activations: Collection[str | None]
) -> float:
    """`slope` of a fused activation, `usual` for all but leaky_relu, which alone has one."""
    if activation not in activations:
        allowed = ", ".join(name or "None" for name in activations)
        raise ValueError(f"activation={activation!r}; allowed: {allowed}")
    value = number("negative_slope", slope)
    if value != usual and activation != "leaky_relu":
        raise ValueError(
            f"negative_slope={slope!r}; allowed with activation={activation!r}: {usual}, "
            'activation="leaky_relu" uses it'
        )
    return value


def normalise_axis(name: str, value: Any, rank: int) -> int:
    """`value` as an axis counted from the front."""
    axis = integer(name, value, -rank)
    if axis >= rank:
        raise ValueError(f"{name}={axis}; allowed: {-rank} to {rank - 1}")
    return axis % rank
