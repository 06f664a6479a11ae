"""SqueezeNet 1.1: AlexNet's accuracy with a fiftieth of its parameters."""

from pycnn import nn
from pycnn.models.blocks import SMALL, Shape, conv_relu, scaled

#: Fire modules: filters that squeeze, and filters of either expansion.
FIRES = {
    2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128),
    6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256),
}  # fmt: skip

#: Fire modules that a pooling follows.
POOLED = (3, 5)


def squeezenet(
    input_shape: Shape = (3, 227, 227), classes: int = 1000, width: float = 1.0
) -> nn.Sequential:
    """SqueezeNet 1.1, as its authors have it: extents rounded up, a ReLU on the scores.

    Parameters
    ----------
    input_shape : (channels, height, width), default (3, 227, 227)
    classes : int, default 1000
    width : float, default 1.0
        Factor of the numbers of filters.

    Returns
    -------
    Sequential

    References
    ----------
    F. Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB
    model size", 2016; version 1.1 is of the authors' repository.

    Examples
    --------
    >>> squeezenet().parameter_count
    1235496
    """
    inputs = scaled(64, width)
    layers: dict[str, nn.Layer] = {
        "conv1": conv_relu(input_shape[0], inputs, 3, stride=2),
        "pool1": _pool(),
    }
    for number, filters in FIRES.items():
        squeezed, expanded = (scaled(count, width) for count in filters)
        layers[f"fire{number}"] = fire(inputs, squeezed, expanded)
        inputs = 2 * expanded
        if number in POOLED:
            layers[f"pool{number}"] = _pool()
    return nn.Sequential(
        **layers,
        dropout=nn.Dropout(0.5),
        conv10=conv_relu(inputs, classes, 1, init=SMALL),
        pool10=nn.GlobalAvgPool(),
        flatten=nn.Flatten(),
    )


def _pool() -> nn.MaxPool2d:
    """Windows of 3x3, as many as begin inside: the authors' framework rounds extents up."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def fire(inputs: int, squeezed: int, expanded: int) -> nn.Sequential:
    """Few 1x1 filters, then 1x1 and 3x3 filters side by side."""
    return nn.Sequential(
        squeeze1x1=conv_relu(inputs, squeezed, 1),
        expand=nn.Concat(
            expand1x1=conv_relu(squeezed, expanded, 1),
            expand3x3=conv_relu(squeezed, expanded, 3, padding=1),
        ),
    )
