"""Picture and table of docs/models.md: published accuracy, against what a network takes."""

from math import log10
from typing import NamedTuple

from docs.pictures.svg import INK, LINES, MARK, NEGATIVE, POSITIVE, QUIET, Picture, number
from pycnn import nn
from pycnn.define.trace import tracing
from pycnn.models import MODELS, create, multiply_adds

TORCHVISION = "torchvision, one crop"
CROPS = "ten crops"


class _Published(NamedTuple):
    top1: float  # percent
    source: str


#: Of ImageNet's validation images.
IMAGENET = {
    "alexnet": _Published(56.55, TORCHVISION),
    "alexnet_two_towers": _Published(59.3, f"the paper, table 2, {CROPS}"),
    "zfnet": _Published(61.6, f"the paper, table 2, {CROPS}"),
    "vgg11": _Published(69.02, TORCHVISION),
    "vgg13": _Published(69.93, TORCHVISION),
    "vgg16": _Published(71.59, TORCHVISION),
    "vgg19": _Published(72.38, TORCHVISION),
    "googlenet": _Published(68.7, "Caffe's model zoo, one crop"),
    "inception_v4": _Published(80.0, "the paper, table 2, one crop"),
    "inception_resnet_v2": _Published(80.1, "the paper, table 2, one crop"),
    "resnet18": _Published(69.76, TORCHVISION),
    "resnet34": _Published(73.30, TORCHVISION),
    "resnet50": _Published(76.15, TORCHVISION),
    "resnet101": _Published(77.37, TORCHVISION),
    "resnet152": _Published(78.31, TORCHVISION),
    "densenet121": _Published(74.65, TORCHVISION),
    "densenet169": _Published(76.00, TORCHVISION),
    "densenet201": _Published(77.20, TORCHVISION),
    "squeezenet": _Published(58.19, TORCHVISION),
    "mobilenet": _Published(70.6, "the paper, table 4, one crop"),
}
OTHERS = {
    "lenet5_1998": ("MNIST", _Published(99.05, "the paper, section III")),
    "cifar_resnet20": ("CIFAR-10", _Published(91.25, "the paper, table 6")),
    "cifar_resnet56": ("CIFAR-10", _Published(93.03, "the paper, table 6")),
    "cifar_resnet110": ("CIFAR-10", _Published(93.57, "the paper, table 6")),
    "cifar_resnet1202": ("CIFAR-10", _Published(92.07, "the paper, table 6")),
}
#: Joined by a line; the label stands at the last one.
FAMILIES = {
    "VGG 11 to 19": (QUIET, ("vgg11", "vgg13", "vgg16", "vgg19")),
    "ResNet 18 to 152": (NEGATIVE, ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")),
    "DenseNet 121 to 201": (MARK, ("densenet121", "densenet169", "densenet201")),
    "AlexNet": (POSITIVE, ("alexnet",)),
    "two towers": (POSITIVE, ("alexnet_two_towers",)),
    "ZFNet": (POSITIVE, ("zfnet",)),
    "GoogLeNet": (INK, ("googlenet",)),
    "Inception v4": (INK, ("inception_v4",)),
    "Inc.-ResNet v2": (INK, ("inception_resnet_v2",)),
    "SqueezeNet": (INK, ("squeezenet",)),
    "MobileNet": (INK, ("mobilenet",)),
}
LOW, HIGH = 54.0, 84.0


def _costs() -> dict[str, tuple[float, float]]:
    """Multiply-adds in thousands of millions, and parameters in millions, without heads."""
    found = {}
    for name in IMAGENET:
        with tracing():
            model = create(name)
        parameters = model.parameter_count - sum(tap.parameter_count for tap in nn.taps(model))
        adds = multiply_adds(model, MODELS[name].input_shape)
        found[name] = (adds / 1e9, parameters / 1e6)
    return found


def accuracy() -> Picture:
    p = Picture(860, 430, "Published accuracy against multiply-adds, and against parameters")
    costs = _costs()
    panels = (
        ("multiply-adds, thousand millions", (0.3, 30), (0.3, 1, 3, 10, 30), {
            "VGG 11 to 19": (8, -16, "end"), "ResNet 18 to 152": (-18, 22, "start"),
            "DenseNet 121 to 201": (-12, -12, "end"), "AlexNet": (10, 4, "start"),
            "two towers": (10, 0, "start"), "ZFNet": (10, 0, "start"),
            "GoogLeNet": (0, 16, "middle"), "Inception v4": (-10, 2, "end"),
            "Inc.-ResNet v2": (-6, -14, "middle"), "SqueezeNet": (9, 2, "start"),
            "MobileNet": (0, -16, "middle"),
        }),
        ("parameters, millions", (1, 200), (1, 3, 10, 30, 100), {
            "VGG 11 to 19": (-12, -4, "end"), "ResNet 18 to 152": (-26, 24, "start"),
            "DenseNet 121 to 201": (-12, -12, "end"), "AlexNet": (0, 18, "middle"),
            "two towers": (-10, 0, "end"), "ZFNet": (-10, -6, "end"),
            "GoogLeNet": (0, 18, "middle"), "Inception v4": (-10, 2, "end"),
            "Inc.-ResNet v2": (6, -14, "middle"), "SqueezeNet": (-8, 17, "start"),
            "MobileNet": (-4, -16, "middle"),
        }),
    )  # fmt: skip
    for k, (title, ends, ticks, labels) in enumerate(panels):
        left, width, top, height = 60 + 405 * k, 370, 40, 320
        low, high = map(log10, ends)

        def place(name, left=left, width=width, low=low, high=high, k=k):
            x = left + width * (log10(costs[name][k]) - low) / (high - low)
            return x, 360 - 320 * (IMAGENET[name].top1 - LOW) / (HIGH - LOW)

        for percent in range(55, 85, 5):
            y = top + height * (1 - (percent - LOW) / (HIGH - LOW))
            p.line(left, y, left + width, y, LINES, stroke_width=0.6)
            if k == 0:
                p.text(left - 20, y, f"{percent} %", font_size=12, fill=QUIET)
        for tick in ticks:
            x = left + width * (log10(tick) - low) / (high - low)
            p.line(x, 360, x, 365, QUIET)
            p.text(x, 376, number(tick), font_size=12, fill=QUIET)
        p.line(left, 360, left + width, 360, QUIET)
        p.text(left + width / 2, 400, title, font_size=13)
        for family, (colour, names) in FAMILIES.items():
            points = [place(name) for name in names]
            if len(points) > 1:
                path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
                p.add("path", d=f"M{path}", stroke=colour, fill="none", stroke_width=1.5)
            for name, (x, y) in zip(names, points, strict=True):
                hollow = CROPS in IMAGENET[name].source
                p.add("circle", cx=round(x, 1), cy=round(y, 1), r=5, stroke=colour,
                      stroke_width=2, fill="#fff" if hollow else colour)  # fmt: skip
            x, y = points[-1]
            dx, dy, anchor = labels[family]
            p.text(round(x + dx, 1), round(y + dy, 1), family, font_size=12, fill=colour,
                   text_anchor=anchor)  # fmt: skip
    p.left(60, 20, "ImageNet, top 1, as published; hollow: the mean over ten crops", font_size=13)
    return p


def table() -> str:
    """The figures of the picture, and those of other data, with their sources."""
    rows = [(name, "ImageNet", *found) for name, found in IMAGENET.items()]
    rows += [(name, data, *found) for name, (data, found) in OTHERS.items()]
    lines = ["| Name | Data | Accuracy | Source |", "|---|---|---:|---|"]
    lines += [f"| `{name}` | {data} | {top1:g} % | {source} |" for name, data, top1, source in rows]
    return "\n".join(lines)
