"""Winograd convolution, straight from its plans."""

from dataclasses import replace

import numpy as np
import pytest
from conv_plans import DIRECTIONS, Case, Run, channels_last, view
from gemm_cases import on_kernels
from op_checks import VIEWS, same_under_all_schedules, view_of

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.emulator import counting
from pycnn.plan._epilogue import Epilogue
from pycnn.plan.conv_winograd import TOLERANCE_FACTOR
from pycnn.testing.tolerance import compare

NAN, INF = np.nan, np.inf

#: Algorithm and direction, all there are.
BOTH = [
    (algorithm, direction)
    for algorithm in ("winograd_f2", "winograd_f4")
    for direction in DIRECTIONS
    if (algorithm, direction) != ("winograd_f4", "backward_weight")
]
each = pytest.mark.parametrize(("algorithm", "direction"), BOTH)

CASES = {
    "plain": Case(2, 5, 9, 11, 7),
    "groups and asymmetric padding": Case(3, 6, 7, 13, 4, pad=((0, 2), (3, 1)), groups=2),
    "no padding": Case(1, 3, 8, 5, 2, pad=((0, 0), (0, 0))),
    "one output": Case(1, 2, 3, 3, 5, pad=((0, 0), (0, 0))),
    "depthwise": Case(2, 3, 6, 7, 6, groups=3),
    "wide": Case(1, 2, 5, 301, 3, pad=((1, 0), (1, 2))),
    "large padding": Case(1, 2, 4, 3, 3, pad=((4, 3), (5, 2))),
    "many channels": Case(1, 37, 5, 6, 33),
}
PLAIN, GROUPED = CASES["plain"], CASES["groups and asymmetric padding"]


def assert_close(got, want, case, dtype, output, algorithm):
    """Within the factor of its own that Winograd has of the tolerance table."""
    assert got.dtype == numpy_dtype(dtype)
    error, allowed = compare(got, want, dtype, case.terms(output))
    assert error <= TOLERANCE_FACTOR[int(algorithm[-1])] * allowed


def check(backend, algorithm, direction, case, arrays, limit=2**28, arrange=lambda a: a):
    output, dtype = DIRECTIONS[direction], arrays["x"].dtype.name
    got = Run(backend, algorithm, limit)(case, direction, arrays, arrange)
    assert_close(got, case.expected(output, **arrays), case, dtype, output, algorithm)


@on_kernels
@each
@pytest.mark.parametrize("arrange", [np.asarray, channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_matches_oracle(backend, rng, algorithm, direction, case, arrange):
    arrays = case.arrays(rng, "float32", arrange)
    check(backend, algorithm, direction, case, arrays, arrange=arrange)


@on_kernels
@each
@pytest.mark.parametrize("dtype", FLOATS)
def test_dtypes(backend, rng, algorithm, direction, dtype):
    check(backend, algorithm, direction, GROUPED, GROUPED.arrays(rng, dtype))
    arrays = GROUPED.arrays(rng, dtype, channels_last)
    check(backend, algorithm, direction, GROUPED, arrays, arrange=channels_last)


@on_kernels
@each
@pytest.mark.parametrize("kind", VIEWS)
def test_views(backend, rng, algorithm, direction, kind):
    arrays = GROUPED.arrays(rng, "float32", lambda a: view_of(a, kind))
    check(backend, algorithm, direction, GROUPED, arrays)


@on_kernels
@each
def test_mixed_layouts(backend, rng, algorithm, direction):
    arrays = PLAIN.arrays(rng, "float32")
    arrays["dy"] = channels_last(arrays["dy"])
    check(backend, algorithm, direction, PLAIN, arrays)
    check(backend, algorithm, direction, PLAIN, arrays, arrange=channels_last)


@on_kernels
@each
def test_images_in_chunks(backend, rng, algorithm, direction):
    """With room for two images of five at a time, and their parts of unequal size."""
    case = replace(GROUPED, n=5)
    arrays = case.arrays(rng, "float32")
    run = Run(backend, algorithm, 110_000)
    got = run(case, direction, arrays)
    output = DIRECTIONS[direction]
    assert_close(got, case.expected(output, **arrays), case, "float32", output, algorithm)


@on_kernels
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("algorithm", ["winograd_f2", "winograd_f4"])
def test_padding_modes(backend, rng, algorithm, mode):
    case = Case(2, 3, 5, 6, 4, pad=((2, 1), (3, 4)), mode=mode)
    check(backend, algorithm, "forward", case, case.arrays(rng, "float32"))
    if algorithm == "winograd_f2":
        check(backend, algorithm, "backward_weight", case, case.arrays(rng, "float32"))


@on_kernels
@pytest.mark.parametrize("arrange", [np.asarray, channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("algorithm", ["winograd_f2", "winograd_f4"])
def test_epilogue(backend, rng, algorithm, arrange):
    case = replace(GROUPED, n=3)
    arrays = case.arrays(rng, "float32", arrange)
    bias, scale, shift = (rng.standard_normal(case.k).astype(np.float32) for _ in range(3))
    residual = channels_last(rng.standard_normal(case.y_shape).astype(np.float32))
    arrays |= {"bias": bias[::-1], "scale": scale, "shift": shift, "residual": residual}
    finish = Epilogue(-1, 1, 1, view(residual).strides, "leaky_relu", 0.25)
    given = {name: arrays[name] for name in ("x", "weight", "dy")}
    want = case.expected("y", **given) + bias[::-1, None, None]
    want = want * scale[:, None, None] + shift[:, None, None] + residual
    want = np.where(want < 0, 0.25 * want, want)
    for limit in (2**28, 90_000):
        got = Run(backend, algorithm, limit, finish)(case, "forward", arrays, arrange)
        assert_close(got, want, case, "float32", "y", algorithm)


@on_kernels
@each
def test_same_bits_in_every_order(backend, rng, monkeypatch, algorithm, direction):
    arrays = PLAIN.arrays(rng, "float32")
    run = Run(backend, algorithm)
    same_under_all_schedules(backend, monkeypatch, lambda: run(PLAIN, direction, arrays))


@on_kernels
@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("algorithm", ["winograd_f2", "winograd_f4"])
def test_special_values_stay_in_their_tiles(backend, rng, algorithm, value):
    """They reach every output whose window has them, and none of a tile that does not."""
    case, side = Case(2, 3, 17, 19, 4, pad=((0, 0), (0, 0))), int(algorithm[-1])
    arrays = case.arrays(rng, "float32")
    arrays["x"][1, 2, 9, 8] = value
    got = Run(backend, algorithm)(case, "forward", arrays)
    rows, cols = (slice(i // side * side, (i + 2) // side * side + side) for i in (7, 6))
    spread = np.zeros(case.y_shape, bool)
    spread[1, :, rows, cols] = True
    assert not np.isfinite(got[1, :, 7:10, 6:9]).any()
    assert np.isfinite(got[~spread]).all()


@pytest.mark.parametrize("backend", ["checked"], indirect=True)
@pytest.mark.parametrize("arrange", [np.asarray, channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize(("algorithm", "direction"), [b for b in BOTH if b[1] != "backward_input"])
def test_traffic_of_a_standard_layer(backend, rng, algorithm, direction, arrange):
    """Transforms move what they must; the product has no bank conflict.

    The gradient with respect to x takes the kernels of the forward direction.
    """
    case = Case(1, 64, 56, 56, 64)
    arrays = case.arrays(rng, "float32", arrange)
    with counting() as counted:
        Run(backend, algorithm)(case, direction, arrays, arrange)
    assert any(entry.startswith("winograd") for entry in counted.entries)
    for entry, traffic in counted.launches:
        if entry.startswith("winograd"):
            assert traffic.bytes_moved <= 1.1 * traffic.bytes_necessary, entry
        else:
            assert traffic.bank_conflicts == 0
