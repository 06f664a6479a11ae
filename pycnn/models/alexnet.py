"""AlexNet: on one GPU, and in two towers as published."""

from pycnn import nn
from pycnn.models.blocks import Shape, conv_relu, dense_head, flat_size, scaled


def alexnet(
    input_shape: Shape = (3, 224, 224), classes: int = 1000, width: float = 1.0
) -> nn.Sequential:
    """AlexNet in one tower, without normalisation: the form most frameworks ship.

    Parameters
    ----------
    input_shape : (channels, height, width), default (3, 224, 224)
    classes : int, default 1000
    width : float, default 1.0
        Factor of the numbers of filters and hidden units.

    Returns
    -------
    Sequential

    References
    ----------
    A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.

    Examples
    --------
    >>> from pycnn.define.trace import tracing
    >>> with tracing():
    ...     alexnet().parameter_count
    61100840
    """
    c1, c2, c3, c4, c5 = (scaled(channels, width) for channels in (64, 192, 384, 256, 256))
    features = nn.Sequential(
        conv1=conv_relu(input_shape[0], c1, 11, stride=4, padding=2),
        pool1=nn.MaxPool2d(3, stride=2),
        conv2=conv_relu(c1, c2, 5, padding=2),
        pool2=nn.MaxPool2d(3, stride=2),
        conv3=conv_relu(c2, c3, 3, padding=1),
        conv4=conv_relu(c3, c4, 3, padding=1),
        conv5=conv_relu(c4, c5, 3, padding=1),
        pool5=nn.MaxPool2d(3, stride=2),
    )
    inputs = flat_size(features, input_shape)
    return nn.Sequential(
        features=features, classifier=dense_head(inputs, scaled(4096, width), classes)
    )


def alexnet_two_towers(
    input_shape: Shape = (3, 227, 227), classes: int = 1000, width: float = 1.0
) -> nn.Sequential:
    """AlexNet as published: two towers, which meet in the third convolution, and LRN.

    The towers are the two groups of the convolutions. The paper says 224x224, but its 55x55 maps
    need 227x227 where nothing is padded. It does not divide alpha by the size of the window, as
    `pycnn.local_response_norm` does: hence 5e-4 for its 1e-4.

    Parameters
    ----------
    input_shape : (channels, height, width), default (3, 227, 227)
    classes : int, default 1000
    width : float, default 1.0
        Factor of the numbers of filters, to an even one, and hidden units.

    Returns
    -------
    Sequential

    References
    ----------
    A. Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", 2012.

    Examples
    --------
    >>> from pycnn.define.trace import tracing
    >>> with tracing():
    ...     alexnet_two_towers().parameter_count
    60965224
    """
    c1, c2, c3, c4, c5 = (scaled(channels, width, 2) for channels in (96, 256, 384, 384, 256))
    features = nn.Sequential(
        conv1=conv_relu(input_shape[0], c1, 11, stride=4),
        norm1=_response_norm(),
        pool1=nn.MaxPool2d(3, stride=2),
        conv2=conv_relu(c1, c2, 5, padding=2, groups=2),
        norm2=_response_norm(),
        pool2=nn.MaxPool2d(3, stride=2),
        conv3=conv_relu(c2, c3, 3, padding=1),
        conv4=conv_relu(c3, c4, 3, padding=1, groups=2),
        conv5=conv_relu(c4, c5, 3, padding=1, groups=2),
        pool5=nn.MaxPool2d(3, stride=2),
    )
    inputs = flat_size(features, input_shape)
    return nn.Sequential(
        features=features, classifier=dense_head(inputs, scaled(4096, width), classes)
    )


def _response_norm() -> nn.LocalResponseNorm:
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
