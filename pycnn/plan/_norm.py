"""How the kernels of normalisation walk over a tensor: kernels/include/pycnn/norm*.cuh.

A *set* is the elements of one channel, of all images or of each. Sets of planes, whose elements
are neighbours, and sets of rows, whose channels are, have kernels of their own: `walk` chooses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm, prod

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._strided import Ints, row_major, strided
from pycnn.runtime.plan import SCALAR, ArraySpec, Dim3, Kernel
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

#: THREADS, LANES and ROWS of the kernels, and the bytes of one vector.
THREADS = 256
LANES = 32
WARPS = THREADS // LANES
ROWS = 4
VECTOR_BYTES = 16

#: Blocks that fill any GPU several times; and of those that leave partial results each,
#: or read what rows are computed with.
BLOCKS, BLOCKS_REDUCED = 1024, 512

#: Vectors a thread should have before another block takes a share of its set.
SHARE = 4


@dataclass(frozen=True)
class Walk:
    """Kernels that walk over all sets, and how.

    Attributes
    ----------
    name : str
        End of the entries' names: ``planes``, ``rows``, or ``few``: of apply.cu alone.
    grid, block : (int, int, int)
    parameters : numpy.void
        struct Planes or Rows.
    sets, segments : int
        Partial results that a reduction leaves: `segments` for each set, neighbours.
    """

    name: str
    grid: Dim3
    block: Dim3
    parameters: np.void
    sets: int
    segments: int


def channels_first(values: Sequence[int], layout: str) -> Ints:
    """Extents or strides of a tensor of this layout, in the order N, C, then the others.

    Examples
    --------
    >>> channels_first((2, 7, 9, 3), "NHWC")
    (2, 3, 7, 9)
    """
    if layout == "NHWC" and len(values) > 2:
        return values[0], values[-1], *values[1:-1]
    return tuple(values)


def walk(
    shape: Ints,
    operands: Sequence[Ints],
    dtype: str,
    layout: str,
    *,
    per_image: bool,
    reduced: bool = True,
) -> Walk:
    """How kernels go over the channels of operands of one shape.

    Parameters
    ----------
    shape : tuple of int
        In the order of `layout`.
    operands : sequence of tuple of int
        Element strides of each.
    dtype, layout : str
    per_image : bool
        Whether a channel of each image is a set of its own.
    reduced : bool, default True
        Whether the kernels leave partial results.

    Examples
    --------
    >>> strides = (50176, 784, 28, 1)
    >>> w = walk((2, 64, 28, 28), [strides], "float32", "NCHW", per_image=False)
    >>> w.name, w.sets
    ('planes', 64)
    """
    extents = channels_first(shape, layout)
    strides = [channels_first(s, layout) for s in operands]
    width = VECTOR_BYTES // FLOATS[dtype].itemsize
    if layout == "NCHW" and prod(extents[2:]) > 1:
        if not per_image and _are_small_maps(extents, strides, width):
            return rows_walk(
                (1, extents[:1], extents[1:]),
                image=[0] * len(strides),
                along=[s[:1] for s in strides],
                across=[s[1:] for s in strides],
                width=width,
                spread_out=True,
            )
        return _planes(extents, strides, width, per_image, reduced)
    images, rest = (extents[0], extents[2:]) if per_image else (1, (extents[0], *extents[2:]))
    kept = slice(2, None) if per_image else slice(None)
    along = [(s[kept] if per_image else (s[0], *s[2:])) for s in strides]
    across = [(s[1],) for s in strides]
    image = [s[0] if per_image else 0 for s in strides]
    sizes = (images, rest, (extents[1],))
    return rows_walk(sizes, image, along, across, width)


def rows_walk(
    extents: tuple[int, Ints, Ints],
    image: Sequence[int],
    along: Sequence[Ints],
    across: Sequence[Ints],
    width: int,
    *,
    spread_out: bool = False,
) -> Walk:
    """Sets of rows: (images, axes of the rows, axes of the columns) and each operand's strides.

    The first axis of the columns numbers the channels.
    """
    images, rows, columns = extents[0], prod(extents[1]), prod(extents[2])
    spread = max(prod(extents[2][1:]), 1) if spread_out else 1
    if spread > 1:
        lanes = lcm(spread, width) // width
    else:
        lanes = min(LANES, 1 << (max(ceil_div(columns, width), 1) - 1).bit_length())
    tiles = ceil_div(columns, lanes * width)
    blocks = max(images * tiles, 1)
    share = rows // (THREADS // lanes * ROWS * 2)
    segments = max(min(ceil_div(BLOCKS_REDUCED, blocks), share, 65535), 1)
    segment = max(ceil_div(rows, segments), 1)
    segments = max(ceil_div(rows, segment), 1)
    parameters = struct(
        "pycnn/norm_rows.cuh", f"Rows<{len(along)}>",
        columns=columns, spread=spread, lanes=lanes, tiles=max(tiles, 1),
        rows=rows, segment=segment,
        image=image,
        along=strided(extents[1], along),
        across=strided(extents[2], across),
    )  # fmt: skip
    grid = (blocks, segments, 1)
    return Walk("rows", grid, (THREADS, 1, 1), parameters, images * columns // spread, segments)


def _are_small_maps(extents: Ints, strides: Sequence[Ints], width: int) -> bool:
    """Whether the maps of an image are whole vectors together, but not one by one."""
    elements = prod(extents[2:])
    maps = row_major(extents[1:])
    return (
        elements % width != 0
        and lcm(elements, width) // width <= THREADS
        and prod(extents[1:]) % width == 0
        and all(s[1:] == maps and s[0] % width == 0 for s in strides)
    )


def _planes(
    extents: Ints, strides: Sequence[Ints], width: int, per_image: bool, reduced: bool
) -> Walk:
    images, channels, length = extents[0], extents[1], prod(extents[2:])
    sets, planes = (images * channels, 1) if per_image else (channels, images)
    share = planes * length // (THREADS * width * SHARE)
    blocks = BLOCKS_REDUCED if reduced else BLOCKS
    segments = max(min(ceil_div(blocks, max(sets, 1)), share, 65535), 1)
    whole = LANES * width  # a piece is a multiple of what a warp takes at a time
    wanted = ceil_div(WARPS * segments, max(planes, 1))
    chunk = ceil_div(length, wanted * whole) * whole
    chunks = ceil_div(length, chunk)
    pieces = max(ceil_div(planes * chunks, segments), 1)
    segments = max(ceil_div(planes * chunks, pieces), 1)
    parameters = struct(
        "pycnn/norm_planes.cuh", f"Planes<{len(strides)}>",
        per_image=channels, planes=planes, length=length,
        chunk=chunk, chunks=chunks, pieces=pieces,
        image=[s[0] if per_image else 0 for s in strides],
        channel=[s[1] for s in strides],
        plane=[0 if per_image else s[0] for s in strides],
        along=strided(extents[2:], [s[2:] for s in strides]),
    )  # fmt: skip
    grid = (max(sets, 1), segments, 1)
    return Walk("planes", grid, (LANES, WARPS, 1), parameters, sets, segments)


def parameters(
    views: Mapping[str, View],
    dtype: str,
    channels: int,
    group: int = 1,
    *,
    mean: str = "mean",
    spread: str = "rstd",
    eps: float = 0.0,
    packed: bool = False,
) -> np.void:
    """struct NormParams: how many channels share a statistic, and where the statistics are."""
    named = {"weight": "weight", "bias": "bias", "mean": mean, "spread": spread}
    return struct(
        "pycnn/norm.cuh",
        "NormParams",
        channels=channels,
        group=group,
        **{field: step(views.get(name)) for field, name in named.items()},
        **{f"{field}_wide": is_wide(views.get(name), dtype) for field, name in named.items()},
        spread_is_variance=spread.endswith("var"),
        packed=packed,
        eps=eps,
    )


def step(view: View | None) -> int:
    """Elements from one parameter to the next."""
    return 1 if view is None or view.shape[0] < 2 else view.strides[0]


def is_wide(view: View | None, dtype: str) -> bool:
    """Whether a parameter is of the type that `dtype` is computed in: so are what kernels make."""
    return FLOATS[dtype].is_half and (view is None or view.dtype != dtype)


def kernel(file: str, entry: str, dtype: str) -> Kernel:
    """An entry of a file of ``kernels/norm/``."""
    return Kernel(f"norm/{file}.cu", entry, (("SCALAR", SCALAR[dtype]),))


def computed_in(dtype: str) -> np.dtype:
    """The dtype of statistics."""
    return numpy_dtype(FLOATS[dtype].accumulate)


def partial(w: Walk, numbers: int, dtype: str) -> ArraySpec:
    """Workspace for what a reduction leaves of every segment."""
    return ArraySpec((max(w.sets, 1), w.segments, numbers), computed_in(dtype))


def warp_each(count: int) -> tuple[Dim3, Dim3]:
    """Grid and block with a warp for each of `count` things."""
    return (max(ceil_div(count, WARPS), 1), 1, 1), (THREADS, 1, 1)


def block_each(count: int, parts: int) -> tuple[Dim3, Dim3]:
    """Grid and block with a block for each of `count` things, of so many parts.

    Examples
    --------
    >>> block_each(64, 1024), block_each(2048, 3)
    (((64, 1, 1), (256, 1, 1)), ((2048, 1, 1), (32, 1, 1)))
    """
    warps = min(1 << (ceil_div(max(parts, 1), 2 * LANES) - 1).bit_length(), WARPS)
    return (max(count, 1), 1, 1), (LANES * warps, 1, 1)
