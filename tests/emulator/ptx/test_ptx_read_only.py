"""A kernel that writes to a read-only array ends in an error; one that reads it does not."""

import numpy as np
import pytest
from ptx_run import entry, run

from pycnn.emulator import Pointer, RawKernel

pytest.importorskip("cuda.bindings.nvrtc", reason="needs the extra 'compile'")

BUILDS = pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])

WRITES = {
    "a store": "x[threadIdx.x] = 1;",
    "a cast of const": "((float*)c)[0] = 1;",
    "an atomic": "atomicAdd(x + 1, 1.0f);",
    "either of two": "float* p = n ? x : y; p[n] = 1;",
    "a loop": "for (float* p = x; n > 0; --n) *p++ = n;",
    "a call": "set(x + n, 2);",
    "local memory": "float* both[2] = {y, x}; keep(both); both[0][n] = 7;",
}
READS = {
    "a load": "y[0] = c[threadIdx.x];",
    "a read-only load": "y[0] = __ldg(c + n);",
    "an index": "y[(int)c[0]] = 1;",
    "a condition": "if ((size_t)c & 1) y[0] = 1;",
    "a call": "y[1] = get(c + n);",
    "a comparison": "y[0] = c < y ? 1 : 2;",
}
CODE = """
__device__ __noinline__ void set(float* p, float v) { *p = v; }
__device__ __noinline__ float get(const float* p) { return *p; }
__device__ __noinline__ void keep(float** p) { float* t = p[0]; p[0] = p[1]; p[1] = t; }
extern "C" __global__ void k(float* x, const float* c, float* y, int n) { %s }"""


def locked() -> np.ndarray:
    return np.frombuffer(np.full(4, 3, np.float32).tobytes(), np.float32)


def kernel(body: str, checked: bool) -> RawKernel:
    return RawKernel(CODE % body, "k", via="ptx", checked=checked)


@BUILDS
@pytest.mark.parametrize("case", [c for c in WRITES if c != "local memory"])
def test_what_is_written_to_is_refused(case, checked):
    write = kernel(WRITES[case], checked)
    number = 1 if "const" in case else 0
    arrays = [np.ones(4, np.float32) for _ in range(3)]
    arrays[number] = locked()
    for array in (arrays[number], Pointer(arrays[number], 4)):
        arrays[number] = array
        with pytest.raises(ValueError, match=f"k: argument {number} is a read-only array"):
            write((1,), (1,), (*arrays, 1))
    arrays[number] = np.ones(4, np.float32)
    write((1,), (1,), (*arrays, 1))


@BUILDS
@pytest.mark.parametrize("case", READS)
def test_what_is_read_is_not(case, checked):
    kernel(READS[case], checked)((1,), (1,), (locked(), locked(), np.ones(4, np.float32), 1))


def test_an_address_from_other_memory_is_not_followed_but_seen_in_the_checked_build():
    write = kernel(WRITES["local memory"], True)
    x = locked()
    with pytest.raises(ValueError, match="read-only"):
        write((1,), (1,), (x, x, np.ones(4, np.float32), 1))
    assert (x == 3).all()


@BUILDS
def test_ptx_of_its_own(checked):
    text = entry(
        ".reg .b64 %d<4>; ld.param.u64 %d1, [x]; cvta.to.global.u64 %d2, %d1;"
        "{ .param .b64 p; st.param.b64 [p], %d2; call f, (p); } ret;", ".param .u64 x",
        before=".func f(.param .b64 q) { .reg .b64 %d; ld.param.b64 %d, [q];"
        " st.global.u32 [%d], 7; ret; }",
    )  # fmt: skip
    with pytest.raises(ValueError, match="test: argument 0 is a read-only array"):
        run(text, (locked(),), checked=checked)
