"""Plans of convolutions of 8-bit integers."""

from functools import partial

import numpy as np
import pytest
from plan_checks import HUGE, assert_sound, struct, threads

import pycnn
from pycnn.define.views import View
from pycnn.dtypes import numpy_dtype
from pycnn.plan import conv_int8
from pycnn.plan._implicit import Chunked
from pycnn.plan.conv_int8 import Convolving, Quantised
from pycnn.plan.conv_problem import Problem
from pycnn.runtime.plan import ArraySpec

bytes_of = partial(View.contiguous, dtype="int8")


def problem(x, weight, y, dtype="int8", last=True, **more):
    """Contiguous in the order that `last` says, the weight too."""
    views = (View.contiguous(shape, dtype, last) for shape in (x, weight, y))
    return Problem(*views, **more)


WORDS = problem((2, 8, 5, 7), (3, 8, 2, 3), (2, 3, 4, 5))
ARRAYS = {"x", "weight", "x_zero_point", "weight_zero_point"}
SCALES = {"x_scale", "weight_scale", "y_scale", "y_zero_point", "bias"}


def planned(given, dtype, algo="direct", limit=0, n=2):
    """Of sums where `dtype` is int32."""
    op = "conv2d_integer" if dtype == "int32" else "qlinear_conv2d"
    output = ArraySpec((n, 4, 5, 3), np.dtype(dtype))
    return Convolving(given, op, limit, output).plan(algo)


@pytest.mark.parametrize("weight", ["int8", "uint8"])
@pytest.mark.parametrize("x", ["int8", "uint8"])
def test_every_plan_is_sound(x, weight):
    given = Quantised(problem((2, 8, 5, 7), (3, 8, 2, 3), (2, 3, 4, 5), x), weight)
    plan = planned(given, "int32")
    assert_sound(plan, ARRAYS)
    assert 120 <= threads(plan) < 120 + conv_int8.BLOCK
    for dtype, limits in (("int8", (-128, 127)), ("uint8", (0, 255))):
        plan = planned(given, dtype)
        assert_sound(plan, ARRAYS | SCALES)
        own = struct(plan, place=1)
        assert (own["lowest"], own["highest"]) == limits


def test_what_is_absent_is_a_null_pointer():
    given = Quantised(WORDS, "int8", x_zero=False, weight_zero=None, bias=None)
    (launch,) = planned(given, "int32").launches
    assert launch.args[2:4] == (None, None)
    (launch,) = planned(given, "int8").launches
    assert [launch.args[i] for i in (2, 5, 8)] == [None] * 3


def test_strides_along_the_filters():
    given = Quantised(WORDS, "int8", weight_zero=HUGE, weight_scale=-3, bias=2)
    own = struct(planned(given, "int8"), place=1)
    assert (own["weight_zero_k"], own["weight_scale_k"], own["bias_k"]) == (HUGE, -3, 2)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (WORDS, True),
        (problem((2, 8, 5, 7), (3, 8, 2, 3), (2, 3, 4, 5), last=False), False),
        (problem((2, 6, 5, 7), (3, 6, 2, 3), (2, 3, 4, 5)), False),
        (problem((2, 24, 5, 7), (4, 12, 2, 3), (2, 4, 4, 5), groups=2), True),
        (problem((2, 12, 5, 7), (4, 6, 2, 3), (2, 4, 4, 5), groups=2), False),
        (problem((1, 8, 5, 7), (3, 8, 1, 1), (1, 3, 5, 7), last=False), False),
        (
            Problem(
                bytes_of((1, 8, 5, 7), channels_last=True),
                bytes_of((3, 8, 1, 1)),
                bytes_of((1,) * 4),
            ),
            True,
        ),
        (
            Problem(View((2, 4, 3, 3), (90, 1, 30, 10), "int8"), WORDS.weight, bytes_of((1,) * 4)),
            False,
        ),
    ],
    ids=[
        "channels last",
        "channels first",
        "6 channels",
        "12 a group",
        "6 a group",
        "x channels first",
        "1x1 filters are channels last in either order",
        "steps of no whole words",
    ],
)
def test_words(given, expected):
    assert conv_int8.words(given) is expected


def test_empty_launches_nothing():
    given = Quantised(problem((0, 8, 5, 7), (3, 8, 2, 3), (0, 3, 4, 5)), "int8")
    assert planned(given, "int32", n=0).launches == ()


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_tensor_cores(dtype):
    """A copy of the weight where its channels are not innermost, within the limit."""
    shapes = (2, 48, 5, 7), (40, 48, 2, 3), (2, 40, 4, 5)
    given = Quantised(problem(*shapes), "int8")
    plan = planned(given, dtype, "implicit_gemm_mma")
    assert_sound(plan, ARRAYS | SCALES)
    assert len(plan.launches) == 1
    x, y = (bytes_of(shape, channels_last=True) for shape in (shapes[0], shapes[2]))
    turned = Quantised(Problem(x, bytes_of(shapes[1], channels_last=False), y), "int8")
    assert not conv_int8.words(turned.problem)
    plan = planned(turned, dtype, "implicit_gemm_mma", 40 * 48 * 6)
    assert_sound(plan, ARRAYS | SCALES)
    assert len(plan.launches) == 2
    with pytest.raises(ValueError, match="needs 11520 bytes of workspace; allowed: 11519"):
        planned(turned, dtype, "implicit_gemm_mma", 40 * 48 * 6 - 1)
    assert planned(turned, dtype, "auto", 40 * 48 * 6 - 1).algo == "direct"


def test_a_weight_of_single_taps_is_read_in_chunks_whatever_its_order():
    x, y = (View.contiguous(shape, "int8", True) for shape in ((2, 48, 5, 7), (2, 32, 5, 7)))
    plans = [
        planned(Quantised(Problem(x, w, y), "int8"), "int32", "implicit_gemm_mma")
        for w in (View.contiguous((32, 48, 1, 1), "int8", last) for last in (False, True))
    ]
    first, second = (int(struct(plan)["vectors"]) for plan in plans)
    assert first == second == Chunked.OPERANDS | Chunked.C


def test_what_no_algorithm_takes_is_refused_with_the_reason_of_each():
    a, b = (np.broadcast_to(np.int8(1), shape) for shape in ((2**31 - 2**17, 3), (3, 2**20)))
    with pytest.raises(ValueError, match=r"'auto' does not fit; direct: .*blocks.*; wgmma: "):
        pycnn.explain("matmul_integer", a, b)


@pytest.mark.parametrize(
    ("algo", "a", "zero", "message"),
    [
        ("implicit_gemm_mma", (3, 5), None, "a has 5 columns; allowed: multiples of 16"),
        ("implicit_gemm_mma", (64, 3), None, r"strides \(1, 3\) of a; allowed: columns next to"),
        ("wgmma", (3, 32), 1, "zero points of a or of b; allowed: none"),
        ("wgmma", (64, 3), None, r"strides \(1, 3\) of a; allowed: columns next to"),
        ("wgmma", (3, 0), None, "a has no columns; allowed: 1 and more"),
    ],
)
def test_a_product_is_refused_in_the_words_of_products(monkeypatch, algo, a, zero, message):
    monkeypatch.setenv("PYCNN_EMULATOR_ARCH", "sm_90a")
    a = np.zeros(a, np.int8)
    a = a.T if len(a) > 3 else a  # by columns
    b = np.zeros((a.shape[1], 4), np.int8)
    with pycnn.use_backend("emulator"), pytest.raises(ValueError, match=message):
        pycnn.matmul_integer(a, b, None if zero is None else np.int8(zero), algo=algo)


@pytest.mark.parametrize("names", [("x", "weight"), ("a", "b")])
def test_strides_are_those_of_what_the_caller_has(monkeypatch, names):
    monkeypatch.setenv("PYCNN_EMULATOR_ARCH", "sm_90a")
    a, b = np.zeros((3, 24), np.int8), np.zeros((24, 4), np.int8)
    message = r"strides \(0, 0, 24, 1\) of {} and \(.*\) of {}; allowed: 1 for".format(*names)
    x, weight = a[:, None, None], b.T[:, :, None, None]
    call = {
        "x": lambda: pycnn.conv2d_integer(x, weight, layout="NHWC", algo="wgmma"),
        "a": lambda: pycnn.matmul_integer(a, b, algo="wgmma"),
    }[names[0]]
    with pycnn.use_backend("emulator"), pytest.raises(ValueError, match=message):
        call()


def test_what_no_scaled_product_takes_is_refused_with_the_reason_of_each():
    number = np.zeros((), numpy_dtype("float8_e4m3fn"))
    a, b = (np.broadcast_to(number, shape) for shape in ((2**20, 16), (16, 2**20)))
    one = np.float32(1)
    with pytest.raises(ValueError, match=r"'auto' does not fit; wgmma: .*; direct: .*blocks"):
        pycnn.explain("scaled_mm", a, b, one, one)


@pytest.mark.parametrize("shape", [(2, 3, 4, 1), (2, 3, 1, 1), (2, 3, 4, 5)])
def test_channels_are_last_whatever_the_stride_of_a_single_column(shape):
    _, c, h, w = shape
    assert View(shape, (c * h * w, 1, c * w, 1 if w == 1 else c), "float32").channels_last
