"""Every model, narrow and on small inputs, forward and backward, against finite differences.

One directional derivative goes through all parameters and the input at once: with f the sum of the
results, heads' included, times fixed random numbers, (f(p + hv) - f(p - hv)) / 2h = <grad f, v>.
In float64 with h = 1e-8 the difference quotient is right to about 1e-7 of the terms; a step that
small crosses hardly any kink of ReLU and max pooling, and where it does, one a tenth as long will
not: a wrong gradient is wrong for both. What is wrong by more than a millionth of the whole shows.
"""

import inspect

import numpy as np
import pytest
from small_models import SMALL, THIN

import pycnn
from pycnn import nn
from pycnn.define import cache
from pycnn.define.pullback import Composed, pullback_of
from pycnn.define.registry import OPERATIONS
from pycnn.models import MODELS, create
from pycnn.tape import plain, rules

STEPS, ALLOWED = (1e-8, 1e-9), 1e-6

#: Variants: the other shortcut, padded U-Net, no heads, other dense layers.
VARIANTS = [
    ("resnet18", {"input_size": 64, "width": THIN, "shortcut": "identity"}),
    ("resnet50", {"input_size": 64, "width": THIN, "shortcut": "identity"}),
    ("cifar_resnet20", {"input_size": 8, "width": 1 / 8, "shortcut": "projection"}),
    ("unet", {"input_size": 16, "width": 1 / 32, "levels": 2, "padding": "same"}),
    ("googlenet", {"input_size": 32, "width": 1 / 8, "heads": False}),
    ("lenet5_1998", {"width": 0.5}),
]


def small(name, arguments):
    """The model in float64 and a batch of three, away from the kinks that zero biases sit on."""
    few = {"classes": 5} if "classes" in inspect.signature(MODELS[name].builder).parameters else {}
    model = create(name, seed=3, **few, **arguments).to("float64")
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        if parameter.value.ndim == 1:  # biases, and factors of batch normalisation
            parameter.layer.params[parameter.key] = rng.uniform(0.1, 0.5, parameter.value.shape)
    shape = arguments.get("input_shape", MODELS[name].input_shape)
    size = arguments.get("input_size")
    return model, rng.standard_normal((3, shape[0], size, size) if size else (3, *shape))


def objective(run, model, x):
    """The sum of all results times fixed random numbers, and these; dropout drops the same."""
    model.reseed(1)
    results = [run(x), *(tap.output for tap in nn.taps(model))]
    rng = np.random.default_rng(2)
    factors = [rng.standard_normal(result.shape) for result in results]
    return sum(pycnn.sum(f * r) for f, r in zip(factors, results, strict=True)), factors


def error_of_gradients(model, x):
    """Of the directional derivative, relative to the terms it is the sum of."""
    with pycnn.grad() as tape:
        watched = tape.watch(x)
        total, _ = objective(model, model, watched)
    (dx,) = tape.gradients_into_layers(total, None, [watched])
    parameters = model.parameters()
    start = [parameter.value for parameter in parameters]
    rng = np.random.default_rng(4)
    along_x, *along = (rng.standard_normal(array.shape) for array in (x, *start))
    grads = [parameter.grad for parameter in parameters]
    terms = [np.vdot(dx, along_x), *map(np.vdot, grads, along)]
    names = ["x", *(parameter.name for parameter in parameters)]
    assert [n for n, term in zip(names, terms, strict=True) if term == 0] == []  # unseen otherwise

    def at(step):
        for parameter, value, direction in zip(parameters, start, along, strict=True):
            parameter.layer.params[parameter.key] = value + step * direction
        return objective(model, model, x + step * along_x)[0]

    errors = []
    for step in STEPS:
        quotient = (at(step) - at(-step)) / (2 * step)
        errors.append(abs(quotient - sum(terms)) / np.linalg.norm(terms))
        if errors[-1] < ALLOWED:
            break
    return min(errors)


def test_every_model_is_checked():
    assert set(SMALL) == set(MODELS)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_those_of_finite_differences(name):
    assert error_of_gradients(*small(name, SMALL[name])) < ALLOWED


@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_gradients_of_variants_are_those_of_finite_differences(name, arguments):
    assert error_of_gradients(*small(name, arguments)) < ALLOWED


def test_the_check_sees_a_head_that_does_not_reach_the_trunk(monkeypatch):
    def alone(tap, x):
        tap.output = tap.children["head"](plain(x))
        return x

    monkeypatch.setattr(nn.Tap, "compute", alone)
    model, x = small("googlenet", SMALL["googlenet"])
    assert error_of_gradients(model, x) > 1e3 * ALLOWED


def test_the_check_sees_a_scale_that_backward_forgets(monkeypatch):
    def unscaled(back):
        return {"a": back.dys[0], "b": back.dys[0]}

    add = Composed(OPERATIONS["add"], unscaled)
    monkeypatch.setattr(
        rules, "pullback_of", lambda one: add if one.name == "add" else pullback_of(one)
    )
    model, x = small("inception_resnet_v2", SMALL["inception_resnet_v2"])
    cache.clear()  # calls keep how their gradient is found
    try:
        assert error_of_gradients(model, x) > 1e3 * ALLOWED
    finally:
        cache.clear()


def test_the_check_sees_a_gradient_one_percent_too_large(monkeypatch):
    inexact = pycnn.custom_gradient(lambda x: (x, lambda dx: dx * 1.01))

    def compute(layer, x):
        return pycnn.linear(x, layer["weight"], inexact(layer["bias"]))

    monkeypatch.setattr(nn.Linear, "compute", compute)
    assert error_of_gradients(*small("resnet18", SMALL["resnet18"])) > 10 * ALLOWED


def test_a_head_is_dropped_in_evaluation():
    model, x = small("googlenet", SMALL["googlenet"])
    alone, _ = small("googlenet", {**SMALL["googlenet"], "heads": False})
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("head")}
    alone.load_state_dict(state)
    np.testing.assert_array_equal(model.eval()(x), alone.eval()(x))
    assert [tap.output for tap in nn.taps(model)] == [None, None]
