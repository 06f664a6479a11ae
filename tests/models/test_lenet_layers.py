"""The layers that only LeNet-5 of 1998 has."""

import numpy as np
import pytest

from pycnn import nn
from pycnn.models.lenet import CONNECTIONS, PartialConv2d, ScaledTanh, lenet5, lenet5_1998


def test_connections_are_those_of_table_1():
    # Each map of S2 is seen by 10 of C3; six of C3 see 3 maps, nine 4, the last all six.
    assert [sum(c in seen for seen in CONNECTIONS) for c in range(6)] == [10] * 6
    assert [len(seen) for seen in CONNECTIONS] == [3] * 6 + [4] * 9 + [6]


def test_trained_parameters_of_each_layer_are_those_of_the_paper():
    layers = lenet5_1998().children
    found = {name: layers[name].parameter_count for name in ("c1", "s2", "c3", "s4", "c5", "f6")}
    expected = {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert found == expected


def test_an_even_image_of_any_grey_has_no_frame_in_the_first_maps():
    """28x28 are padded with what the edges are: zeros would be a step."""
    maps = lenet5().at("c1")(np.full((1, 1, 28, 28), 0.7, np.float32))
    assert maps.shape == (1, 6, 28, 28)
    assert np.ptp(maps, axis=(2, 3)).max() < 1e-6


def test_partial_convolution_sees_what_it_is_connected_to():
    layer = PartialConv2d(3, ((0, 2), (1,)), 1)
    layer.params["weight"] = np.array([2.0, 3.0, 5.0]).reshape(3, 1, 1)
    layer.params["bias"] = np.array([0.0, 100.0])
    x = np.array([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1)
    assert layer.forward(x).ravel().tolist() == [2 * 1 + 3 * 100, 5 * 10 + 100]
    dx = layer.backward(np.array([1.0, 10.0]).reshape(1, 2, 1, 1))
    assert dx.ravel().tolist() == [2, 50, 3]
    assert layer.grads["weight"].ravel().tolist() == [1, 100, 100]
    assert layer.grads["bias"].tolist() == [1, 10]


def test_partial_convolution_can_leave_out_the_gradient_of_its_input():
    layer = PartialConv2d(6, CONNECTIONS, 5)
    y = layer.forward(np.ones((1, 6, 6, 6), np.float32))
    assert layer.backward(y, needs_dx=False) is None


def test_scaled_tanh_has_the_constants_of_appendix_a():
    # f(1) = 1 and f(-1) = -1; the saturation is 1.7159.
    y = ScaledTanh()(np.array([-1.0, 0.0, 1.0, 50.0]))
    assert y == pytest.approx([-1, 0, 1, 1.7159], abs=2e-5)


def test_subsampling_is_mean_times_factor_plus_bias_squashed():
    model = nn.Sequential(*lenet5_1998().at("s2").children.values())
    model.at("1").params["weight"] = np.full((6, 1, 1, 1), 2.0)
    model.at("1").params["bias"] = np.full(6, 0.5)
    y = model(np.array([0.0, 0.1, 0.2, 0.3]).reshape(1, 1, 2, 2).repeat(6, axis=1))
    # Mean 0.15, doubled, and 0.5 more.
    assert y.ravel() == pytest.approx([1.7159 * np.tanh(2 / 3 * 0.8)] * 6)
