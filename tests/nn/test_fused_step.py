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


@pytest.mark.parametrize("copy", ["float16", "bfloat16"])
def test_copies_in_16_bits_are_written_in_the_same_pass(backend, rng, copy):
    if backend.name == "reference":
        pytest.skip("runs no plans")
    counts, kind = (2050, 0, 3), pycnn.dtypes.numpy_dtype(copy)
    arrays = {"rates": backend.array(np.array([0.0, 1, 1, 1, 0.1, 0, 0, 0, 0.2, 0]))}
    expected = []
    for i, count in enumerate(counts):
        value, grad = rng.standard_normal((2, count)).astype(np.float32)
        arrays[f"value[{i}]"], arrays[f"grad[{i}]"] = map(backend.array, (value.copy(), grad))
        arrays[f"copy[{i}]"] = backend.array(np.zeros(count, np.uint16))
        expected.append((value - np.float32((0.1, 0, 0.2)[i]) * grad).astype(kind))
    run = executor("cuda" if backend.name == "cuda" else "emulator").run
    run(plans.step("sgd", (), counts, 0, "float32", copy), arrays)
    for i, copied in enumerate(expected):
        found = backend.numpy(arrays[f"copy[{i}]"]).view(kind)
        assert found.tobytes() == copied.tobytes()


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
