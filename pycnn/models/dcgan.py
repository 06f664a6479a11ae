"""DCGAN: a generator of images and a discriminator; with labels joined to their inputs, or not."""

from itertools import pairwise
from typing import Any

from pycnn import nn, ops
from pycnn.models.blocks import Shape, scaled
from pycnn.nn.arrays import library
from pycnn.nn.init import normal

#: Section 4 of the paper: all weights begin normal, of deviation 0.02.
INIT = normal(0.02)

#: Filters next to the image, and twice as many with every halving of it.
FILTERS = 128


def dcgan_generator(
    input_shape: tuple[int] = (100,),
    image_shape: Shape = (3, 64, 64),
    width: float = 1.0,
) -> nn.Sequential:
    """Makes images, with values from -1 to 1, of random vectors.

    Transposed convolutions double the extent, from 4x4 (or what is odd first: 7x7 for 28x28), with
    batch normalisation and ReLU; tanh ends it. Filters are 4x4, which overlap evenly at stride 2.

    Parameters
    ----------
    input_shape : (int,), default (100,)
        Elements of the vectors; of the conditional generator, also one for each class (see
        `join_labels`).
    image_shape : (channels, height, width), default (3, 64, 64)
        Square.
    width : float, default 1.0
        Factor of the numbers of filters.

    Returns
    -------
    Sequential

    References
    ----------
    A. Radford et al., "Unsupervised representation learning with deep convolutional generative
    adversarial networks", 2016, figure 1.
    M. Mirza, S. Osindero, "Conditional generative adversarial nets", 2014.

    Examples
    --------
    >>> dcgan_generator(image_shape=(1, 28, 28), width=0.1).output_shape((100,))
    (1, 28, 28)
    """
    start, doublings = _halved(image_shape)
    filters = [scaled(FILTERS, width) * 2**i for i in reversed(range(doublings))]
    (vector,) = input_shape
    layers: dict[str, nn.Layer] = {
        "as_pixel": nn.Reshape(vector, 1, 1),
        "project": _up(vector, filters[0], start),
    }
    for number, (inputs, outputs) in enumerate(pairwise(filters), start=1):
        layers[f"up{number}"] = _up(inputs, outputs, 4, stride=2, padding=1)
    image = nn.ConvTranspose2d(
        filters[-1], image_shape[0], 4, stride=2, padding=1, bias=False, init=INIT
    )
    return nn.Sequential(**layers, image=image, tanh=nn.Tanh())


def dcgan_discriminator(input_shape: Shape = (3, 64, 64), width: float = 1.0) -> nn.Sequential:
    """One score an image, positive where it takes it for real.

    Train it with `pycnn.nn.BCEWithLogitsLoss`. Strided convolutions halve the extent, with leaky
    ReLU, and batch normalisation in all but the first and last.

    Parameters
    ----------
    input_shape : (channels, height, width), default (3, 64, 64)
        Square; of the conditional discriminator, with one channel more for each class (see
        `join_labels`).
    width : float, default 1.0
        Factor of the numbers of filters.

    Returns
    -------
    Sequential

    References
    ----------
    A. Radford et al., "Unsupervised representation learning with deep convolutional generative
    adversarial networks", 2016, section 3.

    Examples
    --------
    >>> dcgan_discriminator((1, 28, 28), width=0.1).output_shape((1, 28, 28))
    (1,)
    """
    last, halvings = _halved(input_shape)
    filters = [scaled(FILTERS, width) * 2**i for i in range(halvings)]
    layers: dict[str, nn.Layer] = {"down1": _down(input_shape[0], filters[0], norm=False)}
    for number, (inputs, outputs) in enumerate(pairwise(filters), start=2):
        layers[f"down{number}"] = _down(inputs, outputs)
    score = nn.Conv2d(filters[-1], 1, last, bias=False, init=INIT)
    return nn.Sequential(**layers, score=score, flatten=nn.Flatten())


def join_labels(x: Any, labels: Any, classes: int) -> Any:
    """`x` with its labels: how generator and discriminator become conditional.

    Parameters
    ----------
    x : array (N, F) or (N, C, H, W)
    labels : int64 array (N,)
        From 0 to `classes` - 1.
    classes : int

    Returns
    -------
    array (N, F + classes) or (N, C + classes, H, W), of the dtype of `x`
        Of the new elements, or planes, that of the label is one, the others zero.

    Raises
    ------
    ValueError
        If there are not as many labels as examples, or one is none of the classes.

    References
    ----------
    M. Mirza, S. Osindero, "Conditional generative adversarial nets", 2014.

    Examples
    --------
    >>> import numpy as np
    >>> join_labels(np.zeros((2, 1)), np.array([2, 0]), 3)
    array([[0., 0., 0., 1.],
           [0., 1., 0., 0.]])
    """
    if labels.shape != x.shape[:1]:
        raise ValueError(f"labels has shape {labels.shape}; allowed: {x.shape[:1]}, as x has")
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        extremes = f"{int(labels.min())} to {int(labels.max())}"
        raise ValueError(f"labels are {extremes}; allowed are 0 to {classes - 1}")
    one_hot = library(x).eye(classes, dtype=x.dtype)[labels]
    planes = one_hot.reshape(*one_hot.shape, *(1,) * (x.ndim - 2))
    return ops.concat([x, library(x).broadcast_to(planes, (*one_hot.shape, *x.shape[2:]))], 1)


def _up(inputs: int, outputs: int, kernel_size: int, **settings: Any) -> nn.Sequential:
    return nn.Sequential(
        conv=nn.ConvTranspose2d(inputs, outputs, kernel_size, bias=False, init=INIT, **settings),
        norm=nn.BatchNorm2d(outputs),
        relu=nn.ReLU(),
    )


def _down(inputs: int, outputs: int, norm: bool = True) -> nn.Sequential:
    layers: dict[str, nn.Layer] = {
        "conv": nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False, init=INIT)
    }
    if norm:
        layers["norm"] = nn.BatchNorm2d(outputs)
    return nn.Sequential(**layers, relu=nn.LeakyReLU(0.2))


def _halved(image_shape: Shape) -> tuple[int, int]:
    """Extent after halving while it is even and more than 4, and how often that was."""
    extent, times = image_shape[1], 0
    while extent % 2 == 0 and extent > 4:
        extent, times = extent // 2, times + 1
    if image_shape[1] != image_shape[2] or times == 0 or extent > 7:
        raise ValueError(
            f"image of shape {image_shape}: allowed are squares of 3 to 7 pixels doubled some "
            f"times, such as 28, 32 and 64"
        )
    return extent, times
