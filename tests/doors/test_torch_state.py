"""State dicts of PyTorch models in networks of pycnn: the same scores come out."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from pycnn import models, nn as ours

EXAMPLE = Path(__file__).parents[2] / "examples" / "torch_resnet.py"


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")


def alexnet(nn, width):
    c1, c2, c3, c4, dense = (int(n * width) for n in (64, 192, 384, 256, 4096))
    features = nn.Sequential(
        nn.Conv2d(3, c1, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(c1, c2, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(c2, c3, 3, padding=1), nn.ReLU(), nn.Conv2d(c3, c4, 3, padding=1), nn.ReLU(),
        nn.Conv2d(c4, c4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    classifier = nn.Sequential(
        nn.Dropout(), nn.Linear(c4 * 36, dense), nn.ReLU(), nn.Dropout(), nn.Linear(dense, dense),
        nn.ReLU(), nn.Linear(dense, 10),
    )  # fmt: skip
    return named(nn, features, nn.AdaptiveAvgPool2d(6), nn.Flatten(), classifier)


def vgg11(nn, width):
    steps, inputs = [], 3
    for filters in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
        if filters == "M":
            steps.append(nn.MaxPool2d(2))
            continue
        outputs = int(filters * width)
        steps += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        inputs = outputs
    dense = int(4096 * width)
    classifier = nn.Sequential(
        nn.Linear(inputs * 49, dense), nn.ReLU(), nn.Dropout(), nn.Linear(dense, dense), nn.ReLU(),
        nn.Dropout(), nn.Linear(dense, 10),
    )  # fmt: skip
    return named(nn, nn.Sequential(*steps), nn.AdaptiveAvgPool2d(7), nn.Flatten(), classifier)


def squeezenet(nn, width):
    import torch

    class Fire(nn.Module):
        def __init__(self, inputs, squeezed, expanded):
            super().__init__()
            self.squeeze = nn.Conv2d(inputs, squeezed, 1)
            self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
            self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

        def forward(self, x):
            x = self.squeeze(x).relu()
            return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)

    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    features = nn.Sequential(
        nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(),
        Fire(64, 16, 64), Fire(128, 16, 64), pool(),
        Fire(128, 32, 128), Fire(256, 32, 128), pool(),
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
    )  # fmt: skip
    classifier = nn.Sequential(
        nn.Dropout(), nn.Conv2d(512, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    return named(nn, features, nn.Identity(), nn.Identity(), classifier)


def named(nn, features, pool, flatten, classifier):
    model = nn.Sequential()
    model.add_module("features", features)
    model.add_module("pool", pool)
    model.add_module("flatten", flatten)
    model.add_module("classifier", classifier)
    return model


def resnet18(nn, width):
    return runpy.run_path(str(EXAMPLE))["ResNet18"](classes=10, width=int(64 * width))


def resnet50(nn, width):
    """Bottlenecks that halve in the 3x3 convolution, with torchvision's names."""

    class Bottleneck(nn.Module):
        def __init__(self, inputs, filters, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, filters, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(filters)
            self.conv2 = nn.Conv2d(filters, filters, 3, stride, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(filters)
            self.conv3 = nn.Conv2d(filters, 4 * filters, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(4 * filters)
            self.downsample = nn.Identity()
            if stride > 1 or inputs != 4 * filters:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, 4 * filters, 1, stride, bias=False),
                    nn.BatchNorm2d(4 * filters),
                )

        def forward(self, x):
            y = self.bn1(self.conv1(x)).relu()
            y = self.bn3(self.conv3(self.bn2(self.conv2(y)).relu()))
            return (y + self.downsample(x)).relu()

    first = int(64 * width)
    model = nn.Sequential()
    model.add_module("conv1", nn.Conv2d(3, first, 7, 2, 3, bias=False))
    model.add_module("bn1", nn.BatchNorm2d(first))
    model.add_module("relu", nn.ReLU())
    model.add_module("maxpool", nn.MaxPool2d(3, 2, 1))
    inputs = first
    for number, count in enumerate((3, 4, 6, 3)):
        blocks = []
        for i in range(count):
            stride = 2 if number and not i else 1
            blocks.append(Bottleneck(inputs, first * 2**number, stride))
            inputs = 4 * first * 2**number
        model.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
    model.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flatten", nn.Flatten())
    model.add_module("fc", nn.Linear(inputs, 10))
    return model


MODELS = [
    ("alexnet", alexnet, 0.125, 224),
    ("vgg11", vgg11, 0.0625, 224),
    ("squeezenet", squeezenet, 1.0, 224),
    ("resnet18", resnet18, 0.125, 64),
    ("resnet50", resnet50, 0.125, 64),
]


@pytest.mark.parametrize(("name", "make", "width", "size"), MODELS, ids=[m[0] for m in MODELS])
def test_a_network_scores_as_pytorchs(torch, name, make, width, size):
    torch.manual_seed(1)
    theirs = make(torch.nn, width)
    x = torch.randn(2, 3, size, size)
    theirs(x)  # gives running statistics values
    theirs.eval()
    others = {"halve": "3x3"} if name == "resnet50" else {}
    model = models.create(name, classes=10, width=width, input_shape=(3, size, size), **others)
    assert models.load_torch_state(model, theirs.state_dict()) is model
    with torch.no_grad():
        wanted = theirs(x).numpy()
    np.testing.assert_allclose(model.eval()(x.numpy()), wanted, rtol=1e-3, atol=1e-4)


def test_layers_of_the_same_names(torch):
    theirs = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    x = torch.randn(2, 3, 5, 5)
    theirs(x)
    model = ours.Sequential(ours.Conv2d(3, 4, 3), ours.BatchNorm2d(4))
    models.load_torch_state(model, theirs.state_dict())
    with torch.no_grad():
        wanted = theirs.eval()(x).numpy()
    np.testing.assert_allclose(model.eval()(x.numpy()), wanted, rtol=1e-4, atol=1e-5)


def state_of(*shapes):
    return {name: np.ones(shape, np.float32) for name, shape in shapes}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (state_of(("layer1.0.conv4.weight", (1,))), "layout of no model known"),
        (state_of(("layer1.0.conv3.weight", (1,))), 'allowed: a model of .*halve="3x3"'),
        (state_of(("features.0.weight", (1,))), "state has 1 layers with weights; allowed: 11"),
        (
            state_of(*((f"features.{i}.weight", (1,)) for i in range(11))),
            r"state has features.0 of .*; allowed: .*, as features.stage1.0.conv has",
        ),
    ],
)
def test_another_layout_is_refused_and_nothing_changed(state, words):
    model = models.create("vgg11", classes=10, width=0.0625, input_shape=(3, 32, 32))
    before = {name: array.copy() for name, array in model.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        models.load_torch_state(model, state)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
