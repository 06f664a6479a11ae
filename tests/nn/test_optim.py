"""Optimisers and schedules against their formulas in plain Python, and PyTorch's where it is."""

import json
import math

import numpy as np
import pytest

from pycnn import nn
from pycnn.nn import optim

GRADS = [0.5, -1.5, 2.0, 0.25]


def run(make, start=2.0, grads=GRADS):
    """A single weight through several steps."""
    layer = nn.Linear(1, 1, bias=False, dtype="float64")
    layer.params["weight"] = np.array([[start]])
    optimizer = make(layer)
    path = []
    for grad in grads:
        layer.grads["weight"] = np.array([[grad]])
        optimizer.step()
        path.append(layer.params["weight"].item())
        assert layer.grads["weight"].item() == grad  # left alone
    return path


def sgd(lr, momentum=0.0, decay=0.0, nesterov=False):
    w, v, path = 2.0, 0.0, []
    for g in GRADS:
        g += decay * w
        v = momentum * v + g
        w -= lr * (g + momentum * v if nesterov else v)
        path.append(w)
    return path


def adam(lr, decay=0.0, decoupled=0.0):
    w, m, s, path = 2.0, 0.0, 0.0, []
    for t, g in enumerate(GRADS, 1):
        w -= lr * decoupled * w
        g += decay * w
        m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
        w -= lr * (m / (1 - 0.9**t)) / (math.sqrt(s / (1 - 0.999**t)) + 1e-8)
        path.append(w)
    return path


def rmsprop(lr, momentum=0.0):
    w, s, v, path = 2.0, 0.0, 0.0, []
    for g in GRADS:
        s = 0.99 * s + 0.01 * g * g
        v = momentum * v + g / (math.sqrt(s) + 1e-8)
        w -= lr * v
        path.append(w)
    return path


CASES = {
    "sgd": (lambda m: nn.SGD(m, 0.1), sgd(0.1)),
    "momentum": (lambda m: nn.SGD(m, 0.1, 0.9, 0.01), sgd(0.1, 0.9, 0.01)),
    "nesterov": (lambda m: nn.SGD(m, 0.1, 0.9, nesterov=True), sgd(0.1, 0.9, nesterov=True)),
    "adam": (lambda m: nn.Adam(m, 0.1), adam(0.1)),
    "adam with decay": (lambda m: nn.Adam(m, 0.1, weight_decay=0.2), adam(0.1, decay=0.2)),
    "adamw": (lambda m: nn.AdamW(m, 0.1, weight_decay=0.2), adam(0.1, decoupled=0.2)),
    "rmsprop": (lambda m: nn.RMSprop(m, 0.1), rmsprop(0.1)),
    "rmsprop with momentum": (lambda m: nn.RMSprop(m, 0.1, momentum=0.5), rmsprop(0.1, 0.5)),
}


@pytest.mark.parametrize("name", CASES)
def test_steps(name):
    make, expected = CASES[name]
    assert run(make) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_steps_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")
    extra = {"momentum": 0.9, "nesterov": True} if name == "SGD" else {}
    weight = torch.nn.Parameter(torch.tensor([[2.0]], dtype=torch.float64))
    theirs = getattr(torch.optim, name)([weight], lr=0.1, weight_decay=0.05, **extra)
    expected = []
    for grad in GRADS:
        weight.grad = torch.tensor([[grad]], dtype=torch.float64)
        theirs.step()
        expected.append(weight.item())
    mine = run(lambda m: getattr(nn, name)(m, lr=0.1, weight_decay=0.05, **extra))
    assert mine == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("make", [nn.Adam, nn.AdamW, nn.RMSprop])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_are_refused_where_eps_and_squares_leave_their_range(make, dtype):
    layer = nn.Linear(2, 2)
    optimizer = make(layer)
    layer.to(dtype)
    for attempt in (optimizer.step, lambda: make(layer)):
        with pytest.raises(ValueError, match=f"weight is {dtype}, whose range is too small for"):
            attempt()
    assert optimizer.steps == 0


def test_state_follows_the_model_to_another_dtype():
    layer = nn.Linear(1, 1, bias=False)
    layer.params["weight"][...] = 2.0
    optimizer = nn.Adam(layer, 0.1)
    for step, grad in enumerate(GRADS):
        if step == 2:
            layer.to("float64")
        layer.grads["weight"] = np.full((1, 1), grad, layer.params["weight"].dtype)
        optimizer.step()
    assert {array.dtype for array in optimizer.state_dict().values()} == {np.dtype("float64")}
    assert layer.params["weight"].item() == pytest.approx(adam(0.1)[-1], rel=1e-6)


@pytest.mark.parametrize("model", [nn.Linear(2, 2).parameters(), nn.Linear, None])
def test_an_optimiser_wants_the_model_itself(model):
    with pytest.raises(TypeError, match=r"model is of type \w+; allowed: a pycnn.nn.Layer"):
        nn.SGD(model, 0.1)


STATES = {
    "sgd": lambda m: nn.SGD(m, 0.1), "momentum": lambda m: nn.SGD(m, 0.1, 0.9),
    "adam": nn.Adam, "rmsprop": nn.RMSprop, "rmsprop with momentum":
    lambda m: nn.RMSprop(m, momentum=0.9),
}  # fmt: skip


@pytest.mark.parametrize("of", STATES)
@pytest.mark.parametrize("into", STATES)
def test_state_of_another_optimiser_is_refused(of, into):
    layer = nn.Linear(1, 1, bias=False)
    optimizer, other = STATES[of](layer), STATES[into](layer)
    layer.grads["weight"] = np.ones((1, 1), np.float32)
    optimizer.step()
    if of == into:
        other.load_state_dict(optimizer.state_dict(), 1)
        assert other.steps == 1
        return
    with pytest.raises(ValueError, match=f"is of another one: .*{type(other).__name__} needs"):
        other.load_state_dict(optimizer.state_dict(), 1)
    assert (other.steps, other.state) == (0, {})


@pytest.mark.parametrize("name", CASES)
def test_state_goes_round(name):
    """Two steps, saved, two more by another optimiser: as four by one."""
    make, expected = CASES[name]
    layer = nn.Linear(1, 1, bias=False, dtype="float64")
    layer.params["weight"] = np.array([[2.0]])
    first, second = make(layer), make(layer)
    for optimizer, grads in ((first, GRADS[:2]), (second, GRADS[2:])):
        if optimizer is second:
            second.load_state_dict(first.state_dict(), first.steps)
        for grad in grads:
            layer.grads["weight"] = np.array([[grad]])
            optimizer.step()
    assert layer.params["weight"].item() == pytest.approx(expected[-1], rel=1e-12)


def test_state_of_another_model_is_refused():
    optimizer = nn.Adam(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"weight:mean, float64 \(3, 3\), fits no par"):
        optimizer.load_state_dict({"weight:mean": np.zeros((3, 3))}, 1)


def test_parameters_without_a_gradient_stay():
    layer = nn.Linear(2, 2)
    before = layer.params["weight"].copy()
    nn.SGD(layer, 0.1, weight_decay=1.0).step()
    assert (layer.params["weight"] == before).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: nn.SGD(m, 0.0), "lr=0.0: allowed are positive"),
        (lambda m: nn.SGD(m, math.nan), "lr=nan: allowed are positive"),
        (lambda m: nn.SGD(m, math.inf), "lr=inf: allowed are positive"),
        (lambda m: nn.SGD(m, 0.1, momentum=1.0), "momentum=1.0: allowed are 0 to less than 1"),
        (lambda m: nn.SGD(m, 0.1, nesterov=True), "nesterov=True: allowed with momentum"),
        (lambda m: nn.Adam(m, betas=(0.9, 1.0)), r"betas=\(0.9, 1.0\): allowed"),
        (lambda m: nn.Adam(m, weight_decay=-1.0), "weight_decay=-1.0: allowed"),
        (lambda m: nn.Adam(m, eps=math.nan), "eps=nan: allowed are numbers from 0"),
        (lambda m: nn.RMSprop(m, eps=-1e-8), "eps=-1e-08: allowed are numbers from 0"),
        (lambda m: nn.RMSprop(m, alpha=2.0), "alpha=2.0: allowed are 0 to less than 1"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make(nn.Linear(1, 1))


@pytest.mark.parametrize("rate", ["0.1", None, True, np.array([0.1, 0.2])], ids=repr)
def test_what_is_no_number_is_named(rate):
    model = nn.Linear(1, 1)
    for name, make in (
        ("lr", lambda: nn.SGD(model, rate)),
        ("lr", lambda: nn.SGD(model, 0.1, groups={"*": {"lr": rate}})),
        ("weight_decay", lambda: nn.Adam(model, weight_decay=rate)),
        ("max_norm", lambda: nn.clip_grad_norm(model, rate)),
        ("max_value", lambda: nn.clip_grad_value(model, rate)),
        ("epochs", lambda: nn.Cosine(nn.SGD(model, 0.1), rate)),
    ):
        with pytest.raises(TypeError, match=f"^{name}=.* is of type .*; allowed: "):
            make()


def with_grads(*values):
    model = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in values))
    for (_, layer), value in zip(list(model.named_layers())[1:], values, strict=True):
        layer.grads["weight"] = np.array([[value]], np.float32)
    return model, lambda: [p.grad.item() for p in model.parameters()]


def test_gradients_are_clipped():
    model, grads = with_grads(3.0, 4.0)
    assert nn.clip_grad_norm(model, 10.0) == pytest.approx(5.0)
    assert grads() == [3.0, 4.0]
    assert nn.clip_grad_norm(model, 1.0) == pytest.approx(5.0)
    assert grads() == pytest.approx([0.6, 0.8])
    nn.clip_grad_value(model, 0.7)
    assert grads() == pytest.approx([0.6, 0.7])
    with pytest.raises(ValueError, match="max_norm=0: allowed are positive"):
        nn.clip_grad_norm(model, 0)


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e-310])
def test_norms_whose_squares_are_out_of_range(size):
    """As LAPACK's dnrm2: 3 and 4 make 5, whatever their unit."""
    model, grads = with_grads(3.0, 4.0)
    model.to("float64")
    for parameter in model.parameters():
        parameter.layer.grads["weight"] = parameter.grad.astype(np.float64) * size
    with np.errstate(all="raise", under="ignore"):
        assert nn.clip_grad_norm(model, 2.5 * size) == pytest.approx(5 * size)
    assert grads() == pytest.approx([1.5 * size, 2 * size])


def test_gradients_that_are_not_finite_are_not_clipped():
    model, grads = with_grads(3.0, math.inf)
    assert nn.clip_grad_norm(model, 1.0) == math.inf
    assert grads() == [3.0, math.inf]
    assert nn.clip_grad_norm(with_grads(0.0, 0.0)[0], 1.0) == 0.0


def rates(make, epochs, metrics=None):
    optimizer = nn.SGD(nn.Linear(1, 1), lr=0.8)
    schedule = make(optimizer)
    found = []
    for epoch in range(epochs):
        schedule.set(epoch, metrics[epoch - 1] if metrics and epoch else None)
        found.append(optimizer.lr)
    return found


def test_schedules():
    assert rates(nn.Constant, 2) == [0.8, 0.8]
    assert rates(lambda o: nn.Step(o, 2, 0.5), 5) == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2])
    assert rates(lambda o: nn.Cosine(o, 4), 5) == pytest.approx(
        [0.8, 0.4 * (1 + math.sqrt(0.5)), 0.4, 0.4 * (1 - math.sqrt(0.5)), 0.0], abs=1e-12
    )
    warm = rates(lambda o: nn.Warmup(nn.Step(o, 3, 0.5), 3), 5)
    assert warm == pytest.approx([0.2, 0.4, 0.6, 0.4, 0.4])


def test_plateau_waits_for_its_patience():
    losses = [1.0, 0.9, 0.95, 0.91, 0.92, 0.5]
    assert rates(lambda o: nn.Plateau(o, 0.1, patience=1), 7, losses) == pytest.approx(
        [0.8, 0.8, 0.8, 0.8, 0.08, 0.08, 0.08]
    )


def test_a_plateau_goes_on_from_its_state():
    optimizer = nn.SGD(nn.Linear(1, 1), lr=1.0)
    first = nn.Plateau(optimizer, 0.1, patience=0)
    first.set(0)
    first.set(1, 1.0)
    first.set(2, 2.0)
    again = nn.Plateau(optimizer, 0.1, patience=0)
    again.load_state(first.state())
    again.set(3, 3.0)
    assert optimizer.lr == pytest.approx(0.01)


@pytest.mark.parametrize("patience", [0, 1])
def test_a_plateau_acts_inside_and_after_a_warm_up(patience):
    """Worked by hand: the metric never falls, so that the rate falls every 1 + patience epochs."""
    ramp = [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]
    falls = [max(0, epoch - 1) // (patience + 1) for epoch in range(7)]
    found = rates(lambda o: nn.Warmup(nn.Plateau(o, 0.5, patience), 3), 7, [1.0] * 7)
    assert found == pytest.approx([0.8 * r * 0.5**f for r, f in zip(ramp, falls, strict=True)])


def test_a_plateau_under_a_warm_up_goes_on_from_its_state():
    def make():
        optimizer = nn.SGD(nn.Linear(1, 1), lr=1.0)
        return nn.Warmup(nn.Plateau(optimizer, 0.5, patience=1), 2)

    whole, first, again = make(), make(), make()
    for epoch in range(6):
        whole.set(epoch, 1.0)
        if epoch == 3:
            again.load_state(json.loads(json.dumps(first.state())))
        (first if epoch < 3 else again).set(epoch, 1.0)
    assert whole.optimizer.lr == again.optimizer.lr == 0.25
    for state in (nn.Constant(whole.optimizer).state(), {"base": 1.0, "after": 3}):
        with pytest.raises(ValueError, match=r"state of the schedule holds"):
            again.load_state(state)


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_groups_have_rates_of_their_own(name):
    """As if each were moved by an optimiser of its own; a schedule moves all."""

    def make():
        with nn.seeded(1):
            return nn.Sequential(body=nn.Linear(3, 4), head=nn.Linear(4, 2))

    def moved(model, *optimizers):
        for step in range(3):
            for i, parameter in enumerate(model.parameters()):
                grad = np.full(parameter.value.shape, 0.1 * (i + 1) - 0.2 * step, np.float32)
                parameter.layer.grads[parameter.key] = grad
            for optimizer in optimizers:
                optimizer.lr = optimizer.lr * 0.5
                optimizer.step()
        return [p.value for p in model.parameters()]

    kind = optim.OPTIMIZERS[name]
    whole, parts = make(), make()
    groups = {"head": {"lr": 0.02}, "*.bias": {"weight_decay": 0.0}}
    grouped = moved(whole, kind(whole, lr=0.01, weight_decay=0.1, groups=groups))
    apart = {
        "body.weight": (0.01, 0.1), "body.bias": (0.01, 0.0),
        "head.weight": (0.02, 0.1), "head.bias": (0.02, 0.0),
    }  # fmt: skip
    expected = []
    for parameter in parts.parameters():
        alone = nn.Sequential(make())
        lr, decay = apart[parameter.name]
        values = moved(alone, kind(alone, lr=lr, weight_decay=decay))
        expected.append(values[[p.name for p in parts.parameters()].index(parameter.name)])
    for ours, theirs in zip(grouped, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"neck": {"lr": 1.0}}, r"groups\['neck'\] is of no parameter; allowed: paths"),
        ({"0": {"momentum": 0.1}}, "has momentum; allowed: lr, weight_decay"),
        ({"0": {"lr": 0.0}}, "lr=0.0: allowed are positive numbers"),
    ],
)
def test_wrong_groups_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        nn.SGD(nn.Sequential(nn.Linear(2, 2)), 0.1, groups=groups)


def test_frozen_parameters_do_not_move():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    before = {n: a.copy() for n, a in model.state_dict().items()}
    model.forward(np.ones((1, 2), np.float32))
    model.backward(np.ones((1, 2), np.float32))
    model[0].freeze()
    nn.AdamW(model, 0.1).step()
    after = model.state_dict()
    assert [n for n in after if (after[n] != before[n]).any()] == ["1.weight", "1.bias"]


def test_a_scale_that_overflows_is_halved_and_grows_again():
    model, scale = nn.Linear(2, 2), nn.LossScale(8.0, every=2)
    model.grads = {"weight": np.full((2, 2), np.inf, np.float32)}
    assert not scale.unscaled(model)
    for expected in (4.0, 8.0):
        model.grads = {"weight": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)}
        before = scale.scale
        assert scale.unscaled(model)
        assert (model.grads["weight"] == 1 / before).all()
        assert scale.scale == expected


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_factors_that_are_no_numbers_of_16_bits_scale_gradients_of_these(dtype):
    """65536, where a scale begins, is infinite in float16; what clips may be zero there."""
    layer, half = nn.Linear(1, 1, bias=False, dtype=dtype), nn.Linear(1, 1, dtype=dtype)
    layer.grads["weight"] = np.full_like(layer.params["weight"], 1024.0)
    assert nn.LossScale().unscaled(layer)
    assert layer.grads["weight"].item() == 1024 / 65536
    half.grads = {name: np.full_like(value, 2.0**15) for name, value in half.params.items()}
    nn.clip_grad_norm(half, 2.0**-12)
    assert half.grads["weight"].item() == pytest.approx(2.0**-12.5, rel=2.0**-8)


def test_parameters_over_one_another_are_refused():
    """One kernel would move both at a time."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    memory = np.zeros(6, np.float32)
    one, two = model.children.values()
    one.params["weight"], two.params["weight"] = memory[:4].reshape(2, 2), memory[2:].reshape(2, 2)
    with pytest.raises(ValueError, match=r"0\.weight and 1\.weight share memory; allowed: "):
        nn.SGD(model, 0.1)
    two.params["weight"] = one.params["weight"]  # tied: one parameter
    nn.SGD(model, 0.1)
    one.params["weight"], two.params["weight"] = memory[:3][None], memory[3:][None]  # neighbours
    nn.SGD(model, 0.1)
