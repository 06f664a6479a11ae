"""`torch.autocast` for what pycnn computes: its dtypes, by the kind of the function.

Products and convolutions are computed in autocast's dtype, costs and samples of a grid in float32,
a concatenation in the widest dtype of its tensors. Normalisation keeps the dtype of x beside
parameters of float32. Everything else has the dtype that it is given. float64 stays what it is.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch

Adapter = Callable[..., Any]

_LOWER = {
    *(f"conv{n}d" for n in (1, 2, 3)),
    *(f"conv_transpose{n}d" for n in (1, 2, 3)),
    *("linear", "matmul", "bmm", "mm", "addmm", "baddbmm", "prelu"),
}
_FULL = {
    *("cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div"),
    *("binary_cross_entropy", "binary_cross_entropy_with_logits", "grid_sample"),
}
_WIDEST = {"cat"}
_NORMS = {"batch_norm", "group_norm", "layer_norm", "instance_norm"}


def casting(name: str, adapter: Adapter) -> Adapter:
    """`adapter`, whose operands are cast where autocast is on."""
    if name not in _LOWER | _FULL | _WIDEST | _NORMS:
        return adapter

    def call(*args: Any, **kwargs: Any) -> Any:
        floats = list(_floats((args, kwargs)))
        if not floats or not torch.is_autocast_enabled(floats[0].device.type):
            return adapter(*args, **kwargs)
        back = None
        if name in _LOWER:
            dtype = torch.get_autocast_dtype(floats[0].device.type)
        elif name in _FULL:
            dtype = torch.float32
        else:
            dtype = max((t.dtype for t in floats), key=lambda d: d.itemsize)
            back = floats[0].dtype if name in _NORMS else None
        result = adapter(*_cast(args, dtype), **_cast(kwargs, dtype))
        return result if back is None else result.to(back)

    call.__name__ = name
    return call


def _floats(value: Any) -> Iterator[torch.Tensor]:
    """The tensors that autocast may cast."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point() and value.dtype is not torch.float64:
            yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _floats(part)
    elif isinstance(value, dict):
        yield from _floats(list(value.values()))


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if next(_floats(value), None) is not None else value
    if isinstance(value, (list, tuple)):
        return type(value)([_cast(part, dtype) for part in value])
    if isinstance(value, dict):
        return {name: _cast(part, dtype) for name, part in value.items()}
    return value
