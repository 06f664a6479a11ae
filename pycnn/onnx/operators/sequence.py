"""Sequences of arrays, which are Python's lists, and values that may be missing."""

from typing import Any

import numpy as np

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.operators.arrays import integers, normal_axis, scalar
from pycnn.onnx.operators.registry import operator


@operator("SequenceEmpty")
def sequence_empty(*, dtype: int = 1) -> Any:
    return []


@operator("SequenceConstruct")
def sequence_construct(*arrays: Any) -> Any:
    return list(arrays)


@operator("SequenceLength")
def sequence_length(sequence: Any) -> Any:
    return np.array(len(sequence), np.int64)


@operator("SequenceAt")
def sequence_at(sequence: Any, position: Any) -> Any:
    return sequence[_place(sequence, scalar(position))]


@operator("SequenceErase")
def sequence_erase(sequence: Any, position: Any = None) -> Any:
    place = _place(sequence, -1 if position is None else scalar(position))
    return sequence[:place] + sequence[place + 1 :]


@operator("SequenceInsert")
def sequence_insert(sequence: Any, array: Any, position: Any = None) -> Any:
    count = len(sequence)
    place = count if position is None else scalar(position)
    if not -count <= place <= count:
        raise OnnxError(f"position {place} of a sequence of {count}")
    place = place + count if place < 0 else place
    return [*sequence[:place], array, *sequence[place:]]


def _place(sequence: Any, place: int) -> int:
    if not -len(sequence) <= place < len(sequence):
        raise OnnxError(f"position {place} of a sequence of {len(sequence)}")
    return place % len(sequence)


@operator("ConcatFromSequence")
def concat_from_sequence(sequence: Any, *, axis: int, new_axis: int = 0) -> Any:
    return np.stack(sequence, axis) if new_axis else np.concatenate(sequence, axis)


@operator("SplitToSequence")
def split_to_sequence(x: Any, sizes: Any = None, *, axis: int = 0, keepdims: int = 1) -> Any:
    """Parts of a length each, or of given lengths, or of one: then without the axis, if asked."""
    axis = normal_axis(axis, x.ndim)
    extent = x.shape[axis]
    if sizes is None:
        ones = np.split(x, extent, axis) if extent else []
        return ones if keepdims else [np.squeeze(one, axis) for one in ones]
    if sizes.ndim == 0:
        each = scalar(sizes)
        if each < 1:
            raise OnnxError(f"parts of length {each}")
        cuts = list(range(each, extent, each))
    else:
        lengths = integers(sizes)
        if sum(lengths) != extent or min(lengths, default=0) < 0:
            raise OnnxError(f"parts of lengths {lengths} of an extent {extent}")
        cuts = np.cumsum(lengths)[:-1].tolist()
    return np.split(x, cuts, axis)


@operator("Optional")
def optional(value: Any = None, *, type: Any = None) -> Any:
    """None where there is nothing."""
    return value


@operator("OptionalHasElement")
def optional_has_element(value: Any = None) -> Any:
    return np.array(value is not None)


@operator("OptionalGetElement")
def optional_get_element(value: Any) -> Any:
    if value is None:
        raise OnnxError("nothing in an optional value")
    return value
