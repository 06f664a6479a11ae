"""What people pass to CuPy's RawKernel and RawModule: complex numbers, structs, templates."""

import numpy as np
import pytest

from pycnn.emulator import RawKernel, RawModule
from pycnn.runtime.errors import CompileError

pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")
pytest.importorskip("cuda.bindings.nvrtc", reason="needs the extra 'compile'")

BOTH = pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])


@BOTH
@pytest.mark.parametrize(("type", "letter"), [(np.complex64, "f"), (np.complex128, "")])
def test_complex_numbers_of_cuda(type, letter, checked):
    name = "cuFloatComplex" if letter else "cuDoubleComplex"
    code = f"""
    #include <cuComplex.h>
    extern "C" __global__ void f(const {name}* a, const {name}* b, {name}* c, {name} scale) {{
        int i = threadIdx.x;
        c[i] = cuCadd{letter}(cuCmul{letter}(a[i], cuConj{letter}(b[i])), scale);
    }}"""
    rng = np.random.default_rng(0)
    a, b = ((rng.standard_normal(32) + 1j * rng.standard_normal(32)).astype(type) for _ in "ab")
    c = np.zeros_like(a)
    kernel = RawKernel(code, "f", translate_cucomplex=True, via="ptx", checked=checked)
    kernel((1,), (32,), (a, b, c, type(2 - 1j)))
    np.testing.assert_allclose(c, a * b.conj() + (2 - 1j), rtol=1e-5)


@BOTH
def test_scalars_of_every_kind_and_structs(checked):
    code = r"""
    #include <cuda_fp16.h>
    struct Point { signed char tag; double where[2]; float weight; };
    extern "C" __global__ void f(double* out, bool flag, signed char a, unsigned short b, int c,
                                 long long d, __half e, float g, double h, Point p) {
        double all[] = {double(flag), double(a), double(b), double(c), double(d),
                        double(__half2float(e)), g, h, double(p.tag), p.where[0], p.where[1],
                        p.weight};
        for (int i = 0; i < 12; ++i) out[i] = all[i];
    }"""
    point = np.dtype([("tag", "i1"), ("where", "f8", 2), ("weight", "f4")], align=True)
    out = np.zeros(12)
    RawKernel(code, "f", via="ptx", checked=checked)(
        (1,), (1,),
        (out, True, np.int8(-3), np.uint16(60000), -5, 1 << 40, np.float16(0.5), np.float32(1.5),
         2.5, np.array((7, (8, 9), 10), point)[()]),
    )  # fmt: skip
    assert out.tolist() == [1, -3, 60000, -5, 2.0**40, 0.5, 1.5, 2.5, 7, 8, 9, 10]


@BOTH
def test_templates_with_numbers_and_namespaces(checked):
    module = RawModule(
        code=r"""
        namespace mine {
        template <typename T, int N> __global__ void fill(T* x) { x[threadIdx.x] = T(N + BASE); }
        }
        extern "C" __global__ void plain(int* x) { x[threadIdx.x] = BASE; }""",
        options=("-DBASE=40", "-std=c++20"),
        name_expressions=["mine::fill<float, 3>", "mine::fill<unsigned char, 200>"],
        via="ptx",
        checked=checked,
    )
    assert module.kernel_names == (
        "plain", "mine::fill<float, 3>", "mine::fill<unsigned char, 200>",
    )  # fmt: skip
    for name, dtype, want in (
        ("plain", "i4", 40), ("mine::fill<float, 3>", "f4", 43),
        ("mine::fill<unsigned char, 200>", "u1", 240),
    ):  # fmt: skip
        x = np.zeros(8, dtype)
        module.get_function(name)((1,), (8,), (x,))
        assert (x == want).all()


@BOTH
def test_tables_of_pointers_and_no_pointer(checked):
    code = r"""
    extern "C" __global__ void f(float** rows, const float* bias, float* out, int n) {
        int i = threadIdx.x;
        float sum = bias ? bias[i] : 0;
        for (int k = 0; k < n; ++k) sum += rows[k][i];
        out[i] = sum;
    }"""
    rows = [np.full(16, k, np.float32) for k in range(4)]
    table = np.array([row.__array_interface__["data"][0] for row in rows], np.uint64)
    out = np.zeros(16, np.float32)
    kernel = RawKernel(code, "f", via="ptx", checked=checked)
    kernel((1,), (16,), (table, None, out, 4))
    assert (out == 6).all()
    kernel((1,), (16,), (table, rows[1], out, 4))
    assert (out == 7).all()


def test_what_is_wrong_is_said():
    with pytest.raises(CompileError, match=r"kernel\.cu\(1\): error: .*nowhere"):
        RawKernel("__global__ void k() { nowhere(); }", "k", via="ptx").compile()
    code = 'extern "C" __global__ void k(float x, int* y) {}'
    with pytest.raises(ValueError, match="no such kernel; there are: k"):
        RawKernel(code, "other", via="ptx").compile()
    kernel = RawKernel(code, "k", via="ptx")
    with pytest.raises(TypeError, match="takes 2 arguments, 1 were given"):
        kernel((1,), (1,), (np.float32(1),))
    with pytest.raises(TypeError, match=r"argument 0 is a float, the kernel takes a \.f32"):
        kernel((1,), (1,), (1.0, None))
    with pytest.raises(ValueError, match="has 2048 threads; allowed: 1024"):
        kernel((1,), (64, 32), (np.float32(1), None))
    with pytest.raises(ValueError, match="exactly one of the two"):
        RawModule("", path="x.cu")
