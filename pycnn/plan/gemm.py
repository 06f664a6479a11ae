"""Plans of the matrix product C = epilogue(A B + C): which version of the kernel, how launched.

What is multiplied is told by `pycnn.plan.gemm_problem.Gemm`.
"""

from dataclasses import dataclass, replace
from enum import IntFlag
from functools import lru_cache
from math import prod

import numpy as np

from pycnn.dtypes import FLOATING, FLOATS, numpy_dtype
from pycnn.plan import _wgmma, gemm_wgmma
from pycnn.plan._epilogue import IDENTITY, Epilogue
from pycnn.plan._tiles import best_tile
from pycnn.plan.gemm_problem import AXES, Gemm, Strides
from pycnn.runtime.plan import MAX_GRID, SCALAR, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.runtime.target import ANY, Target, no_tensor_cores, planned_for
from pycnn.shapes import ceil_div


class Flag(IntFlag):
    """enum Flag of kernels/include/pycnn/gemm.cuh."""

    ACCUMULATE = 1
    CHANNEL_BY_ROW = 2
    A_VECTOR = 4
    B_VECTOR = 8
    C_VECTOR = 16
    WIDE = 32
    RESIDUAL_VECTOR = 64
    C_BOXES = 128
    EVEN_ROWS = 256


@dataclass(frozen=True)
class Version:
    """A version of the kernel: outputs of a block, threads of a block, and what is compiled in."""

    file: str
    tile: tuple[int, int]
    block: tuple[int, int, int]
    oriented: bool  # loads follow the contiguous axis of A and B, chosen at compile time
    tiles: tuple[tuple[int, int], ...] = ()  # those it is compiled for, where there is a choice
    dtypes: tuple[str, ...] = FLOATING
    arch: str = ""  # the one architecture that has its instructions
    on_tensor_cores: bool = False

    @property
    def entry(self) -> str:
        return "gemm_" + self.file.removesuffix(".cu").split("_", 1)[1]


HALVES = tuple(name for name in FLOATING if FLOATS[name].is_half)

VERSIONS = {
    "naive": Version("gemm/1_naive.cu", (32, 8), (32, 8, 1), oriented=False),
    "coalesced": Version("gemm/2_coalesced.cu", (8, 32), (32, 8, 1), oriented=False),
    "shared_tile": Version("gemm/3_shared_tile.cu", (16, 16), (16, 16, 1), oriented=True),
    "register_tile": Version("gemm/4_register_tile.cu", (64, 64), (256, 1, 1), oriented=True),
    "vectorised": Version("gemm/5_vectorised.cu", (128, 128), (256, 1, 1), oriented=True),
    "double_buffered": Version(
        "gemm/6_double_buffered.cu",
        (128, 128),
        (256, 1, 1),
        oriented=True,
        tiles=((64, 64), (128, 128)),
    ),
    "ffma": Version(
        "gemm/14_ffma.cu",
        (128, 128),
        (128, 1, 1),
        oriented=True,
        tiles=((64, 64), (128, 128)),
        dtypes=("float32",),
    ),
    "tensor_core": Version(
        "gemm/7_tensor_core.cu",
        (128, 128),
        (128, 1, 1),
        oriented=True,
        tiles=((64, 64), (64, 128), (128, 64), (128, 128)),
        dtypes=HALVES,
        on_tensor_cores=True,
    ),
    "tf32": Version(
        "gemm/8_tf32.cu",
        (128, 128),
        (128, 1, 1),
        oriented=True,
        tiles=((64, 64), (64, 128), (128, 64), (128, 128)),
        dtypes=("float32",),
        on_tensor_cores=True,
    ),
    "tf32x3": Version(
        "gemm/9_tf32x3.cu",
        (128, 64),
        (128, 1, 1),
        oriented=True,
        tiles=((64, 64), (128, 64)),
        dtypes=("float32",),
        on_tensor_cores=True,
    ),
    "wgmma": Version(
        "gemm/10_wgmma.cu",
        max(_wgmma.TILES),
        (_wgmma.threads(max(_wgmma.TILES)), 1, 1),
        oriented=True,
        tiles=_wgmma.TILES,
        dtypes=HALVES,
        arch=_wgmma.ARCH,
        on_tensor_cores=True,
    ),
    "wgmma_tf32": Version(
        "gemm/11_wgmma_tf32.cu",
        max(_wgmma.TILES),
        (_wgmma.threads(max(_wgmma.TILES)), 1, 1),
        oriented=False,
        tiles=_wgmma.TILES,
        dtypes=("float32",),
        arch=_wgmma.ARCH,
        on_tensor_cores=True,
    ),
}


#: The versions, slowest first: what `algo` may be besides "auto".
algorithms = tuple(VERSIONS)


def algorithms_of(dtype: str) -> tuple[str, ...]:
    """The versions that compute in a dtype.

    Examples
    --------
    >>> algorithms_of("float16")[-2:], algorithms_of("float64")[-1]
    (('tensor_core', 'wgmma'), 'double_buffered')
    """
    return tuple(name for name, version in VERSIONS.items() if dtype in version.dtypes)


#: Blocks that keep a large GPU busy; with fewer, smaller tiles spread the work better.
FILL = 128


#: Tiles of 64x64 from which on few threads with many outputs each are predicted to be faster than
#: more with fewer: three blocks on each multiprocessor.
MANY = 3 * FILL

#: The versions that "auto" chooses among.
AUTOMATIC = ("shared_tile", "double_buffered", "ffma", "tensor_core", "wgmma")


def choose(problem: Gemm) -> str:
    """What "auto" stands for: the last version that suits dtype, shape, strides and GPU."""
    return chosen(problem)[0]


def chosen(problem: Gemm) -> tuple[str, str]:
    """The same, and why."""
    if min(problem.m, problem.n) < 16:
        return "shared_tile", "fewer than 16 rows or columns: larger tiles would have idle threads"
    by_rows = problem if problem.rows_are_contiguous else problem.transposed
    if problem.dtype in HALVES and gemm_wgmma.preferred(by_rows, aligned(by_rows)):
        return "wgmma", "Hopper's tensor cores, tiles copied by TMA"
    if FLOATS[problem.dtype].is_half and not no_tensor_cores():
        return "tensor_core", "tensor cores take 16-bit operands as they are"
    small, large = (edge for edge, _ in VERSIONS["ffma"].tiles)
    blocks = ceil_div(problem.m, small) * ceil_div(problem.n, small) * prod(problem.batch)
    if problem.dtype == "float32" and blocks >= MANY:
        return "ffma", f"{large // 8}x8 outputs a thread, where there are enough to hide waits"
    return "double_buffered", f"the last version that computes in {problem.dtype} throughout"


def gemm_launch(
    problem: Gemm,
    a: Buffer,
    b: Buffer,
    c: Buffer,
    algo: str = "auto",
    tile: tuple[int, int] | None = None,
    residual_offset: int = 0,
) -> Launch:
    """The launch that computes `problem`.

    Parameters
    ----------
    problem : Gemm
    a, b, c : Buffer
        Where element (0, 0) of the first batch lies. They may have any alignment: the plan allows
        128-bit accesses by the strides, and the kernel tests the base addresses once.
    algo : str, default "auto"
        One of `algorithms_of` the dtype; "auto" asks :func:`choose`.
    tile : (int, int), optional
        Rows and columns of C that a block computes, for versions that offer several; by default
        those that fill a GPU best.
    residual_offset : int, default 0
        Bytes from the start of the residual to what belongs to element (0, 0) of the first batch.

    Raises
    ------
    ValueError
        If `algo` or `tile` does not fit.

    Examples
    --------
    >>> p = Gemm(2, 3, 4, "float32", a=(0, 0, 4, 1), b=(0, 0, 3, 1), c=(0, 0, 3, 1))
    >>> gemm_launch(p, Buffer("a"), Buffer("b"), Buffer("c"), algo="naive").grid
    (1, 1, 1)
    """
    if not problem.rows_are_contiguous:
        problem, a, b = problem.transposed, b, a
    asked = algo
    if algo == "auto":
        algo = choose(problem)
    allowed = algorithms_of(problem.dtype)
    if algo not in allowed:
        raise ValueError(f"algo={algo!r}; allowed: auto, {', '.join(allowed)}")
    version = VERSIONS[algo]
    if version.arch and (reason := gemm_wgmma.unsupported(problem, aligned(problem))):
        raise ValueError(f"algo={algo!r} does not fit: {reason}")
    if version.on_tensor_cores and (reason := no_tensor_cores()):
        raise ValueError(f"algo={algo!r} does not fit: {reason}")
    (tile_m, tile_n), tile_defines = _tile(problem, version, tile)
    a_transposed, a_vector = _orientation(problem, problem.a, (problem.m, problem.k))
    b_transposed, b_vector = _orientation(problem, problem.b, (problem.k, problem.n))
    c_vector = vectors(problem, problem.c, (problem.m, problem.n), contiguous=3)
    residual_vector = vectors(problem, problem.residual, (problem.m, problem.n), contiguous=3)
    defines = [("SCALAR", SCALAR[problem.dtype])] if len(version.dtypes) > 1 else []
    defines += tile_defines
    if version.oriented:
        defines += [("A_TRANSPOSED", str(int(a_transposed)))]
        defines += [("B_TRANSPOSED", str(int(b_transposed)))]
    flags = (
        Flag.ACCUMULATE * problem.accumulate
        | Flag.CHANNEL_BY_ROW * (problem.channel == "row")
        | Flag.A_VECTOR * a_vector
        | Flag.B_VECTOR * b_vector
        | Flag.C_VECTOR * c_vector
        | Flag.WIDE * (problem.wide and FLOATS[problem.dtype].is_half)
        | Flag.RESIDUAL_VECTOR * residual_vector
    )
    of_c = gemm_wgmma.result_map(c, problem) if version.arch else None
    flags |= Flag.C_BOXES * (of_c is not None)
    outer, inner = problem.batch
    batches, batch_y = outer * inner, min(outer * inner, MAX_GRID[1])
    tiles_m, tiles_n = ceil_div(problem.m, tile_m), ceil_div(problem.n, tile_n)
    params = params_of(problem, flags, (tile_m, tile_n))
    *pointers, residual, epilogue = problem.epilogue.arguments()
    if isinstance(residual, Buffer):
        residual = Buffer(residual.name, residual_offset)
    launch = Launch(
        Kernel(version.file, version.entry, tuple(defines)),
        grid=(tiles_m * tiles_n, batch_y, ceil_div(batches, batch_y)),
        block=(tile_m, 1, 1) if algo == "ffma" else version.block,
        args=(a, b, c, *pointers, residual, epilogue, params),
    )
    if not version.arch:
        return launch
    way = _wgmma.Way((tile_m, tile_n), cluster=int(dict(defines)["CLUSTER"]))
    of_a, of_b = gemm_wgmma.operand_maps(problem, a, b, way, a_transposed, b_transposed)
    return replace(
        launch,
        grid=way.grid(way.tiles(problem.m, problem.n, batches)),
        args=(of_a, of_b, of_c or _wgmma.NO_MAP, *launch.args[2:]),
        shared=_wgmma.shared_bytes((tile_m, tile_n)),
        unaligned=gemm_launch(problem, a, b, c, "tensor_core", None, residual_offset)
        if asked == "auto"
        else None,
    )


def params_of(problem: Gemm, flags: int, tile: tuple[int, int]) -> np.void:
    """The struct GemmParams."""
    shapes = {
        "a": (problem.m, problem.k),
        "b": (problem.k, problem.n),
        "c": (problem.m, problem.n),
        "residual": (problem.m, problem.n),
    }
    # Where there is one index the stride is none of the operand's, and may misalign the addresses
    # of what lies beyond: cp.async reads nothing there, but wants them aligned.
    strides = {
        f"{name}_{axis}": stride if extent > 1 else 0
        for name, shape in shapes.items()
        for axis, stride, extent in zip(
            AXES, getattr(problem, name), (*problem.batch, *shape), strict=True
        )
    }
    del strides["c_col"]  # 1
    return struct(
        "pycnn/gemm.cuh", "GemmParams",
        m=problem.m, n=problem.n, k=problem.k,
        **strides,
        channel_inner=problem.channels,
        batches=prod(problem.batch), inner=problem.batch[1], flags=flags,
        tiles_n=ceil_div(problem.n, tile[1]), tile_m=tile[0], tile_n=tile[1],
    )  # fmt: skip


def _tile(
    problem: Gemm, version: Version, tile: tuple[int, int] | None
) -> tuple[tuple[int, int], tuple[tuple[str, str], ...]]:
    """Tile extents and the defines that select them."""
    if not version.tiles:
        if tile is not None:
            raise ValueError(f"tile={tile}; allowed: None, {version.entry} has one tile")
        return version.tile, ()
    outer, inner = problem.batch
    if version.arch and tile in (None, *version.tiles):
        tiles = tile and (tile,)
        way = _wgmma.best_way(
            problem.m, problem.n, problem.k, outer * inner, tiles=tiles, dtype=problem.dtype
        )
        return way.tile, way.defines
    if tile is None and version.on_tensor_cores:
        tile = best_tile(version.tiles, (problem.m, problem.n), outer * inner)
    elif tile is None:
        small, large = version.tiles
        blocks = ceil_div(problem.m, large[0]) * ceil_div(problem.n, large[1])
        fills = blocks * outer * inner >= FILL
        tile = large if fills and min(problem.m, problem.n) > min(small) else small
    if tile not in version.tiles:
        raise ValueError(f"tile={tile}; allowed: {', '.join(map(str, version.tiles))}")
    if version.on_tensor_cores:
        return tile, (("TILE_M", str(tile[0])), ("TILE_N", str(tile[1])))
    return tile, (("TILE", str(tile[0])),)


def aligned(problem: Gemm) -> bool:
    """Whether A and B are read 128 bits at a time."""
    a = _orientation(problem, problem.a, (problem.m, problem.k))
    b = _orientation(problem, problem.b, (problem.k, problem.n))
    return a[1] and b[1]


def _orientation(problem: Gemm, strides: Strides, shape: tuple[int, int]) -> tuple[bool, bool]:
    """Whether an operand is read down its columns, and whether 128 bits at a time.

    Reading follows the axis with stride 1. Where there is none (a general strided view), it
    follows the axis with the smaller stride, element by element.
    """
    row, col = strides[2:]
    transposed = shape[1] == 1 or (col != 1 and shape[0] > 1 and (row == 1 or abs(row) < abs(col)))
    return transposed, vectors(problem, strides, shape, contiguous=2 if transposed else 3)


def vectors(problem: Gemm, strides: Strides, shape: tuple[int, int], contiguous: int) -> bool:
    """Whether every 16-byte unit along the contiguous axis is aligned if the base address is."""
    width = 16 // numpy_dtype(problem.dtype).itemsize
    extents = (*problem.batch, *shape)
    others = (s for axis, s in enumerate(strides) if axis != contiguous and extents[axis] > 1)
    return strides[contiguous] == 1 and all(s % width == 0 for s in others)


@lru_cache(maxsize=1024)
def plan_gemm(
    a_shape: tuple[int, ...],
    a_strides: tuple[int, ...],
    b_shape: tuple[int, ...],
    b_strides: tuple[int, ...],
    dtype: str,
    epilogue: Epilogue = IDENTITY,
    channel: str = "col",
    algo: str = "auto",
    target: Target = ANY,
) -> Plan:
    """Plan of `pycnn.gemm`; any transposition is already in the shapes and strides.

    Parameters
    ----------
    a_shape, b_shape : (M, K) and (K, N), or (B, M, K) and (B, K, N)
    a_strides, b_strides : tuple of int
        Strides in elements.
    dtype : str
    epilogue : Epilogue, default nothing
        Without a residual.
    channel : "row" or "col", default "col"
    algo : str, default "auto"
    target : Target, default ANY
        The GPU that it is for.

    Returns
    -------
    Plan
        Inputs ``a``, ``b`` and those of the epilogue, output ``c``; no launch for an empty result.
    """
    *batch, m, _ = a_shape
    spec = ArraySpec((*batch, m, b_shape[-1]), numpy_dtype(dtype))
    if 0 in spec.shape:
        return Plan("gemm", algo, (), {"c": spec})
    problem = problem_of(a_shape, a_strides, b_shape, b_strides, dtype, epilogue, channel)
    with planned_for(target):
        launch = gemm_launch(problem, Buffer("a"), Buffer("b"), Buffer("c"), algo=algo)
        return Plan("gemm", choose(problem) if algo == "auto" else algo, (launch,), {"c": spec})


def problem_of(
    a_shape: tuple[int, ...],
    a_strides: tuple[int, ...],
    b_shape: tuple[int, ...],
    b_strides: tuple[int, ...],
    dtype: str,
    epilogue: Epilogue = IDENTITY,
    channel: str = "col",
) -> Gemm:
    """What `plan_gemm` plans; parameters as there."""
    *batch, m, k = a_shape
    n = b_shape[-1]
    return Gemm(
        m,
        n,
        k,
        dtype,
        a=_four(a_strides),
        b=_four(b_strides),
        c=(m * n, 0, n, 1),
        batch=(batch[0] if batch else 1, 1),
        epilogue=epilogue,
        channel=channel,
    )


def _four(strides: tuple[int, ...]) -> Strides:
    """(row, col) or (batch, row, col) as (outer, inner, row, col)."""
    *batch, row, col = strides
    return (batch[0] if batch else 0, 0, row, col)
