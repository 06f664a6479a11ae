"""What the networks share: convolutions with what follows them, and the layers at the end."""

import math
from typing import Any

from pycnn import nn
from pycnn.nn.init import normal

#: Channels, height and width of one example.
Shape = tuple[int, int, int]

#: How the layer of scores begins, as in AlexNet, VGG and SqueezeNet.
SMALL = normal(0.01)


def scaled(channels: int, width: float, multiple: int = 1) -> int:
    """`channels` times `width`, to the nearest `multiple` and never none.

    Examples
    --------
    >>> scaled(64, 0.25), scaled(96, 0.01, multiple=2)
    (16, 2)
    """
    return max(1, round(channels * width / multiple)) * multiple


def conv_relu(
    inputs: int, outputs: int, kernel_size: int | tuple[int, int], **settings: Any
) -> nn.Sequential:
    """Convolution and ReLU; settings as those of `pycnn.nn.Conv2d`."""
    return nn.Sequential(
        conv=nn.Conv2d(inputs, outputs, kernel_size, **settings),
        relu=nn.ReLU(),
    )


def conv_norm(
    inputs: int,
    outputs: int,
    kernel_size: int | tuple[int, int],
    eps: float = 1e-5,
    **settings: Any,
) -> nn.Sequential:
    """Convolution and batch normalisation, whose shift makes a bias needless."""
    return nn.Sequential(
        conv=nn.Conv2d(inputs, outputs, kernel_size, bias=False, **settings),
        norm=nn.BatchNorm2d(outputs, eps),
    )


def conv_norm_relu(
    inputs: int,
    outputs: int,
    kernel_size: int | tuple[int, int],
    eps: float = 1e-5,
    **settings: Any,
) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    block = conv_norm(inputs, outputs, kernel_size, eps, **settings)
    return nn.Sequential(**block.children, relu=nn.ReLU())


def flat_size(features: nn.Layer, input_shape: tuple[int, ...]) -> int:
    """Elements that `features` makes of one example; nothing is computed."""
    return math.prod(features.output_shape(input_shape))


def scores(features: int, classes: int) -> nn.Linear:
    """The last dense layer, whose weights begin small: at first all classes are as probable.

    Examples
    --------
    >>> import numpy as np
    >>> bool(np.abs(scores(84, 10)(np.ones((1, 84), np.float32))).max() < 0.5)
    True
    """
    return nn.Linear(features, classes, init=SMALL)


def dense_head(inputs: int, hidden: int, classes: int) -> nn.Sequential:
    """Two hidden dense layers with dropout, and the scores: how AlexNet, ZFNet and VGG end."""
    return nn.Sequential(
        flatten=nn.Flatten(),
        dense6=nn.Linear(inputs, hidden), relu6=nn.ReLU(), dropout6=nn.Dropout(0.5),
        dense7=nn.Linear(hidden, hidden), relu7=nn.ReLU(), dropout7=nn.Dropout(0.5),
        dense8=scores(hidden, classes),
    )  # fmt: skip


def pooled_head(channels: int, classes: int, dropout: float = 0.0) -> nn.Sequential:
    """The mean of each channel, and the scores: how networks end since GoogLeNet."""
    dropped = {"dropout": nn.Dropout(dropout)} if dropout else {}
    return nn.Sequential(
        pool=nn.GlobalAvgPool(),
        flatten=nn.Flatten(),
        **dropped,
        dense=scores(channels, classes),
    )
