"""The algorithm ``implicit_gemm``: a matrix product that finds the columns of x as it goes.

All three directions are C[m, n] = sum over k of A[m, k] B[k, n], as
told in kernels/include/pycnn/implicit_gemm.cuh. Where C has too few tiles for a GPU, or a gradient
of the weight sums over many images, the sums are cut into segments: their number depends on the
problem, the workspace limit and the GPU alone, and a second launch adds them up in their order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from pycnn.define.views import View
from pycnn.plan import estimate
from pycnn.plan._copy import Place, copy_launch
from pycnn.plan._implicit import HEADER, Index, Product
from pycnn.plan._strided import row_major
from pycnn.plan.conv_algorithm import Algorithm
from pycnn.plan.conv_columns import copy_of, elementwise
from pycnn.plan.conv_phases import Phase, phases
from pycnn.plan.conv_problem import MODES, Ints, Problem, Unsupported, flat_grid, planned
from pycnn.plan.gemm import FILL
from pycnn.runtime.plan import ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.runtime.target import target
from pycnn.shapes import ceil_div

FILE = "conv/implicit_gemm.cu"
THREADS = 256

#: Edges of a square tile of C; a tile of A or X has 1024 elements, `TILE` and `BK` of the kernel.
TILES = (64, 128)
ELEMENTS = 1024

#: What a multiprocessor of an H200 adds up in the time, in terms of an output: of a smaller tile
#: all, so many times, as it loads twice as much; begin and end of a block; the sum of a segment on
#: its way to memory and back; and, of all outputs together, one more launch. Predicted.
SMALLER, ENDS, STORED, LAUNCH = 1.2, 28, 60, 400_000

#: The least that a segment adds up where no time is known: below that, storing partial sums costs
#: more than it brings; and where times are compared.
SEGMENT, SHORTEST = 256, 32

#: Segments that are tried, besides those that give all multiprocessors as many blocks.
CUTS = frozenset((1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96))

#: Elements of a weight from which on it is turned through shared memory, not element by element:
#: predicted for an H200, where few blocks of that wait long for each other's loads.
MANY_WEIGHTS = 2**17

#: The array in the workspace that holds the sums of segments.
PARTIAL = "partial"


@dataclass(frozen=True)
class Tiling:
    """How a kernel takes a product apart, beside what all of them do alike.

    Attributes
    ----------
    kernel : Kernel
    step : int
        Indices of k that an iterator goes at a time.
    depth : int
        Indices of k in a tile.
    m_major : bool
        Whether partial sums lie side by side along m.
    vectors : int
        Which operands come 16 bytes at a time: enum Chunked of the header.
    threads : int
        Of a block.
    alike : bool
        Whether an output takes as long in a small tile as in a large one.
    small : bool
        Whether there is no large one.
    """

    kernel: Kernel
    step: int
    depth: int
    m_major: bool
    vectors: int = 0
    threads: int = THREADS
    alike: bool = False
    small: bool = False


#: From a product and the edge of a tile: the product as the kernel takes it, and how.
Tiler = Callable[[Problem, Product, int], tuple[Product, Tiling]]

#: Products of a convolution each, with the same operands.
Parts = Sequence[tuple[Problem, Product]]

#: Launches of several products each; none where every one is better launched alone.
Joiner = Callable[[Parts, Tiler], list[Launch]]


def _one_by_one(parts: Parts, tiler: Tiler) -> list[Launch]:
    return []


def multiply_elements(problem: Problem, product: Product, tile: int) -> tuple[Product, Tiling]:
    """For conv/implicit_gemm.cu."""
    along_k = product.m == 1 or product.k.step <= abs(product.a_m)
    depth = ELEMENTS // tile
    defines = (
        problem.scalar,
        ("TILE", str(tile)),
        ("A_K_MAJOR", str(int(along_k))),
        ("B_K_MAJOR", str(int(product.b_k_major))),
    )
    m_major = product.m > 1 and abs(product.c_m) < product.n.step
    return product, Tiling(Kernel(FILE, "implicit_gemm", defines), depth, depth, m_major)


def forward(
    problem: Problem, limit: int, tiler: Tiler = multiply_elements, dense: bool = False
) -> Plan:
    """y, a tile of filters and pixels a block; `dense` as for `with_channels_last`."""
    _require_two_axes(problem)
    problem, weight, copies = with_channels_last(
        problem, problem.x, (0, 2, 3, 1), limit, tiler, dense
    )
    product = replace(forward_product(problem), a=Buffer(weight))
    copy = copied(problem, copies)
    launches, partial = _launches(problem, product, limit - copy.nbytes, tiler)
    workspace = {weight: copy, PARTIAL: problem.sums(partial)}
    return planned(problem, "y", problem.y.shape, (*copies, *launches), workspace)


def backward_input(
    problem: Problem, limit: int, tiler: Tiler = multiply_elements, joined: Joiner = _one_by_one
) -> Plan:
    """dx, phase by phase; those that `joined` takes in fewer launches."""
    _require_two_axes(problem)
    problem, weight, copies = with_channels_last(problem, problem.y, (1, 2, 3, 0), limit, tiler)
    copy = copied(problem, copies)
    launches, most = [*copies], 0
    parts = [(phase.problem, input_product(phase, weight)) for phase in phases(problem)]
    together = joined(parts, tiler) if len(parts) > 1 else []
    for of, product in () if together else parts:
        more, partial = _launches(of, product, limit - copy.nbytes, tiler)
        launches, most = [*launches, *more], max(most, partial)
    launches += together
    workspace = {weight: copy, PARTIAL: problem.sums(most)}
    return planned(problem, "dx", problem.x.shape, launches, workspace)


def backward_weight(problem: Problem, limit: int, tiler: Tiler = multiply_elements) -> Plan:
    """dweight, a tile of filters and (c, r, s) a block, over a segment of images and pixels."""
    _require_two_axes(problem)
    product = weight_product(problem)
    launches, partial = _launches(problem, product, limit, tiler)
    workspace = {PARTIAL: problem.sums(partial)}
    return planned(problem, "dweight", problem.weight.shape, launches, workspace)


def weight_product(problem: Problem) -> Product:
    """C is dweight, of filters and (c, r, s)."""
    per_filter = problem.channels * problem.taps
    weight = row_major(problem.weight.shape)
    return Product(
        k=_pixels(problem),
        n=_terms(problem, weight[1:]),
        m=problem.filters,
        a_m=problem.y.strides[1],
        c_m=per_filter,
        a_group=problem.filters * problem.y.strides[1],
        c_group=problem.filters * per_filter,
        b_k_major=not problem.x.channels_last,
        a=Buffer("dy"),
        x=Buffer("x"),
        c=Buffer("dweight"),
        residual=Buffer("residual"),
    )


def input_product(phase: Phase, weight: str) -> Product:
    """C are the elements of dx of a phase, A is the array of this name."""
    size = phase.problem.itemsize
    return replace(
        forward_product(phase.problem),
        a_group=phase.w_group,
        a=Buffer(weight, phase.weight * size),
        x=Buffer("dy"),
        c=Buffer("dx", phase.dx * size),
        residual=Buffer("residual", phase.residual * size),
    )


def forward_product(problem: Problem) -> Product:
    """C is y, of filters and pixels."""
    w_k, *w_term = problem.weight.strides
    y_k = problem.y.strides[1]
    return Product(
        k=_terms(problem, w_term),
        n=_pixels(problem),
        m=problem.filters,
        a_m=w_k,
        c_m=y_k,
        a_group=problem.filters * w_k,
        c_group=problem.filters * y_k,
        b_k_major=problem.x.channels_last,
        a=Buffer("weight"),
        x=Buffer("x"),
        c=Buffer("y"),
        residual=Buffer("residual"),
    )


def with_channels_last(
    problem: Problem, x: View, order: Ints, limit: int, tiler: Tiler, dense: bool = False
) -> tuple[Problem, str, tuple[Launch, ...]]:
    """The problem with a weight whose summed channels lie side by side, as those of `x` do.

    Where they do not, a copy of it in the workspace does, if the limit allows: reading elements
    R S apart would take as many sectors as there are threads.

    Parameters
    ----------
    problem : Problem
    x : View
        What the weight is multiplied with.
    order : tuple of int
        Axes of the weight, the summed channels last.
    limit : int
        In bytes.
    tiler : Tiler
        Elements of one tap may lie anywhere, unlike chunks of them.
    dense : bool
        Whether one tap has to follow the other, too.

    Returns
    -------
    (Problem, str, tuple of Launch)
        The problem, the array that its weight is in, and what makes it, if it is a copy.
    """
    weight, needed = problem.weight, prod(problem.weight.shape) * problem.itemsize
    elements = problem.taps == 1 and tiler is multiply_elements
    shape, strides = (tuple(v[axis] for axis in order) for v in (weight.shape, weight.strides))
    packed = row_major(shape)
    apart = any(shape[a] > 1 and strides[a] != packed[a] for a in range(1, len(shape)))
    in_place = elements or (strides[-1] == 1 and not (dense and apart))
    if not x.channels_last or in_place or needed > limit:
        return problem, "weight", ()
    source, copied = Buffer("weight"), Buffer("weight_last")
    launch = elementwise("im2col", copy_of(View(shape, strides, weight.dtype)), source, copied)
    if prod(shape) >= MANY_WEIGHTS:
        turned = copy_launch(shape, Place(source, strides), Place(copied, packed), problem.itemsize)
        launch = turned or launch
    strides = tuple(packed[order.index(axis)] for axis in range(len(order)))
    problem = replace(problem, weight=replace(weight, strides=strides))
    return problem, copied.name, (launch,)


def copied(problem: Problem, copies: tuple[Launch, ...]) -> ArraySpec:
    """Workspace for a copy of the weight; of no elements where there is none."""
    return problem.array(prod(problem.weight.shape) if copies else 0)


def _require_two_axes(problem: Problem) -> None:
    if problem.spatial != 2:
        raise Unsupported(f"x has {problem.spatial} spatial axes; allowed: 2")


def _pixels(problem: Problem) -> Index:
    """(n, p, q): where windows begin."""
    (x_n, _, x_h, x_w), (y_n, _, y_p, y_q) = problem.x.strides, problem.y.strides
    n, _, p, q = problem.y.shape
    (stride_h, stride_w), (top, left) = problem.stride, problem.pad_begin
    return Index(
        extents=(n, p, q),
        x=(x_n, stride_h * x_h, stride_w * x_w),
        other=(y_n, y_p, y_q),
        row=(0, stride_h, 0),
        col=(0, 0, stride_w),
        first=(-top, -left),
    )


def _terms(problem: Problem, other: Sequence[int]) -> Index:
    """(c, r, s), or (r, s, c) where channels lie side by side: places within a window."""
    _, x_c, x_h, x_w = problem.x.strides
    dilation_h, dilation_w = problem.dilation
    terms = Index(
        extents=problem.weight.shape[1:],
        x=(x_c, dilation_h * x_h, dilation_w * x_w),
        other=other,
        row=(0, dilation_h, 0),
        col=(0, 0, dilation_w),
    )
    return terms.ordered(1, 2, 0) if problem.x.channels_last else terms


def _launches(
    problem: Problem, product: Product, limit: int, tiler: Tiler
) -> tuple[list[Launch], int]:
    """One launch, or two where the sums are cut into segments; and how many sums are stored."""
    sums = sums_of(problem, product)
    most = limit // max(1, sums * problem.sum_size)
    tile, segments = choose(problem, product, most, tiler)
    cut, tiling = tiler(problem, product, tile)
    segment = ceil_div(cut.k.count, segments * tiling.depth) * tiling.depth
    segments = max(1, ceil_div(cut.k.count, max(1, segment)))
    launches = launches_of(problem, product, tiler, tile, segments, parts=segments > 1)
    return launches, segments * sums if segments > 1 else 0


def sums_of(problem: Problem, product: Product) -> int:
    """Sums that a segment makes."""
    return problem.groups * product.m * product.n.count


def launches_of(
    problem: Problem, product: Product, tiler: Tiler, tile: int, segments: int, *, parts: bool
) -> list[Launch]:
    """The product, its sums in so many segments, and what adds up the `parts` if it makes those."""
    product, tiling = tiler(problem, product, tile)
    segment = ceil_div(product.k.count, segments * tiling.depth) * tiling.depth
    grid, params = blocks_of(problem, product, tiling, tile, segments, segment)
    *pointers, residual, epilogue = problem.epilogue.arguments()
    end = (*pointers, residual and product.residual, epilogue, params)
    partial = Buffer(PARTIAL) if parts else None
    operands = (product.a, product.x, product.c, partial)
    main = Launch(tiling.kernel, grid, (tiling.threads, 1, 1), (*operands, *end))
    if partial is None:
        return [main]
    kernel, threads = _adder(problem, product, tiling, tile)
    grid = flat_grid(threads, THREADS, "the outputs")
    add = Launch(kernel, grid, (THREADS, 1, 1), (partial, product.c, *end))
    return [main, add]


def _adder(problem: Problem, product: Product, tiling: Tiling, tile: int) -> tuple[Kernel, int]:
    """What adds up the sums of segments, and how many threads of it have some."""
    outputs = sums_of(problem, product)
    _, plain = multiply_elements(problem, product, tile)
    # Sums of a thread: as many as 16 bytes hold where they are neighbours, as the kernel asks, too.
    width = 16 // problem.sum_size
    several = outputs < 2**31 and tiling.m_major and product.m % width == 0
    kernel = replace(plain.kernel, entry="implicit_gemm_finish")
    return kernel, outputs // width if several else outputs


def blocks_of(
    problem: Problem,
    product: Product,
    tiling: Tiling,
    tile: int | Ints,
    segments: int,
    segment: int,
) -> tuple[tuple[int, int, int], np.void]:
    """Grid and struct ImplicitParams of a product in so many segments of so many indices of k."""
    edges = (tile, tile) if isinstance(tile, int) else tile
    tiles = tuple(map(ceil_div, (product.m, product.n.count), edges))
    top, left = problem.pad_begin
    _, x_c, x_h, x_w = problem.x.strides
    grid = flat_grid(prod(tiles) * problem.groups * segments, 1, "the tiles")
    params = struct(
        HEADER,
        "ImplicitParams",
        k=product.k.digits(tiling.step),
        n=product.n.digits(tiling.step),
        **{name: getattr(product, name) for name in ("m", "a_m", "c_m")},
        x_group=problem.channels * x_c,
        a_group=product.a_group,
        c_group=product.c_group,
        x_first=-top * x_h - left * x_w,
        x_h=x_h,
        x_w=x_w,
        k_per_split=segment,
        h=problem.x.shape[2],
        w=problem.x.shape[3],
        mode=MODES[problem.mode],
        groups=problem.groups,
        splits=segments,
        tiles_m=tiles[0],
        tiles_n=tiles[1],
        m_major=tiling.m_major,
        vectors=tiling.vectors,
    )
    return grid, params


def choose(
    problem: Problem, product: Product, most: int, tiler: Tiler | None = None
) -> tuple[int, int]:
    """The tile, and into how many segments, `most` at most, the sums are cut.

    What is estimated to take the least time on the GPU at hand. Where the time of a kernel is not
    known, or no `tiler` is named, by a rule of thumb, not yet measured on a GPU: the larger tile
    where C is larger than the smaller one in both directions, and segments of it fill a GPU; where
    outputs take as long in either, what leaves the busiest multiprocessor the least to do.
    """
    if tiler and (fastest := by_time(problem, product, most, tiler)):
        return fastest
    least, large = TILES
    small = tiler(problem, product, least)[1] if tiler else None
    most = max(1, min(most, product.k.count // SEGMENT))
    edges = _edges(product, small)
    if small and small.alike:
        cuts = range(1, min(most, target().processors) + 1)  # with more than that, rounds grow
        ways = [(edge, cut) for edge in edges for cut in cuts]
        return min(
            ways, key=lambda way: _terms_of_busiest(product, _tiles(problem, product, way[0]), *way)
        )
    fills = large in edges and _tiles(problem, product, large) * most >= FILL
    tile = large if fills else least
    return tile, min(most, ceil_div(FILL, _tiles(problem, product, tile)))


def _edges(product: Product, small: Tiling | None) -> tuple[int, ...]:
    """Of the tiles that there are, and that C is larger than the next smaller of."""
    least, large = TILES
    both = min(product.m, product.n.count) > least and not (small and small.small)
    return (least, large) if both else (least,)


def _tiles(problem: Problem, product: Product, edge: int) -> int:
    return ceil_div(product.m, edge) * ceil_div(product.n.count, edge) * problem.groups


def by_time(problem: Problem, product: Product, most: int, tiler: Tiler) -> tuple[int, int] | None:
    """What `choose` does by estimates; None where one is missing, or of a single depth."""
    gpu, sums = estimate.at_hand(target()), sums_of(problem, product)
    if sums * product.k.count < estimate.LITTLE:
        return None
    views = problem.x, problem.weight, problem.y
    arrays = sum(prod(view.shape) for view in views) * problem.itemsize
    most = max(1, min(most, product.k.count // SHORTEST))
    found: dict[tuple[int, int], float] = {}
    for edge in _edges(product, tiler(problem, product, TILES[0])[1]):
        cut, tiling = tiler(problem, product, edge)
        adder, threads = _adder(problem, product, tiling, edge)
        main, add = (estimate.cost_of(kernel, gpu.arch) for kernel in (tiling.kernel, adder))
        if main is None or main.depths[0] == main.depths[1]:
            return None
        tiles = _tiles(problem, product, edge)
        # Besides those that are far apart, what gives all multiprocessors as many blocks.
        even = {gpu.sms * rounds // tiles for rounds in range(1, 9)}
        for wanted in sorted(n for n in even | CUTS if 1 <= n <= (most if add else 1)):
            depth = ceil_div(cut.k.count, wanted * tiling.depth) * tiling.depth
            number = ceil_div(cut.k.count, max(1, depth))
            bytes_ = sums * problem.sum_size * number if number > 1 else 0
            of_tiles = tiling.threads, tiles * number, depth, arrays + bytes_
            time, _ = estimate.of_blocks(main, *of_tiles, gpu)
            if add and number > 1:
                of_sums = THREADS, ceil_div(threads, THREADS), number, bytes_
                time += estimate.of_blocks(add, *of_sums, gpu)[0] + gpu.launch_us
            found[edge, wanted] = time
    return min(found, key=found.__getitem__)


def _terms_of_busiest(product: Product, blocks: int, edge: int, cut: int) -> float:
    """What keeps the busiest multiprocessor, in terms that are added up one after the other."""
    processors = target().processors
    own = ceil_div(blocks * cut, processors) * edge**2
    terms = (ceil_div(product.k.count, cut) + ENDS) * (SMALLER if edge == TILES[0] else 1)
    sums = product.m * product.n.count / processors
    return own * terms + (cut > 1) * (sums * cut * STORED + LAUNCH)


def _score(problem: Problem, direction: str) -> tuple[int, str]:
    return 40, "{sizes}: a matrix product that finds its columns as it goes"


IMPLICIT_GEMM = Algorithm(
    "implicit_gemm",
    {
        "forward": forward,
        "backward_input": backward_input,
        "backward_weight": backward_weight,
    },
    _score,
)
