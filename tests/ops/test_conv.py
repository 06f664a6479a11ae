"""Convolution and its gradients on every backend, by every algorithm, against the oracle."""

import numpy as np
import pytest
from conv_cases import CASES, SMALL, algorithms, arrays, geometry, terms
from op_checks import (
    DTYPES,
    VIEWS,
    assert_matches,
    numeric_gradient,
    same_under_all_schedules,
    view_of,
)

import pycnn
from pycnn.bench.cases import ConvCase
from pycnn.bench.grammar import parse
from pycnn.reference.oracle import conv as oracle

NAN, INF = np.nan, np.inf
DIRECTIONS = ("forward", "backward_input", "backward_weight")
NEEDS = {"backward_input": (True, False, False), "backward_weight": (False, True, True)}


def run(backend, case, direction, algo, given):
    """What one direction computes, by name."""
    views = {name: backend.array(a) for name, a in given.items()}
    if direction == "forward":
        arguments = views["x"], views["weight"], views["bias"], *geometry(case)
        return {"y": pycnn.conv2d(*arguments, algo=algo)}
    grads = pycnn.conv2d_backward(
        *(views["dy"], views["x"], views["weight"]),
        *geometry(case),
        needs=NEEDS[direction],
        algo=algo,
    )
    named = zip(("dx", "dweight", "dbias"), grads, strict=True)
    return {name: g for name, g in named if g is not None}


def expected(case, direction, given):
    if direction == "forward":
        return {"y": oracle.conv2d(given["x"], given["weight"], given["bias"], *geometry(case))}
    grads = oracle.conv2d_backward(
        given["dy"], given["x"], given["weight"], *geometry(case), NEEDS[direction]
    )
    return dict(zip(("dx", "dweight", "dbias"), grads, strict=True))


def check(backend, case, direction, given, dtype):
    """Every algorithm of a direction against the oracle."""
    want = expected(case, direction, given)
    for algo in algorithms(backend, case, direction, given["x"]):
        for name, got in run(backend, case, direction, algo, given).items():
            assert_matches(got, want[name], dtype, terms(case)[name], backend)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_oracle(backend, rng, case, dtype, direction):
    check(backend, case, direction, arrays(case, rng, dtype), dtype)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", VIEWS)
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_views(backend, rng, case, kind, direction):
    given = {n: view_of(a, kind) for n, a in arrays(case, rng, "float32").items()}
    check(backend, case, direction, given, "float32")


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_operands_of_different_strides(backend, rng, case, direction):
    given = arrays(case, rng, "float64")
    given["x"] = view_of(given["x"], "transposed")
    given["weight"] = view_of(given["weight"], "reversed")
    given["bias"] = np.broadcast_to(given["bias"][:1], (case.k,))
    given["dy"] = np.broadcast_to(given["dy"][:1, :, :, :1], case.y_shape)
    check(backend, case, direction, given, "float64")


def test_bias_is_optional(backend, rng):
    case = SMALL[0]
    given = arrays(case, rng, "float32")
    want = oracle.conv2d(given["x"], given["weight"], None, *geometry(case))
    for algo in algorithms(backend, case, "forward", given["x"]):
        x, weight = backend.views(given["x"], given["weight"])
        y = pycnn.conv2d(x, weight, None, *geometry(case), algo=algo)
        assert_matches(y, want, "float32", terms(case)["y"], backend)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_nan_and_infinity_spread_as_far_as_they_are_used(backend, rng, value, direction):
    case = parse(ConvCase, "n2c3h9w8k5r2s2u3")  # column 2 and row 2 lie in no window
    given = arrays(case, rng, "float32")
    for name, used in (("x", (1, 2, 4, 3)), ("dy", (1, 4, 2, 1)), ("weight", (3, 2, 1, 0))):
        check(backend, case, direction, {**given, name: _with(given[name], used, value)}, "float32")
    unseen = _with(given["x"], (0, 1, 2, 5), value)
    for algo in algorithms(backend, case, direction, given["x"]):
        for got in run(backend, case, direction, algo, {**given, "x": unseen}).values():
            assert np.isfinite(backend.numpy(got)).all()


def test_padding_is_zeros_that_are_multiplied(backend, rng):
    case = parse(ConvCase, "n1c2h5w4k9r3s3p1")
    given = arrays(case, rng, "float64")
    weight = _with(given["weight"], (3, 1, 0, 2), INF)
    check(backend, case, "forward", {**given, "weight": weight}, "float64")
    assert np.isnan(expected(case, "forward", {**given, "weight": weight})["y"][0, 3, 0]).all()
    dy = _with(given["dy"], (0, 7, 0, 0), NAN)
    check(backend, case, "backward_weight", {**given, "dy": dy}, "float64")


def _with(array, place, value):
    changed = array.copy()
    changed[place] = value
    return changed


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_gradients_are_those_of_the_result(backend, rng, case):
    """By finite differences of the backend's own forward pass."""
    given = arrays(case.with_batch(1), rng, "float64")
    dy = given.pop("dy")
    grads = pycnn.conv2d_backward(*backend.views(dy, given["x"], given["weight"]), *geometry(case))
    for name, grad in zip(("x", "weight", "bias"), grads, strict=True):

        def loss(value, name=name):
            y = pycnn.conv2d(
                *(backend.array(a) for a in {**given, name: value}.values()), *geometry(case)
            )
            return float((backend.numpy(y) * dy).sum())

        numeric = numeric_gradient(loss, given[name])
        np.testing.assert_allclose(backend.numpy(grad), numeric, rtol=1e-6, atol=1e-7)


def test_agrees_with_values_worked_by_hand(backend):
    x = np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])
    weight = np.array([[[[1.0, -1.0]]], [[[0.5, 2.0]]]])
    for algo in algorithms(backend, parse(ConvCase, "n1c1h2w3k2r1s2"), "forward", x):
        y = pycnn.conv2d(*backend.views(x, weight, np.array([0.0, 10.0])), algo=algo)
        want = [[[-1.0, -1.0], [-1.0, -1.0]], [[14.5, 17.0], [22.0, 24.5]]]
        assert backend.numpy(y)[0].tolist() == want


def test_unbatched(backend, rng):
    case = SMALL[0].with_batch(1)
    given = arrays(case, rng, "float32")
    want = {**expected(case, "forward", given), **expected(case, "backward_input", given)}
    given["x"], given["dy"] = given["x"][0], given["dy"][0]
    for direction, name in (("forward", "y"), ("backward_input", "dx")):
        for algo in algorithms(backend, case, direction, given["x"]):
            got = run(backend, case, direction, algo, given)[name]
            assert_matches(got, want[name][0], "float32", terms(case)[name], backend)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_empty_batch(backend, rng, case, direction):
    given = arrays(case, rng, "float32")
    for name in ("x", "dy"):
        given[name] = given[name][:0]
    want = expected(case.with_batch(0), direction, given)
    for algo in algorithms(backend, case, direction, given["x"]):
        for name, got in run(backend, case, direction, algo, given).items():
            assert_matches(got, want[name], "float32", 1, backend)
            assert not backend.numpy(got).any()


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_out_takes_the_result(backend, rng, case):
    given = arrays(case, rng, "float32")
    x, weight, bias = backend.views(given["x"], given["weight"], given["bias"])
    for algo in algorithms(backend, case, "forward", given["x"]):
        out = backend.array(np.full(case.y_shape, NAN, np.float32))
        assert pycnn.conv2d(x, weight, bias, *geometry(case), algo=algo, out=out) is out
        want = expected(case, "forward", given)["y"]
        assert_matches(out, want, "float32", terms(case)["y"], backend)


@pytest.mark.parametrize("sides", [(3, 3), (2, 5), (4, 1)], ids=str)
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_keeps_the_extent(backend, rng, sides, dilation):
    x = rng.standard_normal((2, 3, 7, 9))
    weight = rng.standard_normal((4, 3, *sides))
    y = pycnn.conv2d(*backend.views(x, weight), padding="same", dilation=dilation)
    spans = [dilation * (side - 1) for side in sides]
    padding = tuple((span // 2, span - span // 2) for span in spans)  # the odd one at the end
    want = oracle.conv2d(x, weight, None, (1, 1), padding, (dilation, dilation), 1)
    assert want.shape[2:] == x.shape[2:]
    assert_matches(y, want, "float64", 3 * sides[0] * sides[1], backend)


def test_valid_padding_is_none(backend, rng):
    x, weight = rng.standard_normal((1, 2, 5, 6)), rng.standard_normal((3, 2, 2, 3))
    x, weight = backend.views(x, weight)
    none, valid = (backend.numpy(pycnn.conv2d(x, weight, padding=p)) for p in (0, "valid"))
    assert none.tobytes() == valid.tobytes()


@pytest.mark.parametrize("needs", [(True, False, True), (False, True, False), (False,) * 3])
def test_only_what_is_needed(backend, rng, needs):
    case = SMALL[1]
    given = arrays(case, rng, "float32")
    views = backend.views(given["dy"], given["x"], given["weight"])
    grads = pycnn.conv2d_backward(*views, *geometry(case), needs=needs)
    assert tuple(g is not None for g in grads) == needs


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_same_bits_every_time(backend, rng, monkeypatch, direction):
    case = SMALL[0]
    given = arrays(case, rng, "float32")
    for algo in algorithms(backend, case, direction, given["x"]):
        for name in run(backend, case, direction, algo, given):
            same_under_all_schedules(
                backend,
                monkeypatch,
                lambda algo=algo, name=name: run(backend, case, direction, algo, given)[name],
            )


def test_gemm_1x1_refuses_what_is_no_matrix(backend, rng):
    if backend.name == "reference":
        pytest.skip("the reference backend has no kernel algorithms")
    x = rng.standard_normal((1, 3, 4, 5))[..., ::-1]
    with pytest.raises(ValueError, match=r"gemm_1x1: x has element strides \(60, 20, 5, -1\)"):
        pycnn.conv2d(*backend.views(x, rng.standard_normal((2, 3, 1, 1))), algo="gemm_1x1")


def test_bias_gradient_over_many_pixels(backend, rng):
    """More than one block adds up."""
    case = parse(ConvCase, "n2c1h83w97k3r1s1")
    given = arrays(case, rng, "float32")
    views = backend.views(given["dy"], given["x"], given["weight"])
    *_, dbias = pycnn.conv2d_backward(*views, needs=(False, False, True))
    want = given["dy"].astype(np.float64).sum(axis=(0, 2, 3))
    assert_matches(dbias, want, "float32", terms(case)["dbias"], backend)


def test_many_images_in_small_workspace(backend, rng, monkeypatch):
    """im2col some images at a time, and one at a time."""
    case = parse(ConvCase, "n5c3h6w7k4r3s2p1")
    given = arrays(case, rng, "float64")
    columns = 8 * case.c * case.r * case.s * case.p * case.q
    for images in (1, 2, 3):
        monkeypatch.setenv("PYCNN_WORKSPACE_LIMIT", str(images * (columns + 8 * 72)))
        for direction in DIRECTIONS:
            check(backend, case, direction, given, "float64")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_offsets_beyond_2_31_elements(backend, rng, direction):
    """Views that pick few elements of huge arrays; the other pages are never touched."""
    if backend.name not in ("reference", "emulator"):
        pytest.skip(f"{backend.name} would copy the whole arrays, 10 GB each")
    case = parse(ConvCase, "n3c1h7w5k1r3s2p1u2x1")
    given = arrays(case, rng, "float32")
    try:
        for name, step in (("x", (4000, 6000)), ("dy", (7000, 5000))):
            huge = np.zeros((3, 1, 29000, 31000), np.float32)  # 2.7e9 elements
            view = huge[:, :, :: step[0], :: step[1]][:, :, : given[name].shape[2]]
            view = view[..., : given[name].shape[3]]
            view[...] = given[name]
            given[name] = view
    except MemoryError:
        pytest.skip("no address space for arrays of 2^31 elements")
    assert sum(s * (e - 1) for s, e in zip(view.strides, view.shape, strict=True)) > 4 * 2**31
    check(backend, case, direction, given, "float32")
