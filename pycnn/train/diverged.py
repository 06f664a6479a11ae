"""Which layer made the first number that is not finite."""

from typing import Any

from pycnn.nn.arrays import library
from pycnn.nn.layer import Layer
from pycnn.nn.observe import observing


class Diverged(ArithmeticError):
    """A loss, parameter or buffer is not finite; says which layer was the first to make it so."""


def first_not_finite(model: Layer, *inputs: Any) -> str:
    """Where the first NaN or infinity comes from, in words.

    Parameters
    ----------
    model : Layer
    *inputs : array
        The batch that led to it; the model is run on it once more.
    """
    if not all(_finite(x) for x in inputs if x.dtype.kind in "fV"):
        return "the input"
    for parameter in model.parameters():
        if not _finite(parameter.value):
            return f"the parameter {parameter.name}"
    names = {id(layer): path for path, layer in model.named_layers()}
    culprits: list[str] = []

    def look(layer: Layer, x: Any, y: Any) -> None:
        if not culprits and not layer.children and not _finite(y):
            culprits.append(f"layer {names[id(layer)] or 'itself'}, {layer!r}")

    with observing(look):
        model(*inputs)
    return culprits[0] if culprits else array_not_finite(model) or "the loss"


def array_not_finite(model: Layer) -> str:
    """The first parameter or buffer that holds NaN or infinity, in words; "" if there is none."""
    parameters = {parameter.name for parameter in model.parameters()}
    for name, array in model.state_dict().items():
        if not _finite(array):
            return f"the {'parameter' if name in parameters else 'buffer'} {name}"
    return ""


def _finite(array: Any) -> bool:
    if isinstance(array, tuple):
        return all(map(_finite, array))
    return bool(library(array).isfinite(array).all())
