"""Atomics of PTX: their results, 128 bits, and compare-and-swap that does not swap."""

import numpy as np
import pytest
from ptx_run import BOTH, REGS, entry, run

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
