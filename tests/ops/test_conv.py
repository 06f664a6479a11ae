"""Convolution and its gradients by every algorithm, and what is special to them.

That every definition gives what its oracle says is tested in test_every_operation.py, by `auto`.
"""

import numpy as np
import pytest
from conv_cases import CASES, SMALL, arrays, by_each_algorithm, geometry, terms
from op_checks import (
    assert_matches,
    numeric_gradient,
    same_under_all_schedules,
    view_of,
)

import pycnn
from pycnn.bench.cases import ConvCase
from pycnn.bench.grammar import parse
from pycnn.reference.oracle import conv as oracle
from pycnn.testing import TESTED

NAN, INF = np.nan, np.inf
DIRECTIONS = ("forward", "backward_input", "backward_weight")
NEEDS = {"backward_input": (True, False, False), "backward_weight": (False, True, True)}

#: Algorithms whose transforms spread a NaN or an infinity over a tile, or a whole image.
SPREADING = ("winograd_f2", "winograd_f4", "fft")

#: dtypes by backend: all four in the emulator, each in one of its builds.
DTYPES = {
    "reference": ("float32",),
    "emulator": ("float64", "bfloat16"),
    "checked": ("float32", "float16"),
    "cuda": ("float16", "bfloat16", "float32", "float64"),
}


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


def each(backend, case, direction, given):
    """(algorithm, result) of every algorithm that fits."""
    return by_each_algorithm(
        backend, direction, lambda algo: run(backend, case, direction, algo, given)
    )


def expected(case, direction, given):
    if direction == "forward":
        return {"y": oracle.convolve(given["x"], given["weight"], given["bias"], *geometry(case))}
    grads = oracle.convolve_backward(
        given["dy"], given["x"], given["weight"], *geometry(case), NEEDS[direction]
    )
    return dict(zip(("dx", "dweight", "dbias"), grads, strict=True))


#: Algorithms that transform tiles or images, over which a NaN or an infinity spreads.
TRANSFORMING = ("winograd_f2", "winograd_f4", "fft")


def check(backend, case, direction, given, dtype, without=()):
    """Every algorithm of a direction against the oracle."""
    want = expected(case, direction, given)
    for algo, found in each(backend, case, direction, given):
        if algo in without:
            continue
        for name, got in found.items():
            assert_matches(got, want[name], dtype, terms(case)[name], backend)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_algorithm_matches_the_oracle(backend, rng, case, direction):
    for dtype in DTYPES[backend.name]:
        check(backend, case, direction, arrays(case, rng, dtype), dtype)


#: Definitions whose cases every algorithm is tried on, with the direction that plans them.
DEFINED = {
    "conv2d": "forward",
    "conv3d": "forward",
    "conv_transpose2d": "backward_input",
}


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(name, case, id=f"{name}-{case.name}")
        for name in DEFINED
        for case in TESTED[name].cases
        if not case.standard and case.settings
    ],
)
def test_every_algorithm_takes_what_it_does_not_refuse(backend, rng, name, case):
    """Modes, layouts, epilogues and axes."""
    if backend.name == "reference":
        pytest.skip("the reference backend has no kernel algorithms")
    tested, dtype = TESTED[name], DTYPES[backend.name][0]
    given = tested.draw(case, rng, dtype)
    settings = tested.settings(case)
    want, terms = tested.oracle(settings, given)["y"], tested.terms(settings, given)
    views = {name: backend.array(a) for name, a in given.items()}

    def call(algo):
        return getattr(pycnn, name)(**views, **settings, algo=algo)

    for _, got in by_each_algorithm(backend, DEFINED[name], call):
        assert_matches(got, want, dtype, terms, backend)


GRADIENT_CASES = [c for c in TESTED["conv2d_backward"].cases if not c.standard and c.settings]


@pytest.mark.parametrize("direction", ["backward_input", "backward_weight"])
@pytest.mark.parametrize("case", GRADIENT_CASES, ids=str)
def test_gradients_take_what_they_do_not_refuse(backend, rng, case, direction):
    if backend.name == "reference":
        pytest.skip("the reference backend has no kernel algorithms")
    tested, dtype = TESTED["conv2d_backward"], DTYPES[backend.name][-1]
    given = tested.draw(case, rng, dtype)
    settings = {**tested.settings(case), "needs": NEEDS[direction]}
    want, reductions = tested.oracle(settings, given), tested.terms(settings, given)
    views = {name: backend.array(a) for name, a in given.items()}

    def call(algo):
        return tested.invoke(pycnn.conv2d_backward, views, {**settings, "algo": algo})

    for _, grads in by_each_algorithm(backend, direction, call):
        for name, got in zip(want, grads, strict=True):
            assert_matches(got, want[name], dtype, reductions[name], backend)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", ["transposed", "stepped", "reversed", "misaligned"])
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


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_nan_and_infinity_spread_as_far_as_they_are_used(backend, rng, value, direction):
    case = parse(ConvCase, "n2c3h9w8k5r2s2u3")  # column 2 and row 2 lie in no window
    given = arrays(case, rng, "float32")
    for name, used in (("x", (1, 2, 4, 3)), ("dy", (1, 4, 2, 1)), ("weight", (3, 2, 1, 0))):
        seen = {**given, name: _with(given[name], used, value)}
        check(backend, case, direction, seen, "float32", without=TRANSFORMING)
    unseen = _with(given["x"], (0, 1, 2, 5), value)
    for algo, found in each(backend, case, direction, {**given, "x": unseen}):
        for got in found.values() if algo not in TRANSFORMING else ():
            assert np.isfinite(backend.numpy(got)).all()


def test_padding_is_zeros_that_are_multiplied(backend, rng):
    case = parse(ConvCase, "n1c2h5w4k9r3s3p1")
    given = arrays(case, rng, "float64")
    weight = _with(given["weight"], (3, 1, 0, 2), INF)
    want = expected(case, "forward", {**given, "weight": weight})["y"]
    assert np.isnan(want[0, 3, 0]).all()
    for algo in ("auto",) if backend.name == "reference" else ("direct", "direct_tiled", "im2col"):
        got = run(backend, case, "forward", algo, {**given, "weight": weight})["y"]
        assert_matches(got, want, "float64", terms(case)["y"], backend)


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
    views = backend.views(x, weight, np.array([0.0, 10.0]))
    want = [[[-1.0, -1.0], [-1.0, -1.0]], [[14.5, 17.0], [22.0, 24.5]]]
    for algo, y in by_each_algorithm(
        backend, "forward", lambda algo: pycnn.conv2d(*views, algo=algo)
    ):
        if algo != "fft":
            assert backend.numpy(y)[0].tolist() == want
        np.testing.assert_allclose(backend.numpy(y)[0], want, rtol=1e-14)


@pytest.mark.parametrize("sides", [(3, 3), (2, 5), (4, 1)], ids=str)
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_keeps_the_extent(backend, rng, sides, dilation):
    x = rng.standard_normal((2, 3, 7, 9))
    weight = rng.standard_normal((4, 3, *sides))
    y = pycnn.conv2d(*backend.views(x, weight), padding="same", dilation=dilation)
    spans = [dilation * (side - 1) for side in sides]
    padding = tuple((span // 2, span - span // 2) for span in spans)  # the odd one at the end
    want = oracle.convolve(x, weight, None, (1, 1), padding, (dilation, dilation), 1)
    assert want.shape[2:] == x.shape[2:]
    assert_matches(y, want, "float64", 3 * sides[0] * sides[1], backend)


@pytest.mark.parametrize("padding", ["same_upper", "same_lower"])
def test_same_padding_of_strided_windows(backend, rng, padding):
    """ceil(extent / stride) positions; the odd zero after or before: 8 rows, stride 3, 4 taps."""
    x, weight = rng.standard_normal((1, 2, 8, 9)), rng.standard_normal((3, 2, 4, 3))
    y = pycnn.conv2d(*backend.views(x, weight), stride=3, padding=padding)
    rows = (1, 1)  # 2*3 + 4 - 8 = 2
    columns = (0, 0)  # 2*3 + 3 - 9 = 0
    want = oracle.convolve(x, weight, None, (3, 3), (rows, columns), (1, 1), 1)
    assert_matches(y, want, "float64", 24, backend)
    y = pycnn.conv2d(*backend.views(x, weight), stride=2, padding=padding)
    columns = (1, 1)  # 4*2 + 3 - 9 = 2
    want = oracle.convolve(x, weight, None, (2, 2), (rows, columns), (1, 1), 1)
    assert_matches(y, want, "float64", 24, backend)
    y = pycnn.conv2d(*backend.views(x[:, :, 1:], weight), stride=2, padding=padding)
    rows = (1, 2) if padding == "same_upper" else (2, 1)  # 3*2 + 4 - 7 = 3
    want = oracle.convolve(x[:, :, 1:], weight, None, (2, 2), (rows, columns), (1, 1), 1)
    assert_matches(y, want, "float64", 24, backend)


def test_valid_padding_is_none(backend, rng):
    x, weight = rng.standard_normal((1, 2, 5, 6)), rng.standard_normal((3, 2, 2, 3))
    x, weight = backend.views(x, weight)
    none, valid = (backend.numpy(pycnn.conv2d(x, weight, padding=p)) for p in (0, "valid"))
    assert none.tobytes() == valid.tobytes()


@pytest.mark.parametrize("function", ["conv2d_backward", "conv_transpose2d_backward"])
@pytest.mark.parametrize("needs", [(True, False, True), (False, True, False), (False,) * 3])
def test_only_what_is_needed(backend, rng, function, needs):
    dy, weight = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((3, 3, 1, 1))
    x = rng.standard_normal((2, 3, 4, 5))
    grads = getattr(pycnn, function)(*backend.views(dy, x, weight), needs=needs)
    assert tuple(g is not None for g in grads) == needs


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_same_bits_every_time(backend, rng, monkeypatch, direction):
    case = SMALL[0]
    given = arrays(case, rng, "float32")
    for algo, found in each(backend, case, direction, given):
        for name in found:
            same_under_all_schedules(
                backend,
                monkeypatch,
                lambda algo=algo, name=name: run(backend, case, direction, algo, given)[name],
            )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_bias_gradient_over_many_pixels(backend, rng, dtype):
    """More than one block adds up, and nothing is rounded in between."""
    case = parse(ConvCase, "n2c1h83w97k3r1s1")
    given = arrays(case, rng, dtype)
    views = backend.views(given["dy"], given["x"], given["weight"])
    *_, dbias = pycnn.conv2d_backward(*views, needs=(False, False, True))
    want = given["dy"].astype(np.float64).sum(axis=(0, 2, 3))
    assert_matches(dbias, want, dtype, terms(case)["dbias"], backend)


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
    if backend.name == "checked":
        pytest.skip("the checked build keeps a shadow of the whole arrays, 10 GB each")
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


def test_a_transposed_convolution_undoes_the_shape(backend, rng):
    """With the output padding that the division by the stride loses."""
    x, weight = rng.standard_normal((1, 2, 9, 8)), rng.standard_normal((3, 2, 3, 2))
    settings = {"stride": (3, 2), "padding": (1, 0)}
    y = pycnn.conv2d(*backend.views(x, weight), **settings)
    lost = tuple((e + 2 * p - t) % s for e, p, t, s in ((9, 1, 3, 3), (8, 0, 2, 2)))
    back = pycnn.conv_transpose2d(y, backend.array(weight), output_padding=lost, **settings)
    assert back.shape == x.shape
    dot = float((backend.numpy(back) * x).sum())  # <A x, A x> = <A^T A x, x>
    assert dot == pytest.approx(float((backend.numpy(y) ** 2).sum()), rel=1e-12)
