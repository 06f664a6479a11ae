"""Cross-entropy on every backend, against the oracle."""

import itertools

import numpy as np
import pytest
from op_checks import (
    DTYPES,
    VIEWS,
    assert_matches,
    counted,
    far_apart,
    launched,
    numeric_gradient,
    same_under_all_schedules,
    view_of,
)

import pycnn
from pycnn.reference.oracle import loss as oracle

NAN, INF = np.nan, np.inf
REDUCTIONS = ["none", "sum", "mean"]
SHAPES = [(5,), (1, 1), (7, 10), (300, 31), (9, 33), (5, 1000), (3, 1025), (2, 13001)]
SHAPES += [(3, 21, 5, 7), (2, 5, 1, 1), (2, 3, 2, 3, 5), (1, 1001, 3)]


def positions(shape):
    return shape[:1] + shape[2:] if len(shape) > 1 else ()


def case(rng, shape, dtype, weighted, ignored=True):
    """logits, target with some ignored (3), class weights or None."""
    classes = shape[1 if len(shape) > 1 else 0]
    target = np.asarray(rng.integers(0, classes, positions(shape)))
    if ignored and target.size > 1:
        target[rng.random(target.shape) < 0.2] = -100
        target.flat[0] = 0
    logits = (3 * rng.standard_normal(shape)).astype(dtype)
    return logits, target, rng.random(classes).astype(dtype) if weighted else None


def check(backend, logits, target, weight, *options, dy=None):
    """Forward and backward against the oracle."""
    dtype = logits.dtype.name
    want = oracle.cross_entropy(logits, target, weight, *options)
    terms = target.size + logits.shape[1 if logits.ndim > 1 else 0]
    arrays = backend.views(logits, target, weight)
    assert_matches(pycnn.cross_entropy(*arrays, *options), want, dtype, terms, backend)
    if dy is None:
        dy = np.asarray(np.linspace(0.5, 1.5, want.size).reshape(want.shape), dtype)
    dlogits = pycnn.cross_entropy_backward(backend.array(dy), *arrays, *options)
    want = oracle.cross_entropy_backward(dy, logits, target, weight, *options)
    assert_matches(dlogits, want, dtype, terms, backend)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_oracle(backend, rng, shape, reduction, dtype):
    check(backend, *case(rng, shape, dtype, weighted=True), -100, reduction, 0.1)


@pytest.mark.parametrize(
    ("weighted", "smoothing", "reduction", "ignore_index"),
    [*itertools.product([False, True], [0.0, 0.3, 1.0], REDUCTIONS, [-100, 0, 5])],
)
def test_options(backend, rng, weighted, smoothing, reduction, ignore_index):
    logits, target, weight = case(rng, (3, 7, 4, 5), "float64", weighted, ignored=False)
    target[0, 1, 1:4] = ignore_index
    check(backend, logits, target, weight, ignore_index, reduction, smoothing)


@pytest.mark.parametrize("kind", VIEWS)
@pytest.mark.parametrize("shape", [(9, 33), (2, 1027), (3, 5, 7)])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_views(backend, rng, shape, reduction, kind):
    logits, target, weight = (view_of(a, kind) for a in case(rng, shape, "float64", True))
    dy = np.asarray(rng.standard_normal(target.shape if reduction == "none" else ()))
    dy = view_of(dy, "reversed")
    check(backend, logits, target, weight, -100, reduction, 0.1, dy=dy)


def test_broadcast_gradient(backend, rng):
    logits, target, _ = case(rng, (4, 5, 3), "float32", False)
    dy = np.broadcast_to(np.float32(2.5), target.shape)
    check(backend, logits, target, None, -100, "none", 0.0, dy=dy)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("classes", [5, 40, 1100])
def test_special_logits(backend, classes, smoothing):
    logits = np.zeros((7, classes), np.float32)
    logits[0] = -INF
    logits[1, 1] = INF
    logits[2, 0] = -INF
    logits[3, 2] = NAN
    logits[4, :3] = [1e30, -1e30, 1e30]
    logits[5] = NAN  # ignored
    target = np.array([1, 1, 1, 1, 2, -100, 0])
    check(backend, logits, target, None, -100, "none", smoothing)
    check(backend, logits[4:], target[4:], None, -100, "mean", smoothing)


def test_all_ignored(backend):
    logits, target = np.zeros((3, 4)), np.full(3, -100)
    for reduction in REDUCTIONS:
        check(backend, logits, target, None, -100, reduction, 0.1)
    mean = pycnn.cross_entropy(*backend.views(logits, target))
    assert np.isnan(backend.numpy(mean))


@pytest.mark.parametrize("shape", [(0, 5), (0, 5, 3), (2, 5, 0)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_empty(backend, shape, reduction):
    logits, target = np.zeros(shape, np.float32), np.zeros(positions(shape), np.int64)
    arrays = backend.views(logits, target)
    loss = backend.numpy(pycnn.cross_entropy(*arrays, reduction=reduction))
    assert loss.dtype == np.float32
    if reduction == "none":
        assert loss.shape == target.shape
    else:
        np.testing.assert_array_equal(loss, np.float32({"sum": 0, "mean": NAN}[reduction]))
    dy = backend.array(np.ones(loss.shape, np.float32))
    dlogits = pycnn.cross_entropy_backward(dy, *arrays, reduction=reduction)
    assert dlogits.shape == shape
    assert dlogits.dtype == np.float32


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradient_by_differences(backend, rng, reduction):
    logits, target, weight = case(rng, (4, 3, 2), "float64", weighted=True)
    others = (*backend.views(target, weight), -100, reduction, 0.2)
    dy = rng.standard_normal(target.shape if reduction == "none" else ())

    def loss(moved):
        cost = pycnn.cross_entropy(backend.array(moved), *others)
        return float((backend.numpy(cost) * dy).sum())

    dlogits = pycnn.cross_entropy_backward(*backend.views(np.asarray(dy), logits), *others)
    np.testing.assert_allclose(backend.numpy(dlogits), numeric_gradient(loss, logits), atol=1e-8)


@pytest.mark.parametrize("shape", [(7,), (3, 7), (3, 7, 5)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_out(backend, rng, shape, reduction):
    logits, target, _ = case(rng, shape, "float64", weighted=False)
    arrays = backend.views(logits, target)
    out = pycnn.cross_entropy(*arrays, reduction=reduction)
    want = backend.numpy(out).copy()
    out[...] = 9
    assert pycnn.cross_entropy(*arrays, reduction=reduction, out=out) is out
    np.testing.assert_array_equal(backend.numpy(out), want)
    dz = pycnn.cross_entropy_backward(out, *arrays, reduction=reduction)
    want = backend.numpy(dz).copy()
    dz[...] = 9
    assert pycnn.cross_entropy_backward(out, *arrays, reduction=reduction, out=dz) is dz
    np.testing.assert_array_equal(backend.numpy(dz), want)


@pytest.mark.parametrize("shape", [(301, 10), (5, 1201), (3, 21, 11, 13)])
def test_deterministic(backend, rng, monkeypatch, shape):
    logits, target, weight = case(rng, shape, "float32", weighted=True)
    arrays = backend.views(logits, target, weight)
    dy = backend.array(np.full((), 0.7, np.float32))
    same_under_all_schedules(backend, monkeypatch, lambda: pycnn.cross_entropy(*arrays))
    same_under_all_schedules(
        backend, monkeypatch, lambda: pycnn.cross_entropy_backward(dy, *arrays)
    )


@pytest.mark.parametrize("shape", [(24, 1000), (3, 2501), (2, 21, 32, 40)])
def test_moves_nothing_unnecessary(backend, rng, shape):
    logits, target, _ = case(rng, shape, "float32", weighted=False, ignored=False)
    pycnn.cross_entropy(*backend.views(logits, target))
    counters = counted(backend)
    assert counters.global_bytes_read >= logits.nbytes + target.nbytes
    assert counters.bytes_moved <= 1.1 * (logits.nbytes + target.nbytes)
    assert counters.bank_conflicts == 0


def test_ignored_positions_are_not_read(backend):
    logits, target = np.zeros((64, 1000), np.float32), np.full(64, -100)
    pycnn.cross_entropy(*backend.views(logits, target))
    counters = counted(backend)
    assert launched() == ["cross_entropy_rows", "cross_entropy_finish"]
    assert counters.global_bytes_read < 0.01 * logits.nbytes


def test_offsets_beyond_2_to_the_31(rng):
    logits = far_apart(rng.standard_normal((2, 5)).astype(np.float32))
    target = np.array([3, 1])
    dy = np.ones((), np.float32)
    with pycnn.use_backend("emulator", checked=False):
        loss = pycnn.cross_entropy(logits, target)
        dlogits = pycnn.cross_entropy_backward(dy, logits, target)
    options = (None, -100, "mean", 0.0)
    assert_matches(loss, oracle.cross_entropy(logits, target, *options), "float32", 5)
    want = oracle.cross_entropy_backward(dy, logits, target, *options)
    assert_matches(dlogits, want, "float32", 5)


Z, T, W = np.zeros((2, 3), np.float32), np.array([0, 2]), np.ones(3, np.float32)
ONE = np.ones((), np.float32)

BAD = {
    "list": (lambda: pycnn.cross_entropy([[1.0]], T), TypeError, "logits is of type list"),
    "integers": (lambda: pycnn.cross_entropy(Z.astype(int), T), TypeError, "logits has dtype"),
    "rank": (lambda: pycnn.cross_entropy(np.array(1.0), T), ValueError, r"logits has shape \(\)"),
    "no classes": (lambda: pycnn.cross_entropy(Z[:, :0], T), ValueError, "at least one class"),
    "target int32": (
        lambda: pycnn.cross_entropy(Z, T.astype("i4")),
        TypeError,
        "target has dtype int32; allowed: int64",
    ),
    "target float": (lambda: pycnn.cross_entropy(Z, Z), TypeError, "target has dtype float32"),
    "target shape": (
        lambda: pycnn.cross_entropy(Z, T[:1]),
        ValueError,
        r"target has shape \(1,\); allowed: \(2,\)",
    ),
    "target high": (
        lambda: pycnn.cross_entropy(Z, T + 1),
        ValueError,
        "target holds 3; allowed: 0 to 2, and ignore_index=-100",
    ),
    "target low": (lambda: pycnn.cross_entropy(Z, T - 1), ValueError, "target holds -1"),
    "target scalar": (
        lambda: pycnn.cross_entropy(Z[0], np.array(7)),
        ValueError,
        "target holds 7",
    ),
    "target ignored before": (
        lambda: pycnn.cross_entropy(Z, T - 100, ignore_index=-98),
        ValueError,
        "target holds -100; .*ignore_index=-98",
    ),
    "backward target": (
        lambda: pycnn.cross_entropy_backward(ONE, Z, T + 1),
        ValueError,
        "target holds 3",
    ),
    "weight shape": (
        lambda: pycnn.cross_entropy(Z, T, W[:2]),
        ValueError,
        r"weight has shape \(2,\); allowed: \(3,\)",
    ),
    "weight dtype": (
        lambda: pycnn.cross_entropy(Z, T, W.astype("f8")),
        TypeError,
        "weight has dtype float64 but logits has float32",
    ),
    "ignore_index": (
        lambda: pycnn.cross_entropy(Z, T, ignore_index=1.5),
        TypeError,
        "ignore_index=1.5",
    ),
    "reduction": (
        lambda: pycnn.cross_entropy(Z, T, reduction="average"),
        ValueError,
        "reduction='average'; allowed: none, sum, mean",
    ),
    "smoothing high": (
        lambda: pycnn.cross_entropy(Z, T, label_smoothing=1.5),
        ValueError,
        "label_smoothing=1.5; allowed: 0 to 1",
    ),
    "smoothing nan": (
        lambda: pycnn.cross_entropy(Z, T, label_smoothing=NAN),
        ValueError,
        "label_smoothing=nan",
    ),
    "smoothing type": (
        lambda: pycnn.cross_entropy(Z, T, label_smoothing="0.1"),
        TypeError,
        "label_smoothing='0.1' is of type str",
    ),
    "dy shape": (
        lambda: pycnn.cross_entropy_backward(W, Z, T),
        ValueError,
        r"dy has shape \(3,\); allowed: \(\)",
    ),
    "dy dtype": (
        lambda: pycnn.cross_entropy_backward(np.array(1.0), Z, T),
        TypeError,
        "dy has dtype float64 but logits has float32",
    ),
    "out shape": (lambda: pycnn.cross_entropy(Z, T, out=W), ValueError, "out has shape"),
    "out overlaps": (
        lambda: pycnn.cross_entropy_backward(ONE, Z, T, out=Z),
        ValueError,
        "out shares memory with logits",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("selected", ["reference", "emulator"])
def test_bad_input(selected, case):
    call, error, message = BAD[case]
    with pycnn.use_backend(selected), pytest.raises(error, match=message):
        call()
