"""The algorithm ``implicit_gemm_mma``: the product of ``implicit_gemm`` on tensor cores.

kernels/conv/implicit_gemm_mma.cu copies eight 16-bit channels of a pixel at a time. So channels lie
side by side, in x and dy, a multiple of eight of them in a group; a weight whose summed channels do
not is copied to the workspace.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import IntFlag
from math import prod

from pycnn.dtypes import FLOATING, FLOATS
from pycnn.plan import conv_implicit
from pycnn.plan._implicit import Product
from pycnn.plan.conv_algorithm import Algorithm, Planner, product
from pycnn.plan.conv_implicit import Tiling
from pycnn.plan.conv_problem import Problem, Unsupported
from pycnn.runtime.plan import Kernel, Plan
from pycnn.shapes import ceil_div

#: Elements in 16 bytes, elements of k in a tile, threads of a block.
CHUNK, BLK_K, THREADS = 8, 32, 256

#: Offsets within a window, and from one pixel of a tile to another, are 32-bit.
MAX_OFFSET = 2**31 - 1

#: Outputs a group, and terms of their sums, below which most of a tile is idle. A rule of thumb,
#: not yet measured on a GPU.
WIDE, LONG = 16, 64


class Chunked(IntFlag):
    """enum Chunked of kernels/include/pycnn/implicit_gemm.cuh."""

    OPERANDS = 1
    C = 2


def chunks(problem: Problem, product: Product, tile: int) -> tuple[Product, Tiling]:
    """What conv/implicit_gemm_mma.cu makes of a product; raises `Unsupported`."""
    along_k = product.b_k_major
    defines = (problem.scalar, ("TILE", str(tile)), ("ALONG_K", str(int(along_k))))
    kernel = Kernel("conv/implicit_gemm_mma.cu", "implicit_gemm_mma", defines)
    if along_k:
        if product.k.other[-1] != 1:
            raise Unsupported(
                "a copy of the weight with its channels innermost exceeds the workspace"
            )
        product = replace(product, k=product.k.chunked(CHUNK))
        depth = step = BLK_K // CHUNK
        steps = (*product.k.other, product.a_m, *product.k.x, *product.n.x)
    else:
        depth, step = BLK_K, THREADS * CHUNK // tile
        steps = (*product.k.other, *product.k.x, *product.n.x[:-1])
    _require_offsets(product, tile)
    operands = _aligned(*steps, product.a_group)
    c = product.c_m == 1 and _aligned(*product.n.other, product.c_group)
    vectors = Chunked.OPERANDS * operands | Chunked.C * c
    return product, Tiling(kernel, step, depth, True, vectors)


def _aligned(*strides: int) -> bool:
    return all(stride % CHUNK == 0 for stride in strides)


def _require_offsets(product: Product, tile: int) -> None:
    """Raise `Unsupported` unless the kernel's 32-bit offsets reach: see the range of the kernel."""
    images, *plane = product.n.extents
    if product.b_k_major:  # n is (n, p, q), of which a tile spans few images; k is a window
        images = min(images, ceil_div(tile, max(1, prod(plane))) + 1)
        window = max(
            _reach(product.k.x, product.k.extents), _reach(product.k.other, product.k.extents)
        )
    else:  # k is (n, p, q), with offsets of 64 bits from image to image; n is a window
        window = max(_reach(s[1:], product.k.extents[1:]) for s in (product.k.x, product.k.other))
        window = max(window, abs(product.k.x[0]), abs(product.k.other[0]))
    reach = window + max(_reach(product.n.x, (images, *plane)), abs(product.a_m) * tile)
    if reach > MAX_OFFSET:
        raise Unsupported(f"a tile reaches over {reach} elements; allowed: {MAX_OFFSET}")
    if product.k.count > MAX_OFFSET:
        raise Unsupported(f"{product.k.count} indices of a sum; allowed: {MAX_OFFSET}")


def _reach(strides: Sequence[int], extents: Sequence[int]) -> int:
    return sum(abs(s) * e for s, e in zip(strides, extents, strict=True))


def _planner(direction: str) -> Planner:
    general = getattr(conv_implicit, direction)

    def planner(problem: Problem, limit: int) -> Plan:
        require_chunks(problem, direction)
        return general(problem, limit, chunks)

    return planner


def require_chunks(problem: Problem, direction: str) -> None:
    """Raise `Unsupported` unless chunks of channels lie side by side."""
    if not FLOATS[problem.dtype].is_half:
        allowed = ", ".join(name for name in FLOATING if FLOATS[name].is_half)
        raise Unsupported(f"dtype {problem.dtype}; allowed: {allowed}")
    if problem.mode != "zeros":
        raise Unsupported(f"padding mode {problem.mode!r}; allowed: 'zeros'")
    k, c = problem.filters, problem.channels
    read = {
        "forward": {"x": c},
        "backward_input": {"y": k},
        "backward_weight": {"x": c, "y": k},
    }
    for name, channels in read[direction].items():
        view = getattr(problem, name)
        array = name if name == "x" or direction == "forward" else "dy"
        if not view.channels_last:
            raise Unsupported(
                f"element strides {view.strides} of {array}; allowed: channels innermost"
            )
        if channels % CHUNK:
            raise Unsupported(
                f"{array} has {channels} channels a group; allowed: multiples of {CHUNK}"
            )


def _score(problem: Problem, direction: str) -> tuple[int, str]:
    outputs, terms = product(problem, direction)
    wide = outputs >= WIDE and terms >= LONG
    return 46 if wide else 15, "{sizes}: tensor cores, no columns to make"


IMPLICIT_GEMM_MMA = Algorithm(
    "implicit_gemm_mma",
    {name: _planner(name) for name in ("forward", "backward_input", "backward_weight")},
    _score,
)
