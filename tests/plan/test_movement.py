"""Plans of what only moves elements, and the launches they are made of."""

import numpy as np
import pytest
from plan_checks import HUGE, assert_sound, struct, threads

from pycnn.define.views import View
from pycnn.plan._copy import Place, copy_launch, tile_sides
from pycnn.plan._strided import row_major
from pycnn.plan.movement import joined, rearranged
from pycnn.runtime.plan import Buffer, Plan

X, Y = Buffer("x"), Buffer("y")
SIZES = {1: "uint8", 2: "float16", 4: "float32", 8: "float64"}


def permuted(shape, axes, dtype="float32"):
    x = View(shape, row_major(shape), dtype)
    seen = tuple(shape[a] for a in axes)
    return rearranged("permute", x, seen, tuple(x.strides[a] for a in axes), seen)


@pytest.mark.parametrize(("size", "dtype"), SIZES.items())
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 2, 3)])
def test_every_plan_is_sound(axes, size, dtype):
    plan = permuted((5, 6, 7, 68), axes, dtype)
    assert_sound(plan, {"x"})
    assert plan.algo == ("copy" if axes[-1] == 3 else "transpose")


@pytest.mark.parametrize(
    ("shape", "dtype", "vector"),
    [
        ((2, 64, 56, 56), "bfloat16", 16),
        ((2, 64, 14, 14), "bfloat16", 8),
        ((2, 64, 14, 14), "float32", 16),
        ((2, 66, 6, 7), "float32", 8),
        ((2, 66, 56, 56), "float64", None),
        ((2, 3, 55, 55), "float32", None),
    ],
)
def test_transposes_by_vectors_cover_all_squares(shape, dtype, vector):
    for axes in ((0, 2, 3, 1), (0, 3, 1, 2)):
        n, c, h, w = shape
        plan = permuted(shape if axes[1] == 2 else (n, h, w, c), axes, dtype)
        assert_sound(plan, {"x"})
        assert plan.algo == ("transpose_vectors" if vector else "transpose")
        if vector:
            assert dict(plan.launches[0].kernel.defines)["VECTOR"] == str(vector)
            side = vector // {"bfloat16": 2, "float32": 4}[dtype]
            assert threads(plan) * side**2 >= np.prod(shape)
            assert threads(plan) * side**2 <= 4 * np.prod(shape)


@pytest.mark.parametrize(("rows", "size"), [(2048, 49), (16, 255), (50176, 3)])
@pytest.mark.parametrize(("itemsize", "dtype"), SIZES.items())
def test_rows_of_maps_are_all_there(rows, size, itemsize, dtype):
    for shape, entry in (((2, rows, size), "to"), ((2, size, rows), "from")):
        plan = permuted(shape, (0, 2, 1), dtype)
        assert_sound(plan, {"x"})
        assert plan.algo == f"transpose_{entry}_vectors"
        tile = int(struct(plan)["tile"])
        assert tile * itemsize % 16 == 0
        assert plan.launches[0].grid[0] == 2 * -(-rows // tile)


@pytest.mark.parametrize(
    ("width", "stride", "offset", "unit"),
    [(8, 8, 0, 16), (8, 12, 0, 16), (8, 10, 0, 8), (6, 8, 0, 8), (8, 8, 4, 4), (7, 8, 0, 4)],
)
def test_units_divide_rows_strides_and_offsets(width, stride, offset, unit):
    target = Place(Buffer("y", offset), (16, 1))
    launch = copy_launch((3, width), Place(X, (stride, 1)), target, 4)
    assert dict(launch.kernel.defines) == {"BYTES": str(unit)}
    assert launch.args[2] == 3 * width * 4 // unit
    merged = launch.args[3]
    assert np.prod(merged["extent"][: merged["rank"]]) == launch.args[2]


@pytest.mark.parametrize("z", [1, 7, 3136])
@pytest.mark.parametrize("a", [2, 3, 31, 32, 64, 100, 5000])
@pytest.mark.parametrize("b", [2, 5, 58, 64, 65, 4999])
def test_tiles_fit_and_fill(z, a, b):
    for size in SIZES:
        tz, ta, tb = tile_sides(z, a, b, size)
        assert all(1 <= t <= e for t, e in zip((tz, ta, tb), (z, a, b), strict=True))
        assert tz * tb * (ta + 8) * size <= 48 * 1024
        assert (tz, ta, tb) == (z, a, b) or tz * ta * tb >= min(512, a * b)


def test_tiles_cover_all_elements():
    plan = permuted((3, 70, 9, 33), (0, 3, 2, 1))
    v = struct(plan)
    tiles = [-(-int(v[f"extent_{i}"]) // int(v[f"t{i}"])) for i in "zab"]
    outer = v["outer"]
    rest = np.prod(outer["extent"][: outer["rank"]], dtype=int)
    assert plan.launches[0].grid[0] == np.prod(tiles) * rest
    assert {int(v[f"extent_{i}"]) for i in "zab"} | {3} == {3, 9, 33, 70}


def test_nothing_to_copy_launches_nothing():
    assert permuted((3, 0, 5), (2, 1, 0)).launches == ()
    views = [View((2, 0), (0, 1), "float32"), View((2, 3), (3, 1), "float32")]
    plan = joined(["a", "b"], views, 1)
    assert len(plan.launches) == 1
    assert_sound(plan, {"a", "b"})


def test_pieces_lie_one_after_the_other():
    views = [View((2, c, 5), (c * 5, 5, 1), "float64") for c in (3, 4, 2)]
    plan = joined(["a", "b", "c"], views, 1)
    assert [launch.args[1].offset for launch in plan.launches] == [0, 3 * 5 * 8, 7 * 5 * 8]
    assert plan.outputs["y"].shape == (2, 9, 5)


def test_beyond_2_to_the_31():
    plan = permuted((HUGE, 3), (0, 1))
    assert threads(plan) >= 3 * HUGE
    plan = permuted((HUGE, 3), (1, 0), "uint8")
    assert struct(plan)["y_a"] == HUGE
    assert isinstance(plan, Plan)


def test_more_axes_than_a_kernel_takes():
    shape = (2,) * 12
    strides = tuple(3 * 4**k for k in range(12))
    with pytest.raises(ValueError, match="9 axes that cannot be merged"):
        copy_launch(shape, Place(X, strides), Place(Y, row_major(shape)), 4)
