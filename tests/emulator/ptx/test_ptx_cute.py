"""CuTe's layouts, descriptors and fragments for ``wgmma``, from a checkout of CUTLASS.

``CUTLASS_INCLUDE=/folder/of/include pytest tests/emulator/ptx/test_ptx_cute.py``
"""

import importlib.util
import os

import numpy as np
import pytest

from pycnn.emulator import RawKernel

pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")
if importlib.util.find_spec("cuda") is None:
    pytest.skip("needs the extra 'compile'", allow_module_level=True)
INCLUDE = os.environ.get("CUTLASS_INCLUDE")
if not INCLUDE:
    pytest.skip("needs CUTLASS's headers: CUTLASS_INCLUDE", allow_module_level=True)

SOURCE = r"""
#include <cute/tensor.hpp>
#include <cute/arch/mma_sm90.hpp>
#include <cute/atom/mma_traits_sm90_gmma.hpp>
using namespace cute;
constexpr int kRows = ROWS, kColumns = COLUMNS, kDepth = 64;

extern "C" __global__ void __launch_bounds__(128)
product(const half_t* a, const half_t* b, float* c) {
    extern __shared__ __align__(1024) char memory[];
    auto layout_a = tile_to_shape(GMMA::LAYOUT_A<half_t>{}, Shape<Int<kRows>, Int<kDepth>>{});
    auto layout_b = tile_to_shape(GMMA::LAYOUT_B<half_t>{}, Shape<Int<kColumns>, Int<kDepth>>{});
    auto tile_a = make_tensor(make_smem_ptr((half_t*)memory), layout_a);
    auto tile_b = make_tensor(make_smem_ptr((half_t*)(memory + kRows * kDepth * 2)), layout_b);
    for (int i = threadIdx.x; i < kRows * kDepth; i += 128)
        tile_a(i / kDepth, i % kDepth) = a[i];
    for (int i = threadIdx.x; i < kColumns * kDepth; i += 128)
        tile_b(i / kDepth, i % kDepth) = b[i];
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    auto mma = make_tiled_mma(SM90_64xCOLUMNSx16_F32F16F16_SS<GMMA::Major::MAJOR_A,
                                                              GMMA::Major::MAJOR_B>{});
    auto mine = mma.get_thread_slice(threadIdx.x);
    auto result = make_tensor(make_gmem_ptr(c), Shape<Int<kRows>, Int<kColumns>>{},
                              Stride<Int<kColumns>, _1>{});
    auto part = mine.partition_C(result);
    auto sums = mine.make_fragment_C(part);
    clear(sums);
    warpgroup_arrive();
    gemm(mma, mine.make_fragment_A(mine.partition_A(tile_a)),
         mine.make_fragment_B(mine.partition_B(tile_b)), sums);
    warpgroup_commit_batch();
    warpgroup_wait<0>();
    copy(sums, part);
}
"""


@pytest.mark.parametrize(
    ("rows", "columns", "major", "a", "b"),
    [
        (64, 64, "K", "SW128", "SW128"),
        (128, 64, "K", "SW64", "SW32"),
        (64, 64, "K", "INTER", "INTER"),
        (128, 128, "MN", "SW128", "SW128"),
        (64, 96, "MN", "SW64", "SW32"),
        (64, 64, "MN", "SW32", "SW64"),
        (64, 64, "MN", "INTER", "INTER"),
    ],
)
def test_layouts(rows, columns, major, a, b):
    text = SOURCE
    for word, value in {
        "ROWS": str(rows), "COLUMNS": str(columns), "LAYOUT_A": f"Layout_{major}_{a}_Atom",
        "LAYOUT_B": f"Layout_{major}_{b}_Atom", "MAJOR_A": major, "MAJOR_B": major,
    }.items():  # fmt: skip
        text = text.replace(word, value)
    rng = np.random.default_rng(37)
    x, y = (rng.standard_normal((n, 64)).astype(np.float16) for n in (rows, columns))
    c = np.zeros((rows, columns), np.float32)
    kernel = RawKernel(text, "product", (f"-I{INCLUDE}", "-std=c++17"), via="ptx", arch="sm_90a",
                       checked=True)  # fmt: skip
    kernel.max_dynamic_shared_size_bytes = 100 * 1024
    kernel((1,), (128,), (x, y, c), shared_mem=(rows + columns) * 128)
    np.testing.assert_allclose(c, x.astype(float) @ y.astype(float).T, atol=1e-5)
