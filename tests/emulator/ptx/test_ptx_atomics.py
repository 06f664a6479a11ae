"""``atom`` of 128 bits, and compare-and-swap that does not swap."""

import numpy as np
import pytest
from ptx_run import entry, run

from pycnn.emulator import MisalignedAccessError, OutOfBoundsError, RaceError

READ_OR_SWAP = """
    .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p<2>; .shared .align 16 .b8 tile[64];
    ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 0; mov.u32 %r5, EXPECTED;
    @%p1 ld.global.u32 %r2, [%rd1];
    @!%p1 atom.global.cas.b32 %r3, [%rd1], %r5, 9;
    ret;"""


def test_only_a_swap_writes():
    x = np.full(4, 7, np.uint32)
    for expected, error in (("8", None), ("7", RaceError)):
        text = entry(READ_OR_SWAP.replace("EXPECTED", expected), ".param .u64 x")
        for order in ("forward", "reverse"):
            x[:] = 7
            if error is None:
                run(text, (x,), block=2, schedule=order)
                assert x[0] == 7
            else:
                with pytest.raises(error):
                    run(text, (x,), block=2, schedule=order)


@pytest.mark.parametrize("checked", [False, True])
def test_sixteen_bytes(checked):
    body = """
    .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .b128 %q<9>;
    ld.param.u64 %rd1, [x]; mov.b64 %rd2, 1; mov.b64 %rd3, 2; mov.b128 %q1, {%rd2, %rd3};
    atom.global.exch.b128 %q2, [%rd1], %q1;
    mov.b128 {%rd4, %rd5}, %q2; st.global.u64 [%rd1+16], %rd4; st.global.u64 [%rd1+24], %rd5;
    atom.acq_rel.gpu.global.cas.b128 %q3, [%rd1+32], %q2, %q1;
    atom.acq_rel.gpu.global.cas.b128 %q4, [%rd1+48], %q2, %q1;
    mov.b128 {%rd4, %rd5}, %q4; st.global.u64 [%rd1+64], %rd4; st.global.u64 [%rd1+72], %rd5;
    ret;"""
    storage = np.zeros(12, np.uint64)
    x = storage[storage.ctypes.data // 8 % 2 :][:10]  # at a multiple of 16 bytes
    x[:] = 5, 6, 0, 0, 5, 6, 5, 7, 0, 0
    run(entry(body, ".param .u64 x"), (x,), checked=checked)
    np.testing.assert_array_equal(x, [1, 2, 5, 6, 1, 2, 5, 7, 5, 7])


def test_swaps_are_checked_as_other_accesses():
    body = """
    .reg .b32 %r<9>; .reg .b64 %rd<9>; ld.param.u64 %rd1, [x];
    atom.global.cas.b32 %r3, [%rd1+AT], 1, 9; ret;"""
    x = np.zeros(4, np.uint32)
    for at, error in ((16, OutOfBoundsError), (2, MisalignedAccessError)):
        with pytest.raises(error, match="atomic update"):
            run(entry(body.replace("AT", str(at)), ".param .u64 x"), (x,))
