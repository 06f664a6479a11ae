"""The algorithm ``direct_tiled``: tiles with halo in shared memory, outputs in registers.

The gradient with respect to x runs through the same kernel. Positions of x with equal residue
modulo the stride are reached by the same taps; over them, dx is a convolution of dy with these
taps, reversed, and stride 1. So there is one launch for each pair of residues.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from pycnn.dtypes import FLOATS
from pycnn.plan.conv_problem import (
    PARAMS,
    Four,
    Ints,
    Pair,
    Problem,
    Steps,
    Unfit,
    View,
    flat_grid,
    struct,
)
from pycnn.runtime.plan import Buffer, Kernel, Launch

# All in step with kernels/conv/direct_tiled.cu.
THREADS, PIXELS, FILTERS, CHANNELS, TAP_PADDING = 128, 4, 8, 8, 4
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
TILED_PARAMS = np.dtype([("conv", PARAMS), *((name, np.int32) for name in GEOMETRY)])

#: Blocks as (pixel threads, filter threads), and the widths of their tiles.
BLOCKS = ((32, 4), (16, 8))
WIDTHS = (32, 16, 8)

#: Shared memory of a block: what every GPU grants, and what leaves room for several blocks.
SHARED_LIMIT = 48 * 1024
SHARED_GOAL = 24 * 1024

#: Launches of a gradient, one for every pair of residues modulo the stride.
MAX_LAUNCHES = 16


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
        """Of shared memory: taps, then pixels."""
        taps = self.filter_rows * self.filter_cols * (self.filters + TAP_PADDING)
        return self.channels * (taps + self.halo_rows * self.pitch)

    def tiles(self, problem: Problem) -> Four:
        """Blocks along filters, columns, rows, and groups and images."""
        n, _, p, q = problem.y.shape
        return (
            -(-problem.filters // self.filters),
            -(-q // self.tile_q),
            -(-p // self.tile_p),
            problem.groups * n,
        )


def forward(problem: Problem) -> Steps:
    """y in one launch."""
    launch = _launch(problem, Buffer("x"), Buffer("weight"), Buffer("y"), 0)
    return Steps((launch,), {})


def backward_input(problem: Problem) -> Steps:
    """dx, a launch for each pair of residues modulo the stride."""
    count = problem.stride[0] * problem.stride[1]
    if count > MAX_LAUNCHES:
        raise Unfit(f"stride {problem.stride} takes {count} launches; allowed: {MAX_LAUNCHES}")
    if problem.mode != "zeros":
        raise Unfit(f"padding mode {problem.mode}; allowed for the gradient: zeros")
    x, size, beside = problem.x, problem.itemsize, problem.epilogue.residual
    w_k, w_c, w_r, w_s = problem.weight.strides
    launches = []
    for rows in _residues(problem, 0):
        for cols in _residues(problem, 1):
            taps = (rows.taps, cols.taps) if rows.taps and cols.taps else (0, 0)
            w_taps = (-rows.step * w_r, -cols.step * w_s)
            first, steps = (rows.first, cols.first), (rows.stride, cols.stride)
            phase = replace(
                problem,
                x=problem.y,
                weight=View((x.shape[1], problem.filters, *taps), (w_c, w_k, *w_taps)),
                y=View(
                    (*x.shape[:2], rows.extent, cols.extent),
                    _stepped(x.strides, steps),
                ),
                stride=(1, 1),
                corner=(rows.pad, cols.pad),
                dilation=(rows.dilation, cols.dilation),
                epilogue=replace(problem.epilogue, residual=beside and _stepped(beside, steps)),
            )
            last_tap = (rows.last * w_r + cols.last * w_s) if taps[0] else 0
            weight = Buffer("weight", last_tap * size)
            dx = Buffer("dx", _at(first, x.strides) * size)
            offset = _at(first, beside) * size if beside else 0
            group = problem.filters * w_k
            launches.append(_launch(phase, Buffer("dy"), weight, dx, offset, w_g=group))
    return Steps(tuple(launches), {})


def _stepped(strides: Ints, steps: Pair) -> Ints:
    """Strides of every steps[0]-th row and steps[1]-th column."""
    n, c, h, w = strides
    return n, c, steps[0] * h, steps[1] * w


def _at(place: Pair, strides: Ints) -> int:
    """Elements before a row and column."""
    return place[0] * strides[2] + place[1] * strides[3]


@dataclass(frozen=True)
class Residue:
    """Along one axis, the positions first, first + stride, ... of x, and the taps they meet.

    Position i of these meets output i - pad + j*dilation through tap last - j*step, for j < taps.
    """

    first: int
    stride: int
    extent: int
    taps: int
    last: int
    step: int
    dilation: int
    pad: int


def _residues(problem: Problem, axis: int) -> Iterator[Residue]:
    extent, taps = problem.x.shape[2 + axis], problem.weight.shape[2 + axis]
    stride, dilation = problem.stride[axis], problem.dilation[axis]
    step = stride // gcd(stride, dilation)
    for first in range(min(stride, extent)):
        at = first + problem.corner[axis]  # output * stride + tap * dilation
        tap = next((t for t in range(min(step, taps)) if (at - t * dilation) % stride == 0), taps)
        count = -(-(taps - tap) // step)
        last = tap + (count - 1) * step
        yield Residue(
            first=first,
            stride=stride,
            extent=-(-(extent - first) // stride),
            taps=count,
            last=last,
            step=step,
            dilation=step * dilation // stride,
            pad=-((at - last * dilation) // stride) if count else 0,
        )


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
    params = struct(TILED_PARAMS, {"conv": problem.params(**changed), **geometry})
    return Launch(
        Kernel("conv/direct_tiled.cu", "direct_tiled_forward", (problem.scalar,)),
        flat_grid(filters * cols * rows * others, 1, "the tiles of y"),
        (*tiling.block, 1),
        (x, weight, *pointers, y, params, finish),
        shared=tiling.elements * shared_size(problem),
    )


def shared_size(problem: Problem) -> int:
    """Bytes of an element in shared memory, where all is of the type that sums are kept in."""
    return FLOATS[FLOATS[problem.dtype].accumulate].itemsize


def choose(problem: Problem) -> Tiling:
    """The tiling that wastes the fewest outputs beyond the edges; the widest of several."""
    tilings = [
        tiling
        for block in BLOCKS
        for width in WIDTHS
        if width <= block[0] and (tiling := _tiling(problem, block, width)) is not None
    ]
    if not tilings:
        raise Unfit(
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
    sub_pitch = -(-halo_cols // stride_w)
    pitch = _pitch(sub_pitch * stride_w, stride_h, block[0], width, shared_size(problem))

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
        return tiling.elements * shared_size(problem) <= limit

    channels = min(problem.channels, CHANNELS)
    while not fits(staging(channels, 1), SHARED_LIMIT):
        if channels == 1:
            return None
        channels //= 2
    rows = 1
    while rows < r and fits(staging(channels, rows + 1), SHARED_GOAL):
        rows += 1
    return staging(channels, -(-r // -(-r // rows)) if r else 1)  # as many stages, evenly filled


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
