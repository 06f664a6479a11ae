"""Every rung of the ladder, one launch at a time: results, then the traffic its header promises."""

import numpy as np
import pytest
from gemm_cases import (
    ACTIVATIONS,
    LAYOUTS,
    RUNGS,
    K,
    M,
    N,
    each_combination,
    each_dtype,
    each_rung,
    each_size,
    each_transpose,
    execute,
    expected,
    launch,
    on_kernels,
    operand,
)
from op_checks import assert_matches, counted, far_apart, same_under_all_schedules

import pycnn
from pycnn.dtypes import FLOATS
from pycnn.emulator import RawKernel
from pycnn.emulator.errors import RaceError
from pycnn.plan._epilogue import Epilogue
from pycnn.plan.gemm import algorithms, gemm_launch
from pycnn.plan.gemm_problem import Gemm
from pycnn.runtime import sources
from pycnn.runtime.plan import Buffer

INF, NAN = np.inf, np.nan
TILED = [rung for rung in RUNGS if rung[0] not in ("naive", "coalesced")]


@on_kernels
@each_rung
@each_combination
def test_matches_oracle(backend, rng, rung, dtype, transposes):
    a = operand(rng, (M, K), dtype, transposed=transposes[0])
    b = operand(rng, (K, N), dtype, transposed=transposes[1])
    assert_matches(launch(backend, rung, a, b), expected(a, b), dtype, K)


@on_kernels
@each_rung
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, N, 3), (M, 1, 5), (3, 5, 0), (2, 3, 70)], ids=str)
def test_tiny_and_thin(backend, rng, rung, shape):
    m, n, k = shape
    a, b = operand(rng, (m, k), "float32"), operand(rng, (k, n), "float32")
    assert_matches(launch(backend, rung, a, b), expected(a, b), "float32", k)


@on_kernels
@each_rung
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_views(backend, rng, rung, layout, transposed):
    a = operand(rng, (M, K), "float32", layout, transposed)
    b = operand(rng, (K, N), "float32", layout, transposed)
    assert_matches(launch(backend, rung, a, b), expected(a, b), "float32", K)


@on_kernels
@each_rung
@pytest.mark.parametrize("layout", ["contiguous", "padded", "misaligned"])
@pytest.mark.parametrize("channel", ["row", "col"])
def test_epilogue(backend, rng, rung, layout, channel):
    """All of it, with NaN and infinities, after what C holds, and C's padding left alone."""
    a, b = operand(rng, (M, 7), "float32"), operand(rng, (7, N), "float32")
    a[3, 2], b[4, 5] = NAN, INF
    a[9], a[10] = -INF, 0
    c = operand(rng, (M, N), "float32", layout)
    c[20, 30], c[21, 31], c[22, 32] = NAN, INF, -INF
    bias, scale, shift = operand(rng, (3, M if channel == "row" else N, 2), "float32")[..., 1]
    bias[40], bias[41] = -INF, NAN
    residual = operand(rng, (M, N), "float32", "stepped")
    end = {"bias": bias, "scale": scale, "shift": shift, "residual": residual}
    options = {"channel": channel, "activation": "relu", **end}
    with np.errstate(invalid="ignore"):
        want = expected(a, b, c=c, **options)
    got = launch(backend, rung, a, b, c=c, accumulate=True, **options)
    assert_matches(got, want, "float32", 7)


@on_kernels
@pytest.mark.parametrize("rung", [("shared_tile", None), ("double_buffered", (64, 64))], ids=str)
@each_dtype
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(backend, rng, rung, dtype, activation):
    a, b = operand(rng, (21, 35), dtype), operand(rng, (35, 19), dtype)
    end = {"bias": operand(rng, (19,), dtype), "residual": operand(rng, (21, 19), dtype)}
    got = launch(backend, rung, a, b, activation=activation, **end)
    assert_matches(got, expected(a, b, activation=activation, **end), dtype, 35)


@on_kernels
@pytest.mark.parametrize("rung", RUNGS, ids=str)
@pytest.mark.parametrize("channel", ["row", "col"])
def test_columns_of_c_may_be_contiguous(backend, rng, rung, channel):
    """The product is then taken as that of the transposes."""
    a, b = operand(rng, (M, 7), "float32"), operand(rng, (7, N), "float32")
    c = np.full((N, M), NAN, np.float32).T
    end = {
        "bias": operand(rng, (M if channel == "row" else N,), "float32"),
        "residual": operand(rng, (M, N), "float32"),
    }
    got = launch(backend, rung, a, b, c=c, channel=channel, **end)
    assert_matches(got, expected(a, b, channel=channel, **end), "float32", 7)


@on_kernels
@each_rung
@pytest.mark.parametrize("dtype", ["float16"])
def test_unrounded_sums(backend, rng, rung, dtype):
    """A partial sum keeps the precision of the accumulator, and another is added to it."""
    a, b = operand(rng, (M, K), dtype), operand(rng, (K, N), dtype)
    strides = {"a": (0, 0, K, 1), "b": (0, 0, N, 1), "c": (0, 0, N, 1)}
    start = rng.standard_normal((M, N)).astype(np.float32)
    for accumulate in (False, True):
        problem = Gemm(M, N, K, dtype, **strides, wide=True, accumulate=accumulate)
        got = execute(backend, rung, problem, {"a": a, "b": b, "c": start.copy()})
        assert_matches(got, expected(a, b, c=start if accumulate else None), "float32", K)


@on_kernels
@each_rung
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_two_level_batch_in_larger_arrays(backend, rng, rung, dtype):
    """Images and groups, as convolution has them: a is shared by the images, bias goes by group."""
    images, groups, m, n, k = 3, 2, 21, 35, 19
    size, skip = FLOATS[dtype].itemsize, 5
    a, b, c, bias, residual = (
        operand(rng, (skip + extent,), dtype)
        for extent in (
            groups * m * k,
            images * groups * k * n,
            images * groups * m * 40,
            groups * m,
            images * groups * m * n,
        )
    )
    problem = Gemm(
        m,
        n,
        k,
        dtype,
        a=(0, m * k, 1, m),
        b=(groups * k * n, k * n, n, 1),
        c=(groups * m * 40, m * 40, 40, 1),
        batch=(images, groups),
        epilogue=Epilogue(bias=1, residual=(0, 0, 0, 0)),
        channel="row",
        channels=m,
        residual=(groups * m * n, m * n, n, 1),
    )
    arrays = {"a": a, "b": b, "c": c.copy(), "bias": bias[skip:], "residual": residual}
    got = execute(backend, rung, problem, arrays, dict.fromkeys(arrays, skip * size))

    want = c.astype(np.float64)
    tiles = want[skip:].reshape(images, groups, m, 40)[..., :n]
    weights = a[skip:].reshape(groups, k, m).swapaxes(1, 2)
    columns = b[skip:].reshape(images, groups, k, n)
    for image, group in np.ndindex(images, groups):
        tiles[image, group] = expected(
            weights[group],
            columns[image, group],
            channel="row",
            bias=bias[skip:].reshape(groups, m)[group],
            residual=residual[skip:].reshape(images, groups, m, n)[image, group],
        )
    assert_matches(got, want, dtype, k)


def test_more_batches_than_a_grid_axis_has(rng):
    """65535 blocks fit along y: the rest goes to z, whose last layer is not full."""
    count = 65535 + 3
    a, b = (rng.standard_normal(count).astype(np.float32) for _ in range(2))
    strides = dict.fromkeys("abc", (1, 0, 1, 1))
    problem = Gemm(1, 1, 1, "float32", **strides, batch=(count, 1))
    with pycnn.use_backend("emulator", checked=False):
        arrays = {"a": a, "b": b, "c": np.full(count, NAN, np.float32)}
        got = execute(_Plain, ("naive", None), problem, arrays)
    np.testing.assert_array_equal(got, a * b)


class _Plain:
    """NumPy arrays as they are."""

    name = "emulator"
    array = numpy = staticmethod(lambda array: array)


@each_rung
@pytest.mark.parametrize("side", ["a", "b"])
def test_offsets_beyond_2_to_the_31(rung, side):
    far = far_apart(np.array([[1, -2, 3], [-4, 5, -6]], np.float32))
    near = np.array([[2, 1], [1, 0], [3, 1]], np.float32)
    with pycnn.use_backend("emulator", checked=False):
        a, b = (far, near) if side == "a" else (near.T, far.T)
        got = launch(_Plain, rung, a, b)
    want = [[9, 4], [-21, -10]]
    assert got.tolist() == (want if side == "a" else np.transpose(want).tolist())


@on_kernels
@each_rung
def test_deterministic(backend, rng, monkeypatch, rung):
    a, b = operand(rng, (70, 45), "float32", "padded"), operand(rng, (45, 67), "float32")
    same_under_all_schedules(
        backend, monkeypatch, lambda: backend.array(launch(backend, rung, a, b))
    )


def traffic(backend, rng, rung, dtype, transposes=(False, False), layout="contiguous"):
    """Counters and operand bytes of a product of 128 x 128 x 32, which every tile divides."""
    a = operand(rng, (128, 32), dtype, layout, transposes[0])
    b = operand(rng, (32, 128), dtype, layout, transposes[1])
    with counted(backend) as log:
        launch(backend, rung, a, b)
    return log.total, FLOATS[dtype].itemsize * 128 * 32


@pytest.mark.parametrize("backend", ["checked"], indirect=True)
class TestTraffic:
    @each_size
    def test_coalescing(self, backend, rng, dtype):
        """Rows of a warp cost a sector each; neighbours in a row share sectors."""
        size = FLOATS[dtype].itemsize
        naive, _ = traffic(backend, rng, ("naive", None), dtype)
        coalesced, _ = traffic(backend, rng, ("coalesced", None), dtype)
        assert naive.sectors_per_load == (32 + 1) / 2
        assert naive.sectors_per_store == 32
        assert coalesced.sectors_per_load == (size + 1) / 2
        assert coalesced.sectors_per_store == size
        assert (
            naive.global_load_requests == coalesced.global_load_requests == 2 * 32 * 128 * 128 / 32
        )

    @each_size
    @each_transpose
    @pytest.mark.parametrize("rung", TILED, ids=str)
    def test_tiles_are_read_once_for_each_block_that_needs_them(
        self, backend, rng, rung, dtype, transposes
    ):
        own = {"shared_tile": 16, "register_tile": 64, "vectorised": 128}
        tile = rung[1][0] if rung[1] else own[rung[0]]
        counters, operand_bytes = traffic(backend, rng, rung, dtype, transposes)
        assert counters.global_load_sectors * 32 == 2 * operand_bytes * (128 // tile)
        assert counters.bytes_necessary == 2 * operand_bytes + 4 * operand_bytes
        assert counters.global_store_sectors * 32 == 4 * operand_bytes
        assert counters.bank_conflicts == 0

    @each_size
    @each_transpose
    @pytest.mark.parametrize("rung", TILED, ids=str)
    @pytest.mark.parametrize("layout", ["misaligned", "stepped"])
    def test_no_bank_conflicts_without_vectors(self, backend, rng, rung, dtype, transposes, layout):
        counters, _ = traffic(backend, rng, rung, dtype, transposes, layout)
        assert counters.bank_conflicts == 0

    @each_size
    @each_transpose
    @pytest.mark.parametrize("rung", TILED[2:], ids=str)
    def test_16_bytes_at_a_time(self, backend, rng, rung, dtype, transposes):
        counters, _ = traffic(backend, rng, rung, dtype, transposes)
        assert counters.sectors_per_load == 32 * 16 / 32
        assert counters.sectors_per_store == 32 * (8 if dtype == "float16" else 16) / 32

    def test_shared_loads_for_each_multiplication(self, backend, rng):
        """What registers and vectors buy, in requests of a warp for 32 multiply-adds."""
        loads = {}
        for rung in TILED:
            counters, _ = traffic(backend, rng, rung, "float32")
            loads[rung] = counters.shared_load_requests * 32 / (128 * 128 * 32)
        end = 128 * 128 / 4 / (128 * 128 * 32)  # the sums pass through shared memory
        assert list(loads.values()) == [2, 8 / 16, 4 / 64 + end, 2 / 16 + end, 4 / 64 + end]

    def test_one_barrier_for_each_tile_with_two_buffers(self, backend, rng):
        single, _ = traffic(backend, rng, ("vectorised", None), "float32")
        double, _ = traffic(backend, rng, ("double_buffered", (128, 128)), "float32")
        tiles, end = 32 // 8, 16  # the sums leave in 8 passes with 2 barriers each
        assert single.barriers / (2 * tiles + end) == double.barriers / (tiles + end) > 0


def test_the_ladder_is_what_the_tests_climb():
    others = {"ffma", "tensor_core", "tf32", "tf32x3", "wgmma", "wgmma_tf32"}
    assert {algo for algo, _ in RUNGS} == set(algorithms) - others


BARRIERS = {"shared_tile": 2, "register_tile": 2, "vectorised": 2, "double_buffered": 1}


@pytest.mark.parametrize(
    ("algo", "left_out"), [(algo, i) for algo, n in BARRIERS.items() for i in range(n)]
)
def test_every_barrier_is_needed(rng, algo, left_out):
    """Without it the checked emulator finds a race."""
    a, b = operand(rng, (33, 70), "float32"), operand(rng, (70, 33), "float32")
    dense = {"a": (0, 0, 70, 1), "b": (0, 0, 33, 1), "c": (0, 0, 33, 1)}
    step = gemm_launch(Gemm(33, 33, 70, "float32", **dense), *map(Buffer, "abc"), algo=algo)
    file = sources.kernel_path(step.kernel.file)
    parts = file.read_text().split("__syncthreads();")
    assert len(parts) - 1 == BARRIERS[algo]
    code = "__syncthreads();".join(parts[: left_out + 1])
    code += ";" + "__syncthreads();".join(parts[left_out + 1 :])
    options = [f"-D{name}={value}" for name, value in step.kernel.defines]
    options += [f"-I{sources.kernel_dir() / 'include'}"]
    kernel = RawKernel(code, step.kernel.entry, tuple(options), checked=True)
    c = np.zeros((33, 33), np.float32)
    with pytest.raises(RaceError):
        kernel(step.grid, step.block, (a, b, c, *step.args[3:]))
