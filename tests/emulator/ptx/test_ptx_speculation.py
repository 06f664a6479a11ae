"""Loads that the compiler moved out of conditions."""

import numpy as np
import pytest
from ptx_run import REGS, entry, run

from pycnn.emulator import PtxModule, RaceError, UninitialisedReadError

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
    module = PtxModule(entry(body, ".param .u64 x, .param .u32 given"), checked=True)
    x = np.zeros(1, np.float32)
    module.get_function("test")((1,), (1,), (x, 0))
    assert x[0] == 1
    with pytest.raises(UninitialisedReadError):
        module.get_function("test")((1,), (1,), (x, 1))
