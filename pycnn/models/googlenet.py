"""GoogLeNet: modules of branches of several sizes, and auxiliary heads."""

from typing import NamedTuple

from pycnn import nn
from pycnn.models.blocks import Shape, conv_relu, flat_size, pooled_head, scaled, scores


class Module(NamedTuple):
    """Filters of an Inception module: a row of table 1 of the paper."""

    ones: int
    reduce3: int
    threes: int
    reduce5: int
    fives: int
    pooled: int

    @property
    def outputs(self) -> int:
        """Channels of the result."""
        return self.ones + self.threes + self.fives + self.pooled


MODULES = {
    "3a": Module(64, 96, 128, 16, 32, 32),
    "3b": Module(128, 128, 192, 32, 96, 64),
    "4a": Module(192, 96, 208, 16, 48, 64),
    "4b": Module(160, 112, 224, 24, 64, 64),
    "4c": Module(128, 128, 256, 24, 64, 64),
    "4d": Module(112, 144, 288, 32, 64, 64),
    "4e": Module(256, 160, 320, 32, 128, 128),
    "5a": Module(256, 160, 320, 32, 128, 128),
    "5b": Module(384, 192, 384, 48, 128, 128),
}

#: Modules that a pooling, or an auxiliary head, follows.
POOLED, TAPPED = ("3b", "4e"), ("4a", "4d")


def googlenet(
    input_shape: Shape = (3, 224, 224),
    classes: int = 1000,
    width: float = 1.0,
    heads: bool = True,
) -> nn.Sequential:
    """GoogLeNet, or Inception v1, with its two auxiliary heads.

    The heads are taps (`pycnn.nn.Tap`): they run in training only, where a trainer adds their
    losses times 0.3; evaluation drops them.

    Parameters
    ----------
    input_shape : (channels, height, width), default (3, 224, 224)
    classes : int, default 1000
    width : float, default 1.0
        Factor of the numbers of filters and hidden units.
    heads : bool, default True

    Returns
    -------
    Sequential

    Notes
    -----
    Without heads it has 6,998,552 parameters, biases among them; each head brings 3.19 million.
    The "6.8 million" often quoted is the sum of the parameters printed in the paper's table 1,
    which is off in several rows: it has 2.7 K for the first convolution, whose 64 filters of
    7x7x3 are 9.4 K.

    References
    ----------
    C. Szegedy et al., "Going deeper with convolutions", 2015, table 1 and section 5.

    Examples
    --------
    >>> from pycnn.define.trace import tracing
    >>> with tracing():
    ...     googlenet(heads=False).parameter_count, googlenet().parameter_count
    (6998552, 13378280)
    """
    modules = {
        name: Module(*(scaled(filters, width) for filters in row)) for name, row in MODULES.items()
    }
    c1, c2 = scaled(64, width), scaled(192, width)
    layers: dict[str, nn.Layer] = {"stem": _stem(input_shape[0], c1, c2)}
    inputs = c2
    for name, row in modules.items():
        layers[f"inception{name}"] = inception(inputs, row)
        inputs = row.outputs
        if name in POOLED:
            layers[f"pool{name}"] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        if name in TAPPED and heads:
            reached = nn.Sequential(**layers).output_shape(input_shape)
            layers[f"head{name}"] = nn.Tap(_head(reached, classes, width), weight=0.3)
    return nn.Sequential(**layers, classifier=pooled_head(inputs, classes, dropout=0.4))


def inception(inputs: int, filters: Module) -> nn.Concat:
    """Four branches of one input, side by side: 1x1, 3x3, 5x5, and pooling.

    Examples
    --------
    >>> inception(192, MODULES["3a"]).output_shape((192, 28, 28))
    (256, 28, 28)
    """
    ones, reduce3, threes, reduce5, fives, pooled = filters
    return nn.Concat(
        ones=conv_relu(inputs, ones, 1),
        threes=nn.Sequential(
            reduce=conv_relu(inputs, reduce3, 1),
            conv=conv_relu(reduce3, threes, 3, padding=1),
        ),
        fives=nn.Sequential(
            reduce=conv_relu(inputs, reduce5, 1),
            conv=conv_relu(reduce5, fives, 5, padding=2),
        ),
        pooled=nn.Sequential(
            pool=nn.MaxPool2d(3, stride=1, padding=1),
            project=conv_relu(inputs, pooled, 1),
        ),
    )


def _stem(inputs: int, c1: int, c2: int) -> nn.Sequential:
    return nn.Sequential(
        conv1=conv_relu(inputs, c1, 7, stride=2, padding=3),
        pool1=nn.MaxPool2d(3, stride=2, ceil_mode=True),
        norm1=nn.LocalResponseNorm(5),
        reduce2=conv_relu(c1, c1, 1),
        conv2=conv_relu(c1, c2, 3, padding=1),
        norm2=nn.LocalResponseNorm(5),
        pool2=nn.MaxPool2d(3, stride=2, ceil_mode=True),
    )


def _head(input_shape: tuple[int, ...], classes: int, width: float) -> nn.Sequential:
    filters, hidden = scaled(128, width), scaled(1024, width)
    features = nn.Sequential(
        pool=nn.AvgPool2d(5, stride=3),
        conv=conv_relu(input_shape[0], filters, 1),
    )
    return nn.Sequential(
        **features.children,
        flatten=nn.Flatten(),
        hidden=nn.Linear(flat_size(features, input_shape), hidden),
        relu=nn.ReLU(),
        dropout=nn.Dropout(0.7),
        dense=scores(hidden, classes),
    )
