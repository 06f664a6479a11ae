"""Values that an operation does not allow: found at once, on a GPU without waiting, or by nobody.

Kernels must stay within their arrays whatever these hold: a GPU looks at them at the same time.
"""

import numpy as np
import pytest

import pycnn
from pycnn.define.registry import OPERATIONS
from pycnn.define.values import Allowed, Check, _value
from pycnn.define.views import View
from pycnn.dtypes import numpy_dtype
from pycnn.plan import check
from pycnn.runtime.backends import executor
from pycnn.runtime.faults import NOTHING
from pycnn.testing import TESTED

NAN = float("nan")
LEAST, MOST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def found(backend, array, low, high, also=None):
    """What the kernel writes about an array: None, or the value it names."""
    if backend.name == "reference":
        pytest.skip("a kernel is tested, and the backend reference has none")
    words = backend.array(np.array(NOTHING, np.uint64))
    given = backend.array(array)
    view = View.of("x", given)
    plan = check.values(view.shape, view.strides, view.dtype, low, high, also)
    name = "cuda" if backend.name == "cuda" else "emulator"
    assert executor(name).run(plan, {"x": given, "fault": words}) == {}
    least, wrong = backend.numpy(words).tolist()
    assert wrong in (0, 1)
    assert wrong or least == NOTHING[0]
    return _value(least, view.dtype) if wrong else None


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ([], None),
        ([0, 9, 5, -7, 9], None),
        (0, None),
        ([0, 10, 5], 10),
        ([3, -1, 10, -8], -8),
        ([MOST], MOST),
        ([LEAST, MOST], LEAST),
    ],
    ids=str,
)
def test_the_kernel_finds_integers_that_are_not_allowed(backend, array, expected):
    assert found(backend, np.array(array, np.int64), 0, 9, also=-7) == expected


@pytest.mark.parametrize(
    ("array", "also", "expected"),
    [
        ([0, 9, -7], -7, None),
        ([3, -1, 10, -8], -7, -8),
        ([-(2**31), 2**31 - 1], -(2**40), -(2**31)),
        ([2**31 - 1], 2**31 - 1, None),
        ([-1], 2**32 - 1, -1),  # not the same number cut to 32 bits
    ],
    ids=str,
)
def test_the_kernel_finds_integers_of_32_bits(backend, array, also, expected):
    assert found(backend, np.array(array, np.int32), 0, 9, also=also) == expected


@pytest.mark.parametrize("place", [0, 255, 256, 299_999])
def test_the_kernel_looks_at_every_element(backend, place):
    array = np.zeros(300_000, np.int64)  # more than one element a thread
    array[place] = 4
    assert found(backend, array, 0, 3) == 4


def test_the_kernel_looks_at_a_view_and_not_beside_it(backend):
    base = np.full((6, 10, 4), -1)
    base[::2, 1::3, ::-1] = 2
    assert found(backend, base[::2, 1::3, ::-1], 0, 3) is None
    base[4, 7, 2] = 5
    assert found(backend, base[::2, 1::3, ::-1], 0, 3) == 5


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ([1e-45, 1.0, 3.4028235e38], None),
        ([1.0, 0.0], 0.0),
        ([-0.0], 0.0),
        ([2.0, -4.5, -1.0], -4.5),
        ([np.inf, 1.0], np.inf),
        ([-np.inf, np.inf], -np.inf),
        ([-np.inf, NAN], NAN),
    ],
    ids=str,
)
def test_the_kernel_finds_floats_that_are_not_allowed(backend, array, expected):
    limits = float(np.finfo(np.float32).smallest_subnormal), float(np.finfo(np.float32).max)
    got = found(backend, np.array(array, np.float32), *limits)
    assert got == expected or (got != got and expected != expected)


def checked(array, **allowed):
    given = Allowed(low=0, high=9, said="0 to 9", **allowed)
    return Check("op", "x", given, View.of("x", array)).now


@pytest.mark.parametrize("array", [[], [0, 9], [-7, 3], [[-7], [-7]]], ids=str)
def test_what_is_allowed_passes(array):
    array = np.array(array, np.int64)
    checked(array, also=-7)(array)


@pytest.mark.parametrize(("array", "named"), [([3, 12, -7, -2], "-2"), ([10], "10"), (-1, "-1")])
def test_the_least_value_that_is_not_allowed_is_named(array, named):
    array = np.array(array)
    with pytest.raises(ValueError, match=f"x holds {named}; allowed: 0 to 9"):
        checked(array, also=-7)(array)


# --- kernels do not trust what they are given -----------------------------------------------

BAD = (-1, 7, 10**12, LEAST, MOST)


def unchecked(name, arrays, dtype="float32", **settings):
    """An operation by its kernels in the emulator's checked build, without a look at values."""
    op = OPERATIONS[name]
    call = op.describe(arrays, **settings)
    plans = op.plan(call)
    results = {}
    with pycnn.use_backend("emulator", checked=True):
        for plan in plans if isinstance(plans, tuple) else (plans,):
            results |= executor("emulator").run(plan, arrays)
    return [results[output] for output in call.outputs]


@pytest.fixture
def scores(rng):
    return rng.standard_normal((4, 7, 3)).astype(np.float32)


def emulated():
    """Skip where the emulator's checked build is not tested."""
    status = {b.name: b for b in pycnn.backends()}["emulator"]
    if not status.available:
        pytest.skip(status.detail)


LOSSES = (
    ("nll_loss", "log_probabilities", {}),
    ("cross_entropy", "logits", {}),
    ("cross_entropy", "logits", {"label_smoothing": 0.1}),
)
each_loss = pytest.mark.parametrize(("name", "operand", "more"), LOSSES, ids=str)


@each_loss
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_class_that_does_not_exist_costs_nan(
    rng, scores, name, operand, more, bad, rank, weighted
):
    emulated()
    x = scores if rank == 3 else np.ascontiguousarray(scores[:, :, 0])
    target = rng.integers(0, 7, x[:, 0].shape)
    target[1] = bad
    target[2] = -100
    arrays = {operand: x, "target": target}
    if weighted:
        arrays["weight"] = np.ones(7, np.float32)
    (each,) = unchecked(name, arrays, reduction="none", **more)
    assert np.isnan(each[1]).all()
    assert (each[2] == 0).all()
    assert np.isfinite(np.delete(each, 1, 0)).all()
    for reduction in ("sum", "mean"):
        assert np.isnan(unchecked(name, arrays, reduction=reduction, **more)[0])

    given = {"dy": np.ones_like(each), **arrays}
    (dx,) = unchecked(f"{name}_backward", given, reduction="none", **more)
    assert np.isnan(dx[1]).all()
    assert (dx[2] == 0).all()
    assert np.isfinite(np.delete(dx, 1, 0)).all()
    given["dy"] = np.ones((), np.float32)
    assert np.isnan(unchecked(f"{name}_backward", given, reduction="mean", **more)[0][1]).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("bad", BAD)
def test_an_index_outside_the_slice_is_ignored(scores, bad, axis):
    emulated()
    shape = (7, 7, 7)
    dy = scores if axis != 1 else np.ascontiguousarray(scores.transpose(0, 2, 1))
    dy = np.ascontiguousarray(np.resize(dy, [2 if a == axis else 7 for a in range(3)]))
    indices = np.zeros(dy.shape, np.int64)
    np.moveaxis(indices, axis, 0)[1] = bad
    (dx,) = unchecked("topk_backward", {"dy": dy, "indices": indices}, shape=shape, axis=axis)
    first = np.moveaxis(dx, axis, 0)
    np.testing.assert_array_equal(first[0], np.moveaxis(dy, axis, 0)[0])
    assert (first[1:] == 0).all()


@pytest.mark.parametrize("bad", [-2, 30, *BAD[2:]])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_an_index_outside_the_plane_is_ignored(rng, bad, layout):
    emulated()
    small = (1, 2, 2, 3) if layout == "NCHW" else (1, 2, 3, 2)
    large = (1, 2, 5, 6) if layout == "NCHW" else (1, 5, 6, 2)
    dy = rng.standard_normal(small).astype(np.float32)
    indices = np.full(small, bad)
    arrays = {"dy": dy, "indices": indices}
    pool = {"kernel_size": 2, "layout": layout, "stride": (2, 2)}
    (dx,) = unchecked("max_pool2d_backward", arrays, x_shape=_pooled(layout), **pool)
    assert (dx == 0).all()
    (y,) = unchecked("max_unpool2d", {"x": dy, "indices": indices}, kernel_size=2, layout=layout)
    assert (y == 0).all()
    wide = rng.standard_normal(large).astype(np.float32)
    (dx,) = unchecked("max_unpool2d_backward", {"dy": wide, "indices": indices}, layout=layout)
    assert (dx == 0).all()


def _pooled(layout):
    return (1, 2, 4, 6) if layout == "NCHW" else (1, 4, 6, 2)


def test_every_operation_that_says_what_is_allowed_is_looked_at_here():
    """What reads an array of integers as places either says what is allowed, or asks nothing."""
    named = set()
    for name, tested in TESTED.items():
        op = tested.op
        if any(
            o.name in ("indices", "target") and "int64" in (o.dtypes or ()) for o in op.operands
        ):
            case = tested.cases[0]
            arrays = tested.draw(case, np.random.default_rng(0), tested.typical_dtype)
            call = op.describe(arrays, **tested.settings(case))
            assert set(op.allowed(call)) & {"indices", "target"}, name
            named.add(name)
    assert {"cross_entropy", "nll_loss_backward", "topk_backward", "max_unpool3d"} <= named
    assert numpy_dtype("float32") == np.float32
