"""Shuffles, votes and what else lanes do together, against the pseudo code of the ISA."""

import numpy as np
import pytest
from ptx_run import entry, run

RNG = np.random.default_rng(11)


def lanes(code: str, x: np.ndarray, outputs: int = 1, threads: int = 32, checked: bool = True):
    """%r2.. as `code` makes them of the lane's %r1."""
    body = f"""
    .reg .pred %p<9>; .reg .b32 %r<9>; .reg .b64 %rd<9>;
    ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [out];
    mov.u32 %r0, %tid.x; mad.wide.u32 %rd3, %r0, 4, %rd1; ld.global.u32 %r1, [%rd3];
    {code}
    mad.wide.u32 %rd4, %r0, {4 * outputs}, %rd2;
    {" ".join(f"st.global.u32 [%rd4+{4 * k}], %r{2 + k};" for k in range(outputs))}
    ret;"""
    out = np.zeros((threads, outputs), np.uint32)
    run(entry(body, ".param .u64 x, .param .u64 out"), (x, out), block=threads, checked=checked)
    return out


def shuffled(mode, values, b, c):
    """The ISA's pseudo code: source lane and whether it is in range."""
    found = []
    for lane in range(32):
        bval, cval, segment = b & 31, c & 31, c >> 8 & 31
        highest = lane & segment | cval & ~segment
        lowest = lane & segment
        if mode == "up":
            j = lane - bval
            inside = j >= highest
        elif mode == "down":
            j = lane + bval
            inside = j <= highest
        elif mode == "bfly":
            j = lane ^ bval
            inside = j <= highest
        else:
            j = lowest | bval & ~segment
            inside = j <= highest
        found.append((values[j if inside else lane], int(inside)))
    return found


@pytest.mark.parametrize("mode", ["up", "down", "bfly", "idx"])
def test_shuffles(mode):
    x = RNG.integers(0, 1 << 32, 32, np.uint32)
    for width in (32, 16, 8, 2):
        c = (32 - width) << 8 | (0 if mode == "up" else 31)
        for b in (0, 1, 3, 8, 17, 31):
            code = f"shfl.sync.{mode}.b32 %r2|%p1, %r1, {b}, {c}, -1; selp.u32 %r3, 1, 0, %p1;"
            got = lanes(code, x, 2, checked=width == 8)
            np.testing.assert_array_equal(got, shuffled(mode, x, b, c), f"{b} {width}")


def test_votes_and_matches():
    x = RNG.integers(0, 4, 32).astype(np.uint32)
    code = """setp.eq.u32 %p1, %r1, 1; vote.sync.ballot.b32 %r2, %p1, -1;
    vote.sync.any.pred %p2, %p1, -1; selp.u32 %r3, 1, 0, %p2;
    vote.sync.all.pred %p3, !%p1, -1; selp.u32 %r4, 1, 0, %p3;
    match.any.sync.b32 %r5, %r1, -1; match.all.sync.b32 %r6|%p4, %r1, -1;
    vote.sync.uni.pred %p5, %p1, -1; selp.u32 %r7, 1, 0, %p5;"""
    got = lanes(code, x, 6)
    ballot = sum(1 << i for i in range(32) if x[i] == 1)
    assert (got[:, 0] == ballot).all()
    assert (got[:, 1] == (ballot != 0)).all()
    assert (got[:, 2] == (ballot == 0)).all()
    assert [int(v) for v in got[:, 3]] == [sum(1 << j for j in range(32) if x[j] == v) for v in x]
    assert (got[:, 4] == 0).all()
    assert (got[:, 5] == 0).all()
    same = lanes(code, np.full(32, 3, np.uint32), 6)
    assert (same[:, 4] == 0xFFFFFFFF).all()
    assert (same[:, 5] == 1).all()


def test_reductions_within_a_warp():
    x = RNG.integers(0, 1 << 32, 32, np.uint32)
    s = x.view(np.int32)
    table = {
        "add.u32": int(x.astype(np.uint64).sum()) & 0xFFFFFFFF,
        "min.u32": x.min(), "max.u32": x.max(),
        "min.s32": s.min().view(np.uint32), "max.s32": s.max().view(np.uint32),
        "and.b32": np.bitwise_and.reduce(x), "or.b32": np.bitwise_or.reduce(x),
        "xor.b32": np.bitwise_xor.reduce(x),
    }  # fmt: skip
    for name, want in table.items():
        assert (lanes(f"redux.sync.{name} %r2, %r1, -1;", x) == want).all(), name


def test_barriers_count_and_combine():
    x = np.arange(96, dtype=np.uint32)
    code = """setp.lt.u32 %p1, %r1, 40; bar.red.popc.u32 %r2, 0, %p1;
    barrier.sync.aligned 0;
    bar.red.or.pred %p2, 0, %p1; selp.u32 %r3, 1, 0, %p2;
    barrier.cta.red.aligned.and.pred %p3, 0, %p1; selp.u32 %r4, 1, 0, %p3; bar.warp.sync -1;"""
    got = lanes(code, x, 3, threads=96)
    np.testing.assert_array_equal(got, np.broadcast_to([40, 1, 0], (96, 3)))


def test_one_lane_is_elected():
    x = np.zeros(32, np.uint32)
    code = """mov.u32 %r2, 0; mov.u32 %r3, 0; setp.lt.u32 %p1, %r0, 8; @%p1 bra done;
    elect.sync %r3|%p2, 0xffffff00; selp.u32 %r2, 1, 0, %p2; done:"""
    got = lanes(code, x, 2)
    np.testing.assert_array_equal(got[:, 0], np.arange(32) == 8)
    np.testing.assert_array_equal(got[8:, 1], 8)
