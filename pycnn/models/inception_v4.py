"""Inception v4: Inception modules without shortcuts, of three sizes."""

from functools import partial
from typing import Any

from pycnn import nn
from pycnn.models.blocks import Shape, conv_norm_relu, pooled_head, scaled

#: Of the authors' code: the variance of batch normalisation gets 1e-3, not 1e-5.
unit = partial(conv_norm_relu, eps=1e-3)

#: Settings of a convolution that keeps the extent, that pads nothing, and that halves it.
SAME: dict[str, Any] = {"padding": "same"}
VALID: dict[str, Any] = {}
HALF: dict[str, Any] = {"stride": 2}


def units(inputs: int, *steps: tuple[int, Any] | tuple[int, Any, dict[str, Any]]) -> nn.Sequential:
    """Convolutions one after the other, each (filters, kernel size[, settings = SAME])."""
    layers = []
    for filters, kernel_size, *rest in steps:
        (settings,) = rest or (SAME,)
        layers.append(unit(inputs, filters, kernel_size, **settings))
        inputs = filters
    return nn.Sequential(*layers)


def inception_v4(
    input_shape: Shape = (3, 299, 299), classes: int = 1000, width: float = 1.0
) -> nn.Sequential:
    """Inception v4.

    Parameters
    ----------
    input_shape : (channels, height, width), default (3, 299, 299)
    classes : int, default 1000
    width : float, default 1.0
        Factor of the numbers of filters.

    Returns
    -------
    Sequential

    Notes
    -----
    The released weights are of a network in which some pairs of 1x7 and 7x1, 1x3 and 3x1, stand the
    other way round and branches are joined in another order: see `docs/models.md`.

    References
    ----------
    C. Szegedy et al., "Inception-v4, Inception-ResNet and the impact of residual connections on
    learning", 2017, figures 3 to 9.

    Examples
    --------
    >>> from pycnn.define.trace import tracing
    >>> with tracing():
    ...     inception_v4().parameter_count
    42679816
    """
    w = partial(scaled, width=width)
    a, b, c = 4 * w(96), 2 * w(256) + w(384) + w(128), 6 * w(256)
    after_a, after_b = a + w(384) + w(256), b + w(192) + w(320)
    return nn.Sequential(
        stem=_stem(input_shape[0], width),
        inception_a=nn.Sequential(*(_module_a(a, width) for _ in range(4))),
        reduction_a=_reduction_a(a, width),
        inception_b=nn.Sequential(*(_module_b(after_a if i == 0 else b, width) for i in range(7))),
        reduction_b=_reduction_b(b, width),
        inception_c=nn.Sequential(*(_module_c(after_b if i == 0 else c, width) for i in range(3))),
        classifier=pooled_head(c, classes, dropout=0.2),
    )


def _stem(inputs: int, width: float) -> nn.Sequential:
    w = partial(scaled, width=width)
    joined = w(64) + w(96)
    return nn.Sequential(
        conv=units(inputs, (w(32), 3, HALF), (w(32), 3, VALID), (w(64), 3)),
        halve1=nn.Concat(pool=nn.MaxPool2d(3, stride=2), conv=unit(w(64), w(96), 3, stride=2)),
        split=nn.Concat(
            short=units(joined, (w(64), 1), (w(96), 3, VALID)),
            long=units(joined, (w(64), 1), (w(64), (7, 1)), (w(64), (1, 7)), (w(96), 3, VALID)),
        ),
        halve2=nn.Concat(
            conv=unit(2 * w(96), 2 * w(96), 3, stride=2), pool=nn.MaxPool2d(3, stride=2)
        ),
    )


def pooled(inputs: int, filters: int) -> nn.Sequential:
    """Mean over 3x3 pixels, those outside not counted, and a 1x1 convolution."""
    return nn.Sequential(
        pool=nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
        conv=unit(inputs, filters, 1),
    )


def _module_a(inputs: int, width: float) -> nn.Concat:
    w = partial(scaled, width=width)
    return nn.Concat(
        pooled=pooled(inputs, w(96)),
        ones=unit(inputs, w(96), 1),
        threes=units(inputs, (w(64), 1), (w(96), 3)),
        double=units(inputs, (w(64), 1), (w(96), 3), (w(96), 3)),
    )


def _reduction_a(inputs: int, width: float) -> nn.Concat:
    w = partial(scaled, width=width)
    return nn.Concat(
        pool=nn.MaxPool2d(3, stride=2),
        threes=unit(inputs, w(384), 3, stride=2),
        double=units(inputs, (w(192), 1), (w(224), 3), (w(256), 3, HALF)),
    )


def _module_b(inputs: int, width: float) -> nn.Concat:
    w = partial(scaled, width=width)
    return nn.Concat(
        pooled=pooled(inputs, w(128)),
        ones=unit(inputs, w(384), 1),
        sevens=units(inputs, (w(192), 1), (w(224), (1, 7)), (w(256), (7, 1))),
        double=units(
            inputs, (w(192), 1), (w(192), (1, 7)), (w(224), (7, 1)), (w(224), (1, 7)),
            (w(256), (7, 1)),
        ),
    )  # fmt: skip


def _reduction_b(inputs: int, width: float) -> nn.Concat:
    w = partial(scaled, width=width)
    return nn.Concat(
        pool=nn.MaxPool2d(3, stride=2),
        threes=units(inputs, (w(192), 1), (w(192), 3, HALF)),
        sevens=units(
            inputs, (w(256), 1), (w(256), (1, 7)), (w(320), (7, 1)), (w(320), 3, HALF)
        ),
    )  # fmt: skip


def _module_c(inputs: int, width: float) -> nn.Concat:
    w = partial(scaled, width=width)
    return nn.Concat(
        pooled=pooled(inputs, w(256)),
        ones=unit(inputs, w(256), 1),
        threes=nn.Sequential(reduce=unit(inputs, w(384), 1), split=_split(w(384), w(256))),
        double=nn.Sequential(
            reduce=units(inputs, (w(384), 1), (w(448), (1, 3)), (w(512), (3, 1))),
            split=_split(w(512), w(256)),
        ),
    )


def _split(inputs: int, filters: int) -> nn.Concat:
    """A row and a column of three taps, side by side."""
    return nn.Concat(
        across=unit(inputs, filters, (1, 3), padding="same"),
        down=unit(inputs, filters, (3, 1), padding="same"),
    )
