"""The product of ``implicit_gemm`` by chunks of channels: on tensor cores, or float32 one by one.

The kernels, of kernels/include/pycnn/implicit_gemm_mma.cuh, copy 16 bytes of channels of a pixel at
a time: eight of 16 bits, four of float32. So channels lie side by side, in x and dy, a multiple of
so many of them in a group; a weight whose summed channels do not is copied to the workspace.

``implicit_gemm_ffma`` multiplies float32 as it is, with no tensor core, and forward takes few
channels as well, of any number: term by term, found in a table. ``implicit_gemm_tf32``
rounds every factor, ``implicit_gemm_tf32x3`` keeps the accuracy of float32 by three products;
``auto`` takes neither of these two. Of few channels, such as a network's first layer has,
``implicit_gemm_tf32`` is planned by `pycnn.plan.conv_few_channels`.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

from pycnn.dtypes import FLOATING, FLOATS
from pycnn.plan import conv_few_channels, conv_implicit
from pycnn.plan._implicit import HEADER, Chunked, Product
from pycnn.plan.conv_algorithm import Algorithm, Planner, Score, product
from pycnn.plan.conv_implicit import Parts, Tiler, Tiling, blocks_of
from pycnn.plan.conv_problem import Problem, Unsupported, flat_grid
from pycnn.plan.gemm import FILL
from pycnn.runtime.plan import SCALAR, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.runtime.target import no_tensor_cores
from pycnn.shapes import ceil_div

#: Bytes that are copied at a time; by the edge of a tile, how many such chunks of k it has.
BYTES, DEPTH = 16, {64: 8, 128: 4}

#: The kernel that needs no tensor cores.
FFMA = "implicit_gemm_ffma"

#: The kernel of several products at once, and `PHASES` of its header; a block that there is not.
SEVERAL, PHASES, NEVER = "implicit_gemm_phases", 4, 2**32 - 1

#: The same of few channels, and terms of a window that it takes.
FEW, MOST_TERMS = "few_channels_ffma", 384

#: Taps along an axis of a window: a thread has a bit for each of 15 rows and columns.
MOST_TAPS = 15

#: Offsets within a window, and from one pixel of a tile to another, are 32-bit.
MAX_OFFSET = 2**31 - 1

#: Outputs a group, and terms of their sums, below which most of a tile is idle. A rule of thumb,
#: not yet measured on a GPU.
WIDE, LONG = 16, 64


def tiler_of(name: str) -> Tiler:
    """What conv/NAME.cu makes of a product; raises `Unsupported`."""

    def tiler(problem: Problem, product: Product, tile: int) -> tuple[Product, Tiling]:
        along_k, chunk = product.b_k_major, BYTES // problem.itemsize
        many = (name, tile) == ("implicit_gemm_tf32x3", 128)
        threads = tile if name == FFMA else 256 if many else 128
        chunks = 4 if name == FFMA else DEPTH[tile]
        typed = (problem.scalar,) if name == "implicit_gemm_mma" else ()
        defines = (*typed, ("TILE", str(tile)), ("ALONG_K", str(int(along_k))))
        product = replace(product, k=product.k.settled, n=product.n.settled)
        if along_k:
            product, aligned = in_chunks(product, chunk, tile)
            depth = chunks
        else:
            depth = chunks * chunk
            _require_offsets(product, tile)
            steps = (*product.k.other, *product.k.x, *product.n.x[:-1], product.a_group)
            aligned = _aligned(chunk, *steps) and _near(product, chunk)
        n, channel, *pixel = problem.epilogue.residual or (0, 0)
        residual = channel == 1 and _aligned(chunk, n, *pixel)
        vectors = Chunked.OPERANDS * aligned | chunked_c(product, chunk)
        vectors |= Chunked.RESIDUAL * residual
        kernel = Kernel(f"conv/{name}.cu", name, defines)
        return product, Tiling(kernel, depth, depth, True, vectors, threads, name == FFMA)

    return tiler


def of_few_channels(problem: Problem, product: Product, tile: int) -> tuple[Product, Tiling]:
    """What conv/few_channels_ffma.cu makes of a product; raises `Unsupported`."""
    r, s, c = product.k.extents
    terms, dense = product.k.settled, replace(product.k, other=(s * c, c, 1)).settled
    if product.k.count > MOST_TERMS or max(r, s) > MOST_TAPS:
        raise Unsupported(
            f"a window of {r}x{s}, {product.k.count} terms; allowed: up to {MOST_TAPS} a side and "
            f"{MOST_TERMS} terms"
        )
    if terms.other != dense.other:
        raise Unsupported("a copy of the weight with its terms side by side exceeds the workspace")
    product = replace(product, k=terms, n=product.n.settled)
    _require_offsets(product, tile)
    chunk = BYTES // problem.itemsize
    n, channel, *pixel = problem.epilogue.residual or (0, 0)
    residual = channel == 1 and _aligned(chunk, n, *pixel)
    vectors = chunked_c(product, chunk) | Chunked.RESIDUAL * residual
    kernel = Kernel(f"conv/{FEW}.cu", FEW)
    return product, Tiling(kernel, 4 * chunk, 4 * chunk, True, vectors, tile, True, True)


def in_chunks(product: Product, chunk: int, tile: int) -> tuple[Product, bool]:
    """With so many channels of a tap for an index of k, and whether all of them are aligned."""
    if product.k.other[-1] != 1:
        raise Unsupported("a copy of the weight with its channels innermost exceeds the workspace")
    r, s, _ = product.k.extents
    if max(r, s) > MOST_TAPS:
        raise Unsupported(f"a window of {r}x{s}; allowed: up to {MOST_TAPS} a side")
    product = replace(product, k=product.k.chunked(chunk))
    _require_offsets(product, tile)
    steps = (*product.k.other, product.a_m, *product.k.x, *product.n.x, product.a_group)
    return product, _aligned(chunk, *steps)


def chunked_c(product: Product, chunk: int) -> int:
    """`Chunked.C` where so many outputs lie side by side and aligned."""
    fits = product.c_m == 1 and _aligned(chunk, *product.n.other, product.c_group)
    return Chunked.C * fits


def _aligned(chunk: int, *strides: int) -> bool:
    return all(stride % chunk == 0 for stride in strides)


def _near(product: Product, chunk: int) -> bool:
    """Whether 32 bits tell all chunks of an operand apart, from the first k to the last."""
    k = product.k
    return max(_reach(k.x, k.extents), _reach(k.other, k.extents)) <= chunk * MAX_OFFSET


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


def _planner(name: str, dtypes: Sequence[str], direction: str) -> Planner:
    general, tiler = getattr(conv_implicit, direction), tiler_of(name)

    def planner(problem: Problem, limit: int) -> Plan:
        if problem.dtype not in dtypes:
            raise Unsupported(f"dtype {problem.dtype}; allowed: {', '.join(dtypes)}")
        if name != FFMA and (reason := no_tensor_cores()):
            raise Unsupported(reason)
        try:
            require_chunks(problem, direction)
        except Unsupported:
            if (name, direction) == ("implicit_gemm_tf32", "forward"):
                return _of_few_channels(problem, limit)
            if (name, direction) != (FFMA, "forward"):
                raise
            require_channels(problem, direction, 1)
            return conv_implicit.forward(problem, limit, of_few_channels, dense=True)
        if direction == "backward_input":
            return conv_implicit.backward_input(problem, limit, tiler, joined)
        return general(problem, limit, tiler)

    return planner


def _of_few_channels(problem: Problem, limit: int) -> Plan:
    """What there is besides for a window of few channels; says why if there is nothing."""
    try:
        return conv_few_channels.forward_of(problem, limit)
    except Unsupported as other:
        try:
            require_chunks(problem, "forward")
        except Unsupported as unsupported:
            if str(other).startswith(str(unsupported)):  # the same is in the way of both
                raise unsupported from None
            raise Unsupported(f"{unsupported}, or few of them: {other}") from None
        raise


def joined(parts: Parts, tiler: Tiler) -> list[Launch]:
    """Launches of up to `PHASES` products each; none where their sums are better cut."""
    if not parts:
        return []
    small, large = conv_implicit.TILES

    def blocks(tile: int) -> int:
        return sum(ceil_div(p.m, tile) * ceil_div(p.n.count, tile) * of.groups for of, p in parts)

    cut = max(p.k.count for _, p in parts) >= 2 * conv_implicit.SEGMENT and blocks(small) < FILL
    if cut:
        return []
    both = min(min(p.m, p.n.count) for _, p in parts) > small
    tile = large if both and blocks(large) >= FILL else small
    # The longest sums first: what ends late should begin early.
    parts = sorted(parts, key=lambda part: -part[1].k.count)
    starts = range(0, len(parts), PHASES)
    return [_of_several(parts[first : first + PHASES], tiler, tile) for first in starts]


def _of_several(parts: Parts, tiler: Tiler, tile: int) -> Launch:
    size, blocks = parts[0][0].itemsize, 0
    members: dict[str, list[Any]] = {"of": [], "a": [], "c": [], "residual": [], "first": []}
    for problem, of in parts:
        product, tiling = tiler(problem, of, tile)
        segment = ceil_div(product.k.count, tiling.depth) * tiling.depth
        grid, params = blocks_of(problem, product, tiling, tile, 1, segment)
        values = (params, *(b.offset // size for b in (of.a, of.c, of.residual)), blocks)
        for member, value in zip(members.values(), values, strict=True):
            member.append(value)
        blocks += grid[0]
    for name, member in members.items():
        member += [NEVER if name == "first" else member[0]] * (PHASES - len(parts))
    flat_grid(blocks, 1, "the tiles")
    (problem, product), plain = parts[0], tiling.kernel
    if len(parts) == 1:
        (launch,) = conv_implicit.launches_of(problem, product, tiler, tile, 1, parts=False)
        return launch
    *pointers, residual, epilogue = problem.epilogue.arguments()
    products = "0" if plain.entry == FFMA else "3" if "x3" in plain.file else "1"
    defines = {"SCALAR": SCALAR[problem.dtype], "PRODUCTS": products}
    kernel = Kernel(f"conv/{SEVERAL}.cu", SEVERAL, (*defines.items(), ("TILE", str(tile))))
    operands = (Buffer(product.a.name), product.x, Buffer(product.c.name), *pointers)
    end = (residual and Buffer(product.residual.name), epilogue)
    phases = struct(HEADER, "ProductPhases", **members)
    return Launch(kernel, (blocks, 1, 1), (tiling.threads, 1, 1), (*operands, *end, phases))


def require_chunks(problem: Problem, direction: str) -> None:
    """Raise `Unsupported` unless chunks of channels lie side by side."""
    require_channels(problem, direction, BYTES // problem.itemsize)


def require_channels(problem: Problem, direction: str, chunk: int) -> None:
    """Raise `Unsupported` unless so many channels lie side by side."""
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
        if view.shape[1] == 1:  # then strides do not tell the layouts apart
            raise Unsupported(f"{array} has one channel; allowed: several, innermost")
        if not view.channels_last:
            raise Unsupported(
                f"element strides {view.strides} of {array}; allowed: channels innermost"
            )
        if channels % chunk:
            raise Unsupported(
                f"{array} has {channels} channels a group; allowed: multiples of {chunk}"
            )


def _score(problem: Problem, direction: str) -> tuple[int, str]:
    return (46 if _is_wide(problem, direction) else 15), "{sizes}: tensor cores, no columns to make"


def _score_of_ffma(problem: Problem, direction: str) -> tuple[int, str]:
    few = problem.channels % (BYTES // 4)  # float32
    least = conv_few_channels.LONG if few else LONG
    why = "{sizes}: chunks of channels, or a few one by one, no columns to make"
    return 42 if _is_wide(problem, direction, least) else 13, why


def _is_wide(problem: Problem, direction: str, least: int = LONG) -> bool:
    outputs, terms = product(problem, direction)
    return outputs >= WIDE and terms >= least


def _algorithm(name: str, dtypes: Sequence[str], score: Score, **more: bool) -> Algorithm:
    directions = ("forward", "backward_input", "backward_weight")
    return Algorithm(name, {d: _planner(name, dtypes, d) for d in directions}, score, **more)


HALVES = tuple(name for name in FLOATING if FLOATS[name].is_half)

IMPLICIT_GEMM_MMA = _algorithm("implicit_gemm_mma", HALVES, _score)
IMPLICIT_GEMM_FFMA = _algorithm(FFMA, ("float32",), _score_of_ffma)
IMPLICIT_GEMM_TF32 = _algorithm(
    "implicit_gemm_tf32",
    ("float32",),
    lambda problem, direction: (-1, "{sizes}: rounds float32 to TF32, by its name alone"),
    by_name=True,
)
IMPLICIT_GEMM_TF32X3 = _algorithm(
    "implicit_gemm_tf32x3",
    ("float32",),
    lambda problem, direction: (-1, "{sizes}: three products of TF32, by its name alone"),
    by_name=True,
)
