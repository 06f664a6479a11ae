"""Launches of kernels/conv/winograd_*.cu: transforms, and where their results lie."""

from math import prod

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import FLOATS
from pycnn.plan._winograd_tiles import BLOCK, TAPS, Factors, Grid, block_of, staged
from pycnn.plan.conv_problem import MODES, Pair, Problem, flat_grid
from pycnn.runtime.plan import Buffer, Kernel, Launch
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div


def stages_channels(view: View) -> bool:
    """Whether channels are closer to each other in memory than columns."""
    return abs(view.strides[1]) < abs(view.strides[3])


def input_launch(
    problem: Problem, image: Buffer, count: int, to: Factors, filled: bool = False
) -> Launch:
    """x of `count` images; `filled` up with zeros to whole parts."""
    reach = to.grid.side + TAPS - 1
    kernel = _kernel(problem, "winograd_input", to.grid)
    pad_begin = problem.pad_begin[0], problem.pad_begin[1]
    tiles = _tiles(problem, problem.x, count, to, reach, pad_begin, problem.mode)
    return _tiled(problem, kernel, image, tiles, to, reach, filled)


def gradient_launch(problem: Problem, image: Buffer, count: int, to: Factors) -> Launch:
    """dy of `count` images, filled up with zeros, for the gradient with respect to the weight."""
    kernel = Kernel("conv/winograd_weight.cu", "winograd_gradient", (problem.scalar,))
    tiles = _tiles(problem, problem.y, count, to, to.grid.side, (0, 0), "zeros")
    return _tiled(problem, kernel, image, tiles, to, to.grid.side, filled=True)


def filter_launch(problem: Problem, grid: Grid, to: Buffer, rotated: bool) -> Launch:
    """The weight, `rotated` by half a turn for the gradient with respect to x."""
    (k, c, *_), strides = problem.weight.shape, problem.weight.strides
    values = {
        **{f"w_{axis}": stride for axis, stride in zip("kcrs", strides, strict=True)},
        "filters": k,
        "channels": c,
        "taps_first": abs(strides[3]) <= abs(strides[1]),
        "rotated": rotated,
    }
    return Launch(
        _kernel(problem, "winograd_filter", grid),
        flat_grid(k * c, BLOCK, "the filters' channels"),
        (BLOCK, 1, 1),
        (Buffer("weight"), to, struct("conv/winograd_filter.cu", "FilterParams", **values)),
    )


def output_launch(
    problem: Problem, products: Factors, count: int, y: Buffer, residual: int
) -> Launch:
    """y of `count` images; theirs begins `residual` bytes into the residual."""
    grid, view = products.grid, problem.y
    tiles = grid.tiles * count
    values = {
        "tiles": tiles,
        **{name: getattr(products, name) for name in ("place", "tile")},
        "filter": products.channel,
        **dict(zip(("y_n", "y_k", "y_p", "y_q"), view.strides, strict=True)),
        **dict(zip(("filters", "p", "q"), view.shape[1:], strict=True)),
        "tile_rows": grid.rows,
        "tile_cols": grid.cols,
        "filters_first": products.channels_first,
    }
    params = struct("conv/winograd_output.cu", "OutputParams", **values)
    *pointers, beside, epilogue = problem.epilogue.arguments()
    if isinstance(beside, Buffer):
        beside = Buffer(beside.name, residual)
    return Launch(
        _kernel(problem, "winograd_output", grid),
        flat_grid(view.shape[1] * tiles, BLOCK, "the tiles of y"),
        (BLOCK, 1, 1),
        (products.buffer, *pointers, beside, y, params, epilogue),
    )


def taps_launch(problem: Problem, products: Buffer, parts: int) -> Launch:
    """dweight from the products of all parts."""
    pairs = problem.weight.shape[0] * problem.channels
    return Launch(
        Kernel("conv/winograd_weight.cu", "winograd_taps", (problem.scalar,)),
        flat_grid(pairs, BLOCK, "the filters' channels"),
        (BLOCK, 1, 1),
        (products, Buffer("dweight"), np.int64(pairs), np.int64(parts)),
    )


def _kernel(problem: Problem, entry: str, grid: Grid) -> Kernel:
    return Kernel(f"conv/{entry}.cu", entry, (problem.scalar, ("TILE", str(grid.side))))


def _tiles(
    problem: Problem, view: View, count: int, to: Factors, reach: int, pad_begin: Pair, mode: str
) -> dict[str, int]:
    """Fields of struct TileParams; `reach` elements a side make a tile."""
    neighbours = stages_channels(view)
    size = FLOATS[FLOATS[problem.dtype].accumulate].itemsize
    channels, rows, cols = block_of(to, neighbours, reach, problem.itemsize, size)
    return {
        **dict(zip(("image_n", "image_c", "image_h", "image_w"), view.strides, strict=True)),
        **{name: getattr(to, name) for name in ("part", "place", "channel", "tile")},
        "images": count,
        **dict(zip(("channels", "h", "w"), view.shape[1:], strict=True)),
        "top": pad_begin[0],
        "left": pad_begin[1],
        "mode": MODES[mode],
        "images_a_part": to.images,
        "tile_rows": to.grid.rows,
        "tile_cols": to.grid.cols,
        "block_channels": channels,
        "block_rows": rows,
        "block_cols": cols,
        "stage_channels": neighbours,
        "channels_first": to.channels_first,
    }


def _tiled(
    problem: Problem,
    kernel: Kernel,
    image: Buffer,
    tiles: dict[str, int],
    to: Factors,
    reach: int,
    filled: bool,
) -> Launch:
    """A launch of a kernel that stages tiles."""
    block = tiles["block_channels"], tiles["block_rows"], tiles["block_cols"]
    images = tiles["images"]
    if filled:
        images = ceil_div(images, to.images) * to.images
    over = (tiles["channels"], to.grid.rows, to.grid.cols)
    blocks = images * prod(ceil_div(a, b) for a, b in zip(over, block, strict=True))
    size = FLOATS[FLOATS[problem.dtype].accumulate].itemsize
    return Launch(
        kernel,
        flat_grid(blocks, 1, "the tiles"),
        (BLOCK, 1, 1),
        (image, to.buffer, struct("pycnn/winograd.cuh", "TileParams", **tiles)),
        shared=staged(block, to.grid.side, reach) * size,
    )
