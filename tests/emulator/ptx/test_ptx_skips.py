"""Branches over a little arithmetic, which the fast build does in any case."""

import numpy as np
import pytest
from ptx_run import each, entry, run

from pycnn.emulator import PtxModule
from pycnn.emulator.ptx.module import _translated

X = np.array([-2.5, -1.0, -0.0, 0.5, 3.0, np.inf, np.nan], np.float32)
REGS = ".reg .b32 %r<8>; .reg .f32 %f<4>; .reg .b64 %rd<4>; .reg .pred %p<3>;"


def branches(text: str) -> int:
    module = PtxModule(text)
    code = _translated(module, module._module.functions["test"]).text
    return code.partition('@"test"')[2].count("  br i1 ")


@pytest.mark.parametrize("checked", [False, True])
def test_results_are_chosen(checked):
    """Registers of each kind, written once, twice and from themselves."""
    code = """
        setp.lt.f32 %p1, %a, 0f00000000; mov.b32 %d, %a; mov.u32 %t1, 7;
        setp.eq.u32 %p2, %t1, 7;
        @%p1 bra after;
        add.f32 %d, %d, 0f3F800000; mul.f32 %d, %d, %a; add.u32 %t1, %t1, 1;
        setp.eq.u32 %p2, %t1, 7;
        after: @%p2 add.f32 %d, %d, 0f42C80000;
    """
    got = each(code, np.float32, X, checked=checked)
    with np.errstate(invalid="ignore"):
        want = np.where(X < 0, X + np.float32(100), (X + 1) * X)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("guard", "want"), [("@%p1", [1, 1, 1, 0]), ("@!%p1", [0, 0, 0, 11])])
def test_a_guard_and_its_opposite(guard, want):
    """The predicate may change within what is branched over."""
    code = (
        f"setp.lt.u32 %p1, %a, 3; mov.u32 %d, 1; {guard} bra after; setp.lt.u32 %p1, %a, 9;"
        "mov.u32 %d, 0; after: @!%p1 add.u32 %d, %d, 10;"
    )
    a = np.arange(4, dtype=np.uint32)
    np.testing.assert_array_equal(each(code, np.uint32, a), want)


def test_a_label_that_others_lead_to():
    """Within a loop, to whose end two branches lead, one over arithmetic."""
    body = (
        REGS + "ld.param.u64 %rd1, [x]; mov.u32 %r1, 0; mov.u32 %r2, 0;"
        "again: setp.eq.u32 %p1, %r1, 3; @%p1 bra next; ld.global.u32 %r3, [%rd1];"
        "setp.gt.u32 %p1, %r1, 5; @%p1 bra next; add.u32 %r2, %r2, %r1;"
        "next: add.u32 %r1, %r1, 1; setp.lt.u32 %p1, %r1, 9; @%p1 bra again;"
        "st.global.u32 [%rd1], %r2; ret;"
    )
    x = np.zeros(1, np.uint32)
    run(entry(body, ".param .u64 x"), (x,), checked=False)
    assert x[0] == 0 + 1 + 2 + 4 + 5


@pytest.mark.parametrize(
    ("skipped", "left"),
    [
        ("add.f32 %f1, %f1, %f1; fma.rn.f32 %f1, %f1, %f1, %f1;", 0),
        ("div.rn.f32 %f1, %f1, %f1; ex2.approx.ftz.f32 %f1, %f1;", 0),
        ("add.u32 %r1, %r1, 1;" * 32, 0),
        ("add.u32 %r1, %r1, 1;" * 33, 1),
        ("div.u32 %r1, %r1, %r2;", 1),
        ("add.cc.u32 %r1, %r1, %r2;", 1),
        ("ld.global.u32 %r1, [%rd1];", 1),
        ("st.global.u32 [%rd1], %r1;", 1),
        ("bar.sync 0;", 1),
    ],
)
def test_what_is_done_in_any_case(skipped, left):
    """Only what is quick, has no effect and touches no memory."""
    body = REGS + f"ld.param.u64 %rd1, [x]; setp.eq.u32 %p1, %r2, 0; @%p1 bra end; {skipped} end: "
    text = entry(body + "st.global.u32 [%rd1], %r1; st.global.f32 [%rd1], %f1; ret;",
                 ".param .u64 x")  # fmt: skip
    assert branches(text) == left
