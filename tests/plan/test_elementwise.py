"""Plans of broadcasting, of the sums of its gradients, and of dropout."""

import numpy as np
import pytest
from plan_checks import HUGE, assert_sound, struct, threads

from pycnn.plan import add_n, elementwise, prelu
from pycnn.plan._map_sum import MapSum, _cut
from pycnn.plan._strided import row_major
from pycnn.plan.dropout import Mask, dropout


def passes(own, shape=(4, 6, 8), dtype="float32"):
    dy = row_major(shape)
    strides = dict.fromkeys(own, (0,) * len(shape))
    return (
        elementwise.add_backward(shape, dy, own, dtype, 2.0),
        elementwise.mul_backward(shape, dy, own, strides, dtype),
    )


@pytest.mark.parametrize(
    ("a", "b", "launches", "ends"),
    [
        ((4, 6, 8), (4, 6, 8), 1, ("backward", "strided")),  # b's strides are zero here
        ((4, 6, 8), (6, 1), 1, ("rows",)),
        ((4, 6, 8), (8,), 1, ("columns",)),
        ((6, 8), (4, 6, 8), 1, ("columns",)),
        ((4, 1, 8), (6, 1), 2, ("rows", "columns")),  # neither goes along with the other
    ],
)
def test_one_pass_where_one_operand_is_whole(a, b, launches, ends):
    for plan in passes({"a": a, "b": b}):
        assert_sound(plan, {"dy", "a", "b"})
        assert len(plan.launches) == launches
        assert all(x.kernel.entry.endswith(ends) for x in plan.launches)
        assert plan.outputs["da"].shape == a
        assert plan.outputs["db"].shape == b


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("sums", [1, 5, 64, 1000, 10**6])
@pytest.mark.parametrize("terms", [0, 1, 31, 257, 12345, HUGE])
def test_parts_cover_all_terms_once(sums, terms, rows):
    parts, part_terms = _cut(sums, terms, rows)
    assert parts >= 1
    assert (parts - 1) * part_terms < max(terms, 1) <= parts * part_terms
    assert parts <= (8192 if rows else 1024)
    assert part_terms % (32 if rows else 8) == 0


def test_parts_are_kept_in_the_type_of_the_sum():
    both = MapSum(
        file="elementwise/add.cu",
        entry="add_backward",
        shape=(3, 100_000),
        inputs=(("dy", (100_000, 1)),),
        mapped=None,
        total="db",
        summed=(1,),
        dtype="float16",
        constants=(0.0, 1.0),
    )
    (first, second), workspace = both.launches()
    assert workspace["db_parts"].dtype == np.float32
    sums, parts = workspace["db_parts"].shape
    assert sums == 3
    assert first.grid[0] * 8 >= 3 * parts
    assert second.kernel.entry == "partial_sums"


def test_empty_sums_are_written():
    plan = elementwise.add_backward((3, 0), (0, 1), {"a": (3, 1), "b": (1, 0)}, "float32", 1.0)
    (launch,) = plan.launches
    assert launch.kernel.entry == "add_backward_rows"
    assert struct(plan)["terms"] == 0


def test_prelu_reads_a_slope_once_a_sum():
    inputs = {"dy": (20, 4, 1), "x": (20, 4, 1), "weight": (0, 1, 0)}
    plan = prelu.prelu_backward((3, 5, 4), inputs, (1, 5, 1), (5,), "float32")
    assert_sound(plan, {"dy", "x", "weight"})
    assert struct(plan)["fixed"] == 0b100
    assert (struct(plan)["sums"], struct(plan)["terms"]) == (5, 12)


def test_add_n_pads_with_null_pointers():
    plan = add_n.add_n((3, 5), {"tensors[0]": (5, 1), "tensors[1]": (0, 1)}, "float32")
    assert_sound(plan, {"tensors[0]", "tensors[1]"})
    assert plan.launches[0].args[2:8] == (None,) * 6
    plan = add_n.add_n_backward(
        (3, 5), (5, 1), {"dtensors[0]": (3, 5), "dtensors[1]": (5,)}, "float32"
    )
    assert [x.kernel.entry for x in plan.launches] == ["add_n_backward", "add_backward_columns"]


@pytest.mark.parametrize(("strides", "entry"), [((5, 1), ""), ((1, 3), "_strided")])
def test_dropout(strides, entry):
    mask = Mask(seed=2**64 - 1, offset=2**63, threshold=2**32, scale=0.0)
    plan = dropout("dropout_backward", (3, 5), strides, mask, "float16", ("dy", "dx"))
    assert_sound(plan, {"dy"})
    assert plan.launches[0].kernel.entry == f"dropout{entry}"
    assert struct(plan).tolist() == (2**64 - 1, 2**63, 2**32, 15, 1)
    assert threads(plan) == 256
