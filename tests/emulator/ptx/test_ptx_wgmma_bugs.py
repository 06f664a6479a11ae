"""``wgmma`` that is not waited for, not fenced, or given what it may not be given."""

import numpy as np
import pytest
from wgmma_run import descriptor, image, product

from pycnn.emulator import (
    AsyncCopyError,
    DeadlockError,
    DivergentCollectiveError,
    KernelError,
    MisalignedAccessError,
    OutOfBoundsError,
    ProxyFenceError,
    RaceError,
    UninitialisedReadError,
    WgmmaError,
)

RNG = np.random.default_rng(23)
OPCODE = "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16"
REST = ", 1, 1, 0, 0"
SECOND = f"{OPCODE} {{%d0, %d1, %d2, %d3}}, %rd4, %rd5, %p2{REST};"
COMMIT, FENCE = "wgmma.commit_group.sync.aligned;", "wgmma.fence.sync.aligned;"
WAIT = "wgmma.wait_group.sync.aligned {};"
A, B = RNG.standard_normal((64, 16)), RNG.standard_normal((8, 16))
A, B = A.astype(np.float16), B.astype(np.float16)
MEMORY = np.concatenate([image(x, 128, False, 16, 1024)[:8192] for x in (A, B)])
FIRST, LAST = descriptor(0, swizzle=128), descriptor(8192, swizzle=128)
WANT = A.astype(np.float64) @ B.astype(np.float64).T


def launch(first=FIRST, second=LAST, **settings):
    settings = {"rest": REST, "add": 0, **settings}
    return product(OPCODE, MEMORY, first, second, None, 8, np.float32, **settings)


def test_nothing_is_wrong():
    for schedule in ("forward", "reverse", "random:3"):
        np.testing.assert_array_equal(launch(schedule=schedule), WANT.astype(np.float32))
    launch(threads=256)
    twice = SECOND + COMMIT + WAIT.format(0)
    got = launch(add=1, wait=twice)
    np.testing.assert_allclose(got, 2 * WANT, rtol=1e-6)
    # Of two groups one may be under way; then copies may be made, but nothing else.
    launch(wait=COMMIT + WAIT.format(1))
    launch(wait="mov.b32 %a0, %d0; mov.b32 %d0, %a0;" + WAIT.format(0))
    # Some other warp of the warpgroup has waited, and the memory may be written.
    store = "setp.eq.u32 %p3, %r1, 0; @%p3 st.shared.u32 [tile+8192], %r1;"
    launch(wait=WAIT.format(0) + store)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"fence": ""}, WgmmaError, "no wgmma.fence"),
        ({"fence": FENCE + "add.f32 %d2, %d2, %d2;"}, WgmmaError, "no wgmma.fence"),
        ({"fence": FENCE + "shl.b32 %a1, %a1, 1;", "a": A, "rest": ", 1, 1, 0"}, WgmmaError,
         "no wgmma.fence"),
        ({"wait": ""}, WgmmaError, "no wgmma.wait_group has waited"),
        ({"wait": WAIT.format(1)}, WgmmaError, "no wgmma.wait_group has waited"),
        ({"wait": SECOND + WAIT.format(0)}, WgmmaError, "no wgmma.wait_group has waited"),
        ({"wait": SECOND + COMMIT + WAIT.format(1)}, WgmmaError, "no wgmma.wait_group has waited"),
        ({"wait": WAIT.format(0) + "neg.f32 %d0, %d0;" + SECOND}, WgmmaError, "no wgmma.fence"),
        ({"wait": "mov.b32 %a0, %d0; add.f32 %a1, %a0, %a0;"}, WgmmaError, "has waited"),
        ({"proxy": ""}, ProxyFenceError, "no fence.proxy.async"),
        ({"proxy": "membar.cta;"}, ProxyFenceError, "async"),
        ({"wait": "st.shared.u32 [tile+8192], %r1;" + WAIT.format(0)}, KernelError, "asynchronous"),
        ({"first": descriptor(128, swizzle=128)}, MisalignedAccessError, "128 bytes past"),
        ({"second": descriptor(8192, swizzle=64, base=1)}, MisalignedAccessError, "base offset 1"),
        ({"second": descriptor(15360, stride=128)}, None, ""),
        ({"second": descriptor(16384, swizzle=128)}, OutOfBoundsError, "past the end"),
        ({"first": descriptor(0, stride=8192, swizzle=128)}, OutOfBoundsError, "past the end"),
        ({"second": LAST | 1 << 46}, WgmmaError, "mean nothing"),
        ({"threads": 64}, DivergentCollectiveError, "four warps"),
        ({"threads": 192}, DivergentCollectiveError, "four warps"),
        (
            {"fence": FENCE + "setp.lt.u32 %p3, %r1, 96; @!%p3 bra end;", "wait": WAIT.format(0)
             + "end:"}, DeadlockError, "threads 0-95 wait at wgmma.wait_group",
        ),
        (
            {"fence": FENCE + "cvt.u64.u32 %rd10, %r1; and.b64 %rd10, %rd10, 32; shr.b64 %rd10,"
             "%rd10, 4; add.u64 %rd5, %rd5, %rd10;"}, DivergentCollectiveError, "other matrices",
        ),
        (
            {"fence": FENCE + "cvt.u64.u32 %rd10, %r1; and.b64 %rd10, %rd10, 1; add.u64 %rd5,"
             "%rd5, %rd10;"}, DivergentCollectiveError, "different matrices or scales",
        ),
    ],
)  # fmt: skip
def test_bugs(settings, error, message):
    for schedule in ("forward", "reverse"):
        if error is None:
            launch(**settings, schedule=schedule)
            continue
        with pytest.raises(error, match=message):
            launch(**settings, schedule=schedule)


def test_memory_that_is_not_ordered():
    text = "bar.sync 0;"  # of the kernel, which then has none between copy and product
    with pytest.raises((RaceError, UninitialisedReadError)):
        launch(proxy="fence.proxy.async; bra on; " + text + " on: bra further;", fence="further:"
               + FENCE)  # fmt: skip


def test_memory_that_is_written_too_early():
    store = "setp.eq.u32 %p3, %r1, 127; @%p3 st.shared.u32 [tile+8192], %r1;"
    with pytest.raises((AsyncCopyError, RaceError), match="asynchronous operation"):
        launch(wait=store + WAIT.format(0))
