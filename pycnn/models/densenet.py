"""DenseNet: every layer sees the results of all before it."""

from pycnn import nn
from pycnn.models.blocks import Shape, conv_norm_relu, pooled_head, scaled

#: By depth: layers in each of the four dense blocks.
BLOCKS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}


def densenet(
    depth: int,
    input_shape: Shape = (3, 224, 224),
    classes: int = 1000,
    width: float = 1.0,
) -> nn.Sequential:
    """DenseNet-121, 169 or 201: bottlenecks and compression, growth rate 32.

    Parameters
    ----------
    depth : {121, 169, 201}
        Layers with weights.
    input_shape : (channels, height, width), default (3, 224, 224)
    classes : int, default 1000
    width : float, default 1.0
        Factor of the growth rate, on which all numbers of filters depend.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If there is none of that depth.

    References
    ----------
    G. Huang et al., "Densely connected convolutional networks", 2017, table 1.

    Examples
    --------
    >>> from pycnn.define.trace import tracing
    >>> with tracing():
    ...     densenet(121).parameter_count
    7978856
    """
    if depth not in BLOCKS:
        raise ValueError(f"depth={depth}: allowed are {', '.join(map(str, BLOCKS))}")
    growth = scaled(32, width)
    channels = 2 * growth
    layers: dict[str, nn.Layer] = {
        "stem": nn.Sequential(
            conv=conv_norm_relu(input_shape[0], channels, 7, stride=2, padding=3),
            pool=nn.MaxPool2d(3, stride=2, padding=1),
        )
    }
    for number, count in enumerate(BLOCKS[depth], start=1):
        if number > 1:
            layers[f"transition{number - 1}"] = _transition(channels)
            channels //= 2
        layers[f"block{number}"] = nn.Sequential(
            *(dense_layer(channels + i * growth, growth) for i in range(count))
        )
        channels += count * growth
    return nn.Sequential(
        **layers,
        norm=nn.BatchNorm2d(channels),
        relu=nn.ReLU(),
        classifier=pooled_head(channels, classes),
    )


def dense_layer(inputs: int, growth: int) -> nn.Concat:
    """The input, and beside it `growth` new channels made of it."""
    return nn.Concat(
        old=nn.Identity(),
        new=nn.Sequential(
            norm1=nn.BatchNorm2d(inputs),
            relu1=nn.ReLU(),
            conv1=nn.Conv2d(inputs, 4 * growth, 1, bias=False),
            norm2=nn.BatchNorm2d(4 * growth),
            relu2=nn.ReLU(),
            conv2=nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        ),
    )


def _transition(inputs: int) -> nn.Sequential:
    """Half the channels, half the extent."""
    return nn.Sequential(
        norm=nn.BatchNorm2d(inputs),
        relu=nn.ReLU(),
        conv=nn.Conv2d(inputs, inputs // 2, 1, bias=False),
        pool=nn.AvgPool2d(2),
    )
