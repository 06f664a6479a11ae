"""Threads that wait for each other without a barrier, and launches that would never end."""

import os
import re
import signal
import subprocess
import threading
import time

import numpy as np
import pytest

from pycnn.emulator import (
    KernelForkedError,
    KernelTimeoutError,
    RawKernel,
)

BUILDS = pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])

#: Loops that never end: name -> (code of the kernel, threads of a block, pattern of the error).
ENDLESS = {
    "reads": ("while (((volatile float*)x)[0] == 0);", 64, "run"),
    "registers": ("volatile int i = 0; for (;;) i = i + 1;", 64, "run"),
    "barriers": ("for (;;) __syncthreads();", 64, r"wait at __syncthreads \(kernel\.cu:2\)"),
    # Nobody to wait for: the time may be up within the barrier or between two of them.
    "one lane": ("for (;;) __syncwarp();", 1, r"thread 0 (waits at __syncwarp|runs)"),
    "sleeps": ("for (;;) __nanosleep(1);", 64, "__nanosleep"),
    "atomics": ("while (atomicAdd(x, 0.0f) == 0);", 64, "run"),
    "mathematics": ("float y = 1; for (;;) { y = expf(y); *(volatile float*)x = y; }", 1, "run"),
    "a lock never freed": (
        "while (atomicCAS((int*)x, 0, 1) != 0); for (;;) __nanosleep(1);", 64, "run",
    ),
}  # fmt: skip
ALL_ENDLESS = pytest.mark.parametrize(("code", "threads", "pattern"), ENDLESS.values(), ids=ENDLESS)


def kernel(code, **settings):
    return RawKernel(f'extern "C" __global__ void k{code}', "k", **settings)


class Clock:
    """Seconds since it was made: of the wall, or of the processor where others keep it busy."""

    def __init__(self):
        self.wall, self.processor = time.monotonic(), time.process_time()

    def seconds(self):
        return min(time.monotonic() - self.wall, time.process_time() - self.processor)


def spin(**settings):
    return kernel("(float* x) {\n while (((volatile float*)x)[0] == 0);\n}", **settings)


@BUILDS
@ALL_ENDLESS
def test_a_launch_ends_when_its_time_is_up_and_says_where_it_hangs(code, threads, pattern, checked):
    endless = kernel(f"(float* x) {{\n{code}\n}}", checked=checked, timeout=0.2)
    endless.compile()
    clock = Clock()
    with pytest.raises(KernelTimeoutError, match=r"not done after 0\.2 s: ") as caught:
        endless((3,), (threads,), (np.zeros(4, "f4"),))
    assert clock.seconds() < 2
    assert re.search(pattern, str(caught.value))


@BUILDS
def test_the_line_of_a_hang_is_named(checked):
    with pytest.raises(KernelTimeoutError) as caught:
        spin(checked=checked, timeout=0.2)((1,), (1,), (np.zeros(1, "f4"),))
    assert (caught.value.file, caught.value.line) == ("kernel.cu", 2)


def test_time_in_which_others_have_the_processor_does_not_count():
    stop = f"sleep 0.1; kill -STOP {os.getpid()}; sleep 0.6; kill -CONT {os.getpid()}"
    endless = spin(timeout=0.5)
    endless.compile()
    before = time.process_time()
    with subprocess.Popen(["sh", "-c", stop]), pytest.raises(KernelTimeoutError):
        endless((1,), (1,), (np.zeros(1, "f4"),))
    assert time.process_time() - before > 0.45


def test_a_limit_of_steps_ends_at_the_same_place_each_time():
    found = []
    for _ in range(2):
        with pytest.raises(KernelTimeoutError, match="not done after 100000 steps: ") as caught:
            spin(checked=True, max_steps=100_000)((2,), (64,), (np.zeros(1, "f4"),))
        found.append((str(caught.value), caught.value.line, caught.value.thread))
    assert found[0] == found[1]
    assert found[0][1] == 2


def test_a_launch_within_its_limits_is_left_alone():
    out = np.zeros(64, "i4")
    count = kernel(
        "(int* out) { for (int i = 0; i < 100; ++i) out[threadIdx.x] += 1; }",
        checked=True, max_steps=2 * 64 * 100 + 1, timeout=100,
    )  # fmt: skip
    for _ in range(2):  # steps are counted from the start of each launch
        count((1,), (64,), (out,))
    assert (out == 200).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": -1.0},
        {"timeout": float("nan")},
        {"max_steps": 5},
        {"max_steps": -1, "checked": True},
    ],
)
def test_limits_that_mean_nothing_are_refused(settings):
    with pytest.raises(ValueError, match="allowed"):
        spin(**settings)


def test_the_environment_limits_every_launch(monkeypatch):
    monkeypatch.setenv("PYCNN_EMULATOR_TIMEOUT", "0.1")
    with pytest.raises(KernelTimeoutError):
        spin()((1,), (1,), (np.zeros(1, "f4"),))


@BUILDS
@pytest.mark.parametrize("schedule", ["forward", "reverse", "random:3"])
def test_a_warp_that_spins_on_the_flag_of_another_gets_it(checked, schedule):
    # A relay: each warp waits for the one before it, by polling.
    relay = kernel(
        """(int* flag) {
        int warp = threadIdx.x / 32;
        if (threadIdx.x % 32 == 0) {
            while (atomicAdd(flag, 0) != warp);
            atomicAdd(flag, 1);
        }
    }""",
        checked=checked,
        schedule=schedule,
        timeout=60,
    )
    flag = np.zeros(1, "i4")
    relay((1,), (256,), (flag,))
    assert flag[0] == 8


def test_volatile_flags_and_fences_between_warps():
    hand_over = kernel(
        """(volatile int* flag, int* out) {
        __shared__ volatile int box;
        if (threadIdx.x == 40) { box = 7; __threadfence_block(); flag[0] = 1; }
        if (threadIdx.x == 3) { while (flag[0] == 0); out[0] = box; }
    }""",
        timeout=60,
    )
    out = np.zeros(1, "i4")
    hand_over((1,), (64,), (np.zeros(1, "i4"), out))
    assert out[0] == 7


@BUILDS
@pytest.mark.parametrize("schedule", ["forward", "reverse", "random:3"])
def test_blocks_that_spin_on_each_other_get_on(schedule, checked):
    # A barrier of the whole grid, twice: every block must be under way.
    grid_barrier = kernel(
        """(int* count, int* out) {
        for (int round = 1; round <= 2; ++round) {
            __syncthreads();
            if (threadIdx.x == 0) {
                atomicAdd(count, 1);
                while (atomicAdd(count, 0) < round * gridDim.x);
            }
            __syncthreads();
        }
        atomicAdd(out, 1);
    }""",
        checked=checked,
        schedule=schedule,
        timeout=60,
    )
    count, out = np.zeros(1, "i4"), np.zeros(1, "i4")
    grid_barrier((12,), (64,), (count, out))
    assert (count[0], out[0]) == (24, 12 * 64)


def test_a_loop_that_sleeps_lets_the_other_threads_run():
    wait = kernel("""(volatile int* flag, int* out) {
        if (threadIdx.x == 64) flag[0] = 1;
        while (flag[0] == 0) __nanosleep(10);
        atomicAdd(out, 1);
    }""")
    flag, out = np.zeros(1, "i4"), np.zeros(1, "i4")
    wait((1,), (96,), (flag, out))
    assert out[0] == 96


def test_threads_taken_off_the_processor_continue_where_they_were():
    # Far longer than a tick, in vector registers too: nothing of a thread may be lost.
    work = kernel(
        """(const float* x, float* y, int n) {
        float sums[16] = {};
        for (int k = 0; k < n; ++k)
            for (int i = 0; i < 16; ++i) sums[i] = sums[i] * 0.5f + x[(k + i) % 64] * threadIdx.x;
        for (int i = 0; i < 16; ++i) y[(blockIdx.x * blockDim.x + threadIdx.x) * 16 + i] = sums[i];
    }"""
    )
    x, n = np.random.default_rng(1).random(64, "f4"), 3_000_000
    y = np.zeros((4, 4, 16), "f4")
    begin = time.monotonic()
    work((4,), (4,), (x, y, np.int32(n)))
    long_enough = time.monotonic() - begin > 0.1
    # The sum forgets what is long past: the last terms are all of it.
    sums = np.zeros(16, "f4")
    for k in range(n - 100, n):
        sums = sums * np.float32(0.5) + x[(k + np.arange(16)) % 64]
    expected = sums[None, :] * np.arange(4)[:, None]
    np.testing.assert_allclose(y, np.broadcast_to(expected, y.shape), rtol=1e-5)
    assert long_enough, "too short to be interrupted: this test shows nothing"


@BUILDS
@ALL_ENDLESS
def test_an_interrupt_ends_any_launch_within_a_second(code, threads, pattern, checked):
    endless = kernel(f"(float* x) {{\n{code}\n}}", checked=checked, timeout=30)
    endless.compile()
    sent = []

    def interrupt():
        sent.append(Clock())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(0.2, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        endless((100_000,), (threads,), (np.zeros(4, "f4"),))
    assert sent[0].seconds() < 1


@pytest.fixture
def on_alarm():
    """Sets what SIGALRM does, and sends it soon."""
    before = signal.getsignal(signal.SIGALRM)

    def set_handler(handler):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.1)

    yield set_handler
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@BUILDS
def test_a_signal_handler_may_launch(on_alarm, checked):
    y = np.zeros(64, "f4")
    inner = [
        kernel("(float* y) { y[threadIdx.x] += 1; __syncthreads(); }", checked=c)
        for c in (False, True)
    ]
    for one in inner:
        one.compile()
    outer = spin(checked=checked, timeout=1)
    outer.compile()

    def handler(*_):
        inner[0]((4,), (16,), (y[:16],))
        inner[1]((1,), (64,), (y,))

    on_alarm(handler)
    with pytest.raises(KernelTimeoutError):
        outer((2,), (32,), (np.zeros(1, "f4"),))
    assert (y[16:] == 1).all()
    assert (y[:16] >= 2).all()


def test_a_handler_that_raises_ends_the_launch_with_what_it_raises(on_alarm):
    class Enough(Exception):
        pass

    def handler(*_):
        raise Enough

    endless = spin()
    endless.compile()
    on_alarm(handler)
    with pytest.raises(Enough):
        endless((2,), (32,), (np.zeros(1, "f4"),))


def test_other_threads_of_python_wait_for_their_turn_and_can_be_interrupted(on_alarm):
    first = spin(timeout=1.5)
    first.compile()
    failed = []

    def launch():
        with pytest.raises(KernelTimeoutError):
            first((2,), (32,), (np.zeros(1, "f4"),))
        failed.append(True)

    thread = threading.Thread(target=launch)
    thread.start()
    time.sleep(0.2)

    def handler(*_):
        raise KeyboardInterrupt

    on_alarm(handler)
    clock = Clock()
    with pytest.raises(KeyboardInterrupt):
        spin()((2,), (32,), (np.zeros(1, "f4"),))
    assert clock.seconds() < 1
    assert not failed  # the first one still runs
    thread.join()
    assert failed


@BUILDS
def test_a_fork_during_a_launch_is_told_to_the_child(on_alarm, checked):
    flag, children = np.zeros(1, "f4"), []
    endless = spin(checked=checked, timeout=20)
    endless.compile()
    after = kernel("(float* y) { y[threadIdx.x] = 1; __syncthreads(); }", checked=checked)
    after.compile()

    def handler(*_):
        child = os.fork()
        if child:
            children.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            raise InterruptedError

    on_alarm(handler)
    parent = os.getpid()
    raised = None
    try:
        endless((4,), (32,), (flag,))
    except BaseException as error:
        raised = error
    if os.getpid() != parent:
        y = np.zeros(64, "f4")
        after((1,), (64,), (y,))  # the child can go on launching
        os._exit(7 if isinstance(raised, KernelForkedError) and y.all() else 1)
    assert isinstance(raised, InterruptedError)
    assert children == [7]
