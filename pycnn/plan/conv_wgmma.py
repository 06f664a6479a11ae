"""The algorithm ``implicit_gemm_wgmma``: convolution on Hopper, by im2col maps and `wgmma`.

kernels/conv/implicit_gemm_wgmma.cu has the shape of a matrix product of (pixels, terms) and (terms,
filters). Which elements of x the rows are, the tensor map says: pixels from a base pixel on, as far
from it as the tap is. A weight whose channels are not innermost is copied to the workspace.
"""

from collections.abc import Sequence
from dataclasses import replace

from pycnn.dtypes import FLOATS
from pycnn.plan import _wgmma, conv_implicit
from pycnn.plan._wgmma import BLK_K, MAX_EXTENT, MAX_STRIDE, STEP, Tile
from pycnn.plan.conv_algorithm import Algorithm, product
from pycnn.plan.conv_implicit_mma import IMPLICIT_GEMM_MMA, require_chunks, tiler_of
from pycnn.plan.conv_problem import Ints, Problem, Unsupported, planned
from pycnn.plan.gemm import HALVES, Flag
from pycnn.runtime.plan import Buffer, Kernel, Launch, Plan, TensorMap
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

FILE, ENTRY = "conv/implicit_gemm_wgmma.cu", "implicit_gemm_wgmma"

#: What an im2col map of two spatial axes can have: padding and what is left of x beyond the last
#: base pixel, offsets of a tap, and steps.
CORNERS, MAX_OFFSET, MAX_STEP = (-128, 127), 255, 8

#: Filters a group, and terms of a sum, from which on "auto" takes it: there it is predicted to be
#: the fastest on an H200, or as fast, at any batch (docs/model.md). Not yet measured on a GPU.
WIDE, LONG = 16, 64


def forward(problem: Problem, limit: int) -> Plan:
    """y, a tile of pixels and filters at a time."""
    reason = _wgmma.obstacle()
    if reason:
        raise Unsupported(reason)
    if not FLOATS[problem.dtype].is_half:
        raise Unsupported(f"dtype {problem.dtype}; allowed: {', '.join(HALVES)}")
    require_chunks(problem, "forward")
    if problem.groups > 1 and problem.channels % BLK_K:
        raise Unsupported(
            f"{problem.channels} channels in each of {problem.groups} groups; allowed: multiples "
            f"of {BLK_K}"
        )
    problem, weight, copies = conv_implicit.with_channels_last(
        problem, problem.x, (0, 2, 3, 1), limit, tiler_of(IMPLICIT_GEMM_MMA.name)
    )
    if problem.weight.strides[1] != 1:
        raise Unsupported("a copy of the weight with its channels innermost exceeds the workspace")
    # What is launched where an array begins at an odd place: in one launch, the sums uncut.
    (other,) = IMPLICIT_GEMM_MMA.plan(problem, "forward", 0).launches
    assert isinstance(other, Launch)
    arguments = tuple(Buffer(weight) if a == Buffer("weight") else a for a in other.args)
    launch = replace(_launch(problem, weight), unaligned=replace(other, args=arguments))
    workspace = {weight: conv_implicit.copied(problem, copies)} if copies else {}
    return planned(problem, "y", problem.y.shape, (*copies, launch), workspace)


def _launch(problem: Problem, weight: str) -> Launch:
    images, _, height, width = problem.x.shape
    filters, channels = problem.filters, problem.channels
    _, _, p, q = problem.y.shape
    pixels, depth = images * p * q, ceil_div(channels, BLK_K)
    if max(pixels, height, width, problem.x.shape[1], problem.weight.shape[0]) > MAX_EXTENT:
        raise Unsupported(f"x {problem.x.shape}, y {problem.y.shape}; allowed: up to {MAX_EXTENT}")
    tile = _wgmma.best_tile(pixels, filters, problem.taps * depth * BLK_K, problem.groups)
    tiles = _wgmma.tiles_of(pixels, filters, tile) * problem.groups
    if tiles >= 2**31:
        raise Unsupported("2^31 tiles or more")
    c_row = _even(problem.y.strides, problem.y.shape, "y")
    residual = problem.epilogue.residual
    beside, across = 0, 0
    if residual is not None:
        beside, across = _even(residual, problem.y.shape, "the residual"), residual[1]
    group = filters if problem.groups > 1 else 0
    flags = Flag.C_VECTOR * (c_row % STEP == group % STEP == 0) | Flag.RESIDUAL_VECTOR * (
        across == 1 and beside % STEP == group % STEP == 0
    )
    strides = {f"{x}_{axis}": 0 for x in "ab" for axis in ("outer", "inner", "row", "col")}
    params = struct(
        "pycnn/gemm.cuh", "GemmParams",
        m=pixels, n=filters, k=problem.taps * depth * BLK_K, **strides,
        c_outer=0, c_inner=filters, c_row=c_row,
        residual_outer=0, residual_inner=filters * across, residual_row=beside,
        residual_col=across, channel_inner=filters,
        batches=problem.groups, inner=problem.groups, flags=int(flags),
        tiles_n=ceil_div(filters, tile[1]), tile_m=tile[0], tile_n=tile[1],
    )  # fmt: skip
    (stride_h, stride_w), (dilation_h, dilation_w) = problem.stride, problem.dilation
    top, left = problem.pad_begin
    window = struct(
        "pycnn/conv_window.cuh", "ConvWindow",
        p=p, q=q, stride_h=stride_h, stride_w=stride_w, top=top, left=left,
        dilation_h=dilation_h, dilation_w=dilation_w, s=problem.weight.shape[3], chunks=depth,
        channels=channels, filters=filters,
    )  # fmt: skip
    defines = (problem.scalar, ("TILE_M", str(tile[0])), ("TILE_N", str(tile[1])))
    return Launch(
        Kernel(FILE, ENTRY, defines),
        grid=_wgmma.grid(tiles),
        block=(_wgmma.THREADS, 1, 1),
        args=(
            _map_of_x(problem, tile),
            _map(Buffer(weight), problem.dtype, problem.weight.shape, problem.weight.strides,
                 (tile[1], 1, 1, BLK_K), "the weight"),
            Buffer("y"), *problem.epilogue.arguments(), params, window,
        ),
        shared=_wgmma.shared_bytes(tile),
    )  # fmt: skip


def _map_of_x(problem: Problem, tile: Tile) -> TensorMap:
    """Base pixels are those under the first tap, as many in a row as y has."""
    lower = tuple(-pad for pad in problem.pad_begin)
    upper = tuple(
        low + (count - 1) * step + 1 - extent
        for low, count, step, extent in zip(
            lower, problem.y.shape[2:], problem.stride, problem.x.shape[2:], strict=True
        )
    )
    least, most = CORNERS
    if min(*lower, *upper) < least or max(*lower, *upper) > most:
        raise Unsupported(
            f"windows that begin from {lower} on and end {upper} beyond the last pixel; allowed: "
            f"{least} to {most}"
        )
    sides = zip(problem.dilation, problem.weight.shape[2:], strict=True)
    reach = max(dilation * (side - 1) for dilation, side in sides)
    if reach > MAX_OFFSET:
        raise Unsupported(f"a window of {reach + 1} pixels; allowed: {MAX_OFFSET + 1}")
    if max(problem.stride) > MAX_STEP:
        raise Unsupported(f"stride {problem.stride}; allowed: up to {MAX_STEP}")
    whole = _map(Buffer("x"), problem.dtype, problem.x.shape, problem.x.strides, (), "x")
    return replace(whole, box=(tile[0], BLK_K), corners=(lower, upper), steps=tuple(problem.stride))


def _map(array: Buffer, dtype: str, shape: Ints, strides: Ints, box: Ints, name: str) -> TensorMap:
    """Of an array (N, C, H, W) or (K, C, R, S), channels last."""
    extents, steps = ([values[axis] for axis in (0, 2, 3, 1)] for values in (shape, strides))
    reach = steps[-1] = 1
    for axis in reversed(range(3)):
        # Where there is one index the stride is none of the array's: anything a map may have.
        reach *= extents[axis + 1]
        if extents[axis] == 1:
            steps[axis] = ceil_div(reach, STEP) * STEP
        reach = max(reach, steps[axis])
        if steps[axis] % STEP or not 1 <= steps[axis] < MAX_STRIDE:
            raise Unsupported(
                f"element strides {strides} of {name}; allowed: multiples of {STEP} from {STEP} to "
                f"{MAX_STRIDE - 1}, and 1 for channels"
            )
    return TensorMap(array, dtype, tuple(extents), tuple(steps), box)


def _even(strides: Sequence[int], shape: Ints, name: str) -> int:
    """From a pixel to the next, of all images, rows and columns alike."""
    _, _, p, q = shape
    axes = ((strides[3], q, 1), (strides[2], p, q), (strides[0], shape[0], p * q))
    step = next((s // count for s, extent, count in axes if extent > 1), 0)
    if any(s != step * count for s, extent, count in axes if extent > 1):
        raise Unsupported(f"element strides {tuple(strides)} of {name}; allowed: pixels in one row")
    if name == "y" and (strides[1] != 1 and shape[1] > 1):
        raise Unsupported(f"element strides {tuple(strides)} of y; allowed: channels innermost")
    return step


def _score(problem: Problem, direction: str) -> tuple[int, str]:
    outputs, terms = product(problem, direction)
    wide = outputs >= WIDE and terms >= LONG
    return 52 if wide else 14, "{sizes}: Hopper's tensor cores, windows copied by TMA"


IMPLICIT_GEMM_WGMMA = Algorithm(ENTRY, {"forward": forward}, _score)
