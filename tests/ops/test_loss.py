"""Losses: options in combination, special values, traffic, bad input.

What holds for every operation is tested in test_every_operation.
"""

import itertools

import numpy as np
import pytest
from op_checks import assert_matches, counted, far_apart, numeric_gradient, refused_on_both

import pycnn
from pycnn.dtypes import numpy_dtype
from pycnn.reference.oracle import loss as oracle, pointwise_loss
from pycnn.testing import TESTED

NAN, INF = np.nan, np.inf
REDUCTIONS = ["none", "sum", "mean"]


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


@pytest.mark.parametrize(
    ("weighted", "smoothing", "reduction", "ignore_index"),
    [*itertools.product([False, True], [0.0, 1.0], REDUCTIONS, [-100, 5])],
)
def test_options(backend, rng, weighted, smoothing, reduction, ignore_index):
    logits, target, weight = case(rng, (3, 7, 4, 5), "float64", weighted, ignored=False)
    target[0, 1, 1:4] = ignore_index
    check(backend, logits, target, weight, ignore_index, reduction, smoothing)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ignored", [-100, 2, -(2**40)])
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_targets_of_32_bits_mean_the_same(backend, rng, name, ignored, reduction):
    logits, target, weight = case(rng, (3, 7, 4, 5), "float32", True, ignored=False)
    target[0, 1, 1:4] = max(ignored, -(2**31)) if ignored == -100 else 2
    dy = np.asarray(rng.random(target.shape if reduction == "none" else ()), np.float32)
    found = []
    for dtype in ("int64", "int32"):
        x, t, w = backend.views(logits, target.astype(dtype), weight)
        y = getattr(pycnn, name)(x, t, w, ignored, reduction)
        dx = getattr(pycnn, f"{name}_backward")(backend.array(dy), x, t, w, ignored, reduction)
        found.append((backend.numpy(y), backend.numpy(dx)))
    for wide, narrow in zip(*found, strict=True):
        np.testing.assert_array_equal(wide, narrow)


def test_probabilities_of_one_class_are_that_class(backend, rng):
    logits, target, _ = case(rng, (3, 7, 4, 5), "float64", False, ignored=False)
    hot = np.moveaxis(np.eye(7)[target], -1, 1)
    for smoothing in (0.0, 0.2):
        given = backend.views(logits, target, hot)
        settings = {"label_smoothing": smoothing}
        want = pycnn.cross_entropy(given[0], given[1], **settings)
        got = pycnn.cross_entropy(given[0], given[2], **settings)
        np.testing.assert_allclose(backend.numpy(got), backend.numpy(want), rtol=1e-12)
        one = backend.array(np.ones(()))
        want = pycnn.cross_entropy_backward(one, given[0], given[1], **settings)
        got = pycnn.cross_entropy_backward(one, given[0], given[2], **settings)
        np.testing.assert_allclose(backend.numpy(got), backend.numpy(want), atol=1e-15)


@pytest.mark.parametrize("shape", [(1100, 1030), (66000, 10)])
def test_blocks_that_walk_over_probabilities(backend, rng, shape):
    """More positions than 1024 blocks hold: what one round leaves must not be read by the next."""
    logits = rng.standard_normal(shape).astype(np.float32)
    target = rng.random(shape, np.float32)
    got = pycnn.cross_entropy(*backend.views(logits, target), reduction="sum")
    want = oracle.soft_cross_entropy(logits, target, None, "sum", 0.0)
    assert_matches(got, want, "float32", logits.size, backend)


@pytest.mark.parametrize("classes", [5, 40, 1100])
def test_special_logits_of_probabilities(backend, rng, classes):
    logits = np.zeros((6, classes), np.float32)
    logits[0] = -INF
    logits[1, 1] = INF
    logits[2, 0] = -INF
    logits[3, 2] = NAN
    logits[4, :3] = [1e30, -1e30, 1e30]
    target = rng.random(logits.shape, np.float32)
    got = pycnn.cross_entropy(*backend.views(logits, target), reduction="none")
    want = oracle.soft_cross_entropy(logits, target, None, "none", 0.0)
    assert_matches(got, want, "float32", classes, backend)


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


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_logits_far_from_zero(backend, rng, dtype):
    """Certain of the target: no cost, whatever a large logit is rounded to on the way."""
    most = {"float16": 6e4, "bfloat16": 3.3e38, "float32": 3.3e38}[dtype]
    logits = rng.standard_normal((9, 40)).astype(numpy_dtype(dtype))
    target = rng.integers(0, 40, 9)
    for row, (top, others) in enumerate(
        [(most, -most), (most, most), (-most, -most), (6e4, 1), (5e4, 0), (-2e4, -3e4), (2e4, 1e4)]
    ):
        logits[row] = others
        logits[row, target[row]] = top
    logits[7, :30] = NAN  # passed over by the maximum
    check(backend, logits, target, None, -100, "none", 0.0)
    costs = backend.numpy(pycnn.cross_entropy(*backend.views(logits, target), reduction="none"))
    certain = costs[[0, 3, 4, 5, 6]]
    assert np.all((certain >= 0) & (certain < 1e-6))


def test_all_ignored(backend):
    logits, target = np.zeros((3, 4)), np.full(3, -100)
    for reduction in REDUCTIONS:
        check(backend, logits, target, None, -100, reduction, 0.1)
    mean = pycnn.cross_entropy(*backend.views(logits, target))
    assert np.isnan(backend.numpy(mean))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradient_by_differences(rng, reduction):
    logits, target, weight = case(rng, (4, 3, 2), "float64", weighted=True)
    dy = np.asarray(rng.standard_normal(target.shape if reduction == "none" else ()))
    given = (target, weight, -100, reduction)

    def cost(moved):
        return float((oracle.cross_entropy(moved, *given, 0.2) * dy).sum())

    def likelihood(moved):
        return float((oracle.nll_loss(moved, *given) * dy).sum())

    soft = rng.random(logits.shape), weight, reduction, 0.2

    def soft_cost(moved):
        return float((oracle.soft_cross_entropy(moved, *soft) * dy).sum())

    dlogits = oracle.soft_cross_entropy_backward(dy, logits, *soft)
    np.testing.assert_allclose(dlogits, numeric_gradient(soft_cost, logits), atol=1e-8)
    dlogits = oracle.cross_entropy_backward(dy, logits, *given, 0.2)
    np.testing.assert_allclose(dlogits, numeric_gradient(cost, logits), atol=1e-8)
    dx = oracle.nll_loss_backward(dy, logits.shape, *given)
    np.testing.assert_allclose(dx, numeric_gradient(likelihood, logits), atol=1e-8)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_pointwise_gradients_by_differences(rng, reduction):
    x, t, w, p = rng.random((4, 3, 5))
    dy = np.asarray(rng.standard_normal(x.shape if reduction == "none" else ()))

    def squares(moved):
        return float((pointwise_loss.mse_loss(moved, t, reduction, 0.5) * dy).sum())

    def bits(moved):
        return float((pointwise_loss.binary_cross_entropy(moved, t, w, p, reduction, 1) * dy).sum())

    dx = pointwise_loss.mse_loss_backward(dy, x, t, reduction, 0.5)
    np.testing.assert_allclose(dx, numeric_gradient(squares, x), atol=1e-8)
    dx = pointwise_loss.binary_cross_entropy_backward(dy, x, t, w, p, reduction, 1)
    np.testing.assert_allclose(dx, numeric_gradient(bits, x), atol=1e-8)


def test_pointwise_losses_by_hand():
    x, t = np.array([1.0, 5.0, 2.0]), np.array([2.0, 2.0, 2.0])
    assert pycnn.mse_loss(x, t) == 10 / 3
    assert pycnn.sum_of_half_squares(x, t) == 5
    np.testing.assert_array_equal(pycnn.mse_loss(x, t, "none"), [1, 9, 0])
    np.testing.assert_array_equal(
        pycnn.sum_of_half_squares_backward(np.array(2.0), x, t), [-2, 6, 0]
    )
    zero, one = np.zeros(1), np.ones(1)
    for target in (zero, one):
        cost = pycnn.binary_cross_entropy_with_logits(zero, target)
        np.testing.assert_allclose(cost, np.log(2))
    cost = pycnn.binary_cross_entropy_with_logits(zero, one, 2 * one, "sum", 3 * one)
    np.testing.assert_allclose(cost, 6 * np.log(2))


def test_binary_cross_entropy_of_special_logits_matches_torch(backend):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")
    values = np.array([-INF, -1e30, -1000, 0, 1000, 1e30, INF, NAN], np.float32)
    x, t = (a.ravel() for a in np.meshgrid(values, np.float32([0, 0.25, 1])))
    got = pycnn.binary_cross_entropy_with_logits(*backend.views(x, t), reduction="none")
    function = torch.nn.functional.binary_cross_entropy_with_logits
    want = function(torch.from_numpy(x), torch.from_numpy(t), reduction="none").numpy()
    finite = np.isfinite(x)  # PyTorch's formula makes NaN of inf * 0 in other places
    np.testing.assert_allclose(backend.numpy(got)[finite], want[finite], rtol=1e-6)
    assert np.isnan(backend.numpy(got)[np.isnan(x)]).all()


RULED = ("l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "binary_cross_entropy")


@pytest.mark.parametrize("name", RULED)
def test_losses_of_the_table_at_special_values(backend, name):
    """Kinks, and where a logarithm or a slope has no bound."""
    values = np.array([0, 1, 0.5, 1e-30, 1 - 2**-24], np.float32)
    if name != "binary_cross_entropy":
        values = np.append(values, np.float32([-1, 2, INF, -INF, NAN]))
    x, t = (a.ravel() for a in np.meshgrid(values, values))
    defaults = TESTED[name].op.defaults | {"reduction": "none"}
    got = getattr(pycnn, name)(*backend.views(x, t), reduction="none")
    want = pointwise_loss.ruled(name, x, t, None, **defaults)
    got = backend.numpy(got).astype("f8")
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)
    dy = backend.array(np.ones_like(x))
    got = getattr(pycnn, f"{name}_backward")(dy, *backend.views(x, t), reduction="none")
    want = pointwise_loss.ruled_backward(name, np.ones_like(x), x, t, None, **defaults)
    np.testing.assert_allclose(backend.numpy(got), want, rtol=1e-5, atol=1e-7)


def test_losses_of_the_table_by_hand():
    x, t = np.array([1.0, 5.0, 2.0]), np.array([2.0, 2.0, 2.0])
    assert pycnn.l1_loss(x, t) == 4 / 3
    np.testing.assert_array_equal(pycnn.smooth_l1_loss(x, t, "none", 2.0), [0.25, 2, 0])
    np.testing.assert_array_equal(pycnn.huber_loss(x, t, "none", 2.0), [0.5, 4, 0])
    x, t = np.log([[0.5, 0.5], [0.25, 0.75]]), np.array([[0.0, 1.0], [0.25, 0.75]])
    np.testing.assert_allclose(pycnn.kl_div(x, t, "batchmean"), np.log(2) / 2)
    np.testing.assert_allclose(pycnn.kl_div(x[1:], np.log(t[1:]), log_target=True), 0, atol=1e-16)
    one = pycnn.binary_cross_entropy(np.array([0.0, 1.0]), np.array([1.0, 1.0]), reduction="none")
    np.testing.assert_array_equal(one, [100, 0])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_probability_that_is_none_raises_no_other_error(backend, dtype):
    x = np.array([NAN, 0.5]).astype(numpy_dtype(dtype))
    with np.errstate(all="raise"), pytest.raises(ValueError, match="x holds nan"):
        pycnn.binary_cross_entropy(*backend.views(x, x))


@pytest.mark.parametrize("name", ["mse_loss", "sum_of_half_squares"])
def test_squares_of_special_values(backend, name):
    x = np.array([NAN, INF, -INF, 1, INF], np.float32)
    t = np.array([1, 1, 1, NAN, INF], np.float32)
    assert np.isnan(backend.numpy(getattr(pycnn, name)(*backend.views(x, t))))
    assert backend.numpy(getattr(pycnn, name)(*backend.views(x[1:3], t[1:3]))) == INF


def test_nothing_has_no_mean(backend):
    x = backend.array(np.zeros((0, 3), np.float32))
    for name in ("mse_loss", "binary_cross_entropy_with_logits"):
        assert np.isnan(backend.numpy(getattr(pycnn, name)(x, x)))
        assert backend.numpy(getattr(pycnn, name)(x, x, reduction="sum")) == 0


@pytest.mark.parametrize("shape", [(24, 1000), (3, 2501), (2, 21, 32, 40)])
def test_moves_nothing_unnecessary(backend, rng, shape):
    logits, target, _ = case(rng, shape, "float32", weighted=False, ignored=False)
    with counted(backend) as log:
        pycnn.cross_entropy(*backend.views(logits, target))
    counters = log.total
    assert counters.global_bytes_read >= logits.nbytes + target.nbytes
    assert counters.bytes_moved <= 1.1 * (logits.nbytes + target.nbytes)
    assert counters.bank_conflicts == 0


def test_ignored_positions_are_not_read(backend):
    logits, target = np.zeros((64, 1000), np.float32), np.full(64, -100)
    with counted(backend) as log:
        pycnn.cross_entropy(*backend.views(logits, target))
    assert log.entries == ["cross_entropy_vectors_long", "loss_finish"]
    assert log.total.global_bytes_read < 0.01 * logits.nbytes


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
    "target int16": (
        lambda: pycnn.cross_entropy(Z, T.astype("i2")),
        TypeError,
        "target has dtype int16; allowed for cross_entropy: int64, int32, float16",
    ),
    "target float": (lambda: pycnn.nll_loss(Z, Z), TypeError, "target has dtype float32"),
    "probabilities shape": (
        lambda: pycnn.cross_entropy(Z, Z[0]),
        ValueError,
        r"target has shape \(3,\); allowed: \(2, 3\) \(that of logits, as they are probabilities",
    ),
    "probabilities dtype": (
        lambda: pycnn.cross_entropy(Z, Z.astype("f8")),
        TypeError,
        "target has dtype float64 but logits has float32",
    ),
    "probabilities ignored": (
        lambda: pycnn.cross_entropy(Z, Z, ignore_index=1),
        ValueError,
        "ignore_index=1 with probabilities",
    ),
    "ignore_index huge": (
        lambda: pycnn.cross_entropy(Z, T, ignore_index=2**63),
        ValueError,
        "ignore_index=9223372036854775808",
    ),
    "target int32 high": (
        lambda: pycnn.nll_loss(Z, T.astype("i4") + 1),
        ValueError,
        "target holds 3; allowed: 0 to 2",
    ),
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
        "logits has dtype float32 but dy has float64",
    ),
    "out shape": (lambda: pycnn.cross_entropy(Z, T, out=W), ValueError, "out has shape"),
    "out overlaps": (
        lambda: pycnn.cross_entropy_backward(ONE, Z, T, out=Z),
        ValueError,
        "out shares memory with logits",
    ),
    "nll target": (lambda: pycnn.nll_loss(Z, T + 1), ValueError, "target holds 3"),
    "nll reduction": (lambda: pycnn.nll_loss(Z, T, reduction=None), ValueError, "reduction=None"),
    "nll no classes": (lambda: pycnn.nll_loss(Z[:, :0], T), ValueError, "log_probabilities has"),
    "nll dy": (
        lambda: pycnn.nll_loss_backward(ONE, Z, T, reduction="none"),
        ValueError,
        r"dy has shape \(\); allowed: \(2,\)",
    ),
    "mse shapes": (
        lambda: pycnn.mse_loss(Z, Z[:1]),
        ValueError,
        r"target has shape \(1, 3\); allowed: \(2, 3\)",
    ),
    "mse reduction": (lambda: pycnn.mse_loss(Z, Z, "max"), ValueError, "reduction='max'"),
    "squares dy": (
        lambda: pycnn.sum_of_half_squares_backward(Z, Z, Z),
        ValueError,
        r"dy has shape \(2, 3\); allowed: \(\)",
    ),
    "beta": (lambda: pycnn.smooth_l1_loss(Z, Z, beta=-1), ValueError, "beta=-1; allowed: 0 to inf"),
    "delta": (lambda: pycnn.huber_loss(Z, Z, delta=0), ValueError, "delta=0; allowed: .* above 0"),
    "delta infinite": (lambda: pycnn.huber_loss(Z, Z, delta=INF), ValueError, "delta=inf"),
    "batchmean": (lambda: pycnn.l1_loss(Z, Z, "batchmean"), ValueError, "reduction='batchmean'"),
    "log_target": (lambda: pycnn.kl_div(Z, Z, log_target=1), TypeError, "log_target=1"),
    "probability": (
        lambda: pycnn.binary_cross_entropy(Z - 1, Z),
        ValueError,
        "x holds -1.0; allowed: 0 to 1",
    ),
    "probability wanted": (
        lambda: pycnn.binary_cross_entropy(Z, Z + NAN),
        ValueError,
        "target holds nan; allowed: 0 to 1",
    ),
    "bce weight": (
        lambda: pycnn.binary_cross_entropy_with_logits(Z, Z, W[:2]),
        ValueError,
        r"weight has shape \(2,\); allowed: one that broadcasts to \(2, 3\)",
    ),
    "bce pos_weight": (
        lambda: pycnn.binary_cross_entropy_with_logits(Z, Z, pos_weight=Z[None]),
        ValueError,
        r"pos_weight has shape \(1, 2, 3\)",
    ),
}


test_bad_input = refused_on_both(BAD)
