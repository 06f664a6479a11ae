"""The product by `wgmma`: every layout, traffic, and what happens if a wait or a fence is missing.

In the emulator it runs by PTX for sm_90a, which is what is asked for here.
"""

from dataclasses import replace

import numpy as np
import pytest
from broken import run_broken
from gemm_cases import each_transpose, execute, expected, launch, operand
from hopper import HOPPER, on_hopper
from op_checks import assert_matches, counted, same_under_all_schedules

import pycnn
from pycnn.dtypes import FLOAT8, numpy_dtype
from pycnn.emulator import (
    AsyncCopyError,
    DeadlockError,
    MbarrierError,
    OutOfBoundsError,
    ProxyFenceError,
    RaceError,
    UninitialisedReadError,
    WgmmaError,
)
from pycnn.plan import _wgmma
from pycnn.plan._wgmma import TILES
from pycnn.plan.gemm import gemm_launch
from pycnn.plan.gemm_problem import Gemm
from pycnn.plan.gemm_scaled import Scaled
from pycnn.runtime.plan import Buffer
from pycnn.runtime.target import Target, planned_for

on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)
checked = pytest.mark.parametrize("backend", ["checked"], indirect=True)
each_tile = pytest.mark.parametrize("version", [("wgmma", tile) for tile in TILES], ids=str)

#: More than one tile in each direction, and a multiple of none.
M, N, K = 136, 264, 104


pytestmark = pytest.mark.usefixtures(on_hopper.__name__)


@on_kernels
@each_tile
@each_transpose
def test_matches_oracle(backend, rng, version, transposes):
    a = operand(rng, (M, K), "float16", transposed=transposes[0])
    b = operand(rng, (K, N), "float16", transposed=transposes[1])
    assert_matches(launch(backend, version, a, b), expected(a, b), "float16", K)


@pytest.mark.parametrize("backend", ["emulator", "cuda"], indirect=True)
@each_transpose
def test_bfloat16(backend, rng, transposes):
    a = operand(rng, (M, 600), "bfloat16", transposed=transposes[0])
    b = operand(rng, (600, 72), "bfloat16", transposed=transposes[1])
    assert_matches(launch(backend, ("wgmma", TILES[0]), a, b), expected(a, b), "bfloat16", 600)


@checked
def test_bfloat16_checked(backend, rng):
    a, b = operand(rng, (M, K), "bfloat16"), operand(rng, (K, 72), "bfloat16")
    assert_matches(launch(backend, ("wgmma", TILES[0]), a, b), expected(a, b), "bfloat16", K)


@on_kernels
@pytest.mark.parametrize("shape", [(1, 8, 8), (8, 1, 16), (200, 7, 8), (2, 3, 133)], ids=str)
def test_tiny_and_thin(backend, rng, shape):
    """Extents are any; what has to be a multiple of 8 is the stride from a row to the next."""
    m, n, k = shape
    a = operand(rng, (m, k), "float16", "padded")
    b = operand(rng, (k, n), "float16", "padded" if n > 1 else "contiguous")
    got = launch(backend, ("wgmma", TILES[0]), a, b)
    assert_matches(got, expected(a, b), "float16", k)


@on_kernels
@each_tile
@pytest.mark.parametrize("layout", ["contiguous", "padded", "misaligned"])
@pytest.mark.parametrize("channel", ["row", "col"])
def test_epilogue(backend, rng, version, layout, channel):
    """All of it, with NaN and infinities, after what C holds, and C's padding left alone."""
    a, b = operand(rng, (M, 8), "float16"), operand(rng, (8, N), "float16")
    a[3, 2], b[4, 5] = np.nan, np.inf
    a[9], a[10] = -np.inf, 0
    c = operand(rng, (M, N), "float16", layout)
    bias, scale, shift = operand(rng, (3, M if channel == "row" else N, 2), "float16")[..., 1]
    end = {"bias": bias, "scale": scale, "shift": shift}
    end["residual"] = operand(rng, (M, N), "float16", layout)
    options = {"channel": channel, "activation": "relu", **end}
    with np.errstate(invalid="ignore"):
        want = expected(a, b, c=c, **options)
    got = launch(backend, version, a, b, c=c, accumulate=True, **options)
    assert_matches(got, want, "float16", 8)


@on_kernels
def test_two_level_batch(backend, rng):
    """A is shared by the outer level, B by the inner one."""
    outer, inner, m, n, k = 2, 3, 72, 40, 72
    a, b = operand(rng, (inner, m, k), "float16"), operand(rng, (outer, k, n), "float16")
    c = np.full((outer, inner, m, n), np.nan, np.float16)
    problem = Gemm(
        m, n, k, "float16",
        a=(0, m * k, k, 1), b=(k * n, 0, n, 1), c=(inner * m * n, m * n, n, 1),
        batch=(outer, inner),
    )  # fmt: skip
    got = execute(backend, ("wgmma", TILES[0]), problem, {"a": a, "b": b, "c": c})
    want = np.stack([[expected(x, y) for x in a] for y in b])
    assert_matches(got, want, "float16", k)


@on_kernels
def test_another_version_where_arrays_begin_elsewhere(backend, rng):
    """Only the executor knows where: "auto" then takes the other one, and "wgmma" is an error."""
    a = operand(rng, (M, K), "float16", "misaligned")
    b = operand(rng, (K, 72), "float16")
    got = launch(backend, ("auto", None), a, b)
    assert_matches(got, expected(a, b), "float16", K)
    with pytest.raises(ValueError, match="16"):
        launch(backend, ("wgmma", TILES[0]), a, b)


@checked
def test_public(backend, rng):
    """ "auto" takes it for what is large enough, here and on such a GPU alone."""
    a, b = operand(rng, (72, 72), "float16"), operand(rng, (72, 64), "float16")
    want = expected(a, b)
    for algo in ("auto", "wgmma"):
        assert_matches(pycnn.gemm(a, b, algo=algo), want, "float16", 72)


@checked
@pytest.mark.parametrize("arch", ["sm_80", "sm_120"])
def test_elsewhere_it_is_refused(backend, monkeypatch, arch):
    monkeypatch.setenv("PYCNN_EMULATOR_ARCH", arch)
    a = np.ones((64, 64), np.float16)
    with pytest.raises(ValueError, match=f"does not fit: architecture {arch}; allowed: sm_90a"):
        pycnn.gemm(a, a, algo="wgmma")
    monkeypatch.setenv("PYCNN_EMULATOR_VIA", "source")
    with pytest.raises(ValueError, match="architecture not known; allowed: sm_90a"):
        pycnn.gemm(a, a, algo="wgmma")


@checked
def test_deterministic(backend, rng, monkeypatch):
    a, b = operand(rng, (M, K), "float16"), operand(rng, (K, 72), "float16")
    same_under_all_schedules(
        backend, monkeypatch, lambda: backend.array(launch(backend, ("wgmma", TILES[0]), a, b))
    )


@checked
@each_tile
@each_transpose
def test_traffic(backend, rng, version, transposes):
    """Sums leave in whole pieces, nothing twice, and no bank is asked twice."""
    a = operand(rng, (128, 64), "float16", transposed=transposes[0])
    b = operand(rng, (64, 256), "float16", transposed=transposes[1])
    with counted(backend) as log:
        launch(backend, version, a, b)
    counters = log.total
    assert counters.global_bytes_written == 2 * 128 * 256
    assert counters.global_store_requests == 0
    assert counters.bank_conflicts == 0


#: Terms of a sum for each block of a cluster: more than all stages hold.
TERMS = {"float16": 200, "float32": 100, "float8_e4m3fn": 400}


def launch_of(dtype, m, n, k):
    """The product of two matrices, and the dtype of what comes out."""
    along_k = dtype != "float16"
    b = (0, 0, 1, k) if along_k else (0, 0, n, 1)
    problem = Gemm(m, n, k, dtype, a=(0, 0, k, 1), b=b, c=(0, 0, n, 1))
    if dtype in FLOAT8:
        return Scaled(problem, dtype, "float16").plan("wgmma").launches[0], "float16"
    algo = "wgmma_tf32" if along_k else "wgmma"
    return gemm_launch(problem, *map(Buffer, "aby"), algo=algo, tile=TILES[0]), dtype


def broken(old, new, cluster=1, dtype="float16", beside=False):
    """Run the kernel with a mistake in it, in a checked build, several tiles on one cluster.

    `beside`: of tiles beside each other, as convolutions have them.
    """
    m, n, k = 136, 72, TERMS[dtype] * cluster
    with planned_for(Target("sm_90a", cluster)), pytest.MonkeyPatch.context() as patched:
        patched.setattr(_wgmma, "TILES", TILES[:1])
        step, result = launch_of(dtype, m, n, k)
    assert ("CLUSTER", str(cluster)) in step.kernel.defines
    if beside:
        step = beside_each_other(step, cluster)
    arrays = {
        "a": np.ones((m, k), numpy_dtype(dtype)),
        "b": np.ones(n * k, numpy_dtype(dtype)),
        "y": np.zeros((m, n), result),
        "scale_a": np.ones((), np.float32),
        "scale_b": np.ones((), np.float32),
    }
    run_broken(step, arrays, old, new, via="ptx", arch=HOPPER.arch)
    return arrays["y"]


#: What is left out or wrong, and what the emulator says.
MISTAKES = {
    "no wait for copies": (
        "mbarrier_wait(&shared.full[at.stage], at.round);", "", UninitialisedReadError),
    "no wait for what is read": (
        "mbarrier_wait(&shared.empty[at.stage], at.round ^ 1);", "", MbarrierError),
    "wrong phase": (
        "mbarrier_wait(&shared.full[at.stage], at.round)",
        "mbarrier_wait(&shared.full[at.stage], at.round ^ 1)", UninitialisedReadError),
    "no fence": ("wgmma_fence();", "", WgmmaError),
    "no group": ("wgmma_commit();", "", AsyncCopyError),
    "reads not waited for": ("wgmma_wait<1>();", "", AsyncCopyError),
    "sums not waited for": ("wgmma_wait<0>();", "", WgmmaError),
    "stage never handed back": ("if (k_tile) hand_back", "if (false) hand_back", DeadlockError),
    "last stage never handed back": (
        "    hand_back(shared, at.stage ? at.stage - 1 : STAGES - 1);\n}", "}", DeadlockError),
    "handed back too early": (
        "at.stage ? at.stage - 1 : STAGES - 1);\n        at.adv", "at.stage);\n        at.adv",
        MbarrierError),
    "too few arrivals wanted": (
        "&shared.empty[s], CONSUMER_WARPS * BLOCKS", "&shared.empty[s], 4",
        (MbarrierError, AsyncCopyError)),
    "no bytes expected": (
        "mbarrier_expect(&shared.full[at.stage], own_bytes);", "", DeadlockError),
    "too few bytes": (
        "full[at.stage], own_bytes)", "full[at.stage], own_bytes / 2)", DeadlockError),
    "too many bytes": (
        "full[at.stage], own_bytes)", "full[at.stage], own_bytes * 2)", DeadlockError),
    "barriers used before they are": (
        "        __syncthreads();\n    else", "        ;\n    else", MbarrierError),
    "piece not there yet": ("__syncwarp();  // all", "// all", RaceError),
    "piece not seen by the copy": ("async_proxy_fence();", "", ProxyFenceError),
    "piece overwritten": ("if (lane == 0) bulk_wait_read<1>();", "", AsyncCopyError),
    "piece overwritten by others": ("__syncwarp();  // what", "// what", AsyncCopyError),
    "piece that nobody waits for": ("bulk_commit();", "", AsyncCopyError),
    "one piece too few waited for": (
        "bulk_wait_read<1>();", "bulk_wait_read<2>();", AsyncCopyError),
    "gone before the last piece": (
        "if (threadIdx.x % 32 == 0) bulk_wait_read<0>();", "", AsyncCopyError),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_wrong_is_reported(monkeypatch, mistake):
    monkeypatch.setenv("PYCNN_SCHEDULE", "reverse")  # the thread that makes barriers comes last
    old, new, error = MISTAKES[mistake]
    with pytest.raises(error):
        broken(old, new)


#: Of the ring, which all elements have: floats leave with no pieces.
OF_THE_RING = [name for name in MISTAKES if "piece" not in name]


@pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float8_e4m3fn", marks=pytest.mark.exhaustive)]
)
@pytest.mark.parametrize("mistake", OF_THE_RING)
def test_what_is_wrong_with_other_elements_is_reported(monkeypatch, mistake, dtype):
    monkeypatch.setenv("PYCNN_SCHEDULE", "reverse")
    old, new, error = MISTAKES[mistake]
    with pytest.raises(error):
        broken(old, new, dtype=dtype)


#: The like, of two blocks that share what they copy.
MISTAKES_OF_CLUSTERS = {
    "no wait for what the others read": (
        "mbarrier_wait(&shared.empty[at.stage], at.round ^ 1);", "",
        (MbarrierError, AsyncCopyError)),
    "the others are not told": (
        "if (lane < BLOCKS)", "if (lane == cluster_rank())", DeadlockError),
    "told, but nobody waits for it": (
        "&shared.empty[s], CONSUMER_WARPS * BLOCKS", "&shared.empty[s], CONSUMER_WARPS",
        (MbarrierError, AsyncCopyError)),
    "bytes of others not expected": (
        "mbarrier_expect_others(&shared.full[at.stage], STAGE_BYTES - own_bytes);", "",
        (MbarrierError, DeadlockError, UninitialisedReadError, AsyncCopyError)),
    "barriers used before they are": (
        "        __syncthreads();\n    else\n        cluster_sync();",
        "        ;\n    __syncthreads();", (MbarrierError, RaceError)),
    "gone before the others are done": (
        "    if constexpr (BLOCKS > 1) cluster_sync();", "", (OutOfBoundsError, RaceError)),
}  # fmt: skip


def with_clusters(names):
    """Those of one block, and of two that share filters: multiprocessors, what, in whose place."""
    return {name: (1, *MISTAKES[name][:2]) for name in names} | {
        f"cluster: {name}": (2, *how[:2]) for name, how in MISTAKES_OF_CLUSTERS.items()
    }


def beside_each_other(step, cluster):
    """The launch with clusters of tiles beside each other: A is shared out in place of B."""
    a, b, *rest = step.args
    a = replace(a, box=(1, 1, TILES[0][0] // cluster, a.box[3]))
    if a.dtype != "float16":  # of which a tile is one box
        b = replace(b, box=(1, 1, TILES[0][1], b.box[3]))
    macros = dict(step.kernel.defines) | {"CLUSTER": "1", "ACROSS": str(cluster)}
    kernel = replace(step.kernel, defines=tuple(macros.items()))
    return replace(step, kernel=kernel, args=(a, b, *rest))


@pytest.mark.parametrize("beside", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("mistake", MISTAKES_OF_CLUSTERS)
def test_what_is_wrong_between_blocks_is_reported(monkeypatch, mistake, beside):
    monkeypatch.setenv("PYCNN_SCHEDULE", "reverse")
    old, new, error = MISTAKES_OF_CLUSTERS[mistake]
    with pytest.raises(error):
        broken(old, new, cluster=2, beside=beside)


@pytest.mark.parametrize(("cluster", "beside"), [(1, False), (2, False), (2, True)])
def test_as_it_stands_nothing_is_reported(cluster, beside):
    for dtype, terms in TERMS.items():
        got = broken("wgmma_commit();", "wgmma_commit();", cluster, dtype, beside)
        assert (got == terms * cluster).all()
