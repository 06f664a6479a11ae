"""Barriers that only some threads wait at: named ones of a block, and those in shared memory."""

import numpy as np
import pytest
from ptx_run import BOTH, entry, run

from pycnn.emulator import (
    DeadlockError,
    DivergentBarrierError,
    MbarrierError,
    PtxError,
    PtxModule,
    RaceError,
)

REGS = """
.reg .pred %p<9>; .reg .b32 %r<30>; .reg .b64 %rd<30>;
.shared .align 4 .b8 tile[512]; .shared .align 8 .b8 bars[64];
ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mad.wide.u32 %rd2, %r1, 4, %rd1;
mov.u32 %r2, tile; mad.lo.u32 %r3, %r1, 4, %r2; mov.u32 %r4, bars;
"""

# Warp 0 fills the tile, warp 1 reads it, twice.
NAMED = """
setp.ge.u32 %p1, %r1, 32; mov.u32 %r9, 0;
@%p1 bra consumer;
again: add.u32 %r5, %r1, %r9; bar.sync 1, 64; st.shared.u32 [%r3], %r5; bar.arrive 2, 64;
add.u32 %r9, %r9, 100; setp.lt.u32 %p2, %r9, 200; @%p2 bra again;
ret;
consumer: sub.u32 %r6, %r3, 128;
more: bar.arrive 1, 64; bar.sync 2, 64; ld.shared.u32 %r7, [%r6]; add.u32 %r8, %r8, %r7;
add.u32 %r9, %r9, 100; setp.lt.u32 %p2, %r9, 200; @%p2 bra more;
st.global.u32 [%rd2], %r8;
ret;"""


def threads(code: str, checked: bool = True, block: int = 64, before: str = "", **settings):
    """What each thread writes to its element."""
    out = np.zeros(block, np.uint32)
    text = entry(REGS + code, ".param .u64 out", before=before)
    kernel = PtxModule(text, checked=checked, timeout=20, **settings).get_function("test")
    kernel((1,), (block,), (out,))
    return out


@BOTH
@pytest.mark.parametrize("schedule", ["forward", "reverse", "random:3"])
def test_a_warp_fills_and_another_reads(checked, schedule):
    got = threads(NAMED, checked, schedule=schedule)
    np.testing.assert_array_equal(got[32:], 2 * np.arange(32) + 100)


@pytest.mark.parametrize(
    "without", ["bar.sync 2, 64;", "bar.arrive 2, 64;", "bar.sync 1, 64;", "bar.arrive 1, 64;"]
)
def test_each_named_barrier_is_needed(without):
    with pytest.raises((RaceError, DeadlockError, DivergentBarrierError)) as caught:
        threads(NAMED.replace(without, ""))
    if "arrive" in without:
        assert "barrier" in str(caught.value)
        assert "of 64 threads have arrived" in str(caught.value)


def test_named_barriers_of_a_wrong_count():
    with pytest.raises(DivergentBarrierError, match="of 96 threads; allowed: multiples of 32"):
        threads(NAMED.replace("bar.sync 2, 64", "bar.sync 2, 96"))
    with pytest.raises(DivergentBarrierError, match="of 33 threads; allowed"):
        threads(NAMED.replace("bar.sync 2, 64", "bar.sync 2, 33"))
    with pytest.raises(DivergentBarrierError, match=r"is of 32 threads here, and of 64|again"):
        threads(NAMED.replace("bar.arrive 2, 64", "bar.arrive 2, 32"))
    with pytest.raises(DivergentBarrierError, match="thread 0 arrives at barrier 1 again"):
        threads("bar.arrive 1, 64; bar.arrive 1, 64; ret;")
    with pytest.raises(PtxError, match="barrier 16; allowed: 0 to 15"):
        threads("bar.sync 16; ret;")
    with pytest.raises(DivergentBarrierError, match="barrier 17; allowed: 0 to 15"):
        threads("mov.u32 %r9, 17; bar.sync %r9; ret;")


TWO_ARMS = """setp.lt.u32 %p1, %r1, 16;
@%p1 bra low;
BAR;
ret;
low:
BAR;
ret;"""
HALF_WARPS = """and.b32 %r9, %r1, 16; setp.ne.u32 %p1, %r9, 0;
@%p1 bra end;
BAR;
end: ret;"""


@pytest.mark.parametrize(
    ("code", "count", "message"),
    [
        (TWO_ARMS, 64, "lanes of one warp are at different instructions of barrier 1: lane 16"),
        (HALF_WARPS, 32, "is for a whole warp, lane 16 of warp 1 has not come to it"),
    ],
)
def test_a_warp_comes_to_an_aligned_barrier_as_one(code, count, message):
    for aligned in ("bar.sync", "barrier.sync.aligned"):
        with pytest.raises(DivergentBarrierError, match=message):
            threads(code.replace("BAR", f"{aligned} 1, {count}"))
    threads(code.replace("BAR", f"barrier.sync 1, {count}"))
    threads(code.replace("BAR", f"bar.sync 1, {count}"), checked=False)


def test_lanes_that_have_exited_are_not_waited_for():
    threads(
        "setp.eq.u32 %p1, %r1, 40; @%p1 exit; bar.sync 1, 63; ret;".replace("63", "64"), block=65
    )


@BOTH
def test_named_barriers_count_and_combine(checked):
    code = """setp.lt.u32 %p1, %r1, 64; @%p1 bra first; bar.red.popc.u32 %r9, 3, 32, %p1;
    st.global.u32 [%rd2], %r9; ret;
    first: setp.lt.u32 %p2, %r1, 40; barrier.cta.red.popc.u32 %r9, 5, 64, %p2;
    barrier.red.and.pred %p3, 5, 64, %p2; barrier.red.or.pred %p4, 5, 64, %p2;
    selp.u32 %r10, 100, 0, %p3; selp.u32 %r11, 1000, 0, %p4;
    add.u32 %r9, %r9, %r10; add.u32 %r9, %r9, %r11; st.global.u32 [%rd2], %r9; ret;"""
    got = threads(code, checked, block=96)
    np.testing.assert_array_equal(got, np.repeat([1040, 0], [64, 32]))


@BOTH
def test_all_threads_of_the_block_at_another_number(checked):
    code = """st.shared.u32 [%r3], %r1; bar.sync 7; xor.b32 %r9, %r3, 128; ld.shared.u32 %r8, [%r9];
    barrier.sync 7, 64; st.shared.u32 [%r3], %r8; barrier.sync.aligned 0;
    ld.shared.u32 %r8, [%r9]; st.global.u32 [%rd2], %r8; ret;"""
    got = threads(code.replace("%r3, 128", "%r3, 64"), checked)
    np.testing.assert_array_equal(got, np.arange(64))
    if checked:
        with pytest.raises(RaceError):
            threads(code.replace("bar.sync 7;", ""))


# Thread 0 makes two barriers, full and empty; warp 0 fills what warp 1 reads, four times.
MADE = """setp.ne.u32 %p1, %r1, 0; @%p1 bra made;
mbarrier.init.shared.b64 [%r4], 32; mbarrier.init.shared::cta.b64 [%r4+8], 32;
made: bar.sync 0;
"""
PIPELINE = (
    MADE
    + """
mov.u32 %r9, 0; mov.u32 %r20, 0; setp.ge.u32 %p1, %r1, 32; @%p1 bra consumer;
again: and.b32 %r10, %r9, 1; xor.b32 %r11, %r10, 1;
empty: mbarrier.try_wait.parity.shared.b64 %p3, [%r4+8], %r11; @!%p3 bra empty;
mad.lo.u32 %r5, %r9, 100, %r1; st.shared.u32 [%r3], %r5;
mbarrier.arrive.shared.b64 _, [%r4];
add.u32 %r9, %r9, 1; setp.lt.u32 %p2, %r9, 4; @%p2 bra again;
ret;
consumer: sub.u32 %r6, %r3, 128;
more: and.b32 %r10, %r9, 1;
full: mbarrier.test_wait.parity.acquire.cta.shared::cta.b64 %p3, [%r4], %r10; @!%p3 bra full;
ld.shared.u32 %r7, [%r6]; add.u32 %r20, %r20, %r7;
mbarrier.arrive.release.cta.shared::cta.b64 %rd3, [%r4+8];
add.u32 %r9, %r9, 1; setp.lt.u32 %p2, %r9, 4; @%p2 bra more;
st.global.u32 [%rd2], %r20;
ret;"""
)


@BOTH
@pytest.mark.parametrize("schedule", ["forward", "reverse", "random:1", "random:2"])
def test_phases_of_full_and_empty(checked, schedule):
    got = threads(PIPELINE, checked, schedule=schedule)
    np.testing.assert_array_equal(got[32:], 4 * np.arange(32) + 600)


@pytest.mark.parametrize(
    ("old", "new", "error", "match"),
    [
        ("bar.sync 0;", "", (RaceError, MbarrierError), "with no barrier"),
        ("@!%p3 bra empty;", "", MbarrierError, "phase 1 .* arrivals run ahead"),
        ("@!%p3 bra full;", "", RaceError, "read by thread"),
        ("xor.b32 %r11, %r10, 1;", "mov.u32 %r11, %r10;", DeadlockError, "32 of 32 arrivals"),
        ("more: and.b32 %r10, %r9, 1;", "more: xor.b32 %r10, %r9, 1; and.b32 %r10, %r10, 1;",
         (RaceError, DeadlockError), r"by thread|can go on"),
        ("mbarrier.arrive.release.cta.shared::cta.b64 %rd3, [%r4+8];", "", DeadlockError,
         "phase 0, 32 of 32 arrivals pending"),
        ("mbarrier.arrive.shared.b64 _, [%r4];", "", DeadlockError, "mbarrier at byte 0 of shared"),
        ("mbarrier.init.shared.b64 [%r4], 32;", "mbarrier.init.shared.b64 [%r4], 64;",
         DeadlockError, "32 of 64 arrivals pending"),
        ("mbarrier.init.shared.b64 [%r4], 32;", "mbarrier.init.shared.b64 [%r4], 16;",
         (RaceError, MbarrierError, DeadlockError), "."),
        ("mbarrier.init.shared.b64 [%r4], 32;", "", MbarrierError, "holds no mbarrier"),
        ("test_wait.parity.acquire", "test_wait.parity.relaxed", RaceError, "by thread"),
        ("mbarrier.arrive.release.cta", "mbarrier.arrive.relaxed.cta", RaceError, "by thread"),
    ],
)  # fmt: skip
def test_each_part_of_it_is_needed(old, new, error, match):
    assert old in PIPELINE
    with pytest.raises(error, match=match):
        threads(PIPELINE.replace(old, new))


#: Thread 0 makes a barrier and is the one that arrives; all wait.
OWN_ARRIVAL = """setp.ne.u32 %p1, %r1, 0; @%p1 bra made; mbarrier.init.shared.b64 [%r4], 1; FENCE
made: bar.sync 0; @%p1 bra wait; mbarrier.arrive.shared.b64 _, [%r4];
wait: mbarrier.try_wait.parity.shared.b64 %p2, [%r4], 0; @!%p2 bra wait;
st.global.u32 [%rd2], %r1; ret;"""
#: Thread 0 makes a barrier and does not use it; thread 1 is the one that arrives.
FIRST_USE = OWN_ARRIVAL.replace("@%p1 bra wait;", "setp.ne.u32 %p3, %r1, 1; @%p3 bra wait;")


@pytest.mark.parametrize("code", [OWN_ARRIVAL, FIRST_USE])
@pytest.mark.parametrize(
    "fence", ["", "fence.mbarrier_init.release.cluster;", "fence.acq_rel.cta;"]
)
@pytest.mark.parametrize("schedule", ["forward", "reverse", "random:1", "random:2"])
def test_an_init_is_there_for_others_behind_a_barrier_only(code, fence, schedule):
    """Fences and arrivals of its maker order nothing for who may come before any of them."""
    code = code.replace("FENCE", fence)
    for block in (2, 32, 64):
        np.testing.assert_array_equal(
            threads(code, block=block, schedule=schedule), np.arange(block)
        )
        with pytest.raises((RaceError, MbarrierError), match=r"no barrier|no mbarrier"):
            threads(code.replace("bar.sync 0;", ""), block=block, schedule=schedule)
    warp = code.replace("bar.sync 0;", "bar.warp.sync -1;")
    np.testing.assert_array_equal(threads(warp, block=32, schedule=schedule), np.arange(32))
    with pytest.raises((RaceError, MbarrierError)):
        threads(warp, block=64, schedule=schedule)


@BOTH
def test_arrivals_drop_and_return_states(checked):
    code = (
        MADE
        + """@%p1 bra other;
    mbarrier.init.shared.b64 [%r4+16], 3;
    mbarrier.arrive.shared.b64 %rd3, [%r4+16]; mbarrier.pending_count.b64 %r5, %rd3;
    mbarrier.arrive_drop.shared.b64 %rd4, [%r4+16], 1; mbarrier.pending_count.b64 %r6, %rd4;
    mbarrier.test_wait.shared.b64 %p2, [%r4+16], %rd3; selp.u32 %r7, 100, 0, %p2;
    mbarrier.arrive.noComplete.shared.b64 %rd5, [%r4+24], 1;
    mbarrier.arrive.shared.b64 %rd5, [%r4+16];
    mbarrier.try_wait.shared.b64 %p2, [%r4+16], %rd3, 1000; selp.u32 %r8, 1000, 0, %p2;
    mbarrier.arrive.shared.b64 %rd6, [%r4+16], 2;
    mbarrier.try_wait.shared.b64 %p2, [%r4+16], %rd6; selp.u32 %r9, 10000, 0, %p2;
    mbarrier.inval.shared.b64 [%r4+16]; mbarrier.init.shared.b64 [%r4+16], 1;
    mad.lo.u32 %r5, %r5, 10, %r6; add.u32 %r5, %r5, %r7; add.u32 %r5, %r5, %r8;
    add.u32 %r5, %r5, %r9; st.global.u32 [%rd1], %r5;
    other: ret;"""
    )
    code = code.replace(
        "mbarrier.init.shared.b64 [%r4+16], 3;",
        "mbarrier.init.shared.b64 [%r4+16], 3; mbarrier.init.shared.b64 [%r4+24], 2;",
    )
    assert threads(code, checked)[0] == 11032


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("mbarrier.init.shared.b64 [%r4], 3;", "init of byte 0 .* where one is in use"),
        ("mbarrier.init.shared.b64 [%r4+16], %r1;", "init with 0 arrivals"),
        ("mbarrier.arrive.shared.b64 %rd3, [%r4], 33;", "33 arrivals on the mbarrier .* 32 of 32"),
        ("mbarrier.arrive.noComplete.shared.b64 %rd3, [%r4], 32;", "completes the phase"),
        ("mbarrier.inval.shared.b64 [%r4]; mbarrier.arrive.shared.b64 _, [%r4];", "no mbarrier"),
        ("mbarrier.arrive.shared.b64 _, [%r4+16];", "byte 16 .* holds no mbarrier"),
        ("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r4], 1048575; "
         "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r4], 1;", "1048576 bytes"),
        ("mov.b64 %rd3, 5242880; mbarrier.test_wait.shared.b64 %p2, [%r4], %rd3;",
         "a wait for phase 5"),
    ],
)  # fmt: skip
def test_misuse_of_a_barrier_is_reported(code, match):
    with pytest.raises(MbarrierError, match=match):
        threads(MADE + f"@%p1 bra end; {code} end: ret;")


def test_numbers_of_arrivals_are_limited():
    with pytest.raises(PtxError, match="0 arrivals; allowed: 1 to 1048575"):
        threads("mbarrier.init.shared.b64 [%r4], 0; ret;")


@BOTH
def test_expected_bytes_hold_a_phase(checked):
    code = (
        MADE
        + """setp.ne.u32 %p1, %r1, 0; @%p1 bra other;
    mbarrier.init.shared.b64 [%r4+16], 1; st.shared.u32 [%r3], 7;
    mbarrier.arrive.expect_tx.shared.b64 %rd3, [%r4+16], 48;
    mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r4+16], 16;
    mbarrier.test_wait.shared.b64 %p2, [%r4+16], %rd3; selp.u32 %r5, 1, 0, %p2;
    mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r4+16], 32;
    mbarrier.test_wait.shared.b64 %p2, [%r4+16], %rd3; selp.u32 %r6, 2, 0, %p2;
    add.u32 %r5, %r5, %r6; st.global.u32 [%rd1], %r5;
    other: ret;"""
    )
    assert threads(code, checked)[0] == 2


COPIES = (
    MADE
    + """
mad.wide.u32 %rd3, %r1, 4, %rd1;
cp.async.ca.shared.global [%r3], [%rd3], 4; cp.async.mbarrier.arrive.noinc.shared.b64 [%r4+16];
wait: mbarrier.try_wait.parity.shared.b64 %p3, [%r4+16], 0; @!%p3 bra wait;
xor.b32 %r5, %r3, 4; ld.shared.u32 %r6, [%r5]; bar.sync 0;
st.global.u32 [%rd2], %r6; ret;"""
).replace(
    "mbarrier.init.shared.b64 [%r4], 32;",
    "mbarrier.init.shared.b64 [%r4], 32; mbarrier.init.shared.b64 [%r4+16], 64;",
)


@BOTH
def test_copies_arrive_at_a_barrier(checked):
    out = np.arange(64, dtype=np.uint32)
    run(entry(REGS + COPIES, ".param .u64 out"), (out,), block=64, checked=checked)
    np.testing.assert_array_equal(out, np.arange(64) ^ 1)


@pytest.mark.parametrize(
    "without", ["@!%p3 bra wait;", "cp.async.mbarrier.arrive.noinc.shared.b64 [%r4+16];"]
)
def test_copies_that_nobody_waits_for(without):
    out = np.arange(64, dtype=np.uint32)
    with pytest.raises(RuntimeError, match=r"asynchronous copy|can go on|write by"):
        run(entry(REGS + COPIES.replace(without, ""), ".param .u64 out"), (out,), block=64)


def test_what_has_no_effect_is_checked_all_the_same():
    threads("setmaxnreg.inc.sync.aligned.u32 232; griddepcontrol.wait; nanosleep.u32 20;"
            "griddepcontrol.launch_dependents; fence.acq_rel.cluster; ret;")  # fmt: skip
    for count in (20, 25, 264):
        with pytest.raises(PtxError, match="multiple of 8 from 24 to 256"):
            threads(f"setmaxnreg.dec.sync.aligned.u32 {count}; ret;")
