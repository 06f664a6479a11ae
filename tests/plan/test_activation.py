"""Plans of maps, with relu as the example, and the description of views that they share."""

import numpy as np
import pytest
from plan_checks import HUGE, assert_sound, struct, threads

from pycnn.define.activation import ACTIVATIONS
from pycnn.define.call import Call
from pycnn.define.views import View
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._map import map_plan
from pycnn.plan._strided import (
    broadcast_axes,
    broadcast_strides,
    merge_axes,
    row_major,
    strided,
)
from pycnn.runtime.plan import ArraySpec
from pycnn.testing.activation import TRIED


def relu(shape, strides, dtype):
    return map_plan("relu", "activation/relu.cu", shape, {"x": strides}, "y", dtype)


@pytest.mark.parametrize(("dtype", "width"), [("float16", 8), ("float32", 4), ("float64", 2)])
@pytest.mark.parametrize("shape", [(1,), (255, 3), (1024,), (1025,), (5, 7, 11, 13)])
def test_contiguous_threads_cover_all_elements(shape, dtype, width):
    plan = relu(shape, row_major(shape), dtype)
    assert_sound(plan, {"x"})
    count = int(np.prod(shape))
    assert plan.algo == "vectors"
    assert 0 <= threads(plan) * width - count < 256 * width
    assert plan.launches[0].args[2] == count


@pytest.mark.parametrize("strides", [(1, 3), (11, 2), (-6, -1), (0, 1), (6, 1)])
def test_other_strides_take_the_strided_kernel(strides):
    plan = relu((3, 5), strides, "float32")
    assert_sound(plan, {"x"})
    assert (plan.algo, plan.launches[0].kernel.entry) == ("strided", "relu_strided")
    assert struct(plan)["at"]["stride"][0, :2].tolist() == list(strides)
    assert threads(plan) == 256


@pytest.mark.parametrize(
    ("shape", "strides", "packed"),
    [
        ((3, 8), (12, 1), True),
        ((3, 8), (0, 1), True),
        ((3, 8), (1, 0), True),  # one element for all of a row
        ((3, 8), (9, 1), False),  # rows begin where no vector may
        ((3, 6), (12, 1), False),  # rows are no whole vectors
        ((3, 8), (16, 2), False),
        ((3, 8), (-12, -1), False),
    ],
)
def test_rows_of_whole_vectors_are_moved_as_such(shape, strides, packed):
    assert bool(struct(relu(shape, strides, "float32"))["packed"]) is packed


def test_all_operands_must_be_contiguous():
    for a in ((5, 1), (1, 3)):
        for b in ((5, 1), (1, 3)):
            inputs = {"dy": a, "x": b}
            plan = map_plan("relu_backward", "activation/relu.cu", (3, 5), inputs, "dx", "float64")
            assert_sound(plan, {"dy", "x"})
            assert plan.algo == ("vectors" if a == b == (5, 1) else "strided")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("strides", [(5, 1), (1, 3)], ids=["contiguous", "transposed"])
def test_every_activation_has_its_kernels(name, dtype, strides):
    op = ACTIVATIONS[name]
    views = {o.name: View((3, 5), strides, dtype) for o in op.operands}
    for settings in ({}, *TRIED.get(op.rule.name, ())):
        checked, inferred = op.infer(views, op.with_defaults(settings))
        outputs = {n: ArraySpec((3, 5), numpy_dtype(dtype)) for n in inferred}
        plan = op.plan(Call(dtype, views, checked, outputs))
        assert_sound(plan, set(views))
        assert plan.op == name


def test_beyond_2_to_the_31():
    plan = relu((HUGE,), (1,), "float32")
    assert plan.launches[0].args[2] == HUGE
    assert threads(plan) * 4 >= HUGE
    plan = relu((HUGE, 3), (1, HUGE), "float32")
    assert threads(plan) * 4 >= 3 * HUGE
    assert struct(plan)["at"]["extent"][:2].tolist() == [HUGE, 3]
    assert struct(plan)["at"]["stride"][0, :2].tolist() == [1, HUGE]


def test_empty_launches_nothing():
    plan = relu((3, 0), (0, 1), "float32")
    assert plan.launches == ()
    assert plan.outputs["y"].shape == (3, 0)


def test_broadcast_views():
    assert broadcast_strides((2, 3, 5), (3, 1), (7, 1)) == (0, 7, 0)
    assert broadcast_axes((2, 3, 5), (3, 1)) == (0, 2)
    assert broadcast_axes((2, 1, 5), (2, 1, 5)) == ()
    assert broadcast_axes((3, 0), (3, 1)) == (1,)


@pytest.mark.parametrize("seed", range(40))
def test_merged_axes_reach_the_same_elements(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(e) for e in rng.integers(1, 5, rng.integers(0, 6)))
    views = []
    for _ in range(2):
        base = np.arange(np.prod(shape, dtype=int) * 2 ** len(shape))
        order = rng.permutation(len(shape))
        steps = rng.choice([1, 1, 2, -1], len(shape))
        stored = [shape[axis] * abs(steps[axis]) for axis in order]
        base = np.arange(np.prod(stored, dtype=int)).reshape(stored)
        every = tuple(slice(None, None, step) for step in steps)
        views.append(base.transpose(np.argsort(order))[every])
    operands = [tuple(s // 8 for s in view.strides) for view in views]
    extents, merged = merge_axes(shape, operands)
    assert 1 not in extents
    assert len(extents) <= len(shape)
    for view, steps in zip(views, merged, strict=True):
        first = view.reshape(-1)[0]
        offsets = np.zeros((), int)
        for extent, step in zip(extents, steps, strict=True):
            offsets = offsets[..., None] + np.arange(extent) * step
        assert (first + offsets).ravel().tolist() == view.ravel().tolist()


def test_axes_that_are_not_in_use_are_zero():
    value = strided((4, 6), [(1, 4)])
    assert value["rank"] == 2
    assert value["extent"].tolist() == [4, 6, 0, 0, 0, 0, 0, 0]


def test_too_many_axes():
    shape, strides = (2,) * 9, tuple(2**k for k in range(9))
    with pytest.raises(ValueError, match=r"shape \(2, 2.* has 9 axes .*allowed: 8"):
        relu(shape, strides, "float32")
