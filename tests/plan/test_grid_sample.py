"""Plans of sampling at the points of a grid."""

from math import prod

import pytest
from plan_checks import assert_sound, struct, threads

from pycnn.define.views import View
from pycnn.plan._strided import row_major
from pycnn.plan.grid_sample import MODES, PADDINGS, Sampling, grid_sample, grid_sample_backward


def views(x, grid, dtype="float32"):
    shapes = {"x": x, "grid": grid, "dy": (*x[:2], *grid[1:-1])}
    return {name: View(shape, row_major(shape), dtype) for name, shape in shapes.items()}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("extents", [(5, 7), (3, 5, 7)])
def test_every_plan_is_sound(extents, mode, dtype):
    if mode == "bicubic" and len(extents) == 3:
        return
    points = tuple(extent + 9 for extent in extents)
    given = views((2, 3, *extents), (2, *points, len(extents)), dtype)
    sampling = Sampling(mode, PADDINGS[2], True, extents)
    forward = grid_sample(sampling, given, given["dy"].shape)
    assert_sound(forward, {"x", "grid"})
    assert threads(forward) >= 2 * prod(points)
    backward = grid_sample_backward(sampling, given)
    assert_sound(backward, {"x", "grid", "dy"})
    entries = [launch.kernel.entry for launch in backward.launches]
    assert entries == [
        "grid_sample_bin", "grid_sample_backward_input", "grid_sample_backward_grid",
    ]  # fmt: skip
    assert backward.launches[0].grid == (2, 1, 1)
    assert backward.workspace["points"].shape == (2, prod(points) * sampling.taps)
    p = struct(forward)
    assert [*p["extent"][: len(extents)]] == [*extents]
    assert p["x_stride"][len(extents) - 1] == 1


def test_nothing_is_launched_for_nothing():
    sampling = Sampling("bilinear", "zeros", False, (5, 7))
    none = views((0, 3, 5, 7), (0, 4, 6, 2))
    assert not grid_sample(sampling, none, none["dy"].shape).launches
    assert not grid_sample_backward(sampling, none).launches
    no_points = views((2, 3, 5, 7), (2, 0, 6, 2))
    assert not grid_sample(sampling, no_points, no_points["dy"].shape).launches
    launches = grid_sample_backward(sampling, no_points).launches  # dx is zero, and is written
    assert [launch.kernel.entry for launch in launches] == [
        "grid_sample_bin", "grid_sample_backward_input",
    ]  # fmt: skip
