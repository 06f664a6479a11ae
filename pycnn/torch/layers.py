"""PyTorch's layers computed by pycnn: `replace` puts them into a model, `restore` takes them out.

``pycnn.torch.layers.Conv2d`` is `torch.nn.Conv2d` whose ``forward`` runs as inside `backend`. It
has the same parameters, buffers, hooks and names, so a layer changes its class and nothing else:
optimisers and state dicts stay what they are.
"""

from collections.abc import Collection
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from pycnn.torch.mode import Uncounted

#: Layers all of whose work is in functions that pycnn has.
NAMES = (
    *(f"{kind}{n}d" for kind in ("Conv", "ConvTranspose", "MaxPool", "AvgPool", "AdaptiveAvgPool",
      "AdaptiveMaxPool", "LPPool", "MaxUnpool", "BatchNorm", "InstanceNorm") for n in (1, 2, 3)),
    *("ReLU", "ReLU6", "Hardtanh", "LeakyReLU", "ELU", "SELU", "CELU", "Sigmoid", "Hardsigmoid"),
    *("Tanh", "Softplus", "Softsign", "GELU", "SiLU", "Hardswish", "Mish", "PReLU"),
    *("GroupNorm", "LayerNorm", "LocalResponseNorm", "Softmax", "LogSoftmax", "Softmax2d"),
    *("Linear", "Dropout", "Dropout2d", "Fold", "Unfold", "Upsample"),
    *("UpsamplingNearest2d", "UpsamplingBilinear2d"),
    *(f"{kind}Pad{n}d" for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular")
      for n in (1, 2, 3)),
    *("PixelShuffle", "PixelUnshuffle", "ChannelShuffle"),
    *("CrossEntropyLoss", "NLLLoss", "MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"),
    *("KLDivLoss", "BCELoss", "BCEWithLogitsLoss"),
)  # fmt: skip


class Replaced:
    """A layer that pycnn computes; `kind` is the class it was of."""

    kind: type[nn.Module]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with Uncounted():
            return self.kind.forward(self, *args, **kwargs)

    def _get_name(self) -> str:
        """What ``print(model)`` calls the layer."""
        return f"pycnn.{self.kind.__name__}"


def _ours(kind: type[nn.Module]) -> type[nn.Module]:
    members = {"kind": kind, "__doc__": f"`torch.nn.{kind.__name__}` computed by pycnn."}
    return type(kind.__name__, (Replaced, kind), {**members, "__module__": __name__})


#: From PyTorch's class to ours.
OURS = {getattr(nn, name): _ours(getattr(nn, name)) for name in NAMES}

globals().update({kind.__name__: ours for kind, ours in OURS.items()})


def replace(model: nn.Module, skip: Collection[str] = ()) -> nn.Module:
    """Have pycnn compute the layers of `model` that it has, in place.

    Parameters
    ----------
    model : torch.nn.Module
        Any model. Layers of a class of the user's stay as they are, also one derived from
        PyTorch's. Undo `replace` before a parametrization (``weight_norm``) is removed.
    skip : collection of str, optional
        Paths of layers to leave to PyTorch, as ``named_modules`` has them.

    Returns
    -------
    torch.nn.Module
        `model` itself.

    Raises
    ------
    ValueError
        If there is no layer at a path of `skip`.

    Examples
    --------
    >>> import torch, pycnn.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    >>> pycnn.torch.replace(model)
    Sequential(
      (0): pycnn.Linear(in_features=2, out_features=3, bias=True)
      (1): pycnn.ReLU()
    )
    >>> type(pycnn.torch.restore(model)[0])
    <class 'torch.nn.modules.linear.Linear'>
    """
    layers = dict(model.named_modules())
    for path in skip:
        if path not in layers:
            raise ValueError(f"skip={path!r}; allowed: {', '.join(filter(None, layers))}")
    for path, layer in layers.items():
        if path in skip:
            continue
        if type(layer) in OURS:
            layer.__class__ = OURS[type(layer)]
        elif parametrize.is_parametrized(layer) and type(layer).__bases__[0] in OURS:
            layer.__class__ = _ours(type(layer))  # a class of this layer alone
    return model


def restore(model: nn.Module) -> nn.Module:
    """Undo `replace`, in place; returns `model` itself."""
    for layer in model.modules():
        if isinstance(layer, Replaced):
            layer.__class__ = layer.kind
    return model


def replaced(model: torch.nn.Module) -> list[str]:
    """Paths of the layers that pycnn computes."""
    return [path for path, layer in model.named_modules() if isinstance(layer, Replaced)]
