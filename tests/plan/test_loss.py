"""Plans of the cross-entropy."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from plan_checks import HUGE, assert_sound, struct

from pycnn.plan import loss
from pycnn.plan._strided import row_major
from pycnn.plan.loss import CrossEntropy

SHAPES = [(1, 1), (300, 10), (5, 1025), (3, 21, 5, 7), (2, 5, 1, 1)]


def problem(shape, reduction="mean", weighted=True, dtype="float32"):
    rest = shape[:1] + shape[2:]
    return CrossEntropy(
        shape,
        row_major(shape),
        row_major(rest),
        1 if weighted else None,
        dtype,
        -100,
        reduction,
        0.1,
    )


def dy_strides(p):
    return row_major(p.positions) if p.reduction == "none" else ()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_plan_is_sound(shape, reduction, weighted, dtype):
    p = problem(shape, reduction, weighted, dtype)
    inputs = {"logits", "target"} | ({"weight"} if weighted else set())
    forward, backward = loss.cross_entropy(p), loss.cross_entropy_backward(p, dy_strides(p))
    assert_sound(forward, inputs)
    assert_sound(backward, {*inputs, "dy"})
    assert forward.outputs["loss"].shape == (p.positions if reduction == "none" else ())
    assert backward.outputs["dlogits"].shape == shape
    assert len(forward.launches) == (1 if reduction == "none" else 2)
    assert len(backward.launches) == (3 if reduction == "mean" else 1)


def test_struct_describes_positions_and_classes():
    p = replace(problem((3, 5, 7), "none"), logits_strides=(1, 21, 3), target_strides=(1, 3))
    plan = loss.cross_entropy(p)
    slices, classes = struct(plan), struct(plan, place=1)
    assert (slices["count"], slices["length"]) == (21, 5)
    assert slices["axis_stride"].tolist() == [21, 0, 0]
    assert slices["start"]["extent"][:2].tolist() == [3, 7]
    assert slices["start"]["stride"][:, :2].tolist() == [[1, 3], [1, 3], [7, 1]]
    assert (classes["weight_stride"], classes["ignore_index"]) == (1, -100)
    assert (classes["hard"], classes["smooth"]) == pytest.approx((0.9, 0.02))


def test_a_scalar_gradient_stands_still():
    slices = struct(loss.cross_entropy_backward(problem((4, 5), "sum"), ()))
    assert slices["start"]["stride"][2].tolist() == [0] * 8


@pytest.mark.parametrize("shape", [(10**6, 10), (8, 21, 512, 512), (HUGE, 3)])
def test_partial_sums_are_few(shape):
    p = problem(shape)
    for plan in (loss.cross_entropy(p), loss.cross_entropy_backward(p, ())):
        assert plan.workspace_bytes <= 2 * 4 * 1024
        assert plan.launches[0].grid[0] == 1024


@pytest.mark.parametrize("shape", [(HUGE, 3), (3, HUGE), (3, 2, HUGE)])
def test_beyond_2_to_the_31(shape):
    p = problem(shape, "none")
    for plan in (loss.cross_entropy(p), loss.cross_entropy_backward(p, dy_strides(p))):
        slices = struct(plan)
        assert slices["count"] == prod(p.positions)
        assert slices["count"] * slices["length"] == prod(shape)
        assert plan.launches[0].grid[0] * p.team().slots >= slices["count"]


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_empty_launches_nothing(reduction):
    p = problem((0, 5, 3), reduction)
    forward, backward = loss.cross_entropy(p), loss.cross_entropy_backward(p, dy_strides(p))
    assert forward.launches == backward.launches == ()
    assert backward.outputs["dlogits"].shape == (0, 5, 3)
    assert forward.outputs["loss"].dtype == np.float32


def test_plans_are_cached():
    assert loss.cross_entropy(problem((3, 5))) is loss.cross_entropy(problem((3, 5)))
