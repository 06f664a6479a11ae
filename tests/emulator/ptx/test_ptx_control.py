"""Calls, branches, guards and what a launch must fit, of PTX."""

import enum

import numpy as np
import pytest
from ptx_run import BOTH, HEAD, REGS, entry, run

from pycnn.emulator import PtxModule

FACTORIAL = """
.func (.param .b64 result) factorial(.param .b64 n)
{
    .reg .pred %p<2>; .reg .b64 %rd<9>;
    ld.param.u64 %rd1, [n];
    setp.gt.u64 %p1, %rd1, 1;
    @%p1 bra more;
    st.param.b64 [result], 1;
    ret;
more:
    sub.s64 %rd2, %rd1, 1;
    {
        .param .b64 param0;
        .param .b64 retval0;
        st.param.b64 [param0], %rd2;
        call.uni (retval0), factorial, (param0);
        ld.param.b64 %rd3, [retval0];
    }
    mul.lo.u64 %rd4, %rd1, %rd3;
    st.param.b64 [result], %rd4;
    ret;
}
.func (.reg .u32 out) twice(.reg .u32 in) { add.u32 out, in, in; ret; }
"""


@BOTH
def test_calls(checked):
    body = (
        REGS
        + """
    ld.param.u64 %rd1, [x];
    { .param .b64 param0; .param .b64 retval0;
      st.param.b64 [param0+0], 10; call.uni (retval0), factorial, (param0);
      ld.param.b64 %rd2, [retval0+0]; }
    st.global.u64 [%rd1], %rd2;
    mov.u32 %r1, 21; call (%r2), twice, (%r1); cvt.u64.u32 %rd3, %r2; st.global.u64 [%rd1+8], %rd3;
    mov.u64 %rd4, factorial;
    { .param .b64 param0; .param .b64 retval0; st.param.b64 [param0], 5;
      prototype_0 : .callprototype (.param .b64 _) _ (.param .b64 _);
      call (retval0), %rd4, (param0), prototype_0; ld.param.b64 %rd5, [retval0]; }
    st.global.u64 [%rd1+16], %rd5;
    ret;"""
    )
    x = np.zeros(3, np.uint64)
    run(entry(body, ".param .u64 x", before=FACTORIAL), (x,), checked=checked)
    np.testing.assert_array_equal(x, [3628800, 42, 120])


@BOTH
def test_branches_by_index_and_scopes(checked):
    body = (
        REGS
        + """
    ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mad.wide.u32 %rd2, %r1, 4, %rd1;
    rem.u32 %r2, %r1, 3;
    table: .branchtargets zero, one, two;
    brx.idx %r2, table;
zero: { .reg .b32 %r1; mov.u32 %r1, 100; { .reg .b32 tmp; add.u32 tmp, %r1, 1; mov.u32 %r3, tmp; } }
    bra.uni done;
one: mov.u32 %r3, 200; bra done;
two: mov.u32 %r3, %r1;
done: st.global.u32 [%rd2], %r3;
    ret;"""
    )
    x = np.zeros(9, np.uint32)
    run(entry(body, ".param .u64 x"), (x,), block=9, checked=checked)
    np.testing.assert_array_equal(x, [101, 200, 2, 101, 200, 5, 101, 200, 8])


def test_guards_of_every_kind_of_instruction():
    body = (
        REGS
        + """
    ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mad.wide.u32 %rd2, %r1, 4, %rd1;
    setp.lt.u32 %p1, %r1, 2;
    mov.u32 %r2, 7;
    @%p1 mov.u32 %r2, 8;
    @!%p1 ld.global.u32 %r3, [%rd2];
    @%p1 mov.u32 %r3, 1;
    add.u32 %r4, %r2, %r3;
    @%p1 st.global.u32 [%rd2], %r4;
    @%p1 ret;
    @!%p1 st.global.u32 [%rd2], 50;
    exit;"""
    )
    x = np.full(4, 9, np.uint32)
    run(entry(body, ".param .u64 x"), (x,), block=4)
    np.testing.assert_array_equal(x, [9, 9, 50, 50])


def test_printf_and_assertions(capfd):
    before = """
    .extern .func (.param .b32 r) vprintf(.param .b64 a, .param .b64 b);
    .extern .func __assertfail(.param .b64 a, .param .b64 b, .param .b32 c, .param .b64 d,
        .param .b64 e) .noreturn;
    .global .align 1 .b8 text[] = {37, 100, 32, 37, 46, 50, 102, 32, 37, 115, 10, 0};
    .global .align 1 .b8 word[] = {120, 62, 48, 0};
    """
    body = (
        REGS
        + """
    .local .align 8 .b8 depot[24];
    mov.u64 %rd1, depot; cvta.local.u64 %rd2, %rd1;
    mov.u32 %r1, -5; st.local.u32 [%rd1], %r1;
    mov.f64 %fd1, 0d400A000000000000; st.local.f64 [%rd1+8], %fd1;
    mov.u64 %rd3, word; cvta.global.u64 %rd3, %rd3; st.local.u64 [%rd1+16], %rd3;
    mov.u64 %rd4, text; cvta.global.u64 %rd4, %rd4;
    { .param .b64 param0; st.param.b64 [param0], %rd4;
      .param .b64 param1; st.param.b64 [param1], %rd2;
      .param .b32 retval0; call.uni (retval0), vprintf, (param0, param1);
      ld.param.b32 %r2, [retval0]; }
    { .param .b64 p0; st.param.b64 [p0], %rd3; .param .b64 p1; st.param.b64 [p1], %rd3;
      .param .b32 p2; st.param.b32 [p2], 12; .param .b64 p3; st.param.b64 [p3], %rd3;
      .param .b64 p4; st.param.b64 [p4], 1;
      call.uni __assertfail, (p0, p1, p2, p3, p4); }
    ret;"""
    )
    from pycnn.emulator import KernelAssertionError

    with pytest.raises(KernelAssertionError, match="assertion failed: x>0") as caught:
        run(entry(body, before=before))
    assert caught.value.line == 12
    assert capfd.readouterr().out == "-5 3.25 x>0\n"


def test_arguments_must_fit():
    kernel = PtxModule(
        entry("ret;", ".param .u64 p, .param .f32 f, .param .u32 n, .param .align 4 .b8 s[8]")
    ).get_function("test")
    good = (np.zeros(1), np.float32(1), 3, np.zeros(1, "i4,i4")[0])
    kernel((1,), (1,), good)
    for at, bad, error in [
        (0, 1.5, TypeError), (1, 1.5, TypeError), (1, 3, TypeError), (1, np.float64(1), TypeError),
        (2, 1 << 32, ValueError), (2, np.zeros(1), TypeError), (2, np.float32(1), TypeError),
        (3, np.zeros(1, "i4")[0], TypeError), (3, 7, ValueError), (0, "x", TypeError),
    ]:  # fmt: skip
        arguments = list(good)
        arguments[at] = bad
        if at == 3 and bad == 7:
            continue  # a struct of eight bytes may be an integer
        with pytest.raises(error, match=f"argument {at}"):
            kernel((1,), (1,), arguments)
    with pytest.raises(TypeError, match="takes 4 arguments, 3 were given"):
        kernel((1,), (1,), good[:3])


class Axis(enum.IntEnum):
    Y = 5


def test_numbers_at_their_limits():
    """Integers of any kind as far as they fit, signed or not; their bytes arrive."""
    text = entry(
        ".reg .b64 %rd<4>; .reg .b32 %r<2>; ld.param.u64 %rd1, [x]; ld.param.b64 %rd2, [a];"
        "ld.param.u32 %r1, [b]; st.global.b64 [%rd1], %rd2; st.global.u32 [%rd1+8], %r1; ret;",
        ".param .u64 x, .param .b64 a, .param .u32 b",
    )
    kernel = PtxModule(text).get_function("test")
    x = np.zeros(2, np.uint64)
    for a, b in [
        ((1 << 64) - 1, (1 << 32) - 1), (-(1 << 63), -(1 << 31)), (np.uint64(7), np.int32(-7)),
        (np.float64(0.5).view(np.int64), Axis.Y), (np.datetime64(3, "s").view("i8"), np.uint32(9)),
    ]:  # fmt: skip
        kernel((1,), (1,), (x, a, b))
        assert x.tolist() == [int(a) % (1 << 64), int(b) % (1 << 32)]
    kernel((1,), (1,), (x, np.datetime64(3, "s"), 0))  # which has no buffer
    assert x[0] == 3
    for a, b in [(1 << 64, 0), (-(1 << 63) - 1, 0), (0, 1 << 32), (0, -(1 << 31) - 1)]:
        with pytest.raises(ValueError, match="does not fit a"):
            kernel((1,), (1,), (x, a, b))
    with pytest.raises(TypeError, match="argument 0 is an array of Python objects"):
        kernel((1,), (1,), (np.array([None]), 0, 0))


def test_blocks_that_the_kernel_does_not_allow():
    text = HEAD + ".entry a() .maxntid 64, 1, 1 { ret; }\n.entry b() .reqntid 32, 2 { ret; }\n"
    module = PtxModule(text)
    assert module.kernel_names == ("a", "b")
    with pytest.raises(ValueError, match="allows 64"):
        module.get_function("a")((1,), (65,), ())
    with pytest.raises(ValueError, match="requires"):
        module.get_function("b")((1,), (64,), ())
    module.get_function("b")((1,), (32, 2), ())


def test_special_registers():
    body = (
        REGS
        + """
    ld.param.u64 %rd1, [x];
    mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y; mov.u32 %r3, %ntid.x; mad.lo.u32 %r1, %r2, %r3, %r1;
    mov.u32 %r4, %ctaid.y; mov.u32 %r5, %nctaid.x; mov.u32 %r6, %ctaid.x;
    mad.lo.u32 %r4, %r4, %r5, %r6;
    mov.u32 %r7, %ntid.y; mul.lo.u32 %r7, %r7, %r3; mad.lo.u32 %r1, %r4, %r7, %r1;
    mad.wide.u32 %rd2, %r1, 32, %rd1;
    mov.u32 %r8, %laneid; mov.u32 %r9, %warpid; st.global.v2.u32 [%rd2], {%r8, %r9};
    mov.u32 %r8, %lanemask_lt; mov.u32 %r9, %lanemask_ge; st.global.v2.u32 [%rd2+8], {%r8, %r9};
    mov.u32 %r8, %dynamic_smem_size; mov.u32 %r9, WARP_SZ; st.global.v2.u32 [%rd2+16], {%r8, %r9};
    mov.u32 %r8, %nwarpid; mov.u32 %r9, %nctaid.y; st.global.v2.u32 [%rd2+24], {%r8, %r9};
    ret;"""
    )
    x = np.zeros((6, 80, 8), np.uint32)
    kernel = PtxModule(entry(body, ".param .u64 x"), checked=True).get_function("test")
    kernel((3, 2), (20, 4), (x,), shared_mem=48)
    lane, warp = np.arange(80) % 32, np.arange(80) // 32
    below = (1 << lane.astype(np.uint64)) - 1
    want = np.stack(
        [
            lane,
            warp,
            below,
            0xFFFFFFFF ^ below,
            *np.broadcast_to(np.array([[48], [32], [3], [2]]), (4, 80)),
        ],
        1,
    )
    np.testing.assert_array_equal(x, np.broadcast_to(want, x.shape))
