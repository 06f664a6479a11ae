"""The algorithm ``few_channels_mma``: tensor cores where no 16 bytes are channels of one pixel.

A network's first layer has three channels. kernels/conv/few_channels_mma.cu takes a row of a
window as one run of neighbours, S C of them, and reads its operands from a patch of x in shared
memory. The weight is copied to the workspace as the fragments that tensor cores take, with zeros
where a run ends before its chunks of 16 bytes do.

``implicit_gemm_tf32`` is planned so, too, where the channels of float32 are no multiple of four.
"""

from math import ceil

import numpy as np

from pycnn.dtypes import FLOATS
from pycnn.plan._implicit import Chunked
from pycnn.plan.conv_algorithm import Algorithm, product
from pycnn.plan.conv_problem import Problem, Unsupported, flat_grid, planned
from pycnn.plan.gemm import HALVES
from pycnn.runtime.occupancy import limits_of
from pycnn.runtime.plan import ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.runtime.target import no_tensor_cores, target
from pycnn.shapes import ceil_div

FILE, HEADER, ENTRY = "conv/few_channels_mma.cu", "pycnn/few_channels.cuh", "few_channels_mma"
THREADS = 128

#: Rows and columns of a tile of pixels, and its filters; blocks that registers leave to a
#: multiprocessor.
TILE_ROWS, TILE, FILTERS, BLOCKS = 8, 16, 64, 3

#: Bytes of a chunk; chunks of a run that there are kernels for, where windows begin an even and an
#: odd number of elements apart.
CHUNK, RUNS = 16, ((2, 3, 4, 6), (2, 4))

#: Bytes of sums, and of the fragments of a product, in shared memory.
SUMS, PRODUCT = 64 * (FILTERS + 8) * 4, FILTERS * 32

#: Extents of x, and elements of its rows.
MOST = 2**31 - 2**18

#: Outputs, and terms of their sums, from which on "auto" takes it. A rule of thumb, not yet
#: measured on a GPU.
WIDE, LONG = 16, 24


def forward(problem: Problem, limit: int) -> Plan:
    """y, a tile of pixels and filters a block at a time."""
    if problem.dtype not in HALVES:
        raise Unsupported(f"dtype {problem.dtype}; allowed: {', '.join(HALVES)}")
    return forward_of(problem, limit)


def forward_of(problem: Problem, limit: int) -> Plan:
    """The same of float32, too, rounded to TF32."""
    _require(problem)
    images, k, p, q = problem.y.shape
    _, c, r, s = problem.weight.shape
    chunk = CHUNK // problem.itemsize  # elements
    run, step = s * c, problem.stride[1] * c
    left, odd = problem.pad_begin[1] * c, step % 2 * (chunk == 8)
    longest = run + (chunk == 8 and (odd or left % 2))
    chunks = next((n for n in RUNS[odd] if n * chunk >= longest), 0)
    if not chunks:
        raise Unsupported(f"runs of {longest} terms; allowed: up to {RUNS[odd][-1] * chunk}")
    rows = (TILE_ROWS - 1) * problem.stride[0] + (r - 1) * problem.dilation[0] + 1
    pitch = ceil((chunk - 1 + (TILE - 1) * step + chunks * chunk) / chunk)
    products = ceil_div(r * chunks, 2)
    of_weight = (1 + odd) * products * PRODUCT
    blocks, shared = _fitting(SUMS + of_weight + 2 * rows * pitch * CHUNK)
    tiles_p, tiles_q, tiles_k = ceil_div(p, TILE_ROWS), ceil_div(q, TILE), ceil_div(k, FILTERS)
    tiles, size = images * tiles_p * tiles_q, tiles_k * of_weight
    if tiles > MOST or size > MOST or size > limit:
        raise Unsupported(f"a weight of {size} bytes for {tiles} tiles exceeds the workspace")
    x_n, _, x_h, _ = problem.x.strides
    params = struct(
        HEADER, "FewChannels",
        x_n=x_n, x_h=x_h,
        **dict(zip(("w_k", "w_c", "w_r", "w_s"), problem.weight.strides, strict=True)),
        **dict(zip(("y_n", "y_k", "y_p", "y_q"), problem.y.strides, strict=True)),
        h=problem.x.shape[2], row=problem.x.shape[3] * c, c=c,
        k=k, r=r, p=p, q=q,
        stride_h=problem.stride[0], dilation_h=problem.dilation[0], top=problem.pad_begin[0],
        step=step, left=left, run=run,
        rows=rows, pitch=pitch, row_step=THREADS // pitch, chunk_step=THREADS % pitch,
        tiles_p=tiles_p, tiles_q=tiles_q, tiles=tiles,
        products=products, vectors=_vectors(problem, chunk), reserved=0,
    )  # fmt: skip
    defines = (problem.scalar, ("RUN", str(chunks)), ("ODD", str(odd)))
    weight = Buffer("weight_fragments")
    pack = Launch(
        Kernel(FILE, "few_channels_weight", defines),
        flat_grid(size // 4, THREADS, "the weight's fragments"),
        (THREADS, 1, 1),
        (Buffer("weight"), weight, params),
    )
    at_once = ceil_div(target().processors * blocks, tiles_k)
    main = Launch(
        Kernel(FILE, ENTRY, defines),
        (min(tiles, at_once), tiles_k, 1),
        (THREADS, 1, 1),
        (Buffer("x"), weight, Buffer("y"), *problem.epilogue.arguments(), params),
        shared,
    )
    workspace = {weight.name: ArraySpec((size // 4,), np.dtype(np.uint32))}
    return planned(problem, "y", problem.y.shape, (pack, main), workspace)


def _require(problem: Problem) -> None:
    if reason := no_tensor_cores():
        raise Unsupported(reason)
    if problem.mode != "zeros":
        raise Unsupported(f"padding mode {problem.mode!r}; allowed: 'zeros'")
    if problem.groups > 1 or problem.dilation[1] > 1:
        raise Unsupported(
            f"groups={problem.groups}, dilation {problem.dilation}; allowed: groups=1, a dilation "
            "of 1 along rows"
        )
    _, c, h, w = problem.x.shape
    _, of_channel, _, of_pixel = problem.x.strides
    if (of_channel, of_pixel) != (1, c) and not c == of_pixel == 1:
        raise Unsupported(
            f"element strides {problem.x.strides} of x; allowed: channels innermost, pixels side "
            "by side"
        )
    extents = problem.y.shape[2:]
    steps = (n * step * c for n, step in zip(extents, problem.stride, strict=True))
    sides = (h, w * c, *extents, *steps, *(pad * c for pad in problem.pad_begin))
    residual = problem.epilogue.residual or (0, 0, 0, 0)
    apart = max(TILE * (abs(s[2]) + abs(s[3])) for s in (problem.y.strides, residual))
    if max(*sides, apart) > MOST or problem.y.shape[1] >= 2**16 * FILTERS:
        raise Unsupported(
            f"x {problem.x.shape} to y {problem.y.shape}; allowed: tiles and rows below 2^31"
        )


def _fitting(shared: int) -> tuple[int, int]:
    """Blocks that a multiprocessor has room for, and the shared memory of one."""
    limits = limits_of(target().arch)
    room = limits.shared - limits.reserved
    if shared > room:
        raise Unsupported(f"{shared} bytes of shared memory; allowed: {room}")
    return min(BLOCKS, limits.shared // (shared + limits.reserved)), shared


def _vectors(problem: Problem, chunk: int) -> int:
    """Where strides keep chunks aligned: enum Chunked of implicit_gemm.cuh."""

    def aligned(*strides: int) -> bool:
        return all(stride % chunk == 0 for stride in strides)

    x_n, _, x_h, _ = problem.x.strides
    y_n, y_k, *pixel = problem.y.strides
    n, channel, *beside = problem.epilogue.residual or (0, 0)
    vectors = Chunked.OPERANDS * aligned(x_n, x_h)
    vectors |= Chunked.C * (y_k == 1 and aligned(y_n, *pixel))
    return vectors | Chunked.RESIDUAL * (channel == 1 and aligned(n, *beside))


def _score(problem: Problem, direction: str) -> tuple[int, str]:
    outputs, terms = product(problem, direction)
    few = problem.channels % (CHUNK // FLOATS[problem.dtype].itemsize)
    why = "{sizes}: tensor cores, rows of windows as they lie in memory"
    return 53 if few and outputs >= WIDE and terms >= LONG else 14, why


FEW_CHANNELS_MMA = Algorithm(ENTRY, {"forward": forward}, _score)
