"""Plans of the matrix product."""

import re
from itertools import product
from math import ceil

import numpy as np
import pytest
from plan_checks import HUGE, assert_sound, struct

from pycnn.plan.gemm import (
    LADDER,
    PARAMS,
    Flag,
    Gemm,
    algorithms,
    choose,
    gemm_launch,
    plan_gemm,
)
from pycnn.runtime import catalogue, sources
from pycnn.runtime.plan import Buffer

BUFFERS = Buffer("a"), Buffer("b"), Buffer("c")
HEADER = sources.kernel_dir() / "include" / "pycnn" / "gemm.cuh"


def problem(m=100, n=200, k=300, dtype="float32", **options):
    """A product of contiguous matrices, unless `options` say otherwise."""
    strides = {"a": (0, 0, k, 1), "b": (0, 0, n, 1), "c": (0, 0, n, 1)}
    return Gemm(m, n, k, dtype, **{**strides, **options})


def defines(launch):
    return dict(launch.kernel.defines)


def flags(launch):
    return Flag(int(launch.args[4]["flags"]))


@pytest.mark.parametrize("algo", ["auto", *algorithms])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_plan_is_sound(algo, dtype):
    for transposed_a, transposed_b in product([False, True], repeat=2):
        plan = plan_gemm(
            (100, 300),
            (1, 100) if transposed_a else (300, 1),
            (300, 200),
            (1, 300) if transposed_b else (200, 1),
            dtype,
            bias="col",
            algo=algo,
        )
        assert_sound(plan, {"a", "b", "bias"})
        assert plan.algo in algorithms
        assert plan.outputs["c"].shape == (100, 200)
        assert plan.flops == 2 * 100 * 200 * 300
        size = np.dtype(dtype).itemsize
        assert plan.bytes == size * (100 * 300 + 300 * 200 + 100 * 200 + 200)


def test_struct_is_that_of_the_header():
    """Names, order and widths; sizeof is asserted where the kernels are compiled."""
    body = re.search(r"struct GemmParams \{(.*?)\n\};", HEADER.read_text(), re.S)[1]
    fields = []
    for kind, names in re.findall(r"^ +(index_t|unsigned) ([\w, ]+);", body, re.M):
        fields += [(name.strip(), "i8" if kind == "index_t" else "u4") for name in names.split(",")]
    assert np.dtype(fields) == PARAMS
    assert f"sizeof(GemmParams) == {PARAMS.itemsize}" in HEADER.read_text()


def test_flags_are_those_of_the_header():
    body = re.search(r"enum Flag : unsigned \{(.*?)\};", HEADER.read_text(), re.S)[1]
    found = {name: int(value) for name, value in re.findall(r"(\w+) = (\d+),", body)}
    assert found == {flag.name: flag.value for flag in Flag}


def test_ladder_is_what_kernels_there_are():
    files = {k.file: k for k in catalogue.load() if k.file.startswith("gemm/")}
    assert {rung.file for rung in LADDER.values()} == set(files)
    for algo, rung in LADDER.items():
        assert list(files[rung.file].entries) == [rung.entry] == [f"gemm_{algo}"]
        tiles = {value for v in files[rung.file].variants for x, value in v if x == "TILE"}
        assert tiles == {str(tile) for tile in rung.tiles}
    assert [rung.file[5] for rung in LADDER.values()] == list("123456")


def test_struct_has_every_parameter():
    p = problem(
        a=(11, 12, 13, 1),
        b=(21, 22, 1, 24),
        c=(31, 32, 33, 1),
        batch=(5, 7),
        bias="row",
        bias_stride=41,
        bias_step=42,
    )
    params = gemm_launch(p, *BUFFERS, Buffer("bias"), algo="vectorised").args[4]
    expected = [100, 200, 300, 11, 12, 13, 1, 21, 22, 1, 24, 31, 32, 33, 41, 42]
    assert [int(x) for x in params] == [*expected, 35, 7, 2, 128, 128, Flag.BIAS_BY_ROW]


def test_arguments_in_the_order_of_the_kernels():
    at = Buffer("x", 8), Buffer("y", 16), Buffer("z", 24)
    assert gemm_launch(problem(), *at).args[:4] == (at[0], at[1], None, at[2])
    launch = gemm_launch(problem(bias="col"), *at, Buffer("v", 4))
    assert launch.args[:4] == (at[0], at[1], Buffer("v", 4), at[2])


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
    launch = gemm_launch(problem(relu=True, accumulate=True), *BUFFERS)
    expected = Flag.RELU | Flag.ACCUMULATE | Flag.A_VECTOR | Flag.B_VECTOR | Flag.C_VECTOR
    assert flags(launch) == expected
    launch = gemm_launch(problem(n=201, bias="row"), *BUFFERS, Buffer("bias"))
    assert flags(launch) == Flag.BIAS_BY_ROW | Flag.A_VECTOR


@pytest.mark.parametrize("algo", algorithms)
def test_grid_covers_c_at_any_size(algo):
    for m, n, batch in ((HUGE, 3, (2, 3)), (3, HUGE, (1, 1)), (5, 7, (HUGE // 5, 5))):
        p = problem(m=m, n=n, k=5, batch=batch)
        launch = gemm_launch(p, *BUFFERS, algo=algo)
        params, (x, y, z) = launch.args[4], launch.grid
        tiles = ceil(m / int(params["tile_m"])), ceil(n / int(params["tile_n"]))
        assert x == tiles[0] * tiles[1]
        assert int(params["tiles_n"]) == tiles[1]
        assert y * (z - 1) < batch[0] * batch[1] <= y * z
        assert int(params["batches"]) == batch[0] * batch[1]


def test_auto():
    assert choose(problem(15, 1000, 1000)) == choose(problem(1000, 1, 1000)) == "shared_tile"
    assert choose(problem(16, 16, 1000)) == "double_buffered"
    for m, n, batch, tile in (
        (1408, 1536, (1, 1), 128),  # 11 x 12 tiles of 128 fill a large GPU
        (1408, 1408, (1, 1), 64),
        (100, 100, (64, 2), 128),
        (64, 100, (64, 4), 64),
    ):
        launch = gemm_launch(problem(m, n, 5, batch=batch), *BUFFERS)
        assert defines(launch)["TILE"] == str(tile)


def test_pure_and_cached():
    args = ((100, 300), (300, 1), (300, 200), (200, 1), "float32")
    assert plan_gemm(*args) is plan_gemm(*args)
    first, second = (gemm_launch(problem(), *BUFFERS) for _ in range(2))
    assert first.kernel == second.kernel
    assert first.args[4] == second.args[4]


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
    assert struct(plan)["k"] == 0
    assert plan.flops == 0


BAD = {
    "m": (lambda: problem(m=0), "m=0, n=200"),
    "batch": (lambda: problem(batch=(0, 1)), r"batch=\(0, 1\)"),
    "c": (lambda: problem(c=(0, 0, 1, 100)), r"c=\(0, 0, 1, 100\); allowed: column stride 1"),
    "bias": (lambda: problem(bias="rows"), "bias='rows'; allowed: None, 'row', 'col'"),
    "algo": (
        lambda: gemm_launch(problem(), *BUFFERS, algo="best"),
        "algo='best'; allowed: auto, n",
    ),
    "missing": (lambda: gemm_launch(problem(bias="row"), *BUFFERS), "bias=None; allowed: a Buffer"),
    "surplus": (
        lambda: gemm_launch(problem(), *BUFFERS, Buffer("v")),
        r"bias=Buffer\(name='v'.*allowed: a Buffer exactly if",
    ),
    "tile": (lambda: gemm_launch(problem(), *BUFFERS, tile=32), "tile=32; allowed: 64, 128"),
    "one tile": (
        lambda: gemm_launch(problem(), *BUFFERS, algo="naive", tile=64),
        "tile=64; allowed: None, gemm_naive has one tile",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_problems(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
