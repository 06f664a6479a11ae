"""Inception-ResNet v2: Inception modules as the branches of residual blocks."""

from functools import partial

from pycnn import nn
from pycnn.models.blocks import Shape, pooled_head, scaled
from pycnn.models.inception_v4 import HALF, VALID, pooled, unit, units


def inception_resnet_v2(
    input_shape: Shape = (3, 299, 299), classes: int = 1000, width: float = 1.0
) -> nn.Sequential:
    """Inception-ResNet v2, as its authors released it.

    The released network, of 55.8 million parameters, differs from the figures of the paper: the
    stem is that of Inception v3, and there are 10, 20 and 10 residual blocks instead of 5, 10
    and 5. What a block adds is scaled by 0.17, 0.10 and 0.20, in the last one by 1.

    Parameters
    ----------
    input_shape : (channels, height, width), default (3, 299, 299)
    classes : int, default 1000
    width : float, default 1.0
        Factor of the numbers of filters.

    Returns
    -------
    Sequential

    References
    ----------
    C. Szegedy et al., "Inception-v4, Inception-ResNet and the impact of residual connections on
    learning", 2017, sections 3.2 and 3.3.

    Examples
    --------
    >>> from pycnn.define.trace import tracing
    >>> with tracing():
    ...     inception_resnet_v2().parameter_count
    55843464
    """
    w = partial(scaled, width=width)
    a = w(96) + 2 * w(64) + w(96)
    b = a + w(384) + w(384)
    c = b + w(384) + w(288) + w(320)
    last = _block_c(c, width, scale=1.0, relu=False)
    return nn.Sequential(
        stem=_stem(input_shape[0], width),
        mixed=_mixed(w(192), width),
        blocks_a=nn.Sequential(*(_block_a(a, width) for _ in range(10))),
        reduction_a=_reduction_a(a, width),
        blocks_b=nn.Sequential(*(_block_b(b, width) for _ in range(20))),
        reduction_b=_reduction_b(b, width),
        blocks_c=nn.Sequential(*(_block_c(c, width, scale=0.20) for _ in range(9)), last),
        conv=unit(c, w(1536), 1),
        classifier=pooled_head(w(1536), classes, dropout=0.2),
    )


def _stem(inputs: int, width: float) -> nn.Sequential:
    w = partial(scaled, width=width)
    return nn.Sequential(
        conv1=units(inputs, (w(32), 3, HALF), (w(32), 3, VALID), (w(64), 3)),
        pool1=nn.MaxPool2d(3, stride=2),
        conv2=units(w(64), (w(80), 1), (w(192), 3, VALID)),
        pool2=nn.MaxPool2d(3, stride=2),
    )


def _mixed(inputs: int, width: float) -> nn.Concat:
    w = partial(scaled, width=width)
    return nn.Concat(
        ones=unit(inputs, w(96), 1),
        fives=units(inputs, (w(48), 1), (w(64), 5)),
        double=units(inputs, (w(64), 1), (w(96), 3), (w(96), 3)),
        pooled=pooled(inputs, w(64)),
    )


def _residual(
    branches: nn.Concat, joined: int, channels: int, scale: float, relu: bool = True
) -> nn.Sequential:
    """Branches, brought to the channels of the input, scaled and added to it."""
    branch = nn.Sequential(branches=branches, expand=nn.Conv2d(joined, channels, 1))
    last = {"relu": nn.ReLU()} if relu else {}
    return nn.Sequential(sum=nn.Sum(branch=branch, shortcut=nn.Identity(), scale=scale), **last)


def _block_a(channels: int, width: float) -> nn.Sequential:
    w = partial(scaled, width=width)
    branches = nn.Concat(
        ones=unit(channels, w(32), 1),
        threes=units(channels, (w(32), 1), (w(32), 3)),
        double=units(channels, (w(32), 1), (w(48), 3), (w(64), 3)),
    )
    return _residual(branches, 2 * w(32) + w(64), channels, scale=0.17)


def _block_b(channels: int, width: float) -> nn.Sequential:
    w = partial(scaled, width=width)
    branches = nn.Concat(
        ones=unit(channels, w(192), 1),
        sevens=units(channels, (w(128), 1), (w(160), (1, 7)), (w(192), (7, 1))),
    )
    return _residual(branches, 2 * w(192), channels, scale=0.10)


def _block_c(channels: int, width: float, scale: float, relu: bool = True) -> nn.Sequential:
    w = partial(scaled, width=width)
    branches = nn.Concat(
        ones=unit(channels, w(192), 1),
        threes=units(channels, (w(192), 1), (w(224), (1, 3)), (w(256), (3, 1))),
    )
    return _residual(branches, w(192) + w(256), channels, scale, relu)


def _reduction_a(inputs: int, width: float) -> nn.Concat:
    w = partial(scaled, width=width)
    return nn.Concat(
        threes=unit(inputs, w(384), 3, stride=2),
        double=units(inputs, (w(256), 1), (w(256), 3), (w(384), 3, HALF)),
        pool=nn.MaxPool2d(3, stride=2),
    )


def _reduction_b(inputs: int, width: float) -> nn.Concat:
    w = partial(scaled, width=width)
    return nn.Concat(
        wide=units(inputs, (w(256), 1), (w(384), 3, HALF)),
        threes=units(inputs, (w(256), 1), (w(288), 3, HALF)),
        double=units(inputs, (w(256), 1), (w(288), 3), (w(320), 3, HALF)),
        pool=nn.MaxPool2d(3, stride=2),
    )
