"""The networks of `benchmarks/train_speed.py`, written for PyTorch as its users would."""

from typing import Any

from pycnn.runtime.extras import import_extra

torch = import_extra("torch", "torch", "the comparison")
nn = torch.nn
relu = nn.functional.relu


def lenet5() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2, padding_mode="replicate"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def conv_norm(inputs: int, outputs: int, size: int, stride: int = 1, **settings: Any) -> list[Any]:
    return [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False, **settings),
        nn.BatchNorm2d(outputs),
    ]


class Residual(nn.Module):  # type: ignore[misc, name-defined]
    """Two 3x3 convolutions beside the input, which is padded with channels of zeros."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        first, second = conv_norm(inputs, outputs, 3, stride), conv_norm(outputs, outputs, 3)
        self.body = nn.Sequential(*first, nn.ReLU(), *second)
        self.stride, self.more = stride, outputs - inputs

    def forward(self, x: Any) -> Any:
        short = x[:, :, :: self.stride, :: self.stride]
        return relu(self.body(x) + nn.functional.pad(short, (0, 0, 0, 0, 0, self.more)))


def cifar_resnet20() -> Any:
    layers, inputs = [*conv_norm(3, 16, 3), nn.ReLU()], 16
    for stage, outputs in enumerate((16, 32, 64)):
        for block in range(3):
            layers.append(Residual(inputs, outputs, 2 if stage and not block else 1))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def mobilenet() -> Any:
    layers, inputs = [*conv_norm(3, 32, 3, 2), nn.ReLU()], 32
    steps = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
    for outputs, stride in (*steps, (1024, 2), (1024, 1)):
        layers += [*conv_norm(inputs, inputs, 3, stride, groups=inputs), nn.ReLU()]
        layers += [*conv_norm(inputs, outputs, 1), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 1000))


class Dense(nn.Module):  # type: ignore[misc, name-defined]
    """32 channels more, through a bottleneck of 128."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, 128, 1, bias=False),
            nn.BatchNorm2d(128), nn.ReLU(), nn.Conv2d(128, 32, 3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return torch.cat([x, self.body(x)], 1)


def densenet121() -> Any:
    layers, channels = [*conv_norm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for stage, blocks in enumerate((6, 12, 24, 16)):
        if stage:
            half = nn.Conv2d(channels, channels // 2, 1, bias=False)
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), half, nn.AvgPool2d(2)]
            channels //= 2
        layers += [Dense(channels + 32 * block) for block in range(blocks)]
        channels += 32 * blocks
    layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(channels, 1000))
