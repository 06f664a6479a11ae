"""Normalisation: stability, special values, mixed dtypes, bad settings, beyond the cases."""

import numpy as np
import pytest
from broken import run_broken
from op_checks import assert_matches, behind, far_apart, numeric_gradient, refused_on_both, view_of

import pycnn
from pycnn.dtypes import numpy_dtype
from pycnn.emulator import KernelError, counting
from pycnn.plan import _norm, norm_layer_gradient
from pycnn.reference.oracle import norm as oracle
from pycnn.runtime.occupancy import occupancy
from pycnn.runtime.plan import SCALAR, Kernel
from pycnn.testing import TESTED
from pycnn.testing.case import Case
from pycnn.testing.tolerance import tolerance

NAN, INF = np.nan, np.inf
LAYOUTS = {"NCHW": 1, "NHWC": -1}


def images(rng, layout, mean=0.0, shape=(3, 5, 8, 16)):
    """float32 values, channels on axis 1 or last."""
    x = (rng.standard_normal(shape) + mean).astype(np.float32)
    return x if layout == "NCHW" else np.ascontiguousarray(np.moveaxis(x, 1, -1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_large_means_cost_no_digits(backend, rng, layout):
    """float32 values near 10000, with a deviation of 1: spaced by 0.001 themselves."""
    x, axis = images(rng, layout, 1e4), LAYOUTS[layout]
    given = backend.array(x)
    count = x.size // 5
    y, mean, rstd, _, _ = pycnn.batch_norm_train(given, layout=layout)
    want = oracle.batch_norm_train(x, None, None, axis, 1e-5)
    for got, expected in zip((y, mean, rstd), want, strict=False):
        assert_matches(got, expected, "float32", count, backend)
    y = pycnn.group_norm(given, 5, layout=layout)
    want = oracle.group_norm(x, 5, None, None, axis, 1e-5)
    assert_matches(y, want, "float32", count // 3, backend)
    rows = x.reshape(-1, 160)
    want = oracle.layer_norm(rows, 1, None, None, 1e-5)
    y = pycnn.layer_norm(backend.array(rows), 160)
    assert_matches(y, want, "float32", 160, backend)
    dy = rng.standard_normal(rows.shape).astype(np.float32)
    given = pycnn.layer_norm_backward(*backend.views(dy, rows), 160)
    for got, expected in zip(
        given, oracle.layer_norm_backward(dy, rows, 1, None, 1e-5), strict=True
    ):
        assert_matches(got, expected, "float32", 160, backend)


def test_sums_of_squares_would_not_do(rng):
    """What the test above asks for, E(x^2) - E(x)^2 in float32 does not give."""
    x = images(rng, "NCHW", 1e4)
    mean = x.mean(axis=(0, 2, 3))
    variance = np.square(x).mean(axis=(0, 2, 3)) - np.square(mean)
    rstd = 1 / np.sqrt(np.maximum(variance, 0) + np.float32(1e-5))
    want = oracle.batch_norm_train(x, None, None, 1, 1e-5)[2]
    allowed = tolerance("float32", x.size // 5, np.abs(want).max())
    assert np.abs(rstd - want).max() > 1000 * allowed


@pytest.mark.parametrize("layout", LAYOUTS)
def test_constant_channels_become_the_bias(backend, layout):
    x = np.full((2, 3, 5, 3), 7.25, np.float32)
    bias = np.array([1, -2, 3], np.float32)
    shape = (3, 1, 1) if layout == "NCHW" else (3,)
    want = np.broadcast_to(bias.reshape(shape), x.shape)
    x, b = backend.views(x, bias)
    y, mean, rstd, _, _ = pycnn.batch_norm_train(x, bias=b, layout=layout)
    np.testing.assert_array_equal(backend.numpy(y), want)
    np.testing.assert_array_equal(backend.numpy(mean), 7.25)
    np.testing.assert_allclose(backend.numpy(rstd), 1e5**0.5, rtol=1e-6)
    y = pycnn.instance_norm(x, bias=b, layout=layout)
    np.testing.assert_array_equal(backend.numpy(y), want)
    dx, _, _ = pycnn.batch_norm_train_backward(x, x, mean, rstd, layout=layout)
    np.testing.assert_array_equal(backend.numpy(dx), 0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_instance_norm_updates_running_statistics(backend, rng, layout, dtype):
    """As PyTorch does: the mean over the images, of variances with n - 1, in place."""
    x = (rng.standard_normal((70, 3, 4, 5)) + 2).astype(dtype)
    mean, var = rng.standard_normal(6).astype(dtype)[::2], np.ones(3, dtype)
    wide = x.astype("f8")
    want_mean = 0.75 * mean.astype("f8") + 0.25 * wide.mean(axis=(2, 3)).mean(axis=0)
    want_var = 0.75 + 0.25 * wide.var(axis=(2, 3), ddof=1).mean(axis=0)
    if layout == "NHWC":
        x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    given, m, v = backend.array(x), backend.array(mean), backend.array(var)
    y = pycnn.instance_norm(given, m, v, momentum=0.25, layout=layout)
    assert_matches(m, want_mean, dtype, 1400, backend)
    assert_matches(v, want_var, dtype, 1400, backend)
    want = oracle.group_norm(x, 3, None, None, LAYOUTS[layout], 1e-5)
    assert_matches(y, want, dtype, 20, backend)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_running_statistics_of_far_values(backend, layout):
    """Means of values whose squares overflow, by parts that are kept scaled; variances are inf."""
    x = np.float32([[[-3e30, 1e30, 2e30, 4e30], [1, 2, 3, 6]], [[1e25, 1e25, 1e25, 1e25], [0] * 4]])
    x = x if layout == "NCHW" else np.ascontiguousarray(np.moveaxis(x, 1, -1))
    mean, var = backend.array(np.zeros(2, np.float32)), backend.array(np.ones(2, np.float32))
    pycnn.instance_norm(backend.array(x), mean, var, momentum=1.0, layout=layout)
    np.testing.assert_allclose(backend.numpy(mean), [0.500005e30, 1.5], rtol=1e-6)
    np.testing.assert_allclose(backend.numpy(var), [INF, 14 / 6], rtol=1e-6)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_nan_and_infinity_stay_in_their_statistic(backend, rng, layout, bad):
    x = images(rng, layout, shape=(2, 3, 4, 5))
    x[(1, 2, 3, 4) if layout == "NCHW" else (1, 3, 4, 2)] = bad
    given = backend.array(x)

    def broken(y):
        return np.isnan(np.moveaxis(backend.numpy(y), LAYOUTS[layout], 1)).all(axis=(2, 3)).tolist()

    def whole(y):
        return np.isfinite(np.moveaxis(backend.numpy(y), LAYOUTS[layout], 1)[:, :2]).all()

    y, mean, rstd, _, _ = pycnn.batch_norm_train(given, layout=layout)
    assert broken(y) == [[False, False, True]] * 2
    assert whole(y)
    assert not np.isfinite(backend.numpy(mean)[2])
    assert np.isnan(backend.numpy(rstd)).tolist() == [False, False, True]
    y = pycnn.group_norm(given, 3, layout=layout)
    assert broken(y) == [[False] * 3, [False, False, True]]
    y = pycnn.batch_norm(given, *backend.views(*np.ones((2, 3), np.float32)), layout=layout)
    assert np.isfinite(backend.numpy(y)).sum() == x.size - 1


def test_layer_norm_of_nan(backend, rng):
    x = rng.standard_normal((4, 9)).astype(np.float32)
    x[1, 3], x[2, 0] = NAN, INF
    y = backend.numpy(pycnn.layer_norm(backend.array(x), 9))
    assert np.isnan(y).all(axis=1).tolist() == [False, True, True, False]
    assert np.isfinite(y[[0, 3]]).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_response_of_nan_reaches_its_window_alone(backend, rng, layout):
    x = images(rng, layout, shape=(1, 9, 2, 3))
    place = (0, 4, 1, 2) if layout == "NCHW" else (0, 1, 2, 4)
    x[place] = NAN
    y = backend.numpy(pycnn.local_response_norm(backend.array(x), 3, layout=layout))
    y = np.moveaxis(y, LAYOUTS[layout], 1)
    assert np.isnan(y[0, :, 1, 2]).tolist() == [False] * 3 + [True] * 3 + [False] * 3
    assert np.isnan(y).sum() == 3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "groups", "algo"),
    [
        ((3, 6, 4, 8), 3, "vectors"),
        ((2, 4, 20, 40), 2, "long_vectors"),
        ((1, 3, 5, 16), 3, "vectors"),
    ],
)
def test_groups_in_registers(backend, rng, shape, groups, algo, dtype):
    """With weights of either type and without; aligned and not; NaN, and squares that overflow."""
    tested = TESTED["group_norm"]
    x = rng.standard_normal(shape).astype(numpy_dtype(dtype))
    x[0, -1, 0, 1] = NAN
    if dtype in ("bfloat16", "float32"):
        x[0, :2] *= x.dtype.type(1e25)
    wide = rng.standard_normal((2, shape[1])).astype("float64" if dtype == "float64" else "float32")
    for weight, bias in (wide, wide.astype(x.dtype), (None, None)):
        given = {"x": x, "weight": weight, "bias": bias}
        given = {name: a for name, a in given.items() if a is not None}
        chosen = {"num_groups": groups}
        with np.errstate(all="ignore"):
            (want,) = tested.oracle(tested.settings(Case("", {}, chosen)), given).values()
        for view in (x, view_of(x, "misaligned")):
            views = {**given, "x": view}
            assert tested.op.plan(tested.op.describe(views, **chosen)).algo == algo
            views = {n: backend.array(a) for n, a in views.items()}
            (got,) = tested.invoke(pycnn.group_norm, views, chosen)
            assert_matches(got, want, dtype, 2000, backend)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "groups"),
    [
        ((2, 5, 7, 24), 3),  # a group is a vector of 16 bits, and several of others
        ((2, 3, 5, 16), 8),  # several to a vector
        ((3, 2, 9, 40), 1),
        ((1, 37, 31, 24), 24),  # one channel each; the last block has less than others
        ((2, 3, 4, 48), 4),  # vectors of two groups, and some of one
    ],
)
def test_groups_of_channels_last(backend, rng, shape, groups, dtype):
    """NaN; squares that overflow, beside a far first value; a large mean. Aligned and not."""
    tested, chosen = TESTED["group_norm"], {"num_groups": groups, "layout": "NHWC"}
    x = rng.standard_normal(shape).astype(numpy_dtype(dtype))
    by_group = np.moveaxis(x.reshape(*shape[:3], groups, -1), 3, 0)
    x[0, 0, 0, 0] = 30 if dtype == "float64" else 1e4
    if groups > 1:
        if dtype != "float64":  # in which the oracle computes too
            by_group[-1, 0] += x.dtype.type(100)
        by_group[1, 0, -1, -1, 0] = NAN
    if groups > 2 and dtype in ("bfloat16", "float32"):
        by_group[2] *= x.dtype.type(1e25)
        by_group[2, 0, 0, 0, 0] = 1e27
    wide = rng.standard_normal((2, shape[-1])).astype("f8" if dtype == "float64" else "f4")
    for weight, bias in (wide, wide.astype(x.dtype), (None, None)):
        given = {"x": x, "weight": weight, "bias": bias}
        given = {name: a for name, a in given.items() if a is not None}
        with np.errstate(all="ignore"):
            (want,) = tested.oracle(tested.settings(Case("", {}, chosen)), given).values()
        for view in (x, view_of(x, "misaligned")):
            views = {**given, "x": view}
            assert tested.op.plan(tested.op.describe(views, **chosen)).algo == "shared"
            views = {n: backend.array(a) for n, a in views.items()}
            (got,) = tested.invoke(pycnn.group_norm, views, chosen)
            assert_matches(got, want, dtype, x.size // len(x) // groups, backend)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(("length", "algo"), [(24, "vectors"), (1160, "long_vectors")])
def test_rows_in_registers(backend, rng, length, algo, dtype):
    """Neighbours in a warp of which one has NaN, and one squares that overflow; aligned or not."""
    if algo == "long_vectors" and dtype in ("float16", "bfloat16"):
        length *= 2
    x, dy = rng.standard_normal((2, 5, length)).astype(numpy_dtype(dtype))
    x[2, 1] = NAN
    if dtype in ("bfloat16", "float32"):
        x[1] *= x.dtype.type(1e25)
    wide = rng.standard_normal((2, length)).astype("float64" if dtype == "float64" else "float32")
    for weight, bias in (wide, wide.astype(x.dtype), (None, None)):
        with np.errstate(all="ignore"):
            want = oracle.layer_norm(x, 1, weight, bias, 1e-5)
            back = oracle.layer_norm_backward(dy, x, 1, weight, 1e-5)
        for kind in ("contiguous", "misaligned"):
            views = {n: view_of(a, kind) for n, a in (("x", x), ("weight", weight), ("bias", bias))
                     if a is not None}  # fmt: skip
            op = TESTED["layer_norm"].op
            assert op.plan(op.describe(views, normalized_shape=length)).algo == algo
            given = {n: backend.array(a) for n, a in views.items()}
            y = pycnn.layer_norm(normalized_shape=length, **given)
            assert_matches(y, want, dtype, length, backend)
            given.pop("bias", None)
            got = pycnn.layer_norm_backward(backend.array(view_of(dy, kind)),
                                            normalized_shape=length, **given)  # fmt: skip
            assert_matches(got[0], back[0], dtype, length, backend)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(
    ("rows", "vectors", "blocks", "entry"),
    [
        (140, 3, 1, "lanes"),  # 128 rows at once, and again
        (37, 66, 2, "block"),  # 8 rows at once, three times
        (37, 66, 132, "block"),  # a row a block: a sum has more parts than threads
        (5, 290, 1, "block"),  # five warps
    ],
)
def test_gradients_of_rows_in_one_pass(
    backend, rng, rows, vectors, blocks, entry, dtype, monkeypatch
):
    """Rows: far first value, large mean, constant, squares that overflow, products that do.

    With weights of either type and without; aligned and not.
    """
    monkeypatch.setattr(norm_layer_gradient, "BLOCKS", blocks)
    kind = numpy_dtype(dtype)
    x, dy = rng.standard_normal((2, rows, vectors * 16 // kind.itemsize)).astype(kind)
    x[0, 0] = 30 if dtype == "float64" else 1e4  # in which the oracle computes too
    x[1] += kind.type(100)
    x[2] = 3
    if dtype in ("bfloat16", "float32"):
        x[3] *= kind.type(1e25)
        x[4] *= kind.type(1e15)
        dy[4] *= kind.type(1e24)
    length = x.shape[1]
    wide = rng.uniform(0.5, 2, length).astype("float64" if dtype == "float64" else "float32")
    op = TESTED["layer_norm_backward"].op
    for weight in (wide, wide.astype(kind), None):
        want = oracle.layer_norm_backward(dy, x, 1, weight, 1e-5)
        for view in ("contiguous", "misaligned"):
            given = {"dy": dy, "x": x, "weight": weight}
            given = {n: view_of(a, view) for n, a in given.items() if a is not None}
            plan = op.plan(op.describe(given, normalized_shape=length))
            assert plan.launches[0].kernel.entry == f"layer_gradient_{entry}"
            views = {n: backend.array(a) for n, a in given.items()}
            found = pycnn.layer_norm_backward(**views, normalized_shape=length)
            for got, expected in zip(found, want, strict=True):
                made = backend.numpy(got).dtype.name
                assert_matches(got, expected, made, max(length, rows), backend)
            again = pycnn.layer_norm_backward(**views, normalized_shape=length)
            for got, same in zip(found, again, strict=True):
                assert backend.numpy(got).tobytes() == backend.numpy(same).tobytes()


@pytest.mark.parametrize(
    ("launch", "old", "new"),
    [
        (0, "__syncthreads();  // weights are", "// weights are"),
        (0, "__syncthreads();  // sums of all", "// sums of all"),
        (0, "return __syncthreads_or(of_mine)", "return of_mine"),
        (0, "__syncthreads();  // nobody reads", "// nobody reads"),
        (0, "__syncthreads();  // sums of the other", "// sums of the other"),
        (1, "__syncthreads();  // so much of", "// so much of"),
    ],
)
def test_every_barrier_of_the_pass_is_missed(rng, monkeypatch, launch, old, new):
    monkeypatch.setattr(norm_layer_gradient, "BLOCKS", 2)
    x, dy = rng.standard_normal((2, 11, 1160)).astype(np.float32)  # five warps a row, three rows
    op = TESTED["layer_norm_backward"].op
    views = {"dy": dy, "x": x, "weight": x[0]}
    plan = op.plan(op.describe(views, normalized_shape=1160))
    made = {n: np.zeros(a.shape, a.dtype) for n, a in (plan.outputs | plan.workspace).items()}
    run_broken(plan.launches[launch], views | made, old, old)
    with pytest.raises(KernelError):
        run_broken(plan.launches[launch], views | made, old, new)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(
    ("layout", "shape"),
    [("NCHW", (5, 8, 3, 7)), ("NCHW", (9, 24)), ("NHWC", (2, 5, 7, 24)), ("NHWC", (1, 3, 3, 8))],
)
def test_statistics_given_for_few_rows(backend, rng, layout, shape, dtype):
    """Parameters of either type, apart, and none; NaN, infinity, and far values. Aligned or not."""
    kind, axis = numpy_dtype(dtype), LAYOUTS[layout]
    x = rng.standard_normal(shape).astype(kind)
    x.flat[0], x.flat[-1] = NAN, INF
    number = shape[axis]
    wide = rng.uniform(0.5, 2, (4, number)).astype("f8" if dtype == "float64" else "f4")
    if dtype in ("bfloat16", "float32"):
        wide[1, 1] = 1e38
        np.moveaxis(x, axis, 0)[1] *= kind.type(1e19)
    op = TESTED["batch_norm"].op
    for given in (wide, wide.astype(kind), view_of(wide, "strided"), wide[:2]):
        mean, var, *affine = given
        named = dict(zip(("weight", "bias"), affine, strict=False))
        own = [affine[i] if affine else None for i in range(2)]
        want = oracle.batch_norm(x, mean, var, *own, axis, 1e-3)
        for view in (x, view_of(x, "misaligned")):
            views = {"x": view, "running_mean": mean, "running_var": var, **named}
            assert op.plan(op.describe(views, layout=layout)).algo == "few"
            views = {n: backend.array(a) for n, a in views.items()}
            got = pycnn.batch_norm(**views, layout=layout, eps=1e-3)
            assert_matches(got, want, dtype, 1, backend)


#: Layout and shape: a tile of channels that is short, maps of no whole vectors and of some, a
#: vector of channels, and several vectors a thread.
SMALL = [
    ("NCHW", (5, 24, 3, 7)),
    ("NCHW", (2, 3, 4, 8)),
    ("NHWC", (9, 5, 7, 24)),
    ("NHWC", (70, 8)),
    ("NCHW", (640, 16)),
]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(("layout", "shape"), SMALL)
def test_channels_in_registers(backend, rng, layout, shape, dtype):
    """Aligned and not. Channels: NaN; squares that overflow; a far first value; a large mean."""
    kind, axis = numpy_dtype(dtype), LAYOUTS[layout]
    x, dy = rng.standard_normal((2, *shape)).astype(kind)
    by_channel = np.moveaxis(x, axis, 0)
    by_channel[0].flat[-1] = NAN
    if dtype != "float16":
        by_channel[1] *= kind.type(1e25)
        by_channel[1].flat[0] = 1e27
    by_channel[2].flat[0] = 30 if dtype == "float64" else 1e4
    if len(by_channel) > 3 and dtype != "float64":  # in which the oracle computes too
        by_channel[3] += kind.type(1000)
    number, count = len(by_channel), x.size // len(by_channel)
    wide = rng.uniform(0.5, 2, (4, number)).astype("float64" if dtype == "float64" else "float32")
    settings = {"layout": layout, "momentum": 0.25, "eps": 1e-3}
    forward, back = TESTED["batch_norm_train"], TESTED["batch_norm_train_backward"]
    names = ("running_mean", "running_var", "weight", "bias")
    for given in (dict(zip(names, wide, strict=True)), {"weight": wide[2].astype(kind)}, {}):
        given = {"x": x, **given}
        with np.errstate(all="ignore"):
            want = forward.oracle(forward.settings(Case("", {}, settings)), given)
        for moved in (lambda a: a, lambda a: view_of(a, "misaligned")):
            views = {**given, "x": moved(x)}
            assert forward.op.plan(forward.op.describe(views, **settings)).algo == "small"
            views = {n: backend.array(a) for n, a in views.items()}
            found = forward.invoke(pycnn.batch_norm_train, views, settings)
            for got, (name, expected) in zip(
                (a for a in found if a is not None), want.items(), strict=True
            ):
                made = dtype if name == "y" else wide.dtype.name
                assert_matches(got, expected, made, count, backend)
            mean, rstd = (want[n].astype(wide.dtype) for n in ("mean", "rstd"))
            operands = {"dy": dy, "x": x, "mean": mean, "rstd": rstd}
            if "weight" in given:
                operands["weight"] = given["weight"]
            with np.errstate(all="ignore"):
                chosen = back.settings(Case("", {}, {"layout": layout}))
                gradients = back.oracle(chosen, operands)
            views = {n: moved(a) if n in ("dy", "x") else a for n, a in operands.items()}
            assert back.op.plan(back.op.describe(views, layout=layout)).algo == "small"
            views = {n: backend.array(a) for n, a in views.items()}
            found = pycnn.batch_norm_train_backward(**views, layout=layout)
            for got, expected in zip(found, gradients.values(), strict=True):
                made = backend.numpy(got).dtype.name
                assert_matches(got, expected, made, count, backend)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_channels_in_registers_are_read_once(rng, layout, dtype):
    shape = (8, 16, 7, 7) if layout == "NCHW" else (8, 7, 7, 16)
    x, dy = rng.standard_normal((2, *shape)).astype(numpy_dtype(dtype))
    with pycnn.use_backend("emulator", checked=True), counting() as log:
        _, mean, rstd, _, _ = pycnn.batch_norm_train(x, layout=layout)
        pycnn.batch_norm_train_backward(dy, x, mean, rstd, layout=layout)
    assert log.entries == ["small_forward", "small_backward"]
    for (_, counters), operands in zip(log.launches, (2, 3), strict=True):
        assert operands * x.nbytes <= counters.bytes_necessary <= 1.04 * operands * x.nbytes
        assert counters.bytes_moved <= 1.08 * counters.bytes_necessary  # maps are no whole sectors
        assert counters.bank_conflicts <= (0.2 * counters.shared_wavefronts, 0)[layout == "NHWC"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_channels_last_meet_in_few_banks(rng, dtype):
    """Moments of rows in none; coefficients only where a block writes them, once."""
    x = rng.standard_normal((1, 61, 59, 64)).astype(numpy_dtype(dtype))
    with pycnn.use_backend("emulator", checked=True), counting() as log:
        pycnn.batch_norm_train(x, layout="NHWC")
    assert log.entries == ["moments_rows", "moments_merge", "norm_rows"]
    assert log.of("moments_rows").bank_conflicts == log.of("moments_merge").bank_conflicts == 0
    counters = log.of("norm_rows")
    assert counters.bank_conflicts < counters.shared_wavefronts / 2


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_rows_and_groups_move_little_more_than_they_must(rng, dtype):
    """Of whole vectors, four or five a thread."""
    with pycnn.use_backend("emulator", checked=True):
        for shape, call in (
            ((9, 512), lambda x: pycnn.layer_norm(x, 512)),
            ((3, 2304), lambda x: pycnn.layer_norm(x, 2304)),
            ((1, 4, 32, 32), lambda x: pycnn.group_norm(x, 2)),
            ((1, 4, 64, 64), lambda x: pycnn.group_norm(x, 2)),
            ((2, 9, 11, 32), lambda x: pycnn.group_norm(x, 2, layout="NHWC")),
        ):
            x = rng.standard_normal(shape).astype(numpy_dtype(dtype))
            with counting() as log:
                call(x)
            ((_, counters),) = log.launches
            assert counters.bytes_necessary == 2 * x.nbytes
            # And the first element, which is taken from all, once more for each warp.
            assert counters.bytes_moved <= 1.04 * counters.bytes_necessary
            assert counters.bank_conflicts == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    ("file", "entry", "threads", "blocks"),
    [
        ("layer_vectors", "layer_vectors", 128, 8),
        ("layer_vectors", "group_vectors_long", 640, 1),
        ("layer_gradient", "layer_gradient_block", 512, 1),
        ("group_rows", "group_rows", 256, 2),
        ("apply", "norm_few", 256, 3),
        ("small", "small_forward", 256, 2),
        ("small", "small_backward", 256, 2),
    ],
)
def test_registers_of_rows(file, entry, threads, blocks, dtype):
    """Enough blocks fit on a multiprocessor of an H200, and nothing leaves the registers."""
    pytest.importorskip("llvmlite")
    from pycnn.predict import code

    kernel = Kernel(f"norm/{file}.cu", entry, (("SCALAR", SCALAR[dtype]),))
    used = code.of_kernel(kernel, "sm_90a").resources
    assert used.local == 0
    assert occupancy("sm_90a", threads, used.registers, used.shared).blocks >= blocks


#: Layout and shape: several tiles of channels, one of them short; planes of whole vectors and of
#: none; fewer channels than a window.
RESPONSES = [
    ("NCHW", (2, 75, 4, 4)),
    ("NCHW", (1, 13, 3, 7)),
    ("NCHW", (2, 4, 5, 1)),
    ("NHWC", (2, 3, 5, 24)),
    ("NHWC", (1, 2, 3, 8)),
]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(("layout", "shape"), RESPONSES)
def test_response_by_vectors(backend, rng, layout, shape, dtype):
    """Aligned, behind a vector and apart; with squares that overflow, infinity and NaN."""
    settings = {"size": 5, "alpha": 0.5, "layout": layout}
    for name in ("local_response_norm", "local_response_norm_backward"):
        tested = TESTED[name]
        given = tested.draw(Case("vectors", {"x": shape}, settings), rng, dtype)
        far = {"float16": 6e4, "float64": 1e300}.get(dtype, 1e30)
        given["x"].flat[:2] = far, -far
        given["x"].flat[-1], given["x"].flat[given["x"].size // 2] = NAN, INF
        chosen = tested.settings(Case("vectors", {"x": shape}, settings))
        with np.errstate(all="ignore"):
            (want,) = tested.oracle(chosen, given).values()
        for moved in (lambda a: a, lambda a: view_of(a, "misaligned"), behind):
            views = {n: moved(a) for n, a in given.items()}
            assert tested.op.plan(tested.op.describe(views, **chosen)).algo.endswith("by vectors")
            views = {n: backend.array(a) for n, a in views.items()}
            (got,) = tested.invoke(getattr(pycnn, name), views, chosen)
            assert_matches(got, want, dtype, 5, backend)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_parameters_of_either_dtype(backend, rng, dtype, wide):
    """float32 parameters with 16-bit x, as networks trained in mixed precision have."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    x, dy = rng.standard_normal((2, 2, 3, 4, 5)).astype(dtype)
    own = "float64" if dtype == "float64" else "float32" if wide else dtype
    running = *rng.uniform(0.5, 2, (2, 3)).astype(own), *rng.standard_normal((2, 3)).astype(own)
    mean, var, weight, bias = running
    args = backend.views(x, mean, var, weight, bias)
    want = oracle.batch_norm(x, mean, var, weight, bias, 1, 1e-5)
    assert_matches(pycnn.batch_norm(*args), want, dtype, 1, backend)
    found = pycnn.batch_norm_backward(*backend.views(dy, x, mean, var, weight))
    for got, expected, made in zip(
        found,
        oracle.batch_norm_backward(dy, x, mean, var, weight, 1, 1e-5),
        (dtype, own, own),
        strict=True,
    ):
        assert_matches(got, expected, made, 40, backend)
    y, m, r, new_mean, new_var = pycnn.batch_norm_train(*args, momentum=0.25)
    want, _, _, fresh = oracle.batch_norm_train(x, weight, bias, 1, 1e-5)
    assert_matches(y, want, dtype, 40, backend)
    statistics = "float64" if dtype == "float64" else "float32"
    assert [backend.numpy(a).dtype.name for a in (m, r)] == [statistics] * 2
    assert backend.numpy(new_mean).dtype == own
    assert_matches(new_var, 0.75 * var.astype("f8") + 0.25 * fresh, own, 40, backend)
    y = pycnn.layer_norm(*backend.views(x[..., :3]), 3, *backend.views(weight, bias))
    assert_matches(y, oracle.layer_norm(x[..., :3], 1, weight, bias, 1e-5), dtype, 3, backend)
    dx, dw, _ = pycnn.group_norm_backward(*backend.views(dy, x), 3, *backend.views(weight))
    want = oracle.group_norm_backward(dy, x, 3, weight, 1, 1e-5)
    assert_matches(dx, want[0], dtype, 20, backend)
    assert_matches(dw, want[1], own, 40, backend)


def test_gradients_of_the_oracle_by_differences(rng):
    x, dy = rng.standard_normal((2, 2, 4, 3))
    weight, mean = rng.standard_normal((2, 4))
    var = rng.uniform(0.5, 2, 4)

    def check(gradient, function):
        numeric = numeric_gradient(lambda moved: float((function(moved) * dy).sum()), x)
        np.testing.assert_allclose(gradient, numeric, atol=1e-7)

    check(
        oracle.batch_norm_backward(dy, x, mean, var, weight, 1, 0.1)[0],
        lambda moved: oracle.batch_norm(moved, mean, var, weight, None, 1, 0.1),
    )
    _, m, r, _ = oracle.batch_norm_train(x, weight, None, 1, 0.1)
    check(
        oracle.batch_norm_train_backward(dy, x, m, r, weight, 1)[0],
        lambda moved: oracle.batch_norm_train(moved, weight, None, 1, 0.1)[0],
    )
    check(
        oracle.group_norm_backward(dy, x, 2, weight, 1, 0.1)[0],
        lambda moved: oracle.group_norm(moved, 2, weight, None, 1, 0.1),
    )
    check(
        oracle.layer_norm_backward(dy, x, 2, None, 0.1)[0],
        lambda moved: oracle.layer_norm(moved, 2, None, None, 0.1),
    )
    check(
        oracle.local_response_norm_backward(dy, x, 3, 0.7, 0.6, 0.9, 1),
        lambda moved: oracle.local_response_norm(moved, 3, 0.7, 0.6, 0.9, 1),
    )


def test_hand_worked_values(backend):
    x = backend.array(np.array([[1.0, 0.0], [3.0, 8.0]]))
    zero = backend.array(np.zeros(2))
    y, mean, rstd, new_mean, new_var = pycnn.batch_norm_train(x, zero, zero, eps=0.0)
    assert backend.numpy(y).tolist() == [[-1, -1], [1, 1]]
    assert backend.numpy(mean).tolist() == [2, 4]
    assert backend.numpy(rstd).tolist() == [1, 0.25]
    np.testing.assert_allclose(backend.numpy(new_mean), [0.2, 0.4])
    np.testing.assert_allclose(backend.numpy(new_var), [0.2, 3.2])  # 2 and 32 over n - 1


def test_folded(backend, rng):
    x = rng.standard_normal((2, 3, 4))
    mean, weight, bias = rng.standard_normal((3, 3))
    var = rng.uniform(0.5, 2, 3)
    vectors = backend.views(mean, var, weight, bias)
    scale, shift = (backend.numpy(a) for a in pycnn.fold_batch_norm(*vectors, eps=0.1))
    want = backend.numpy(pycnn.batch_norm(backend.array(x), *vectors, eps=0.1))
    np.testing.assert_allclose(x * scale[:, None] + shift[:, None], want, rtol=1e-12)


def test_one_value_for_each_channel_where_there_is_a_group(backend):
    x = backend.array(np.array([[1.0, 3.0, 5.0, 5.0]]))
    y = pycnn.group_norm(x, 2, eps=0.0001)
    np.testing.assert_allclose(backend.numpy(y), [[-1, 1, 0, 0]], atol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_threads_with_many_rows(backend, rng, dtype, monkeypatch):
    """More than are added up at once; a first value far away, a large mean, NaN, and overflow."""
    monkeypatch.setattr(_norm, "BLOCKS_REDUCED", 1)
    kind = numpy_dtype(dtype)
    x = rng.standard_normal((3 * 37 * 19, 24)).astype(kind)
    x[0, 0] = 300
    x[:, 1] += kind.type(100)
    x[-1, 2] = NAN
    x[:, 3] *= kind.type(1e25)
    x[2000, 4] = -1000
    with np.errstate(all="ignore"):
        want = oracle.batch_norm_train(x, None, None, -1, 1e-5)
    got = pycnn.batch_norm_train(backend.array(x), layout="NHWC")
    for made, name, expected in zip(got, ("y", "mean", "rstd"), want, strict=False):
        assert_matches(made, expected, dtype if name == "y" else "float32", len(x), backend)


def test_a_vote_on_squares_that_overflow_is_of_the_block(rng):
    x = (rng.standard_normal((40, 24)) * np.r_[np.ones(23), 1e30]).astype(np.float32)
    op = TESTED["batch_norm_train"].op
    views = {"x": view_of(x, "strided")}
    step = op.plan(op.describe(views, layout="NHWC")).launches[0]
    arrays = {"x": views["x"], "parts": np.zeros((24, 4), np.float32)}
    vote = "if (!__syncthreads_or(!fit)) return;"
    run_broken(step, arrays, vote, vote)
    with pytest.raises(KernelError):
        run_broken(step, arrays, vote, "if (fit) return;")


def test_offsets_beyond_2_to_the_31(rng):
    x = far_apart(rng.standard_normal((2, 3, 5)).astype(np.float32))
    dy = rng.standard_normal(x.shape).astype(np.float32)
    with pycnn.use_backend("emulator", checked=False):
        y, mean, rstd, _, _ = pycnn.batch_norm_train(x)
        dx = pycnn.batch_norm_train_backward(dy, x, mean, rstd)[0]
        rows = pycnn.layer_norm(x, 5)
        response = pycnn.local_response_norm(x, 3)
        last = pycnn.instance_norm(x, layout="NHWC")
    want = oracle.batch_norm_train(x, None, None, 1, 1e-5)[0]
    assert_matches(y, want, "float32", 10)
    assert_matches(
        dx, oracle.batch_norm_train_backward(dy, x, mean, rstd, None, 1)[0], "float32", 10
    )
    assert_matches(rows, oracle.layer_norm(x, 1, None, None, 1e-5), "float32", 5)
    assert_matches(response, oracle.local_response_norm(x, 3, 1e-4, 0.75, 1, 1), "float32", 3)
    assert_matches(last, oracle.group_norm(x, 5, None, None, -1, 1e-5), "float32", 3)


@pytest.mark.parametrize(("layout", "entry"), [("NCHW", "layer_lanes"), ("NHWC", "moments_rows")])
def test_groups_that_fit_on_chip_are_read_once(backend, rng, layout, entry):
    if backend.name != "checked":
        pytest.skip("launches are recorded in the emulator's checked build")
    with counting() as log:
        pycnn.instance_norm(images(rng, layout, shape=(2, 3, 5, 7)), layout=layout)
    assert log.entries[0] == entry


X = np.zeros((2, 6, 4), np.float32)
C = np.ones(6, np.float32)
READ_ONLY = np.ones(6, np.float32)
READ_ONLY.flags.writeable = False

BAD = {
    "training": (
        lambda: pycnn.batch_norm(X, C, C, training=True),
        ValueError,
        "training=True.*batch_norm_train",
    ),
    "training 1": (lambda: pycnn.batch_norm(X, C, C, training=1), TypeError, "training=1"),
    "no mean": (lambda: pycnn.batch_norm(X, None, C), TypeError, "running_mean is None"),
    "layout": (lambda: pycnn.batch_norm(X, C, C, layout="NWC"), ValueError, "layout='NWC'"),
    "channels": (
        lambda: pycnn.batch_norm(X, C, C, layout="NHWC"),
        ValueError,
        r"running_mean has shape \(6,\); allowed: \(4,\)",
    ),
    "eps": (lambda: pycnn.batch_norm(X, C, C, eps=-1.0), ValueError, "eps=-1"),
    "eps text": (lambda: pycnn.layer_norm(X, 4, eps="1"), TypeError, "eps='1'"),
    "momentum": (
        lambda: pycnn.batch_norm_train(X, momentum=None),
        TypeError,
        "momentum=None",
    ),
    "weight dtype": (
        lambda: pycnn.batch_norm(X, C, C, C.astype("f8")),
        TypeError,
        "weight has dtype float64; allowed: float32",
    ),
    "half weight": (
        lambda: pycnn.layer_norm(X, 4, np.ones(4, "f2")),
        TypeError,
        "weight has dtype float16",
    ),
    "one value": (
        lambda: pycnn.batch_norm_train(X[:1, :, :1]),
        ValueError,
        "1 values for each channel",
    ),
    "no value": (lambda: pycnn.batch_norm_train(X[:0]), ValueError, "0 values for each channel"),
    "one of a group": (
        lambda: pycnn.group_norm(X[:1, :, 0], 6),
        ValueError,
        "one value for each group",
    ),
    "one of an instance": (
        lambda: pycnn.instance_norm(X[..., :1]),
        ValueError,
        "one value for each channel of an image",
    ),
    "running mean alone": (
        lambda: pycnn.instance_norm(X, np.zeros(6, "f4")),
        ValueError,
        "allowed: both or neither",
    ),
    "no running statistics": (
        lambda: pycnn.instance_norm(X, use_input_stats=False),
        ValueError,
        "use_input_stats=False without running_mean",
    ),
    "running statistics of nothing": (
        lambda: pycnn.instance_norm(X[:0], np.zeros(6, "f4"), np.ones(6, "f4")),
        ValueError,
        "x has shape .*use_input_stats=False changes none",
    ),
    "running statistics read-only": (
        lambda: pycnn.instance_norm(X, np.zeros(6, "f4"), READ_ONLY),
        ValueError,
        "running_var is read-only",
    ),
    "running statistics repeated": (
        lambda: pycnn.instance_norm(X, np.broadcast_to(np.float32(0), 6), np.ones(6, "f4")),
        ValueError,
        "running_mean repeats one element",
    ),
    "groups": (lambda: pycnn.group_norm(X, 4), ValueError, "num_groups=4; allowed: a divisor"),
    "groups float": (lambda: pycnn.group_norm(X, 2.0), TypeError, "num_groups=2.0"),
    "groups zero": (lambda: pycnn.group_norm(X, 0), ValueError, "num_groups=0"),
    "normalized_shape": (
        lambda: pycnn.layer_norm(X, (6, 5)),
        ValueError,
        r"normalized_shape=\(6, 5\)",
    ),
    "normalized_shape empty": (lambda: pycnn.layer_norm(X, ()), ValueError, "normalized_shape"),
    "normalized_shape text": (lambda: pycnn.layer_norm(X, "4"), TypeError, "normalized_shape='4'"),
    "layer weight": (
        lambda: pycnn.layer_norm(X, (6, 4), C),
        ValueError,
        r"weight has shape \(6,\); allowed: \(6, 4\)",
    ),
    "dy": (
        lambda: pycnn.layer_norm_backward(X[:1], X, 4),
        ValueError,
        r"dy has shape \(1, 6, 4\)",
    ),
    "response rank": (lambda: pycnn.local_response_norm(C[None], 3), ValueError, "x has shape"),
    "response size": (lambda: pycnn.local_response_norm(X, 0), ValueError, "size=0"),
    "response k": (lambda: pycnn.local_response_norm(X, 3, k=None), TypeError, "k=None"),
    "response out": (
        lambda: pycnn.local_response_norm(X, 3, out=X),
        ValueError,
        "out shares memory with x",
    ),
}


test_bad_input = refused_on_both(BAD)


def test_a_window_beyond_shared_memory_is_refused():
    x = np.ones((1, 1000, 1, 1), np.float32)
    with pycnn.use_backend("emulator"), pytest.raises(ValueError, match=r"size=1000.*allowed"):
        pycnn.local_response_norm(x, 1000)
    assert pycnn.local_response_norm(x, 1000).shape == x.shape


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_the_unit_lets_through(backend, layout, rng):
    """Of NaN and infinities in the residual: as the operations one by one, element by element."""
    x, residual, dy = (images(rng, layout, shape=(2, 3, 4, 5)) for _ in range(3))
    flat = residual.reshape(-1)
    flat[[0, 7]], flat[[1, 9]], flat[[2, 11]] = NAN, INF, -INF
    y, mean, rstd, *_ = pycnn.batch_norm_relu_train(
        *backend.views(x, None, None, None, None, residual), layout=layout
    )
    want = oracle.batch_norm_train(x, None, None, LAYOUTS[layout], 1e-5)[0] + residual
    with np.errstate(invalid="ignore"):
        want = np.where(want < 0, 0, want)
    np.testing.assert_allclose(backend.numpy(y), want, rtol=1e-5, atol=1e-5)
    *_, g = pycnn.batch_norm_relu_train_backward(
        *backend.views(dy, x), y, mean, rstd, layout=layout
    )
    np.testing.assert_array_equal(backend.numpy(g), np.where(backend.numpy(y) <= 0, 0, dy))


def test_a_batch_of_none_has_no_statistics_with_a_unit_either():
    with pytest.raises(ValueError, match="0 values for each channel"):
        pycnn.batch_norm_relu_train(X[:0])
    with pytest.raises(ValueError, match="residual has shape"):
        pycnn.batch_norm_relu_train(X, residual=X[:1])


@pytest.mark.parametrize("size", [3, 5])
def test_responses_below_any_number_are_none(backend, size):
    """With alpha below zero; their squares overflow, and no root is taken of what they leave."""
    x = np.array([1, 3e30, 2, 1e25, 0.5, 3e38, -np.inf], np.float32).reshape(1, 7, 1, 1)
    given = {"size": size, "alpha": -1.0}
    with np.errstate(invalid="ignore"):
        (want,) = TESTED["local_response_norm"].oracle(given, {"x": x}).values()
    got = backend.numpy(pycnn.local_response_norm(backend.array(x), **given))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
