"""Launches that move elements between strided views: kernels/movement/copy.cu, transpose*.cu."""

from dataclasses import dataclass
from math import prod

import numpy as np

from pycnn.plan._strided import Ints, merge_axes, strided
from pycnn.runtime.plan import Buffer, Kernel, Launch
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

THREADS = 256

#: Bytes of the largest unit that one instruction moves.
WIDEST = 16

#: Warps of a block of transpose_vectors.cu, and the squares along both axes that a warp has.
WARPS, LANES_A, LANES_B = 8, 8, 4

#: Of transpose_maps.cu: shared memory of a block, at most, what it has where several rows fit, and
#: the bytes of neighbours that its rows are a multiple of on the side of vectors.
MAP_BYTES, TILE_BYTES, ROW_BYTES = 16 * 1024, 12 * 1024, 64


@dataclass(frozen=True)
class Place:
    """Where a view begins and how it goes on."""

    buffer: Buffer
    strides: Ints


def copy_launch(shape: Ints, source: Place, target: Place, itemsize: int) -> Launch | None:
    """What copies `source` to `target`; None if there is nothing to copy.

    Parameters
    ----------
    shape : tuple of int
    source, target : Place
        Strides in elements; of `target`, those of a box in a C-contiguous array.
    itemsize : int

    Raises
    ------
    ValueError
        If more than eight axes remain after merging.

    Examples
    --------
    >>> x, y = Buffer("x"), Buffer("y")
    >>> copy_launch((64, 96), Place(x, (96, 1)), Place(y, (96, 1)), 4).grid
    (6, 1, 1)
    >>> copy_launch((64, 96), Place(x, (1, 64)), Place(y, (96, 1)), 4).kernel.entry
    'transpose_vectors'
    >>> copy_launch((65, 97), Place(x, (1, 65)), Place(y, (97, 1)), 4).kernel.entry
    'transpose'
    """
    if 0 in shape:
        return None
    extents, (from_, to) = merge_axes(shape, (source.strides, target.strides))
    axis = _innermost(extents, from_, to)
    buffers = source.buffer, target.buffer
    if axis is None:
        return _copy(extents, from_, to, buffers, itemsize)
    return _transpose(extents, from_, to, axis, buffers, itemsize)


def _innermost(extents: Ints, from_: Ints, to: Ints) -> int | None:
    """The axis along which neighbours lie closest in the source, if it is not the last one."""
    if not extents or to[-1] != 1:
        return None
    steps = [abs(step) for step in from_]
    nearest = min(steps)
    return None if nearest in (0, steps[-1]) else steps.index(nearest)


def _copy(
    extents: Ints, from_: Ints, to: Ints, buffers: tuple[Buffer, Buffer], itemsize: int
) -> Launch:
    """A unit a thread: of several elements, where that divides everything."""
    unit = 1
    if not extents or from_[-1] == to[-1] == 1:
        unit = WIDEST // itemsize
        multiples = (*extents[-1:], *from_[:-1], *to[:-1]) or (1,)
        offsets = [buffer.offset for buffer in buffers]
        while any(m % unit for m in multiples) or any(o % (unit * itemsize) for o in offsets):
            unit //= 2
    if unit > 1:
        extents = (*extents[:-1], extents[-1] // unit)
        from_, to = ((*(s // unit for s in steps[:-1]), 1) for steps in (from_, to))
    count = prod(extents)
    return Launch(
        Kernel("movement/copy.cu", "copy", (("BYTES", str(unit * itemsize)),)),
        (ceil_div(count, THREADS), 1, 1),
        (THREADS, 1, 1),
        (
            *buffers,
            np.int64(count),
            strided(extents, (from_, to)),
            np.int32(itemsize),
        ),
    )


def _transpose(
    extents: Ints, from_: Ints, to: Ints, a: int, buffers: tuple[Buffer, Buffer], itemsize: int
) -> Launch:
    """Tiles over axis `a` and the last one, and over a third one where these are short."""
    b = len(extents) - 1
    rest = [axis for axis in range(b) if axis != a]
    z = rest.pop() if rest else None
    extent_z, x_z, y_z = (1, 0, 0) if z is None else (extents[z], from_[z], to[z])
    outer = strided(
        tuple(extents[i] for i in rest),
        (tuple(from_[i] for i in rest), tuple(to[i] for i in rest)),
    )
    bytes_, above = ("BYTES", str(itemsize)), prod(extents[i] for i in rest)
    vector = _square(extents, from_, to, a, buffers, itemsize)
    if vector:
        side, warps_b = vector // itemsize, 1
        while warps_b < WARPS and LANES_B * side * warps_b < extents[b]:
            warps_b *= 2
        squares = struct(
            "movement/transpose_vectors.cu", "Squares",
            extent_z=extent_z, extent_a=extents[a], extent_b=extents[b],
            x_z=x_z, x_b=from_[b], y_z=y_z, y_a=to[a],
            warps_b=warps_b,
            outer=outer,
        )  # fmt: skip
        tiles = ceil_div(extents[a], LANES_A * side * (WARPS // warps_b))
        tiles *= ceil_div(extents[b], LANES_B * side * warps_b) * extent_z
        return Launch(
            Kernel(
                "movement/transpose_vectors.cu",
                "transpose_vectors",
                (bytes_, ("VECTOR", str(vector))),
            ),
            (tiles * above, 1, 1),
            (THREADS, 1, 1),
            (*buffers, squares),
        )
    if entry := _of_maps(extents, from_, to, a, buffers, itemsize):
        inwards = entry == "transpose_to_vectors"
        size, rows = (extents[a], extents[b]) if inwards else (extents[b], extents[a])
        tile = min(rows, max(1, TILE_BYTES // (size * ROW_BYTES)) * ROW_BYTES // itemsize)
        maps = struct(
            "movement/transpose_maps.cu", "Maps",
            extent_z=extent_z, rows=rows, size=size, tile=tile,
            x_z=x_z, y_z=y_z, across=to[a] if inwards else from_[b],
            outer=outer,
        )  # fmt: skip
        return Launch(
            Kernel("movement/transpose_maps.cu", entry, (bytes_,)),
            (ceil_div(rows, tile) * extent_z * above, 1, 1),
            (THREADS, 1, 1),
            (*buffers, maps),
            shared=tile * size * itemsize,
        )
    tz, ta, tb = tile_sides(extent_z, extents[a], extents[b], itemsize)
    pitch = _pitch(ta, itemsize)
    params = struct(
        "movement/transpose.cu", "Transpose",
        extent_z=extent_z, extent_a=extents[a], extent_b=extents[b],
        x_z=x_z, x_a=from_[a], x_b=from_[b], y_z=y_z, y_a=to[a],
        tz=tz, ta=ta, tb=tb, pitch=pitch,
        outer=outer,
    )  # fmt: skip
    tiles = ceil_div(extent_z, tz) * ceil_div(extents[a], ta) * ceil_div(extents[b], tb)
    return Launch(
        Kernel("movement/transpose.cu", "transpose", (bytes_,)),
        (tiles * above, 1, 1),
        (THREADS, 1, 1),
        (*buffers, params),
        shared=tz * tb * pitch * itemsize,
    )


def _square(
    extents: Ints, from_: Ints, to: Ints, a: int, buffers: tuple[Buffer, Buffer], itemsize: int
) -> int:
    """Bytes of the vectors that both sides come in; 0 if there are none, or too few for a warp."""
    b = len(extents) - 1
    if itemsize not in (2, 4) or from_[a] != 1 or min(extents[a], extents[b]) * itemsize < 64:
        return 0
    others = [step for i, step in enumerate(from_) if i != a]
    others += [*to[:-1], extents[a], extents[b]]
    for vector in (WIDEST, WIDEST // 2):
        whole = not any(step % (vector // itemsize) for step in others)
        if whole and not any(buffer.offset % vector for buffer in buffers):
            return vector
    return 0


def _of_maps(
    extents: Ints, from_: Ints, to: Ints, a: int, buffers: tuple[Buffer, Buffer], itemsize: int
) -> str:
    """The entry of transpose_maps.cu for short rows without gaps on one side; "" if it has none."""
    b, width = len(extents) - 1, WIDEST // itemsize
    others = [step for i in range(b) if i != a for step in (from_[i], to[i])]
    if from_[a] != 1 or any(step % width for step in others):
        return ""
    if any(buffer.offset % WIDEST for buffer in buffers):
        return ""
    sides = (
        ("transpose_to_vectors", extents[a], from_[b], extents[b], to[a]),
        ("transpose_from_vectors", extents[b], to[a], extents[a], from_[b]),
    )
    for entry, size, step, rows, across in sides:
        fits = size % 2 and step == size <= MAP_BYTES // ROW_BYTES  # even ones meet in banks
        if fits and not (rows % width or across % width):
            return entry
    return ""


def tile_sides(z: int, a: int, b: int, itemsize: int) -> tuple[int, int, int]:
    """Sides of a tile: rows of 128 bytes both ways, or whole extents up to twice that.

    Examples
    --------
    >>> tile_sides(8, 3136, 64, 4), tile_sides(8, 3, 50176, 4), tile_sides(784, 4, 58, 4)
    ((1, 32, 64), (1, 3, 352), (4, 4, 58))
    """
    side = 64 if itemsize <= 2 else 32
    ta, tb = (extent if extent <= 2 * side else side for extent in (a, b))
    if ta < side and b > tb:
        tb = min(b, ceil_div(side, ta) * side)
    elif tb < side and a > ta:
        ta = min(a, ceil_div(side, tb) * side)
    whole = ta == a and tb == b
    tz = min(z, max(1, side * side // (ta * tb))) if whole else 1
    return tz, ta, tb


def _pitch(side: int, itemsize: int) -> int:
    """Elements from a row of the tile to the next: an odd number of banks, or of bank pairs."""
    per_bank = max(1, 4 // itemsize)
    return (ceil_div(side, per_bank) | 1) * per_bank
