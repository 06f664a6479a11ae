"""LeNet-5, as it is used today and as it was published."""

from typing import Any

from pycnn import nn, ops
from pycnn.models.blocks import Shape, conv_relu, flat_size, scaled, scores
from pycnn.nn.arrays import library
from pycnn.nn.init import constant, weights
from pycnn.tape import custom_gradient

#: Table I of the paper: the maps of S2 that each map of C3 sees.
CONNECTIONS = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip


def lenet5(
    input_shape: Shape = (1, 28, 28),
    classes: int = 10,
    width: float = 1.0,
    padding: int = 2,
    hidden: tuple[int, int] = (120, 84),
) -> nn.Sequential:
    """LeNet-5 with ReLU and max pooling, as it is trained today.

    6 and 16 filters of 5x5, each followed by 2x2 max pooling, then dense layers.

    Parameters
    ----------
    input_shape : (channels, height, width), default (1, 28, 28)
    classes : int, default 10
    width : float, default 1.0
        Factor of the numbers of filters and hidden units.
    padding : int, default 2
        Of the first convolution, with the pixels at the edges, which are background whatever value
        that has: 2 makes 28x28 digits the 32x32 of the paper; 0 for inputs that are 32x32 already.
    hidden : (int, int), default (120, 84)
        Units of the hidden layers; (120, 100) is common too.

    Returns
    -------
    Sequential

    References
    ----------
    Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    Examples
    --------
    >>> lenet5().parameter_count, lenet5(hidden=(120, 100)).parameter_count
    (61706, 63802)
    """
    first, second = scaled(6, width), scaled(16, width)
    third, fourth = (scaled(units, width) for units in hidden)
    features = nn.Sequential(
        c1=conv_relu(input_shape[0], first, 5, padding=padding, padding_mode="replicate"),
        s2=nn.MaxPool2d(2),
        c3=conv_relu(first, second, 5),
        s4=nn.MaxPool2d(2),
    )
    return nn.Sequential(
        **features.children,
        flatten=nn.Flatten(),
        f5=nn.Linear(flat_size(features, input_shape), third),
        relu5=nn.ReLU(),
        f6=nn.Linear(third, fourth),
        relu6=nn.ReLU(),
        output=scores(fourth, classes),
    )


def lenet5_1998(
    input_shape: Shape = (1, 32, 32), classes: int = 10, width: float = 1.0
) -> nn.Sequential:
    """LeNet-5 as published: scaled tanh, trained subsampling, C3 connected in part.

    Up to F6 it has the paper's 60,000 parameters. The paper's last layer measures distances to
    fixed drawings of the digits; here a dense layer, to be trained with cross-entropy, gives the
    scores, with 850 parameters more.

    Parameters
    ----------
    input_shape : (channels, height, width), default (1, 32, 32)
    classes : int, default 10
    width : float, default 1.0
        Factor of the number of maps and units. With any but 1 the maps of C3 see all of S2, for
        the paper's table holds for 6 and 16 maps.

    Returns
    -------
    Sequential

    References
    ----------
    Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998, section II.B.

    Examples
    --------
    >>> model = lenet5_1998()
    >>> model.parameter_count - model.at("output").parameter_count
    60000
    """
    first, second, third, fourth = (scaled(units, width) for units in (6, 16, 120, 84))
    init = "lecun_uniform"
    c3 = (
        PartialConv2d(first, CONNECTIONS, 5, init=init)
        if width == 1
        else nn.Conv2d(first, second, 5, init=init)
    )
    features = nn.Sequential(
        c1=nn.Conv2d(input_shape[0], first, 5, init=init),
        squash1=ScaledTanh(),
        s2=_subsampling(first),
        c3=c3,
        squash3=ScaledTanh(),
        s4=_subsampling(second),
    )
    return nn.Sequential(
        **features.children,
        flatten=nn.Flatten(),
        c5=nn.Linear(flat_size(features, input_shape), third, init=init),
        squash5=ScaledTanh(),
        f6=nn.Linear(third, fourth, init=init),
        squash6=ScaledTanh(),
        output=scores(fourth, classes),
    )


class Subsampling(nn.Sequential):
    """Mean of 2x2 pixels times a trained factor, plus a trained bias, one of each a map.

    The paper sums the four pixels; with the mean, the factor begins four times as large.

    Attributes
    ----------
    unit : (str, str)
        Diagrams show it as one layer, of this kind and in these words.
    """

    unit = ("pooling", "subsampling 2x2 / 2")


def _subsampling(channels: int) -> Subsampling:
    return Subsampling(
        mean=nn.AvgPool2d(2),
        affine=nn.Conv2d(channels, channels, 1, groups=channels, init="lecun_uniform"),
        squash=ScaledTanh(),
    )


class ScaledTanh(nn.Layer):
    """``1.7159 tanh(2/3 x)``, which takes 1 to 1 and -1 to -1.

    References
    ----------
    Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998, appendix A.

    Examples
    --------
    >>> import numpy as np
    >>> ScaledTanh()(np.array([0.0, 1.0])).round(4)
    array([0., 1.])
    """

    amplitude, slope = 1.7159, 2 / 3
    elementwise = True

    def compute(self, x: Any) -> Any:
        return ops.tanh(x * self.slope) * self.amplitude


class PartialConv2d(nn.Layer):
    """Convolution whose output maps see some of the input maps only.

    Parameters
    ----------
    in_channels : int
    connections : tuple of tuple of int
        For every output map, the input maps it sees.
    kernel_size : int
    init : str, default "he_normal"
    dtype : str, default "float32"

    Examples
    --------
    >>> PartialConv2d(6, CONNECTIONS, 5).parameter_count  # of C3, in the paper
    1516
    """

    def __init__(
        self,
        in_channels: int,
        connections: tuple[tuple[int, ...], ...],
        kernel_size: int,
        *,
        init: str = "he_normal",
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.dense_shape = (len(connections), in_channels, kernel_size, kernel_size)
        pairs = [(k, c) for k, inputs in enumerate(connections) for c in inputs]
        self.filters, self.channels = (list(axis) for axis in zip(*pairs, strict=True))
        dense = weights(self.dense_shape, init, dtype)
        self.params["weight"] = dense[self.filters, self.channels]  # one 5x5 kernel a connection
        self.params["bias"] = constant((len(connections),), 0.0, dtype)

    @property
    def _dense(self) -> Any:
        """The function that puts the kernels among zeros."""
        places = self.filters, self.channels

        @custom_gradient
        def dense(weight: Any) -> Any:
            filters = library(weight).zeros(self.dense_shape, weight.dtype)
            filters[places] = weight
            return filters, lambda gradient: gradient[places]

        return dense

    def compute(self, x: Any) -> Any:
        return ops.conv2d(x, self._dense(self["weight"]), self["bias"])

    def describe(self) -> str:
        outputs, inputs, size, _ = self.dense_shape
        return f"{inputs}, {outputs}, {size}, connections={len(self.filters)}"
