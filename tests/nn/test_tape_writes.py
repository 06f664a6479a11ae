"""What is written into between forward and back is noticed; what has to move moves once."""

import numpy as np
import pytest

import pycnn
from pycnn import nn


def recorded(x=None):
    """A loss of a small network, on its tape."""
    with nn.seeded(0):
        model = nn.Sequential(conv=nn.Conv2d(1, 3, 3), act=nn.ReLU(), flat=nn.Flatten(),
                              dense=nn.Linear(27, 2))  # fmt: skip
    x = np.random.default_rng(1).random((2, 1, 5, 5), np.float32) if x is None else x
    with pycnn.grad() as tape:
        loss = pycnn.sum(model(x))
    return model, x, tape, loss


def test_a_write_into_the_input_or_a_weight_is_noticed():
    model, x, tape, loss = recorded()
    tape.backward(loss)
    model, x, tape, loss = recorded()
    before = x.copy()
    x += 1
    with pytest.raises(nn.LayerError, match=r"layer conv, Conv2d.*: x of conv2d was written into"):
        tape.backward(loss)
    x[...] = before
    tape.backward(loss)  # refused before anything was computed
    for name in ("conv", "dense"):
        model, _, tape, loss = recorded()
        model.at(name).params["weight"] *= 2
        with pytest.raises(nn.LayerError, match=f"layer {name}, .*: weight of .* was written into"):
            tape.backward(loss)


def test_what_the_way_back_does_not_look_at_may_change():
    model, _, tape, loss = recorded()
    model.at("dense").params["bias"] += 1
    tape.backward(loss)
    with pycnn.grad() as tape:
        x = np.ones(3)
        y = pycnn.sum(tape.watch(np.ones(3)) + x)
    x += 1
    tape.backward(y)


def test_an_optimiser_that_steps_too_early_is_noticed_in_every_layout():
    weight = np.asfortranarray(np.random.default_rng(0).random((500, 300)))
    for array in (weight, weight.T, weight[:, 1:], np.ones((1, 1))):
        with pycnn.grad() as tape:
            y = pycnn.sum(pycnn.relu(pycnn.matmul(tape.watch(array.T.copy()), array)))
        array -= 1e-3
        with pytest.raises(ValueError, match="b of matmul was written into since"):
            tape.backward(y)


@pytest.mark.parametrize("what", ["x", "weight"])
def test_a_write_before_a_block_is_computed_again_is_noticed(what):
    model, x = nn.Recompute(nn.Sequential(nn.Linear(3, 3), nn.Tanh())), np.ones((2, 3), np.float32)
    y = model.forward(x)
    if what == "x":
        x += 1
    else:
        model.parameters()[0].value[...] += 1
    with pytest.raises(nn.LayerError, match=f"{what} was written into since"):
        model.backward(np.ones_like(y))


class Counted(nn.Layer):
    """Follows statistics by functions alone, in arrays and in new ones."""

    def __init__(self):
        super().__init__()
        self.buffers |= {"mean": np.zeros(3), "var": np.ones(3), "passes": np.zeros(())}

    def compute(self, x):
        mean, var = self["mean"], self["var"]
        y, _, _, new_mean, new_var = pycnn.batch_norm_train(x, mean, var)
        mean[...] = new_mean
        self.buffers["var"] = new_var
        self.buffers["passes"] += 1
        return y


def test_buffers_of_a_block_that_is_computed_twice_move_once():
    x = np.random.default_rng(0).standard_normal((5, 3))
    plain, again = Counted(), nn.Recompute(Counted())
    for model in (plain, again):
        y = model.forward(x)
        model.backward(np.cos(y))
    for name, array in plain.buffers.items():
        np.testing.assert_array_equal(again.layer.buffers[name], array)
    assert plain.buffers["passes"] == 1


def test_float_inside_the_block_would_lose_the_gradient():
    with pycnn.grad() as tape:
        x = tape.watch(np.array(3.0))
        with pytest.raises(TypeError, match=r"float of an array on a tape that records.*x\.value"):
            x * float(x)
        y = x * x
    assert float(y) == 9.0
