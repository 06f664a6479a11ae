"""State dicts of PyTorch models, in torchvision's layout, for the same networks here."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from pycnn import nn

M = TypeVar("M", bound=nn.Layer)

#: What PyTorch counts and nothing here needs.
_COUNTER = "num_batches_tracked"

#: Layouts whose layers stand in the order of ours: ResNets, and what has `features` and
#: `classifier` (VGG, AlexNet, SqueezeNet).
_KNOWN = (
    r"(conv1|bn1|fc|layer\d\.\d+\.(conv[123]|bn[123]|downsample\.[01]))\.\w+",
    r"(features|classifier)\.\d+(\.(squeeze|expand1x1|expand3x3))?\.\w+",
)


def load_torch_state(model: M, state: Mapping[str, Any]) -> M:
    """Copy the state dict of a PyTorch model into the same network of pycnn.

    Parameters
    ----------
    model : Layer
        Such as ``models.create("resnet18")``, or layers with the names of the PyTorch model.
    state : mapping of str to tensor or array
        ``state_dict()`` of a model that names its layers as `model` does, or of torchvision's
        ResNet, VGG, AlexNet or SqueezeNet 1.1. Of the dtype of `model`. From 50 layers on its
        ResNets are ours with ``halve="3x3"``.

    Returns
    -------
    Layer
        `model` itself.

    Raises
    ------
    ValueError
        If the layout is another, or a layer has another kind or shape; nothing is changed.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import models, nn
    >>> state = {"0.weight": np.ones((2, 3), np.float32), "0.bias": np.zeros(2, np.float32)}
    >>> model = models.load_torch_state(nn.Sequential(nn.Linear(3, 2)), state)
    >>> float(model.state_dict()["0.weight"].sum())
    6.0
    """
    arrays = {n: _array(a) for n, a in state.items() if n.rpartition(".")[2] != _COUNTER}
    own = model.state_dict()
    if arrays.keys() != own.keys():
        if any(".conv3." in name for name in arrays):
            _check_halving(model)
        arrays = _renamed(arrays, own)
    model.load_state_dict(arrays)
    return model


def _check_halving(model: nn.Layer) -> None:
    """The same weights fit a ResNet that halves elsewhere, and mean nothing there."""
    if ((model.recipe or {}).get("arguments") or {}).get("halve") != "3x3":
        raise ValueError(
            "state is of a ResNet with bottlenecks, which halve in their 3x3 convolution; allowed: "
            'a model of models.create("resnet50", halve="3x3") or deeper'
        )


def _renamed(theirs: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`theirs` under the names of `own`, layer by layer in their order."""
    if not any(all(re.fullmatch(known, name) for name in theirs) for known in _KNOWN):
        raise ValueError(
            "state has the layout of no model known; allowed: the model's own names, or those of "
            "torchvision's resnet, vgg, alexnet, squeezenet1_1"
        )
    ours, given = _layers(own), _layers(theirs)
    if len(ours) != len(given):
        raise ValueError(f"state has {len(given)} layers with weights; allowed: {len(ours)}")
    renamed: dict[str, Any] = {}
    for (path, arrays), (their_path, their_arrays) in zip(ours.items(), given.items(), strict=True):
        shapes, their_shapes = (
            {key: tuple(a.shape) for key, a in each.items()} for each in (arrays, their_arrays)
        )
        if shapes != their_shapes:
            raise ValueError(
                f"state has {their_path} of {their_shapes}; allowed: {shapes}, as {path} has"
            )
        renamed |= {f"{path}.{key}": array for key, array in their_arrays.items()}
    return renamed


def _layers(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Arrays by layer, and by key in it."""
    layers: dict[str, dict[str, Any]] = {}
    for name, array in state.items():
        path, _, key = name.rpartition(".")
        layers.setdefault(path, {})[key] = array
    return layers


def _array(value: Any) -> np.ndarray:
    """In memory of this process, as NumPy sees it."""
    if hasattr(value, "detach"):  # PyTorch's
        value = value.detach().cpu().numpy()
    return np.asarray(value)
