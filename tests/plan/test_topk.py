"""Plans of top-k."""

import pytest
from plan_checks import assert_sound, struct

from pycnn.plan import topk
from pycnn.plan._strided import row_major


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("k", [1, 5, 1000, 1024])
@pytest.mark.parametrize(("shape", "axis"), [((7, 1030), 1), ((1024, 3), 0), ((2, 50257), 1)])
def test_every_plan_is_sound(shape, axis, k, dtype):
    plan = topk.topk(shape, row_major(shape), axis, dtype, k, True)
    assert_sound(plan, {"x"})
    assert plan.launches[0].shared + topk.OWN_BYTES <= 48 * 1024
    p, params = struct(plan), struct(plan, place=1)
    assert (p["count"], p["length"]) == (shape[1 - axis], shape[axis])
    assert params["padded"] >= k > params["padded"] // 2
    result = plan.outputs["values"].shape
    strides = row_major(result)
    assert_sound(topk.topk_backward(shape, strides, strides, axis, dtype, k), {"dy", "indices"})


def test_empty_launches_nothing():
    assert topk.topk((0, 5), (5, 1), 1, "float32", 2, True).launches == ()


def test_more_than_a_block_can_sort():
    with pytest.raises(ValueError, match=r"k=1025; .*up to 1024"):
        topk.topk((2000,), (1,), 0, "float32", 1025, True)
