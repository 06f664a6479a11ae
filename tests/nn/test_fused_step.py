"""One launch that moves many parameters: the bits of the steps one by one, and the formulas."""

import numpy as np
import pytest
from test_optim import CASES, GRADS

import pycnn
from pycnn import emulator, nn
from pycnn.emulator import OutOfBoundsError
from pycnn.nn import fused_step
from pycnn.plan import optim as plans
from pycnn.runtime.backends import executor
from pycnn.runtime.sources import include_dirs, kernel_path

OPTIMIZERS = {
    "sgd": lambda m: nn.SGD(m, 0.1),
    "momentum": lambda m: nn.SGD(m, 0.1, 0.9, 0.01),
    "nesterov": lambda m: nn.SGD(m, 0.1, 0.9, 0.01, nesterov=True),
    "adam": lambda m: nn.Adam(m, 0.1, weight_decay=0.2, groups={"1.*": {"lr": 0.3}}),
    "adamw": lambda m: nn.AdamW(m, 0.1, groups={"*.bias": {"weight_decay": 0.0}}),
    "rmsprop": lambda m: nn.RMSprop(m, 0.1, weight_decay=0.01),
    "rmsprop with momentum": lambda m: nn.RMSprop(m, 0.1, momentum=0.5),
}

#: Blocks of whole vectors, and of a few elements.
SIZES = ((67, 33), (5, 7), (1, 1), (2100, 1))


def model(dtype="float32"):
    with nn.seeded(0):
        return nn.Sequential(*[nn.Linear(*size, dtype=dtype) for size in SIZES])


def odd(values):
    """With a NaN, infinities and zeros among them."""
    flat = values.reshape(-1)
    flat[::11] = 0
    flat[5::97], flat[6::97], flat[7::97] = np.nan, np.inf, -np.inf
    return values


def moved(backend, make, dtype, steps=3):
    """All parameters, and what the optimiser keeps, after some steps."""
    layers = model(dtype)
    if backend is not None and backend.name == "cuda":
        layers.to("cuda")
    optimizer, rng = make(layers), np.random.default_rng(1)
    for _ in range(steps):
        for p in layers.parameters():
            grad = odd(rng.standard_normal(p.value.shape).astype(dtype))
            p.layer.grads[p.key] = grad if backend is None else backend.array(grad)
        optimizer.step()
    get = np.asarray if backend is None else backend.numpy
    state = {name: get(array) for name, array in optimizer.state_dict().items()}
    return state | {p.name: get(p.value) for p in layers.parameters()}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", plans.DTYPES)
def test_bits_are_those_of_the_steps_one_by_one(backend, name, dtype):
    if dtype == "float16" and name[0] in "ar":
        pytest.skip("float16 is refused by this optimiser")
    with np.errstate(all="ignore"):
        with pycnn.use_backend("reference"):
            expected = moved(None, OPTIMIZERS[name], dtype)
        found = moved(backend, OPTIMIZERS[name], dtype)
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array, err_msg=key)


@pytest.mark.parametrize("name", CASES)
def test_steps_are_the_formulas(backend, name):
    make, expected = CASES[name]
    layer = nn.Linear(1, 1, bias=False, dtype="float64")
    layer.params["weight"] = backend.array(np.array([[2.0]]))
    optimizer, path = make(layer), []
    for grad in GRADS:
        layer.grads["weight"] = backend.array(np.array([[grad]]))
        optimizer.step()
        path.append(layer.params["weight"].item())
    assert path == pytest.approx(expected, rel=1e-12)


@pytest.fixture
def launches(monkeypatch):
    """The launches of every plan that is run."""
    found = []
    with pycnn.use_backend("emulator"):
        run = executor("emulator").run

        def noted(plan, arrays, out=None):
            found.extend(plan.launches)
            return run(plan, arrays, out)

        monkeypatch.setattr(executor("emulator"), "run", noted)
        yield found


def test_sixty_four_parameters_are_one_launch(launches):
    many = nn.Sequential(*[nn.Linear(2, 2) for _ in range(33)])
    for p in many.parameters():
        p.layer.grads[p.key] = np.ones_like(p.value)
    before = [p.value.copy() for p in many.parameters()]
    nn.SGD(many, 0.5).step()
    assert [launch.grid for launch in launches] == [(64, 1, 1), (2, 1, 1)]
    for p, value in zip(many.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.value, value - np.float32(0.5))


def test_what_is_not_contiguous_is_moved_by_itself(launches):
    layer = nn.Linear(3, 4)
    layer.grads["weight"] = np.ones((3, 4), np.float32).T
    layer.grads["bias"] = np.ones(4, np.float32)
    before = layer.params["weight"].copy()
    nn.SGD(layer, 0.5).step()
    assert [launch.grid for launch in launches] == [(1, 1, 1)]
    np.testing.assert_array_equal(layer.params["weight"], before - np.float32(0.5))


def test_an_optimiser_of_ones_own_is_never_replaced(launches):
    class Doubled(nn.Adam):
        def update(self, parameter, value, grad, rates):
            value *= 2

    layer = nn.Linear(3, 4)
    layer.grads["weight"] = np.ones((4, 3), np.float32)
    before = layer.params["weight"].copy()
    Doubled(layer).step()
    assert not launches
    np.testing.assert_array_equal(layer.params["weight"], before * 2)


NUMBERS = {
    "int": (lambda m: nn.Adam(m, 1, (0, 0)), lambda m: nn.Adam(m, 1.0, (0.0, 0.0))),
    "numpy": (
        lambda m: nn.AdamW(m, 0.1, np.array([0.5, 0.9]), groups={"1": {"lr": np.float64(0.3)}}),
        lambda m: nn.AdamW(m, 0.1, (0.5, 0.9), groups={"1": {"lr": 0.3}}),
    ),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_other_types_are_taken_as_floats(backend, kind):
    """A kernel takes doubles, and NumPy computes in float64 with numbers of its own."""
    given, floats = NUMBERS[kind]
    with np.errstate(all="ignore"):
        found, expected = moved(backend, given, "float32"), moved(backend, floats, "float32")
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array, err_msg=key)


def test_gradients_of_what_is_frozen_do_not_count(backend):
    """Whether a kernel sums the squares or the host does."""
    layers = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False))
    if backend.name == "cuda":
        layers.to("cuda")
    for p in layers.parameters():
        p.value[...] = 0
        p.layer.grads[p.key] = backend.array(np.ones(p.value.shape, np.float32))
    layers[0].trainable = False
    nn.SGD(layers, 1.0).step(clip_norm=1.0)
    found = backend.numpy(layers[1].params["weight"])
    np.testing.assert_allclose(found, -(6**-0.5), rtol=1e-6)


class Signs(nn.Adam):
    """Decays by the sign of the weights."""

    @staticmethod
    def decayed(value, grad, weight_decay):
        return grad + weight_decay * (2 * (value > 0) - 1)


class Halved(nn.LossScale):
    def unscaled(self, model):
        for p in model.parameters():
            p.grad[...] /= 2
        return super().unscaled(model)


@pytest.mark.parametrize("own", ["decayed", "unscaled"])
def test_nor_is_what_it_calls(backend, own):
    """By what a single weight becomes."""
    layer = nn.Linear(1, 1, bias=False, dtype="float64")
    layer.params["weight"] = backend.array(np.array([[-3.0]]))
    layer.grads["weight"] = backend.array(np.array([[8.0]]))
    if own == "decayed":  # 8 - 8: no gradient is left
        Signs(layer, 0.5, weight_decay=8.0).step()
        expected = -3.0
    else:
        nn.SGD(layer, 0.5).step(Halved(4.0))
        expected = -3.5
    assert backend.numpy(layer.params["weight"]).item() == expected


@pytest.mark.parametrize("via", ["ptx", "source"])
def test_the_emulator_knows_where_arrays_of_a_table_end(monkeypatch, via):
    """A count too many is found, by the names of the plan."""
    layer = nn.Linear(5, 1, bias=False)
    layer.grads["weight"] = np.ones((1, 5), np.float32)
    step = plans.step
    monkeypatch.setattr(
        fused_step.plans, "step", lambda e, c, counts, *rest: step(e, c, (6,), *rest)
    )
    with (
        pycnn.use_backend("emulator", checked=True, via=via),
        pytest.raises(OutOfBoundsError, match=r"value\[0\]|grad\[0\]"),
    ):
        nn.SGD(layer, 0.1).step()


def test_nor_may_it_be_read_before_it_was_written():
    layer = nn.Linear(5, 1, bias=False)
    layer.grads["weight"] = emulator.empty((1, 5), np.float32)
    with (
        pycnn.use_backend("emulator", checked=True),
        pytest.raises(emulator.UninitialisedReadError, match=r"grad\[0\]"),
    ):
        nn.SGD(layer, 0.1).step()


SCALES = (1024.0, 3.0)


@pytest.mark.parametrize("name", ["momentum", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("clip", [None, 0.5, 1e9])
@pytest.mark.parametrize("first", SCALES)
def test_the_gpu_leaves_steps_out_and_shortens_them(backend, name, clip, first):
    """As the host does, with a gradient that overflows in the second step and in the last."""
    found = scaled_steps(backend, name, clip, first)
    with pycnn.use_backend("reference"):
        expected = scaled_steps(None, name, clip, first)
    assert found[0] == expected[0] == [(True, first, 1, 1), (False, first / 2, 0, 1),
                                       (True, first / 2, 1, 2), (True, first, 2, 3),
                                       (False, first / 2, 0, 3)]  # fmt: skip
    for one, other in zip(found[1], expected[1], strict=True):
        # The norm is summed in another order: what clips is the same but for a rounding.
        np.testing.assert_allclose(one, other, rtol=0 if clip is None and name[0] != "a" else 1e-6)


def scaled_steps(backend, name, clip, first):
    put, get = (lambda a: a, np.asarray) if backend is None else (backend.array, backend.numpy)
    layers = model()
    if backend is not None and backend.name == "cuda":
        layers.to("cuda")
    optimizer, rng = OPTIMIZERS[name](layers), np.random.default_rng(2)
    scale, told = nn.LossScale(first, every=2), []
    for step in range(5):
        for i, p in enumerate(layers.parameters()):
            grad = rng.standard_normal(p.value.shape).astype(np.float32)
            if step in (1, 4) and i == 5:
                grad[0] = np.inf if step == 1 else np.nan
            p.layer.grads[p.key] = put(grad)
        taken = optimizer.step(scale, clip)
        told.append((taken, scale.scale, scale.steps, optimizer.steps))
    return told, [get(p.value) for p in layers.parameters()]


def test_gradients_are_clipped_without_a_scale(backend, rng):
    """By the formula, in float64."""
    value, grad = rng.standard_normal((2, 3000, 1))
    layer = nn.Linear(1, 3000, bias=False, dtype="float64")
    layer.params["weight"] = backend.array(value.copy())
    layer.grads["weight"] = backend.array(grad)
    assert nn.SGD(layer, 0.1).step(clip_norm=2.0)
    norm = np.sqrt((grad**2).sum())
    found = backend.numpy(layer.params["weight"])
    np.testing.assert_allclose(found, value - 0.1 * grad * (2.0 / norm), rtol=1e-14)


def test_a_scale_that_only_falls_ends(backend):
    layer = nn.Linear(1, 1, bias=False)
    layer.params["weight"] = backend.array(np.ones((1, 1), np.float32))
    layer.grads["weight"] = backend.array(np.full((1, 1), np.nan, np.float32))
    optimizer, scale = nn.Adam(layer), nn.LossScale(2.0**-24)
    with pytest.raises(ValueError, match="gradients are not finite at scale"):
        optimizer.step(scale)
    assert optimizer.steps == 0
    assert backend.numpy(layer.params["weight"]).item() == 1


@pytest.mark.parametrize("norm", [0.0, -1.0, float("nan")])
def test_a_norm_that_is_none_is_refused(backend, norm):
    optimizer = nn.SGD(nn.Linear(1, 1), 0.1)
    with pytest.raises(ValueError, match=r"clip_norm=.* allowed are positive"):
        optimizer.step(clip_norm=norm)
    assert optimizer.steps == 0


def test_a_number_is_no_scale(backend):
    optimizer = nn.SGD(nn.Linear(1, 1), 0.1)
    with pytest.raises(TypeError, match="scale is of type float; allowed: a"):
        optimizer.step(1024.0)
    assert optimizer.steps == 0


def test_the_barrier_of_the_verdict_is_needed():
    text = kernel_path("optim/gradients.cu").read_text()
    barrier = "    __syncthreads();\n"
    assert text.count(barrier) == 1
    given, numbers = np.ones(4 + 2 * 40), (np.inf, np.int64(1), 0.9, 0.99)
    for code in (text, text.replace(barrier, "")):
        kernel = emulator.RawModule(code=code, options=(f"-I{include_dirs()[0]}",), checked=True)
        state = np.array([8.0, 0, 0])
        arrays = np.ones(1), np.int32(1), given, given.copy(), np.int32(40), state
        launch = (1,), (256,), (*arrays, *numbers)
        if code == text:
            kernel.get_function("gradient_verdict")(*launch)
        else:
            with pytest.raises(emulator.RaceError):
                kernel.get_function("gradient_verdict")(*launch)
