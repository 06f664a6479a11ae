"""Plans of the losses."""

from dataclasses import replace
from math import prod

import pytest
from plan_checks import HUGE, assert_sound, struct

from pycnn.plan import loss, pointwise_loss
from pycnn.plan._strided import row_major
from pycnn.plan.loss import ClassLoss

SHAPES = [(1, 1), (300, 10), (5, 1025), (3, 21, 5, 7), (2, 5, 1, 1)]
REDUCTIONS = ["none", "sum", "mean"]
DIVISOR = {"none": None, "sum": 1, "mean": 35}


def problem(shape, reduction="mean", weighted=True, dtype="float32"):
    rest = shape[:1] + shape[2:]
    return ClassLoss(
        shape,
        row_major(shape),
        row_major(rest),
        1 if weighted else None,
        dtype,
        -100,
        reduction,
        0.1,
    )


def result(p):
    return p.positions if p.reduction == "none" else ()


def both(p, op="cross_entropy"):
    """Forward and backward."""
    dy = row_major(p.positions) if p.reduction == "none" else ()
    forward = getattr(loss, op)(p, result(p))
    return forward, getattr(loss, f"{op}_backward")(p, dy, p.shape)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_plan_is_sound(shape, reduction, weighted, dtype):
    p = problem(shape, reduction, weighted, dtype)
    for op, scores in (("cross_entropy", "logits"), ("nll_loss", "log_probabilities")):
        inputs = {scores, "target"} | ({"weight"} if weighted else set())
        forward, backward = both(p, op)
        assert_sound(forward, inputs)
        assert_sound(backward, {*inputs, "dy"})
        assert forward.outputs["loss"].shape == result(p)
        assert backward.outputs[f"d{scores}"].shape == shape
        assert len(forward.launches) == (1 if reduction == "none" else 2)
        assert len(backward.launches) == (3 if reduction == "mean" else 1)


def test_struct_describes_positions_and_classes():
    p = replace(problem((3, 5, 7), "none"), scores_strides=(1, 21, 3), target_strides=(1, 3))
    plan = both(p)[0]
    slices, classes = struct(plan), struct(plan, place=1)
    assert (slices["count"], slices["length"]) == (21, 5)
    assert slices["axis_stride"].tolist() == [21, 0, 0]
    assert slices["start"]["extent"][:2].tolist() == [3, 7]
    assert slices["start"]["stride"][:, :2].tolist() == [[1, 3], [1, 3], [7, 1]]
    assert (classes["weight_stride"], classes["ignore_index"]) == (1, -100)
    assert (classes["hard"], classes["smooth"]) == pytest.approx((0.9, 0.02))


def test_a_scalar_gradient_stands_still():
    slices = struct(both(problem((4, 5), "sum"))[1])
    assert slices["start"]["stride"][2].tolist() == [0] * 8


@pytest.mark.parametrize("shape", [(10**6, 10), (8, 21, 512, 512), (HUGE, 3)])
def test_partial_sums_are_few(shape):
    for plan in both(problem(shape)):
        assert plan.workspace_bytes <= 2 * 4 * 1024 + 4
        assert plan.launches[0].grid[0] == 1024


@pytest.mark.parametrize("shape", [(HUGE, 3), (3, HUGE), (3, 2, HUGE)])
def test_beyond_2_to_the_31(shape):
    p = problem(shape, "none")
    for plan in both(p):
        slices = struct(plan)
        assert slices["count"] == prod(p.positions)
        assert slices["count"] * slices["length"] == prod(shape)
        assert plan.launches[0].grid[0] * p.team().slots >= slices["count"]


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nothing_has_a_sum(reduction):
    forward, backward = both(problem((0, 5, 3), reduction))
    assert backward.launches == ()
    assert [x.kernel.entry for x in forward.launches] == ["loss_finish"] * (reduction != "none")
    assert_sound(forward, {"logits", "target", "weight"})


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weights", [(), ("weight",), ("weight", "pos_weight")])
@pytest.mark.parametrize("shape", [(), (3, 5, 7), (HUGE,), (0, 2)])
def test_pointwise_plans(shape, weights, reduction, dtype):
    inputs = {"logits": row_major(shape), "target": row_major(shape)}
    inputs |= {name: (0,) * len(shape) for name in weights}
    entry = "binary_cross_entropy"
    plan = pointwise_loss.loss(
        entry,
        entry,
        shape,
        inputs,
        dtype,
        weights=pointwise_loss.WEIGHTS,
        divisor=DIVISOR[reduction],
    )
    assert_sound(plan, set(inputs))
    assert plan.algo == ("strided" if weights else "vectors")
    given = inputs | {"dy": row_major(shape) if reduction == "none" else (0,) * len(shape)}
    plan = pointwise_loss.gradient(
        entry,
        entry,
        shape,
        given,
        dtype,
        weights=pointwise_loss.WEIGHTS,
        factor=1.0,
        one_dy=reduction != "none",
    )
    assert_sound(plan, set(given))
    assert plan.outputs["dlogits"].shape == shape
