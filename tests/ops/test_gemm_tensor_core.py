"""The product on tensor cores: every layout, traffic, and what happens if it does not wait."""

import numpy as np
import pytest
from gemm_cases import (
    LAYOUTS,
    K,
    M,
    N,
    each_transpose,
    execute,
    expected,
    launch,
    on_kernels,
    operand,
)
from op_checks import assert_matches, counted

import pycnn
from pycnn.emulator import AsyncCopyError, KernelError, RaceError, RawKernel
from pycnn.plan.gemm import gemm_launch
from pycnn.plan.gemm_problem import Gemm
from pycnn.runtime import sources
from pycnn.runtime.plan import Buffer

each_half = pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
each_tile = pytest.mark.parametrize("version", [("tensor_core", 64), ("tensor_core", 128)], ids=str)


@on_kernels
@each_tile
@each_half
@each_transpose
def test_matches_oracle(backend, rng, version, dtype, transposes):
    a = operand(rng, (M, K), dtype, transposed=transposes[0])
    b = operand(rng, (K, N), dtype, transposed=transposes[1])
    assert_matches(launch(backend, version, a, b), expected(a, b), dtype, K)


@on_kernels
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, N, 3), (M, 1, 5), (3, 5, 0), (2, 3, 133)], ids=str
)
def test_tiny_and_thin(backend, rng, shape):
    m, n, k = shape
    a, b = operand(rng, (m, k), "float16"), operand(rng, (k, n), "float16")
    got = launch(backend, ("tensor_core", 64), a, b)
    assert_matches(got, expected(a, b), "float16", k)


@on_kernels
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_views(backend, rng, layout, transposed):
    a = operand(rng, (M, K), "float16", layout, transposed)
    b = operand(rng, (K, N), "float16", layout, transposed)
    assert_matches(launch(backend, ("tensor_core", 64), a, b), expected(a, b), "float16", K)


@on_kernels
@each_tile
@pytest.mark.parametrize("layout", ["contiguous", "padded", "misaligned"])
@pytest.mark.parametrize("channel", ["row", "col"])
def test_epilogue(backend, rng, version, layout, channel):
    """All of it, with NaN and infinities, after what C holds, and C's padding left alone."""
    a, b = operand(rng, (M, 7), "float16"), operand(rng, (7, N), "float16")
    a[3, 2], b[4, 5] = np.nan, np.inf
    a[9], a[10] = -np.inf, 0
    c = operand(rng, (M, N), "float16", layout)
    bias, scale, shift = operand(rng, (3, M if channel == "row" else N, 2), "float16")[..., 1]
    end = {"bias": bias, "scale": scale, "shift": shift}
    end["residual"] = operand(rng, (M, N), "float16", "stepped")
    options = {"channel": channel, "activation": "relu", **end}
    with np.errstate(invalid="ignore"):
        want = expected(a, b, c=c, **options)
    got = launch(backend, version, a, b, c=c, accumulate=True, **options)
    assert_matches(got, want, "float16", 7)


@on_kernels
@each_tile
@pytest.mark.parametrize("n", [N, 136], ids=["odd rows", "whole vectors"])
def test_unrounded_sums_of_a_batch(backend, rng, version, n):
    """A partial sum keeps float32, and another is added to it; A is shared by the batch."""
    a, b = operand(rng, (M, K), "float16"), operand(rng, (3, K, n), "float16")
    strides = {"a": (0, 0, K, 1), "b": (K * n, 0, n, 1), "c": (M * n, 0, n, 1)}
    start = rng.standard_normal((3, M, n)).astype(np.float32)
    for accumulate in (False, True):
        problem = Gemm(
            M, n, K, "float16", **strides, batch=(3, 1), wide=True, accumulate=accumulate
        )
        got = execute(backend, version, problem, {"a": a, "b": b, "c": start.copy()})
        want = np.stack([expected(a, b[i], c=start[i] if accumulate else None) for i in range(3)])
        assert_matches(got, want, "float32", K)


@pytest.mark.parametrize("backend", ["checked"], indirect=True)
@each_tile
@each_transpose
def test_traffic(backend, rng, version, transposes):
    """Tiles are read once for each block that needs them, in whole sectors, and no bank twice."""
    a = operand(rng, (128, 64), "float16", transposed=transposes[0])
    b = operand(rng, (64, 128), "float16", transposed=transposes[1])
    with counted(backend) as log:
        launch(backend, version, a, b)
    counters, operand_bytes = log.total, 2 * 128 * 64
    assert counters.global_load_sectors * 32 == 2 * operand_bytes * (128 // version[1])
    assert counters.global_store_sectors * 32 == 2 * 128 * 128
    assert counters.sectors_per_store == 16
    assert counters.bank_conflicts == 0


def broken(old, new, k=232):
    """Run the kernel with a mistake in it, in a checked build."""
    dense = {"a": (0, 0, k, 1), "b": (0, 0, 40, 1), "c": (0, 0, 40, 1)}
    step = gemm_launch(Gemm(40, 40, k, "float16", **dense), *map(Buffer, "abc"), algo="tensor_core")
    code = sources.kernel_path(step.kernel.file).read_text()
    assert code.count(old) == 1
    options = [f"-D{name}={value}" for name, value in step.kernel.defines]
    options += [f"-I{sources.kernel_dir() / 'include'}"]
    kernel = RawKernel(code.replace(old, new), step.kernel.entry, tuple(options), checked=True)
    a, b = np.ones((40, k), np.float16), np.ones((k, 40), np.float16)
    kernel(step.grid, step.block, (a, b, np.zeros((40, 40), np.float16), *step.args[3:]))


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("        __syncthreads();  // this tile has", "        // this tile has", RaceError),
        ("copy_async_wait<STAGES - 2>()", "copy_async_wait<STAGES - 1>()", AsyncCopyError),
        ("stage ? stage - 1 : STAGES - 1", "stage", KernelError),
        ("    copy_async_wait<0>();  // sC", "    // sC", KernelError),
    ],
    ids=["no barrier", "waits for too few", "overwrites the tile in use", "sC too early"],
)
def test_what_is_left_out_is_reported(old, new, error):
    with pytest.raises(error):
        broken(old, new)


def test_as_it_stands_nothing_is_reported():
    broken("stage ? stage - 1 : STAGES - 1", "stage ? stage - 1 : STAGES - 1")


def test_float32_is_not_rounded_to_16_bits_in_silence():
    a = np.ones((32, 32), np.float32)
    for backend in ("reference", "emulator"):
        with pycnn.use_backend(backend), pytest.raises(ValueError, match="algo='tensor_core'"):
            pycnn.gemm(a, a, algo="tensor_core")
