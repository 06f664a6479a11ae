"""A compiled step computes what a step does: on a GPU as one graph, elsewhere one by one."""

import numpy as np
import pytest

import pycnn
from pycnn import nn, train


def model():
    with nn.seeded(3):
        net = nn.Sequential(
            conv=nn.Conv2d(1, 4, 3, bias=False),
            norm=nn.BatchNorm2d(4),
            relu=nn.ReLU(),
            flat=nn.Flatten(),
            dense=nn.Linear(64, 3),
        )
    nn.fuse_norms(net)
    return net


def batch(seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((5, 1, 6, 6)).astype(np.float32), rng.integers(0, 3, 5)


OPTIMIZERS = {
    "sgd": lambda m: nn.SGD(m, 0.1, 0.9, groups={"dense": {"lr": 0.05}}),
    "adamw": lambda m: nn.AdamW(m, 1e-2),
}


def by_steps(backend, name, precision, clip, count=4):
    """The steps one by one, as the trainer makes them."""
    net = model()
    if backend.name == "cuda":
        net.to("cuda")
    optimizer, loss = OPTIMIZERS[name](net), nn.CrossEntropyLoss()
    scale = nn.LossScale(2.0**20) if precision == "float16" else None
    losses = []
    for seed in range(count):
        optimizer.lr *= 0.9
        images, labels = map(backend.array, batch(seed))
        net.zero_grad()
        with pycnn.grad(precision) as tape:
            value = loss(net(images).astype("float32") if precision else net(images), labels)
        tape.backward(value if scale is None else value * scale.scale)
        optimizer.step(scale, clip)
        losses.append(float(value))
    return net, optimizer, losses, scale


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("precision", "clip"), [(None, None), (None, 0.5), ("float16", 0.5)])
def test_steps_are_those_one_by_one(backend, name, precision, clip):
    net = model()
    if backend.name == "cuda":
        net.to("cuda")
    optimizer = OPTIMIZERS[name](net)
    scale = nn.LossScale(2.0**20) if precision == "float16" else None
    before = {key: backend.numpy(array).copy() for key, array in net.state_dict().items()}
    step = train.CompiledStep(
        net, nn.CrossEntropyLoss(), optimizer, *map(backend.array, batch(9)), scale=scale,
        clip_norm=clip, precision=precision,
    )  # fmt: skip
    assert step.graph == (backend.name == "cuda")
    assert optimizer.steps == 0
    for key, array in net.state_dict().items():  # compiling left no trace
        np.testing.assert_array_equal(backend.numpy(array), before[key], err_msg=key)
    losses = []
    for seed in range(4):
        optimizer.lr *= 0.9
        loss, outputs = step(*map(backend.array, batch(seed)))
        assert outputs.shape == (5, 3)
        losses.append(float(loss))
    step.settle()
    expected, by, wanted, other = by_steps(backend, name, precision, clip)
    assert optimizer.steps == by.steps
    assert losses == pytest.approx(wanted, rel=1e-5)
    if scale is not None:
        assert scale.state() == other.state()
        assert scale.scale < 2.0**20  # it has overflowed
    for key, array in expected.state_dict().items():
        np.testing.assert_allclose(
            backend.numpy(net.state_dict()[key]), backend.numpy(array), rtol=1e-5, atol=1e-6,
            err_msg=key,
        )  # fmt: skip


def test_a_call_on_a_gpu_is_one_graph_and_no_wait(backend):
    if backend.name != "cuda":
        pytest.skip("has no graphs")
    counting = pytest.importorskip("pycnn_standin.counting", reason="not on the stand-in driver")
    net = model().to("cuda")
    optimizer = nn.SGD(net, 0.1, 0.9)
    images, labels = map(backend.array, batch(0))
    step = train.CompiledStep(net, nn.CrossEntropyLoss(), optimizer, images, labels)
    step(images, labels)
    with counting.counted() as counts:
        step(images, labels)
    assert counts["graphs"] == 1
    assert counts["launches"] == counts["synchronisations"] == counts["allocations"] == 0
    assert counts["copies_to_device"] == counts["copies_to_host"] == 0


class Waits(nn.Layer):
    def compute(self, x):
        return x * float(pycnn.sum(x.value if hasattr(x, "value") else x))


class Own(nn.SGD):
    def update(self, parameter, value, grad, rates):
        value -= grad


REFUSED = {
    "dropout": (lambda: nn.Dropout(0.5), nn.SGD, "dropout in a step that is captured"),
    "a wait": (Waits, nn.SGD, "cannot be captured, for something in it waits"),
    "an optimiser": (nn.ReLU, Own, "weight is not moved by one kernel"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_captured_is_refused(backend, what):
    if backend.name != "cuda":
        pytest.skip("captures nothing")
    layer, kind, message = REFUSED[what]
    with nn.seeded(0):
        net = nn.Sequential(nn.Flatten(), layer(), nn.Linear(36, 3)).to("cuda")
    before = backend.numpy(net.at("2").params["weight"]).copy()
    with pytest.raises(ValueError, match=message):
        train.CompiledStep(net, nn.CrossEntropyLoss(), kind(net, 0.1),
                           *map(backend.array, batch(0)))  # fmt: skip
    np.testing.assert_array_equal(backend.numpy(net.at("2").params["weight"]), before)


@pytest.mark.parametrize("norm", [0.0, -1.0, float("nan"), "1"])
def test_a_norm_that_is_none_is_refused(backend, norm):
    """A kernel would turn the gradients round, or take no notice."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    if backend.name == "cuda":
        net.to("cuda")
    with pytest.raises((ValueError, TypeError), match=r"clip_norm=.* allowed"):
        train.CompiledStep(net, nn.CrossEntropyLoss(), nn.SGD(net, 0.1),
                           *map(backend.array, batch(0)), clip_norm=norm)  # fmt: skip


class Halved(nn.LossScale):
    def unscaled(self, model):
        return False


def test_a_scale_of_ones_own_is_refused(backend):
    if backend.name != "cuda":
        pytest.skip("captures nothing")
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).to("cuda")
    with pytest.raises(ValueError, match="scale is a Halved that unscales by itself; allowed"):
        train.CompiledStep(net, nn.CrossEntropyLoss(), nn.SGD(net, 0.1),
                           *map(backend.array, batch(0)), scale=Halved())  # fmt: skip


CHANGES = {
    "eval": lambda net, optimizer: net.eval(),
    "freeze": lambda net, optimizer: net.at("dense").freeze(),
    "momentum": lambda net, optimizer: setattr(optimizer, "momentum", 0.5),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_graph_would_not_notice_is_refused(backend, what):
    if backend.name != "cuda":
        pytest.skip("has no graphs")
    net = model().to("cuda")
    optimizer = nn.SGD(net, 0.1, 0.9)
    arrays = [*map(backend.array, batch(0))]
    step = train.CompiledStep(net, nn.CrossEntropyLoss(), optimizer, *arrays)
    step(*arrays)
    CHANGES[what](net, optimizer)
    with pytest.raises(ValueError, match="not as when the step was compiled"):
        step(*arrays)


def test_steps_with_and_without_the_graph_go_on_from_each_other(backend):
    """As the last batch of an epoch, which is smaller; the scale doubles at the fourth step."""
    found = []
    for graph in (True, False):
        net = model()
        if backend.name == "cuda":
            net.to("cuda")
        optimizer, scale = nn.AdamW(net, 1e-2), nn.LossScale(256.0, every=2)
        loss = nn.CrossEntropyLoss()
        step = train.CompiledStep(
            net, loss, optimizer, *map(backend.array, batch(9)), scale=scale, precision="bfloat16"
        )
        for seed in range(4):
            images, labels = map(backend.array, batch(seed))
            if graph and seed % 2 == 0:
                step(images, labels)
                continue
            step.settle()
            net.zero_grad()
            with pycnn.grad("bfloat16") as tape:
                value = loss(net(images).astype("float32"), labels)
            tape.backward(value * scale.scale)
            optimizer.step(scale)
        found.append(
            (optimizer.steps, scale.state(), backend.numpy(net.at("dense").params["bias"]))
        )
    assert found[0][:2] == found[1][:2] == (4, {"scale": 1024.0, "steps": 4})
    np.testing.assert_allclose(found[0][2], found[1][2], rtol=1e-5, atol=1e-6)
    if backend.name == "cuda":
        images, labels = map(backend.array, batch(0))
        step(images, labels)
        scale.load_state({"scale": 2.0, "steps": 0})
        with pytest.raises(ValueError, match=r"allowed: after settle\(\)"):
            step(images, labels)


def test_other_batches_and_other_arrays_are_refused(backend):
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    if backend.name == "cuda":
        net.to("cuda")
    images, labels = map(backend.array, batch(0))
    step = train.CompiledStep(net, nn.CrossEntropyLoss(), nn.SGD(net, 0.1), images, labels)
    with pytest.raises(ValueError, match=r"array 0 is float32 of shape \(4, 1, 6, 6\); allowed"):
        step(images[:4], labels)
    with pytest.raises(TypeError, match="array 1 is of type list"):
        step(images, [1, 2, 0, 1, 2])
    with pytest.raises(ValueError, match="3 arrays; allowed: 2"):
        step((images, images), labels)
    if backend.name == "cuda":
        net.at("1").params["weight"] = net.at("1").params["weight"].copy()
        with pytest.raises(ValueError, match="holds other arrays than when the step was compiled"):
            step(images, labels)
