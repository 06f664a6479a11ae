"""Fold what follows a convolution into it, for inference: normalisation, sum, activation."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn.define.trace import is_tracing
from pycnn.nn.activation import ReLU, ReLU6, Sigmoid, SiLU
from pycnn.nn.combine import Combined, Identity, Sequential, Sum, Tap
from pycnn.nn.convolution import Linear, _Convolution
from pycnn.nn.layer import Layer
from pycnn.nn.module import join
from pycnn.nn.normalisation import _BatchNorm
from pycnn.nn.observe import check_evaluating

#: Activations that the kernels compute as they write.
FUSED: dict[type[Layer], str] = {
    kind: kind.operation.__name__ for kind in (ReLU, ReLU6, SiLU, Sigmoid)
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
    activation (ReLU, ReLU6, SiLU, sigmoid) that follow it; in every `Sum`, a convolution that ends
    a branch adds the other branches to its result, and takes in the activation that follows the
    sum; taps lose their heads. A layer with a `compute` of its own is left as it is, and so is one
    that stands at several places; a dense layer with a normalisation of axis 1 takes only x (N, F)
    afterwards. The model is in evaluation mode then, and has no backward pass where an activation
    went in.

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
    Weights are multiplied by ``weight / sqrt(running_var + eps)`` in float64 and rounded once, and
    by the `scale` of a sum once more. A sum and its activation are computed in the precision of
    sums then, and rounded once.

    References
    ----------
    B. Jacob et al., "Quantization and training of neural networks ...", 2018, section 3.2.

    Examples
    --------
    >>> from pycnn import nn
    >>> block = nn.Sequential(
    ...     sum=nn.Sum(conv=nn.Conv2d(3, 3, 1), short=nn.Identity()), act=nn.ReLU()
    ... ).eval()
    >>> print(*nn.fuse(block))
    sum.conv + sum + act
    >>> model = nn.Sequential(
    ...     conv=nn.Conv2d(3, 8, 3, bias=False), norm=nn.BatchNorm2d(8), act=nn.ReLU()
    ... ).eval()
    >>> print(*nn.fuse(model))
    conv + norm + act
    >>> model.at("conv")
    Conv2d(3, 8, 3, activation='relu')
    """
    check_evaluating(model, "fuse")
    model.recipe = {**(model.recipe or {}), "fused": True}
    layers = list(model.named_layers())
    took: dict[str, list[str]] = {path: [path] for path, _ in layers}
    shared = standing_twice(layers)
    for path, layer in reversed(layers):  # what is inside comes first
        if computes_as(layer, Sequential):
            _fuse_sequence(path, layer, took, shared)
        if computes_as(layer, Sum):
            _fuse_sum(path, layer, took, shared)
        if isinstance(layer, Combined):
            for name, child in layer.children.items():
                if isinstance(child, Tap):
                    layer.children[name] = Identity()
    return [Fused(tuple(names)) for names in took.values() if len(names) > 1]


def standing_twice(layers: list[tuple[str, Layer]]) -> set[int]:
    """By identity, those that several others hold, or one by several names."""
    places: dict[int, set[tuple[int, str]]] = {}
    for _, layer in layers:
        for name, child in layer.children.items():
            places.setdefault(id(child), set()).add((id(layer), name))
    return {child for child, at in places.items() if len(at) > 1}


def _fuse_sequence(path: str, sequence: Any, took: dict[str, list[str]], shared: set[int]) -> None:
    taker: Any = None  # of what follows
    before: Any = None  # the convolution just before
    for name, child in list(sequence.children.items()):
        if taker is not None and taker is before and _folds(taker, child):
            _fold(taker, child)
            taker.activation = child.activation
        elif taker is not None and taker.activation is None and type(child) in FUSED:
            taker.activation = FUSED[type(child)]
        else:
            where, taker = join(path, name), None
            if id(child) in shared:  # what follows it here does not follow it there
                continue
            if computes_as(child, Sum) and child.adds is not None:
                where, taker = last(join(where, child.adds), child.children[child.adds], shared)
            elif computes_as(child, _Convolution, Linear):
                taker = before = child
            continue
        before = None
        del sequence.children[name]
        took[where].append(join(path, name))


def _fuse_sum(path: str, total: Any, took: dict[str, list[str]], shared: set[int]) -> None:
    """Have the convolution at the end of a branch add the others."""
    for name in total.children if len(total) > 1 and total.adds is None else ():
        where, layer = last(join(path, name), total.children[name], shared)
        if not computes_as(layer, _Convolution) or layer.activation or id(layer) in shared:
            continue
        if total.scale != 1.0:
            if name != next(iter(total.children)):
                return
            _rescale(layer, total.scale, 0)
            total.scale = 1.0
        total.adds = name
        took[where].append(path or "the model")
        return


def last(path: str, layer: Any, shared: set[int]) -> tuple[str, Any]:
    """Path and layer of what computes the result of sequences last; of shared ones, themselves."""
    while computes_as(layer, Sequential) and layer.children and id(layer) not in shared:
        name = list(layer.children)[-1]
        path, layer = join(path, name), layer.children[name]
    return path, layer


def computes_as(layer: Layer, *classes: type[Layer]) -> bool:
    """Whether it is of one of the classes, or derived from it and computes the same way."""
    kind = type(layer)
    return any(
        isinstance(layer, c) and (kind.compute, kind.compute_onto) == (c.compute, c.compute_onto)
        for c in classes
    )


def _folds(layer: Any, norm: Any) -> bool:
    if not computes_as(norm, _BatchNorm) or layer.activation is not None:
        return False
    if isinstance(layer, Linear):
        return bool(norm.num_features == layer.out_features)
    same = norm.layout == layer.settings["layout"]
    return bool(same and norm.num_features == layer.out_channels)


def _fold(layer: Any, norm: Any) -> None:
    scale = 1 / (norm.buffers["running_var"].astype(np.float64) + norm.eps) ** 0.5
    if norm.params:
        scale = scale * norm.params["weight"]
    _rescale(layer, scale, norm.params.get("bias", 0.0) - norm.buffers["running_mean"] * scale)
    if isinstance(layer, Linear) and norm.layout == "NCHW":
        layer.rank = 2  # of more axes, its channels are not those that the dense layer makes


def _rescale(layer: Any, scale: Any, shift: Any) -> None:
    """Have the layer compute y * scale + shift, each one number or one a filter."""
    weight = layer.params["weight"]
    if "bias" in layer.params:
        shift = shift + layer.params["bias"] * scale
    by = scale if isinstance(scale, float) else _along_filters(layer, scale)
    if not is_tracing():  # a placeholder stays one
        weight = (weight * by).astype(weight.dtype)
    layer.params = {"weight": weight}  # anew: others may share it
    if not isinstance(shift, int):
        layer.params["bias"] = shift.astype(weight.dtype)
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
