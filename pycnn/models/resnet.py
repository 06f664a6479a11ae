"""Residual networks, for ImageNet and for CIFAR."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from pycnn import nn
from pycnn.models.blocks import Shape, conv_norm, conv_norm_relu, pooled_head, scaled


def basic(inputs: int, filters: int, stride: int) -> nn.Sequential:
    """Two 3x3 convolutions: the left block of the paper's figure 5."""
    return nn.Sequential(
        conv1=conv_norm_relu(inputs, filters, 3, stride=stride, padding=1),
        conv2=conv_norm(filters, filters, 3, padding=1),
    )


def bottleneck(inputs: int, filters: int, stride: int, halve: str = "1x1") -> nn.Sequential:
    """3x3 between 1x1, the last of which makes four times as many channels."""
    first, middle = (stride, 1) if halve == "1x1" else (1, stride)
    return nn.Sequential(
        reduce=conv_norm_relu(inputs, filters, 1, stride=first),
        conv=conv_norm_relu(filters, filters, 3, stride=middle, padding=1),
        expand=conv_norm(filters, 4 * filters, 1),
    )


HALVE = ("1x1", "3x3")


class Design(NamedTuple):
    """Table 1 of the paper: the branch, its outputs over its filters, blocks in each stage."""

    branch: Callable[[int, int, int], nn.Sequential]
    expansion: int
    stages: tuple[int, ...]


DESIGNS = {
    18: Design(basic, 1, (2, 2, 2, 2)),
    34: Design(basic, 1, (3, 4, 6, 3)),
    50: Design(bottleneck, 4, (3, 4, 6, 3)),
    101: Design(bottleneck, 4, (3, 4, 23, 3)),
    152: Design(bottleneck, 4, (3, 8, 36, 3)),
}


def resnet(
    depth: int,
    input_shape: Shape = (3, 224, 224),
    classes: int = 1000,
    width: float = 1.0,
    shortcut: str = "projection",
    halve: str = "1x1",
) -> nn.Sequential:
    """ResNet-18, 34, 50, 101 or 152.

    Parameters
    ----------
    depth : {18, 34, 50, 101, 152}
        Layers with weights.
    input_shape : (channels, height, width), default (3, 224, 224)
    classes : int, default 1000
    width : float, default 1.0
        Factor of the numbers of filters.
    shortcut : {"projection", "identity", "none"}, default "projection"
        What stands where the shape changes: a 1x1 convolution (option B of the paper), or the
        input itself, with pixels left out and channels of zeros added (option A). With "none" there
        are no shortcuts at all: the paper's plain network.
    halve : {"1x1", "3x3"}, default "1x1"
        The convolution in which a bottleneck, from 50 layers on, halves the extent: its first, as
        in the paper, or the next, as in torchvision. Parameters are the same, multiply-adds more.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If there is none of that depth, no such shortcut, or no such convolution to halve in.

    References
    ----------
    K. He et al., "Deep residual learning for image recognition", 2016, table 1 and section 3.3.

    Examples
    --------
    >>> from pycnn.define.trace import tracing
    >>> with tracing():
    ...     resnet(50).parameter_count
    25557032
    """
    if depth not in DESIGNS:
        raise ValueError(f"depth={depth}: allowed are {', '.join(map(str, DESIGNS))}")
    design = DESIGNS[depth]
    if halve not in HALVE or (halve == "3x3" and design.branch is basic):
        allowed = HALVE if design.branch is bottleneck else HALVE[:1]
        raise ValueError(f"halve={halve!r}: allowed are {', '.join(allowed)}")
    if halve == "3x3":
        design = design._replace(branch=partial(bottleneck, halve=halve))
    first = scaled(64, width)
    stem = nn.Sequential(
        conv=conv_norm_relu(input_shape[0], first, 7, stride=2, padding=3),
        pool=nn.MaxPool2d(3, stride=2, padding=1),
    )
    return _network(stem, first, design, classes, shortcut)


def cifar_resnet(
    depth: int,
    input_shape: Shape = (3, 32, 32),
    classes: int = 10,
    width: float = 1.0,
    shortcut: str = "identity",
) -> nn.Sequential:
    """The thin ResNets for small images: 20, 32, 44, 56, 110, 1202 layers, or any 6n + 2.

    Parameters
    ----------
    depth : int
        Layers with weights: three stages of n blocks, 6n + 2.
    input_shape : (channels, height, width), default (3, 32, 32)
    classes : int, default 10
    width : float, default 1.0
        Factor of the numbers of filters, 16, 32 and 64.
    shortcut : {"identity", "projection", "none"}, default "identity"
        As for `resnet`; the paper uses option A here.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If `depth` is not 6n + 2, or there is no such shortcut.

    References
    ----------
    K. He et al., "Deep residual learning for image recognition", 2016, section 4.2.

    Examples
    --------
    >>> cifar_resnet(20).parameter_count
    269722
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"depth={depth}: allowed are 6 n + 2, such as 20, 56, 110 and 1202")
    first = scaled(16, width)
    stem = conv_norm_relu(input_shape[0], first, 3, padding=1)
    design = Design(basic, 1, ((depth - 2) // 6,) * 3)
    return _network(stem, first, design, classes, shortcut)


def _network(
    stem: nn.Sequential, first: int, design: Design, classes: int, shortcut: str
) -> nn.Sequential:
    """Stages of blocks, each with half the pixels and twice the filters of the one before."""
    if shortcut not in SHORTCUTS:
        raise ValueError(f"shortcut={shortcut!r}: allowed are {', '.join(SHORTCUTS)}")
    stages, inputs = {}, first
    for number, count in enumerate(design.stages):
        filters = first * 2**number
        outputs = filters * design.expansion
        blocks = []
        for i in range(count):
            stride = 2 if number > 0 and i == 0 else 1
            branch = design.branch(inputs, filters, stride)
            around = SHORTCUTS[shortcut]
            blocks.append(residual(branch, around(inputs, outputs, stride)) if around
                          else plain(branch))  # fmt: skip
            inputs = outputs
        stages[f"stage{number + 1}"] = nn.Sequential(*blocks)
    return nn.Sequential(stem=stem, **stages, classifier=pooled_head(inputs, classes))


def residual(branch: nn.Layer, shortcut: nn.Layer) -> nn.Sequential:
    """Sum of branch and shortcut, then ReLU."""
    return nn.Sequential(sum=nn.Sum(branch=branch, shortcut=shortcut), relu=nn.ReLU())


def plain(branch: nn.Sequential) -> nn.Sequential:
    """The branch alone, then ReLU: the block of a network without shortcuts."""
    return nn.Sequential(**branch.children, relu=nn.ReLU())


def projection(inputs: int, outputs: int, stride: int) -> nn.Layer:
    """Option B: a 1x1 convolution where the shape changes, the input itself elsewhere."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return conv_norm(inputs, outputs, 1, stride=stride)


def identity(inputs: int, outputs: int, stride: int) -> nn.Layer:
    """Option A: every `stride`-th pixel, and zeros for the channels that are missing.

    Examples
    --------
    >>> identity(16, 32, 2).output_shape((16, 32, 32))
    (32, 16, 16)
    """
    steps: dict[str, nn.Layer] = {}
    if stride > 1:
        steps["pick"] = nn.AvgPool2d(1, stride=stride)
    if outputs > inputs:
        steps["pad"] = nn.Pad((0, 0, 0, 0, 0, outputs - inputs))
    return nn.Sequential(**steps) if steps else nn.Identity()


SHORTCUTS: dict[str, Callable[[int, int, int], nn.Layer] | None] = {
    "projection": projection,
    "identity": identity,
    "none": None,
}
