"""MobileNet v1: depthwise separable convolutions."""

from pycnn import nn
from pycnn.models.blocks import Shape, conv_norm_relu, pooled_head, scaled

#: Table 1 of the paper: filters and stride of each separable convolution.
LAYERS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1),
    (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip


def mobilenet(
    input_shape: Shape = (3, 224, 224), classes: int = 1000, width: float = 1.0
) -> nn.Sequential:
    """MobileNet v1.

    Parameters
    ----------
    input_shape : (channels, height, width), default (3, 224, 224)
        Its extent is what the paper's resolution multiplier changes.
    classes : int, default 1000
    width : float, default 1.0
        Factor of the numbers of filters: the paper's width multiplier.

    Returns
    -------
    Sequential

    References
    ----------
    A. Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
    applications", 2017, table 1.

    Examples
    --------
    >>> from pycnn.define.trace import tracing
    >>> with tracing():
    ...     mobilenet().parameter_count
    4231976
    """
    inputs = scaled(32, width)
    stem = conv_norm_relu(input_shape[0], inputs, 3, stride=2, padding=1)
    blocks = []
    for filters, stride in LAYERS:
        outputs = scaled(filters, width)
        blocks.append(separable(inputs, outputs, stride))
        inputs = outputs
    return nn.Sequential(
        stem=stem, blocks=nn.Sequential(*blocks), classifier=pooled_head(inputs, classes)
    )


def separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A 3x3 filter for each channel, then 1x1 filters across channels."""
    return nn.Sequential(
        depthwise=conv_norm_relu(inputs, inputs, 3, stride=stride, padding=1, groups=inputs),
        pointwise=conv_norm_relu(inputs, outputs, 1),
    )
