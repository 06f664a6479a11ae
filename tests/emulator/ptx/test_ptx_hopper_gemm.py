"""A GEMM of TMA, mbarriers and wgmma: right, silent, planted mistakes found with their lines."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from pycnn.emulator import (
    AsyncCopyError,
    DeadlockError,
    DivergentCollectiveError,
    MbarrierError,
    MisalignedAccessError,
    OutOfBoundsError,
    ProxyFenceError,
    RaceError,
    RawKernel,
    WgmmaError,
    tensor_map,
)

pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")
if importlib.util.find_spec("cuda") is None:
    pytest.skip("needs the extra 'compile'", allow_module_level=True)

SOURCE = Path(__file__).with_name("hopper_gemm.cu").read_text()
RNG = np.random.default_rng(29)
M, N, K = 200, 100, 328  # no tile is whole along any of them
A = RNG.standard_normal((M, K)).astype(np.float16)
B = RNG.standard_normal((N, K)).astype(np.float16)
WANT = A.astype(np.float64) @ B.astype(np.float64).T
STAGES, STAGE = 3, (128 + 64) * 64 * 2


def gemm(*defines, checked=True, shared=STAGES * STAGE, **settings):
    kernel = RawKernel(
        SOURCE, "gemm", tuple(f"-D{d}" for d in defines), via="ptx", arch="sm_90a",
        checked=checked, **settings,
    )  # fmt: skip
    kernel.max_dynamic_shared_size_bytes = 100 * 1024
    c = np.full((M, N), np.nan, np.float32)
    maps = tensor_map(A, (128, 64), swizzle=128), tensor_map(B, (64, 64), swizzle=128)
    kernel((2, 2), (384,), (*maps, c, np.int32(M), np.int32(N), np.int32(K)), shared_mem=shared)
    return c


@pytest.mark.parametrize("scale", [0, 1])
@pytest.mark.parametrize("schedule", [None, "reverse", "random:5"])
def test_right_and_silent(scale, schedule):
    c = gemm(f"SCALE={scale}", schedule=schedule)
    np.testing.assert_allclose(c, WANT, atol=1e-4)
    if schedule is None:
        np.testing.assert_array_equal(gemm(f"SCALE={scale}", checked=False), c)


def function_at(line: int) -> str:
    """The function of the source that a line is in."""
    above = "\n".join(SOURCE.splitlines()[:line])
    return re.findall(r"^(?:__device__ \w+ |)(\w+)\(", above, re.MULTILINE)[-1]


@pytest.mark.parametrize(
    ("bug", "error", "message", "function"),
    [
        (1, WgmmaError, "no wgmma.fence", "multiply"),
        (2, WgmmaError, "no wgmma.wait_group", "gemm"),
        (3, AsyncCopyError, "write by an .* of thread 0 of bytes that an .* reads", "load"),
        (4, MisalignedAccessError, "descriptor of A", "multiply"),
        (5, WgmmaError, "swizzle of 64 bytes, the tensor map by .* one of 128", "multiply"),
        (6, MisalignedAccessError, "descriptor of A", "multiply"),
        (7, MbarrierError, "arrivals on the mbarrier", "expect"),
        (8, MbarrierError, "arrivals run ahead", "arrive"),
        (10, DeadlockError, "16 bytes have not come", "wait"),
        (11, DeadlockError, "16 bytes more than were expected", "wait"),
        (12, AsyncCopyError, "read by an .* of bytes that an .* writes, before", "multiply"),
        (13, DivergentCollectiveError, "different products", "multiply"),
        (14, ProxyFenceError, "no fence.proxy.async", "multiply"),
        (15, RaceError, "nothing that orders them", "multiply"),
        (16, AsyncCopyError, "write by an .* of thread 0 of bytes that an .* reads", "load"),
        (17, AsyncCopyError, "write by an .* of thread 0 of bytes that an .* reads", "load"),
    ],
)  # fmt: skip
def test_planted_mistakes(bug, error, message, function):
    scale = int(bug in (14, 15))
    with pytest.raises(error, match=message) as caught:
        gemm(f"BUG={bug}", f"SCALE={scale}", shared=STAGES * STAGE + 1024)
    assert caught.value.file == "kernel.cu"
    assert function in (None, function_at(caught.value.line))
    assert re.search(r"PTX line \d+", str(caught.value))


@pytest.mark.parametrize("schedule", ["forward", "reverse", "random:1", "random:2"])
def test_no_barrier_behind_the_init(schedule):
    """Whoever comes first: the barriers are not there, or nothing says that they are."""
    with pytest.raises((RaceError, MbarrierError), match=r"no mbarrier|no barrier") as caught:
        gemm("BUG=9", schedule=schedule)
    assert function_at(caught.value.line) == "wait"


@pytest.mark.parametrize("schedule", ["forward", "reverse"])
def test_no_fence_behind_the_init(schedule):
    with pytest.raises(ProxyFenceError, match="that thread 0 has written, with no fence") as caught:
        gemm("BUG=18", schedule=schedule)
    assert function_at(caught.value.line) == "load"


def test_memory_that_is_too_small():
    with pytest.raises(OutOfBoundsError, match="past the end of shared array memory"):
        gemm(shared=STAGES * STAGE - 8192)
