"""What a classifier gives: which layer comes last, and probabilities, whatever that is."""

from typing import Any

import pycnn
from pycnn.nn.activation import LogSoftmax, Sigmoid, Softmax
from pycnn.nn.arrays import library
from pycnn.nn.combine import Sequential
from pycnn.nn.layer import Layer
from pycnn.nn.module import join
from pycnn.nn.observe import evaluating


def in_line(layer: Layer, path: str = "") -> list[tuple[str, Layer]]:
    """Layers that stand one after the other, with what is sequential opened."""
    if not isinstance(layer, Sequential):
        return [(path, layer)]
    return [
        leaf for name, child in layer.children.items() for leaf in in_line(child, join(path, name))
    ]


def last_layer(model: Layer) -> Layer:
    """The layer whose result is the model's."""
    return [("", model), *in_line(model)][-1][1]


def probabilities(model: Layer, x: Any) -> Any:
    """Probabilities of the classes, (N, classes), for inputs (N, C, H, W).

    Scores become probabilities by softmax; what a softmax, its logarithm or a sigmoid at the end
    of the model gives is taken as that.

    Raises
    ------
    ValueError
        If the model does not give one row of scores for an image.
    """
    with evaluating(model):
        scores = model(x)
    if scores.ndim != 2:
        raise ValueError(
            f"the model makes {scores.shape[1:]} of an image; allowed: scores of classes"
        )
    last = last_layer(model)
    if isinstance(last, Softmax | Sigmoid) or getattr(last, "activation", None) == "sigmoid":
        return scores
    return library(scores).exp(scores) if isinstance(last, LogSoftmax) else pycnn.softmax(scores)
