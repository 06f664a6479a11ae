"""What CuPy's RawKernel has beside the launch: attributes, settings, pickles, kinds of arrays."""

import pickle
import warnings

import numpy as np
import pytest

from pycnn.emulator import (
    ArgumentWarning,
    OutOfBoundsError,
    Pointer,
    RaceError,
    RawKernel,
    RawModule,
    signature,
)
from pycnn.runtime import cubin, elf, nvrtc

pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")
pytest.importorskip("cuda.bindings.nvrtc", reason="needs the extra 'compile'")

CODE = r"""
__constant__ float table[10];
extern "C" __global__ void __launch_bounds__(256) big(float* x, int n) {
    __shared__ float tile[100];
    float local[20];
    for (int i = 0; i < 20; ++i) local[(i * n) % 20] = x[i];
    tile[threadIdx.x] = local[n] + table[n];
    __syncthreads();
    x[n] = tile[n];
}
extern "C" __global__ void small(float* x) { x[threadIdx.x] += 1; }
template <typename T> __global__ void scale(T* x, T f) { x[threadIdx.x] *= f; }
"""

VIAS = pytest.mark.parametrize("via", ["source", "ptx"])
BOTH = pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])


@pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_90a", "sm_120"])
def test_the_elf_reader_agrees_with_cuobjdump(arch):
    compiled = nvrtc.compile_text(CODE, "k.cu", arch, options=[cubin.VERBOSE])
    ours = elf.resources(compiled.cubin)
    theirs = cubin.resources(compiled.cubin, compiled.log, arch)
    assert set(ours) == set(theirs) == {"big", "small"}
    for name, uses in ours.items():
        known = theirs[name]
        assert uses == elf.Resources(known.registers, known.local, known.shared, 40, known.threads)
    assert ours["big"].local == 80
    assert ours["big"].shared == 400


def test_what_is_no_cubin():
    with pytest.raises(ValueError, match="no cubin"):
        elf.resources(b"\x7fELF\x01" + bytes(80))


@VIAS
def test_attributes(via):
    settings = {"arch": "sm_90a"} if via == "ptx" else {}
    module = RawModule(CODE, name_expressions=["scale<double>"], via=via, **settings)
    big, scale = module.get_function("big"), module.get_function("scale<double>")
    version = 90 if via == "ptx" else 80
    assert big.attributes == {
        "max_threads_per_block": 256, "shared_size_bytes": 400, "const_size_bytes": 40,
        "local_size_bytes": 80, "num_regs": big.num_regs, "ptx_version": version,
        "binary_version": version, "cache_mode_ca": 0,
        "max_dynamic_shared_size_bytes": 49152, "preferred_shared_memory_carveout": -1,
    }  # fmt: skip
    assert 16 <= big.num_regs < 128
    assert scale.max_threads_per_block == 1024
    assert scale.shared_size_bytes == 0
    assert (big.backend, big.file_path, big.code) == ("nvrtc", None, CODE)
    assert big.options == ()
    assert callable(big.kernel)


def test_registers_limit_the_block():
    lines = "".join(f"float v{i} = x[threadIdx.x * 200 + {i}];" for i in range(200))
    stores = "".join(f"x[threadIdx.x + {i} * blockDim.x] = v{i};" for i in range(200))
    code = f'extern "C" __global__ void k(float* x) {{ {lines} __syncthreads(); {stores} }}'
    kernel = RawKernel(code, "k", via="ptx")
    assert kernel.num_regs > 128
    assert kernel.max_threads_per_block == 65536 // (-(-kernel.num_regs // 8) * 8 * 32) * 32 < 512


def test_what_may_be_set():
    kernel = RawKernel(CODE, "small", via="ptx")
    kernel.max_dynamic_shared_size_bytes = 100_000
    kernel.preferred_shared_memory_carveout = 50
    assert kernel.attributes["max_dynamic_shared_size_bytes"] == 100_000
    assert kernel.attributes["preferred_shared_memory_carveout"] == 50
    kernel((1,), (4,), (np.zeros(4, np.float32),), shared_mem=100_000)
    with pytest.raises(ValueError, match="max_dynamic_shared_size_bytes=1000000; allowed: 0 to"):
        kernel.max_dynamic_shared_size_bytes = 1_000_000
    with pytest.raises(ValueError, match="carveout=101; allowed: -1 to 100"):
        kernel.preferred_shared_memory_carveout = 101
    with pytest.raises(AttributeError):
        kernel.num_regs = 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "nvcc"}, "backend='nvcc'; allowed: nvrtc"),
        ({"jitify": True}, "jitify=True; allowed: False"),
        ({"enable_cooperative_groups": True, "via": "source"}, "goes with via='ptx' only"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RawModule(CODE, **settings)
    with pytest.raises(ValueError, match=message):
        RawKernel(CODE, "small", **settings)


def test_ptx_and_machine_code_as_files(tmp_path):
    ptx = nvrtc.compile_ptx(CODE, "k.cu", "sm_80").text
    (tmp_path / "k.ptx").write_text(ptx)
    (tmp_path / "k.cubin").write_bytes(b"\x7fELF")
    module = RawModule(path=str(tmp_path / "k.ptx"), checked=True)
    x = np.zeros(4, np.float32)
    module.get_function("small")((1,), (4,), (x,))
    assert (x == 1).all()
    assert module.get_global("table").nbytes == 40
    assert module.via == "ptx"
    with pytest.raises(ValueError, match="known of a source only"):
        _ = module.get_function("small").num_regs
    with pytest.raises(ValueError, match=r"is machine code; allowed: \.cu and \.ptx"):
        RawModule(path=tmp_path / "k.cubin")
    with pytest.raises(ValueError, match="allowed: ptx"):
        RawModule(path=tmp_path / "k.ptx", via="source")
    with pytest.raises(ValueError, match="go with a source"):
        RawModule(path=tmp_path / "k.ptx", options=["-DX"])


@VIAS
def test_pickles(via):
    kernel = RawKernel(CODE, "scale<float>", ("-DUNUSED=1",), via=via, checked=True, timeout=60)
    kernel.max_dynamic_shared_size_bytes = 64 * 1024
    copy = pickle.loads(pickle.dumps(kernel))
    assert (copy.name, copy.options, copy.checked) == ("scale<float>", ("-DUNUSED=1",), True)
    assert copy.max_dynamic_shared_size_bytes == 64 * 1024
    x = np.ones(4, np.float32)
    copy((1,), (4,), (x, np.float32(3)))
    assert (x == 3).all()
    assert copy.counters.global_store_requests == 1
    module = RawModule(CODE, name_expressions=["scale<double>"], via=via)
    module.get_global("table").view(np.float32)[:] = 5
    other = pickle.loads(pickle.dumps(module))
    assert other.kernel_names == module.kernel_names
    if via == "ptx":  # by the source, all modules of one text share their variables
        assert not other.get_global("table").any()


GRID = r"""
#include <cooperative_groups.h>
namespace cg = cooperative_groups;
extern "C" __global__ void reversed(int* x, int* y) {
    auto grid = cg::this_grid();
    unsigned i = grid.thread_rank();
    x[i] = i * i;
    WAIT
    y[i] = x[grid.size() - 1 - i];
}"""


@BOTH
@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_the_whole_grid_waits_in_a_cooperative_launch(arch, checked):
    x = np.zeros(8 * 96, np.int32)
    y = np.zeros_like(x)
    for made_so in (True, False):
        kernel = RawKernel(
            GRID.replace("WAIT", "grid.sync(); grid.sync();"), "reversed", via="ptx", arch=arch,
            enable_cooperative_groups=made_so, checked=checked, timeout=60,
        )  # fmt: skip
        assert kernel.enable_cooperative_groups == made_so
        x[:] = y[:] = 0
        kernel((8,), (96,), (x, y), enable_cooperative_groups=None if made_so else True)
        np.testing.assert_array_equal(y, np.arange(8 * 96)[::-1] ** 2)


def test_a_grid_that_does_not_wait_races():
    x = np.zeros(8 * 96, np.int32)
    kernel = RawKernel(
        GRID.replace("WAIT", ""), "reversed", via="ptx", checked=True,
        enable_cooperative_groups=True,
    )  # fmt: skip
    with pytest.raises(RaceError) as caught:
        kernel((8,), (96,), (x, x.copy()))
    assert caught.value.line == 7
    with pytest.raises(ValueError, match="cooperative launch of 24576 threads"):
        kernel((24,), (1024,), (x, x.copy()))


def test_the_whole_grid_cannot_wait_in_an_ordinary_launch():
    kernel = RawKernel(GRID.replace("WAIT", "grid.sync();"), "reversed", via="ptx", checked=True)
    with pytest.raises(Exception, match="trap"):
        kernel((1,), (32,), (np.zeros(32, np.int32), np.zeros(32, np.int32)))


CLUSTER = r"""
#include <cooperative_groups.h>
namespace cg = cooperative_groups;
extern "C" __global__ void neighbours(int* y) {
    __shared__ int mine;
    auto cluster = cg::this_cluster();
    if (threadIdx.x == 0) mine = 100 + blockIdx.x;
    cluster.sync();
    y[blockIdx.x * blockDim.x + threadIdx.x] =
        *cluster.map_shared_rank(&mine, cluster.block_rank() ^ 1);
    cluster.sync();
}"""


@BOTH
def test_clusters_of_a_launch(checked):
    kernel = RawKernel(CLUSTER, "neighbours", via="ptx", arch="sm_90", checked=checked, timeout=60)
    y = np.zeros((4, 32), np.int32)
    kernel((4,), (32,), (y,), cluster=(2, 1, 1))
    np.testing.assert_array_equal(y[:, 0], [101, 100, 103, 102])
    with pytest.raises(ValueError, match=r"grid=\(3, 1, 1\); allowed with clusters"):
        kernel((3,), (32,), (y,), cluster=(2,))
    with pytest.raises(ValueError, match=r"cluster=\(2,\) goes with via='ptx'"):
        RawKernel(CODE, "small", via="source")((2,), (4,), (y,), cluster=(2,))


# ---- Arguments ----------------------------------------------------------------------------------


class Speaks:
    """An array of a library that only speaks DLPack."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: object) -> object:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


class OnDevice:
    __cuda_array_interface__: dict = {}  # noqa: RUF012  (the protocol's own)


@VIAS
@BOTH
def test_arrays_of_other_libraries(via, checked):
    kernel = RawKernel(CODE, "small", via=via, checked=checked)
    x = np.zeros(8, np.float32)
    for argument in (x, Speaks(x), Pointer(x), x.__array_interface__["data"][0]):
        kernel((1,), (8,), (argument,))
    assert (x == 4).all()
    with pytest.raises(TypeError, match=r"argument 0 is a .*OnDevice on a GPU"):
        kernel((1,), (8,), (OnDevice(),))
    if checked:
        with pytest.raises(OutOfBoundsError, match=r"argument 0 \(float32\[8\]\)"):
            kernel((1,), (9,), (Speaks(x),))


@BOTH
def test_tensors_of_pytorch(checked):
    torch = pytest.importorskip("torch", reason="PyTorch's CPU build is not installed")
    kernel = RawKernel(CODE, "small", via="ptx", checked=checked)
    base = torch.zeros(4, 8)
    kernel((1,), (8,), (base[2],))
    assert base.sum() == base[2].sum() == 8
    with pytest.raises(TypeError, match="argument 0 has its negative or conjugate bit set"):
        kernel((1,), (4,), (torch.zeros(4, dtype=torch.complex64).conj().imag,))


@VIAS
def test_a_warning_of_what_does_not_fit_once(via):
    kernel = RawKernel(CODE, "small", via=via, checked=True)
    message = r"kernel small: argument 0 is float64\[8\], where the kernel has a pointer to float32"
    with pytest.warns(ArgumentWarning, match=message):
        kernel((1,), (4,), (np.zeros(8),))
    fast = RawKernel(CODE, "small", via=via)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel((1,), (4,), (np.zeros(8),))
        fast((1,), (4,), (np.zeros(8),))


def test_a_warning_of_strides_that_no_pointer_can_follow():
    records = np.zeros(8, np.dtype([("tag", "i2"), ("x", "f4")]))
    kernel = RawKernel(CODE, "small", via="ptx", checked=True)
    with (
        pytest.warns(ArgumentWarning, match=r"float32\[8\] with strides \(6,\) in bytes"),
        pytest.raises(Exception, match="multiple of"),
    ):
        kernel((1,), (4,), (records["x"],))


def types(parameters: str) -> list[str | None]:
    found = signature.pointees(f"__global__ void k({parameters}) {{ }}", "k")
    return [None if type is None else type.name for type in found]


def test_what_a_source_says_of_its_pointers():
    assert types("const float* __restrict__ x, double *y, unsigned int* z, const long long* w") == [
        "float32", "float64", "uint32", "int64",
    ]  # fmt: skip
    assert types("thrust::complex< float >* a, std::uint16_t* b, const __half* c, float4* d") == [
        "complex64", "uint16", "float16", "float32",
    ]  # fmt: skip
    assert types("T* a, void* b, unsigned char* c, float** d, int n, Pair<int, T>* e") == [None] * 6
    assert signature.pointees("__global__ void k(int*x){} __global__ void k(float*x){}", "k") == []
    assert signature.pointees("__device__ void k(int* x) {}", "k") == []
    assert signature.pointees("template <class T> __global__ void k(T* x) {}", "k<float>") == []


@pytest.mark.parametrize("dtype", ["uint32", "complex64"])
def test_what_fits_all_the_same(dtype):
    code = {"uint32": "int", "complex64": "float"}[dtype]
    kernel = RawKernel(
        f'extern "C" __global__ void k({code}* x) {{ x[threadIdx.x] = 1; }}', "k",
        via="ptx", checked=True,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel((1,), (4,), (np.zeros(4, dtype),))
