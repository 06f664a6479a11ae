"""Every layer: its gradients against finite differences, its shapes, and that none is missing."""

import inspect

import numpy as np
import pytest

import pycnn
from pycnn import nn
from pycnn.define.trace import placeholder, tracing
from pycnn.nn.function import Function
from pycnn.nn.layer import Layer

POOL = nn.MaxPool2d(2)

#: Layer (made in float64), shape of an input with its batch.
LAYERS = {
    "Linear": (lambda: nn.Linear(7, 5), (3, 7)),
    "Conv1d": (lambda: nn.Conv1d(3, 4, 3, stride=2, padding=1), (2, 3, 9)),
    "Conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2), (2, 4, 7, 5)),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 2, bias=False), (2, 2, 3, 4, 5)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(3, 2, 3, stride=2), (2, 3, 4)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), (2, 4, 3, 5)),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(2, 2, 2), (1, 2, 2, 3, 2)),
    "MaxPool1d": (lambda: nn.MaxPool1d(3, 2, 1), (2, 3, 8)),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, 2, ceil_mode=True), (2, 3, 8, 7)),
    "MaxPool3d": (lambda: nn.MaxPool3d(2), (1, 2, 4, 5, 6)),
    "AvgPool1d": (lambda: nn.AvgPool1d(3, 2, 1, count_include_pad=False), (2, 3, 8)),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), (2, 3, 6, 5)),
    "AvgPool3d": (lambda: nn.AvgPool3d(2), (1, 2, 4, 4, 5)),
    "SumPool1d": (lambda: nn.SumPool1d(2), (2, 3, 7)),
    "SumPool2d": (lambda: nn.SumPool2d(3, 1, 1), (2, 3, 4, 5)),
    "SumPool3d": (lambda: nn.SumPool3d(2), (1, 2, 4, 4, 5)),
    "LPPool1d": (lambda: nn.LPPool1d(2, 3), (2, 3, 7)),
    "LPPool2d": (lambda: nn.LPPool2d(2, 2), (2, 3, 4, 6)),
    "LPPool3d": (lambda: nn.LPPool3d(2, 2), (1, 2, 4, 4, 2)),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(3), (2, 3, 7)),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((2, 3)), (2, 3, 5, 7)),
    "AdaptiveAvgPool3d": (lambda: nn.AdaptiveAvgPool3d(2), (1, 2, 3, 4, 5)),
    "AdaptiveMaxPool1d": (lambda: nn.AdaptiveMaxPool1d(3), (2, 3, 7)),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d((2, 3)), (2, 3, 5, 7)),
    "AdaptiveMaxPool3d": (lambda: nn.AdaptiveMaxPool3d(2), (1, 2, 3, 4, 5)),
    "GlobalAvgPool": (lambda: nn.GlobalAvgPool(), (2, 3, 5, 7)),
    "GlobalMaxPool": (lambda: nn.GlobalMaxPool(), (2, 3, 5, 7)),
    **{
        name: (getattr(nn, name), (2, 3, 5))
        for name in (
            "ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "CELU", "Sigmoid", "Hardsigmoid", "Tanh",
            "Softplus", "Softsign", "GELU", "SiLU", "Hardswish", "Mish", "Softmax", "LogSoftmax",
            "Identity", "Flatten",
        )
    },
    "Clip": (lambda: nn.Clip(-0.5, 0.7), (2, 3, 5)),
    "PReLU": (lambda: nn.PReLU(3), (2, 3, 5)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), (6, 4)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3), (2, 3, 4, 5)),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(2, affine=False), (2, 2, 2, 3, 2)),
    "LayerNorm": (lambda: nn.LayerNorm((3, 5)), (2, 3, 5)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 6), (2, 6, 3, 2)),
    "InstanceNorm": (lambda: nn.InstanceNorm(3, affine=True), (2, 3, 4, 5)),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3, alpha=0.5), (2, 5, 3, 2)),
    "Dropout": (lambda: nn.Dropout(0.4, seed=3), (2, 3, 5)),
    "Dropout2d": (lambda: nn.Dropout2d(0.4, seed=3), (2, 6, 3, 2)),
    "Reshape": (lambda: nn.Reshape(5, 3), (2, 3, 5)),
    "Pad": (lambda: nn.Pad((1, 2, 0, 1), mode="reflect"), (2, 3, 4, 5)),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 4, 5)),
    "Permute": (lambda: nn.Permute(0, 2, 3, 1), (2, 3, 4, 5)),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(3), (2, 6, 4, 5)),
    "Unfold": (lambda: nn.Unfold(3, stride=2), (2, 3, 7, 5)),
    "Fold": (lambda: nn.Fold((7, 5), 3, stride=2), (2, 27, 6)),
    "Mean": (lambda: nn.Mean((2, 3)), (2, 3, 4, 5)),
    "Total": (lambda: nn.Total(1, keepdims=True), (2, 3, 4, 5)),
    "Max": (lambda: nn.Max(1), (2, 3, 4)),
    "Min": (lambda: nn.Min((1, 2)), (2, 3, 4)),
    "Sequential": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), (5, 4)),
    "Sum": (lambda: nn.Sum(nn.Linear(4, 4), nn.Identity(), nn.Tanh(), scale=0.3), (5, 4)),
    "Product": (lambda: nn.Product(nn.Linear(4, 4), nn.Sigmoid()), (5, 4)),
    "Concat": (lambda: nn.Concat(nn.Linear(4, 3), nn.Identity(), nn.Tanh()), (5, 4)),
    "Tap": (lambda: nn.Tap(nn.Linear(4, 2)), (5, 4)),
}  # fmt: skip

#: What cannot stand alone, and where it is tested.
ELSEWHERE = {"MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "Layer"}

#: Operations that are no layers, in one line each.
NO_LAYER = {
    "conv2d_integer": "int8 has no gradients: inference through pycnn.ops",
    "qlinear_conv2d": "int8 has no gradients: inference through pycnn.ops",
    "conv2d_algorithms": "describes algorithms",
    "fold_batch_norm": "nn.fuse calls it what it is: folding into weights",
    "gemm": "the matrix product behind Linear",
    "matmul": "has two inputs and no parameters",
    "argmax": "has no gradient",
    "topk": "returns two arrays",
    "split": "returns several arrays",
    "concat": "Concat",
    "add": "Sum",
    "add_n": "Sum",
    "mul": "Product",
}


def make(name):
    build, shape = LAYERS[name]
    with nn.seeded(5):
        layer = build().to("float64")
    rng = np.random.default_rng(11)
    for parameter in layer.parameters():  # none at a special value, such as a bias of zero
        parameter.value[...] += 0.1 * rng.standard_normal(parameter.value.shape)
    return layer, rng.standard_normal(shape), rng


def slope(function, array, direction, step=1e-6):
    """Directional derivative of a number by central differences; `array` is changed in place."""
    start = array.copy()
    array[...] = start + step * direction
    above = function()
    array[...] = start - step * direction
    below = function()
    array[...] = start
    return (above - below) / (2 * step)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_slopes(name, training):
    layer, x, rng = make(name)
    layer.train(training)
    layer.reseed(1, 0)
    dy = rng.standard_normal(layer(x).shape)

    def objective():
        layer.reseed(1, 0)
        return float((layer(x) * dy).sum())

    layer.reseed(1, 0)
    layer.forward(x)
    dx = layer.backward(dy)
    assert dx.shape == x.shape
    for array, gradient in [(x, dx), *((p.value, p.grad) for p in own_parameters(layer))]:
        direction = rng.standard_normal(array.shape)
        expected = slope(objective, array, direction)
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-7)


def own_parameters(layer):
    """Those of a tap's head see no gradient unless it is given one."""
    return [] if isinstance(layer, nn.Tap) else layer.parameters()


@pytest.mark.parametrize("name", LAYERS)
def test_shapes_without_computing(name):
    layer, x, _ = make(name)
    expected = layer.eval()(x).shape
    with tracing():
        traced = layer(placeholder(x.shape, "float64"))
    assert traced.shape == expected
    assert not traced.flags.writeable
    if name not in ("BatchNorm1d",):
        assert layer.output_shape(x.shape[1:], "float64") == expected[1:]


@pytest.mark.parametrize("name", LAYERS)
def test_call_keeps_nothing_and_gives_what_forward_gives(name):
    layer, x, _ = make(name)
    layer.reseed(1, 0)
    kept = layer.forward(x)
    layer.backward(np.ones_like(kept))
    layer.reseed(1, 0)
    np.testing.assert_array_equal(layer(x), kept)
    with pytest.raises(nn.LayerError, match="backward without a forward"):
        layer.backward(np.ones_like(kept))


@pytest.mark.parametrize("name", LAYERS)
def test_repr_names_the_layer(name):
    assert repr(make(name)[0]).startswith(f"{name}(")


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_max_unpool(axes):
    """Values go back where the maxima were, and the gradient comes from there."""
    pool = getattr(nn, f"MaxPool{axes}d")(2)
    unpool = getattr(nn, f"MaxUnpool{axes}d")(pool)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 3, *(4, 7, 5)[:axes]))
    with pytest.raises(nn.LayerError, match="kept no indices"):
        unpool(x)
    y = pool.forward(x)
    back = unpool.forward(y)
    assert back.shape == x.shape
    assert np.count_nonzero(back) == y.size
    np.testing.assert_array_equal(back[back != 0], x[back != 0])
    dy = rng.standard_normal(x.shape)
    np.testing.assert_array_equal(np.sort(unpool.backward(dy), None), np.sort(dy[back != 0], None))


def test_every_layer_is_tested_here():
    classes = {
        n for n in nn.__all__ if inspect.isclass(v := getattr(nn, n)) and issubclass(v, Layer)
    }
    assert classes == set(LAYERS) | ELSEWHERE


def test_every_operation_has_a_layer_or_a_reason():
    """By what the layers run, in training and in evaluation."""
    run = {f"max_unpool{axes}d" for axes in (1, 2, 3)}  # test_max_unpool
    for name in LAYERS:
        layer, x, _ = make(name)
        for training in (True, False):
            with tracing() as log:
                layer.train(training)(placeholder(x.shape, x.dtype))
            run |= {traced.operation.name for traced in log}
    run.add("batch_norm_train")  # placeholders have no statistics
    run |= {
        loss.operation.__name__
        for loss in vars(nn.loss).values()
        if isinstance(loss, type) and hasattr(loss, "operation")
    }
    operations = {name for name in pycnn.ops.__all__ if not name.endswith("_backward")}
    assert operations - run == NO_LAYER.keys() - run


@pytest.mark.parametrize("name", [n for n in LAYERS if hasattr(getattr(nn, n), "operation")])
def test_arguments_are_the_settings_of_the_operation(name):
    """Same names, same order, same defaults: there is no second list of them."""
    layer = getattr(nn, name)
    if not issubclass(layer, Function):
        pytest.skip(f"{name} has parameters or a state of its own")
    own = list(inspect.signature(layer.operation).parameters.values())
    arrays = {o.name for o in layer.operation.definition.operands}
    left_out = {*arrays, *layer.without, "out", "dim", "keepdim"}
    want = [(p.name, p.default, p.kind) for p in own if p.name not in left_out]
    got = [(p.name, p.default, p.kind) for p in inspect.signature(layer).parameters.values()]
    assert got == want


def test_a_wrong_argument_is_an_error_that_shows_the_signature():
    with pytest.raises(TypeError, match=r"MaxPool2d\(kernel_size: .*: got an unexpected .* 'size'"):
        nn.MaxPool2d(2, size=3)
    with pytest.raises(TypeError, match="missing a required argument: 'kernel_size'"):
        nn.MaxPool2d()
    assert repr(nn.MaxPool2d(3, padding=1)) == "MaxPool2d(3, padding=1)"
    assert repr(nn.LeakyReLU(0.2)) == "LeakyReLU(negative_slope=0.2)"


def test_a_parameter_of_the_wrong_kind_is_refused():
    with pytest.raises(ValueError, match="in_channels=5 is no multiple of groups=2"):
        nn.Conv2d(5, 4, 3, groups=2)
    with pytest.raises(ValueError, match="out_features=0: allowed are 1 and more"):
        nn.Linear(3, 0)
    with pytest.raises(TypeError, match="num_features is of type float; allowed: int"):
        nn.BatchNorm2d(3.0)
    with pytest.raises(ValueError, match=r"kernel_size=\(3, 3, 3\): allowed are an int or 2 ints"):
        nn.Conv2d(3, 4, (3, 3, 3))
    with pytest.raises(ValueError, match="num_channels=7 is no multiple of 2 groups"):
        nn.GroupNorm(2, 7)
    with pytest.raises(ValueError, match=r"p=1.5: allowed are 0 to 1"):
        nn.Dropout(1.5)
    with pytest.raises(ValueError, match=r"init='best': allowed are he_normal, .*or a function"):
        nn.Linear(2, 2, init="best")
    with pytest.raises(TypeError, match="pool is of type ReLU; allowed: a MaxPool layer"):
        nn.MaxUnpool2d(nn.ReLU())
