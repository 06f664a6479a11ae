"""Numba's kernels on the emulator; `test_compiled_ptx` runs what it compiles without it."""

import numpy as np
import pytest
from compiled_cases import CASES

from pycnn.emulator import OutOfBoundsError, RaceError, counting

pytest.importorskip("numba.cuda", reason="needs the extra 'numba'")
pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")

import numba_kernels
from numba import cuda

from pycnn.emulator.numba import jit


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.maker == "numba"], ids=lambda case: case.name
)
@pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])
def test_kernels(case, checked):
    arguments = case.arguments()
    kernel = jit(getattr(numba_kernels, case.kernel), arch=f"sm_{case.arch}", checked=checked)
    with counting() as counted:
        kernel[case.grid, case.options["block"]](*arguments.values())
    case.check(arguments)
    assert counted.entries == [case.kernel]
    assert (kernel.counters is not None) == checked


@jit(checked=True)
def reverse(x, y, factor):
    own = cuda.shared.array(64, np.float32)
    own[cuda.threadIdx.x] = x[cuda.grid(1)]
    if factor > 0:
        cuda.syncthreads()
    y[cuda.grid(1)] = factor * own[63 - cuda.threadIdx.x]


def test_reports_name_the_line_and_the_argument():
    x = np.arange(128, dtype=np.float32)
    y = np.zeros_like(x)
    reverse[2, 64](x, y, 2.0)
    np.testing.assert_array_equal(y, 2 * x.reshape(2, 64)[:, ::-1].ravel())
    with pytest.raises(OutOfBoundsError, match=r"argument y \(float32\[100\]\)") as caught:
        reverse[2, 64](x, y[:100].copy(), 2.0)
    assert (caught.value.kernel, caught.value.file) == ("reverse", __file__)
    with open(__file__) as file:
        assert "y[cuda.grid(1)] = factor" in file.read().splitlines()[caught.value.line - 1]
    with pytest.raises(RaceError):
        reverse[2, 64](x, y, -1.0)


@cuda.jit
def scaled(matrix, pair, result):
    i, j = cuda.grid(2)
    if i < matrix.shape[0] and j < matrix.shape[1]:
        result[i, j] = matrix[i, j] * pair[0] + pair[1][j]


def test_what_cuda_jit_has_made_strides_and_tuples():
    kernel = jit(scaled, checked=True)
    rng = np.random.default_rng(0)
    matrix, add = rng.standard_normal((7, 5)), rng.standard_normal(5)
    for source in (matrix, matrix[::-1], np.asfortranarray(matrix), matrix[:, ::2]):
        result = np.zeros(source.shape)
        kernel[(1, 1), (8, 8)](source, (3, add), result)
        np.testing.assert_allclose(result, source * 3 + add[: source.shape[1]])


@jit
def through_dynamic(x):
    own = cuda.shared.array(0, np.int32)
    own[cuda.threadIdx.x] = x[cuda.threadIdx.x]
    cuda.syncthreads()
    x[cuda.threadIdx.x] = own[cuda.blockDim.x - 1 - cuda.threadIdx.x]


def test_dynamic_shared_memory_and_pytorch():
    x = np.arange(32, dtype=np.int32)
    through_dynamic[1, 32, 0, 128](x)
    np.testing.assert_array_equal(x, np.arange(32)[::-1])
    torch = pytest.importorskip("torch", reason="PyTorch's CPU build is not installed")
    tensor = torch.arange(32, dtype=torch.int32)
    through_dynamic[1, 32, 0, 128](tensor)
    assert tensor[0] == 31


def test_what_is_not_allowed():
    with pytest.raises(ValueError, match=r"through_dynamic\[3\]; allowed: \[grid, block\]"):
        through_dynamic[3]
    with pytest.raises(ValueError, match="max_steps=3; allowed"):
        jit(max_steps=3)
