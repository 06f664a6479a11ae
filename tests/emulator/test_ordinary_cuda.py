"""CUDA C++ as people write it, with no macro of ours, matches NumPy in both builds."""

import numpy as np
import pytest

from pycnn.emulator import RawKernel, RawModule, TranslationError
from pycnn.runtime.errors import CompileError

pytestmark = pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])


def test_tiled_matrix_product(rng, checked):
    code = r"""
    #define TILE 16
    extern "C" __global__ void matmul(const float* __restrict__ a, const float* __restrict__ b,
                                      float* c, int m, int n, int k) {
        extern __shared__ float smem[];
        float* as = smem;
        float* bs = smem + TILE * TILE;
        int row = blockIdx.y * TILE + threadIdx.y, col = blockIdx.x * TILE + threadIdx.x;
        float sum = 0.0f;
        for (int t = 0; t < (k + TILE - 1) / TILE; ++t) {
            int ak = t * TILE + threadIdx.x, bk = t * TILE + threadIdx.y;
            as[threadIdx.y * TILE + threadIdx.x] = row < m && ak < k ? a[row * k + ak] : 0.0f;
            bs[threadIdx.y * TILE + threadIdx.x] = bk < k && col < n ? b[bk * n + col] : 0.0f;
            __syncthreads();
    #pragma unroll
            for (int i = 0; i < TILE; ++i)
                sum += as[threadIdx.y * TILE + i] * bs[i * TILE + threadIdx.x];
            __syncthreads();
        }
        if (row < m && col < n) c[row * n + col] = sum;
    }"""
    m, n, k = 37, 29, 41
    a = rng.standard_normal((m, k), dtype=np.float32)
    b = rng.standard_normal((k, n), dtype=np.float32)
    c = np.empty((m, n), np.float32)
    kernel = RawKernel(code, "matmul", checked=checked)
    kernel((2, 3), (16, 16), (a, b, c, m, n, np.int32(k)), shared_mem=2 * 16 * 16 * 4)
    np.testing.assert_allclose(c, a @ b, rtol=1e-4, atol=1e-4)


def test_warp_shuffle_reduction(rng, checked):
    code = r"""
    __device__ __forceinline__ float warp_sum(float v) {
        for (int offset = warpSize / 2; offset > 0; offset /= 2)
            v += __shfl_down_sync(0xffffffff, v, offset);
        return v;
    }
    extern "C" __global__ void __launch_bounds__(256) total(const float* x, float* y, int n) {
        __shared__ float partial[32];
        float v = 0;
        for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x)
            v += x[i];
        v = warp_sum(v);
        int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        if (lane == 0) partial[warp] = v;
        __syncthreads();
        if (warp == 0) {
            v = lane < blockDim.x / 32 ? partial[lane] : 0.0f;
            v = warp_sum(v);
            if (lane == 0) atomicAdd(y, v);
        }
    }"""
    x = rng.standard_normal(5000, dtype=np.float32)
    y = np.zeros(1, np.float32)
    RawKernel(code, "total", checked=checked)((5,), (256,), (x, y, x.size))
    np.testing.assert_allclose(y[0], x.sum(dtype=np.float64), rtol=1e-4, atol=1e-3)


def test_histogram_with_atomics(rng, checked):
    code = r"""
    extern "C" __global__ void histogram(const unsigned char* data, int n, unsigned int* bins) {
        __shared__ unsigned int local[256];
        for (int i = threadIdx.x; i < 256; i += blockDim.x) local[i] = 0;
        __syncthreads();
        for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x)
            atomicAdd(&local[data[i]], 1);
        __syncthreads();
        for (int i = threadIdx.x; i < 256; i += blockDim.x)
            if (local[i]) atomicAdd(&bins[i], local[i]);
    }"""
    data = rng.integers(0, 256, 3001).astype(np.uint8)
    bins = np.zeros(256, np.uint32)
    RawKernel(code, "histogram", checked=checked)((4,), (96,), (data, data.size, bins))
    np.testing.assert_array_equal(bins, np.bincount(data, minlength=256))


def test_stencil_with_constant_memory(rng, checked):
    code = r"""
    #define R 3
    __constant__ float weights[2 * R + 1];
    extern "C" __global__ void stencil(const float* in, float* out, int n) {
        __shared__ float temp[128 + 2 * R];
        int g = blockIdx.x * blockDim.x + threadIdx.x, l = threadIdx.x + R;
        temp[l] = g < n ? in[g] : 0;
        if (threadIdx.x < R) {
            temp[l - R] = g >= R ? in[g - R] : 0;
            temp[l + blockDim.x] = g + blockDim.x < n ? in[g + blockDim.x] : 0;
        }
        __syncthreads();
        float sum = 0;
        for (int o = -R; o <= R; ++o) sum += weights[o + R] * temp[l + o];
        if (g < n) out[g] = sum;
    }"""
    x = rng.standard_normal(500, dtype=np.float32)
    y = np.empty_like(x)
    w = rng.standard_normal(7, dtype=np.float32)
    module = RawModule(code, checked=checked)
    module.get_global("weights").view(np.float32)[:] = w
    module.get_function("stencil")((4,), (128,), (x, y, x.size))
    expected = np.correlate(np.pad(x.astype(np.float64), 3), w.astype(np.float64), "valid")
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_template_through_name_expressions(rng, checked):
    code = r"""
    namespace ops {
    template <typename T, int FACTOR>
    __global__ void scale_add(const T* x, T* y, T bias, long long n) {
        long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) y[i] = FACTOR * x[i] + bias;
    }
    }"""
    names = ["ops::scale_add<float, 3>", "ops::scale_add<double, 5>"]
    module = RawModule(code, options=("-std=c++17",), name_expressions=names, checked=checked)
    for name, dtype, factor in zip(names, (np.float32, np.float64), (3, 5), strict=True):
        x = rng.integers(0, 9, 77).astype(dtype)
        y = np.empty_like(x)
        module.get_function(name)((3,), (32,), (x, y, dtype(2), x.size))
        np.testing.assert_array_equal(y, factor * x + 2)


def test_struct_complex_half_and_printf(rng, checked, capfd):
    code = r"""
    #include <cuda_fp16.h>
    #include <cuda_bf16.h>
    #include <cupy/complex.cuh>
    struct Params { double scale; long long n; int offset; };
    extern "C" __global__ void mix(const complex<float>* z, const __half* h, const __nv_bfloat16* b,
                                   float* out, Params p) {
        int i = threadIdx.x;
        if (i == 0) printf("n=%lld\n", p.n);
        if (i >= p.n) return;
        complex<float> w = z[i] * complex<float>(0.0f, 1.0f);
        out[i] = w.real() + __half2float(__hmul(h[i], __float2half(2.0f))) + float(b[i])
               + p.scale * p.offset;
    }"""
    n = 20
    z = (rng.integers(-9, 9, n) + 1j * rng.integers(-9, 9, n)).astype(np.complex64)
    h = rng.integers(-9, 9, n).astype(np.float16)
    b = rng.integers(-9, 9, n).astype(np.float32)
    brain = (b.view(np.uint32) >> 16).astype(np.uint16)
    layout = np.dtype([("scale", "f8"), ("n", "i8"), ("offset", "i4")], align=True)
    params = np.array((0.5, n, 3), layout)
    out = np.empty(n, np.float32)
    RawKernel(code, "mix", checked=checked)((1,), (32,), (z, h, brain, out, params[()]))
    np.testing.assert_array_equal(out, -z.imag + 2 * h + b + 1.5)
    assert "n=20" in capfd.readouterr().out


def test_halves_round_as_numpy_does(rng, checked):
    code = r"""
    #include <cuda_fp16.h>
    extern "C" __global__ void convert(const float* x, __half* h, float* back) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        h[i] = __float2half(x[i]);
        back[i] = __half2float(h[i]);
    }"""
    bits = rng.integers(0, 2**32, 64 * 64, dtype=np.uint64).astype(np.uint32)
    x = bits.view(np.float32)
    usual = rng.standard_normal(1024) * 10.0 ** rng.integers(-9, 5, 1024)
    x[:1024] = usual.astype(np.float32)
    x[:6] = [0.0, -0.0, np.inf, -np.inf, 65519.9, 65520.0]
    half, back = np.empty(x.size, np.float16), np.empty_like(x)
    RawKernel(code, "convert", checked=checked)((64,), (64,), (x, half, back))
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    numbers = ~np.isnan(x)
    np.testing.assert_array_equal(half[numbers].view(np.uint16), expected[numbers].view(np.uint16))
    assert np.isnan(half[~numbers]).all()
    np.testing.assert_array_equal(back[numbers], expected[numbers].astype(np.float32))


def test_infinity_and_nan_of_halves(checked):
    code = r"""
    #include <cuda_fp16.h>
    #include <cuda_bf16.h>
    extern "C" __global__ void kinds(const float* x, int* out) {
        __half h = __float2half(x[threadIdx.x]);
        __nv_bfloat16 b = __float2bfloat16(x[threadIdx.x]);
        int* mine = out + 4 * threadIdx.x;
        mine[0] = __hisinf(h); mine[1] = __hisnan(h);
        mine[2] = __hisinf(b); mine[3] = __hisnan(b);
    }"""
    x = np.array([1, np.inf, -np.inf, np.nan], np.float32)
    out = np.empty((4, 4), np.int32)
    RawKernel(code, "kinds", checked=checked)((1,), (4,), (x, out))
    np.testing.assert_array_equal(out, [[0] * 4, [1, 0, 1, 0], [-1, 0, -1, 0], [0, 1, 0, 1]])


def test_votes_and_activemask(checked):
    code = r"""
    extern "C" __global__ void votes(unsigned* out) {
        unsigned lane = threadIdx.x;
        out[lane] = __ballot_sync(0xffffffff, lane % 3 == 0);
        unsigned active = 0;
        if (lane % 2) active = __activemask();
        out[32 + lane] = active;
        out[64 + lane] = __match_any_sync(0xffffffff, lane / 8);
        out[96 + lane] = __reduce_add_sync(0xffffffff, lane);
        out[128 + lane] = __syncthreads_count(lane < 5) * 10 + __syncthreads_or(lane == 7)
                        + __syncthreads_and(lane < 31);
    }"""
    out = np.zeros(160, np.uint32)
    RawKernel(code, "votes", checked=checked)((1,), (32,), (out,))
    lanes = np.arange(32)
    assert (out[:32] == sum(1 << i for i in range(0, 32, 3))).all()
    np.testing.assert_array_equal(out[32:64], np.where(lanes % 2, 0xAAAAAAAA, 0))
    np.testing.assert_array_equal(out[64:96], 0xFF << (lanes // 8 * 8))
    assert (out[96:128] == 496).all()
    assert (out[128:] == 51).all()


def test_vectors_cooperative_groups_and_file_scope_shared(rng, checked):
    code = r"""
    #include <cooperative_groups.h>
    namespace cg = cooperative_groups;
    extern __shared__ float4 tile[];
    extern "C" __global__ void reverse(const float4* x, float4* y, float* sums) {
        cg::thread_block block = cg::this_thread_block();
        auto quad = cg::tiled_partition<4>(block);
        tile[threadIdx.x] = x[threadIdx.x];
        block.sync();
        float4 v = tile[blockDim.x - 1 - threadIdx.x];
        y[threadIdx.x] = make_float4(v.w, v.z, v.y, v.x);
        float s = v.x;
        for (int o = 2; o; o /= 2) s += quad.shfl_down(s, o);
        if (quad.thread_rank() == 0) sums[quad.meta_group_rank()] = s;
    }"""
    x = rng.integers(0, 99, (48, 4)).astype(np.float32)
    y, sums = np.empty_like(x), np.empty(12, np.float32)
    kernel = RawKernel(code, "reverse", checked=checked)
    kernel((1,), (48,), (x, y, sums), shared_mem=48 * 16)
    np.testing.assert_array_equal(y.ravel(), x.ravel()[::-1])
    np.testing.assert_array_equal(sums, x[::-1, 0].reshape(12, 4).sum(1))
    if checked:
        # A warp reads 32 x 16 bytes: 16 sectors in one request, and one bank group a quarter.
        assert kernel.counters.global_load_requests == 2
        assert kernel.counters.global_load_sectors == 48 * 16 // 32
        assert kernel.counters.bank_conflicts == 0
        assert kernel.counters.bytes_necessary == 48 * 16 * 2 + 12 * 4


def test_three_dimensional_launch(checked):
    code = r"""
    extern "C" __global__ void where(int* out) {
        int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
        int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
        out[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
    }"""
    out = np.full(2 * 3 * 4 * 30, -1, np.int32)
    RawKernel(code, "where", checked=checked)((2, 3, 4), (5, 3, 2), (out,))
    expected = np.arange(24)[:, None] * 1000 + np.arange(30)
    np.testing.assert_array_equal(out, expected.ravel())


def test_refusals(checked):
    def make(code, name="k"):
        return RawKernel(code, name, checked=checked)

    good = 'extern "C" __global__ void k(float* x, float a, int n) { x[0] = a * n; }'
    x = np.zeros(1, np.float32)
    for args, error, words in [
        ((x, np.float32(1)), TypeError, "takes 3 arguments, 2 were given"),
        ((x, 1.0, 3), TypeError, "argument 1 is a float"),
        ((x, np.float64(1), 3), TypeError, "argument 1"),
        ((x, np.float32(1), 2**31), ValueError, "does not fit"),
        ((x, np.float32(1), np.float32(3)), TypeError, "argument 2"),
        (([1.0], np.float32(1), 3), TypeError, "argument 0 is a list"),
    ]:
        with pytest.raises(error, match=words):
            make(good)((1,), (1,), args)
    for grid, block, words in [
        ((0,), (1,), "grid"),
        ((1,), (1025,), "block"),
        ((1,), (64, 32), "2048 threads"),
        ((1, 1, 1, 1), (1,), "one to three"),
    ]:
        with pytest.raises(ValueError, match=words):
            make(good)(grid, block, (x, np.float32(1), 3))
    with pytest.raises(ValueError, match="shared_mem=50000"):
        make(good)((1,), (1,), (x, np.float32(1), 3), shared_mem=50000)
    with pytest.raises(ValueError, match="there are: k"):
        make(good, "nothing")((1,), (1,), ())
    with pytest.raises(CompileError, match=r"kernel\.cu:2"):
        make('extern "C" __global__ void k(float* x) {\n  x[0] = undefined_name; }').compile()
    with pytest.raises(TranslationError, match=r"kernel\.cu:1: inline PTX"):
        make('extern "C" __global__ void k() { asm volatile("membar.gl;"); }').compile()
    with pytest.raises(TranslationError, match="move the shared variable t"):
        make('__shared__ float t[4];\nextern "C" __global__ void k() { t[0] = 1; }').compile()
    with pytest.raises(ValueError, match="schedule='sideways'"):
        RawKernel(good, "k", checked=checked, schedule="sideways")
