"""ZFNet: AlexNet with smaller first filters, chosen by looking at what the layers see."""

from pycnn import nn
from pycnn.models.blocks import Shape, conv_relu, dense_head, flat_size, scaled


def zfnet(
    input_shape: Shape = (3, 224, 224),
    classes: int = 1000,
    width: float = 1.0,
    filters: tuple[int, int, int] = (384, 384, 256),
) -> nn.Sequential:
    """ZFNet.

    Where windows do not fit, pooling rounds up, which gives the paper's 55, 26, 13 and 6 pixels.
    Its contrast normalisation is the local response norm of AlexNet.

    Parameters
    ----------
    input_shape : (channels, height, width), default (3, 224, 224)
    classes : int, default 1000
    width : float, default 1.0
        Factor of the numbers of filters and hidden units.
    filters : (int, int, int), default (384, 384, 256)
        Of the last three convolutions. Lectures often draw (512, 1024, 512), which the paper has as
        a variant, in its table 3.

    Returns
    -------
    Sequential

    References
    ----------
    M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", 2014, figure 3.

    Examples
    --------
    >>> zfnet(width=1 / 32, classes=10).at("features").output_shape((3, 224, 224))
    (8, 6, 6)
    >>> zfnet(width=1 / 32, classes=10, filters=(512, 1024, 512)).at("features").output_shape(
    ...     (3, 224, 224))
    (16, 6, 6)
    """
    c1, c2, c3, c4, c5 = (scaled(channels, width) for channels in (96, 256, *filters))
    features = nn.Sequential(
        conv1=conv_relu(input_shape[0], c1, 7, stride=2, padding=1),
        pool1=nn.MaxPool2d(3, stride=2, ceil_mode=True),
        norm1=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
        conv2=conv_relu(c1, c2, 5, stride=2),
        pool2=nn.MaxPool2d(3, stride=2, ceil_mode=True),
        norm2=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
        conv3=conv_relu(c2, c3, 3, padding=1),
        conv4=conv_relu(c3, c4, 3, padding=1),
        conv5=conv_relu(c4, c5, 3, padding=1),
        pool5=nn.MaxPool2d(3, stride=2),
    )
    inputs = flat_size(features, input_shape)
    return nn.Sequential(
        features=features, classifier=dense_head(inputs, scaled(4096, width), classes)
    )
