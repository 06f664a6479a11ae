"""Plans of products of many matrices: what one launch covers."""

import numpy as np
import pytest
from plan_checks import assert_sound

from pycnn.plan._strided import row_major
from pycnn.plan.matmul import Matrices, products, summed_product
from pycnn.runtime.plan import Buffer

SIZE = (5, 7, 3)  # m, n, k


def planned(batch, a_steps, b_steps, size=SIZE):
    m, n, k = size
    a, b = Matrices("a", a_steps, k, 1), Matrices("b", b_steps, n, 1)
    return products("matmul", "y", (*batch, m, n), size, a, b, "float32", batch=batch)


def fields(plan, launch=0):
    return plan.launches[launch].args[-1]


def test_one_b_makes_the_batch_rows_of_a():
    plan = planned((2, 4), (4 * 15, 15), (0, 0))
    assert_sound(plan, {"a", "b"})
    assert len(plan.launches) == 1
    assert [int(fields(plan)[x]) for x in ("m", "n", "k", "batches")] == [2 * 4 * 5, 7, 3, 1]


def test_rows_that_do_not_follow_each_other_are_a_batch():
    plan = planned((2, 4), (100, 15), (0, 0))
    v = fields(plan)
    assert [int(v[x]) for x in ("m", "batches", "inner", "a_outer", "a_inner")] == [
        20,
        2,
        2,
        0,
        100,
    ]


def test_axes_merge_where_all_operands_step_evenly():
    plan = planned((2, 4), (4 * 15, 15), (4 * 21, 21))
    v = fields(plan)
    assert [int(v[x]) for x in ("m", "batches", "a_inner", "b_inner")] == [5, 8, 15, 21]


def test_third_level_is_a_launch_for_every_index():
    """Broadcast axes of both operands in turn: no two of them merge."""
    plan = planned((2, 4, 3), (3 * 15, 0, 15), (4 * 21, 21, 0))
    assert_sound(plan, {"a", "b"})
    assert [x.args[:3] for x in plan.launches] == [
        (Buffer("a", 4 * i * 45), Buffer("b", 4 * i * 84), Buffer("y", 4 * i * 12 * 35))
        for i in range(2)
    ]
    v = fields(plan)
    found = [int(v[x]) for x in ("batches", "inner", "a_outer", "a_inner", "b_outer", "b_inner")]
    assert found == [12, 3, 0, 15, 21, 0]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_sums_over_rows_are_rounded_once(dtype):
    """Rows that merge are summed by one product; others are added, in the type of sums."""
    whole = row_major((4, 6, 5))
    left, right = Matrices("dy", whole[:2], 0, 1), Matrices("x", whole[:2], 0, 1)
    plan = summed_product("linear", "dweight", (5, 5), (4, 6), left, right, dtype)
    assert [int(fields(plan)["k"])] == [24]
    assert len(plan.launches) == 1

    apart = Matrices("x", (50, 5), 0, 1)
    plan = summed_product("linear", "dweight", (5, 5), (4, 6), left, apart, dtype)
    assert_sound(plan, {"dy", "x"})
    products = [x for x in plan.launches if x.kernel.entry.startswith("gemm")]
    assert [int(x.args[-1]["k"]) for x in products] == [6] * 4
    assert [int(x.args[-1]["flags"]) & 1 for x in products] == [0, 1, 1, 1]
    entries = [x.kernel.entry for x in plan.launches[4:]]
    if dtype == "float32":
        assert entries == []
        assert plan.workspace == {}
    else:
        assert entries == ["conv_add_parts"]
        assert plan.workspace["partial"].dtype == np.float32


def test_nothing_to_compute():
    assert planned((0, 2), (30, 15), (0, 0)).launches == ()
    left = right = Matrices("x", (5,), 0, 1)
    assert summed_product("linear", "dweight", (0, 5), (3,), left, right, "float32").launches == ()
    empty = summed_product("linear", "dweight", (5, 5), (0,), left, right, "float32")
    assert int(fields(empty)["k"]) == 0  # zeros are written
