"""Whole models against the same ones written in PyTorch: results, gradients, running statistics."""

import numpy as np
import pytest

from pycnn.models import create

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install -e '.[torch]'")
F = torch.nn.functional


class TorchResidual(torch.nn.Module):
    """Two 3x3 convolutions beside the input, subsampled and padded with channels of zeros."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = torch.nn.BatchNorm2d(outputs)
        self.conv2 = torch.nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = torch.nn.BatchNorm2d(outputs)
        self.stride, self.more = stride, outputs - inputs

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        short = x[:, :, :: self.stride, :: self.stride]
        return F.relu(y + F.pad(short, (0, 0, 0, 0, 0, self.more)))


def torch_resnet20(first, classes):
    layers = [torch.nn.Conv2d(3, first, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(first)]
    layers.append(torch.nn.ReLU())
    inputs = first
    for stage in range(3):
        for block in range(3):
            outputs = first * 2**stage
            layers.append(TorchResidual(inputs, outputs, 2 if stage and not block else 1))
            inputs = outputs
    layers += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(inputs, classes)).double()


class TorchUNet(torch.nn.Module):
    """Two levels, without padding: shortcuts are cropped and stand before what comes from below."""

    def __init__(self, first, classes):
        super().__init__()
        a, b, c = first, 2 * first, 4 * first
        conv, up = torch.nn.Conv2d, torch.nn.ConvTranspose2d
        # In the order in which data passes them, which is also that of pycnn's parameters.
        self.down = torch.nn.ModuleList([conv(1, a, 3), conv(a, a, 3), conv(a, b, 3)])
        self.down += [conv(b, b, 3), conv(b, c, 3), conv(c, c, 3)]
        self.up2 = up(c, b, 2, 2)
        self.join2 = torch.nn.ModuleList([conv(c, b, 3), conv(b, b, 3)])
        self.up1 = up(b, a, 2, 2)
        self.join1 = torch.nn.ModuleList([conv(b, a, 3), conv(a, a, 3)])
        self.scores = conv(a, classes, 1)

    def forward(self, x):
        one = self.pair(self.down[0:2], x)
        two = self.pair(self.down[2:4], F.max_pool2d(one, 2))
        low = self.pair(self.down[4:6], F.max_pool2d(two, 2))
        two = self.pair(self.join2, self.joined(two, self.up2(low)))
        return self.scores(self.pair(self.join1, self.joined(one, self.up1(two))))

    @staticmethod
    def pair(convolutions, x):
        for convolution in convolutions:
            x = F.relu(convolution(x))
        return x

    @staticmethod
    def joined(across, below):
        off = (across.shape[2] - below.shape[2]) // 2
        return torch.cat([across[:, :, off:-off, off:-off], below], 1)


def arrays(module):
    """Parameters and running statistics in order of definition."""
    return [t for name, t in module.state_dict().items() if not name.endswith("batches_tracked")]


CASES = {
    "cifar_resnet20": ({"width": 0.5}, lambda: torch_resnet20(8, 10), (4, 3, 16, 16)),
    "unet": (
        {"width": 1 / 16, "levels": 2, "dropout": 0.0},
        lambda: TorchUNet(4, 2).double(),
        (2, 1, 60, 60),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_results_gradients_and_statistics_are_those_of_torch(name):
    arguments, build, shape = CASES[name]
    ours = create(name, input_size=shape[2:], **arguments).to("float64")
    theirs = build()
    names = list(ours.state_dict())
    ours.load_state_dict(dict(zip(names, (t.numpy() for t in arrays(theirs)), strict=True)))

    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    leaf = torch.tensor(x, requires_grad=True)
    y = theirs(leaf)
    dy = rng.standard_normal(y.shape)
    y.backward(torch.tensor(dy))

    np.testing.assert_allclose(ours.forward(x), y.detach(), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(ours.backward(dy), leaf.grad, rtol=1e-8, atol=1e-9)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(mine.grad, other.grad, rtol=1e-8, atol=1e-8, err_msg=mine.name)
    for mine, other in zip(ours.state_dict().values(), arrays(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-10)
