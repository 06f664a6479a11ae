"""Networks by name: seeds, defaults, and errors before anything is computed."""

import math

import numpy as np
import pytest

from pycnn import data, nn
from pycnn.define.trace import tracing
from pycnn.models import MODELS, build, create


def test_every_model_takes_its_default_input_and_names_its_paper():
    with tracing():
        for name, entry in MODELS.items():
            assert create(name).output_shape(entry.input_shape)
            assert entry.paper[-4:].isdigit(), name


def test_the_seed_alone_decides_the_weights():
    nn.Linear(3, 3)  # draws from the generator of the process
    one, two, other = create("lenet5", seed=1), create("lenet5", seed=1), create("lenet5", seed=2)
    for name, array in one.state_dict().items():
        np.testing.assert_array_equal(array, two.state_dict()[name])
    assert (one.at("f6").params["weight"] != other.at("f6").params["weight"]).any()


def test_classes_channels_and_extent_are_chosen():
    model = create("resnet18", classes=7, input_shape=(5, 40, 56), width=0.125)
    assert model(np.zeros((2, 5, 40, 56), np.float32)).shape == (2, 7)
    with tracing():
        assert create("vgg11", input_size=(64, 96)).output_shape((3, 64, 96)) == (1000,)


REFUSED = [
    ("vgg17", {}, "name='vgg17': allowed are lenet5, .*vgg16, vgg19, .*unet"),
    ("vgg16", {"depht": 3}, "vgg16 has no argument 'depht': allowed are input_shape, classes, wid"),
    ("resnet18", {"classes": 0}, "resnet18: classes=0: allowed are ints from 1 on"),
    ("resnet18", {"classes": True}, "classes=True"),
    ("resnet18", {"width": 0}, "resnet18: width=0: allowed are numbers above 0"),
    ("resnet18", {"width": float("nan")}, "width=nan"),
    ("resnet18", {"input_shape": (28, 28)}, r"input_shape=\(28, 28\): allowed are 3 ints from 1"),
    ("resnet18", {"input_shape": (3, 0, 28)}, r"input_shape=\(3, 0, 28\)"),
    ("resnet18", {"input_shape": 28}, "input_shape=28: allowed are 3 ints"),
    ("resnet18", {"input_shape": (3, 8, 8), "input_size": 8}, "allowed: one of them"),
    ("resnet18", {"halve": "3x3"}, "halve='3x3': allowed are 1x1"),
    ("resnet50", {"halve": "2x2"}, "halve='2x2': allowed are 1x1, 3x3"),
    ("resnet18", {"shortcut": "padded"}, "shortcut='padded': allowed are projection, identity"),
    ("dcgan_generator", {"input_size": 8}, "its input is no image"),
    ("lenet5", {"hidden": (120,)}, r"lenet5: hidden=\(120,\): allowed are 2 ints"),
    ("lenet5", {"padding": 1.5}, "padding=1.5: allowed are an int"),
    ("googlenet", {"heads": 1}, "heads=1: allowed are true or false"),
    ("unet", {"dropout": "much"}, "dropout='much': allowed are a number"),
    ("resnet18", {"shortcut": 2}, "shortcut=2: allowed are a word"),
    ("dcgan_generator", {"image_shape": (3, 22, 22)}, "squares of 3 to 7 pixels doubled"),
    ("unet", {"levels": 0}, "levels=0: allowed are ints from 1 to 16"),
    ("unet", {"padding": "full"}, "padding='full': allowed are valid, same"),
    # 188 - 4 = 184, 92 - 4, 44 - 4, 20 - 4, 8 - 4 = 4: the least that leaves something above.
    ("unet", {"input_size": 172}, "unet: .*allowed are extents 16 n - 4, 188, 204, 220"),
    ("unet", {"input_size": 570}, "16 n - 4"),
    ("unet", {"input_size": 40, "padding": "same"}, "allowed are extents 16 n, 16, 32, 48"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), REFUSED)
def test_bad_arguments_are_refused_with_what_is_allowed(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        create(name, **arguments)


# Worked by hand, from the last layer back.
LEAST = [
    ("vgg16", 32),  # five halvings leave one pixel
    ("lenet5", 12),  # s4 1, c3 2, s2 6, c1 12, and the padding takes in what its filter needs
    ("lenet5_32", 16),  # the same without padding
    ("squeezenet", 17),  # pool5 2 <- 4 <- 8 <- 17: windows may end outside
    ("alexnet", 63),  # pool5 3, pool2 7, pool1 15, conv1 (15 - 1) 4 + 11 - 4
]


@pytest.mark.parametrize(("name", "least"), LEAST)
def test_too_small_an_input_names_the_model_the_layer_and_the_least_extent(name, least):
    with pytest.raises(ValueError, match=rf"^{name}: .*too small \(layer .*works is {least}$"):
        create(name, input_size=least - 1)
    with tracing():
        create(name, input_size=least)


def test_a_refused_network_draws_no_weight(monkeypatch):
    monkeypatch.setattr(build.nn, "seeded", lambda seed: pytest.fail("weights are drawn"))
    with pytest.raises(ValueError, match="too small"):
        create("vgg19", input_size=31)


@pytest.mark.parametrize(("size", "left"), [(188, 4), (204, 20), (572, 388)])
def test_extents_that_unet_names_work(size, left):
    # Down: 188, 184, 92, 88, 44, 40, 20, 16, 8, 4; up: 8, 4, 8, 4, 8, 4, 8, 4.
    with tracing():
        assert create("unet", input_size=size).output_shape((1, size, size)) == (2, left, left)


@pytest.mark.parametrize("name", ["lenet5", "lenet5_32", "lenet5_1998"])
def test_at_first_all_classes_are_as_probable(name):
    digits = data.load("mnist5k")
    images, labels = digits.images[digits.train[:256]], digits.labels[digits.train[:256]]
    side = (MODELS[name].input_shape[1] - 28) // 2
    x = digits.normalised(np.pad(images, ((0, 0), (0, 0), (side, side), (side, side))))
    losses = [float(nn.CrossEntropyLoss()(create(name, seed=s)(x), labels)) for s in range(3)]
    assert losses == pytest.approx([math.log(10)] * 3, abs=0.1)


#: Networks whose last layer is wide enough to matter; narrow ones, on noise.
CLASSIFIERS = ("alexnet", "zfnet", "vgg11", "googlenet", "resnet18", "densenet121", "mobilenet")


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_scores_begin_small(name):
    model = create(name, width=1 / 16, input_size=96)
    last = [p for p in model.parameters() if p.name.endswith("weight")][-1].value
    assert last.std() == pytest.approx(0.01, rel=0.1)


def test_lenet_pads_with_background():
    """Of a picture of one grey, the first convolution sees that grey everywhere."""
    y = create("lenet5").at("c1")(np.full((1, 1, 28, 28), -0.426, np.float32))
    np.testing.assert_allclose(y, np.broadcast_to(y[:, :, 14:15, 14:15], y.shape), atol=1e-6)


def test_squeezenet_has_no_negative_score():
    model = create("squeezenet", width=0.1, classes=50, input_size=40).eval()
    x = np.random.default_rng(0).standard_normal((4, 3, 40, 40)).astype(np.float32)
    assert model(x).min() >= 0
