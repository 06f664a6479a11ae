"""Plans of interpolation."""

from math import prod

import numpy as np
import pytest
from plan_checks import assert_sound, struct, threads

from pycnn.define.views import View
from pycnn.plan import resize, resize_filter
from pycnn.plan._strided import row_major
from pycnn.plan.resize import ROUNDINGS, Axis, interpolate, interpolate_backward
from pycnn.plan.resize_filter import KINDS, FilterAxis

PLAIN = {None: Axis(1, 1), "floor": Axis(1, 1, rounding="floor")}


def centred(extent, resized, rounding=None):
    return Axis(extent, resized, float(extent), float(resized), 0.5, -0.5, rounding)


def both(n, c, h, w, channels_last=False, dtype="float32"):
    """Plans for axes h and w."""
    plans = []
    for extents in ([h.extent, w.extent], [h.resized, w.resized]):
        shape = (n, *extents, c) if channels_last else (n, c, *extents)
        strides = row_major(shape)
        if channels_last:
            strides = (strides[0], strides[3], 0, strides[1], strides[2])
        else:
            strides = (strides[0], strides[1], 0, strides[2], strides[3])
        plans.append(View((n, c, 1, *extents), strides, dtype))
    axes = (PLAIN["floor" if h.rounding else None], h, w)
    y = (n, h.resized, w.resized, c) if channels_last else (n, c, h.resized, w.resized)
    x = (n, h.extent, w.extent, c) if channels_last else (n, c, h.extent, w.extent)
    return (
        interpolate(plans[0], axes, y, channels_last),
        interpolate_backward(plans[1], axes, x, channels_last),
    )


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("h", "w"), [(12, 4), (4, 12)])
def test_doubling_counts_rows_and_columns_as_far_as_an_int(monkeypatch, h, w, channels_last):
    assert 2 * resize.LONGEST + 2 * resize.DOUBLE_STRIP < 2**31
    for most, taken in ((12, True), (11, False)):
        monkeypatch.setattr(resize, "LONGEST", most)
        for plan in both(1, 8, centred(h, 2 * h), centred(w, 2 * w), channels_last, "float16"):
            assert (plan.algo == "double") == taken


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("rounding", [None, "floor"])
@pytest.mark.parametrize(("extent", "resized"), [(28, 56), (7, 15), (200, 300), (30, 11)])
def test_every_plan_is_sound(extent, resized, rounding, channels_last, dtype):
    h, w = centred(extent, resized, rounding), centred(extent + 1, resized + 2, rounding)
    for plan, inputs in zip(both(2, 37, h, w, channels_last, dtype), "xd", strict=True):
        assert_sound(plan, {"x"} if inputs == "x" else {"dy"})
        shape = next(iter(plan.outputs.values())).shape
        v = struct(plan)
        if plan.algo == "double":
            assert resized == 2 * extent
            assert threads(plan) * 16 * 4 >= prod(shape)
            continue
        rows = resized if inputs == "x" else extent
        assert v["strips"] == -(-rows // int(v["band"]))
        assert threads(plan) * int(v["band"]) * 8 >= prod(shape)
        # 37 channels are no whole vectors
        assert plan.launches[0].kernel.entry.startswith("resize_any") == channels_last


def test_only_what_doubles_half_pixels_is_doubled():
    linear, nearest = centred(5, 10), Axis(5, 10, 5.0, 10.0, rounding="floor")
    exact = centred(5, 10, "round_prefer_ceil")
    for own, last in ((linear, False), (nearest, True), (exact, False)):
        assert [plan.algo for plan in both(1, 8, own, own, last)] == ["double"] * 2
    corners = Axis(5, 10, 4.0, 9.0)
    above = Axis(5, 10, 5.0, 10.0, rounding="ceil")
    for other in (corners, Axis(5, 10, 1.0, 2.0), centred(5, 11)):
        assert both(1, 8, linear, other)[0].algo == "strips"
    assert both(1, 8, nearest, above)[1].algo == "strips"
    assert both(1, 3, linear, linear, channels_last=True)[0].algo == "strips"  # no whole vectors


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("extent", "resized"), [(28, 42), (28, 7), (7, 1025), (1025, 7), (3, 30)])
def test_gradients_keep_as_many_weights_as_reach_a_column(extent, resized, channels_last):
    axis = centred(extent, resized)
    plan = both(1, 8, axis, axis, channels_last)[1]
    first, last = axis.ranges
    span, kernel = (last - first).max(), plan.launches[0].kernel
    kept = int(dict(kernel.defines)["SPAN"])
    assert kept in ((3, 4, 8) if "tile" in kernel.entry else (0, 4, 8))
    assert kept == 0 or span <= kept
    large = max(extent, resized) > resize.TABLE or span > 8
    assert (kept == 0) == large
    assert kernel.entry.startswith("resize_any") == (large and not channels_last)


@pytest.mark.parametrize("rounding", [None, *ROUNDINGS])
@pytest.mark.parametrize(("extent", "resized"), [(1, 5), (5, 1), (4, 7), (7, 4), (3, 30)])
def test_ranges_are_the_inverse_of_taps(extent, resized, rounding):
    axis = centred(extent, resized, rounding)
    lower, upper, weight = axis.taps
    assert (np.diff(lower) >= 0).all()
    assert (np.diff(upper) >= 0).all()
    assert ((weight >= 0) & (weight < 1)).all()
    first, last = axis.ranges
    for i in range(extent):
        made = [o for o in range(resized) if i in (lower[o], upper[o])]
        assert list(range(first[i], last[i])) == made


def test_empty_launches_nothing():
    for plan in both(0, 3, centred(5, 7), centred(5, 7)):
        assert plan.launches == ()


def test_struct_has_every_parameter():
    forward, _ = both(2, 6, centred(4, 9), centred(5, 8), channels_last=True)
    v = struct(forward)
    assert v["h"].tolist() == (4.0, 9.0, 0.5, -0.5, 4, 9, 0)
    assert [int(v[name]) for name in ("outer", "channels", "inner")] == [2, 1, 6]
    assert [int(v[name]) for name in ("n", "c", "sd", "sh", "sw", "si")] == [120, 0, 0, 30, 6, 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("extent", "resized"), [(1, 1), (5, 9), (17, 4), (4, 1), (3, 300)])
def test_filters_add_up_to_one_within_x(kind, extent, resized):
    axis = FilterAxis(extent, resized, float(extent), float(resized), 0.5, -0.5, kind)
    index, weights, there = axis.taps
    assert index.min() >= 0
    assert index.max() < extent
    assert there.any(axis=1).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (np.diff(index[:, 0]) >= 0).all()  # what bound() of the kernel searches by
    assert (np.diff(np.where(there, index, -1).max(axis=1)) >= 0).all()


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 50000, 1), (0, 3, 5, 7)])
def test_plans_of_filters_are_sound(shape, dtype):
    axes = [
        (number, FilterAxis(shape[number], 9, shape[number], 9.0, 0.5, -0.5, "cubic area"))
        for number in (2, 3)
    ]
    plan = resize_filter.interpolate(View(shape, row_major(shape), dtype), axes)
    assert_sound(plan, {"x"})
    made = (*shape[:2], 9, 9)
    assert plan.outputs["y"].shape == made
    back = resize_filter.interpolate_backward(View(made, row_major(made), dtype), axes)
    assert_sound(back, {"dy"})
    assert back.outputs["dx"].shape == shape
    assert len(plan.launches) == len(back.launches) == 2 * bool(prod(shape))
