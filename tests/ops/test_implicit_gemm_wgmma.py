"""`implicit_gemm_wgmma`, a plan at a time, against the oracle; the ring of stages it shares with
the matrix product is broken in test_gemm_wgmma.py.

In the emulator it runs by PTX for sm_90a, which is what is asked for here.
"""

import numpy as np
import pytest
from broken import run_broken
from conv_plans import (
    Case,
    Run,
    by_its_name,
    channels_last,
    deterministic,
    draw,
    misaligned,
    with_end,
)
from hopper import HOPPER, on_hopper
from op_checks import assert_matches, counted
from test_gemm_wgmma import MISTAKES as OF_THE_RING, MISTAKES_OF_CLUSTERS

import pycnn
from pycnn.emulator import (
    AsyncCopyError,
    DeadlockError,
    KernelError,
    OutOfBoundsError,
    RaceError,
)
from pycnn.plan import conv as plans
from pycnn.plan._wgmma import ALONG, OF_CONV, TILES_OF_PATCHES, Way
from pycnn.plan.conv_wgmma import ENTRY as NAME
from pycnn.runtime.target import Target, planned_for, target

#: What is computed.
DIRECTIONS = {"forward": "y", "backward_input": "dx", "backward_weight": "dweight"}

#: More than a box of pixels over several images; steps, windows and padding of every kind.
CASES = {
    "3x2": Case(2, 16, 7, 9, 24, (3, 2)),
    "asymmetric": Case(1, 24, 11, 8, 40, (3, 3), ((0, 1), (2, 0)), stride=(2, 1)),
    "dilated": Case(2, 8, 13, 10, 16, (3, 3), ((2, 2), (2, 2)), dilation=(2, 3)),
    "groups": Case(2, 192, 7, 6, 24, (2, 3), groups=3, stride=(3, 2), dilation=(2, 1)),
    "1x1": Case(3, 40, 5, 7, 16, (1, 1), ((0, 0), (0, 0))),
    "1x1 strided": Case(2, 8, 7, 9, 16, (1, 1), ((0, 0), (0, 0)), stride=(2, 3)),
    "mostly padding": Case(1, 8, 3, 4, 8, (3, 3), ((3, 3), (3, 3))),
    "one column": Case(1, 8, 2, 1, 8),
    "odd filters": Case(2, 8, 7, 8, 13),
    "several tiles": Case(4, 72, 9, 11, 136),
}
PLENTY = 2**40

#: What sums over filters in groups takes 64 of them; and with steps there are phases of all kinds.
GRADIENTS = {
    "backward_input": {
        "3x2": CASES["3x2"],
        "asymmetric": CASES["asymmetric"],
        "dilated": CASES["dilated"],
        "groups": Case(2, 48, 7, 6, 128, (2, 3), groups=2, stride=(3, 2), dilation=(2, 1)),
        "1x1 strided": CASES["1x1 strided"],
        "mostly padding": CASES["mostly padding"],
        "odd channels": Case(2, 13, 7, 8, 8),
        "several tiles": Case(4, 136, 9, 11, 72),
    },
    "backward_weight": {
        name: case for name, case in CASES.items() if name not in ("1x1", "odd filters")
    },
}
each_gradient = pytest.mark.parametrize(
    ("direction", "case"),
    [
        pytest.param(direction, case, id=f"{direction}-{name}")
        for direction, cases in GRADIENTS.items()
        for name, case in cases.items()
    ],
)

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)
checked = pytest.mark.parametrize("backend", ["checked"], indirect=True)
pytestmark = pytest.mark.usefixtures(on_hopper.__name__)


def check(
    backend, rng, case, dtype="float16", limit=PLENTY, arrange=channels_last, direction="forward"
):
    arrays, output = draw(rng, case, dtype, arrange), DIRECTIONS[direction]
    got = Run(backend, NAME, limit)(case, direction, arrays, channels_last)
    assert_matches(got, case.expected(output, **arrays), dtype, case.terms(output))


@on_kernels
@each_case
def test_matches_oracle(backend, rng, case):
    check(backend, rng, case)


@on_kernels
@each_gradient
def test_gradients_match_oracle(backend, rng, direction, case):
    check(backend, rng, case, direction=direction)


@on_kernels
@pytest.mark.parametrize("direction", GRADIENTS)
def test_gradients_of_bfloat16(backend, rng, direction):
    check(backend, rng, GRADIENTS[direction]["3x2"], "bfloat16", direction=direction)


@on_kernels
@pytest.mark.parametrize("direction", ["forward", "backward_input"])
def test_sums_in_parts(backend, rng, monkeypatch, direction):
    """As many as there is room for; with an epilogue, and in groups."""
    monkeypatch.setattr("pycnn.plan._wgmma.ALONG", {})
    monkeypatch.setattr("pycnn.plan._wgmma._LAUNCH", 0)
    monkeypatch.setattr("pycnn.plan._wgmma._PART", 0)
    case = Case(2, 128, 3, 4, 128, (3, 2), groups=2)
    with planned_for(target()._replace(processors=132)):
        plan = plans.plan(case.problem(draw(rng, case)), direction, NAME, PLENTY)
        assert "implicit_gemm_finish" in [step.kernel.entry for step in plan.launches]
        check(backend, rng, case, direction=direction)
        check(backend, rng, case, direction=direction, limit=128 * 128 * 6 * 2)


@on_kernels
@pytest.mark.parametrize("case", ["3x2", "groups"])
def test_bfloat16(backend, rng, case):
    check(backend, rng, CASES[case], "bfloat16")


@checked
@pytest.mark.parametrize("tile", [tile for tile in OF_CONV if tile != min(OF_CONV)], ids=str)
def test_wide_tiles(backend, rng, monkeypatch, tile):
    """More than one, and a multiple of none."""
    monkeypatch.setattr("pycnn.plan._wgmma.OF_CONV", {tile: OF_CONV[tile][:1]})
    check(backend, rng, Case(2, 72, 11, 10, tile[1] + 8))


@checked
@pytest.mark.parametrize(("tile", "cluster"), [((128, 64), (1, 4)), ((192, 128), (1, 2))])
@pytest.mark.parametrize("filters", [200, 296])
def test_tiles_beside_each_other(backend, rng, monkeypatch, tile, cluster, filters):
    """Of some clusters the last tiles lie beyond the filters."""
    assert cluster in OF_CONV[tile]
    monkeypatch.setattr("pycnn.plan._wgmma.OF_CONV", {tile: (cluster,)})
    with planned_for(target()._replace(processors=16)):
        check(backend, rng, Case(2, 72, 11, 10, filters))


def added_up_in_clusters(monkeypatch, tile, along):
    """The blocks of a cluster have a part of the sums each."""
    way = Way(tile, along=along)
    monkeypatch.setattr("pycnn.plan._wgmma.best_way", lambda *_, **__: way)


EXHAUSTIVE = pytest.mark.exhaustive
OF_CLUSTERS = [
    pytest.param(tile, n, marks=() if (tile, n) == ((128, 64), 4) else EXHAUSTIVE)
    for tile, every in ALONG.items()
    for n in every
]


@checked
@pytest.mark.parametrize(("tile", "along"), OF_CLUSTERS)
@pytest.mark.parametrize("dtype", ["float16", pytest.param("bfloat16", marks=EXHAUSTIVE)])
def test_sums_of_clusters(backend, rng, monkeypatch, tile, along, dtype):
    """Eight steps of k, the last of each tap no whole one; no tile is whole."""
    added_up_in_clusters(monkeypatch, tile, along)
    case = Case(2, 72, 9, 11, tile[1] + 8, (2, 2), stride=(1, 2), pad=((1, 0), (0, 1)))
    plan = plans.plan(case.problem(draw(rng, case)), "forward", NAME, PLENTY)
    launch = plan.launches[-1]
    assert dict(launch.kernel.defines)["ALONG"] == str(along)
    assert launch.grid[0] == 2 * along
    check(backend, rng, case, dtype)


@on_kernels
@pytest.mark.parametrize("direction", ["forward", "backward_input"])
def test_sums_of_clusters_in_groups(backend, rng, monkeypatch, direction):
    """Of the gradient every phase by itself."""
    added_up_in_clusters(monkeypatch, (128, 64), 4)
    case = Case(3, 128, 3, 5, 128, (2, 2), groups=2)
    check(backend, rng, case, direction=direction)


@on_kernels
def test_end_of_sums_of_clusters(backend, rng, monkeypatch):
    added_up_in_clusters(monkeypatch, (128, 64), 4)
    case = Case(2, 72, 8, 9, 40, (2, 2), stride=(2, 1))
    arrays = draw(rng, case)
    end, finish, want = with_end(rng, case.expected("y", **arrays), gap=1)
    got = Run(backend, NAME, PLENTY, finish)(case, "forward", arrays | end, channels_last)
    assert_matches(got, want, "float16", case.terms("y"))


@checked
def test_sums_of_clusters_that_are_not_finite(backend, rng, monkeypatch):
    """A part that is infinite or NaN concerns its own pixel alone."""
    added_up_in_clusters(monkeypatch, (128, 64), 4)
    case = Case(1, 256, 5, 7, 8, (1, 1), ((0, 0), (0, 0)))
    arrays = draw(rng, case)
    arrays["x"][0, 3, 0, 0], arrays["x"][0, 255, 4, 6] = np.inf, np.nan
    got = Run(backend, NAME, PLENTY)(case, "forward", arrays, channels_last)
    assert np.isinf(got[0, :, 0, 0]).all()
    assert np.isnan(got[0, :, 4, 6]).all()
    assert np.isfinite(got).sum() == 8 * (5 * 7 - 2)


#: What is left out where the sums of a tile lie in several blocks, and what the emulator says. The
#: rest of the pipeline is that of one block.
MISTAKES = {
    "stages still read": ("cluster_sync();  // all stages", (AsyncCopyError, RaceError)),
    "parts not there yet": ("cluster_sync();  // all parts", (OutOfBoundsError, RaceError)),
}


def in_four_parts(rng, old, new):
    """What a checked build makes of it, and what is right."""
    case = Case(1, 128, 2, 67, 8, (2, 2))
    arrays = draw(rng, case)
    step = plans.plan(case.problem(arrays), "forward", NAME, PLENTY).launches[-1]
    last = {
        name: np.ascontiguousarray(arrays[name].transpose(0, 2, 3, 1)) for name in ("x", "weight")
    }
    y = np.zeros(np.array(case.y_shape)[[0, 2, 3, 1]], "float16")
    given = {"x": last["x"], "weight_last": last["weight"], "y": y}
    run_broken(step, given, old, new, via="ptx", arch=HOPPER.arch)
    return y.transpose(0, 3, 1, 2), case.expected("y", **arrays), case.terms("y")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_wrong_in_clusters_is_reported(rng, monkeypatch, mistake):
    monkeypatch.setenv("PYCNN_SCHEDULE", "reverse")
    added_up_in_clusters(monkeypatch, (128, 64), 4)
    old, error = MISTAKES[mistake]
    with pytest.raises(error):
        in_four_parts(rng, old, "//")


@pytest.mark.exhaustive
def test_as_it_stands_nothing_is_wrong_in_clusters(rng, monkeypatch):
    added_up_in_clusters(monkeypatch, (128, 64), 4)
    got, want, terms = in_four_parts(rng, "home == rank;\n}", "home == rank;\n}")
    assert_matches(got, want, "float16", terms)


#: Windows of 3x3, sides of the result multiples of 8; some of a tile is beyond it.
PATCHES = {
    "forward": Case(3, 136, 9, 14, 72, pad=((0, 1), (2, 2))),
    "backward_input": Case(2, 72, 16, 8, 136, pad=((0, 1), (2, 1))),
}


def in_patches(monkeypatch, tile):
    """Three taps of a copy."""
    way = Way(tile, cluster=2, taps=3)
    monkeypatch.setattr("pycnn.plan._wgmma.best_way", lambda *_, **__: way)


@on_kernels
@pytest.mark.parametrize("direction", PATCHES)
@pytest.mark.parametrize("tile", TILES_OF_PATCHES, ids=str)
def test_three_taps_of_a_copy(backend, rng, monkeypatch, tile, direction):
    in_patches(monkeypatch, tile)
    case = PATCHES[direction]
    plan = plans.plan(case.problem(draw(rng, case)), direction, NAME, PLENTY)
    assert f"{NAME}_3x3" in [step.kernel.entry for step in plan.launches]
    check(backend, rng, case, "bfloat16", direction=direction)


@on_kernels
def test_epilogue_of_three_taps(backend, rng, monkeypatch):
    """Results and residual with gaps."""
    in_patches(monkeypatch, TILES_OF_PATCHES[1])
    case = PATCHES["forward"]
    arrays = draw(rng, case)
    end, finish, want = with_end(rng, case.expected("y", **arrays), gap=1)
    got = Run(backend, NAME, PLENTY, finish)(case, "forward", arrays | end, channels_last)
    assert_matches(got, want, "float16", case.terms("y"))
    check(backend, rng, case, arrange=wider)


def three_taps(monkeypatch, old, new):
    """Run the kernel with a mistake in it: eight tiles on a cluster, more steps than stages."""
    monkeypatch.setenv("PYCNN_SCHEDULE", "reverse")
    in_patches(monkeypatch, TILES_OF_PATCHES[0])
    case = Case(3, 136, 9, 14, 200, pad=((0, 1), (2, 2)))
    shapes = {"x": (3, 9, 14, 136), "weight": (200, 3, 3, 136), "y": (3, 8, 16, 200)}
    arrays = {name: np.ones(shape, np.float16) for name, shape in shapes.items()}
    x, weight, y = (a.transpose(0, 3, 1, 2) for a in arrays.values())
    assert y.shape == case.y_shape
    problem = case.problem({"x": x, "weight": weight, "dy": y})
    with planned_for(Target("sm_90a", 2)):
        (step,) = plans.plan(problem, "forward", NAME, 0).launches
    assert step.kernel.entry == f"{NAME}_3x3"
    run_broken(step, arrays, old, new, via="ptx", arch="sm_90a")


#: What is wrong with the copies of patches.
MISTAKES_OF_PATCHES = {
    "a patch too few": ("group < CONSUMERS;", "group < CONSUMERS - 1;"),
    "a tap too few": ("int tap = 0; tap < TAPS; ++tap)  //", "int tap = 1; tap < TAPS; ++tap)  //"),
}
#: And with the ring; a cluster begins by other barriers than a block.
OF_A_BLOCK = "barriers used before they are"
OF_OTHERS = {n: m[:2] for n, m in OF_THE_RING.items() if n != OF_A_BLOCK} | {
    f"cluster: {n}": m[:2] for n, m in MISTAKES_OF_CLUSTERS.items()
}


@pytest.mark.parametrize(("old", "new"), MISTAKES_OF_PATCHES.values(), ids=MISTAKES_OF_PATCHES)
def test_what_is_wrong_with_patches_is_reported(monkeypatch, old, new):
    with pytest.raises(DeadlockError):
        three_taps(monkeypatch, old, new)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("old", "new"), OF_OTHERS.values(), ids=OF_OTHERS)
def test_what_is_wrong_with_the_ring_of_patches_is_reported(monkeypatch, old, new):
    with pytest.raises(KernelError):
        three_taps(monkeypatch, old, new)


def test_patches_as_they_are(monkeypatch):
    three_taps(monkeypatch, "TAPS * own", "TAPS * own")


@on_kernels
def test_epilogue(backend, rng):
    case = Case(2, 128, 7, 8, 96, (3, 2), groups=2, stride=(2, 1))
    arrays = draw(rng, case)
    want = case.expected("y", **arrays)
    end, finish, want = with_end(rng, want, gap=1)
    got = Run(backend, NAME, PLENTY, finish)(case, "forward", arrays | end, channels_last)
    assert_matches(got, want, "float16", case.terms("y"))


def wider(array):
    """Pixels, rows and images further apart than they have to be."""
    n, c, h, w = array.shape
    wide = np.zeros((n + 1, h + 2, w + 3, c + 8), array.dtype)[:n, 1 : h + 1, 2 : w + 2, :c]
    wide[:] = array.transpose(0, 2, 3, 1)
    return wide.transpose(0, 3, 1, 2)


@on_kernels
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_views(backend, rng, direction):
    check(backend, rng, CASES["3x2"], arrange=wider, direction=direction)


@on_kernels
def test_a_gradient_that_begins_elsewhere_is_not_stored_by_a_map(backend, rng):
    """Its pixels are apart, so that a map sees them as no contiguous array."""
    case = Case(2, 8, 2, 16, 8, (1, 5), ((0, 1), (0, 3)), stride=(1, 2))
    arrays = draw(rng, case)
    got = Run(backend, NAME, PLENTY)(case, "backward_input", arrays, misaligned)
    assert_matches(got, case.expected("dx", **arrays), "float16", case.terms("dx"))


@checked
def test_a_weight_with_channels_innermost_is_read_where_it_lies(backend, rng):
    case = CASES["groups"]
    arrays = draw(rng, case)
    arrays["weight"] = channels_last(arrays["weight"])
    got = Run(backend, NAME, 0)(case, "forward", arrays, channels_last)
    assert_matches(got, case.expected("y", **arrays), "float16", case.terms("y"))


@checked
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_deterministic(backend, rng, monkeypatch, direction):
    deterministic(backend, rng, monkeypatch, direction, NAME)


@checked
def test_traffic(backend, rng):
    case = Case(1, 64, 16, 16, 128)
    # No clusters: an arrival in another block counts as if it asked a bank of this one.
    with planned_for(target()._replace(processors=1)), counted(backend) as log:
        Run(backend, NAME)(case, "forward", draw(rng, case), channels_last)
    counters = log.of(NAME)
    assert counters.global_bytes_written == 2 * 16 * 16 * 128
    assert counters.global_store_requests == 0
    assert counters.bank_conflicts == 0


@checked
def test_traffic_of_pixels_apart(backend, rng):
    """No map describes those of dx that a phase computes: 16 bytes a thread, in whole sectors."""
    case = Case(1, 64, 16, 16, 64, (1, 1), ((0, 0), (0, 0)), stride=(2, 2))
    with planned_for(target()._replace(processors=1)), counted(backend) as log:
        Run(backend, NAME)(case, "backward_input", draw(rng, case), channels_last)
    counters = log.of(NAME)
    assert counters.global_store_sectors * 32 == 2 * 8 * 8 * 64
    assert counters.sectors_per_store == 16
    assert counters.bank_conflicts == 0


@on_kernels
@pytest.mark.parametrize("algo", [NAME, "auto"])
def test_by_its_name(backend, rng, algo):
    by_its_name(backend, rng, algo)


@checked
def test_another_kernel_where_x_begins_elsewhere(backend, rng):
    """Only the executor knows where: "auto" takes the other one, and by its name it is an error."""
    flat = rng.standard_normal(2 * 9 * 7 * 72 + 1).astype(np.float16)
    x = flat[1:].reshape(2, 9, 7, 72)
    weight = rng.standard_normal((88, 72, 3, 2)).astype(np.float16)
    want = Case(2, 72, 9, 7, 88, (3, 2)).expected("y", x.transpose(0, 3, 1, 2), weight, None)
    got = pycnn.conv2d(x, weight, padding=1, layout="NHWC")
    assert_matches(got, want.transpose(0, 2, 3, 1), "float16", 72 * 6)
    with pytest.raises(ValueError, match="tensor map of x: the array begins 2 bytes past"):
        pycnn.conv2d(x, weight, padding=1, layout="NHWC", algo=NAME)


@checked
@pytest.mark.parametrize("arch", ["sm_80", "sm_120"])
def test_elsewhere_it_is_refused(backend, monkeypatch, arch):
    monkeypatch.setenv("PYCNN_EMULATOR_ARCH", arch)
    x, weight = np.ones((1, 4, 4, 64), np.float16), np.ones((64, 64, 1, 1), np.float16)
    with pytest.raises(ValueError, match=f"architecture {arch}; allowed: {HOPPER.arch}"):
        pycnn.conv2d(x, weight, layout="NHWC", algo=NAME)
