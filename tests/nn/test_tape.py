"""The tape: arithmetic of arrays on it, uses that add up, what it refuses and what it drops."""

import gc
import pickle
import weakref

import numpy as np
import pytest
from test_layers import slope

import pycnn
from pycnn import nn
from pycnn.define import pullback
from pycnn.define.operation import Gradient
from pycnn.define.registry import OPERATIONS
from pycnn.tape import recording
from pycnn.testing import TESTED

FORWARD = [tested for tested in TESTED.values() if not isinstance(tested.op, Gradient)]

RNG = np.random.default_rng(5)
A, B = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))

KEEPING = pycnn.custom_gradient(lambda x, factor=1: (x[0] * factor, lambda dy: dy))

#: Name -> function of two arrays (3, 4).
ARITHMETIC = {
    "numbers": lambda a, b: 2 - (a * 3 + 1 - b / 4) * 0.5,
    "arrays": lambda a, b: a * b - b + a * A + B - a,
    "plain from the left": lambda a, b: A + a - (B - b) + A * b,
    "broadcast": lambda a, b: a[0] * b + b[:, :1],
    "matmul": lambda a, b: a @ b.T + A @ b.reshape(4, 3),
    "places": lambda a, b: a[1] * 2 + b[-1, 1:3].reshape(1, 2)[0, 0],
    "slices": lambda a, b: a[::2, ::-1] + b[None, 1:, ...][0],
    "a place twice": lambda a, b: a[[0, 0, 2]] * b[np.array([1, 1, 1])],
    "mask": lambda a, b: a[A > 0] * 2 + b[A > 0],
    "transpose": lambda a, b: a.transpose(1, 0) + b.transpose((1, 0)) + b.T,
    "astype": lambda a, b: pycnn.tanh(a.astype("float32")).astype("float64") + b,
    "uses": lambda a, b: pycnn.relu(a) + pycnn.tanh(a) + pycnn.sigmoid(a) + a + a * a * b,
    "many uses": lambda a, b: sum(pycnn.tanh(a * i) for i in range(12)) + b,
    "split": lambda a, b: pycnn.split(a, [1, 2])[1] + pycnn.split(b, 2, 1)[0][0, 0],
    "concat": lambda a, b: pycnn.concat([a, b, a], 1),
    "gemm": lambda a, b: pycnn.gemm(a, b, b[0, :3] * 2, transpose_b=True),
    "gemm turned": lambda a, b: pycnn.gemm(a, b, transpose_a=True),
    "vectors": lambda a, b: pycnn.matmul(a[0], b[1]) + pycnn.matmul(a, b[0]),
    "batches": lambda a, b: pycnn.matmul(a.reshape(3, 1, 2, 2), b.reshape(1, 3, 2, 2)),
    "batched by broadcasting": lambda a, b: pycnn.matmul(a.reshape(3, 2, 2), b[:2, :2]),
    "bmm": lambda a, b: pycnn.bmm(a.reshape(3, 2, 2), b.reshape(3, 2, 2)),
    "sums of some axes": lambda a, b: pycnn.add_n([a, b, a[:1], b[:, :1]]),
    "topk": lambda a, b: pycnn.topk(a, 2)[0] + pycnn.amax(b, axis=1, keepdims=True),
    "indices": lambda a, b: pycnn.max_pool1d(a.reshape(1, 3, 4), 2, return_indices=True)[0],
    "loss": lambda a, b: pycnn.cross_entropy(a + b, np.array([1, 0, 3]), label_smoothing=0.1),
    "no indices asked for": lambda a, b: pycnn.max_pool1d(a.reshape(1, 3, 4), 2),
    "moves": lambda a, b: pycnn.pixel_shuffle(pycnn.concat([a, b]).reshape(1, 4, 2, 3), 2),
    "shuffles": lambda a, b: pycnn.channel_shuffle(pycnn.concat([a, b]).reshape(1, 6, 2, 2), 2),
    "folds": lambda a, b: pycnn.fold(pycnn.unfold(a.reshape(1, 1, 3, 4), 2), (3, 4), 2),
    "residual": lambda a, b: pycnn.conv1d(
        a.reshape(1, 3, 4), b.reshape(4, 3, 1)[:2], residual=b[:2].reshape(1, 2, 4)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ARITHMETIC)
def test_gradients_are_slopes(name):
    function, rng = ARITHMETIC[name], np.random.default_rng(1)
    arrays = [A.copy(), B.copy()]
    with pycnn.grad() as tape:
        a, b = map(tape.watch, arrays)
        y = function(a, b)
    dy = rng.standard_normal(y.shape)

    def objective():
        watched = map(pycnn.grad().watch, arrays)  # arithmetic of the same kind
        return float((function(*watched).value * dy).sum())

    for array, gradient in zip(arrays, tape.gradient(y, [a, b], dy), strict=True):
        direction = rng.standard_normal(array.shape)
        rel = 2e-3 if name == "astype" else 1e-6
        step = 1e-3 if name == "astype" else 1e-6
        expected = slope(objective, array, direction, step)
        got = 0.0 if gradient is None else float((gradient * direction).sum())
        assert got == pytest.approx(expected, rel=rel, abs=1e-7)


def test_every_operation_with_a_gradient_has_a_rule():
    """By its own NAME_backward, made of others, or refused with the reason of its definition."""
    for name, operation in OPERATIONS.items():
        if isinstance(operation, Gradient) or f"{name}_backward" in OPERATIONS:
            continue
        without = operation.family in ("conv", "reduce") or "float32" not in operation.dtypes
        assert name in pullback._COMPOSED or without, name


def test_what_has_no_gradient_is_refused_on_the_way_back():
    with pycnn.grad() as tape:
        x = tape.watch(A)
        assert pycnn.argmax(x).value == A.argmax()
        y = pycnn.conv1d(x.reshape(1, 3, 4), np.ones((2, 3, 1)), activation="relu")
    with pytest.raises(ValueError, match="conv1d has no gradient: activation is fused"):
        tape.gradient(y, [x], np.ones_like(y.value))
    with pycnn.grad() as tape:
        target = tape.watch(A)
        loss = pycnn.mse_loss(tape.watch(B), target)
    with pytest.raises(ValueError, match="mse_loss has no gradient for target"):
        tape.gradient(loss, [target])


def test_only_what_is_asked_for_is_computed(monkeypatch):
    asked = []
    backward = pycnn.conv2d_backward.definition
    computed = backward.computed

    def noted(call, arrays, out=None):
        asked.append(call.settings.needs)
        return computed(call, arrays, out)

    monkeypatch.setattr(backward, "computed", noted)
    body, head = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 3)
    model = nn.Sequential(body, nn.ReLU(), head)
    x = np.ones((1, 1, 7, 7), np.float32)
    dy = np.ones_like(model.forward(x))
    model.backward(dy, needs_dx=False)
    assert asked == [("dx", "dweight", "dbias"), ("dweight", "dbias")]
    asked.clear()
    body.freeze()
    model.forward(x)
    model.backward(dy, needs_dx=False)
    assert asked == [("dweight", "dbias")]
    assert not body.grads
    model.forward(x)
    assert model.backward(dy).shape == x.shape
    assert not body.grads
    assert [p.name for p in model.parameters() if p.trainable] == ["2.weight", "2.bias"]
    body.unfreeze()
    model.forward(x)
    model.backward(dy)
    assert {*body.grads} == {"weight", "bias"}


def test_what_is_kept_goes_as_soon_as_it_is_used():
    """On the way back, and a result that nothing needs at once."""

    def noted(x):
        made = np.tanh(x)
        kept = np.ones(3)
        alive.append(weakref.ref(kept))
        return made, lambda dy: (seen.append([r() is not None for r in alive]), dy * kept[0])[1]

    alive, seen = [], []
    step = pycnn.custom_gradient(noted)
    with pycnn.grad() as tape:
        x = tape.watch(A)
        y = pycnn.sum(step(step(step(x))))
    tape.gradient(y, [x])
    assert seen == [[True, True, True], [True, True, False], [True, False, False]]
    big = np.ones((64, 64))
    with pycnn.grad() as tape:
        x = tape.watch(big)
        middle = pycnn.relu(x)
        ref = weakref.ref(middle.value)
        y = pycnn.sigmoid(pycnn.tanh(pycnn.mean(middle)))
        del middle
    assert ref() is not None  # the gradient of relu needs its result
    tape.gradient(y, [x])
    assert ref() is None


def test_a_tape_is_used_once():
    with pycnn.grad() as tape:
        x = tape.watch(A)
        y = pycnn.sum(x)
    tape.gradient(y, [x])
    for again in (lambda: tape.gradient(y, [x]), lambda: tape.watch(B), lambda: x + 1):
        with pytest.raises(ValueError, match="the tape is used up; allowed: a new one"):
            again()


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda t, x: np.exp(x), TypeError, "__array_ufunc__|function that the tape does not know"),
        (lambda t, x: np.concatenate([x, x]), TypeError, "the tape does not know"),
        (lambda t, x: np.asarray(x), TypeError, "the tape does not know"),
        (lambda t, x: x.mean(), AttributeError, r"no attribute 'mean'; allowed: pycnn\.mean"),
        (lambda t, x: x.__setitem__(0, 1), TypeError, "cannot be written into"),
        (lambda t, x: x / x, TypeError, "division by an array on a tape"),
        (lambda t, x: pycnn.relu(x, out=A.copy()), TypeError, "relu with out; allowed on a tape"),
        (lambda t, x: pycnn.add(x, pycnn.grad().watch(A)), ValueError, "b is on another tape"),
        (lambda t, x: t.watch(np.arange(3)), TypeError, "dtype int64; allowed: a floating"),
        (lambda t, x: t.watch([1.0]), TypeError, "of type list; allowed: a floating"),
        (lambda t, x: t.gradient(x, [x]), ValueError, r"shape \(3, 4\); allowed without dy"),
        (lambda t, x: t.gradient(x, [x], A[0]), ValueError, r"dy has shape \(4,\)"),
        (lambda t, x: t.gradient(A, [x]), TypeError, "on no tape; allowed: what was computed"),
        (lambda t, x: pycnn.tanh(x).foo, AttributeError, "no attribute 'foo'"),
        (lambda t, x: x == 0, TypeError, "not compared; allowed: x.value == y"),
        (lambda t, x: x != 0, TypeError, "not compared; allowed: x.value == y"),
        (lambda t, x: sum(pycnn.sum(x)), TypeError, "unsized"),
        (lambda t, x: x * np.complex64(1j), TypeError, "b is of type complex64"),
        (lambda t, x: x.astype(int), TypeError, r"astype\(int64\) has no gradient"),
        (lambda t, x: t.gradient(x, x, A), TypeError, "sources is of type Variable; allowed: a"),
        (lambda t, x: t.gradient(x, [A], A), TypeError, "a source is of type ndarray; allowed:"),
        (lambda t, x: t.gradient(x, [x], A.astype("f4")), TypeError, "dy has dtype float32"),
        (lambda t, x: KEEPING([x, x]), TypeError, "an array on a tape in a list or by keyword"),
        (lambda t, x: KEEPING(A, factor=x), TypeError, "in a list or by keyword"),
        (
            lambda t, x: pycnn.custom_gradient(lambda a: (a * x, None.__eq__))(A),
            TypeError,
            "computed with an array on a tape that is no argument",
        ),
        (
            lambda t, x: pycnn.custom_gradient(lambda a: ((a, a), None.__eq__))(x),
            TypeError,
            "returned y of type tuple; allowed: an array",
        ),
    ],
)
def test_what_the_tape_would_lose_is_refused(act, error, message):
    tape = pycnn.grad()
    x = tape.watch(A)
    with pytest.raises(error, match=message):
        act(tape, x)
    assert tape.gradient(pycnn.sum(x), [x])[0].sum() == 12  # it still works


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            lambda dy: np.asarray(dy.sum()),
            r"gave float64 of shape \(\) as the gradient of argument 0",
        ),
        (lambda dy: dy.astype("float32"), r"gave float32 of shape \(3, 4\).*float64 of shape"),
        (lambda dy: 1.0, "gave float as the gradient"),
    ],
)
def test_a_custom_gradient_has_the_form_of_its_argument(made, message):
    tape = pycnn.grad()
    x = tape.watch(A)
    y = pycnn.custom_gradient(lambda a: (a * 2, made))(x)
    with pytest.raises(ValueError, match=message):
        tape.gradient(y, [x], A)


def test_a_custom_gradient_may_write_into_what_it_gets():
    def double(a):
        def pull(dy):
            dy *= 2
            return dy

        return a * 2, pull

    tape = pycnn.grad()
    x = tape.watch(A)
    y = pycnn.sum(pycnn.custom_gradient(double)(x) + x)
    assert (tape.gradient(y, [x])[0] == 3).all()


def test_gradients_have_memory_of_their_own():
    """Clipping writes into them: two that are equal must not be one."""

    class Two(nn.Layer):
        def __init__(self):
            super().__init__()
            self.params["a"], self.params["b"] = np.ones((1, 3)), np.ones((1, 3))

        def compute(self, x):
            return pycnn.add(pycnn.add(x, self["a"]), self["b"])

    two, dy = Two(), np.full((1, 3), 3.0)
    two.forward(np.ones((1, 3)))
    two.backward(dy)
    nn.clip_grad_value(two, 1.0)
    assert dy.tolist() == [[3, 3, 3]]
    assert not np.shares_memory(two.grads["a"], two.grads["b"])


def test_a_custom_gradient_is_checked():
    wrong = pycnn.custom_gradient(lambda x: x)
    with pytest.raises(TypeError, match=r"returned no pair; allowed: \(y, function of dy\)"):
        wrong(A)
    short = pycnn.custom_gradient(lambda a, b: (a + b, lambda dy: dy))
    with pycnn.grad() as tape:
        x = tape.watch(A)
        y = pycnn.sum(short(x, B))
    with pytest.raises(ValueError, match="gave 1 gradients; allowed: 2"):
        tape.gradient(y, [x])
    with pytest.raises(TypeError, match="Old has a method gradient; allowed: compute"):
        type("Old", (nn.Layer,), {"gradient": None})


def test_an_error_on_the_way_back_names_its_layer():
    broken = pycnn.custom_gradient(lambda x: (x, lambda dy: pycnn.relu(dy, out=3)))

    class Broken(nn.Layer):
        def compute(self, x):
            return broken(x)

    class Around(nn.Layer):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(act=nn.ReLU(), own=Broken())

        def compute(self, x):
            return self.block(x)

    model = Around()
    model.forward(A)
    with pytest.raises(nn.LayerError, match=r"layer block\.own, Broken\(\): out is of type int"):
        model.backward(A)
    with pytest.raises(nn.LayerError, match=r"layer block\.act, ReLU\(\): x is of type str"):
        model("x")
    assert recording() is None


def test_recomputing_gives_the_same_and_keeps_less():
    def make(wrapped):
        with nn.seeded(3):
            blocks = [
                nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3))
                for _ in range(3)
            ]
        return nn.Sequential(*(nn.Recompute(one) if wrapped else one for one in blocks))

    results = []
    for wrapped in (False, True):
        model = make(wrapped).to("float64").reseed(1)
        for layer in (one for _, one in model.named_layers() if isinstance(one, nn.Dropout)):
            layer.set_seed(7, 0)
        x = np.random.default_rng(2).standard_normal((9, 6))
        y = model.forward(x)
        kept = len(model._kept[1]._nodes)
        dx = model.backward(np.cos(y))
        state = [(p.grad, p.value) for p in model.parameters()]
        buffers = [b for _, one in model.named_layers() for b in one.buffers.values()]
        results.append((y, dx, *(g for g, _ in state), *buffers))
        assert kept == (3 if wrapped else 12)
    for plain, again in zip(*results, strict=True):
        np.testing.assert_array_equal(plain, again)


class Some(nn.Layer):
    """Of two parts one is used, and of `fixed` not even the input."""

    def __init__(self, fixed=False):
        super().__init__()
        self.fixed, self.used, self.unused = fixed, nn.Linear(4, 4), nn.Linear(4, 4)

    def compute(self, x):
        return self.used(np.ones_like(getattr(x, "value", x)) if self.fixed else x)


@pytest.mark.parametrize("fixed", [False, True])
def test_recomputing_a_part_of_which_not_all_is_used(fixed):
    block = Some(fixed).to("float64")
    model = nn.Recompute(block)
    y = model.forward(A)
    dx = model.backward(np.ones_like(y))
    assert {*block.used.grads} == {"weight", "bias"}
    assert not block.unused.grads
    assert dx.any() != fixed


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_recomputing_in_16_bits(precision):
    """What is shared with a layer outside the block, too."""
    got = []
    for wrap in (lambda one: one, nn.Recompute):
        with nn.seeded(2):
            dense = nn.Linear(4, 4)
            block = nn.Sequential(dense, nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.2))
            model = nn.Sequential(dense, wrap(block), dense).reseed(1)
        for one in (one for _, one in model.named_layers() if isinstance(one, nn.Dropout)):
            one.set_seed(7, 0)
        with pycnn.grad(precision) as tape:
            loss = nn.MSELoss()(model(A.astype("float32")), B.astype("float32"))
        tape.backward(loss)
        got.append([loss.value, *(p.grad for p in model.parameters())])
    for plain, again in zip(*got, strict=True):
        np.testing.assert_allclose(again, plain, rtol=0.02, atol=0.01)


def test_results_with_names_have_no_tape_outside():
    class Named(nn.Layer):
        def compute(self, x):
            return {"twice": x * 2}

    assert isinstance(Named().forward(A)["twice"], np.ndarray)


def test_a_tap_is_not_recomputed():
    """Its loss is added outside of the block, where nothing would follow it."""
    block = nn.Sequential(nn.Linear(4, 4), tap=nn.Tap(nn.Linear(4, 2)))
    with pytest.raises(nn.LayerError, match="has a Tap, whose loss would be lost"):
        nn.Recompute(block).forward(A.astype("float32"))
    assert nn.Recompute(block.eval()).forward(A.astype("float32")).shape == (3, 4)


def test_what_has_computed_can_be_pickled():
    model, loss = nn.Sequential(tap=nn.Tap(nn.Linear(4, 2))), nn.MSELoss()
    model.forward(A.astype("float32"))
    loss.forward(A, B)
    model, loss = pickle.loads(pickle.dumps((model, loss)))
    assert model.at("tap").output is None
    with pytest.raises(ValueError, match="backward without a forward"):
        loss.backward()


def test_gradients_that_no_scale_makes_finite_are_an_error():
    model, scale = nn.Linear(2, 2), nn.LossScale()
    model.grads["weight"] = np.full((2, 2), np.nan, np.float32)
    for _ in range(40):
        assert not scale.unscaled(model)
    with pytest.raises(ValueError, match="gradients are not finite at scale"):
        scale.unscaled(model)
    with pytest.raises(ValueError, match="scale=inf: allowed are positive numbers"):
        nn.LossScale(np.inf)


def test_forward_has_a_tape_of_its_own():
    """Inside another one, what comes before it would have no gradient, and nobody would know."""
    layer = nn.Linear(2, 2)
    with pycnn.grad(), pytest.raises(nn.LayerError, match=r"forward inside a tape.*layer\(x\)"):
        layer.forward(np.ones((1, 2), np.float32))
    layer.forward(np.ones((1, 2), np.float32))
    assert layer.backward(np.ones((1, 2), np.float32)).shape == (1, 2)


@pytest.mark.parametrize("precision", [None, "bfloat16"])
def test_gradients_are_told_of_as_they_become_final(precision):
    """With all uses in them: `dense` is used first and last, and inside a block; `idle` never."""
    got, told = [], []
    for ready in (False, True):
        with nn.seeded(2):
            dense, idle = nn.Linear(4, 4), nn.Linear(4, 4)
            middle = nn.Recompute(nn.Sequential(dense, nn.Tanh()))
            norm = nn.LayerNorm(4)
            model = nn.Sequential(dense, norm, middle, dense)
            model.children["idle"] = idle
        with pycnn.grad(precision) as tape:
            y = A.astype("float32")
            for layer in (dense, norm, middle, dense):
                y = layer(y)
            loss = pycnn.mean(y * y)

        def note(layer, key):
            told.append((layer, key, layer.grads[key].copy(), len(tape._nodes)))

        tape.backward(loss, ready=note if ready else None)
        got.append({p.name: p.grad for p in model.parameters()})
    layers = [layer for layer, *_ in told]
    assert layers == [norm, norm, dense, dense]
    for layer, key, then, _ in told:
        np.testing.assert_array_equal(layer.grads[key], then)
    assert told[0][3] > told[-1][3] == 0  # while steps were left
    for name, plain in got[0].items():
        np.testing.assert_array_equal(got[1][name], plain)
    assert got[1]["idle.weight"] is None


def test_gradients_that_are_taken_are_not_kept():
    """Memory: where each is taken as it becomes final, no two are there at a time."""
    model = nn.Sequential(*(nn.Linear(4, 4, bias=False) for _ in range(3)))
    with pycnn.grad() as tape:
        loss = pycnn.mean(model(A.astype("float32")))
    taken = []

    def take(layer, key):
        assert [one() for one in taken] == [None] * len(taken)
        taken.append(weakref.ref(layer.grads.pop(key)))

    tape.backward(loss, ready=take)
    assert len(taken) == 3


def test_the_parameter_itself_is_final():
    layer, told = nn.Linear(2, 2), []
    with pycnn.grad() as tape:
        y = tape.parameter(layer, "weight", layer.params["weight"])
    tape.backward(y, np.ones((2, 2), np.float32), lambda layer, key: told.append(key))
    assert told == ["weight"]
    np.testing.assert_array_equal(layer.grads["weight"], 1)


def test_code_of_ones_own_meets_numpy_errors_on_the_way_back_as_outside():
    @pycnn.custom_gradient
    def halved(x):
        return x / 2, lambda dy: dy / np.zeros_like(dy)

    for handled in ("raise", "ignore"):
        with pycnn.grad() as tape:
            x = tape.watch(A)
            y = pycnn.sum(halved(pycnn.relu(x)))
        with np.errstate(divide=handled):
            if handled == "raise":
                with pytest.raises(FloatingPointError):
                    tape.gradient(y, [x])
            else:
                assert np.isinf(tape.gradient(y, [x])[0]).any()


def test_a_used_tape_goes_at_once():
    layer = nn.Linear(2, 2)
    with pycnn.grad() as tape:
        y = pycnn.sum(layer(np.ones((1, 2), np.float32)))
    tape.backward(y)
    gone = weakref.ref(tape)
    gc.disable()
    try:
        del tape, y
        assert gone() is None
    finally:
        gc.enable()


def test_a_list_of_the_callers_may_change_between_calls():
    """What is kept of a call of one form is its own."""
    x, axes = np.arange(24, dtype=np.float32).reshape(2, 3, 4), [0, 2, 1]
    for given in (axes, [0, 2, 1]):
        with pycnn.grad() as tape:
            watched = tape.watch(x)
            y = pycnn.permute(watched, given)
        given[:] = [1, 0, 2]
        dy = np.arange(24, dtype=np.float32).reshape(y.shape)
        np.testing.assert_array_equal(tape.gradient(y, [watched], dy)[0], dy.transpose(0, 2, 1))


@pytest.mark.parametrize("sizes", [[3, 9], 12])
def test_parts_are_views_on_every_backend(backend, sizes):
    """And a tuple, of one part too."""
    x = backend.array(np.arange(24, dtype=np.float32).reshape(2, 12))
    with pycnn.grad() as tape:
        watched = tape.watch(x)
        parts = pycnn.split(watched, sizes, 1)
    assert [part.shape for part in parts] == [p.shape for p in pycnn.split(x, sizes, 1)]
    dy = backend.array(np.ones(parts[0].shape, np.float32))
    got = backend.numpy(tape.gradient(parts[0], [watched], dy)[0])
    np.testing.assert_array_equal(got.sum(1), parts[0].shape[1])


def test_arrays_of_another_library():
    class Other:
        def __init__(self, array):
            self.array, self.shape, self.dtype = array, array.shape, array.dtype
            self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__

    with pycnn.grad() as tape:
        x = tape.watch(Other(A))
        y = pycnn.sum(pycnn.relu(x))
    np.testing.assert_array_equal(tape.gradient(y, [x])[0], A > 0)


@pytest.mark.parametrize("tested", FORWARD, ids=lambda tested: tested.op.name)
def test_operations_return_on_a_tape_what_they_return(tested, rng):
    given = tested.draw(tested.typical, rng, tested.typical_dtype)
    settings, returned = tested.settings(tested.typical), []

    def function(*args, **kwargs):
        returned.append(getattr(pycnn, tested.op.name)(*args, **kwargs))
        return returned[-1]

    tested.invoke(function, {n: a.copy() for n, a in given.items()}, settings)
    tape, updated = pycnn.grad(), tested.op.updates
    watched = {
        n: a if n in updated or a.dtype.kind not in "fV" else tape.watch(a)
        for n, a in given.items()
    }
    tested.invoke(function, watched, settings)
    want, got = returned
    assert isinstance(got, tuple) == isinstance(want, tuple)
    wants, gots = (one if isinstance(one, tuple) else (one,) for one in (want, got))
    for a, b in zip(wants, gots, strict=True):
        np.testing.assert_array_equal(a, getattr(b, "value", b))


NORMS = {
    "batch": lambda x, w, b, c: pycnn.batch_norm(x, c, c + 1, w, b),
    "batch in training": lambda x, w, b, c: pycnn.batch_norm_train(x, c, c + 1, w, b)[0],
    "group": lambda x, w, b, c: pycnn.group_norm(x, 2, w, b),
    "layer": lambda x, w, b, c: pycnn.layer_norm(x, (4,), w, b),
}


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("weighted", [None, "float16", "float32"])
def test_gradients_of_parameters_have_their_dtype(name, weighted):
    """Without a weight, or with one in float32, normalisations sum up in float32."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 4)).astype(np.float16)
    dy = rng.standard_normal((5, 4)).astype(np.float16)
    weight = None if weighted is None else np.ones(4, weighted)
    with pycnn.grad() as tape:
        w, b = None if weight is None else tape.watch(weight), tape.watch(np.zeros(4, np.float16))
        y = NORMS[name](tape.watch(x), w, b, np.zeros(4, np.float16))
    *dw, db = tape.gradient(y, [one for one in (w, b) if one is not None], dy)
    assert (db.dtype, [d.dtype for d in dw]) == (np.float16, [weight.dtype] if dw else [])
    np.testing.assert_allclose(db, dy.astype(np.float64).sum(0), rtol=2e-3)
