"""Every layer: its gradients against finite differences, its shapes, and that none is missing."""

import inspect

import numpy as np
import pytest
from layer_cases import LAYERS, make

from pycnn import nn
from pycnn.define.trace import placeholder, tracing
from pycnn.nn.function import Function
from pycnn.nn.layer import Layer

#: What cannot stand alone, and where it is tested.
ELSEWHERE = {"MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "Layer"}


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
    classes = {n for n, v in vars(nn).items() if inspect.isclass(v) and issubclass(v, Layer)}
    assert classes == set(LAYERS) | ELSEWHERE


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


def test_layers_take_the_names_of_pytorch():
    assert repr(nn.Softmax(dim=1)) == repr(nn.Softmax(axis=1)) == repr(nn.Softmax(1))
    assert repr(nn.Mean(dim=(1, 2), keepdim=True)) == repr(nn.Mean(axis=(1, 2), keepdims=True))
    for args, kwargs in (((1,), {"dim": 1}), ((), {"axis": 1, "dim": 1}), ((), {"dims": 1})):
        with pytest.raises(TypeError, match=r"Softmax\(.*\): (multiple|got an unexpected)"):
            nn.Softmax(*args, **kwargs)


def test_extents_may_be_integers_of_numpy():
    three = np.int64(3)
    assert repr(nn.Conv2d(three, 4, three)) == repr(nn.Conv2d(3, 4, 3))
    assert repr(nn.Linear(three, 2)) == repr(nn.Linear(3, 2))
    assert repr(nn.BatchNorm2d(three)) == repr(nn.BatchNorm2d(3))
    assert nn.LayerNorm(three).normalized_shape == nn.LayerNorm((three,)).normalized_shape == (3,)


def test_a_parameter_of_the_wrong_kind_is_refused():
    with pytest.raises(ValueError, match="in_channels=5 is no multiple of groups=2"):
        nn.Conv2d(5, 4, 3, groups=2)
    with pytest.raises(ValueError, match="out_features=0; allowed: int >= 1"):
        nn.Linear(3, 0)
    with pytest.raises(TypeError, match=r"num_features=3\.0 is of type float; allowed: int >= 1"):
        nn.BatchNorm2d(3.0)
    with pytest.raises(ValueError, match=r"kernel_size=\(3, 3, 3\); allowed: an int or \("):
        nn.Conv2d(3, 4, (3, 3, 3))
    with pytest.raises(ValueError, match="num_channels=7 is no multiple of 2 groups"):
        nn.GroupNorm(2, 7)
    with pytest.raises(ValueError, match=r"p=1.5: allowed are 0 to 1"):
        nn.Dropout(1.5)
    with pytest.raises(ValueError, match=r"init='best': allowed are he_normal, .*or a function"):
        nn.Linear(2, 2, init="best")
    with pytest.raises(TypeError, match="pool is of type ReLU; allowed: a MaxPool layer"):
        nn.MaxUnpool2d(nn.ReLU())


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.BatchNorm2d(3, 1e-3, 0.2, False, layout="NHWC", dtype="float64"),
         "BatchNorm2d(3, eps=0.001, momentum=0.2, affine=False, layout='NHWC', dtype='float64')"),
        (nn.LayerNorm([3, 4], 1e-3, False), "LayerNorm((3, 4), eps=0.001, affine=False)"),
        (nn.GroupNorm(2, 4, 1e-3, layout="NHWC"), "GroupNorm(2, 4, eps=0.001, layout='NHWC')"),
        (nn.InstanceNorm(4, affine=True), "InstanceNorm(4, affine=True)"),
        (nn.InstanceNorm(4, momentum=0.2, track_running_stats=True),
         "InstanceNorm(4, momentum=0.2, track_running_stats=True)"),
        (nn.LocalResponseNorm(5, 1e-3, 0.5, 2.0, layout="NHWC"),
         "LocalResponseNorm(5, alpha=0.001, beta=0.5, k=2.0, layout='NHWC')"),
        (nn.Concat(nn.Identity(), axis=-1), "Concat(0=Identity(), axis=-1)"),
        (nn.Conv2d(3, 4, (3, 5), [1, 2], "same", 2, 1, False, "reflect", layout="NHWC",
                   dtype="float64"),
         "Conv2d(3, 4, (3, 5), stride=(1, 2), padding='same', dilation=2, bias=False, "
         "padding_mode='reflect', layout='NHWC', dtype='float64')"),
        (nn.ConvTranspose1d(2, 2, 3, 2, 1, 1, 2, dilation=1),
         "ConvTranspose1d(2, 2, 3, stride=2, padding=1, output_padding=1, groups=2)"),
        (nn.Linear(2, 3, dtype="float16"), "Linear(2, 3, dtype='float16')"),
        (nn.PReLU(3, dtype="float64"), "PReLU(num_parameters=3, dtype='float64')"),
        (nn.MaxUnpool2d(nn.MaxPool2d(3, stride=2)), "MaxUnpool2d(MaxPool2d(3, stride=2))"),
    ],
)  # fmt: skip
def test_repr_shows_every_setting_that_is_no_default(layer, text):
    assert repr(layer) == text


def test_repr_shows_the_algorithm():
    layer = nn.Conv2d(1, 1, 3)
    layer.algo = "winograd"
    assert repr(layer) == "Conv2d(1, 1, 3, algo='winograd')"


def test_a_list_that_was_a_setting_may_change_afterwards():
    numbers = [1, 1]
    pairs = [[1, 1], [1, 1]]
    layers = [nn.Conv2d(1, 1, 3, padding=numbers), nn.Conv2d(1, 1, 3, padding=pairs),
              nn.MaxPool2d(3, padding=numbers), nn.Pad(numbers), nn.Mean(axis=numbers),
              nn.AdaptiveAvgPool2d(numbers), nn.LayerNorm(numbers)]  # fmt: skip
    before = [repr(layer) for layer in layers]
    shape = layers[0].output_shape((1, 5, 5))
    numbers[0] = pairs[0][0] = 2
    numbers.append(7)
    assert [repr(layer) for layer in layers] == before
    assert layers[0].output_shape((1, 5, 5)) == layers[1].output_shape((1, 5, 5)) == shape
