"""Why weights are shared: what a convolution would need without.

A fully connected layer has a weight for every pair of an input and an output; a locally connected
one, whose outputs see a window each, has filters of its own at every place; a convolution uses the
same filters everywhere.

References
----------
Y. LeCun, "Generalization and network design strategies", 1989, section 4.
"""

from math import prod
from typing import NamedTuple

from pycnn.define.call import Call
from pycnn.nn.layer import Layer
from pycnn.see.trace import Step, trace


class Sharing(NamedTuple):
    """Weights, without biases, of three layers from the same input to the same output."""

    fully_connected: int
    locally_connected: int
    shared: int


def sharing(layer: Layer, input_shape: tuple[int, ...]) -> Sharing:
    """The weights of a convolution, and of layers in its place that share none.

    Parameters
    ----------
    layer : Layer
        A convolution, transposed or not.
    input_shape : tuple of int
        Of one example.

    Raises
    ------
    ValueError
        If the layer is no convolution, or cannot take the input.

    Examples
    --------
    A million hidden units over an image of a million pixels, each seeing 10x10 of them:

    >>> from pycnn import nn
    >>> sharing(nn.Conv2d(1, 1, 10, padding="same", bias=False), (1, 1000, 1000))
    Sharing(fully_connected=1000000000000, locally_connected=100000000, shared=100)
    """
    weights = of_step(trace(layer, input_shape)[-1])
    if weights is None:
        raise ValueError(f"layer={layer!r}: allowed is a convolution")
    return weights


def of_step(step: Step) -> Sharing | None:
    """The same for a layer that was traced; None if it is no convolution."""
    for traced in step.own:
        if traced.operation.family == "conv":
            return _of_call(traced.call)
    return None


def _of_call(call: Call) -> Sharing:
    shapes = call.shapes
    shared = prod(shapes["weight"])
    inputs, outputs = (prod(shapes[name][1:]) for name in "xy")
    places = call.settings.problem.pixels  # of a transposed one: places of its input
    return Sharing(inputs * outputs, places * shared, shared)
