"""Convolution by Fourier transforms, straight from its plans."""

from dataclasses import replace

import numpy as np
import pytest
from conv_plans import DIRECTIONS, Case, Run, channels_last, view
from gemm_cases import on_kernels
from op_checks import VIEWS, same_under_all_schedules, view_of

from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.emulator import counting
from pycnn.plan._epilogue import Epilogue
from pycnn.testing.tolerance import compare

each_direction = pytest.mark.parametrize("direction", DIRECTIONS)

CASES = {
    "large filter": Case(2, 3, 17, 15, 5, (11, 9), ((5, 4), (3, 2))),
    "groups, stride and dilation": Case(
        3, 6, 13, 16, 4, (3, 2), ((0, 2), (3, 1)), 2, stride=(2, 3), dilation=(3, 2)
    ),
    "one output": Case(1, 2, 4, 6, 5, (4, 6), ((0, 0), (0, 0))),
    "pixels between the windows": Case(1, 2, 11, 9, 3, (2, 2), ((0, 0), (0, 0)), stride=(3, 3)),
    "windows in the padding alone": Case(1, 2, 3, 4, 5, (2, 2), ((3, 3), (4, 3))),
    "depthwise": Case(2, 3, 9, 8, 6, (5, 5), ((2, 2), (2, 2)), 3),
    "one of everything": Case(1, 1, 1, 1, 1, (1, 1), ((0, 0), (0, 0))),
    "many channels": Case(1, 19, 6, 5, 21),
}
PLAIN, GROUPED = CASES["large filter"], CASES["groups, stride and dilation"]


def assert_close(got, want, case, dtype, output):
    assert got.dtype == numpy_dtype(dtype)
    error, allowed = compare(got, want, dtype, case.terms(output))
    assert error <= allowed


def check(backend, direction, case, arrays, limit=2**28, arrange=lambda a: a):
    output, dtype = DIRECTIONS[direction], arrays["x"].dtype.name
    got = Run(backend, "fft", limit)(case, direction, arrays, arrange)
    assert_close(got, case.expected(output, **arrays), case, dtype, output)


@on_kernels
@each_direction
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_matches_oracle(backend, rng, direction, case):
    check(backend, direction, case, case.arrays(rng, "float32"))


@on_kernels
@each_direction
@pytest.mark.parametrize("dtype", FLOATS)
def test_dtypes_in_both_layouts(backend, rng, direction, dtype):
    check(backend, direction, GROUPED, GROUPED.arrays(rng, dtype))
    arrays = GROUPED.arrays(rng, dtype, channels_last)
    check(backend, direction, GROUPED, arrays, arrange=channels_last)


@on_kernels
@each_direction
@pytest.mark.parametrize("kind", VIEWS)
def test_views(backend, rng, direction, kind):
    arrays = GROUPED.arrays(rng, "float32", lambda a: view_of(a, kind))
    check(backend, direction, GROUPED, arrays)


@on_kernels
@each_direction
def test_images_in_chunks(backend, rng, direction):
    """With room for two images of five at a time."""
    case = replace(PLAIN, n=5)
    check(backend, direction, case, case.arrays(rng, "float32"), limit=200_000)


@on_kernels
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("direction", ["forward", "backward_weight"])
def test_padding_modes(backend, rng, direction, mode):
    case = Case(2, 3, 5, 6, 4, (3, 4), ((2, 1), (3, 4)), mode=mode)
    check(backend, direction, case, case.arrays(rng, "float32"))


@on_kernels
@pytest.mark.parametrize("direction", ["forward", "backward_input"])
def test_epilogue(backend, rng, direction):
    """In the forward direction and, as transposed convolutions need it, after dx."""
    case, output = replace(GROUPED, n=4), DIRECTIONS[direction]
    arrays = case.arrays(rng, "float32")
    shape = case.y_shape if output == "y" else arrays["x"].shape
    bias, scale, shift = (rng.standard_normal(shape[1]).astype(np.float32) for _ in range(3))
    residual = channels_last(rng.standard_normal(shape).astype(np.float32))
    want = case.expected(output, **arrays) + bias[::-1, None, None]
    want = np.maximum(want * scale[:, None, None] + shift[:, None, None] + residual, 0)
    arrays |= {"bias": bias[::-1], "scale": scale, "shift": shift, "residual": residual}
    finish = Epilogue(-1, 1, 1, view(residual).strides, "relu")
    for limit in (2**28, 90_000):
        got = Run(backend, "fft", limit, finish)(case, direction, arrays)
        assert_close(got, want, case, "float32", output)


@on_kernels
@each_direction
def test_same_bits_in_every_order(backend, rng, monkeypatch, direction):
    arrays = PLAIN.arrays(rng, "float32")
    run = Run(backend, "fft")
    same_under_all_schedules(backend, monkeypatch, lambda: run(PLAIN, direction, arrays))


@on_kernels
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_special_values_stay_in_their_image(backend, rng, value):
    arrays = PLAIN.arrays(rng, "float32")
    arrays["x"][1, 2, 9, 8] = value
    got = Run(backend, "fft")(PLAIN, "forward", arrays)
    assert not np.isfinite(got[1]).any()
    assert np.isfinite(got[0]).all()


@pytest.mark.parametrize("backend", ["checked"], indirect=True)
@each_direction
def test_traffic_of_a_standard_layer(backend, rng, direction):
    """Padding and cropping move what they must; no kernel has a bank conflict.

    The taps of dweight are 11 elements of each row: whole sectors are more than that.
    """
    case = Case(1, 16, 56, 56, 16, (11, 11), ((5, 5), (5, 5)))
    with counting() as counted:
        Run(backend, "fft")(case, direction, case.arrays(rng, "float32"))
    assert {*counted.entries} == {"fft_pad", "fft_product", "fft_crop"}
    for entry, traffic in counted.launches:
        assert traffic.bank_conflicts == 0
        if entry == "fft_pad" or (entry, direction) == ("fft_crop", "forward"):
            assert traffic.bytes_moved <= 1.1 * traffic.bytes_necessary
