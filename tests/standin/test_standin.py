"""The stand-in driver refuses what a GPU refuses, and counts what it was asked for."""

import os
import subprocess
import sys

import numpy as np
import pytest

import pycnn

pytest.importorskip("pycnn_standin", reason="not on the stand-in driver (make test-cupy)")
if not sys.modules["pycnn_standin"].running():
    pytest.skip("not on the stand-in driver (make test-cupy)", allow_module_level=True)

import cupy
from pycnn_standin import LIBRARIES, RUNTIME
from pycnn_standin.counting import counted

from pycnn.runtime.plan import Buffer, TensorMap
from pycnn.runtime.tensor_maps import bytes_of, map_of

HOST_TO_HOST, TO_DEVICE, TO_HOST, ON_DEVICE = range(4)

ADD_ONE = 'extern "C" __global__ void add_one(float* x) { x[threadIdx.x] += 1; }'


def run(code: str, **variables: str) -> str:
    """What a Python of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_cupy_is_the_wheel_but_for_one_module():
    ours = {
        name
        for name, module in list(sys.modules.items())
        if str(vars(module).get("__file__")).startswith(str(LIBRARIES))
    }
    assert ours == {RUNTIME}


def test_a_copy_must_go_where_it_says():
    device = cupy.cuda.alloc(64)
    host = np.zeros(64, np.uint8)
    pointers = {"host": host.ctypes.data, "device": device.ptr}
    fits = {TO_DEVICE: ("device", "host"), TO_HOST: ("host", "device"), ON_DEVICE: ("device",) * 2}
    for kind, ends in fits.items():
        for to in pointers:
            for source in pointers:
                arguments = pointers[to], pointers[source], 64, kind
                if (to, source) == ends:
                    cupy.cuda.runtime.memcpy(*arguments)
                else:
                    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="InvalidValue"):
                        cupy.cuda.runtime.memcpy(*arguments)
    size = cupy.cuda.alloc(512).mem.size
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="InvalidValue"):
        cupy.cuda.runtime.memset(device.mem.ptr, 0, 1 << 40 | size)


def test_fresh_memory_is_nan():
    memory = cupy.cuda.MemoryPointer(cupy.cuda.Memory(4096), 0)
    assert np.isnan(cupy.ndarray(1024, np.float32, memory).get()).all()


def test_a_kernel_gets_pointers_to_the_device_only():
    kernel = cupy.RawKernel(ADD_ONE, "add_one")
    x, host = cupy.zeros(8, np.float32), np.zeros(8, np.float32)
    kernel((1,), (8,), (x,))
    assert (x.get() == 1).all()
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="ILLEGAL_ADDRESS"):
        kernel((1,), (8,), (host.ctypes.data,))
    assert (host == 0).all()


def test_shared_memory_is_limited_as_on_a_device():
    kernel = cupy.RawKernel(
        'extern "C" __global__ void k(float* x) { extern __shared__ float dynamic[];'
        " __shared__ float fixed[256]; dynamic[threadIdx.x] = 1; fixed[threadIdx.x] = 2;"
        " __syncthreads(); x[threadIdx.x] = dynamic[31 - threadIdx.x] + fixed[31 - threadIdx.x]; }",
        "k",
    )
    x = cupy.zeros(32, np.float32)
    assert kernel.shared_size_bytes == 1024
    kernel((1,), (32,), (x,), shared_mem=47 * 1024)
    assert (x.get() == 3).all()
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="INVALID_VALUE"):
        kernel((1,), (32,), (x,), shared_mem=48 * 1024)
    kernel.max_dynamic_shared_size_bytes = 226 * 1024
    kernel((1,), (32,), (x,), shared_mem=226 * 1024)
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="INVALID_VALUE"):
        kernel.max_dynamic_shared_size_bytes = 227 * 1024


def test_registers_are_limited_as_on_a_device():
    # 200 values that live across the barrier.
    lines = "".join(f"float v{i} = x[threadIdx.x * 200 + {i}];" for i in range(200))
    stores = "".join(f"x[threadIdx.x + {i} * blockDim.x] = v{i};" for i in range(200))
    source = f'extern "C" __global__ void k(float* x) {{ {lines} __syncthreads(); {stores} }}'
    kernel = cupy.RawKernel(source, "k")
    assert kernel.num_regs > 128
    x = cupy.zeros(200 * 1024, np.float32)
    kernel((1,), (256,), (x,))
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="OUT_OF_RESOURCES"):
        kernel((1,), (1024,), (x,))


TILED = TensorMap(Buffer("x"), "bfloat16", (3, 20, 64), (20 * 64, 64, 1), (1, 16, 64))
WINDOWS = TensorMap(
    Buffer("x"), "float16", (2, 5, 6, 32), (960, 192, 32, 1), (128, 32), ((-1, 0), (1, -2)), (2, 1)
)


@pytest.mark.parametrize("described", [TILED, WINDOWS], ids=["tiled", "im2col"])
def test_tensor_maps_are_those_of_the_emulator(described):
    array = np.zeros(described.shape, np.float16)
    address = array.ctypes.data
    assert bytes_of(described, address) == map_of(described, array).data
    with pytest.raises(ValueError, match="a multiple of 16"):
        bytes_of(described, address + 2)


def test_nvrtc_is_the_real_one():
    with pytest.raises(cupy.cuda.compiler.CompileException, match=r"nowhere. is undefined"):
        cupy.RawKernel('extern "C" __global__ void k() { nowhere(); }', "k").compile()


def test_what_is_asked_for_is_counted():
    x = cupy.asarray(np.linspace(-1, 1, 100, dtype=np.float32))
    pycnn.relu(x)
    with counted() as counts:
        y = pycnn.relu(x)
    assert (counts["launches"], counts["synchronisations"], counts["copies_to_host"]) == (1, 0, 0)
    with counted() as counts:
        y.get()
    assert (counts["launches"], counts["copies_to_host"], counts["bytes_to_host"]) == (0, 1, 400)
    assert counts["synchronisations"] == 1
    with counted() as counts:
        memory = cupy.cuda.Memory(1000)
        del memory
    assert (counts["allocations"], counts["bytes_allocated"], counts["frees"]) == (1, 1000, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transforms_are_those_of_numpy(rng, dtype):
    x = rng.standard_normal((3, 6, 8)).astype(dtype)
    there = cupy.asarray(x)
    close = {"rtol": 0, "atol": 1e-4 if dtype == "float32" else 1e-12}
    half = cupy.fft.rfft2(there, axes=(1, 2))
    assert half.dtype == np.result_type(dtype, np.complex64)
    np.testing.assert_allclose(half.get(), np.fft.rfft2(x, axes=(1, 2)), **close)
    np.testing.assert_allclose(cupy.fft.irfft2(half, (6, 8), (1, 2)).get(), x, **close)
    np.testing.assert_allclose(cupy.fft.fft(there).get(), np.fft.fft(x), **close)
    np.testing.assert_allclose(cupy.fft.ifft(there, axis=1).get(), np.fft.ifft(x, axis=1), **close)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_products_are_those_of_numpy(rng, dtype):
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((7, 5), (5, 3)))
    wanted = a.astype(float) @ b.astype(float)
    tolerance = {"float32": 1e-5, "float64": 1e-12, "float16": 1e-2}[dtype]
    for product in (
        cupy.asarray(a) @ cupy.asarray(b),
        cupy.asarray(a.T.copy()).T @ cupy.asarray(b.T.copy()).T,
        cupy.matmul(cupy.asarray(a), cupy.asarray(b), out=cupy.empty((7, 3), dtype)),
    ):
        np.testing.assert_allclose(product.get(), wanted, rtol=0, atol=tolerance)


def test_there_can_be_two_devices():
    code = """if True:
        import cupy, numpy as np, pycnn
        x = cupy.arange(4, dtype=np.float32)
        with cupy.cuda.Device(1):
            y = cupy.asarray(x)
            print(y.device.id, y.get().tolist())
        try:
            pycnn.relu(y)
        except ValueError as error:
            print(error)
    """
    there, refused = run(code, PYCNN_STANDIN_DEVICES="2").splitlines()
    assert there == "1 [0.0, 1.0, 2.0, 3.0]"
    assert "is on device 1, but the current device is 0" in refused


def test_memory_ends():
    code = """if True:
        import cupy
        try:
            cupy.empty(2000)
        except cupy.cuda.memory.OutOfMemoryError as error:
            print(error)
    """
    assert "Out of memory allocating 16,384 bytes" in run(code, PYCNN_STANDIN_MEMORY="4096")


def test_without_the_stand_in_the_real_libraries_load_and_find_no_gpu():
    code = """if True:
        import cupy, pycnn
        from cupy.cuda import cublas, cufft
        from cupy_backends.cuda.libs import cublas as backend
        maps = open("/proc/self/maps").read()
        print(cufft.getVersion() > 0, "libcublas.so" in maps, "lib/standin/" in maps)
        print(pycnn.backends()[0].available)
    """
    if os.path.exists("/dev/nvidiactl"):
        pytest.skip("there is a GPU")
    assert run(code, PYCNN_STANDIN="off").split() == ["True", "True", "False", "False"]


def test_a_kernel_can_be_interrupted():
    code = """if True:
        import cupy, signal
        loop = "for (int i = 0; i < 1000000; ++i) *x;"
        source = 'extern "C" __global__ void k(volatile float* x) {' + loop + "}"
        kernel = cupy.RawKernel(source, "k")
        x = cupy.zeros(1, "float32")
        kernel.compile()
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.alarm(1)
        try:
            kernel((1 << 22,), (1,), (x,))
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert run(code) == "interrupted"


def test_kernels_of_cupy_run_as_their_ptx_checked():
    code = """if True:
        import cupy, numpy as np
        x = cupy.asarray(np.linspace(-2, 2, 1000, dtype=np.float32).reshape(10, 100))
        y = np.linspace(-2, 2, 1000, dtype=np.float32).reshape(10, 100)
        np.testing.assert_allclose(cupy.exp(x[:, ::3]).get(), np.exp(y[:, ::3]), rtol=1e-6)
        np.testing.assert_allclose(x.sum(axis=0).get(), y.sum(axis=0), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(float(x.max() - x.min()), 4)
        assert (cupy.argmax(x, axis=1).get() == 99).all()
        square = cupy.ElementwiseKernel("T x", "T y", "y = x * x", "square")
        np.testing.assert_allclose(square(x).get(), y * y, rtol=1e-6)
        race = cupy.RawKernel('''extern "C" __global__ void race(float* x) {
            x[0] = threadIdx.x;
        }''', "race")
        try:
            race((1,), (64,), (x,))
        except cupy.cuda.driver.CUDADriverError as error:
            print(error)
    """
    assert "LAUNCH_FAILED" in run(code, PYCNN_STANDIN_CHECKED="1")


def test_ptx_and_cooperative_launches(tmp_path):
    source = """
    #include <cooperative_groups.h>
    extern "C" __global__ void k(int* x, int* y) {
        auto grid = cooperative_groups::this_grid();
        unsigned i = grid.thread_rank();
        x[i] = i;
        grid.sync();
        y[i] = x[grid.size() - 1 - i];
    }"""
    kernel = cupy.RawKernel(source, "k", enable_cooperative_groups=True)
    x, y = cupy.zeros(256, np.int32), cupy.zeros(256, np.int32)
    kernel((4,), (64,), (x, y))
    assert (y.get() == np.arange(256)[::-1]).all()
    (tmp_path / "k.ptx").write_text(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 x) {\n"
        ".reg .b64 %d<3>; .reg .b32 %r<2>; ld.param.u64 %d1, [x]; mov.u32 %r1, %tid.x;\n"
        "mad.wide.u32 %d2, %r1, 4, %d1; st.global.u32 [%d2], %r1; ret; }\n"
    )
    cupy.RawModule(path=str(tmp_path / "k.ptx")).get_function("k")((1,), (32,), (y,))
    assert (y.get()[:32] == np.arange(32)).all()


def captured(work):
    """The graph of what `work` gives a stream."""
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            work(stream)
        finally:
            graph = stream.end_capture()
    return graph


def test_what_is_captured_is_done_by_the_graph_alone():
    x, y = cupy.zeros(4, np.float32), cupy.empty(4, np.float32)
    add_one = cupy.RawKernel(ADD_ONE, "add_one")

    def work(stream):
        add_one((1,), (4,), (x,))
        y.data.copy_from_device_async(x.data, x.nbytes, stream)
        x.data.memset_async(0, 4, stream)

    with counted() as counts:
        graph = captured(work)
    assert (counts["launches"], counts["graphs"], counts["copies_on_device"]) == (0, 0, 0)
    assert x.get().tolist() == [0, 0, 0, 0]
    with counted() as counts:
        for _ in range(2):
            graph.launch()
    assert (counts["launches"], counts["graphs"], counts["copies_on_device"]) == (0, 2, 2)
    assert x.get().tolist() == [0, 2, 2, 2]
    assert y.get().tolist() == [1, 2, 2, 2]


@pytest.mark.parametrize("what", ["a wait", "a copy"])
def test_what_cannot_be_captured_spoils_the_capture(what):
    host, x = np.zeros(4, np.float32), cupy.zeros(4, np.float32)

    def work(stream):
        runtime = cupy.cuda.runtime
        if what == "a wait":
            runtime.streamSynchronize(stream.ptr)
        else:
            runtime.memcpyAsync(x.data.ptr, host.ctypes.data, 16, TO_DEVICE, stream.ptr)

    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="Capture"):
        captured(work)
