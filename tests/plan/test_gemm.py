"""Plans of the matrix product."""

import re
from itertools import product
from math import ceil

import pytest
from plan_checks import HUGE, assert_sound, struct

from pycnn.dtypes import FLOATING, numpy_dtype
from pycnn.plan import conv_int8, gemm_scaled
from pycnn.plan._epilogue import Epilogue
from pycnn.plan.gemm import (
    VERSIONS,
    Flag,
    algorithms,
    algorithms_of,
    choose,
    gemm_launch,
    plan_gemm,
)
from pycnn.plan.gemm_problem import Gemm
from pycnn.runtime import catalogue, sources
from pycnn.runtime.plan import Buffer
from pycnn.runtime.target import ANY, Target

BUFFERS = Buffer("a"), Buffer("b"), Buffer("c")
HEADER = sources.kernel_dir() / "include" / "pycnn" / "gemm.cuh"


def problem(m=100, n=200, k=300, dtype="float32", **options):
    """A product of contiguous matrices, unless `options` say otherwise."""
    strides = {"a": (0, 0, k, 1), "b": (0, 0, n, 1), "c": (0, 0, n, 1)}
    return Gemm(m, n, k, dtype, **{**strides, **options})


def defines(launch):
    return dict(launch.kernel.defines)


def flags(launch):
    return Flag(int(launch.args[-1]["flags"]))


@pytest.mark.parametrize("algo", ["auto", *algorithms])
@pytest.mark.parametrize("dtype", FLOATING)
def test_every_plan_is_sound(algo, dtype):
    if algo not in ("auto", *algorithms_of(dtype)):
        with pytest.raises(ValueError, match=f"algo={algo!r}; allowed: auto, naive"):
            plan_gemm((2, 3), (3, 1), (3, 4), (4, 1), dtype, algo=algo)
        return
    along_k = [(False, True)]
    for transposed_a, transposed_b in (
        along_k if algo == "wgmma_tf32" else product([False, True], repeat=2)
    ):
        plan = plan_gemm(
            (104, 304),
            (1, 104) if transposed_a else (304, 1),
            (304, 200),
            (1, 304) if transposed_b else (200, 1),
            dtype,
            epilogue=Epilogue(bias=1),
            algo=algo,
            target=Target(VERSIONS[algo].arch) if algo in ("wgmma", "wgmma_tf32") else ANY,
        )
        assert_sound(plan, {"a", "b", "bias"})
        assert plan.algo in algorithms
        assert plan.outputs["c"].shape == (104, 200)
        assert plan.outputs["c"].dtype == numpy_dtype(dtype)


def test_flags_are_those_of_the_header():
    body = re.search(r"enum Flag : unsigned \{(.*?)\};", HEADER.read_text(), re.S)[1]
    found = {name: int(value) for name, value in re.findall(r"(\w+) = (\d+),", body)}
    assert found == {flag.name: flag.value for flag in Flag}


def test_ladder_is_what_kernels_there_are():
    files = {k.file: k for k in catalogue.load() if k.file.startswith("gemm/")}
    # of 8-bit floats and integers
    others = {gemm_scaled.FILE, gemm_scaled.HOPPER_FILE, conv_int8.HOPPER_FILE}
    assert {version.file for version in VERSIONS.values()} | others == set(files)
    for algo, version in VERSIONS.items():
        assert list(files[version.file].entries) == [version.entry] == [f"gemm_{algo}"]
        macros = map(dict, files[version.file].variants)
        tiles = {(v.get("TILE_M", v.get("TILE")), v.get("TILE_N", v.get("TILE"))) for v in macros}
        assert tiles - {(None, None)} == {(str(m), str(n)) for m, n in version.tiles}
        assert version.arch == (files[version.file].arch or "")
    numbers = [int(version.file.split("/")[1].split("_")[0]) for version in VERSIONS.values()]
    assert sorted(numbers) == [*range(1, 12), 14]  # 12 and 13 are of 8 bits


def test_struct_has_every_parameter():
    p = problem(
        a=(11, 12, 13, 1),
        b=(21, 22, 1, 24),
        c=(31, 32, 33, 1),
        batch=(5, 7),
        epilogue=Epilogue(bias=42),
        channel="row",
        channels=41,
        residual=(51, 52, 53, 54),
    )
    params = gemm_launch(p, *BUFFERS, algo="vectorised").args[-1]
    expected = [100, 200, 300, 11, 12, 13, 1, 21, 22, 1, 24, 31, 32, 33, 51, 52, 53, 54, 41]
    assert [int(x) for x in params] == [*expected, 35, 7, 2, 128, 128, Flag.CHANNEL_BY_ROW]


def test_arguments_in_the_order_of_the_kernels():
    at = Buffer("x", 8), Buffer("y", 16), Buffer("z", 24)
    assert gemm_launch(problem(), *at).args[:7] == (*at, None, None, None, None)
    whole = Epilogue(bias=1, scale=2, shift=3, residual=(0, 0, 0, 0), activation="silu")
    launch = gemm_launch(problem(epilogue=whole), *at, residual_offset=4)
    pointers = Buffer("bias"), Buffer("scale"), Buffer("shift"), Buffer("residual", 4)
    assert launch.args[:7] == (*at, *pointers)
    assert launch.args[7] == whole.params()


def test_contiguous_columns_of_c_turn_the_product_round():
    turned = problem(
        a=(11, 12, 13, 1),
        b=(21, 22, 1, 24),
        c=(31, 32, 1, 34),
        epilogue=Epilogue(bias=42),
        channel="row",
        channels=41,
        residual=(51, 52, 53, 54),
    )
    same = problem(
        *(200, 100, 300),
        a=(21, 22, 24, 1),
        b=(11, 12, 1, 13),
        c=(31, 32, 34, 1),
        epilogue=Epilogue(bias=42),
        channel="col",
        channels=41,
        residual=(51, 52, 54, 53),
    )
    assert turned.transposed == same
    a, b, c = BUFFERS
    launch, other = gemm_launch(turned, a, b, c), gemm_launch(same, b, a, c)
    assert (launch.kernel, launch.grid, launch.args[:3]) == (other.kernel, other.grid, (b, a, c))
    assert launch.args[-1] == other.args[-1]


def test_a_single_row_or_column_may_have_any_stride():
    for shape, strides in (((1, 200), (0, 0, 7, 3)), ((100, 1), (0, 0, 7, 3))):
        launch = gemm_launch(problem(*shape, 5, c=strides), *BUFFERS)
        assert int(launch.args[-1]["n"]) == 1
        assert int(launch.args[-1]["c_row"]) == (3 if shape[0] == 1 else 7)


def test_an_axis_of_one_index_has_no_stride():
    """Its stride would misalign the addresses of what lies beyond, which cp.async is given."""
    p = problem(64, 64, 1, "float16", a=(5, 7, 1, 3), b=(0, 11, 3, 1), batch=(1, 2))
    launch = gemm_launch(p, *BUFFERS, algo="tensor_core")
    assert flags(launch) & Flag.C_VECTOR
    taken = {name: int(launch.args[-1][name]) for name in ("a_outer", "a_row", "a_col", "b_row")}
    assert taken == {"a_outer": 0, "a_row": 1, "a_col": 0, "b_row": 0}
    assert int(launch.args[-1]["a_inner"]) == 7
    assert int(launch.args[-1]["b_inner"]) == 11


def test_unrounded_sums_are_asked_for_where_they_differ():
    for dtype, flag in (("float16", Flag.WIDE), ("float32", Flag(0))):
        assert flags(gemm_launch(problem(dtype=dtype, wide=True), *BUFFERS)) & Flag.WIDE == flag


@pytest.mark.parametrize(
    ("row", "col", "shape", "transposed", "vector"),
    [
        (300, 1, (100, 300), False, True),
        (1, 100, (100, 300), True, True),
        (301, 1, (100, 300), False, False),  # a row starts 4 bytes after a 16-byte boundary
        (1, 102, (100, 300), True, False),
        (300, 2, (100, 300), False, False),  # no axis is contiguous
        (2, 200, (100, 300), True, False),
        (-300, 1, (100, 300), False, True),
        (300, -1, (100, 300), False, False),
        (0, 1, (100, 300), False, True),  # one row repeated
        (1, 1, (100, 1), True, True),  # a column: its row stride is what counts
        (17, 1, (1, 300), False, True),  # a row: its row stride is never taken
        (1, 17, (100, 1), True, True),
    ],
)
def test_orientation_and_vectors(row, col, shape, transposed, vector):
    p = problem(*(shape[0], 200, shape[1]), a=(0, 0, row, col))
    launch = gemm_launch(p, *BUFFERS, algo="vectorised")
    assert defines(launch)["A_TRANSPOSED"] == str(int(transposed))
    assert bool(flags(launch) & Flag.A_VECTOR) == vector
    m, k = shape
    p = problem(*(100, m, k), b=(0, 0, col, row))  # the same matrix, transposed, as B
    launch = gemm_launch(p, *BUFFERS, algo="vectorised")
    assert bool(flags(launch) & Flag.B_VECTOR) == vector
    if 1 not in shape:
        assert defines(launch)["B_TRANSPOSED"] == str(int(not transposed))


@pytest.mark.parametrize("axis", [0, 1])
def test_batches_may_misalign(axis):
    """Only strides that are taken count, and of doubles only two make 16 bytes."""
    strides = [0, 0, 300, 1]
    strides[axis] = 30002
    batch = (2, 1) if axis == 0 else (1, 2)
    for dtype, taken, vector in (
        ("float32", batch, False),
        ("float32", (1, 1), True),
        ("float64", batch, True),
    ):
        p = problem(dtype=dtype, a=tuple(strides), batch=taken)
        assert bool(flags(gemm_launch(p, *BUFFERS)) & Flag.A_VECTOR) == vector


def test_flags():
    launch = gemm_launch(problem(accumulate=True), *BUFFERS)
    assert flags(launch) == Flag.ACCUMULATE | Flag.A_VECTOR | Flag.B_VECTOR | Flag.C_VECTOR
    launch = gemm_launch(problem(n=201, channel="row"), *BUFFERS)
    assert flags(launch) == Flag.CHANNEL_BY_ROW | Flag.A_VECTOR
    launch = gemm_launch(problem(dtype="float16"), *BUFFERS)  # 8 elements make 16 bytes
    assert flags(launch) == Flag.B_VECTOR | Flag.C_VECTOR


@pytest.mark.parametrize("algo", [a for a in algorithms if not VERSIONS[a].arch])
def test_grid_covers_c_at_any_size(algo):
    for m, n, batch in ((HUGE, 3, (2, 3)), (3, HUGE, (1, 1)), (5, 7, (HUGE // 5, 5))):
        dtype = VERSIONS[algo].dtypes[0]
        p = problem(m=m, n=n, k=5, batch=batch, dtype=dtype)
        launch = gemm_launch(p, *BUFFERS, algo=algo)
        params, (x, y, z) = launch.args[-1], launch.grid
        tiles = ceil(m / int(params["tile_m"])), ceil(n / int(params["tile_n"]))
        assert x == tiles[0] * tiles[1]
        assert int(params["tiles_n"]) == tiles[1]
        assert y * (z - 1) < batch[0] * batch[1] <= y * z
        assert int(params["batches"]) == batch[0] * batch[1]


def test_auto():
    assert choose(problem(15, 1000, 1000)) == choose(problem(1000, 1, 1000)) == "shared_tile"
    assert choose(problem(16, 16, 1000)) == choose(problem(64, 64 * 383, 9)) == "double_buffered"
    assert choose(problem(64, 64 * 384, 9)) == choose(problem(1408, 1536, 9)) == "ffma"
    assert choose(problem(1408, 1536, 9, dtype="float64")) == "double_buffered"
    assert choose(problem(16, 16, 1000, dtype="bfloat16")) == "tensor_core"
    assert choose(problem(15, 16, 1000, dtype="bfloat16")) == "shared_tile"
    for m, n, batch, tile in (
        (1408, 1536, (1, 1), 128),  # 11 x 12 tiles of 128 fill a large GPU
        (1408, 1408, (1, 1), 64),
        (100, 100, (64, 2), 128),
        (64, 100, (64, 4), 64),
    ):
        launch = gemm_launch(problem(m, n, 5, batch=batch), *BUFFERS)
        assert defines(launch)["TILE"] == str(tile)


def test_tiles_on_tensor_cores_fill_a_gpu():
    for m, n, batch, tile in (
        (4096, 4096, (1, 1), ("128", "128")),
        (64, 56 * 56 * 32, (1, 1), ("64", "128")),
        (56 * 56 * 32, 64, (1, 1), ("128", "64")),
        (64, 100, (64, 4), ("64", "128")),
        (512, 49, (1, 1), ("64", "64")),
    ):
        launch = gemm_launch(problem(m, n, 5, "float16", batch=batch), *BUFFERS)
        assert (defines(launch)["TILE_M"], defines(launch)["TILE_N"]) == tile
        taken = launch.args[-1]
        assert (str(int(taken["tile_m"])), str(int(taken["tile_n"]))) == tile


def test_float32_is_rounded_only_where_asked():
    launch = gemm_launch(problem(512, 512, 512), *BUFFERS)
    assert launch.kernel.file == "gemm/6_double_buffered.cu"
    for algo in ("tf32", "tf32x3"):
        launch = gemm_launch(problem(512, 512, 512), *BUFFERS, algo=algo)
        assert launch.kernel.entry == f"gemm_{algo}"
        assert "SCALAR" not in defines(launch)


def test_pure_and_cached():
    args = ((100, 300), (300, 1), (300, 200), (200, 1), "float32")
    assert plan_gemm(*args) is plan_gemm(*args)
    first, second = (gemm_launch(problem(), *BUFFERS) for _ in range(2))
    assert first.kernel == second.kernel
    assert first.args[-1] == second.args[-1]


@pytest.mark.parametrize(
    ("a_shape", "b_shape"), [((0, 3), (3, 5)), ((4, 3), (3, 0)), ((0, 4, 3), (0, 3, 5))], ids=str
)
def test_empty_result_launches_nothing(a_shape, b_shape):
    rank = len(a_shape)
    plan = plan_gemm(a_shape, (1,) * rank, b_shape, (1,) * rank, "float32")
    assert plan.launches == ()
    assert plan.outputs["c"].shape == (*a_shape[:-1], b_shape[-1])


def test_nothing_to_sum_launches():
    plan = plan_gemm((4, 0), (0, 1), (0, 5), (5, 1), "float32")
    assert struct(plan, place=-1)["k"] == 0


BAD = {
    "m": (lambda: problem(m=0), "m=0, n=200"),
    "batch": (lambda: problem(batch=(0, 1)), r"batch=\(0, 1\)"),
    "c": (lambda: problem(c=(0, 0, 2, 200)), r"c=\(0, 0, 2, 200\); allowed: row or column"),
    "channel": (lambda: problem(channel="rows"), "channel='rows'; allowed: 'row', 'col'"),
    "algo": (
        lambda: gemm_launch(problem(), *BUFFERS, algo="best"),
        "algo='best'; allowed: auto, n",
    ),
    "tile": (
        lambda: gemm_launch(problem(), *BUFFERS, tile=(64, 128)),
        r"tile=\(64, 128\); allowed: \(64, 64\), \(128, 128\)",
    ),
    "one tile": (
        lambda: gemm_launch(problem(), *BUFFERS, algo="naive", tile=(64, 64)),
        r"tile=\(64, 64\); allowed: None, gemm_naive has one tile",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_problems(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
