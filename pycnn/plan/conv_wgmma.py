"""The algorithms ``implicit_gemm_wgmma``: convolution on Hopper, by im2col maps and `wgmma`.

kernels/conv/implicit_gemm_wgmma.cu has the shape of a matrix product of (pixels, terms) and (terms,
filters). Which elements of x the rows are, the tensor map says: pixels from a base pixel on, as far
from it as the tap is. A weight whose summed channels are not innermost is copied to the workspace.
The gradient with respect to x is the same of dy, phase by phase, with the taps in reverse.

Where y has a multiple of 8 pixels each way and the window is one of 3x3,
kernels/conv/implicit_gemm_wgmma_3x3.cu reads three taps from one copy of x.

kernels/conv/implicit_gemm_wgmma_weight.cu sums over the pixels, so that channels and filters are
rows and columns.

``implicit_gemm_wgmma_tf32`` rounds float32 to TF32, and is taken by its name alone. It has no
gradient of the weight: elements of 16 bits alone may lie across the sum in shared memory.

kernels/conv/implicit_gemm_wgmma_int8.cu has integers of 8 bits (pycnn/plan/conv_int8.py), forward;
implicit_gemm_wgmma_float8.cu floats of 8 bits (pycnn/plan/conv_scaled.py).

Where there are too few tiles for all multiprocessors the sums are cut into parts: of the blocks of
a cluster, which add them up, or of any blocks, as always over pixels; then a second launch does, in
their order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import FLOAT8, FLOATS, QUANTISED
from pycnn.plan import _wgmma, conv_implicit
from pycnn.plan._implicit import Product
from pycnn.plan._wgmma import ALIGNED, MAX_EXTENT, PIECE, Way, depth, step
from pycnn.plan.conv_algorithm import Algorithm, Planner, product
from pycnn.plan.conv_implicit import PARTIAL, Tiler
from pycnn.plan.conv_implicit_mma import (
    IMPLICIT_GEMM_MMA,
    IMPLICIT_GEMM_TF32,
    joined,
    require_channels,
    tiler_of,
)
from pycnn.plan.conv_maps import (
    images_map,
    patched_result_map,
    patches_map,
    pixel_step,
    require_offsets,
    result_map,
    weight_map,
    windows_map,
)
from pycnn.plan.conv_phases import phases
from pycnn.plan.conv_problem import Problem, Unsupported, planned
from pycnn.plan.gemm import HALVES, Flag
from pycnn.runtime.plan import Argument, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

ENTRY = "implicit_gemm_wgmma"
FILE_OF_WEIGHT = f"conv/{ENTRY}_weight.cu"

#: Filters a group, and terms of a sum, from which on "auto" takes it: a rule of thumb. Forward it
#: is predicted to be the fastest on an H200, or near it, from FEW filters on, at any batch; but not
#: with a window over fewer channels than THIN, where most of a stage is empty (docs/model.md). Not
#: yet measured on a GPU.
WIDE, LONG, FEW, THIN = 64, 64, 16, 24

#: Pixels each way that a warpgroup has of a 3x3 convolution: a line for the rows of a swizzle.
SIDE = 8

#: Filters are a multiple of so many where sums are cut: parts are stored by pairs, eight at a time.
PAIRS = 8


@dataclass(frozen=True)
class Kind:
    """Which elements are multiplied.

    Attributes
    ----------
    name : str
        Of the algorithm and its kernel.
    dtypes : tuple of str
    other : Tiler
        What is launched where an array begins at an odd place.
    """

    name: str
    dtypes: tuple[str, ...]
    other: Tiler

    def defines(self, problem: Problem) -> tuple[tuple[str, str], ...]:
        """Those of the kernel that say so."""
        return (problem.scalar,) if len(self.dtypes) > 1 else ()


OF_HALVES = Kind(ENTRY, HALVES, tiler_of(IMPLICIT_GEMM_MMA.name))
OF_TF32 = Kind(f"{ENTRY}_tf32", ("float32",), tiler_of(IMPLICIT_GEMM_TF32.name))


def forward(problem: Problem, limit: int, kind: Kind) -> Plan:
    """y, a tile of pixels and filters at a time."""
    _require(problem, "forward", problem.channels, kind.dtypes)
    problem, weight, copies = conv_implicit.with_channels_last(
        problem, problem.x, (0, 2, 3, 1), limit, kind.other
    )
    if problem.weight.strides[1] != 1:
        raise Unsupported("a copy of the weight with its channels innermost exceeds the workspace")
    copy = conv_implicit.copied(problem, copies)
    product = replace(conv_implicit.forward_product(problem), a=Buffer(weight))
    shape, strides = (
        tuple(values[axis] for axis in (0, 2, 3, 1))
        for values in (problem.weight.shape, problem.weight.strides)
    )
    filters = _Filters(product.a, shape, strides, w_row=problem.filters)
    launches, partial = _launches(problem, product, filters, limit - copy.nbytes, kind)
    workspace = {weight: copy, PARTIAL: problem.sums(partial)}
    return planned(problem, "y", problem.y.shape, (*copies, *launches), workspace)


def backward_input(problem: Problem, limit: int, kind: Kind) -> Plan:
    """dx, phase by phase."""
    _require(problem, "backward_input", problem.filters, kind.dtypes)
    problem, weight, copies = conv_implicit.with_channels_last(
        problem, problem.y, (1, 2, 3, 0), limit, kind.other
    )
    if problem.weight.strides[0] != 1:
        raise Unsupported("a copy of the weight with its filters innermost exceeds the workspace")
    copy = conv_implicit.copied(problem, copies)
    launches, most = [*copies], 0
    empty = []
    for phase in phases(problem):
        of, product = phase.problem, conv_implicit.input_product(phase, weight)
        if not of.taps:  # nothing to sum up
            empty.append((of, product))
            continue
        (_, _, *taps), (w_c, _, *steps) = of.weight.shape, of.weight.strides
        back = sum(step * (count - 1) for step, count in zip(steps, taps, strict=True))
        filters = _Filters(
            Buffer(weight, (phase.weight + back) * problem.itemsize),
            (problem.channels, *taps, problem.weight.shape[0]),
            (w_c, *(-step for step in steps), 1),
            w_group=problem.filters,
            reverse=True,
        )
        more, partial = _launches(of, product, filters, limit - copy.nbytes, kind)
        launches, most = [*launches, *more], max(most, partial)
    launches += joined(empty, kind.other)
    workspace = {weight: copy, PARTIAL: problem.sums(most)}
    return planned(problem, "dx", problem.x.shape, launches, workspace)


def backward_weight(problem: Problem, limit: int, kind: Kind) -> Plan:
    """dweight, a tile of (r, s, c) and filters at a time, over a segment of images and pixels."""
    _require(problem, "backward_weight", 0, kind.dtypes)
    blk_k = depth(problem.dtype)
    require_offsets(problem.dilation, problem.weight.shape[2:])
    images, _, p, q = problem.y.shape
    pixels, filters, chunks = images * p * q, problem.filters, ceil_div(problem.channels, blk_k)
    _require_extents(pixels, problem.x, problem.y)
    product = conv_implicit.weight_product(problem)
    rows, sums = problem.taps * chunks * blk_k, conv_implicit.sums_of(problem, product)
    most = limit // (sums * problem.sum_size)
    if not most:
        raise Unsupported(f"{sums} sums exceed the workspace")
    way = _wgmma.best_way(rows, filters, pixels, problem.groups, most, always=True)
    parts, per_part = way.parts, ceil_div(ceil_div(pixels, blk_k), way.parts)
    params = _params(rows, filters, pixels, way, problem.groups) | {
        "c_outer": sums, "c_inner": sums // problem.groups, "c_row": filters,
    }  # fmt: skip
    window = _window(problem, chunks, per_part) | {
        "x_group": problem.channels, "w_group": filters,
    }  # fmt: skip
    maps = (
        windows_map(problem.x, problem, "x", blk_k),
        images_map(problem.y, "dy", blk_k),
    )
    edge, _ = conv_implicit.choose(problem, product, 0)
    other, add = conv_implicit.launches_of(problem, product, kind.other, edge, parts, parts=True)
    args = (*maps, Buffer(PARTIAL), _gemm(params), _conv(window))
    launch = _launch(FILE_OF_WEIGHT, kind.defines(problem), way, params, args)
    launch = replace(launch, unaligned=other)
    workspace = {PARTIAL: problem.sums(parts * sums)}
    return planned(problem, "dweight", problem.weight.shape, (launch, add), workspace)


def _in_patches(problem: Problem, result: Buffer) -> bool:
    """Whether three taps may read one copy of x, and y is stored by boxes."""
    _, _, p, q = problem.y.shape
    pairs = zip(problem.y.strides, problem.y.shape, strict=True)
    strides = [s for s, extent in pairs if extent > 1 and s != 1]
    return (
        problem.weight.shape[2:] == (3, 3)
        and problem.groups == 1
        and max(*problem.stride, *problem.dilation) == 1
        and p % SIDE == q % SIDE == 0
        and not result.offset % ALIGNED
        and all(s > 0 and s % step(problem.dtype) == 0 for s in strides)
    )


def _require(problem: Problem, direction: str, summed: int, dtypes: Iterable[str]) -> None:
    """Raise `Unsupported` unless a tensor map can describe the operands; `summed` channels."""
    reason = _wgmma.obstacle()
    if reason:
        raise Unsupported(reason)
    if problem.dtype not in dtypes:
        raise Unsupported(f"dtype {problem.dtype}; allowed: {', '.join(dtypes)}")
    require_channels(problem, direction, step(problem.dtype))
    if problem.groups > 1 and summed % depth(problem.dtype):
        raise Unsupported(
            f"sums over {summed} channels in each of {problem.groups} groups; allowed: multiples "
            f"of {depth(problem.dtype)}"
        )


def _require_forward(problem: Problem, pixels: int, result: str) -> None:
    """The same of what is computed, and of its windows."""
    _require_extents(pixels, problem.x, problem.y)
    require_offsets(problem.dilation, problem.weight.shape[2:])
    if problem.y.strides[1] != 1 and problem.y.shape[1] > 1:
        raise Unsupported(
            f"element strides {problem.y.strides} of {result}; allowed: channels innermost"
        )


def _require_extents(pixels: int, *views: View) -> None:
    extents = [extent for view in views for extent in view.shape]
    if max(pixels, *extents) > MAX_EXTENT:
        shapes = " and ".join(str(view.shape) for view in views)
        raise Unsupported(f"{shapes}: {pixels} pixels; allowed: up to {MAX_EXTENT}")


def of_bytes(
    problem: Problem,
    weight: Buffer,
    kernel: Kernel,
    arguments: Sequence[Argument],
    beside: bool = False,
    **ways: Any,
) -> Launch:
    """y of 8-bit elements without zero points, whose sums another launch has not to add up.

    Parameters
    ----------
    problem : Problem
        Channels of its weight are innermost; the dtype of its y is that of the result.
    weight : Buffer
    kernel : Kernel
        Without the tile's defines.
    arguments : sequence of Argument
        What stands between the maps, of which floats have one of y, and the structs.
    beside : bool
        Whether the kernel has clusters of tiles beside each other, and of parts of sums.
    **ways
        What `best_way` chooses among.
    """
    _require(problem, "forward", problem.channels, (*QUANTISED, *FLOAT8))
    pixels, blk_k = problem.y.shape[0] * problem.pixels, depth(problem.dtype)
    _require_forward(problem, pixels, "y")
    filters, chunks = problem.filters, ceil_div(problem.channels, blk_k)
    steps = problem.taps * chunks
    way = _wgmma.best_way(
        pixels, filters, steps * blk_k, problem.groups, dtype=problem.dtype, **ways
    )
    params = _params(pixels, filters, steps * blk_k, way, problem.groups)
    params |= _output(problem, filters)
    window = _window(problem, chunks, ceil_div(steps, way.along)) | {
        "x_group": problem.channels, "w_group": 0, "w_row": filters,
    }  # fmt: skip
    shape, strides = (
        tuple(values[axis] for axis in (0, 2, 3, 1))
        for values in (problem.weight.shape, problem.weight.strides)
    )
    maps = [
        windows_map(problem.x, problem, "x", way.tile[0] // way.across),
        weight_map(weight, problem.weight.dtype, shape, strides, way.tile[1] // way.cluster),
    ]
    if problem.y.dtype in FLOATS:
        boxes = _boxes(problem, Buffer("y"), params)
        arguments = (boxes, *arguments)
    args = (*maps, *arguments, _gemm(params), _conv(window))
    launch = _launch(kernel.file, kernel.defines, way, params, args, beside)
    return replace(launch, kernel=replace(launch.kernel, entry=kernel.entry))


@dataclass(frozen=True)
class _Filters:
    """Where the weight lies: axes (filters, R, S, summed channels), of the last one stride 1.

    Attributes
    ----------
    array : Buffer
    shape, strides : tuple of int
    w_group, w_row : int
        Summed channels, and filters, from one group to the next.
    reverse : bool
        Whether the first tap meets the last pixel of a window.
    """

    array: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    w_group: int = 0
    w_row: int = 0
    reverse: bool = False


def _launches(
    problem: Problem, product: Product, weight: _Filters, limit: int, kind: Kind
) -> tuple[list[Launch], int]:
    """One launch, or two where the sums are cut into parts; and how many sums are stored."""
    images, filters, p, q = problem.y.shape[0], product.m, *problem.y.shape[2:]
    pixels, blk_k = images * p * q, depth(problem.dtype)
    chunks = ceil_div(problem.channels, blk_k)
    steps = problem.taps * chunks
    _require_forward(problem, pixels, product.c.name)
    sums = conv_implicit.sums_of(problem, product)
    most = 1 if filters % PAIRS else limit // (sums * problem.sum_size)
    way = _wgmma.best_way(
        pixels, filters, steps * blk_k, problem.groups, most, clusters=_wgmma.OF_CONV,
        along=_wgmma.ALONG,
        patches=kind is OF_HALVES and _in_patches(problem, product.c),
        dtype=problem.dtype,
    )  # fmt: skip
    parts, patches = way.parts, way.taps > 1
    params = _params(pixels, filters, steps * blk_k, way, problem.groups)
    params |= _output(problem, filters)
    boxes: Argument = _wgmma.NO_MAP
    if patches:
        boxes = patched_result_map(product.c, problem.y, (PIECE[0] // SIDE, SIDE))
        params["flags"] = params["flags"] & ~Flag.EVEN_ROWS | Flag.C_BOXES
    elif parts == 1:
        boxes = _boxes(problem, product.c, params)
    if parts > 1:
        params |= {"c_outer": sums, "c_inner": pixels * filters, "c_row": filters}
    window = _window(problem, chunks, ceil_div(steps, parts * way.along)) | {
        "x_group": problem.channels, "w_group": weight.w_group, "w_row": weight.w_row,
    }  # fmt: skip
    if weight.reverse:
        for axis, side in zip("hw", problem.weight.shape[2:], strict=True):
            step = window[f"step_{axis}"]
            window |= {f"first_{axis}": step * (side - 1), f"step_{axis}": -step}
    if patches:  # of each warpgroup 8x8 pixels
        lines = {axis: window[axis] // SIDE for axis in "pq"}
        window |= lines
        of_x = patches_map(problem.x, product.x.name, (SIDE + _wgmma.TAPS - 1, SIDE))
    else:
        of_x = windows_map(problem.x, problem, product.x.name, way.tile[0] // way.across)
    *pointers, residual, end = problem.epilogue.arguments()
    args: tuple[Argument, ...] = (
        of_x,
        weight_map(
            weight.array, problem.dtype, weight.shape, weight.strides, way.tile[1] // way.cluster
        ),
        boxes, product.c,
        *(() if patches else (Buffer(PARTIAL) if parts > 1 else None,)),
        *pointers, residual and product.residual, end, _gemm(params), _conv(window),
    )  # fmt: skip
    edge, _ = conv_implicit.choose(problem, product, 0)
    other, *add = conv_implicit.launches_of(
        problem, product, kind.other, edge, parts, parts=parts > 1
    )
    file = f"conv/{kind.name}{'_3x3' if patches else ''}.cu"
    launch = _launch(file, kind.defines(problem), way, params, args, beside=not patches)
    launch = replace(launch, unaligned=other)
    return [launch, *add], parts * sums if parts > 1 else 0


def _launch(
    file: str,
    defines: tuple[tuple[str, str], ...],
    way: Way,
    params: dict[str, int],
    args: tuple[Argument, ...],
    beside: bool = False,
) -> Launch:
    """`beside`: the kernel has clusters of tiles beside each other, and of parts of sums."""
    tiles = way.tiles(params["m"], params["n"], params["batches"])
    if tiles >= 2**31:
        raise Unsupported("2^31 tiles or more")
    entry = file.partition("/")[2].removesuffix(".cu")
    own = (("ACROSS", str(way.across)), ("ALONG", str(way.along))) if beside else ()
    return Launch(
        Kernel(file, entry, (*defines, *way.defines, *own)),
        grid=way.grid(tiles),
        block=(_wgmma.threads(way.tile), 1, 1),
        args=args,
        shared=_wgmma.shared_bytes(way.tile, way.taps),
    )


def _params(m: int, n: int, k: int, way: Way, groups: int) -> dict[str, int]:
    """Members of GemmParams that say what is multiplied."""
    tile_m, tile_n = way.tile
    return {
        "m": m, "n": n, "k": k, "batches": way.parts * groups, "inner": groups,
        "tiles_n": ceil_div(n, tile_n), "tile_m": tile_m, "tile_n": tile_n,
    }  # fmt: skip


def _output(problem: Problem, filters: int) -> dict[str, int]:
    """Those that say where channels of C and of what is added lie; pixels are ConvWindow's."""
    residual = problem.epilogue.residual
    across = residual[1] if residual else 0
    group = filters if problem.groups > 1 else 0

    def even(strides: tuple[int, ...]) -> bool:
        steps = [s for s, extent in zip(strides, problem.y.shape, strict=True) if extent > 1]
        return all(s % step(problem.y.dtype) == 0 for s in (*steps, group) if s != 1)

    vectors = Flag.C_VECTOR * even(problem.y.strides)
    if residual and across == 1 and even(residual):
        vectors |= Flag.RESIDUAL_VECTOR
    rows = pixel_step(problem.y.shape, problem.y.strides)
    beside = pixel_step(problem.y.shape, residual) if residual else 0
    if rows is not None and beside is not None:
        vectors |= Flag.EVEN_ROWS
    return {
        "c_row": rows or 0, "residual_row": beside or 0,
        "c_inner": filters, "residual_inner": filters * across, "residual_col": across,
        "channel_inner": filters, "flags": int(vectors),
    }  # fmt: skip


def _boxes(problem: Problem, result: Buffer, params: dict[str, int]) -> Argument:
    """The map by which y is stored, and a flag in `params`; floats are stored without."""
    half = FLOATS[problem.y.dtype].is_half
    boxes = result_map(result, problem.y, problem.groups) if half else None
    params["flags"] |= Flag.C_BOXES * (boxes is not None)
    return boxes or _wgmma.NO_MAP


def _window(problem: Problem, chunks: int, per_part: int) -> dict[str, int]:
    """Members of ConvWindow that say how windows go over x."""
    y_n, _, y_p, y_q = problem.y.strides
    (stride_h, stride_w), (top, left) = problem.stride, problem.pad_begin
    step_h, step_w = problem.dilation
    return {
        "y_n": y_n, "y_p": y_p, "y_q": y_q, "p": problem.y.shape[2], "q": problem.y.shape[3],
        "stride_h": stride_h, "stride_w": stride_w, "top": top, "left": left,
        "first_h": 0, "first_w": 0, "step_h": step_h, "step_w": step_w,
        "s": problem.weight.shape[3], "chunks": chunks, "per_split": per_part, "w_row": 0,
    }  # fmt: skip


def _gemm(params: dict[str, int]) -> np.void:
    names = (f"{x}_{axis}" for x in "abc" for axis in ("outer", "inner", "row", "col"))
    zeros = dict.fromkeys((*names, "residual_outer", "residual_inner", "residual_row"), 0)
    zeros |= {"residual_col": 0, "channel_inner": 0, "flags": 0}
    del zeros["c_col"]
    return struct("pycnn/gemm.cuh", "GemmParams", **zeros | params)


def _conv(window: dict[str, int]) -> np.void:
    divisors = {f"by_{axis}": divisor(window[axis]) for axis in "pq"}
    return struct("pycnn/conv_window.cuh", "ConvWindow", **window | divisors)


def divisor(by: int) -> np.void:
    """struct Divisor: n // by is n * multiplier >> shift, for all n below 2^31.

    Examples
    --------
    >>> seven = divisor(7)
    >>> (2**31 - 1) * int(seven["multiplier"]) >> int(seven["shift"]) == (2**31 - 1) // 7
    True
    """
    shift = 31 + (by - 1).bit_length()
    return struct(
        "pycnn/conv_window.cuh", "Divisor", multiplier=ceil_div(2**shift, by), shift=shift
    )


def _score(problem: Problem, direction: str) -> tuple[int, str]:
    outputs, terms = product(problem, direction)
    why = "{sizes}: Hopper's tensor cores, windows copied by TMA"
    if direction != "forward":
        return 47 if outputs >= WIDE and terms >= LONG else 14, why
    thin = problem.taps > 1 and problem.channels < THIN
    return 52 if outputs >= FEW and terms >= LONG and not thin else 14, why


def _planners(kind: Kind, *directions: str) -> dict[str, Planner]:
    every = {
        "forward": forward,
        "backward_input": backward_input,
        "backward_weight": backward_weight,
    }
    return {direction: partial(every[direction], kind=kind) for direction in directions}


IMPLICIT_GEMM_WGMMA = Algorithm(
    OF_HALVES.name, _planners(OF_HALVES, "forward", "backward_input", "backward_weight"), _score
)
IMPLICIT_GEMM_WGMMA_TF32 = Algorithm(
    OF_TF32.name,
    _planners(OF_TF32, "forward", "backward_input"),
    lambda problem, direction: (-1, "{sizes}: rounds float32 to TF32, by its name alone"),
    by_name=True,
)
