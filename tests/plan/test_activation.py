"""Plans of ReLU, and the description of views that they share with others."""

import numpy as np
import pytest
from plan_checks import HUGE, assert_sound, struct, threads

from pycnn.plan import activation
from pycnn.plan._strided import merge_axes, record, row_major, strided, strided_dtype


@pytest.mark.parametrize(("dtype", "width"), [("float32", 4), ("float64", 2)])
@pytest.mark.parametrize("shape", [(1,), (255, 3), (1024,), (1025,), (5, 7, 11, 13)])
def test_contiguous_threads_cover_all_elements(shape, dtype, width):
    plan = activation.relu(shape, row_major(shape), dtype)
    assert_sound(plan, {"x"})
    count = int(np.prod(shape))
    assert plan.algo == "vectors"
    assert 0 <= threads(plan) * width - count < 256 * width
    assert plan.launches[0].args[2] == count
    assert plan.bytes == 2 * count * np.dtype(dtype).itemsize


@pytest.mark.parametrize("strides", [(1, 3), (11, 2), (-6, -1), (0, 1), (6, 1)])
def test_other_strides_take_the_strided_kernel(strides):
    plan = activation.relu((3, 5), strides, "float32")
    assert_sound(plan, {"x"})
    assert (plan.algo, plan.launches[0].kernel.entry) == ("strided", "relu_strided")
    assert struct(plan)["stride"][0, :2].tolist() == list(strides)
    assert threads(plan) == 256


def test_backward_is_contiguous_only_if_both_are():
    contiguous, transposed = (5, 1), (1, 3)
    plans = [
        activation.relu_backward((3, 5), a, b, "float64")
        for a in (contiguous, transposed)
        for b in (contiguous, transposed)
    ]
    assert [plan.algo for plan in plans] == ["vectors", "strided", "strided", "strided"]
    for plan in plans:
        assert_sound(plan, {"dy", "x"})


def test_beyond_2_to_the_31():
    plan = activation.relu((HUGE,), (1,), "float32")
    assert plan.launches[0].args[2] == HUGE
    assert threads(plan) * 4 >= HUGE
    plan = activation.relu((HUGE, 3), (1, HUGE), "float32")
    assert threads(plan) >= 3 * HUGE
    assert struct(plan)["extent"][:2].tolist() == [HUGE, 3]
    assert struct(plan)["stride"][0, :2].tolist() == [1, HUGE]


def test_empty_launches_nothing():
    plan = activation.relu((3, 0), (0, 1), "float32")
    assert plan.launches == ()
    assert plan.outputs["y"].shape == (3, 0)


def test_plans_are_cached():
    assert activation.relu((3,), (1,), "float32") is activation.relu((3,), (1,), "float32")


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


def test_struct_has_no_padding():
    assert strided_dtype(3).itemsize == 8 * (1 + 8 + 3 * 8)
    value = record(strided_dtype(1), *strided((4, 6), [(1, 4)]))
    assert value["rank"] == 2
    assert value["extent"].tolist() == [4, 6, 0, 0, 0, 0, 0, 0]


def test_too_many_axes():
    shape, strides = (2,) * 9, tuple(2**k for k in range(9))
    with pytest.raises(ValueError, match=r"shape \(2, 2.* has 9 axes .*allowed: 8"):
        activation.relu(shape, strides, "float32")
