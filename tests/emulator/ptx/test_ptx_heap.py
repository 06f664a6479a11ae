"""Memory that kernels allocate: ``malloc``, ``new``, and on the stack."""

import importlib.util

import numpy as np
import pytest
from ptx_run import BOTH, entry, run

from pycnn.emulator import KernelError, OutOfBoundsError, RawKernel, UninitialisedReadError

needs_nvrtc = pytest.mark.skipif(
    importlib.util.find_spec("cuda") is None, reason="needs the extra 'compile'"
)
SOURCE = r"""
extern "C" __global__ void heap(int* out, int n, int which) {
    int* a = (int*)malloc(n * sizeof(int));
    int* b = new int[n];
    for (int i = 0; i < n; ++i) a[i] = b[n - 1 - i] = i * threadIdx.x;
    if (which == 1) a[n] = 1;
    int sum = 0;
    for (int i = 0; i < n; ++i) sum += a[i] - b[i] + 1;
    if (which == 2) free(a + 1);
    free(a);
    if (which == 3) sum += *(volatile int*)a;
    if (which == 4) free(a);
    delete[] b;
    free(nullptr);
    int* c = (int*)malloc(n * sizeof(int));
    if (which == 5) sum += *(volatile int*)c;
    free(c);
    out[threadIdx.x] = sum;
}"""


@needs_nvrtc
@BOTH
def test_malloc_and_new(checked):
    out = np.zeros(64, np.int32)
    RawKernel(SOURCE, "heap", checked=checked, via="ptx")((1,), (64,), (out, 7, 0))
    assert (out == 7).all()


@needs_nvrtc
@pytest.mark.parametrize(
    ("which", "error", "message"),
    [
        (1, OutOfBoundsError, "write of 4 bytes"),
        (2, OutOfBoundsError, "malloc has not returned"),
        (3, OutOfBoundsError, "read of 4 bytes"),
        (4, OutOfBoundsError, "malloc has not returned"),
        (5, UninitialisedReadError, "no thread has written"),
    ],
)
def test_what_may_go_wrong_with_it(which, error, message):
    kernel = RawKernel(SOURCE, "heap", checked=True, via="ptx")
    with pytest.raises(error, match=message):
        kernel((1,), (1,), (np.zeros(1, np.int32), 5, which))
    if which in (2, 4):
        fast = RawKernel(SOURCE, "heap", via="ptx")
        with pytest.raises(KernelError, match=message):
            fast((1,), (1,), (np.zeros(1, np.int32), 5, which))


@BOTH
def test_memory_of_the_stack(checked):
    body = """
    .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p<2>;
    ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mov.u32 %r5, 0;
    stacksave.u64 %rd8;
again:
    add.u32 %r2, %r1, 1; mul.wide.u32 %rd2, %r2, 4;
    alloca.u64 %rd3, %rd2, 16;
    mul.wide.u32 %rd4, %r1, 4; add.u64 %rd5, %rd3, %rd4;
    st.local.u32 [%rd5], %r2; ld.local.u32 %r3, [%rd5];
    stackrestore.u64 %rd8;
    add.u32 %r5, %r5, 1; setp.lt.u32 %p1, %r5, 10000; @%p1 bra again;
    add.u64 %rd6, %rd1, %rd4; st.global.u32 [%rd6], %r3;
    ret;"""
    x = np.zeros(64, np.uint32)
    run(entry(body, ".param .u64 x"), (x,), block=64, checked=checked)
    np.testing.assert_array_equal(x, np.arange(1, 65))
