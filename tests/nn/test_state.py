"""What a model holds: state, devices, dtypes, seeds, running statistics."""

import numpy as np
import pytest

import pycnn
from pycnn import nn
from pycnn.define.trace import tracing
from pycnn.runtime.extras import MissingExtra


def small(seed=0):
    with nn.seeded(seed):
        return nn.Sequential(
            conv=nn.Conv2d(1, 3, 3), norm=nn.BatchNorm2d(3), act=nn.ReLU(), drop=nn.Dropout(0.5),
            flat=nn.Flatten(), dense=nn.Linear(12, 4),
        )  # fmt: skip


def test_weights_are_a_function_of_the_seed():
    one, same, other = (small(seed).state_dict() for seed in (1, 1, 2))
    assert all((one[name] == same[name]).all() for name in one)
    assert not (one["conv.weight"] == other["conv.weight"]).all()


def test_state_goes_round():
    one, other = small(1), small(2)
    other.load_state_dict(one.state_dict())
    x = np.random.default_rng(0).standard_normal((2, 1, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(one.eval()(x), other.eval()(x))
    other.at("conv").params["weight"][...] = 0  # a copy, not the same array
    assert one.at("conv").params["weight"].any()


def test_state_of_another_model_is_refused_and_nothing_changes():
    model = small()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    state = dict(small(3).state_dict())
    with pytest.raises(ValueError, match=r"1 arrays missing \(dense.bias\), 1 unknown \(extra\)"):
        model.load_state_dict({**{n: a for n, a in state.items() if n != "dense.bias"}, "extra": 0})
    state["dense.weight"] = np.zeros((4, 13), np.float32)
    with pytest.raises(ValueError, match=r"\['dense.weight'\] is float32 of shape \(4, 13\); all"):
        model.load_state_dict(state)
    assert all((before[name] == array).all() for name, array in model.state_dict().items())


def test_dtypes():
    model = small().to("float64")
    assert {array.dtype.name for array in model.state_dict().values()} == {"float64"}
    assert model.eval()(np.zeros((1, 1, 4, 4))).dtype == np.float64
    with pytest.raises(ValueError, match="target='gpu': allowed are cpu, cuda, float"):
        model.to("gpu")


def test_moves_to_a_gpu_where_there_is_one_and_says_what_is_missing_elsewhere():
    cuda = {b.name: b for b in pycnn.backends()}["cuda"]
    if cuda.available:
        moved = small().to("cuda").to("cpu")
        assert (moved.at("conv").params["weight"] == small().at("conv").params["weight"]).all()
    else:
        with pytest.raises((MissingExtra, pycnn.BackendUnavailable), match="cuda"):
            small().to("cuda")


def test_dropout_is_a_function_of_seed_and_step():
    model = small()
    x = np.random.default_rng(0).standard_normal((8, 1, 4, 4)).astype(np.float32)
    runs = [model.reseed(seed, step).forward(x) for seed, step in ((1, 0), (1, 0), (1, 1), (2, 0))]
    assert (runs[0] == runs[1]).all()
    assert not (runs[0] == runs[2]).all()
    assert not (runs[0] == runs[3]).all()
    one, other = (nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5)).reseed(1) for _ in range(2))
    assert one.at("0").seed != one.at("1").seed
    assert one.at("0").seed == other.at("0").seed


def test_running_statistics_by_hand():
    """Mean 2 and unbiased variance 2 of (1, 3), by a momentum of 0.1 from 0 and 1."""
    norm = nn.BatchNorm1d(1, dtype="float64")
    norm.forward(np.array([[1.0], [3.0]]))
    assert norm.buffers["running_mean"].item() == pytest.approx(0.2)
    assert norm.buffers["running_var"].item() == pytest.approx(0.9 * 1 + 0.1 * 2)
    norm.output_shape((1,), "float64")  # tracing leaves them alone
    assert norm.buffers["running_mean"].item() == pytest.approx(0.2)


def test_batch_norm_wants_its_rank():
    with pytest.raises(nn.LayerError, match=r"x has shape \(2, 3\); allowed: 4 axes"):
        nn.BatchNorm2d(3)(np.zeros((2, 3), np.float32))


def test_a_network_made_while_tracing_takes_no_memory():
    with tracing():
        model = nn.Linear(10**6, 10**6)
    assert model.parameter_count == 10**12 + 10**6
    assert model.params["weight"].strides == (0, 0)


def test_running_statistics_are_written_into_the_arrays_of_a_state_dict_taken_before():
    model = small()
    state = model.state_dict()
    model.forward(np.random.default_rng(0).standard_normal((2, 1, 4, 4)).astype(np.float32))
    assert state["norm.running_mean"].any()
    assert all(array is state[name] for name, array in model.state_dict().items())
    other = small(1)
    before = other.state_dict()
    other.load_state_dict(state)
    assert all((before[name] == state[name]).all() for name in state)


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.InstanceNorm])
def test_every_norm_writes_its_statistics_in_place(kind):
    norm = kind(2, **({"track_running_stats": True} if kind is nn.InstanceNorm else {}))
    state = norm.state_dict()
    norm.output_shape((2, 3, 3))
    assert not state["running_mean"].any()
    norm.forward(np.ones((2, 2, 3, 3), np.float32))
    assert state["running_mean"] == pytest.approx([0.1, 0.1])
    assert norm.buffers["running_mean"] is state["running_mean"]


def test_a_model_made_while_tracing_takes_a_state():
    with tracing():
        model = nn.Linear(1, 1)
    model.load_state_dict({"weight": np.float32([[2]]), "bias": np.float32([1])})
    assert model(np.float32([[3]])).item() == 7


def test_reseeding_between_forward_and_backward_leaves_the_mask():
    for layer in (nn.Dropout(0.5, seed=1), nn.Dropout2d(0.5, seed=1)):
        x = np.ones((4, 8, 3, 3), np.float32)
        mask = layer.forward(x)
        layer.reseed(2)
        np.testing.assert_array_equal(layer.backward(x), mask)


def tied(how):
    """Two layers that are one matrix: y = (x A) A."""
    with nn.seeded(0):
        model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    first, second = model.at("0"), model.at("1")
    if how == "dictionaries":
        second.params = first.params
    elif how == "all":
        second.params, second.grads = first.params, first.grads
    else:
        second.params["weight"] = first.params["weight"]
    return model, first


@pytest.mark.parametrize("how", ["dictionaries", "arrays", "all"])
def test_shared_parameters_count_once_and_move_once_by_the_sum_of_their_gradients(how):
    model, first = tied(how)
    a = first.params["weight"].copy()
    assert model.parameter_count == 4
    assert [p.name for p in model.parameters()] == ["0.weight"]
    x = np.float32([[1, 2]])
    model.forward(x)
    model.backward(np.ones((1, 2), np.float32))
    # L = sum(x A' A'): dL/dA = 1 (A x)' + (A' 1) x
    expected = np.ones((2, 1)) @ (a @ x.T).T + (a.T @ np.ones((2, 1))) @ x
    nn.clip_grad_value(model, 1e6)
    assert nn.clip_grad_norm(model, 1e6) == pytest.approx((expected**2).sum() ** 0.5, rel=1e-6)
    nn.SGD(model, 0.1).step()
    np.testing.assert_allclose(first.params["weight"], a - 0.1 * expected, rtol=1e-5)
    assert model.at("1").params["weight"] is first.params["weight"]


@pytest.mark.parametrize("how", ["dictionaries", "arrays", "all"])
def test_shared_parameters_stay_shared(how):
    model, first = tied(how)
    model.to("float64")
    assert model.at("1").params["weight"] is first.params["weight"]
    state = {name: array.copy() for name, array in model.state_dict().items()}
    model.load_state_dict(state)
    assert model.at("1").params["weight"] is first.params["weight"]
    state["1.weight"] += 1
    before = first.params["weight"].copy()
    with pytest.raises(ValueError, match=r"1.weight and 0.weight are one array here; state has"):
        model.load_state_dict(state)
    assert (first.params["weight"] == before).all()


def test_a_state_may_swap_the_arrays_of_two_layers():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    first, second = (model.at(name).state_dict() for name in "01")
    before = {name: array.copy() for name, array in model.state_dict().items()}
    model.load_state_dict(
        {f"0.{n}": a for n, a in second.items()} | {f"1.{n}": a for n, a in first.items()}
    )
    assert (model.at("0").params["weight"] == before["1.weight"]).all()
    assert (model.at("1").params["weight"] == before["0.weight"]).all()
