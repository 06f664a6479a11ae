"""What is special to sampling at the points of a grid."""

import numpy as np
import pytest
from op_checks import numeric_gradient

import pycnn
from pycnn.reference.oracle import grid_sample as oracle
from pycnn.reference.oracle.grid_sample import Sampler

NAN, INF = np.nan, np.inf
ROW = np.array([[[[1.0, 2.0, 4.0, 8.0]]]])


def along(*coordinates):
    """A grid along a row of one pixel's height."""
    return np.array([[[[g, 0.0] for g in coordinates]]])


@pytest.mark.parametrize(
    ("padding", "corners", "expected"),
    [
        ("zeros", False, [0.5, 1.5, 3, 4, 0]),
        ("border", False, [1, 1.5, 3, 8, 8]),
        ("reflection", False, [1, 1.5, 3, 8, 1.5]),
        ("zeros", True, [1, 1.75, 3, 8, 0]),
        ("border", True, [1, 1.75, 3, 8, 8]),
        ("reflection", True, [1, 1.75, 3, 8, 1.75]),
    ],
)
def test_ends_of_an_axis_by_hand(backend, padding, corners, expected):
    """At -1 and 1 are the edges of the outer elements, or their centres; 2.5 is beyond.

    Without corners 2.5 is element 6.5, reflected at the edge 3.5 to 0.5 between 1 and 2; with them
    element 5.25, reflected at 3 to 0.75.
    """
    grid = backend.array(along(-1, -0.5, 0, 1, 2.5))
    y = pycnn.grid_sample(backend.array(ROW), grid, padding_mode=padding, align_corners=corners)
    np.testing.assert_allclose(backend.numpy(y).ravel(), expected, rtol=1e-12)


def test_nearest_takes_the_even_one_of_two(backend):
    """Half-way between elements 0 and 1, 1 and 2, 2 and 3."""
    y = pycnn.grid_sample(backend.array(ROW), backend.array(along(-0.5, 0, 0.5)), "nearest")
    assert backend.numpy(y).ravel().tolist() == [1, 4, 4]


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("far", [1e30, -1e30, INF, -INF, NAN])
def test_what_is_far_away_is_zero(backend, mode, far):
    """And gives nothing back to x, whatever x holds."""
    x, grid = backend.array(np.full((1, 1, 1, 4), NAN)), backend.array(along(far))
    assert backend.numpy(pycnn.grid_sample(x, grid, mode)) == 0
    dx, dgrid = pycnn.grid_sample_backward(backend.array(np.ones((1, 1, 1, 1))), x, grid, mode)
    assert not backend.numpy(dx).any()
    assert not backend.numpy(dgrid).any()


@pytest.mark.parametrize(("far", "expected"), [(1e30, 8), (INF, 8), (-INF, 1), (NAN, 1)])
def test_the_border_holds_everything(backend, far, expected):
    grid = backend.array(along(far))
    y = pycnn.grid_sample(backend.array(ROW), grid, padding_mode="border")
    assert backend.numpy(y) == expected


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [False, True])
def test_gradients_by_differences(mode, padding, corners, rng):
    sampler = Sampler(mode, padding, corners)
    x, dy = rng.normal(size=(1, 2, 3, 4)), rng.normal(size=(1, 2, 2, 3))
    grid = rng.uniform(-1.4, 1.4, (1, 2, 3, 2))
    dx, dgrid = oracle.grid_sample_backward(dy, x, grid, sampler)
    by_x = numeric_gradient(lambda x: (dy * oracle.grid_sample(x, grid, sampler)).sum(), x)
    by_grid = numeric_gradient(lambda g: (dy * oracle.grid_sample(x, g, sampler)).sum(), grid)
    np.testing.assert_allclose(dx, by_x, rtol=0, atol=1e-8)
    np.testing.assert_allclose(dgrid, by_grid, rtol=0, atol=1e-7)


def test_points_that_share_an_element_are_added_in_their_order(backend):
    """More than a block has threads, of sizes whose float32 sum depends on the order."""
    x = np.zeros((1, 1, 1, 1), np.float32)
    dy = np.float32(10) ** (np.arange(600) % 13 - 6).astype(np.float32) * np.float32(1.1)
    grid = np.zeros((1, 1, 600, 2), np.float32)
    dx, _ = pycnn.grid_sample_backward(
        *(backend.array(a) for a in (dy.reshape(1, 1, 1, 600), x, grid)), "nearest"
    )
    in_order = np.float32(0)
    for each in dy:
        in_order += each
    assert backend.numpy(dx).item() == in_order
    assert in_order != dy[::-1].cumsum(dtype=np.float32)[-1]


def test_bad_input_is_refused(backend):
    x, grid = backend.array(np.zeros((2, 3, 4, 5))), backend.array(np.zeros((2, 6, 7, 2)))
    volume, points = np.zeros((2, 3, 4, 5, 6)), np.zeros((2, 6, 7, 8, 3))
    with pytest.raises(ValueError, match=r"mode='cubic'; allowed: nearest, bilinear, bicubic"):
        pycnn.grid_sample(x, grid, "cubic")
    with pytest.raises(ValueError, match=r"mode='bicubic'; allowed: nearest, bilinear"):
        pycnn.grid_sample(backend.array(volume), backend.array(points), "bicubic")
    with pytest.raises(ValueError, match=r"padding_mode='wrap'; allowed: zeros, border"):
        pycnn.grid_sample(x, grid, padding_mode="wrap")
    with pytest.raises(TypeError, match="align_corners"):
        pycnn.grid_sample(x, grid, align_corners=1)
    for shape in ((2, 6, 7, 3), (3, 6, 7, 2), (2, 6, 7, 8, 3)):
        with pytest.raises(ValueError, match=r"grid has shape .*; allowed: as many axes"):
            pycnn.grid_sample(x, backend.array(np.zeros(shape)))
    with pytest.raises(ValueError, match="spatial extents from 1"):
        pycnn.grid_sample(backend.array(np.zeros((2, 3, 0, 5))), grid)
    with pytest.raises((TypeError, ValueError), match="float32"):
        pycnn.grid_sample(x, backend.array(np.zeros((2, 6, 7, 2), np.float32)))
    with pytest.raises(ValueError, match="dy"):
        pycnn.grid_sample_backward(backend.array(np.zeros((2, 3, 7, 6))), x, grid)
