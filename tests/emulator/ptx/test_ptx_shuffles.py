"""Shuffles that the fast build puts together."""

import numpy as np
import pytest
from ptx_run import BOTH, HEAD, REGS, entry, run

from pycnn.emulator import PtxModule
from pycnn.emulator.ptx.module import _translated
from pycnn.emulator.ptx.parse import parse
from pycnn.emulator.ptx.shuffles import together
from pycnn.emulator.ptx.statements import body

LOAD = """
    ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 8;
    add.u64 %rd1, %rd1, %rd2; ld.global.u64 %rd3, [%rd1];
"""
STORE = "st.global.u64 [%rd1], %rd4; ret;"
#: Half after half, as NVRTC writes it: what leads to the second stands behind the first.
HALVES = """
    cvt.u32.u64 %r2, %rd3;
    shfl.sync.bfly.b32 %r3|%p1, %r2, 16, 31, -1;
    shr.u64 %rd5, %rd3, 32; cvt.u32.u64 %r4, %rd5; cvt.u64.u32 %rd6, %r3;
    shfl.sync.bfly.b32 %r5|%p2, %r4, 16, 31, -1;
    cvt.u64.u32 %rd7, %r5; bfi.b64 %rd4, %rd7, %rd6, 32, 32;
"""


def groups(code: str) -> list[int]:
    """How many shuffles go together, each time."""
    text = entry(REGS + LOAD + code + STORE, ".param .u64 x")
    module = parse(text, "test.ptx")
    statements, found = together(body(module, module.functions["test"]))
    assert len(set(map(id, statements))) == len(statements)
    return [len(group) for group in found.values()]


@BOTH
def test_both_halves_of_a_value(checked):
    text = entry(REGS + LOAD + HALVES + STORE, ".param .u64 x")
    x = np.arange(32, dtype=np.uint64) * 0x1_0000_0001 + 0x7_0000_0000
    want = x[np.arange(32) ^ 16]
    run(text, (x,), block=32, checked=checked)
    np.testing.assert_array_equal(x, want)
    module = PtxModule(text, checked=checked)
    code = _translated(module, module._module.functions["test"]).text
    exchanges = [code.count(f"(i32 2, i32 {words}, ptr ") for words in (1, 2)]
    assert exchanges == ([2, 0] if checked else [0, 1])


@pytest.mark.parametrize(
    ("why", "code"),
    [
        ("a value of the first", """
            cvt.u32.u64 %r2, %rd3; shfl.sync.bfly.b32 %r3, %r2, 16, 31, -1;
            add.u32 %r4, %r3, 1; shfl.sync.bfly.b32 %r5, %r4, 16, 31, -1;
            mov.b64 %rd4, {%r5, %r3};"""),
        ("another lane", """
            cvt.u32.u64 %r2, %rd3; shfl.sync.bfly.b32 %r3, %r2, 16, 31, -1;
            shfl.sync.bfly.b32 %r5, %r2, 8, 31, -1; mov.b64 %rd4, {%r5, %r3};"""),
        ("another way", """
            cvt.u32.u64 %r2, %rd3; shfl.sync.up.b32 %r3, %r2, 1, 0, -1;
            shfl.sync.down.b32 %r5, %r2, 1, 0, -1; mov.b64 %rd4, {%r5, %r3};"""),
        ("a lane that changes", """
            cvt.u32.u64 %r2, %rd3; mov.u32 %r6, 1; shfl.sync.bfly.b32 %r3, %r2, %r6, 31, -1;
            add.u32 %r6, %r6, 1; shfl.sync.bfly.b32 %r5, %r2, %r6, 31, -1;
            mov.b64 %rd4, {%r5, %r3};"""),
        ("a store between", """
            cvt.u32.u64 %r2, %rd3; shfl.sync.bfly.b32 %r3, %r2, 1, 31, -1;
            st.global.u32 [%rd1], %r3; shfl.sync.bfly.b32 %r5, %r2, 1, 31, -1;
            mov.b64 %rd4, {%r5, %r3};"""),
    ],
    ids=lambda value: value if " " not in value[:2] and len(value) < 30 else "",
)  # fmt: skip
def test_what_stays_apart(why, code):
    assert groups(code) == []
    x = np.arange(32, dtype=np.uint64) * 0x1_0000_0003
    results = []
    for checked in (False, True):
        y = x.copy()
        text = entry(REGS + LOAD + code + STORE, ".param .u64 x")
        run(text, (y,), block=32, checked=checked)
        results.append(y)
    np.testing.assert_array_equal(*results)


def test_a_register_that_is_used_again():
    """An instruction that goes ahead must not change what the first shuffle reads."""
    code = """
        cvt.u32.u64 %r2, %rd3; shfl.sync.bfly.b32 %r3, %r2, 16, 31, -1;
        shr.u64 %rd5, %rd3, 32; cvt.u32.u64 %r2, %rd5;
        shfl.sync.bfly.b32 %r5, %r2, 16, 31, -1; mov.b64 %rd4, {%r3, %r5};
    """
    x = np.arange(32, dtype=np.uint64) * 0x1_0000_0001 + 0x7_0000_0000
    want = x[np.arange(32) ^ 16]
    run(entry(REGS + LOAD + code + STORE, ".param .u64 x"), (x,), block=32, checked=False)
    np.testing.assert_array_equal(x, want)


def test_copies_of_a_line_are_alike():
    """Half a warp may come by each: where one copy cannot be put together, none is."""
    files = '.file 1 "k.cu"\n'
    apart = HALVES.replace("shr.u64", "st.global.u64 [%rd1], %rd3; shr.u64")
    code = f"""
        setp.lt.u32 %p3, %r1, 16; @%p3 bra other; .loc 1 7 3
        {HALVES} bra done; other: .loc 1 7 3
        {{which}} done:
    """
    for which, count in ((HALVES, 2), (apart, 0)):
        text = entry(REGS + LOAD + code.format(which=which) + STORE, ".param .u64 x", before=files)
        assert text.startswith(HEAD)
        module = parse(text, "test.ptx")
        _, found = together(body(module, module.functions["test"]))
        assert len(found) == count
        x = np.arange(32, dtype=np.uint64) * 0x1_0000_0001 + 0x7_0000_0000
        want = x[np.arange(32) ^ 16]
        run(text, (x,), block=32, checked=False)
        np.testing.assert_array_equal(x, want)
