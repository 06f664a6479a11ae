"""State spaces, loads and stores, atomics, calls and branches of PTX."""

import struct

import numpy as np
import pytest
from ptx_run import HEAD, entry, run

from pycnn.emulator import OutOfBoundsError, PtxModule, RaceError

BOTH = pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])
REGS = """
.reg .pred %p<9>; .reg .b16 %h<9>; .reg .b32 %r<30>; .reg .b64 %rd<30>; .reg .f32 %f<9>;
.reg .f64 %fd<9>;
"""


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


@BOTH
@pytest.mark.parametrize(
    ("operation", "type", "want"),
    [
        ("add", "u32", lambda b, v: b + v.sum()),
        ("add", "f32", lambda b, v: b + v.sum()),
        ("add", "f64", lambda b, v: b + v.sum()),
        ("add", "u64", lambda b, v: b + v.sum()),
        ("min", "s32", lambda b, v: min(b, v.min())),
        ("max", "u32", lambda b, v: max(b, v.max())),
        ("max", "s64", lambda b, v: max(b, v.max())),
        ("and", "b32", lambda b, v: np.bitwise_and.reduce(v) & b),
        ("or", "b64", lambda b, v: np.bitwise_or.reduce(v) | b),
        ("xor", "b32", lambda b, v: np.bitwise_xor.reduce(v) ^ b),
        ("inc", "u32", lambda b, v: 64 % 11),
        ("dec", "u32", lambda b, v: (10 - 64 + 1) % 11),
    ],
)
def test_atomics(operation, type, want, checked):
    dtype = np.dtype({"b": "u", "u": "u", "s": "i", "f": "f"}[type[0]] + str(int(type[1:]) // 8))
    values = (np.arange(64) * 3 % 64 + 1).astype(dtype)
    total = np.zeros(1, dtype)
    if operation in ("inc", "dec"):
        values[:] = 10
    if operation == "and":
        values |= 8
        total[:] = 12
    size = dtype.itemsize
    bits = "f" if type[0] == "f" else "rd" if size == 8 else "r"
    register = {"f4": "%f1", "f8": "%fd1"}.get(dtype.str[1:], "%rd9" if size == 8 else "%r9")
    base = total[0].item()
    body = (
        REGS
        + f"""
    ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [total];
    mov.u32 %r1, %tid.x; mad.lo.u32 %r1, %ctaid.x, 32, %r1;
    mad.wide.u32 %rd3, %r1, {size}, %rd1;
    ld.global.b{8 * size} {register}, [%rd3];
    red.relaxed.gpu.global.{operation}.{type} [%rd2], {register};
    ret;"""
    )
    body = body.replace("mad.lo.u32 %r1, %ctaid.x", "mov.u32 %r2, %ctaid.x; mad.lo.u32 %r1, %r2")
    assert bits
    run(
        entry(body, ".param .u64 x, .param .u64 total"),
        (values, total),
        grid=2,
        block=32,
        checked=checked,
    )
    assert total[0] == want(base, values)


@BOTH
def test_what_was_there_before_an_atomic(checked):
    body = (
        REGS
        + """
    ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [out];
    mov.u32 %r1, %tid.x; mad.wide.u32 %rd3, %r1, 4, %rd2;
    atom.global.add.u32 %r2, [%rd1], 1;
    st.global.u32 [%rd3], %r2;
    atom.acq_rel.gpu.global.cas.b32 %r3, [%rd1+4], %r1, 100;
    atom.exch.b32 %r4, [%rd1+8], %r1;
    ret;"""
    )
    x, out = np.zeros(3, np.uint32), np.zeros(32, np.uint32)
    run(entry(body, ".param .u64 x, .param .u64 out"), (x, out), block=32, checked=checked)
    assert sorted(out) == list(range(32))
    assert x[0] == 32
    assert x[1] in (0, 100)  # whoever of 0 came first


@BOTH
def test_atomic_sums_of_halves(checked):
    body = (
        REGS
        + """
    ld.param.u64 %rd1, [x];
    mov.b32 %r1, 0x40003C00; atom.global.add.noftz.f16x2 %r2, [%rd1], %r1;
    mov.b16 %h1, 0x3F80; red.global.add.noftz.bf16 [%rd1+4], %h1;
    ret;"""
    )
    x = np.zeros(4, np.uint16)
    run(entry(body, ".param .u64 x"), (x,), block=32, checked=checked)
    np.testing.assert_array_equal(x[:2].view(np.float16), [32, 64])
    assert (x[2:3].astype(np.uint32) << 16).view(np.float32)[0] == 32


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


SPECULATED = (
    REGS
    + """
    .shared .align 4 .f32 common;
    ld.param.u64 %rd1, [x]; ld.param.u32 %r1, [given];
    mov.u32 %r2, %tid.x; setp.eq.u32 %p1, %r1, 0; setp.ne.u32 %p2, %r2, 0; or.pred %p2, %p1, %p2;
    @%p2 bra on;
    st.shared.f32 [common], 0f40000000;
on: BARRIER
    ld.shared.f32 %f1, [common];
    mov.u32 %r3, 0;
again:
    selp.f32 %f2, SELECTED, %p1;
    mad.wide.u32 %rd2, %r2, 4, %rd1; st.global.f32 [%rd2], %f2;
    add.u32 %r3, %r3, 1; setp.lt.u32 %p3, %r3, 3; @%p3 bra again;
    ret;"""
)


def test_a_load_whose_value_is_thrown_away_reads_nothing():
    """The compiler moves loads out of conditions; where the value counts, so does the load."""
    from pycnn.emulator import UninitialisedReadError

    def launch(given, selected="0f3F800000, %f1", barrier="bar.sync 0;"):
        body = SPECULATED.replace("SELECTED", selected).replace("BARRIER", barrier)
        text = entry(body, ".param .u64 x, .param .u32 given")
        x = np.zeros(32, np.float32)
        kernel = PtxModule(text, checked=True).get_function("test")
        kernel((1,), (32,), (x, given))
        return x, kernel.counters.shared_load_requests

    x, loads = launch(0)
    assert (x == 1).all()
    assert loads == 0
    x, loads = launch(1)
    assert (x == 2).all()
    assert loads == 1
    with pytest.raises(UninitialisedReadError) as caught:
        launch(0, "%f1, 0f3F800000")
    assert caught.value.line > 0
    with pytest.raises(RaceError):
        launch(1, barrier="")


def test_a_load_before_a_barrier_happens_before_it():
    """Its value is selected where others may write already: the access is not put off so far."""
    body = (
        REGS
        + """
    .shared .align 4 .u32 common;
    ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 0;
    @%p1 st.shared.u32 [common], 5;
    bar.sync 0;
    ld.shared.u32 %r2, [common];
    bar.sync 0;
    @%p1 st.shared.u32 [common], 6;
    setp.lt.u32 %p2, %r1, 16; selp.u32 %r3, %r2, 1, %p2;
    mad.wide.u32 %rd2, %r1, 4, %rd1; st.global.u32 [%rd2], %r3;
    ret;"""
    )
    x = np.zeros(32, np.uint32)
    run(entry(body, ".param .u64 x"), (x,), block=32)
    np.testing.assert_array_equal(x, np.where(np.arange(32) < 16, 5, 1))


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


def test_a_load_whose_value_a_branch_leaves_unused_reads_nothing():
    body = (
        REGS
        + """
    .shared .align 4 .f32 common;
    ld.param.u64 %rd1, [x]; ld.param.u32 %r1, [given];
    ld.shared.f32 %f1, [common];
    setp.eq.u32 %p1, %r1, 0; @%p1 bra without;
    add.f32 %f2, %f1, %f1; st.global.f32 [%rd1], %f2; ret;
without: st.global.f32 [%rd1], 0f3F800000; ret;"""
    )
    from pycnn.emulator import UninitialisedReadError

    kernel = PtxModule(entry(body, ".param .u64 x, .param .u32 given"), checked=True)
    x = np.zeros(1, np.float32)
    kernel.get_function("test")((1,), (1,), (x, 0))
    assert x[0] == 1
    with pytest.raises(UninitialisedReadError):
        kernel.get_function("test")((1,), (1,), (x, 1))


def test_what_is_computed_of_an_unused_load_is_unused():
    body = (
        REGS
        + """
    .shared .align 4 .f32 common;
    ld.param.u64 %rd1, [x]; ld.param.u32 %r1, [given]; setp.eq.u32 %p1, %r1, 0;
    ld.shared.f32 %f1, [common]; mul.f32 %f2, %f1, 0f40000000; selp.f32 %f3, 0f3F800000, %f2, %p1;
    st.global.f32 [%rd1], %f3; ret;"""
    )
    from pycnn.emulator import UninitialisedReadError

    module = PtxModule(entry(body, ".param .u64 x, .param .u32 given"), checked=True)
    x = np.zeros(1, np.float32)
    module.get_function("test")((1,), (1,), (x, 0))
    assert x[0] == 1
    with pytest.raises(UninitialisedReadError):
        module.get_function("test")((1,), (1,), (x, 1))
