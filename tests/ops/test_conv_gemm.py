"""`im2col` and `gemm_1x1`, a plan at a time, against the oracle; `auto` is in test_conv.py."""

import numpy as np
import pytest
from conv_plans import DIRECTIONS, Case, Run, channels_last, draw, view
from op_checks import assert_matches

from pycnn.plan._epilogue import Epilogue

NONE = ((0, 0), (0, 0))
GENERAL = Case(3, 6, 9, 7, 9, (2, 4), groups=3, stride=(3, 2), dilation=(2, 1))
ONE = Case(3, 10, 5, 7, 14, (1, 1), NONE, groups=2)
LINES = Case(2, 6, 7, 9, 3, (1, 1), NONE, stride=(2, 3))  # rows of pixels with gaps between them
PLENTY = 2**40

each_layout = pytest.mark.parametrize("arrange", [np.array, channels_last], ids=["NCHW", "NHWC"])
on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)
each_algorithm = pytest.mark.parametrize(
    ("algo", "case"), [("im2col", GENERAL), ("im2col", ONE), ("gemm_1x1", ONE)], ids=str
)


def check(backend, rng, algo, case, direction, dtype, arrange, limit=PLENTY):
    arrays, output = draw(rng, case, dtype, arrange), DIRECTIONS[direction]
    got = Run(backend, algo, limit)(case, direction, arrays, arrange)
    assert_matches(got, case.expected(output, **arrays), dtype, case.terms(output))


@on_kernels
@each_algorithm
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@each_layout
def test_matches_oracle(backend, rng, algo, case, dtype, direction, arrange):
    """Partial sums of dx and dweight are not rounded to 16 bits on the way."""
    check(backend, rng, algo, case, direction, dtype, arrange)


@on_kernels
@each_layout
def test_lines_of_pixels(backend, rng, arrange):
    check(backend, rng, "gemm_1x1", LINES, "forward", "float32", arrange)


@on_kernels
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_some_images_at_a_time(backend, rng, direction, dtype):
    """The next images add their products to what the first ones have left."""
    size = 4 if dtype == "float32" else 2
    columns, weight = 6 * 8 * 4 * 4 * 4, 9 * 2 * 8 * 4  # in floats
    limit = {"forward": 2 * columns // 4 * size, "backward_input": 2 * columns}
    limit["backward_weight"] = 2 * (columns // 4 * size + weight)
    check(backend, rng, "im2col", GENERAL, direction, dtype, np.array, limit[direction])


@on_kernels
@pytest.mark.parametrize(("algo", "case"), [("im2col", GENERAL), ("gemm_1x1", LINES)], ids=str)
@each_layout
def test_epilogue(backend, rng, algo, case, arrange):
    arrays = draw(rng, case, "float32", arrange)
    want = case.expected("y", **arrays)
    n, c, h, w = want.shape
    scale = rng.standard_normal((c, 2)).astype(np.float32)[:, 1]
    residual = arrange(rng.standard_normal((n, c + 1, h, w)).astype(np.float32))[:, 1:]
    finish = Epilogue(scale=2, residual=view(residual).strides, activation="relu6")
    end = {"scale": scale, "residual": residual}
    got = Run(backend, algo, PLENTY, finish)(case, "forward", arrays | end, arrange)
    want = want * scale.astype(np.float64)[:, None, None] + residual
    assert_matches(got, want.clip(0, 6), "float32", case.terms("y"))
