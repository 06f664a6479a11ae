"""The product by copies past the registers: every layout, traffic, and if it does not wait.

On tensor cores, or of floats one by one (``ffma``).
"""

import numpy as np
import pytest
from broken import run_broken
from gemm_cases import (
    LAYOUTS,
    TRANSPOSES,
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
from pycnn.testing.tolerance import tolerance

#: Versions with their tiles: all orders of memory with the small one, two with each other.
SMALL = [(algo, (64, 64)) for algo in ("tensor_core", "tf32", "tf32x3", "ffma")]
LARGE = [("tensor_core", tile) for tile in ((64, 128), (128, 64), (128, 128))]
LARGE += [("tf32", tile) for tile in ((64, 128), (128, 64), (128, 128))] + [("tf32x3", (128, 64))]
LARGE += [("ffma", (128, 128))]
COMBINATIONS = [(version, t) for version in SMALL for t in TRANSPOSES]
COMBINATIONS += [(version, t) for version in LARGE for t in TRANSPOSES[1:3]]

DTYPES = {"tensor_core": "float16", "tf32": "float32", "tf32x3": "float32", "ffma": "float32"}

each_version = pytest.mark.parametrize("version", [*SMALL, *LARGE], ids=str)
each_combination = pytest.mark.parametrize(("version", "transposes"), COMBINATIONS, ids=str)
each_small = pytest.mark.parametrize("version", SMALL, ids=str)


def check(got, version, a, b, **options):
    """Within the error that theory allows, of float32 sums or of TF32 products beside them."""
    want, k = expected(a, b, **options), a.shape[1]
    if version[0] != "tf32":
        assert_matches(got, want, a.dtype.name, k)
        return
    # Rounding moves an element by 2^-11 of it, so a product by 2^-10 + 2^-22 of it.
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    products = expected(*(np.nan_to_num(np.abs(x), posinf=0) for x in (a, b)))
    scale = np.max(np.abs(want[finite]), initial=0)
    allowed = products * (2**-10 + 2**-22) + tolerance("float32", k, scale)
    assert np.all(np.abs(got - want)[finite] <= allowed[finite])


@on_kernels
@each_combination
def test_matches_oracle(backend, rng, version, transposes):
    a = operand(rng, (M, K), DTYPES[version[0]], transposed=transposes[0])
    b = operand(rng, (K, N), DTYPES[version[0]], transposed=transposes[1])
    check(launch(backend, version, a, b), version, a, b)


@on_kernels
@pytest.mark.parametrize("version", [SMALL[0], LARGE[2]], ids=str)
@each_transpose
def test_bfloat16(backend, rng, version, transposes):
    a = operand(rng, (M, K), "bfloat16", transposed=transposes[0])
    b = operand(rng, (K, N), "bfloat16", transposed=transposes[1])
    assert_matches(launch(backend, version, a, b), expected(a, b), "bfloat16", K)


@on_kernels
def test_tf32_rounds_each_element(backend):
    """To 10 bits of fraction within 2^-11: not cut off, and exactly where it is one of them.

    To the nearest from sm_90 on, before it a number below but near a tie may go up. What is no
    number stays none: also the NaN that a GPU makes, whose bits an addition would carry into the
    sign.
    """
    up, down = 1 + 3 * 2**-12, 1 + 2**-12
    near = np.array([up, down, 2 - 2**-23, 2 - 2**-10, 3, -np.inf, np.nan])
    a = np.concatenate([near, -near]).astype(np.float32)[:, None]
    a[-1:].view(np.uint32)[...] = 0x7FFFFFFF
    b = np.array([[1.0, 1 + 2**-10]], np.float32)
    got = launch(backend, ("tf32", (64, 64)), a, b)
    rounded = np.array([1 + 2**-10, 1, 2, 2 - 2**-10, 3, -np.inf, np.nan])
    want = np.concatenate([rounded, -rounded])[:, None] * b
    np.testing.assert_array_equal(got, want.astype(np.float32))


@on_kernels
@pytest.mark.parametrize("k", [1, 8, 1000])
def test_split_products_are_as_good_as_float32(backend, rng, k):
    """Element by element, by what theory allows.

    An element is high + low within 2^-23 of it; low low, left out, is 2^-22 of a product. Sums of
    sixteen products are cut off eight times at 2^-23 of them, and added up rounded to nearest.
    """
    a, b = operand(rng, (70, k), "float32"), operand(rng, (k, 66), "float32")
    got = launch(backend, ("tf32x3", (64, 64)), a, b)
    of_split, of_terms, of_sums = 2 * 2**-23 + 2**-22, 8 * 2**-23, -(-k // 16) * 2**-24
    products = expected(np.abs(a), np.abs(b))
    assert np.all(np.abs(got - expected(a, b)) <= (of_split + of_terms + of_sums) * products)
    rounded = launch(backend, ("tf32", (64, 64)), a, b)
    assert np.abs(got - expected(a, b)).max() < 2**-9 * np.abs(rounded - expected(a, b)).max()


@on_kernels
def test_infinities_of_split_products(backend):
    """They are those of float32, although infinity less its TF32 part is none."""
    a = np.array([[np.inf, 1], [-np.inf, 1 + 2**-20], [np.inf, -np.inf], [np.nan, 0]], np.float32)
    b = np.array([[1, 0, np.inf], [1 + 2**-20, np.inf, np.inf]], np.float32)
    with np.errstate(invalid="ignore"):
        want = expected(a, b)
    np.testing.assert_array_equal(launch(backend, ("tf32x3", (64, 64)), a, b), want)


@on_kernels
@each_small
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, N, 3), (M, 1, 5), (3, 5, 0), (2, 3, 133)], ids=str
)
def test_tiny_and_thin(backend, rng, shape, version):
    m, n, k = shape
    dtype = DTYPES[version[0]]
    a, b = operand(rng, (m, k), dtype), operand(rng, (k, n), dtype)
    check(launch(backend, version, a, b), version, a, b)


@on_kernels
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS[1:])
@each_small
def test_views(backend, rng, version, layout, transposed):
    a = operand(rng, (M, K), DTYPES[version[0]], layout, transposed)
    b = operand(rng, (K, N), DTYPES[version[0]], layout, transposed)
    check(launch(backend, version, a, b), version, a, b)


@on_kernels
@each_version
@pytest.mark.parametrize("layout", ["contiguous", "padded", "misaligned"])
@pytest.mark.parametrize("channel", ["row", "col"])
def test_epilogue(backend, rng, version, layout, channel):
    """All of it, with NaN and infinities, after what C holds, and C's padding left alone."""
    dtype = DTYPES[version[0]]
    a, b = operand(rng, (M, 7), dtype), operand(rng, (7, N), dtype)
    a[3, 2], b[4, 5] = np.nan, np.inf
    a[9], a[10] = -np.inf, 0
    c = operand(rng, (M, N), dtype, layout)
    bias, scale, shift = operand(rng, (3, M if channel == "row" else N, 2), dtype)[..., 1]
    end = {"bias": bias, "scale": scale / 4, "shift": shift}
    end["residual"] = operand(rng, (M, N), dtype, "stepped")
    options = {"channel": channel, "activation": "relu", **end}
    with np.errstate(invalid="ignore"):
        start = c.copy()
        got = launch(backend, version, a, b, c=c, accumulate=True, **options)
        check(got, version, a, b, c=start, **options)


@on_kernels
@pytest.mark.parametrize("version", [SMALL[0], LARGE[1], LARGE[2]], ids=str)
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
@each_combination
def test_traffic(backend, rng, version, transposes):
    """Tiles are read once for each block that needs them, in whole sectors, and no bank twice."""
    algo, (tile_m, tile_n) = version
    a = operand(rng, (128, 64), DTYPES[algo], transposed=transposes[0])
    b = operand(rng, (64, 128), DTYPES[algo], transposed=transposes[1])
    with counted(backend) as log:
        launch(backend, version, a, b)
    # Copied element by element to rows of k, a sector comes four times, thrice from L1.
    along_k = not transposes[0], transposes[1]
    again = [4 if algo == "ffma" and along else 1 for along in along_k]
    counters, times = log.total, 128 // tile_n * again[0] + 128 // tile_m * again[1]
    assert counters.global_load_sectors * 32 == a.nbytes * times
    assert counters.global_store_sectors * 32 == a.itemsize * 128 * 128
    assert counters.sectors_per_store == 16
    assert counters.bank_conflicts == 0


@pytest.mark.parametrize("backend", ["checked"], indirect=True)
@each_combination
def test_what_is_copied_by_elements_asks_no_bank_twice(backend, rng, version, transposes):
    a, b = (
        operand(rng, (72, 72), DTYPES[version[0]], transposed=turned)[1:65, 1:65]
        for turned in transposes
    )
    with counted(backend) as log:
        launch(backend, version, a, b)
    assert log.total.bank_conflicts == 0


HEADER = "include/pycnn/gemm_tensor_core.cuh"
INCLUDED = "#include <pycnn/gemm_tensor_core.cuh>"


def broken(old, new, version=SMALL[0], k=360):
    """Run the kernel with a mistake in it, in a checked build."""
    algo, tile = version
    dense = {"a": (0, 0, k, 1), "b": (0, 0, 40, 1), "c": (0, 0, 40, 1)}
    problem = Gemm(40, 40, k, DTYPES[algo], **dense)
    step = gemm_launch(problem, *map(Buffer, "abc"), algo=algo, tile=tile)
    kernel, header = (sources.kernel_path(name).read_text() for name in (step.kernel.file, HEADER))
    assert header.count(old) == 1
    assert kernel.count(INCLUDED) == 1
    code = kernel.replace(INCLUDED, header.replace("#pragma once", "").replace(old, new))
    options = [f"-D{name}={value}" for name, value in step.kernel.defines]
    options += [f"-I{sources.kernel_dir() / 'include'}"]
    kernel = RawKernel(code, step.kernel.entry, tuple(options), checked=True)
    a, b = np.ones((40, k), DTYPES[algo]), np.ones((k, 40), DTYPES[algo])
    kernel(step.grid, step.block, (a, b, np.zeros((40, 40), DTYPES[algo]), *step.args[3:]))


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
@each_small
def test_what_is_left_out_is_reported(old, new, error, version):
    with pytest.raises(error):
        broken(old, new, version)


def test_a_vote_on_nan_that_only_one_warp_finds_is_of_the_block():
    step = gemm_launch(
        Gemm(40, 40, 40, "float32", a=(0, 0, 40, 1), b=(0, 0, 40, 1), c=(0, 0, 40, 1)),
        *map(Buffer, "abc"), algo="tf32x3", tile=(64, 64),
    )  # fmt: skip
    arrays = {name: np.ones((40, 40), np.float32) for name in "abc"}
    arrays["a"][3] = np.inf
    vote = "return __syncthreads_or(found);"
    run_broken(step, arrays, vote, vote)
    with pytest.raises(KernelError):
        run_broken(step, arrays, vote, "return found;")


@each_small
def test_as_it_stands_nothing_is_reported(version):
    broken("stage ? stage - 1 : STAGES - 1", "stage ? stage - 1 : STAGES - 1", version)


def test_float32_is_not_rounded_to_16_bits_in_silence():
    a = np.ones((32, 32), np.float32)
    for backend in ("reference", "emulator"):
        with pycnn.use_backend(backend), pytest.raises(ValueError, match="algo='tensor_core'"):
            pycnn.gemm(a, a, algo="tensor_core")
