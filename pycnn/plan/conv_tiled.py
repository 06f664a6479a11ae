"""The algorithm ``direct_tiled``: tiles with halo in shared memory, outputs in registers.

The gradient with respect to x runs through the same kernel, one launch for each phase.
"""

from dataclasses import dataclass

import numpy as np

from pycnn.plan.conv_algorithm import FEW, MANY, Algorithm, product, unlimited
from pycnn.plan.conv_phases import phases
from pycnn.plan.conv_problem import Four, Problem, Unsupported, flat_grid, planned
from pycnn.runtime.plan import Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

# All in step with kernels/conv/direct_tiled.cu.
THREADS, PIXELS, FILTERS, CHANNELS, TAP_PADDING = 128, 4, FEW, 8, 4
GEOMETRY = (
    "tile_p",
    "tile_q",
    "channels",
    "filter_rows",
    "halo_rows",
    "halo_cols",
    "sub_pitch",
    "pitch",
)

#: Blocks as (pixel threads, filter threads), and the widths of their tiles.
BLOCKS = ((32, 4), (16, 8))
WIDTHS = (32, 16, 8)

#: Terms of a sum below which ``auto`` takes it, for few filters: others are predicted to be faster
#: as a matrix product, on an H200 at any batch (docs/model.md).
SHORT = 64

#: Shared memory of a block: what every GPU grants, and what leaves room for several blocks.
SHARED_LIMIT = 48 * 1024
SHARED_GOAL = 24 * 1024


@dataclass(frozen=True)
class Tiling:
    """How a block covers its outputs: the fields of `GEOMETRY`, and the block itself."""

    block: tuple[int, int]
    tile_p: int
    tile_q: int
    channels: int
    filter_rows: int
    halo_rows: int
    halo_cols: int
    sub_pitch: int
    pitch: int
    filter_cols: int

    @property
    def filters(self) -> int:
        return FILTERS * self.block[1]

    @property
    def elements(self) -> int:
        """Of shared memory, in the type that sums are kept in: taps, then pixels."""
        taps = self.filter_rows * self.filter_cols * (self.filters + TAP_PADDING)
        return self.channels * (taps + self.halo_rows * self.pitch)

    def tiles(self, problem: Problem) -> Four:
        """Blocks along filters, columns, rows, and groups and images."""
        n, _, p, q = problem.y.shape
        return (
            ceil_div(problem.filters, self.filters),
            ceil_div(q, self.tile_q),
            ceil_div(p, self.tile_p),
            problem.groups * n,
        )


def forward(problem: Problem) -> Plan:
    """y in one launch."""
    launch = _launch(problem, Buffer("x"), Buffer("weight"), Buffer("y"), 0)
    return planned(problem, "y", problem.y.shape, (launch,))


def backward_input(problem: Problem) -> Plan:
    """dx, phase by phase."""
    size = problem.itemsize
    launches = [
        _launch(
            phase.problem,
            Buffer("dy"),
            Buffer("weight", phase.weight * size),
            Buffer("dx", phase.dx * size),
            phase.residual * size,
            w_g=phase.w_group,
        )
        for phase in phases(problem)
    ]
    return planned(problem, "dx", problem.x.shape, launches)


def _launch(
    problem: Problem, x: Buffer, weight: Buffer, y: Buffer, beside: int, **changed: int
) -> Launch:
    """One launch; `beside`: bytes before the residual of the first output."""
    tiling = choose(problem)
    filters, cols, rows, others = tiling.tiles(problem)
    geometry = {name: getattr(tiling, name) for name in GEOMETRY}
    *pointers, finish = problem.epilogue.arguments()
    if pointers[-1] is not None:
        pointers[-1] = Buffer("residual", beside)
    conv = problem.params(**changed)
    params = struct("conv/direct_tiled.cu", "TiledParams", conv=conv, **geometry)
    return Launch(
        Kernel("conv/direct_tiled.cu", "direct_tiled_forward", (problem.scalar,)),
        flat_grid(filters * cols * rows * others, 1, "the tiles of y"),
        (*tiling.block, 1),
        (x, weight, *pointers, y, params, finish),
        shared=tiling.elements * problem.sum_size,
    )


def choose(problem: Problem) -> Tiling:
    """The tiling that wastes the fewest outputs beyond the edges; the widest of several."""
    tilings = [
        tiling
        for block in BLOCKS
        for width in WIDTHS
        if width <= block[0] and (tiling := _tiling(problem, block, width)) is not None
    ]
    if not tilings:
        raise Unsupported(
            f"the input tile of a block, with stride {problem.stride}, dilation "
            f"{problem.dilation} and a filter {'x'.join(map(str, problem.weight.shape[2:]))}, "
            f"does not fit in shared memory; allowed: {SHARED_LIMIT} bytes"
        )

    def computed(tiling: Tiling) -> int:
        filters, cols, rows, _ = tiling.tiles(problem)
        return filters * tiling.filters * cols * tiling.tile_q * rows * tiling.tile_p

    return min(tilings, key=computed)


def _tiling(problem: Problem, block: tuple[int, int], width: int) -> Tiling | None:
    """With as many channels, and then filter rows, staged at a time as fit; None if none do."""
    r, s = problem.weight.shape[2:]
    (stride_h, stride_w), (dilation_h, dilation_w) = problem.stride, problem.dilation
    tile_p = PIXELS * block[0] // width
    halo_cols = (width - 1) * stride_w + max(s - 1, 0) * dilation_w + 1
    sub_pitch = ceil_div(halo_cols, stride_w)
    pitch = _pitch(sub_pitch * stride_w, stride_h, block[0], width, problem.sum_size)

    def staging(channels: int, rows: int) -> Tiling:
        halo_rows = (tile_p - 1) * stride_h + (rows - 1) * dilation_h + 1
        return Tiling(
            block,
            tile_p,
            width,
            channels,
            rows,
            halo_rows,
            halo_cols,
            sub_pitch,
            pitch,
            filter_cols=s,
        )

    def fits(tiling: Tiling, limit: int) -> bool:
        return tiling.elements * problem.sum_size <= limit

    channels = min(problem.channels, CHANNELS)
    while not fits(staging(channels, 1), SHARED_LIMIT):
        if channels == 1:
            return None
        channels //= 2
    rows = 1
    while rows < r and fits(staging(channels, rows + 1), SHARED_GOAL):
        rows += 1
    return staging(
        channels, ceil_div(r, ceil_div(r, rows)) if r else 1
    )  # as many stages, evenly filled


def _pitch(least: int, stride_h: int, lanes: int, width: int, itemsize: int) -> int:
    """The row pitch, from `least` on, with which a warp's pixels lie in the most banks."""

    def cycles(pitch: int) -> int:
        return bank_cycles(
            [i // width * stride_h * pitch + i % width for i in range(lanes)], itemsize
        )

    return min(range(least, least + 32), key=cycles)


def bank_cycles(elements: list[int], itemsize: int) -> int:
    """Turns that a warp takes to read `elements` of shared memory, one a lane; at best 1 (or 2).

    A turn serves 128 bytes: 32 lanes of 4 bytes, or 16 lanes of 8. Lanes with equal addresses
    share one access.
    """
    lanes = 128 // itemsize
    turns = 0
    for first in range(0, len(elements), lanes):
        distinct = set(elements[first : first + lanes])
        turns += max(np.bincount([e % lanes for e in distinct]))
    return turns


def _score(problem: Problem, direction: str) -> tuple[int, str]:
    outputs, terms = product(problem, direction)
    few = FEW <= outputs <= MANY and terms < SHORT
    return 43 if few else 20, "{sizes}: tiles reuse what they load, with no columns to make"


DIRECT_TILED = Algorithm(
    "direct_tiled",
    {"forward": unlimited(forward), "backward_input": unlimited(backward_input)},
    _score,
)
