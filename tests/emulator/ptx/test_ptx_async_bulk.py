"""Bulk copies in a pipeline: right, silent, and each part of it needed."""

import numpy as np
import pytest
from ptx_run import BOTH, entry

from pycnn.emulator import (
    AsyncCopyError,
    DeadlockError,
    KernelError,
    MbarrierError,
    MisalignedAccessError,
    OutOfBoundsError,
    ProxyFenceError,
    PtxError,
    PtxModule,
    RaceError,
    UninitialisedReadError,
)

THREADS = 64
#: Two stages of 64 words each; full and empty barriers; a third buffer for the results.
HEAD = """
.reg .pred %p<9>; .reg .b16 %h<9>; .reg .b32 %r<40>; .reg .b64 %rd<30>;
.shared .align 128 .b8 stages[512]; .shared .align 128 .b8 results[256];
.shared .align 8 .b8 full[16]; .shared .align 8 .b8 empty[16];
ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; ld.param.u32 %r1, [tiles];
mov.u32 %r2, %tid.x; mov.u32 %r3, stages; mov.u32 %r4, results; mov.u32 %r5, full;
mov.u32 %r6, empty;
setp.ne.u32 %p1, %r2, 0;
@%p1 bra ready;
mbarrier.init.shared.b64 [%r5], 1; mbarrier.init.shared.b64 [%r5+8], 1;
mbarrier.init.shared.b64 [%r6], 64; mbarrier.init.shared.b64 [%r6+8], 64;
fence.proxy.async.shared::cta;
ready: bar.sync 0;
mov.u32 %r10, 0;
"""
#: Thread 0 loads tile after tile; all threads double what comes, and thread 0 stores it.
PIPELINE = (
    HEAD
    + """
next:
and.b32 %r11, %r10, 1; shr.u32 %r12, %r10, 1; and.b32 %r13, %r12, 1; xor.b32 %r14, %r13, 1;
mad.lo.u32 %r15, %r11, 256, %r3; mad.lo.u32 %r16, %r11, 8, %r5; mad.lo.u32 %r17, %r11, 8, %r6;
@%p1 bra consume;
free: mbarrier.try_wait.parity.shared.b64 %p2, [%r17], %r14; @!%p2 bra free;
mbarrier.arrive.expect_tx.shared.b64 _, [%r16], 256;
mad.wide.u32 %rd3, %r10, 256, %rd1;
cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r15], [%rd3], 256, [%r16];
consume:
come: mbarrier.try_wait.parity.shared.b64 %p2, [%r16], %r13; @!%p2 bra come;
mad.lo.u32 %r18, %r2, 4, %r15; ld.shared.u32 %r19, [%r18]; shl.b32 %r19, %r19, 1;
mbarrier.arrive.shared.b64 _, [%r17];
@%p1 bra write; cp.async.bulk.wait_group.read 0;
write: bar.sync 1, 64;
mad.lo.u32 %r18, %r2, 4, %r4; st.shared.u32 [%r18], %r19;
fence.proxy.async.shared::cta;
bar.sync 1, 64;
@%p1 bra stored;
mad.wide.u32 %rd4, %r10, 256, %rd2;
cp.async.bulk.global.shared::cta.bulk_group [%rd4], [%r4], 256;
cp.async.bulk.commit_group;
stored:
add.u32 %r10, %r10, 1; setp.lt.u32 %p3, %r10, %r1; @%p3 bra next;
@%p1 bra end; cp.async.bulk.wait_group 0;
end: ret;"""
)
PARAMETERS = ".param .u64 x, .param .u64 y, .param .u32 tiles"


def doubled(code: str = PIPELINE, checked: bool = True, tiles: int = 5, **settings) -> None:
    x = np.arange(THREADS * tiles, dtype=np.uint32)
    y = np.zeros_like(x)
    module = PtxModule(entry(code, PARAMETERS), checked=checked, timeout=20, **settings)
    module.get_function("test")((1,), (THREADS,), (x, y, tiles))
    np.testing.assert_array_equal(y, 2 * x)


@BOTH
@pytest.mark.parametrize("schedule", ["forward", "reverse", "random:1", "random:2", "random:3"])
def test_a_pipeline_of_two_stages(checked, schedule):
    doubled(checked=checked, schedule=schedule)


BUGS = {
    "no wait for the data": ("@!%p2 bra come;", "", AsyncCopyError, "read by thread"),
    "phase of the data flipped": (
        "[%r16], %r13; @!%p2", "[%r16], %r14; @!%p2", KernelError, r"asynchronous|can go on"),
    "phase of the stage flipped": (
        "[%r17], %r14; @!%p2", "[%r17], %r13; @!%p2", DeadlockError, "64 of 64 arrivals"),
    "too many bytes expected": (
        "[%r16], 256;\nmad", "[%r16], 272;\nmad", DeadlockError, "16 bytes have not come"),
    "too few bytes expected": (
        "[%r16], 256;\nmad", "[%r16], 240;\nmad", DeadlockError, "16 bytes more than"),
    "nobody frees the stage": (
        "mbarrier.arrive.shared.b64 _, [%r17];", "", DeadlockError, "64 of 64 arrivals pending"),
    "nothing expected": (
        "mbarrier.arrive.expect_tx.shared.b64 _, [%r16], 256;", "", DeadlockError,
        "1 of 1 arrivals pending, 256 bytes more"),
    "no proxy fence before the store": (
        "st.shared.u32 [%r18], %r19;\nfence.proxy.async.shared::cta;",
        "st.shared.u32 [%r18], %r19;",
        ProxyFenceError, "no fence.proxy.async between"),
    "no barrier before the store": (
        "fence.proxy.async.shared::cta;\nbar.sync 1, 64;", "fence.proxy.async.shared::cta;",
        (RaceError, UninitialisedReadError), "asynchronous operation"),
    "source written while it is read": (
        "cp.async.bulk.wait_group.read 0;", "", AsyncCopyError, r"write by thread .* reads"),
    "read too early of a group": (
        "cp.async.bulk.wait_group.read 0;", "cp.async.bulk.wait_group.read 1;", AsyncCopyError,
        "write by thread"),
    "no group": ("cp.async.bulk.commit_group;", "", AsyncCopyError, "write by thread"),
    "no wait at the end": ("cp.async.bulk.wait_group 0;", "", AsyncCopyError, "the block ends"),
    "no barrier behind the init": (
        "ready: bar.sync 0;", "ready:", (RaceError, MbarrierError), r"mbarrier|after a"),
    "a size that is no multiple of 16": (
        "[%r15], [%rd3], 256", "[%r15], [%rd3], 250", MisalignedAccessError, "250 bytes"),
    "a destination that is not aligned": (
        "[%r15], [%rd3], 256", "[%r15+8], [%rd3], 256", MisalignedAccessError, r"address .* 8"),
    "a box beyond shared memory": (
        "[%r15], [%rd3], 256", "[%r15+400], [%rd3], 256", OutOfBoundsError,
        "write of 256 bytes out of bounds"),
    "a tile beyond the array": (
        "mad.wide.u32 %rd3, %r10, 256, %rd1;", "mad.wide.u32 %rd3, %r10, 512, %rd1;",
        OutOfBoundsError, "past the end of argument 0"),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_each_part_is_needed(bug):
    old, new, error, match = BUGS[bug]
    assert PIPELINE.count(old) == 1, bug
    with pytest.raises(error, match=match) as caught:
        doubled(PIPELINE.replace(old, new))
    assert caught.value.line > 0


def test_a_report_names_both_lines():
    with pytest.raises(AsyncCopyError) as caught:
        doubled(PIPELINE.replace("@!%p2 bra come;", ""))
    lines = entry(PIPELINE.replace("@!%p2 bra come;", ""), PARAMETERS).splitlines()
    assert "ld.shared.u32 %r19" in lines[caught.value.line - 1]
    assert (
        "cp.async.bulk.shared::cluster"
        in lines[int(caught.value.other.split(":")[1].split(",")[0]) - 1]
    )


REDUCE = """
.reg .pred %p<9>; .reg .b32 %r<9>; .reg .b64 %rd<9>; .shared .align 16 .b8 tile[128];
ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; mov.u32 %r1, %tid.x;
mad.wide.u32 %rd3, %r1, 4, %rd1; ld.global.u32 %r2, [%rd3]; mov.u32 %r3, tile;
mad.lo.u32 %r4, %r1, 4, %r3; st.shared.u32 [%r4], %r2; fence.proxy.async; bar.sync 0;
setp.ne.u32 %p1, %r1, 0; @%p1 bra end;
cp.reduce.async.bulk.global.shared::cta.bulk_group.OP [%rd2], [%r3], 128;
cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;
end: ret;"""


@BOTH
@pytest.mark.parametrize(
    ("operation", "dtype", "function"),
    [
        ("add.u32", np.uint32, np.add), ("min.s32", np.int32, np.minimum),
        ("max.u64", np.uint64, np.maximum), ("add.f32", np.float32, np.add),
        ("add.noftz.f16", np.float16, np.add), ("min.f16", np.float16, np.minimum),
        ("add.f64", np.float64, np.add), ("xor.b32", np.uint32, np.bitwise_xor),
        ("and.b64", np.uint64, np.bitwise_and),
    ],
)  # fmt: skip
def test_reductions_of_blocks_into_one_tile(checked, operation, dtype, function):
    rng = np.random.default_rng(5)
    count = 128 // np.dtype(dtype).itemsize
    kind = np.dtype(dtype).kind
    x = rng.integers(0, 100, count).astype(dtype) if kind in "iu" else (
        rng.standard_normal(count).astype(dtype))  # fmt: skip
    y = (x[::-1] * dtype(3)).astype(dtype)
    want = y
    for _ in range(3):
        want = function(want, x)
    text = entry(REDUCE.replace("OP", operation), ".param .u64 x, .param .u64 y")
    PtxModule(text, checked=checked).get_function("test")((3,), (32,), (x, y))
    np.testing.assert_array_equal(y, want)


def test_no_proxy_fence_behind_a_write_that_was_read():
    """Barriers order the write and who reads it then, and the copy still may not see it."""
    bug = REDUCE.replace("OP", "add.u32").replace(
        "fence.proxy.async; bar.sync 0;", "bar.sync 0; ld.shared.u32 %r5, [%r4]; bar.sync 0;"
    )
    text = entry(bug, ".param .u64 x, .param .u64 y")
    x, y = np.zeros(32, np.uint32), np.zeros(32, np.uint32)
    with pytest.raises(ProxyFenceError, match=r"no fence\.proxy\.async between"):
        PtxModule(text, checked=True).get_function("test")((1,), (32,), (x, y))


def test_reductions_of_a_type_that_they_do_not_have():
    text = entry(REDUCE.replace("OP", "min.f32"), ".param .u64 x, .param .u64 y")
    with pytest.raises(PtxError, match=r"\.min goes with u32"):
        PtxModule(text).get_function("test")
