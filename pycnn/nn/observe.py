"""Watching the layers of a network while it computes, and computing as in use."""

from collections.abc import Iterator
from contextlib import contextmanager

from pycnn.nn.layer import OBSERVERS, Layer, Observer
from pycnn.runtime.context import held


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Call ``observer(layer, x, y)`` after the forward pass of every layer, inner ones first.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn
    >>> seen = []
    >>> with nn.observing(lambda layer, x, y: seen.append(repr(layer))):
    ...     y = nn.Sequential(nn.ReLU(), nn.Flatten())(np.ones((1, 2, 3)))
    >>> seen[:2]
    ['ReLU()', 'Flatten()']
    """
    with held(OBSERVERS, (*OBSERVERS.get(), observer)):
        yield


@contextmanager
def evaluating(model: Layer) -> Iterator[None]:
    """Evaluation mode inside; every layer in its own mode again afterwards."""
    modes = [(layer, layer.training) for _, layer in model.named_layers()]
    model.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


def check_evaluating(model: Layer, before: str) -> None:
    """Every layer is in evaluation mode, as it has to be `before` something."""
    for path, layer in model.named_layers():
        if layer.training:
            where = f"layer {path}, {layer!r}," if path else "the model"
            raise ValueError(f"{where} is in training mode; call model.eval() before {before}")
