"""Fusing changes no result, says what it fused, and leaves the rest alone."""

import numpy as np
import pytest

from pycnn import nn
from pycnn.define.trace import placeholder, tracing

RNG = np.random.default_rng(17)


def trained(layer):
    """With running statistics and weights that are not their first ones."""
    for _, one in layer.to("float64").named_layers():
        for arrays in (one.params, one.buffers):
            for name, array in arrays.items():
                drawn = RNG.standard_normal(array.shape)
                arrays[name] = abs(drawn) + 0.5 if name == "running_var" else drawn
    return layer.eval()


class Shifted(nn.Conv2d):
    """Computes something else than the layer that it is derived from."""

    def compute(self, x):
        return super().compute(x) - 1


class Doubled(nn.BatchNorm2d):
    def compute(self, x):
        return 2 * super().compute(x)


class Small(nn.Conv2d):
    """Computes the same."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, 3)


@pytest.mark.parametrize(
    ("layers", "shape", "left"),
    [
        ([nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6), nn.ReLU()], (2, 4, 5, 6), 1),
        ([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.SiLU()], (2, 3, 5, 6), 1),
        ([nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.Sigmoid()], (2, 3, 7), 1),
        ([nn.Conv3d(2, 4, 2), nn.BatchNorm3d(4), nn.ReLU6()], (1, 2, 3, 4, 3), 1),
        ([nn.ConvTranspose2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), nn.ReLU()], (2, 4, 3, 4), 1),
        ([nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU()], (3, 5), 1),
        ([nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)], (2, 3, 5, 6), 2),
        ([nn.Conv2d(3, 4, 3), nn.GELU()], (2, 3, 5, 6), 2),
        ([nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3)], (2, 3, 5, 6), 3),
        ([nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.ReLU()], (2, 3, 5, 6), 3),
        ([Small(3, 4), nn.BatchNorm2d(4), nn.ReLU()], (2, 3, 5, 6), 1),
        ([Shifted(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()], (2, 3, 5, 6), 3),
        ([nn.Conv2d(3, 4, 3), Doubled(4), nn.ReLU()], (2, 3, 5, 6), 3),
        ([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, layout="NHWC")], (2, 3, 6, 6), 2),
    ],
)
def test_results_stay(layers, shape, left):
    model = trained(nn.Sequential(*layers))
    x = RNG.standard_normal(shape)
    expected = model(x)
    report = nn.fuse(model)
    assert len(model) == left
    assert len(report) == (left < len(layers))
    np.testing.assert_allclose(model(x), expected, rtol=1e-10, atol=1e-12)


def test_inside_of_branches_and_the_heads_of_taps():
    model = trained(
        nn.Sequential(
            block=nn.Sum(
                nn.Sequential(conv=nn.Conv2d(3, 3, 1), norm=nn.BatchNorm2d(3)), nn.Identity()
            ),
            tap=nn.Tap(nn.Linear(2, 2)),
        )
    )
    x = RNG.standard_normal((2, 3, 4, 4))
    expected = model(x)
    assert [str(fused) for fused in nn.fuse(model)] == ["block.0.conv + block.0.norm + block"]
    assert nn.taps(model) == []
    np.testing.assert_allclose(model(x), expected, rtol=1e-12)


def conv(activation=None):
    layers = [nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)]
    return nn.Sequential(*layers, *([activation] if activation else []))


@pytest.mark.parametrize(
    ("sum_", "adds", "calls"),
    [
        (lambda: nn.Sum(conv(), nn.Identity()), "0", ["conv2d"]),
        (
            lambda: nn.Sum(nn.Identity(), nn.Sequential(conv(nn.ReLU()), conv())),
            "1",
            ["conv2d"] * 2,
        ),
        (lambda: nn.Sum(conv(), conv(), nn.Identity()), "0", ["conv2d", "add_n", "conv2d"]),
        (lambda: nn.Sum(conv(), nn.Identity(), scale=0.3), "0", ["conv2d"]),
        (lambda: nn.Sum(nn.Identity(), conv(), scale=0.3), None, ["conv2d", "add", "relu"]),
        (lambda: nn.Sum(conv(nn.ReLU()), nn.Identity()), None, ["conv2d", "add", "relu"]),
        (lambda: nn.Sum(Shifted(3, 3, 1), nn.Identity()), None, ["conv2d", "add", "relu"]),
        # A convolution adds one other array.
        (
            lambda: nn.Sum(nn.Sum(conv(), nn.Identity()), nn.Identity()),
            None,
            ["conv2d", "add", "relu"],
        ),
        (lambda: nn.Sum(nn.MaxPool2d(1), nn.Identity()), None, ["max_pool2d", "add", "relu"]),
        (lambda: nn.Sum(conv()), None, ["conv2d", "relu"]),
    ],
)
def test_a_convolution_takes_in_a_sum_and_its_activation(sum_, adds, calls):
    model = trained(nn.Sequential(sum=sum_(), act=nn.ReLU(), last=nn.Conv2d(3, 2, 1)))
    x = RNG.standard_normal((2, 3, 4, 5))
    expected = model(x)
    nn.fuse(model)
    assert model.at("sum").adds == adds
    assert ("act" in model.children) == (adds is None)
    with tracing() as log:
        model(placeholder(x.shape, "float64"))
    assert [one.operation.name for one in log] == [*calls, "conv2d"]
    np.testing.assert_allclose(model(x), expected, rtol=1e-10, atol=1e-12)
    assert nn.fuse(model) == []


def test_a_sum_that_is_taken_in_has_the_same_gradient():
    model = trained(nn.Sum(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 3, padding=1), scale=2.0))
    x = RNG.standard_normal((2, 3, 4, 5))
    y, dx = model.forward(x), model.backward(x)
    (fused,) = nn.fuse(model)
    assert str(fused) == "0 + the model"
    assert model.adds == "0"
    np.testing.assert_allclose(model.forward(x), y, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(model.backward(x), dx, rtol=1e-10, atol=1e-12)


def test_branches_that_do_not_fit_are_refused_by_the_convolution():
    model = nn.Sum(nn.Conv2d(3, 3, 1), nn.MaxPool2d(2)).eval()
    nn.fuse(model)
    with pytest.raises(nn.LayerError, match=r"layer 0, .*: residual has shape \(1, 3, 2, 2\)"):
        model(np.zeros((1, 3, 4, 4), np.float32))


def test_a_dense_layer_and_a_norm_of_another_axis_are_not_mixed_up(rng):
    x = rng.standard_normal((3, 4, 4))
    for layout in ("NCHW", "NHWC"):
        model = trained(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, layout=layout)))
        expected = model.forward(x)
        nn.fuse(model)
        if layout == "NCHW":
            with pytest.raises(nn.LayerError, match=r"x has shape \(3, 4, 4\); allowed: \(N, 4\)"):
                model.forward(x)
        else:
            np.testing.assert_allclose(model.forward(x), expected, rtol=1e-12, atol=1e-12)


def test_only_what_is_final_is_fused():
    with pytest.raises(ValueError, match=r"call model.eval\(\) before fuse"):
        nn.fuse(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))


def test_a_fused_activation_has_no_backward():
    model = trained(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()))
    nn.fuse(model)
    y = model.forward(np.ones((1, 1, 2, 2)))
    with pytest.raises(nn.LayerError, match="activation is fused behind the sum, for inf"):
        model.backward(y)


def test_a_norm_inside_that_is_in_training_mode_is_not_fused():
    model = nn.Sequential(conv=nn.Conv2d(1, 1, 1), norm=nn.BatchNorm2d(1)).eval()
    model.at("norm").train()
    with pytest.raises(ValueError, match=r"layer norm, BatchNorm2d\(1\), is in training mode"):
        nn.fuse(model)
    assert list(model.children) == ["conv", "norm"]


def test_a_layer_that_shares_its_weights_with_a_fused_one_keeps_them():
    first, second = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
    second.params = first.params
    model = trained(nn.Sequential(first, nn.BatchNorm2d(2), second))
    x = RNG.standard_normal((2, 2, 3, 3))
    expected = model(x)
    assert len(nn.fuse(model)) == 1
    np.testing.assert_allclose(model(x), expected, rtol=1e-10, atol=1e-12)


def _standing_twice():
    conv, norm, act = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
    norm.buffers["running_var"][...] = 3.0
    norm.buffers["running_mean"][...] = 0.5
    block = nn.Sequential(conv, norm)
    total = nn.Sum(nn.Sequential(nn.Conv2d(4, 4, 1)), nn.Identity())
    return {
        "a convolution": nn.Sequential(conv, norm, act, nn.Conv2d(4, 4, 1), norm, conv),
        "a convolution with two norms": nn.Sequential(conv, norm, conv, nn.BatchNorm2d(4)),
        "a branch": nn.Sequential(s=nn.Sum(block, nn.Identity()), act=act, again=block),
        "a last layer": nn.Sequential(nn.Sum(nn.Sequential(norm, conv), nn.Identity()), act, conv),
        "a sum": nn.Sequential(a=total, act=act, b=total),
        "a block": nn.Sequential(a=block, act=act, b=block),
    }


@pytest.mark.parametrize("name", _standing_twice())
def test_what_stands_twice_computes_the_same(name):
    with nn.seeded(3):
        model = _standing_twice()[name].eval()
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 5)).astype(np.float32)
    before = model(x)
    nn.fuse(model)
    np.testing.assert_allclose(model(x), before, rtol=1e-4, atol=1e-5)
