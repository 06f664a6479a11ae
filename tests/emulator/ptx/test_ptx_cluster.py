"""Clusters: registers, addresses and shared memory of other blocks, their barrier, multicast."""

import numpy as np
import pytest
from ptx_run import BOTH, entry

from pycnn.emulator import (
    DeadlockError,
    DivergentBarrierError,
    KernelError,
    MbarrierError,
    OutOfBoundsError,
    ProxyFenceError,
    PtxModule,
    RaceError,
    tensor_map,
)

SCHEDULES = pytest.mark.parametrize("schedule", ["forward", "reverse", "random:1", "random:2"])
REGS = """
.reg .pred %p<9>; .reg .b16 %h<9>; .reg .b32 %r<40>; .reg .b64 %rd<30>;
.shared .align 128 .b8 tile[256]; .shared .align 8 .b8 bars[32];
ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y];
mov.u32 %r1, %tid.x; mov.u32 %r2, %cluster_ctarank; mov.u32 %r3, tile; mov.u32 %r4, bars;
mad.lo.u32 %r5, %r1, 4, %r3; mov.u32 %r6, %ctaid.x; mov.u32 %r7, %ntid.x;
mad.lo.u32 %r8, %r6, %r7, %r1; mad.wide.u32 %rd3, %r8, 4, %rd1; mad.wide.u32 %rd4, %r8, 4, %rd2;
"""
SYNC = "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;"


def launch(code, cluster=2, blocks=4, threads=32, checked=True, attribute=True, **settings):
    """What comes out of y for x = 0, 1, 2 ..."""
    x = np.arange(blocks * threads, dtype=np.uint32)
    y = np.zeros_like(x)
    text = entry(REGS + code, ".param .u64 x, .param .u64 y")
    if attribute:
        text = text.replace(
            "y)\n{", f"y)\n.explicitcluster\n.reqnctapercluster {cluster}, 1, 1\n{{"
        )
    kernel = PtxModule(text, checked=checked, timeout=20, **settings).get_function("test")
    kernel((blocks,), (threads,), (x, y), cluster=None if attribute else (cluster,))
    return x.reshape(-1, cluster, threads), y.reshape(-1, cluster, threads)


EXCHANGE = f"""
ld.global.u32 %r9, [%rd3]; st.shared.u32 [%r5], %r9;
{SYNC}
xor.b32 %r10, %r2, 1; mapa.shared::cluster.u32 %r11, %r5, %r10;
ld.shared::cluster.u32 %r12, [%r11]; st.global.u32 [%rd4], %r12;
{SYNC}
ret;"""


@BOTH
@SCHEDULES
def test_blocks_read_each_others_shared_memory(checked, schedule):
    x, y = launch(EXCHANGE, checked=checked, schedule=schedule)
    np.testing.assert_array_equal(y, x[:, ::-1])
    x, y = launch(EXCHANGE, checked=checked, schedule=schedule, attribute=False)
    np.testing.assert_array_equal(y, x[:, ::-1])


@SCHEDULES
def test_both_barriers_of_the_exchange_are_needed(schedule):
    first, rest = EXCHANGE.split(SYNC, 1)
    with pytest.raises(RaceError, match="by thread"):
        launch(first + rest, schedule=schedule)
    at = EXCHANGE.rindex(SYNC)
    with pytest.raises((RaceError, OutOfBoundsError), match=r"another block of the cluster|exited"):
        launch(EXCHANGE[:at] + EXCHANGE[at + len(SYNC) :], schedule=schedule)
    relaxed = EXCHANGE.replace("cluster.arrive.aligned", "cluster.arrive.relaxed.aligned", 1)
    with pytest.raises(RaceError):
        launch(relaxed, schedule=schedule)
    fenced = relaxed.replace(
        "barrier.cluster.arrive.relaxed", "fence.acq_rel.cluster; barrier.cluster.arrive.relaxed"
    )
    launch(fenced, schedule=schedule)


@BOTH
def test_generic_addresses_of_other_blocks(checked):
    code = f"""ld.global.u32 %r9, [%rd3]; st.shared.u32 [%r5], %r9;
    cvta.shared.u64 %rd5, %rd6; cvt.u64.u32 %rd5, %r5; cvta.shared.u64 %rd5, %rd5;
    xor.b32 %r10, %r2, 1; mapa.u64 %rd7, %rd5, %r10; getctarank.u64 %r11, %rd7;
    getctarank.u64 %r12, %rd5; isspacep.shared::cluster %p1, %rd7; isspacep.shared %p2, %rd7;
    isspacep.global %p3, %rd7; cvta.to.shared::cluster.u64 %rd8, %rd7;
    cvt.u32.u64 %r20, %rd8; getctarank.shared::cluster.u32 %r21, %r20;
    {SYNC}
    ld.u32 %r13, [%rd7]; mad.lo.u32 %r13, %r11, 1000, %r13; mad.lo.u32 %r13, %r12, 100000, %r13;
    mad.lo.u32 %r13, %r21, 10000000, %r13;
    selp.u32 %r14, 10000, 0, %p1; add.u32 %r13, %r13, %r14; selp.u32 %r14, 20000, 0, %p2;
    add.u32 %r13, %r13, %r14; selp.u32 %r14, 40000, 0, %p3; add.u32 %r13, %r13, %r14;
    st.global.u32 [%rd4], %r13; {SYNC} ret;"""
    code = code.replace("cvta.shared.u64 %rd5, %rd6; ", "")
    x, y = launch(code, checked=checked)
    rank = np.arange(2)[None, :, None]
    other = 1 - rank
    want = x[:, ::-1] + other * 1000 + rank * 100000 + 10000 + other * 10000000
    np.testing.assert_array_equal(y, want)


def test_registers_of_a_cluster():
    names = ["%cluster_ctaid.x", "%cluster_ctaid.y", "%cluster_nctaid.x", "%cluster_nctaid.y",
             "%cluster_ctarank", "%cluster_nctarank", "%clusterid.x", "%clusterid.y",
             "%nclusterid.x", "%nclusterid.y"]  # fmt: skip
    body = """.reg .b32 %r<30>; .reg .b64 %rd<9>; .reg .pred %p<3>; ld.param.u64 %rd1, [out];
    mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ctaid.y; mov.u32 %r3, %nctaid.x;
    mad.lo.u32 %r1, %r2, %r3, %r1;
    mad.wide.u32 %rd1, %r1, 44, %rd1;"""
    for k, name in enumerate(names):
        body += f"mov.u32 %r9, {name}; st.global.u32 [%rd1+{4 * k}], %r9;"
    body += """mov.pred %p1, %is_explicit_cluster; selp.u32 %r9, 1, 0, %p1;
    st.global.u32 [%rd1+40], %r9; ret;"""
    out = np.zeros((6, 4, 11), np.uint32)
    kernel = PtxModule(entry(body, ".param .u64 out"), checked=True).get_function("test")
    kernel((4, 6), (1,), (out,), cluster=(2, 3))
    for y, x in np.ndindex(6, 4):
        want = [x % 2, y % 3, 2, 3, x % 2 + 2 * (y % 3), 6, x // 2, y // 3, 2, 2, 1]
        assert out[y, x].tolist() == want
    kernel((4, 6), (1,), (out,))
    assert out[5, 3].tolist() == [0, 0, 1, 1, 0, 1, 3, 5, 4, 6, 0]
    for cluster, match in (((3,), "multiples of it"), ((4, 6), "24 blocks; allowed: 16"),
                           ((0,), "positive ints"), ((1, 1, 1, 1), "one to three")):  # fmt: skip
        with pytest.raises(ValueError, match=match):
            kernel((4, 6), (1,), (out,), cluster=cluster)


def test_a_kernel_that_requires_a_cluster_gets_no_other():
    text = entry("ret;").replace("test()", "test() .reqnctapercluster 4")
    kernel = PtxModule(text).get_function("test")
    with pytest.raises(ValueError, match=r"requires \(4, 1, 1\)"):
        kernel((8,), (1,), (), cluster=(2,))
    with pytest.raises(ValueError, match="multiples of it"):
        kernel((6,), (1,), ())


@BOTH
def test_atomics_in_another_block(checked):
    code = f"""setp.ne.u32 %p1, %r1, 0; @%p1 bra ready; st.shared.u32 [%r3], 0; ready: {SYNC}
    mapa.shared::cluster.u32 %r11, %r3, 0; red.shared::cluster.add.u32 [%r11], 1;
    {SYNC} ld.shared.u32 %r9, [%r3]; st.global.u32 [%rd4], %r9; ret;"""
    _, y = launch(code, cluster=4, checked=checked)
    np.testing.assert_array_equal(y, np.repeat([128, 0, 0, 0], 32).reshape(1, 4, 32))


def test_misuse_of_the_barrier_and_of_ranks():
    with pytest.raises(DivergentBarrierError, match="arrives at the cluster's barrier again"):
        launch("barrier.cluster.arrive; barrier.cluster.arrive; ret;")
    with pytest.raises(DivergentBarrierError, match="has not arrived"):
        launch("barrier.cluster.wait; ret;")
    with pytest.raises(OutOfBoundsError, match="block 7 of a cluster that has 2"):
        launch("mapa.shared::cluster.u32 %r11, %r3, 7; ret;")
    code = f"""setp.eq.u32 %p1, %r2, 1; @%p1 bra stay; {SYNC} ret;
    stay: setp.ne.u32 %p2, %r1, 0; @%p2 bra wait; mbarrier.init.shared.b64 [%r4], 1;
    wait: bar.warp.sync -1;
    again: mbarrier.try_wait.parity.shared.b64 %p2, [%r4], 0; @!%p2 bra again; ret;"""
    with pytest.raises(DeadlockError, match=r"32 of 64 threads have yet to arrive") as caught:
        launch(code)
    assert "block (0, 0, 0): threads 0-31 wait at barrier.cluster.wait" in str(caught.value)


@BOTH
def test_threads_that_exit_count_as_arrived(checked):
    code = f"""setp.ge.u32 %p1, %r1, 16; @%p1 bra end; {SYNC} st.global.u32 [%rd4], 1; end: ret;"""
    _, y = launch(code, checked=checked)
    np.testing.assert_array_equal(y, np.broadcast_to(np.arange(32) < 16, y.shape))


#: Each block sends its tile to the other's memory with st.async; that arrives at its barrier.
SENT = f"""
setp.ne.u32 %p1, %r1, 0; @%p1 bra ready;
mbarrier.init.shared.b64 [%r4], 1; mbarrier.arrive.expect_tx.shared.b64 _, [%r4], 128;
ready: {SYNC}
xor.b32 %r10, %r2, 1; mapa.shared::cluster.u32 %r11, %r5, %r10;
mapa.shared::cluster.u32 %r12, %r4, %r10; ld.global.u32 %r9, [%rd3];
st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32 [%r11], %r9, [%r12];
wait: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [%r4], 0; @!%p2 bra wait;
ld.shared.u32 %r13, [%r5]; st.global.u32 [%rd4], %r13;
ret;"""


@BOTH
@SCHEDULES
def test_stores_that_arrive_at_a_barrier_of_another_block(checked, schedule):
    x, y = launch(SENT, checked=checked, schedule=schedule)
    np.testing.assert_array_equal(y, x[:, ::-1])


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (SYNC, "", r"mbarrier|after a"),
        ("@!%p2 bra wait;", "", r"asynchronous operation|exits|ends|no thread has written"),
        ("_, [%r4], 128;", "_, [%r4], 132;", "4 bytes have not come"),
        ("mapa.shared::cluster.u32 %r12, %r4, %r10;", "mov.u32 %r12, %r4;", "in another block"),
    ],
)
def test_sending_needs_each_part(old, new, match):
    with pytest.raises(KernelError, match=match):
        launch(SENT.replace(old, new))


#: Block 0 loads one tile into both blocks.
MULTICAST = f"""
setp.ne.u32 %p1, %r1, 0; @%p1 bra ready;
mbarrier.init.shared.b64 [%r4], 1; mbarrier.arrive.expect_tx.shared.b64 _, [%r4], 128;
fence.mbarrier_init.release.cluster;
ready: barrier.cluster.arrive.relaxed.aligned; barrier.cluster.wait.acquire.aligned;
add.u32 %r10, %r1, %r2; setp.ne.u32 %p2, %r10, 0; @%p2 bra wait; mov.u16 %h1, 3;
cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster
    [%r3], [%rd3], 128, [%r4], %h1;
wait: mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r4], 0; @!%p2 bra wait;
ld.shared.u32 %r13, [%r5]; st.global.u32 [%rd4], %r13;
{SYNC}
ret;"""


@BOTH
@SCHEDULES
def test_multicast(checked, schedule):
    x, y = launch(MULTICAST, checked=checked, schedule=schedule)
    np.testing.assert_array_equal(y, np.broadcast_to(x[:, :1], y.shape))


@pytest.mark.parametrize(
    ("old", "new", "error", "match"),
    [
        ("mov.u16 %h1, 3;", "mov.u16 %h1, 1;", DeadlockError, "128 bytes have not come"),
        ("mov.u16 %h1, 3;", "mov.u16 %h1, 5;", OutOfBoundsError, "block 2 of a cluster"),
        ("fence.mbarrier_init.release.cluster;", "", (RaceError, ProxyFenceError), "."),
        ("fence.mbarrier_init.release.cluster;", "fence.acq_rel.cluster;", ProxyFenceError,
         "no fence.proxy.async"),
        ("@!%p2 bra wait;", "", KernelError, "asynchronous operation"),
        ("barrier.cluster.arrive.relaxed.aligned; barrier.cluster.wait.acquire.aligned;",
         "bar.sync 0;", (RaceError, MbarrierError), r"after a|holds no mbarrier"),
    ],
)  # fmt: skip
def test_multicast_needs_each_part(old, new, error, match):
    assert MULTICAST.count(old) == 1
    with pytest.raises(error, match=match):
        launch(MULTICAST.replace(old, new))


#: The like of a box of a tensor: into block 0's and 1's memory, each of which waits for its bytes.
TENSOR = MULTICAST.replace(
    "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster\n"
    "    [%r3], [%rd3], 128, [%r4], %h1;",
    "mov.b64 %rd5, map; cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx"
    "::bytes.multicast::cluster [%r3], [%rd5, {8, 1}], [%r4], %h1;",
)


def launch_tensor(code, checked=True, **settings):
    """What two blocks get of a box of 4 rows and 8 columns."""
    x = np.arange(8 * 32, dtype=np.uint32).reshape(8, 32)
    y = np.zeros((2, 4, 8), np.uint32)
    parameters = ".param .u64 x, .param .u64 y, .param .align 64 .b8 map[128]"
    module = PtxModule(entry(REGS + code, parameters), checked=checked, timeout=20, **settings)
    module.get_function("test")((2,), (32,), (x, y, tensor_map(x, (4, 8))), cluster=(2,))
    return x, y


@BOTH
@SCHEDULES
def test_multicast_of_a_box(checked, schedule):
    x, y = launch_tensor(TENSOR, checked=checked, schedule=schedule)
    np.testing.assert_array_equal(y, np.broadcast_to(x[1:5, 8:16], y.shape))


@pytest.mark.parametrize(
    ("old", "new", "error", "match"),
    [
        ("mov.u16 %h1, 3;", "mov.u16 %h1, 1;", DeadlockError, "128 bytes have not come"),
        ("mov.u16 %h1, 3;", "mov.u16 %h1, 6;", OutOfBoundsError, "block 2 of a cluster"),
        ("fence.mbarrier_init.release.cluster;", "fence.acq_rel.cluster;", ProxyFenceError,
         "no fence.proxy.async"),
        ("@!%p2 bra wait;", "", KernelError, "asynchronous operation"),
    ],
)  # fmt: skip
def test_multicast_of_a_box_needs_each_part(old, new, error, match):
    assert TENSOR.count(old) == 1
    with pytest.raises(error, match=match):
        launch_tensor(TENSOR.replace(old, new))


@BOTH
def test_a_remote_arrival_frees_a_stage(checked):
    """Both blocks arrive at block 0's barrier when they have read its tile."""
    code = f"""
    setp.ne.u32 %p1, %r1, 0; @%p1 bra ready; mbarrier.init.shared.b64 [%r4], 64;
    ready: add.u32 %r9, %r1, 7; st.shared.u32 [%r5], %r9; {SYNC}
    mapa.shared::cluster.u32 %r11, %r5, 0; mapa.shared::cluster.u32 %r12, %r4, 0;
    ld.shared::cluster.u32 %r13, [%r11];
    mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r12];
    setp.ne.u32 %p3, %r2, 0; @%p3 bra out;
    wait: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [%r4], 0; @!%p2 bra wait;
    st.shared.u32 [%r5], 0;
    out: st.global.u32 [%rd4], %r13; ret;"""
    _, y = launch(code, checked=checked)
    np.testing.assert_array_equal(y, np.broadcast_to(np.arange(32) + 7, y.shape))
    if checked:
        # Without waiting block 0 writes too early, or has exited when block 1 reads.
        with pytest.raises((RaceError, OutOfBoundsError), match=r"write by thread|has exited"):
            launch(code.replace("@!%p2 bra wait;", "@!%p2 bra go; go:"))
