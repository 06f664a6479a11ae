"""Fold batch normalisation and activation into the convolution before them, for inference."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn.nn import activation, convolution
from pycnn.nn.combine import Combined, Identity, Sequential, Tap
from pycnn.nn.layer import Layer
from pycnn.nn.normalisation import _BatchNorm

#: Activations that the kernels compute as they write.
FUSED: dict[type[Layer], str] = {
    activation.ReLU: "relu",
    activation.ReLU6: "relu6",
    activation.SiLU: "silu",
    activation.Sigmoid: "sigmoid",
}


@dataclass(frozen=True)
class Fused:
    """What became one: names of the layers, the first of which does the work now."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return " + ".join(self.names)


def fuse(model: Layer) -> list[Fused]:
    """Fold, in place, and say what was folded.

    In every `Sequential`, a convolution or dense layer takes in the batch normalisation and the
    activation (ReLU, ReLU6, SiLU, sigmoid) that follow it; taps lose their heads. A layer with a
    `compute` of its own is left as it is; a dense layer with a normalisation of axis 1 takes only
    x (N, F) afterwards. The model is in evaluation mode then, and has no backward pass where an
    activation went in.

    Parameters
    ----------
    model : Layer

    Returns
    -------
    list of Fused

    Raises
    ------
    ValueError
        If a layer is in training mode: statistics must be final. Call ``model.eval()`` first.

    Notes
    -----
    Weights are multiplied by ``weight / sqrt(running_var + eps)`` in float64 and rounded once.

    References
    ----------
    B. Jacob et al., "Quantization and training of neural networks ...", 2018, section 3.2.

    Examples
    --------
    >>> from pycnn import nn
    >>> model = nn.Sequential(
    ...     conv=nn.Conv2d(3, 8, 3, bias=False), norm=nn.BatchNorm2d(8), act=nn.ReLU()
    ... ).eval()
    >>> print(*nn.fuse(model))
    conv + norm + act
    >>> model.at("conv")
    Conv2d(3, 8, 3, activation='relu')
    """
    for path, layer in model.named_layers():
        if layer.training:
            where = f"layer {path}, {layer!r}," if path else "the model"
            raise ValueError(f"{where} is in training mode; call model.eval() before fuse")
    model.recipe = None  # it is not what was made any more
    report: list[Fused] = []
    for path, layer in list(model.named_layers()):
        if _computes_as(layer, Sequential):
            report += _fuse_sequence(path, layer)
        if isinstance(layer, Combined):
            for name, child in layer.children.items():
                if isinstance(child, Tap):
                    layer.children[name] = Identity()
    return report


def _fuse_sequence(path: str, sequence: Any) -> list[Fused]:
    report = []
    names = list(sequence.children)
    while names:
        first, *names = names
        layer = sequence.children[first]
        if not _computes_as(layer, convolution._Convolution, convolution.Linear):
            continue
        taken = [first]
        if names and _folds(layer, sequence.children[names[0]]):
            _fold(layer, sequence.children[names[0]])
            taken.append(names.pop(0))
        if names and layer.activation is None:
            kind = FUSED.get(type(sequence.children[names[0]]))
            if kind is not None:
                layer.activation = kind
                taken.append(names.pop(0))
        for name in taken[1:]:
            del sequence.children[name]
        if len(taken) > 1:
            report.append(Fused(tuple(f"{path}.{n}" if path else n for n in taken)))
    return report


def _computes_as(layer: Layer, *classes: type[Layer]) -> bool:
    """Whether it is of one of the classes, or derived from it with the same `compute`."""
    return any(isinstance(layer, c) and type(layer).compute is c.compute for c in classes)


def _folds(layer: Any, norm: Any) -> bool:
    if not _computes_as(norm, _BatchNorm) or layer.activation is not None:
        return False
    if isinstance(layer, convolution.Linear):
        return bool(norm.num_features == layer.out_features)
    same = norm.layout == layer.settings["layout"]
    return bool(same and norm.num_features == layer.out_channels)


def _fold(layer: Any, norm: Any) -> None:
    weight = layer.params["weight"]
    scale = 1 / (norm.buffers["running_var"].astype(np.float64) + norm.eps) ** 0.5
    if norm.params:
        scale = scale * norm.params["weight"]
    shift = -norm.buffers["running_mean"] * scale
    if norm.params:
        shift = shift + norm.params["bias"]
    if "bias" in layer.params:
        shift = shift + layer.params["bias"] * scale
    layer.params = {  # anew: other layers may share the arrays
        "weight": (weight * _along_filters(layer, scale)).astype(weight.dtype),
        "bias": shift.astype(weight.dtype),
    }
    if isinstance(layer, convolution.Linear) and norm.layout == "NCHW":
        layer.rank = 2  # of more axes, its channels are not those that the dense layer makes
    layer.grads = {}


def _along_filters(layer: Any, scale: Any) -> Any:
    """`scale`, one a filter, in a shape that multiplies the weights of the layer."""
    weight = layer.params["weight"]
    taps = (1,) * (weight.ndim - 2)
    if not getattr(layer, "transposed", False):
        return scale.reshape(-1, 1, *taps)
    groups = layer.settings["groups"]  # weights (C, K/G, ...): group g of C meets group g of K
    spread = scale.reshape(groups, 1, -1)
    return spread.repeat(weight.shape[0] // groups, axis=1).reshape(*weight.shape[:2], *taps)
