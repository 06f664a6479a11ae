"""A compiled model gives what the model gives, bit for bit, and refuses what it cannot repeat.

On ``cuda`` a call is a graph, which the stand-in driver does not have: tests/runtime/test_cuda.py
has what the executor does for it.
"""

import numpy as np
import pytest

import pycnn
from pycnn import models, nn

RNG = np.random.default_rng(5)
NETWORKS = {
    "resnet18": {"input_shape": (3, 32, 32), "width": 0.25},
    "mobilenet": {"input_shape": (3, 32, 32), "width": 0.25},
    "squeezenet": {"input_shape": (3, 48, 48), "width": 0.25},
    "lenet5": {"input_shape": (1, 28, 28)},
}


@pytest.fixture(params=["reference", "emulator", "checked"])
def on(request):
    name = "emulator" if request.param == "checked" else request.param
    with pycnn.use_backend(name, checked=request.param == "checked"):
        yield name


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def model_of(*layers):
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize("fused", [False, True], ids=["unfused", "fused"])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("backend_name", ["reference", "emulator"])
def test_networks(backend_name, name, fused):
    settings = NETWORKS[name]
    model = models.create(name, **settings).eval()
    if fused:
        nn.fuse(model)
    x, other = draw(2, *settings["input_shape"]), draw(2, *settings["input_shape"])
    with pycnn.use_backend(backend_name):
        compiled = nn.compile(model, x)
        for one in (other, x, other[:, :, ::-1]):
            np.testing.assert_array_equal(compiled(one), model(one))
    assert not compiled.graph


@pytest.mark.parametrize("algo", ["winograd_f2", "winograd_f4", "im2col", "implicit_gemm", "fft"])
def test_algorithms_that_prepare_the_weight(on, algo):
    model = model_of(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 2, 3))
    if on != "reference":
        for layer in (model.at("0"), model.at("2")):
            layer.algo = algo
    x = draw(2, 2, 6, 7)
    compiled = nn.compile(model, x)
    for _ in range(3):
        x = draw(2, 2, 6, 7)
        np.testing.assert_array_equal(compiled(x), model(x))


def test_filters_are_transformed_once():
    model = model_of(nn.Conv2d(2, 3, 3))
    model.at("0").algo = "winograd_f2"
    x = draw(1, 2, 6, 6)
    with pycnn.use_backend("emulator"):
        compiled = nn.compile(model, x)
        assert compiled.launches == 3
        before = compiled(x).copy()
        model.at("0").params["weight"] *= 2
        model.at("0").params["bias"] = draw(3)
        np.testing.assert_array_equal(compiled(x), before)
        compiled.update()
        np.testing.assert_array_equal(compiled(x), model(x))
    model.at("0").params["bias"] = draw(4)
    with pytest.raises(ValueError, match=r"bias of .* was float32 of shape \(3,\)"):
        compiled.update()


def test_memory_is_shared_by_what_is_not_needed_at_a_time():
    model = model_of(*[nn.ReLU() for _ in range(10)])
    x = draw(64, 64)
    compiled = nn.compile(model, x)
    assert compiled.nbytes == 2 * x.nbytes
    assert compiled(x) is compiled(x)


def test_another_input_is_refused():
    x = draw(2, 3)
    compiled = nn.compile(model_of(nn.ReLU()), x)
    with pytest.raises(ValueError, match=r"x is float32 of shape \(3, 3\); allowed: .*\(2, 3\)"):
        compiled(draw(3, 3))
    with pytest.raises(ValueError, match="x is float64 of shape"):
        compiled(x.astype(np.float64))
    with pytest.raises(TypeError, match=r"x is of type list; allowed: numpy\.ndarray"):
        compiled([[1.0]])
    with (
        pycnn.use_backend("emulator"),
        pytest.raises(ValueError, match="backend emulator; allowed: reference"),
    ):
        compiled(x)


class Shifted(nn.ReLU):
    def compute(self, x):
        return super().compute(x) - 1


class InPlace(nn.ReLU):
    def compute(self, x):
        y = super().compute(x)
        y += 1
        return y


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Shifted(), nn.ReLU()], "layer 1, ReLU.*: x of relu is made by no operation"),
        ([nn.ReLU(), Shifted()], "the result is made by no operation"),
        ([InPlace()], "read-only"),
    ],
)
def test_what_is_no_operation_is_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        nn.compile(model_of(*layers), draw(2, 3))


def test_training_is_refused():
    with pytest.raises(ValueError, match=r"the model is in training mode; call model.eval\(\)"):
        nn.compile(nn.Sequential(nn.ReLU()), draw(2, 3))


def test_a_backend_that_gives_something_else_is_found(monkeypatch):
    """A second pass is held to the first before anything is returned."""
    model = model_of(nn.ReLU())
    real = type(pycnn.relu.definition).by_cpu
    count = iter(range(9))

    def by_cpu(self, call, arrays, out):
        results = real(self, call, arrays, out)
        results["y"][...] += next(count)
        return results

    monkeypatch.setattr(type(pycnn.relu.definition), "by_cpu", by_cpu)
    with pytest.raises(ValueError, match=r"a second pass of .* has another result"):
        nn.compile(model, draw(2, 3))
