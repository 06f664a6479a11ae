"""What a kernel, or an argument, must not do to the process that runs it: end it, or corrupt it."""

import faulthandler
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

from pycnn.emulator import (
    KernelAssertionError,
    KernelFault,
    Pointer,
    RawKernel,
    RawModule,
    SharedMemoryError,
)
from pycnn.runtime.errors import CompileError

BUILDS = pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])


def kernel(code, before="", **settings):
    return RawKernel(f'{before}\n#line 1\nextern "C" __global__ void k{code}', "k", **settings)


def alone(code, limit=0):
    """Run Python code in a process of its own, with `limit` GiB of address space; its output."""
    begin = "import resource\nfrom pycnn.emulator import RawKernel\nimport numpy as np\n"
    if limit:
        begin += f"resource.setrlimit(resource.RLIMIT_AS, 2 * ({int(limit * 2**30)},))\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done
    return done.stdout


#: Object code of more than a page, whose constants find room 3 GiB away from it.
FAR = """
import ctypes
from pycnn.emulator.ptx import machine
products = "".join(
    f"%x{i} = fmul double %x{i - 1}, {1 + i % 50 / 64}\\n" for i in range(1, 1000)
)
code = machine.compile_text("define void @f(ptr %p) {\\n%x0 = load double, ptr %p\\n" + products
                            + "store double %x999, ptr %p\\nret void\\n}", True)
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
room = lambda size: libc.mmap(None, size, 0, 0x4022, -1, 0)
wide, above = room(3 << 30), []
for size in (1 << 20, 65536, 8192, 4096):
    while (at := room(size)) > wide:
        above.append(at)
    libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(size))
for at in (above[-1], above[-3]):
    libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(4096))
value = ctypes.c_double(1e-99)
ctypes.CFUNCTYPE(None, ctypes.c_void_p)(machine.load(code, "f"))(ctypes.byref(value))
print(value.value > 1e-99)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="addresses are those of Linux")
def test_code_reaches_its_constants_however_large_the_arrays_between():
    pytest.importorskip("llvmlite")
    assert alone(FAR) == "True\n"


# ---- Ways to end a process ------------------------------------------------------------------

ENDINGS = {
    "trap": ("__trap();", "", "__trap"),
    "builtin trap": ("__builtin_trap();", "", "traps"),
    "abort": ("abort();", "", "calls abort"),
    "std::abort": ("std::abort();", "#include <cstdlib>", "calls abort"),
    "exit": ("exit(3);", "", "calls exit"),
    "std::exit": ("std::exit(3);", "#include <cstdlib>", "calls exit"),
    "_exit": ("_exit(3);", "#include <unistd.h>", "calls _exit"),
    "_Exit": ("_Exit(3);", "#include <stdlib.h>", "calls _Exit"),
    "quick_exit": ("quick_exit(3);", "#include <stdlib.h>", "calls quick_exit"),
    "host's assert": ("assert(x[0] == 5);", "#include <assert.h>", "x[0] == 5"),
    "pure virtual": (
        "B b;", "struct A { A() { f(); } void f() { g(); } virtual void g() = 0; };"
        " struct B : A { void g() {} };", "pure virtual",
    ),
}  # fmt: skip


@BUILDS
@pytest.mark.parametrize(("code", "before", "words"), ENDINGS.values(), ids=ENDINGS)
def test_what_would_end_the_process_ends_the_launch(code, before, words, checked):
    x = np.zeros(64, "f4")
    ends = kernel(
        f"(float* x) {{\nif (threadIdx.x == 33) {{ {code} }}\n}}", before, checked=checked
    )
    with pytest.raises(KernelAssertionError, match=re.escape(words)) as caught:
        ends((2,), (64,), (x,))
    assert caught.value.line == (1 if "virtual" in before else 2)
    assert caught.value.thread == (33, 0, 0)
    ok = kernel("(float* x) { x[threadIdx.x] = 1; __syncthreads(); }", checked=checked)
    ok((1,), (64,), (x,))
    assert x.all()


DYNAMIC = {
    "constructor with a barrier": "struct S { float v; S() { __syncthreads(); v = 1; } };"
    " __device__ S s;",
    "call": '__device__ float s = atof("1");',
    "destructor": "struct S { float v = 1; constexpr S() {} ~S() { v = 0; } }; __device__ S s;",
}


@BUILDS
@pytest.mark.parametrize("before", DYNAMIC.values(), ids=DYNAMIC)
def test_variables_that_code_would_initialise_do_not_compile(before, checked):
    with pytest.raises(CompileError, match="dynamic initialization"):
        kernel("(float* x) { x[0] = *(float*)&s; }", before, checked=checked).compile()


@BUILDS
def test_variables_with_constant_initialisers_compile(checked):
    before = """struct S { float v; constexpr S(float w) : v(w) {} };
        __device__ S s(3); __constant__ float t[] = {1, 2};"""
    x = np.zeros(2, "f4")
    kernel("(float* x) { x[0] = s.v; x[1] = t[1]; }", before, checked=checked)((1,), (1,), (x,))
    assert x.tolist() == [3, 2]


# ---- Arguments --------------------------------------------------------------------------------


def _locked(array):
    array.setflags(write=False)
    return array


def _memmap(folder):
    np.ones(4, "f4").tofile(folder / "x")
    return np.memmap(folder / "x", "f4", mode="r")


READ_ONLY = {
    "over bytes": lambda folder: np.frombuffer(bytes(16), "f4"),
    "broadcast": lambda folder: np.broadcast_to(np.float32(1), (4,)),
    "flag": lambda folder: _locked(np.zeros(4, "f4")),
    "view of one": lambda folder: np.frombuffer(bytes(16), "f4").view("i4"),
    "memmap": _memmap,
}


@BUILDS
@pytest.mark.parametrize("make", READ_ONLY.values(), ids=READ_ONLY)
def test_read_only_arrays_are_no_outputs(make, checked, tmp_path):
    write = kernel("(float* x) { x[threadIdx.x] = 7; }", checked=checked)
    read = kernel("(const float* x, float* y) { y[0] = x[0]; }", checked=checked)
    array = make(tmp_path)
    before = array.copy()
    for argument in (array, Pointer(array, 4)):
        with pytest.raises(ValueError, match="k: argument 0 is a read-only array"):
            write((1,), (2,), (argument,))
    y = np.zeros(1, array.dtype)
    read((1,), (1,), (array, y))
    assert y[0] == before[0]
    np.testing.assert_array_equal(array, before)


@BUILDS
def test_a_constness_that_is_cast_away_changes_no_read_only_array(checked, tmp_path):
    write = kernel("(const float* x) { ((float*)x)[threadIdx.x] = 7; }", checked=checked)
    array = _memmap(tmp_path)
    with pytest.raises((KernelFault, ValueError), match=r"memory fault|read-only"):
        write((1,), (2,), (array,))
    assert (array == 1).all()


@BUILDS
@pytest.mark.parametrize("objects", [object, [("a", "f4"), ("b", "O")], "T"], ids=str)
def test_arrays_of_python_objects_are_refused(objects, checked):
    for code in ("(float* x) { x[0] = 1; }", "(const float* x) {}"):
        with pytest.raises(TypeError, match="argument 0 is an array of Python objects"):
            kernel(code, checked=checked)((1,), (1,), (np.zeros(3, objects),))


@BUILDS
@pytest.mark.parametrize("address", [2**64, 2**70, -1, -(2**70)])
def test_an_integer_that_is_no_address_is_refused(address, checked):
    with pytest.raises(ValueError, match=f"argument 0 is {address}, which is no address"):
        kernel("(float* x) { if (x) x[0] = 1; }", checked=checked)((1,), (1,), (address,))


# ---- Shared memory and asynchronous copies ----------------------------------------------------


@BUILDS
def test_a_static_shared_array_over_48_kib_does_not_compile(checked):
    for count, allowed in ((12288, True), (12289, False), (2_000_000, False)):
        big = kernel(
            f"(float* x) {{ __shared__ float s[{count}]; s[threadIdx.x] = 1; x[0] = s[0]; }}",
            checked=checked,
        )
        if allowed:
            big((1,), (1,), (np.zeros(1, "f4"),))
        else:
            with pytest.raises(CompileError, match="48 KiB at most"):
                big.compile()


SEVERAL = """
template <int N> __device__ float use(int i) {
    __shared__ float s[N];
    s[i] = 1;
    __syncthreads();
    return s[0];
}
extern "C" __global__ void both(float* x) { x[0] = use<7000>(0) + use<6000>(0); }
extern "C" __global__ void first(float* x) { x[0] = use<7000>(0); }
extern "C" __global__ void second(float* x) { x[0] = use<6000>(0); }
"""


@BUILDS
def test_static_shared_memory_is_counted_for_each_kernel(checked):
    module = RawModule(SEVERAL, checked=checked)
    x = np.zeros(1, "f4")
    for _ in range(2):
        for name in ("first", "second"):
            module.get_function(name)((1,), (1,), (x,))
        with pytest.raises(SharedMemoryError, match="take 52000 bytes; allowed: 49152"):
            module.get_function("both")((1,), (1,), (x,))


@BUILDS
def test_static_and_dynamic_shared_memory_are_limited_together(checked):
    one = RawModule(SEVERAL, checked=checked).get_function("first")
    one.max_dynamic_shared_size_bytes = 227 * 1024
    x = np.zeros(1, "f4")
    one((1,), (1,), (x,), shared_mem=227 * 1024 - 28000)
    with pytest.raises(SharedMemoryError, match="28000 bytes of static and 204452 of dynamic"):
        one((1,), (1,), (x,), shared_mem=227 * 1024 - 28000 + 4)


def _copy(checked, arguments):
    return kernel(
        f"(float* x, int bytes) {{\n__shared__ float4 s[64];\n"
        f"__pipeline_memcpy_async({arguments});\n__pipeline_commit(); }}",
        "#include <cuda_pipeline.h>",
        checked=checked,
    )


@BUILDS
@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ("s, x, 4, 8", 0),
        ("s, x, 4, bytes", 2**20),
        ("s, x, bytes", 3),
        ("s, x, bytes", 0),
        ("s, x, bytes", 32),
        ("s, x, bytes", 2**30),
        ("s, x, 16, -4", 0),
    ],
)
def test_sizes_of_asynchronous_copies_are_checked(arguments, size, checked):
    with pytest.raises(KernelAssertionError, match="an asynchronous copy moves 4, 8 or") as caught:
        _copy(checked, arguments)((1,), (1,), (np.zeros(64, "f4"), np.int32(size)))
    assert caught.value.line == 3


def test_alignment_of_asynchronous_copies_is_checked_in_the_fast_build_too():
    x = np.zeros(64, "f4")
    aligned = x[(-x.ctypes.data // 4) % 4 :]
    for arguments, fits in (
        ("s, x, 16", True),
        ("s, x + 1, 4", True),
        ("s, x + 1, 16, 16", True),  # reads nothing
        ("s, x + 1, 8", False),
        ("(float*)s + 1, x, 8", False),
    ):
        launch = _copy(False, arguments)
        if fits:
            launch((1,), (1,), (aligned, np.int32(0)))
        else:
            with pytest.raises(KernelAssertionError, match="no multiple of its size"):
                launch((1,), (1,), (aligned, np.int32(0)))


# ---- Division ---------------------------------------------------------------------------------

FORMS = {
    "registers": "T a = x[i], b = y[i]; q[i] = a / b; r[i] = a % b;",
    "memory": "q[i] = x[i] / y[i]; r[i] = x[i] % y[i];",
    "stack": "volatile T b[3] = {1, y[i], 1}; q[i] = x[i] / b[1]; r[i] = x[i] % b[1];",
}


@BUILDS
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_integer_division_is_a_gpus(signed, bits, form, checked):
    # All bits set for a divisor of zero, quotient and remainder, and the smallest number over -1
    # is itself: read off the machine code that ptxas makes of div and rem for sm_90.
    dtype = np.dtype(f"{'i' if signed else 'u'}{bits // 8}")
    type_ = f"{'' if signed else 'unsigned '}{'int' if bits == 32 else 'long long'}"
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    special = [0, 1, 2, 3, 7, low, high, high - 1] + ([-1, -2, -7, low + 1] if signed else [])
    x, y = (a.ravel().copy() for a in np.meshgrid(*2 * [np.array(special, dtype)]))
    q, r = np.zeros_like(x), np.zeros_like(x)
    divide = kernel(
        f"(const {type_}* x, const {type_}* y, {type_}* q, {type_}* r) {{ using T = {type_};"
        f" int i = blockIdx.x * blockDim.x + threadIdx.x; {FORMS[form]} }}",
        checked=checked,
    )
    divide((len(special),), (len(special),), (x, y, q, r))
    for a, b, quotient, remainder in zip(
        x.tolist(), y.tolist(), q.tolist(), r.tolist(), strict=True
    ):
        if b == 0:
            expected = (-1, -1) if signed else (high, high)
        elif signed and (a, b) == (low, -1):
            expected = (low, 0)
        else:
            exact = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
            expected = (exact, a - exact * b)
        assert (quotient, remainder) == expected, (a, b)


# ---- Memory, threads, other people's handlers -------------------------------------------------

FIRST_LAUNCH = """
k = RawKernel('''extern "C" __global__ void k(float* x) {
    __syncthreads();
    x[8 * blockIdx.x + threadIdx.x] = 1;
}''', "k", checked=CHECKED)
k.compile()
x = np.zeros(64, "f4")
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, 2 * (pages * resource.getpagesize() + (ROOM << 20),))
try:
    k((8,), (8,), (x,))
    print("ran", x.all())
except MemoryError as error:
    print("MemoryError", error)
"""


@BUILDS
@pytest.mark.parametrize("room", [16, 200, 500, 900])
def test_no_memory_at_the_first_launch_is_a_memory_error(room, checked):
    said = alone(FIRST_LAUNCH.replace("CHECKED", str(checked)).replace("ROOM", str(room)))
    assert said.startswith("MemoryError" if room < 300 else ("ran True", "MemoryError")), said


def test_a_thread_that_runs_out_of_memory_ends_the_launch():
    code = """
k = RawKernel('''extern "C" __global__ void k(float* x) {
    for (;;) { char* p = new char[1 << 26]; p[threadIdx.x] = 1; x[0] += p[0]; }
}''', "k")
try:
    k((1,), (1,), (np.zeros(1, "f4"),))
except MemoryError as e:
    print(e)
"""
    assert "kernel k: out of memory" in alone(code, limit=6)


def test_faults_are_ours_after_others_have_taken_the_signals():
    wild = kernel("(float* x) {\n((volatile float*)8)[threadIdx.x] = 1;\n}")
    enabled = faulthandler.is_enabled()
    for _ in range(3):
        with pytest.raises(KernelFault, match="memory fault") as caught:
            wild((1,), (32,), (np.zeros(1, "f4"),))
        assert caught.value.line == 2
        faulthandler.disable()
        faulthandler.enable(sys.__stderr__)  # what pytest puts there may be no file
    if not enabled:
        faulthandler.disable()


def test_a_fault_that_is_not_ours_still_ends_the_process():
    code = """
import ctypes, faulthandler
from pycnn.emulator import RawKernel
import numpy as np
k = RawKernel('extern "C" __global__ void k(float* x) { x[0] = 1; }', "k")
for _ in range(2):
    k((1,), (1,), (np.zeros(1, "f4"),))
    faulthandler.enable()
ctypes.string_at(8)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode < 0
    assert "Segmentation fault" in done.stderr


def test_a_process_forked_by_another_thread_can_launch():
    work = kernel("(float* y) { y[threadIdx.x] = 1; __syncthreads(); }")
    work.compile()
    stop = threading.Event()

    def launch():
        while not stop.is_set():
            work((64,), (64,), (np.zeros(64, "f4"),))

    busy = threading.Thread(target=launch)
    busy.start()
    try:
        for _ in range(20):
            child = os.fork()
            if not child:
                y = np.zeros(64, "f4")
                work((64,), (64,), (y,))
                os._exit(0 if y.all() else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        busy.join()
