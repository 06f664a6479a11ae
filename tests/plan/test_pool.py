"""Plans of pooling."""

import pytest
from plan_checks import HUGE, assert_sound, struct, threads

from pycnn.plan import pool
from pycnn.plan._strided import row_major
from pycnn.plan.pool import Average, Window

WINDOW = Window((3, 2), (2, 1), ((1, 0), (1, 1)), (1, 2), ceil_mode=True)
FLAT = Window((3, 2), (2, 1), ((1, 0), (1, 1)))


def plans(shape, window=FLAT, dtype="float32"):
    """Every operation on x of `shape`, with its inputs."""
    strides = row_major(shape)
    out = row_major((*shape[:2], *window.positions(shape[2:])))
    yield pool.max_pool2d(shape, strides, dtype, window, True), {"x"}
    yield pool.max_pool2d(shape, strides, dtype, window, False), {"x"}
    yield pool.max_pool2d_backward(shape, out, out, dtype, window), {"dy", "indices"}
    yield pool.avg_pool2d(shape, strides, dtype, window, Average()), {"x"}
    yield pool.avg_pool2d_backward(shape, out, dtype, window, Average()), {"dy"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_plan_is_sound(dtype):
    shape = (2, 3, 9, 8)
    for plan, inputs in plans(shape, dtype=dtype):
        assert_sound(plan, inputs)
        result = next(iter(plan.outputs.values())).shape
        count = result[0] * result[1] * result[2] * result[3]
        assert result == (shape if plan.op.endswith("backward") else (2, 3, 4, 9))
        assert struct(plan)["count"] == count
        assert 0 <= threads(plan) - count < 256


def test_struct_has_every_parameter():
    p = struct(pool.max_pool2d((2, 3, 9, 8), (1, 2, 60, 6), "float32", WINDOW, True))
    names = "C H W P Q R S stride_h stride_w dilation_h dilation_w top bottom left right n c h w"
    values = [3, 9, 8, 5, 8, 3, 2, 2, 1, 1, 2, 1, 0, 1, 1, 1, 2, 60, 6]
    assert [int(p[name]) for name in names.split()] == values
    average = Average(count_include_pad=False, divisor=5)
    p = struct(pool.avg_pool2d((2, 3, 9, 8), (1, 2, 60, 6), "float32", FLAT, average))
    assert (p["count_include_pad"], p["divisor"]) == (0, 5)


def test_indices_only_if_asked_for():
    arguments = ((2, 3, 9, 8), (216, 72, 8, 1), "float32", FLAT)
    assert set(pool.max_pool2d(*arguments, True).outputs) == {"y", "indices"}
    without = pool.max_pool2d(*arguments, False)
    assert set(without.outputs) == {"y"}
    assert without.launches[0].args[2] is None


@pytest.mark.parametrize("shape", [(1, 1, 2**16, 2**16 + 1), (HUGE, 1, 3, 5), (1, 1, 3, HUGE)])
def test_beyond_2_to_the_31(shape):
    for plan, _ in plans(shape):
        p = struct(plan)
        result = next(iter(plan.outputs.values())).shape
        assert p["count"] == result[0] * result[1] * result[2] * result[3]
        assert threads(plan) >= p["count"]
        assert (p["H"], p["W"]) == shape[2:]


@pytest.mark.parametrize("shape", [(0, 3, 9, 8), (2, 0, 9, 8)])
def test_empty_launches_nothing(shape):
    for plan, _ in plans(shape):
        assert plan.launches == ()
        assert 0 in next(iter(plan.outputs.values())).shape


def test_plans_are_cached():
    first, second = plans((2, 3, 9, 8)), plans((2, 3, 9, 8))
    for (a, _), (b, _) in zip(first, second, strict=True):
        assert a is b
