"""How views are described to kernels: axes merged where their strides allow, structs by value."""

from collections.abc import Sequence

import numpy as np

from pycnn.runtime.structs import struct

#: As in kernels/include/pycnn/strided.cuh.
MAX_RANK = 8


Ints = tuple[int, ...]


def row_major(shape: Sequence[int]) -> Ints:
    """Element strides of a C-contiguous array."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 1, 0, -1):
        strides[axis - 1] = strides[axis] * shape[axis]
    return tuple(strides)


def merge_axes(shape: Ints, operands: Sequence[Ints]) -> tuple[Ints, tuple[Ints, ...]]:
    """The fewest axes that walk all operands in row-major order.

    Parameters
    ----------
    shape : tuple of int
        Extents that all operands share, none of them zero.
    operands : sequence of tuple of int
        Element strides of each operand.

    Returns
    -------
    (extents, strides)
        Without axes of extent 1, neighbours merged where every operand steps evenly across them.

    Examples
    --------
    >>> merge_axes((2, 3, 4), [(12, 4, 1)])
    ((24,), ((1,),))
    >>> merge_axes((2, 3, 4), [(12, 4, 1), (1, 8, 2)])
    ((2, 12), ((12, 1), (1, 2)))
    """
    extents: list[int] = []
    steps: list[Ints] = []
    for extent, *step in zip(shape, *operands, strict=True):
        if extent == 1:
            continue
        if extents and all(o == i * extent for o, i in zip(steps[-1], step, strict=True)):
            extents[-1] *= extent
            steps[-1] = tuple(step)
        else:
            extents.append(extent)
            steps.append(tuple(step))
    per_operand = zip(*steps, strict=True) if steps else ((),) * len(operands)
    return tuple(extents), tuple(tuple(s) for s in per_operand)


def broadcast_strides(shape: Ints, own: Ints, strides: Ints) -> Ints:
    """Element strides of an array of shape `own` when it is broadcast to `shape`.

    Examples
    --------
    >>> broadcast_strides((2, 3, 5), (3, 1), (7, 1))
    (0, 7, 0)
    """
    missing = (0,) * (len(shape) - len(own))
    return missing + tuple(0 if e == 1 else s for e, s in zip(own, strides, strict=True))


def broadcast_axes(shape: Ints, own: Ints) -> Ints:
    """The axes of `shape` that an array of shape `own` is broadcast over.

    Examples
    --------
    >>> broadcast_axes((2, 3, 5), (3, 1))
    (0, 2)
    """
    padded = (1,) * (len(shape) - len(own)) + own
    return tuple(a for a, (e, o) in enumerate(zip(shape, padded, strict=True)) if e != o)


def are_contiguous(shape: Ints, operands: Sequence[Ints]) -> bool:
    """Whether operands of `shape` with these element strides all lie in row-major order, dense."""
    return 0 in shape or all(s in ((), (1,)) for s in merge_axes(shape, operands)[1])


def strided(shape: Ints, operands: Sequence[Ints]) -> np.void:
    """struct Strided for operands of `shape` with these element strides.

    Raises
    ------
    ValueError
        If more than ``MAX_RANK`` axes remain after merging.
    """
    extents, strides = merge_axes(shape, operands)
    if len(extents) > MAX_RANK:
        raise ValueError(
            f"an array of shape {shape} with strides {operands[0]} has {len(extents)} axes that "
            f"cannot be merged; allowed: {MAX_RANK} (a contiguous copy has one)"
        )
    return struct(
        "pycnn/strided.cuh",
        f"Strided<{len(operands)}>",
        rank=len(extents),
        extent=_filled(extents),
        stride=[_filled(s) for s in strides],
    )


def _filled(values: Ints) -> Ints:
    return values + (0,) * (MAX_RANK - len(values))
