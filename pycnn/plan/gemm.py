"""Plans of the matrix product C = epilogue(A B + C): which version of the kernel, how launched.

Transposes, views and batches are all strides, so one description, :class:`Gemm`, covers the public
operations and the products inside convolution.
"""

from dataclasses import KW_ONLY, dataclass, replace
from enum import IntFlag
from functools import lru_cache

from pycnn.dtypes import FLOATING, FLOATS, numpy_dtype
from pycnn.plan._epilogue import IDENTITY, Epilogue
from pycnn.plan._tiles import best_tile
from pycnn.runtime.plan import MAX_GRID, SCALAR, ArraySpec, Buffer, Kernel, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

#: Element strides (outer batch, inner batch, row, column).
Strides = tuple[int, int, int, int]

AXES = ("outer", "inner", "row", "col")


class Flag(IntFlag):
    """enum Flag of kernels/include/pycnn/gemm.cuh."""

    ACCUMULATE = 1
    CHANNEL_BY_ROW = 2
    A_VECTOR = 4
    B_VECTOR = 8
    C_VECTOR = 16
    WIDE = 32


@dataclass(frozen=True)
class Gemm:
    """C (m, n) = A (m, k) B (k, n), for every (outer, inner) pair of a two-level batch.

    Attributes
    ----------
    m, n, k : int
        Extents. k may be 0: the product is then zero.
    dtype : str
        A name of `pycnn.dtypes.FLOATS`.
    a, b, c : (outer, inner, row, col)
        Element strides of the operands; a transposed operand has row and column swapped. One of
        the strides of C is 1.
    batch : (outer, inner), default (1, 1)
        Extents of the batch, e.g. images and groups.
    epilogue : Epilogue, default nothing
        What happens to every sum before it is stored; its `residual` only says that there is one.
    channel : "row" or "col", default "col"
        Which index of C the channels of the epilogue follow.
    channels : int, default 0
        Channels from one inner batch to the next, e.g. K/G from one group to the next.
    residual : (outer, inner, row, col), default zeros
        Element strides of the residual.
    accumulate : bool, default False
        Add what C holds, before the epilogue.
    wide : bool, default False
        C is of the dtype in which `dtype` accumulates, and gets the sums as they are: no epilogue.
    """

    m: int
    n: int
    k: int
    dtype: str
    _: KW_ONLY
    a: Strides
    b: Strides
    c: Strides
    batch: tuple[int, int] = (1, 1)
    epilogue: Epilogue = IDENTITY
    channel: str = "col"
    channels: int = 0
    residual: Strides = (0, 0, 0, 0)
    accumulate: bool = False
    wide: bool = False

    def __post_init__(self) -> None:
        if min(self.m, self.n, *self.batch) < 1 or self.k < 0:
            raise ValueError(
                f"m={self.m}, n={self.n}, k={self.k}, batch={self.batch}; allowed: k >= 0, others "
                ">= 1 (nothing is launched for an empty result)"
            )
        if 1 not in (*self.c[2:], self.m, self.n):
            raise ValueError(f"c={self.c}; allowed: row or column stride 1")
        if self.channel not in ("row", "col"):
            raise ValueError(f"channel={self.channel!r}; allowed: 'row', 'col'")

    @property
    def rows_are_contiguous(self) -> bool:
        """Whether the columns of C follow each other in memory, as the kernels want it."""
        return self.c[3] == 1 or self.n == 1

    @property
    def transposed(self) -> "Gemm":
        """The same product as C^T = B^T A^T."""
        return replace(
            self,
            m=self.n,
            n=self.m,
            a=_turn(self.b),
            b=_turn(self.a),
            c=_turn(self.c),
            channel="col" if self.channel == "row" else "row",
            residual=_turn(self.residual),
        )


def _turn(strides: Strides) -> Strides:
    outer, inner, row, col = strides
    return outer, inner, col, row


@dataclass(frozen=True)
class Version:
    """A version of the kernel: outputs of a block, threads of a block, and what is compiled in."""

    file: str
    tile: tuple[int, int]
    block: tuple[int, int, int]
    oriented: bool  # loads follow the contiguous axis of A and B, chosen at compile time
    tiles: tuple[tuple[int, int], ...] = ()  # those it is compiled for, where there is a choice
    dtypes: tuple[str, ...] = FLOATING

    @property
    def on_tensor_cores(self) -> bool:
        return "float64" not in self.dtypes

    @property
    def entry(self) -> str:
        return "gemm_" + self.file.removesuffix(".cu").split("_", 1)[1]


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
    "tensor_core": Version(
        "gemm/7_tensor_core.cu",
        (128, 128),
        (256, 1, 1),
        oriented=True,
        tiles=((64, 64), (64, 128), (128, 64), (128, 128)),
        dtypes=tuple(name for name in FLOATING if FLOATS[name].is_half),
    ),
    "tf32": Version(
        "gemm/8_tf32.cu",
        (128, 128),
        (256, 1, 1),
        oriented=True,
        tiles=((64, 64), (64, 128), (128, 64), (128, 128)),
        dtypes=("float32",),
    ),
    "tf32x3": Version(
        "gemm/9_tf32x3.cu",
        (128, 64),
        (256, 1, 1),
        oriented=True,
        tiles=((64, 64), (128, 64)),
        dtypes=("float32",),
    ),
}


#: Versions that round the factors of float32 products: the spacing at 1 of what they round to.
COARSE = {"tf32": 2.0**-10}

#: The versions, slowest first: what `algo` may be besides "auto".
algorithms = tuple(VERSIONS)


def algorithms_of(dtype: str) -> tuple[str, ...]:
    """The versions that compute in a dtype.

    Examples
    --------
    >>> algorithms_of("float16")[-1], algorithms_of("float64")[-1]
    ('tensor_core', 'double_buffered')
    """
    return tuple(name for name, version in VERSIONS.items() if dtype in version.dtypes)


#: Blocks that keep a large GPU busy; with fewer, smaller tiles spread the work better.
FILL = 128


def choose(problem: Gemm) -> str:
    """What "auto" stands for: the last version of the dtype, unless C is too thin for its tiles."""
    if min(problem.m, problem.n) < 16:
        return "shared_tile"
    return "tensor_core" if FLOATS[problem.dtype].is_half else "double_buffered"


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
    if algo == "auto":
        algo = choose(problem)
    allowed = algorithms_of(problem.dtype)
    if algo not in allowed:
        raise ValueError(f"algo={algo!r}; allowed: auto, {', '.join(allowed)}")
    version = VERSIONS[algo]
    (tile_m, tile_n), tile_defines = _tile(problem, version, tile)
    a_transposed, a_vector = _orientation(problem, problem.a, (problem.m, problem.k))
    b_transposed, b_vector = _orientation(problem, problem.b, (problem.k, problem.n))
    c_vector = _vector(problem, problem.c, (problem.m, problem.n), contiguous=3)
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
    )
    outer, inner = problem.batch
    batches, batch_y = outer * inner, min(outer * inner, MAX_GRID[1])
    tiles_m, tiles_n = ceil_div(problem.m, tile_m), ceil_div(problem.n, tile_n)
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
    params = struct(
        "pycnn/gemm.cuh", "GemmParams",
        m=problem.m, n=problem.n, k=problem.k,
        **strides,
        channel_inner=problem.channels,
        batches=batches, inner=inner, flags=flags,
        tiles_n=tiles_n, tile_m=tile_m, tile_n=tile_n,
    )  # fmt: skip
    *pointers, residual, epilogue = problem.epilogue.arguments()
    if isinstance(residual, Buffer):
        residual = Buffer(residual.name, residual_offset)
    return Launch(
        Kernel(version.file, version.entry, tuple(defines)),
        grid=(tiles_m * tiles_n, batch_y, ceil_div(batches, batch_y)),
        block=version.block,
        args=(a, b, c, *pointers, residual, epilogue, params),
    )


def _tile(
    problem: Gemm, version: Version, tile: tuple[int, int] | None
) -> tuple[tuple[int, int], tuple[tuple[str, str], ...]]:
    """Tile extents and the defines that select them."""
    if not version.tiles:
        if tile is not None:
            raise ValueError(f"tile={tile}; allowed: None, {version.entry} has one tile")
        return version.tile, ()
    outer, inner = problem.batch
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


def _orientation(problem: Gemm, strides: Strides, shape: tuple[int, int]) -> tuple[bool, bool]:
    """Whether an operand is read down its columns, and whether 128 bits at a time.

    Reading follows the axis with stride 1. Where there is none (a general strided view), it
    follows the axis with the smaller stride, element by element.
    """
    row, col = strides[2:]
    transposed = shape[1] == 1 or (col != 1 and shape[0] > 1 and (row == 1 or abs(row) < abs(col)))
    return transposed, _vector(problem, strides, shape, contiguous=2 if transposed else 3)


def _vector(problem: Gemm, strides: Strides, shape: tuple[int, int], contiguous: int) -> bool:
    """Whether every 16-byte unit along the contiguous axis is aligned if the base address is."""
    width = 16 // FLOATS[problem.dtype].itemsize
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

    Returns
    -------
    Plan
        Inputs ``a``, ``b`` and those of the epilogue, output ``c``; no launch for an empty result.
    """
    *batch, m, k = a_shape
    n = b_shape[-1]
    count = batch[0] if batch else 1
    spec = ArraySpec((*batch, m, n), numpy_dtype(dtype))
    if 0 in spec.shape:
        return Plan("gemm", algo, (), {"c": spec})
    problem = Gemm(
        m,
        n,
        k,
        dtype,
        a=_four(a_strides),
        b=_four(b_strides),
        c=(m * n, 0, n, 1),
        batch=(count, 1),
        epilogue=epilogue,
        channel=channel,
    )
    if algo == "auto":
        algo = choose(problem)
    return Plan(
        "gemm",
        algo,
        (gemm_launch(problem, Buffer("a"), Buffer("b"), Buffer("c"), algo=algo),),
        {"c": spec},
    )


def _four(strides: tuple[int, ...]) -> Strides:
    """(row, col) or (batch, row, col) as (outer, inner, row, col)."""
    *batch, row, col = strides
    return (batch[0] if batch else 0, 0, row, col)
