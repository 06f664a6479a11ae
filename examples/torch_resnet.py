"""A ResNet-18 of PyTorch's, its layers swapped for pycnn's, trained for a step on both.

    python examples/torch_resnet.py

The network is written as torchvision writes it, with the same names. What pycnn needs of it is the
function `swapped_step`. Exit status 0: every gradient is PyTorch's, within the tolerance.
"""

import argparse
import sys

try:
    import torch
    from torch import nn
except ImportError:
    print("this example needs PyTorch; install it with: pip install -e '.[torch]'", file=sys.stderr)
    sys.exit(2)

import pycnn.torch

#: Largest difference of a gradient, in float64, relative to its largest element.
TOLERANCE = 1e-9


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a short branch."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inputs != planes:
            short = nn.Conv2d(inputs, planes, 1, stride, bias=False)
            self.downsample = nn.Sequential(short, nn.BatchNorm2d(planes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """Four stages of two blocks."""

    def __init__(self, classes: int = 1000, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = width
        for number, stride in enumerate((1, 2, 2, 2)):
            planes = width * 2**number
            blocks = BasicBlock(inputs, planes, stride), BasicBlock(planes, planes, 1)
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
            inputs = planes
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for number in range(1, 5):
            x = getattr(self, f"layer{number}")(x)
        return self.fc(self.avgpool(x).flatten(1))


def step(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
    """Gradients of all parameters, after a step of training."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    nn.functional.cross_entropy(model(images), labels).backward()
    optimiser.step()
    return [parameter.grad for parameter in model.parameters()]


def swapped_step(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> list[torch.Tensor]:
    """The same with pycnn's layers."""
    pycnn.torch.replace(model)
    gradients = step(model, images, labels)
    pycnn.torch.restore(model)
    return gradients


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="pixels on a side (default: 64)")
    parser.add_argument("--batch", type=int, default=2, help="images (default: 2)")
    parser.add_argument("--width", type=int, default=64, help="filters of the first layer")
    chosen = parser.parse_args()
    models = [ResNet18(width=chosen.width).double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    torch.manual_seed(0)
    images = torch.randn(chosen.batch, 3, chosen.size, chosen.size, dtype=torch.float64)
    labels = torch.randint(1000, (chosen.batch,))
    theirs, ours = step(models[0], images, labels), swapped_step(models[1], images, labels)
    worst = max(
        ((a - b).abs().max() / b.abs().max()).item() for a, b in zip(ours, theirs, strict=True)
    )
    print(f"{len(ours)} gradients; largest difference {worst:.1e}, allowed {TOLERANCE:.0e}")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
