"""State spaces, loads and stores, variables and parameters of PTX."""

import struct

import numpy as np
import pytest
from ptx_run import BOTH, REGS, entry, run

from pycnn.emulator import OutOfBoundsError, PtxModule, RaceError


@BOTH
def test_vectors_and_narrow_types(checked):
    x = np.arange(64, dtype=np.uint8)
    y = np.zeros(64, np.uint8)
    body = (
        REGS
        + """
    ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y];
    ld.global.v4.u8 {%r1, %r2, %r3, %r4}, [%rd1];
    st.global.v4.u8 [%rd2], {%r4, %r3, %r2, %r1};
    ld.global.nc.L1::no_allocate.v2.b64 {%rd3, %rd4}, [%rd1+16];
    st.global.v2.u64 [%rd2+16], {%rd4, %rd3};
    ld.global.s8 %r5, [%rd1+9];
    st.global.u16 [%rd2+32], %r5;
    ld.global.v2.u16 {%h1, %h2}, [%rd1+4];
    st.global.v2.u16 [%rd2+4], {%h2, %h1};
    ret;"""
    )
    x[9] = 0xF0
    run(entry(body, ".param .u64 x, .param .u64 y"), (x, y), checked=checked)
    want = np.zeros(64, np.uint8)
    want[:4] = x[3::-1]
    want[16:24], want[24:32] = x[24:32], x[16:24]
    want[32:34] = [0xF0, 0xFF]
    want[4:6], want[6:8] = x[6:8], x[4:6]
    np.testing.assert_array_equal(y, want)


@BOTH
def test_parameters_by_value_and_by_address(checked):
    """A struct, read member by member and by an address computed at run time."""
    record = np.array([(7, 2.5, (1, 2, 3, 4))], [("n", "i4"), ("x", "f8"), ("a", "i4", 4)])
    packed = np.zeros(1, np.dtype([("n", "i4"), ("x", "f8"), ("a", "i4", 4)], align=True))
    for name in record.dtype.names:
        packed[name] = record[name]
    out = np.zeros(6, np.float64)
    body = (
        REGS
        + """
    ld.param.u32 %r1, [s]; ld.param.f64 %fd1, [s+8]; ld.param.u64 %rd1, [out];
    cvt.rn.f64.s32 %fd2, %r1;
    st.global.v2.f64 [%rd1], {%fd2, %fd1};
    mov.b64 %rd2, s;
    cvta.param.u64 %rd3, %rd2;
    mov.u32 %r2, %tid.x;
    mad.wide.u32 %rd4, %r2, 4, %rd3;
    ld.param.u32 %r3, [%rd4+16];
    mad.wide.u32 %rd5, %r2, 8, %rd1;
    cvt.rn.f64.s32 %fd3, %r3;
    st.global.f64 [%rd5+16], %fd3;
    ret;"""
    )
    text = entry(body, ".param .align 8 .b8 s[32], .param .u64 out")
    kernel = PtxModule(text, checked=checked).get_function("test")
    kernel((1,), (1,), (packed[0], out))
    np.testing.assert_array_equal(out[:3], [7, 2.5, 1])
    if not checked:  # four threads write the same two numbers: a race by rights
        kernel((1,), (4,), (packed[0], out))
        np.testing.assert_array_equal(out, [7, 2.5, 1, 2, 3, 4])


@BOTH
def test_variables_with_initial_values(checked):
    before = """
    .global .align 4 .u32 numbers[4] = {10, 0x14, 30};
    .const .align 8 .f64 half = 0d3FE0000000000000;
    .const .align 4 .f32 two = 2.0;
    .visible .global .align 8 .u64 where = numbers+8;
    .global .align 2 .b8 text[4] = {72, 105, 0, 0};
    .global .align 4 .u32 counter;
    """
    out = np.zeros(4, np.float64)
    body = (
        REGS
        + """
    ld.param.u64 %rd1, [out];
    ld.global.u64 %rd2, [where]; ld.u32 %r1, [%rd2];
    cvt.rn.f64.u32 %fd1, %r1; st.global.f64 [%rd1], %fd1;
    ld.const.f64 %fd2, [half]; ld.const.f32 %f1, [two]; cvt.f64.f32 %fd3, %f1;
    add.f64 %fd2, %fd2, %fd3; st.global.f64 [%rd1+8], %fd2;
    mov.u64 %rd3, text; ld.global.u8 %r2, [%rd3+1]; cvt.rn.f64.u32 %fd4, %r2;
    st.global.f64 [%rd1+16], %fd4;
    ld.global.u32 %r3, [counter]; add.u32 %r3, %r3, 1; st.global.u32 [counter], %r3;
    cvt.rn.f64.u32 %fd5, %r3; st.global.f64 [%rd1+24], %fd5;
    ret;"""
    )
    module = PtxModule(entry(body, ".param .u64 out", before=before), checked=checked)
    kernel = module.get_function("test")
    for turn in (1, 2):
        kernel((1,), (1,), (out,))
        np.testing.assert_array_equal(out, [30, 2.5, 105, turn])
    assert module.get_global("counter").view(np.uint32)[0] == 2
    module.get_global("numbers").view(np.uint32)[2] = 77
    kernel((1,), (1,), (out,))
    assert out[0] == 77
    with pytest.raises(ValueError, match="no global variable"):
        module.get_global("nothing")


SHARED = (
    REGS
    + """
    .shared .align 4 .b8 tile[256];
    ld.param.u64 %rd1, [x];
    mov.u32 %r1, %tid.x; mov.u32 %r2, tile; shl.b32 %r3, %r1, 2;
    add.u32 %r4, %r2, %r3;
    mov.u32 %r5, dynamic; add.u32 %r6, %r5, %r3;
    st.shared.u32 [%r4], %r1; mul.lo.u32 %r7, %r1, 10; st.shared.u32 [%r6], %r7;
    bar.sync 0;
    xor.b32 %r8, %r3, 4; add.u32 %r9, %r2, %r8; add.u32 %r10, %r5, %r8;
    cvt.u64.u32 %rd2, %r9; cvta.shared.u64 %rd3, %rd2; ld.u32 %r11, [%rd3];
    cvta.to.shared.u64 %rd4, %rd3; ld.shared.u32 %r12, [%rd4];
    ld.shared.u32 %r13, [%r10];
    add.u32 %r14, %r11, %r12; add.u32 %r14, %r14, %r13;
    mad.wide.u32 %rd5, %r1, 4, %rd1; st.global.u32 [%rd5], %r14;
    isspacep.shared %p1, %rd3; isspacep.global %p2, %rd5; and.pred %p3, %p1, %p2;
    @!%p3 trap;
    ret;"""
)


@BOTH
def test_shared_memory_static_and_dynamic(checked):
    x = np.zeros(64, np.uint32)
    text = entry(SHARED, ".param .u64 x", before=".extern .shared .align 16 .b8 dynamic[];")
    run(text, (x,), block=64, shared=256, checked=checked)
    np.testing.assert_array_equal(x, 12 * (np.arange(64) ^ 1))


def test_shared_memory_is_watched():
    x = np.zeros(64, np.uint32)
    before = ".extern .shared .align 16 .b8 dynamic[];"
    text = entry(SHARED.replace("bar.sync 0;", ""), ".param .u64 x", before=before)
    with pytest.raises(RaceError, match="shared array"):
        run(text, (x,), block=64, shared=256)
    text = entry(SHARED, ".param .u64 x", before=before)
    with pytest.raises(OutOfBoundsError, match="dynamic"):
        run(text, (x,), block=64, shared=128)


LOCAL = (
    REGS
    + """
    .local .align 4 .b8 depot[16];
    ld.param.u64 %rd1, [x]; ld.param.u32 %r1, [n];
    mov.u64 %rd2, depot; cvta.local.u64 %rd3, %rd2;
    mov.u32 %r2, 0;
again:
    mul.wide.u32 %rd4, %r2, 4; add.s64 %rd5, %rd2, %rd4;
    mul.lo.u32 %r3, %r2, %r2; st.local.u32 [%rd5], %r3;
    add.u32 %r2, %r2, 1; setp.lt.u32 %p1, %r2, %r1; @%p1 bra again;
    ld.local.v4.u32 {%r4, %r5, %r6, %r7}, [depot];
    ld.u32 %r8, [%rd3+12];
    add.u32 %r4, %r4, %r5; add.u32 %r4, %r4, %r6; mad.lo.u32 %r4, %r8, 100, %r4;
    st.global.u32 [%rd1], %r4;
    ret;"""
)


@BOTH
def test_local_memory(checked):
    x = np.zeros(1, np.uint32)
    run(entry(LOCAL, ".param .u64 x, .param .u32 n"), (x, 4), checked=checked)
    assert x[0] == 905


def test_local_memory_has_an_end():
    with pytest.raises(OutOfBoundsError, match=r"4 bytes at byte 16 .*, which has 16"):
        run(entry(LOCAL, ".param .u64 x, .param .u32 n"), (np.zeros(1, np.uint32), 5))


def test_the_end_of_a_global_array_names_the_line():
    body = (
        REGS
        + """
    ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4;
    add.s64 %rd1, %rd1, %rd2;
    st.global.u32 [%rd1], %r1;
    ret;"""
    )
    text = entry(body, ".param .u64 x")
    line = text[: text.index("st.global")].count("\n") + 1
    with pytest.raises(OutOfBoundsError) as caught:
        run(text, (np.zeros(31, np.uint32),), block=32)
    assert (caught.value.file, caught.value.line) == ("kernel.ptx", line)
    assert caught.value.thread == (31, 0, 0)


def test_struct_layout_is_c():
    """`struct` and the block of parameters agree on where each parameter lies."""
    body = (
        REGS
        + """
    ld.param.u64 %rd1, [out]; ld.param.u8 %r1, [a]; ld.param.u16 %r2, [b]; ld.param.f64 %fd1, [c];
    ld.param.u8 %r3, [d];
    st.global.u32 [%rd1], %r1; st.global.u32 [%rd1+4], %r2; st.global.f64 [%rd1+8], %fd1;
    st.global.u32 [%rd1+16], %r3; ret;"""
    )
    out = np.zeros(20, np.uint8)
    text = entry(body, ".param .u8 a, .param .u16 b, .param .f64 c, .param .u8 d, .param .u64 out")
    run(text, (3, 500, 2.5, True, out), checked=False)
    assert struct.unpack("<iidi", out.tobytes()) == (3, 500, 2.5, 1)


@BOTH
def test_shared_addresses_wrap_at_32_bits(checked):
    """A base before the array, and an offset that leads into it: compilers make such sums."""
    body = (
        REGS
        + """
    ld.param.u64 %rd1, [x]; mov.u32 %r1, dynamic; add.s32 %r2, %r1, -8; mov.u32 %r3, 77;
    st.shared.u32 [%r2+12], %r3; ld.shared.u32 %r4, [%r1+4]; st.global.u32 [%rd1], %r4;
    cvt.s64.s32 %rd2, %r2; ld.shared.u32 %r5, [%rd2+12]; st.global.u32 [%rd1+4], %r5;
    ret;"""
    )
    x = np.zeros(2, np.uint32)
    text = entry(body, ".param .u64 x", before=".extern .shared .align 16 .b8 dynamic[];")
    run(text, (x,), shared=16, checked=checked)
    np.testing.assert_array_equal(x, 77)
