"""VGG: small filters, and depth."""

from pycnn import nn
from pycnn.models.blocks import Shape, conv_relu, dense_head, flat_size, scaled

#: By depth: convolutions in each of the five stages (configurations A, B, D and E).
STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


def vgg(
    depth: int,
    input_shape: Shape = (3, 224, 224),
    classes: int = 1000,
    width: float = 1.0,
) -> nn.Sequential:
    """VGG-11, 13, 16 or 19.

    Parameters
    ----------
    depth : {11, 13, 16, 19}
        Layers with weights.
    input_shape : (channels, height, width), default (3, 224, 224)
    classes : int, default 1000
    width : float, default 1.0
        Factor of the numbers of filters and hidden units.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If there is none of that depth.

    References
    ----------
    K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image
    recognition", 2015, table 1.

    Examples
    --------
    >>> from pycnn.define.trace import tracing
    >>> with tracing():
    ...     vgg(16).parameter_count
    138357544
    """
    if depth not in STAGES:
        raise ValueError(f"depth={depth}: allowed are {', '.join(map(str, STAGES))}")
    stages: dict[str, nn.Layer] = {}
    inputs = input_shape[0]
    for number, (count, channels) in enumerate(zip(STAGES[depth], CHANNELS, strict=True), start=1):
        outputs = scaled(channels, width)
        stages[f"stage{number}"] = _stage(inputs, outputs, count)
        inputs = outputs
    features = nn.Sequential(**stages)
    inputs = flat_size(features, input_shape)
    return nn.Sequential(
        features=features, classifier=dense_head(inputs, scaled(4096, width), classes)
    )


def _stage(inputs: int, outputs: int, count: int) -> nn.Sequential:
    """3x3 convolutions, then pooling."""
    convolutions = [
        conv_relu(inputs if i == 0 else outputs, outputs, 3, padding=1) for i in range(count)
    ]
    return nn.Sequential(*convolutions, pool=nn.MaxPool2d(2))
