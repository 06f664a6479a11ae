"""The algorithms ``winograd_f2`` and ``winograd_f4``: fewer multiplications for filters of 3x3.

Input tiles and filters are transformed, multiplied place by place and summed over channels, which
is a matrix product for every place, and transformed back (docs/winograd.md)::

    y = A^T [sum over c of (G g G^T) * (B^T d B)] A

``winograd_f2`` makes 2x2 outputs of 16 products a channel instead of 36, ``winograd_f4`` 4x4 of 36
instead of 144. The gradient with respect to x is the forward pass with filters rotated by half a
turn; that with respect to the weight is F(3x3, 2x2), and goes by ``winograd_f2``.

Factors and products lie in the workspace, in the precision of sums: float32 for 16-bit types.
"""

from dataclasses import replace
from functools import partial
from math import prod

from pycnn.define.views import View
from pycnn.dtypes import FLOATS
from pycnn.plan import _winograd as winograd
from pycnn.plan._chunks import chunks, images_at_a_time, in_chunks
from pycnn.plan._winograd import stages_channels
from pycnn.plan._winograd_tiles import TAPS, Factors, Grid
from pycnn.plan.conv_algorithm import Algorithm, Score
from pycnn.plan.conv_problem import Problem, Unsupported, planned
from pycnn.plan.gemm import FILL, gemm_launch
from pycnn.plan.gemm_problem import Gemm, Strides
from pycnn.runtime.plan import Buffer, Launch, Plan
from pycnn.shapes import ceil_div

#: Channels a group summed from which on the error of random data stays below a quarter of what
#: pycnn/testing/tolerance.py allows, by outputs a side; a quarter, because data that cancel lose
#: more here than in direct convolution. Measured by benchmarks/winograd_error.py: ``winograd_f4``
#: reaches a third of it with one channel, a quarter with three, a seventh with 16 and a tenth from
#: 64 on; ``winograd_f2`` a twelfth at most. docs/winograd.md has the table.
SAFE_CHANNELS = {2: 1, 4: 16}

#: Tiles of the image below which a tile of the matrix product has idle threads, while filters are
#: transformed for few: there `implicit_gemm` is predicted to win on an H200 (docs/model.md).
FULL = 64

#: Tiles of the image times filters times channels from which on ``winograd_f4`` is predicted to be
#: faster on an H200 than ``winograd_f2``, whose transforms have more threads.
MUCH = 5_000_000

#: How often the tolerance of pycnn/testing/tolerance.py the error of random data may be, by
#: outputs a side.
TOLERANCE_FACTOR = {2: 0.25, 4: 0.5}


def auto_safe(problem: Problem, direction: str, side: int) -> bool:
    """Whether the error is known to stay within the tolerance: only then ``auto`` chooses it.

    The sums of a gradient with respect to the weight go over tiles; it is as exact as F(2x2, 3x3)
    whatever their number.

    Parameters
    ----------
    problem : Problem
    direction : {"forward", "backward_input", "backward_weight"}
    side : {2, 4}
        Outputs a side of a tile.
    """
    summed = problem.filters if direction == "backward_input" else problem.channels
    return direction == "backward_weight" or summed >= SAFE_CHANNELS[side]


#: Filters and channels a group from which on fewer multiplications are expected to outweigh the
#: traffic of the transforms: the calculated break-even is near 40. Not yet measured on a GPU.
PAYS = 64


def forward(problem: Problem, limit: int, side: int) -> Plan:
    """y, some images after the other.

    Parameters
    ----------
    problem : Problem
    limit : int
        Largest workspace in bytes.
    side : {2, 4}
        Outputs a side of a tile.
    """
    _require(problem)
    return _plan(problem, limit, side, ("x", "y"), rotated=False)


def backward_input(problem: Problem, limit: int, side: int) -> Plan:
    """dx: y of a convolution of dy with filters rotated by half a turn. Parameters as `forward`."""
    _require(problem)
    if problem.mode != "zeros":
        raise Unsupported(f"padding mode {problem.mode}; allowed for the gradient: zeros")
    of_dx = replace(
        problem,
        x=problem.y,
        y=problem.x,
        pad_begin=(TAPS - 1 - problem.pad_begin[0], TAPS - 1 - problem.pad_begin[1]),
    )
    return _plan(of_dx, limit, side, ("dy", "dx"), rotated=True)


def backward_weight(problem: Problem, limit: int) -> Plan:
    """dweight: 3x3 outputs of tiles of 2x2, summed over tiles by matrix products.

    The tiles are split into parts, where one matrix for every place has too few blocks to fill a
    GPU. Products of parts and chunks add up in a fixed order.
    """
    _require(problem)
    _, k, *extents = problem.y.shape
    n, c = problem.x.shape[:2]
    grid = Grid.of(2, (extents[0], extents[1]))
    size = problem.sum_size
    pairs = k * problem.channels
    blocks = (
        grid.places
        * problem.groups
        * ceil_div(problem.filters, 64)
        * ceil_div(problem.channels, 64)
    )
    image, product = Factors("", grid, c + k, 1).part * size, grid.places * pairs * size
    parts = min(n, ceil_div(FILL, blocks))
    # Every part has as many images, so that all but one of them may be there for nothing.
    while parts > 1 and parts * (product + image) > limit // 2:
        parts -= 1
    images = images_at_a_time(n, image, parts * product + (parts - 1) * image, limit)
    parts = min(parts, images)
    each = ceil_div(images, parts)
    x = Factors("input_tiles", grid, c, each, parts=ceil_div(images, each))
    dy = Factors("gradient_tiles", grid, k, each, parts=x.parts)
    products = Buffer("products")
    launches: list[Launch] = []
    for first, count in chunks(n, images):
        launches += (
            winograd.input_launch(problem, _from(problem, "x", first, problem.x), count, x, True),
            winograd.gradient_launch(problem, _from(problem, "dy", first, problem.y), count, dy),
        )
        gemm = Gemm(
            problem.filters,
            problem.channels,
            x.tiles,
            FLOATS[problem.dtype].accumulate,
            a=(dy.part, problem.filters * dy.channel, dy.channel, 1),
            b=(x.part, problem.channels * x.channel, 1, x.channel),
            c=(grid.places * pairs, problem.filters * problem.channels, problem.channels, 1),
            batch=(ceil_div(count, each), grid.places * problem.groups),
            accumulate=first > 0,
        )
        launches.append(gemm_launch(gemm, dy.buffer, x.buffer, products))
    launches.append(winograd.taps_launch(problem, products, x.parts))
    workspace = {
        x.name: problem.sums(x.elements),
        dy.name: problem.sums(dy.elements),
        products.name: problem.sums(x.parts * grid.places * pairs),
    }
    return planned(problem, "dweight", problem.weight.shape, launches, workspace)


def _require(problem: Problem) -> None:
    """Raise `Unsupported` for all but filters of 3x3 with stride and dilation 1 on two axes."""
    sides = tuple(problem.weight.shape[2:])
    if sides != (TAPS, TAPS):
        raise Unsupported(f"filter {'x'.join(map(str, sides))}; allowed: 3x3")
    if problem.stride != (1, 1) or problem.dilation != (1, 1):
        raise Unsupported(
            f"stride {problem.stride}, dilation {problem.dilation}; allowed: stride 1, dilation 1"
        )


def _plan(problem: Problem, limit: int, side: int, names: tuple[str, str], rotated: bool) -> Plan:
    """A forward pass. `names`: of what it reads and writes; `rotated`: see `backward_input`."""
    (n, c, *_), (_, k, *extents) = problem.x.shape, problem.y.shape
    grid = Grid.of(side, (extents[0], extents[1]))
    size = problem.sum_size
    reduced, kept = c // problem.groups, k // problem.groups
    filters = Buffer("filters")
    of_filters = grid.places * problem.weight.shape[0] * problem.channels
    # The rounding of rows to sectors is at most a sector for each channel and place.
    fixed = (of_filters + grid.places * (c + k) * 8) * size
    images = images_at_a_time(n, grid.places * (c + k) * grid.tiles * size, fixed, limit)
    x = Factors("input_tiles", grid, c, images, stages_channels(problem.x))
    y = Factors("products", grid, k, images, stages_channels(problem.y))
    launches = [winograd.filter_launch(problem, grid, filters, rotated)]
    # The filters as matrices (kept, reduced), for every place and group.
    row, col = (1, kept) if rotated else (reduced, 1)
    of_filter = (of_filters // grid.places, kept * reduced, row, col)
    of_tile = (x.place, reduced * x.channel, x.channel, x.tile)
    for first, count in chunks(n, images):
        tiles = grid.tiles * count
        a, b, m, columns = of_filter, of_tile, kept, tiles
        operands = [filters, x.buffer]
        if y.channels_first:  # the transposed product
            a, b, m, columns = _swapped(of_tile), _swapped(of_filter), tiles, kept
            operands.reverse()
        product = Gemm(
            m,
            columns,
            reduced,
            FLOATS[problem.dtype].accumulate,
            a=a,
            b=b,
            c=(y.place, kept * y.channel, y.tile if y.channels_first else y.channel, 1),
            batch=(grid.places, problem.groups),
        )
        source = _from(problem, names[0], first, problem.x)
        target = _from(problem, names[1], first, problem.y)
        beside = (problem.epilogue.residual or (0,))[0] * first * problem.itemsize
        launches += (
            winograd.input_launch(problem, source, count, x),
            gemm_launch(product, operands[0], operands[1], y.buffer),
            winograd.output_launch(problem, y, count, target, beside),
        )
    elements = {filters.name: of_filters, x.name: x.elements, y.name: y.elements}
    workspace = {name: problem.sums(count) for name, count in elements.items()}
    return planned(problem, names[1], problem.y.shape, launches, workspace)


def _from(problem: Problem, name: str, image: int, view: View) -> Buffer:
    """An array from an image on."""
    return Buffer(name, image * view.strides[0] * problem.itemsize)


def _swapped(strides: Strides) -> Strides:
    """Of the transposed matrix."""
    outer, inner, row, col = strides
    return outer, inner, col, row


def _tiles(problem: Problem, direction: str, side: int) -> int:
    """Of the image that is computed, or, for the weight, of that whose gradient is given."""
    n, _, *extents = (problem.x if direction == "backward_input" else problem.y).shape
    return n * prod(ceil_div(extent, side) for extent in extents)


def _score(side: int) -> Score:
    """Before all others where it is exact enough and pays; never reached otherwise."""

    def score(problem: Problem, direction: str) -> tuple[int, str]:
        last, products, taps = side - 10, (side + TAPS - 1) ** 2, (side * TAPS) ** 2
        saved = f"{products} multiplications a tile and channel instead of {taps}"
        if not auto_safe(problem, direction, side):
            return last, f"its error is too near the tolerance below {SAFE_CHANNELS[side]} channels"
        if min(problem.filters, problem.channels) < PAYS:
            return last, f"{saved} pay from {PAYS} filters and channels a group on"
        if FLOATS[problem.dtype].is_half:
            return last, f"{saved}, but in {FLOATS[problem.dtype].accumulate}"
        tiles = _tiles(problem, direction, side)
        if tiles < FULL:
            return 30 + side, f"{saved}, for {tiles} tiles, of which a matrix product has {FULL}"
        work = tiles * problem.filters * problem.channels
        if side == 4 and work < MUCH:
            return 71, f"{saved}, for {tiles} tiles: few to fill a GPU"
        return 70 + side, saved

    return score


WINOGRAD_F2 = Algorithm(
    "winograd_f2",
    {
        "forward": in_chunks(partial(forward, side=2)),
        "backward_input": in_chunks(partial(backward_input, side=2)),
        "backward_weight": in_chunks(backward_weight),
    },
    _score(2),
)

WINOGRAD_F4 = Algorithm(
    "winograd_f4",
    {
        "forward": in_chunks(partial(forward, side=4)),
        "backward_input": in_chunks(partial(backward_input, side=4)),
    },
    _score(4),
)
