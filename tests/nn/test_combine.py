"""Layers of layers: gradients where branches part and meet, names, errors, taps."""

import copy
import pickle

import numpy as np
import pytest

import pycnn
from pycnn import nn


def fixed(weight):
    """A dense layer with these weights and no bias."""
    layer = nn.Linear(len(weight[0]), len(weight), bias=False, dtype="float64")
    layer.params["weight"] = np.array(weight, np.float64)
    return layer


def test_gradients_add_up_where_branches_part():
    """y = 2x + 3x + x: by hand."""
    model = nn.Sum(fixed([[2.0]]), fixed([[3.0]]), nn.Identity())
    x = np.array([[5.0]])
    assert model.forward(x).tolist() == [[30.0]]
    assert model.backward(np.array([[1.0]])).tolist() == [[6.0]]
    assert [p.grad.tolist() for p in model.parameters()] == [[[5.0]], [[5.0]]]


def test_the_scale_of_a_sum_is_that_of_its_first_branch():
    model = nn.Sum(fixed([[2.0]]), nn.Identity(), scale=0.5)
    assert model.forward(np.array([[3.0]])).tolist() == [[6.0]]
    assert model.backward(np.array([[1.0]])).tolist() == [[2.0]]
    assert model.parameters()[0].grad.tolist() == [[1.5]]


def test_a_dense_block_by_hand():
    """Each layer sees all before it: (x) -> (x, 2x) -> (x, 2x, x + 2*2x)."""
    model = nn.Sequential(
        nn.Concat(nn.Identity(), fixed([[2.0]])), nn.Concat(nn.Identity(), fixed([[1.0, 2.0]]))
    )
    assert model.forward(np.array([[1.0]])).tolist() == [[1.0, 2.0, 5.0]]
    # d(1*a + 10*b + 100*c)/dx with a = x, b = 2x, c = a + 2b = 5x
    assert model.backward(np.array([[1.0, 10.0, 100.0]])).tolist() == [[521.0]]


def test_the_first_layers_save_their_work_where_the_input_needs_no_gradient():
    model = nn.Sequential(nn.Flatten(), nn.Tanh(), fixed([[1.0, 1.0]]), nn.Tanh())
    model.forward(np.ones((3, 2)))
    assert model.backward(np.ones((3, 1)), needs_dx=False) is None
    assert model.parameters()[0].grad.shape == (1, 2)


def test_gradients_add_up_over_backward_passes_until_they_are_forgotten():
    model = fixed([[2.0]])
    for expected in (3.0, 6.0):
        model.forward(np.array([[3.0]]))
        model.backward(np.array([[1.0]]))
        assert model.grads["weight"].item() == expected
    model.zero_grad()
    assert model.grads == {}


def test_names_and_paths():
    model = nn.Sequential(
        nn.ReLU(), block=nn.Sum(nn.Sequential(conv=nn.Conv2d(2, 2, 1)), nn.Identity())
    )
    assert [name for name, _ in model.named_layers()] == [
        "", "0", "block", "block.0", "block.0.conv", "block.1",
    ]  # fmt: skip
    assert [p.name for p in model.parameters()] == ["block.0.conv.weight", "block.0.conv.bias"]
    assert repr(model.at("block.0.conv")) == "Conv2d(2, 2, 1)"
    with pytest.raises(ValueError, match=r"path='block.2': allowed are 0, block, block.0"):
        model.at("block.2")


def test_a_wrong_input_says_which_layer_and_why():
    model = nn.Sequential(
        features=nn.Sequential(conv=nn.Conv2d(3, 4, 3), pool=nn.MaxPool2d(2)),
        flatten=nn.Flatten(),
        dense=nn.Linear(36, 10),
    )
    assert model.output_shape((3, 8, 8)) == (10,)
    with pytest.raises(nn.LayerError, match=r"layer dense, Linear\(36, 10\): .*\(2, 64\)"):
        model.output_shape((3, 10, 10))
    with pytest.raises(nn.LayerError, match=r"layer features.conv, Conv2d\(3, 4, 3\): ") as caught:
        model(np.zeros((1, 2, 8, 8), np.float32))
    assert caught.value.path == "features.conv"
    with pytest.raises(nn.LayerTypeError, match=r"layer features\.conv, .*float64") as wrong:
        model(np.zeros((1, 3, 8, 8)))
    assert isinstance(wrong.value, TypeError)
    model.forward(np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(nn.LayerError, match=r"Sequential.*: dy has shape \(1, 11\); allowed: .*10"):
        model.backward(np.zeros((1, 11), np.float32))


def test_branches_of_different_shapes_are_refused():
    model = nn.Sequential(sum=nn.Sum(nn.Linear(3, 4), nn.Identity()))
    with pytest.raises(
        nn.LayerError, match=r"layer sum, .*different shapes: 0 \(2, 4\), 1 \(2, 3\)"
    ):
        model(np.zeros((2, 3), np.float32))


def test_a_layer_may_stand_in_two_places():
    """Its gradient is the sum of both; it is one set of parameters, moved once."""
    layer = nn.Linear(3, 3, dtype="float64")
    twice = nn.Sequential(layer, nn.Tanh(), layer)
    apart = nn.Sequential(*(nn.Linear(3, 3, dtype="float64") for _ in range(1)), nn.Tanh(),
                          nn.Linear(3, 3, dtype="float64"))  # fmt: skip
    state = layer.state_dict()
    apart.load_state_dict({f"{i}.{key}": array for i in (0, 2) for key, array in state.items()})
    x = np.random.default_rng(1).standard_normal((4, 3))
    assert (twice.forward(x) == apart.forward(x)).all()
    dy = np.ones((4, 3))
    assert (twice.backward(dy) == apart.backward(dy)).all()
    first, second = (apart.at(i).grads for i in "02")
    for key in ("weight", "bias"):
        np.testing.assert_array_equal(layer.grads[key], first[key] + second[key])
    assert [p.name for p in twice.parameters()] == ["0.weight", "0.bias"]
    assert twice.parameter_count == 12


def test_only_layers_stand_in_a_sequence():
    with pytest.raises(TypeError, match=r"layer 0 is of type function; allowed: pycnn\.nn\.Layer"):
        nn.Sequential(lambda x: x)


def test_taps_add_the_gradient_of_their_head_in_training_only():
    model = nn.Sequential(fixed([[2.0]]), tap=nn.Tap(fixed([[10.0]]), weight=0.3))
    (tap,) = nn.taps(model)
    with pycnn.grad() as tape:
        x = tape.watch(np.array([[1.0]]))
        y = model(x)
    assert y.value.tolist() == [[2.0]]
    assert tap.output.value.tolist() == [[20.0]]
    (dx,) = tape.gradients_into_layers(y + tap.output * 0.5, np.array([[1.0]]), [x])
    assert dx.tolist() == [[(1.0 + 0.5 * 10.0) * 2.0]]
    assert tap.children["head"].grads["weight"].tolist() == [[1.0]]
    model.eval()
    assert model(np.array([[1.0]])).tolist() == [[2.0]]
    assert tap.output is None


def test_observers_see_every_layer_inner_ones_first():
    seen = []
    model = nn.Sequential(a=nn.ReLU(), b=nn.Sequential(c=nn.Tanh()))
    with nn.observing(lambda layer, x, y: seen.append((type(layer).__name__, y.shape))):
        model(np.ones((2, 3)))
    assert [name for name, _ in seen] == ["ReLU", "Tanh", "Sequential", "Sequential"]
    model(np.ones((2, 3)))
    assert len(seen) == 4


def test_observers_add_up_whenever_their_blocks_were_made():
    seen = []
    blocks = [nn.observing(lambda layer, x, y, name=name: seen.append(name)) for name in "ab"]
    with blocks[0], blocks[1]:
        nn.ReLU()(np.ones(3))
    assert seen == ["a", "b"]


def test_modes_reach_every_layer_inside():
    model = nn.Sequential(nn.Sequential(nn.Dropout(0.5)), nn.BatchNorm1d(2))
    assert all(not layer.training for _, layer in model.eval().named_layers())
    assert all(layer.training for _, layer in model.train().named_layers())


class Own(nn.Layer):
    """As people write a layer who know PyTorch."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.act = nn.ReLU()

    def compute(self, x):
        return self.act(self.conv(x))


def test_a_layer_set_as_an_attribute_is_a_child():
    own = Own()
    assert [p.name for p in own.parameters()] == ["conv.weight", "conv.bias"]
    assert own.conv is own.children["conv"]
    same = nn.Sequential(conv=nn.Conv2d(1, 2, 3), act=nn.ReLU())
    same.load_state_dict(own.state_dict())
    x = np.random.default_rng(0).standard_normal((2, 1, 5, 5)).astype(np.float32)
    assert (own.forward(x) == same.forward(x)).all()
    dy = np.ones((2, 2, 3, 3), np.float32)
    assert (own.backward(dy) == same.backward(dy)).all()
    assert (own.conv.grads["weight"] == same.at("conv").grads["weight"]).all()
    own.conv = nn.Conv2d(1, 3, 3)
    assert own.parameters()[0].value.shape == (3, 1, 3, 3)
    own.conv = None
    assert list(own.children) == ["act"]
    assert copy.deepcopy(own).act is not own.act
    assert not hasattr(own, "pool")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("blocks", [nn.ReLU()], "self.blocks holds layers in a list, where nothing finds them"),
        ("blocks", (nn.ReLU(),), "in a tuple"),
        ("blocks", {"a": nn.ReLU()}, "in a dict"),
        ("forward", nn.ReLU(), "self.forward is a layer; allowed: a name that is not taken"),
        ("params", nn.ReLU(), "self.params is a layer"),
    ],
)
def test_layers_that_nothing_would_find_are_refused(name, value, message):
    with pytest.raises((TypeError, ValueError), match=message):
        setattr(Own(), name, value)
    own, around = Own(), nn.Sequential()
    around.children["own"] = own
    with pytest.raises(ValueError, match=r"self.again is a layer around this one"):
        own.again = around
    with pytest.raises(TypeError, match=r"Early: call super\(\).__init__\(\) before self.act"):
        type("Early", (nn.Layer,), {"__init__": lambda self: setattr(self, "act", nn.ReLU())})()


def test_a_child_may_be_called_as_an_attribute_is():
    model = nn.Sequential(training=nn.Linear(2, 2), children=nn.ReLU())
    model.eval()
    assert list(model.children) == ["training", "children"]
    assert model.training is False


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (lambda: nn.Sequential(nn.ReLU(), **{"0": nn.Tanh()}), "layer '0': given twice"),
        (lambda: nn.Sequential(**{"a.b": nn.Linear(1, 1)}), r"layer 'a\.b': no name"),
        (lambda: nn.Sum(**{"": nn.Identity()}), "layer '': no name"),
    ],
)
def test_names_that_clash_are_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        layers()
    odd = nn.Sequential(conv=nn.Conv2d(1, 1, 1))
    odd.params["conv.weight"] = np.zeros(1)
    with pytest.raises(ValueError, match=r"two arrays are called conv.weight"):
        odd.state_dict()


def test_backward_after_two_forward_passes_is_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 3), nn.ReLU())
    a, b, dy = np.ones((1, 2, 1)), np.zeros((1, 2, 1)), np.ones((1, 3))
    model.to("float64")
    model.forward(a)
    model.forward(b)
    with pytest.raises(nn.LayerError, match=r"backward after 2 forward passes; allowed: one"):
        model.backward(dy)
    model.zero_grad()  # forgets all but the last
    model.backward(dy)
    assert not model.at("1").grads["weight"].any()
    for x in (a, b):  # gradients of two batches add up, as ever; the first layer learns nothing
        model.forward(x)
        model.backward(dy, needs_dx=False)
    model.forward(a)
    assert model.backward(dy).shape == a.shape


def test_a_head_whose_loss_is_left_out_has_no_gradient():
    model = nn.Sequential(nn.Linear(2, 2), nn.Tap(nn.Linear(2, 2)))
    x = np.ones((1, 2), np.float32)
    model.forward(x)
    model.backward(x)
    assert {*model.at("0").grads} == {"weight", "bias"}
    assert not model.at("1.head").grads


def test_a_sequence_is_one():
    layers = [nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)]
    model = nn.Sequential(layers)
    assert list(model) == layers
    assert model[1] is layers[1]
    assert model[-1] is layers[2]
    assert list(model[1:].children) == ["1", "2"]
    assert not model.eval()[:2].training
    with pytest.raises(IndexError):
        model[3]
    with pytest.raises(KeyError):
        model["weight"]
    many = nn.Sequential([nn.Sequential(nn.ReLU(), nn.Tanh()) for _ in range(9)])
    assert repr(many) == (
        "Sequential("
        + "".join(f"{i}=Sequential(... 2 layers), " for i in range(5))
        + "... 9 layers)"
    )


def test_a_copy_has_kept_nothing():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model.forward(np.ones((1, 2), np.float32))
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with pytest.raises(nn.LayerError, match="backward without a forward"):
            copied.backward(np.ones((1, 2), np.float32))
        assert (copied[0]["weight"] == model[0]["weight"]).all()
