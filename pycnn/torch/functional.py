"""PyTorch's functions, and what stands for each of them: one of ours, by the same arguments.

`TABLE` is what `backend`, `replace` and the compiler's backend look in. A function that is in it is
computed by ours or refused; one that is not stays PyTorch's.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from pycnn.torch.autocast import casting
from pycnn.torch.register import functions
from pycnn.torch.spellings import spellings

Adapter = Callable[..., Any]

#: Arguments of PyTorch's past: allowed is only what they are by default.
_GONE = {"size_average": None, "reduce": None, "_stacklevel": 3}

#: Our functions of the same name and meaning, and PyTorch's arguments under our names. What has a
#: minus before it, ours lacks: allowed is None.
_SAME: dict[str, str] = {
    **{f"conv{n}d": "x weight bias stride padding dilation groups" for n in (1, 2, 3)},
    **{
        f"conv_transpose{n}d": "x weight bias stride padding output_padding groups dilation"
        for n in (1, 2, 3)
    },
    **{
        f"max_pool{n}d": "x kernel_size stride padding dilation ceil_mode return_indices"
        for n in (1, 2, 3)
    },
    "avg_pool1d": "x kernel_size stride padding ceil_mode count_include_pad",
    **{
        f"avg_pool{n}d": "x kernel_size stride padding ceil_mode count_include_pad divisor_override"
        for n in (2, 3)
    },
    **{f"adaptive_avg_pool{n}d": "x output_size" for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": "x output_size return_indices" for n in (1, 2, 3)},
    **{f"lp_pool{n}d": "x norm_type kernel_size stride ceil_mode" for n in (1, 2, 3)},
    **{f"max_unpool{n}d": "x indices kernel_size stride padding output_size" for n in (1, 2, 3)},
    "relu": "x inplace",
    "relu6": "x inplace",
    "hardtanh": "x min_val max_val inplace",
    "leaky_relu": "x negative_slope inplace",
    "elu": "x alpha inplace",
    "selu": "x inplace",
    "celu": "x alpha inplace",
    "sigmoid": "x",
    "hardsigmoid": "x inplace",
    "tanh": "x",
    "softplus": "x beta threshold",
    "softsign": "x",
    "gelu": "x",
    "silu": "x inplace",
    "hardswish": "x inplace",
    "mish": "x inplace",
    "prelu": "x weight",
    "linear": "x weight bias",
    "matmul": "a b",
    "bmm": "a b",
    "group_norm": "x num_groups weight bias eps",
    "layer_norm": "x normalized_shape weight bias eps",
    "instance_norm": "x running_mean running_var weight bias use_input_stats momentum eps",
    "local_response_norm": "x size alpha beta k",
    "cross_entropy": "logits target weight size_average ignore_index reduce reduction "
    "label_smoothing",
    "nll_loss": "log_probabilities target weight size_average ignore_index reduce reduction",
    "mse_loss": "x target size_average reduce reduction -weight",
    "l1_loss": "x target size_average reduce reduction -weight",
    "smooth_l1_loss": "x target size_average reduce reduction beta -weight",
    "huber_loss": "x target reduction delta -weight",
    "kl_div": "x target size_average reduce reduction log_target",
    "binary_cross_entropy": "x target weight size_average reduce reduction",
    "binary_cross_entropy_with_logits": "logits target weight size_average reduce reduction "
    "pos_weight",
    "dropout": "x p training inplace",
    "dropout2d": "x p training inplace",
    "interpolate": "x size scale_factor mode align_corners recompute_scale_factor antialias",
    "grid_sample": "x grid mode padding_mode align_corners",
    "pad": "x padding mode value",
    "pixel_shuffle": "x upscale_factor",
    "pixel_unshuffle": "x downscale_factor",
    "channel_shuffle": "x groups",
    "unfold": "x kernel_size dilation padding stride",
    "fold": "x output_size kernel_size dilation padding stride",
}

#: Also functions of `torch` and methods of tensors, with the same arguments.
_METHODS = ("relu", "sigmoid", "tanh", "matmul", "bmm", "prelu")

#: What PyTorch calls an argument that has another name here.
_RENAMED = {
    "pad": "padding",
    "input_size": "x",
    "train": "training",
    "other": "b",
    "mat2": "b",
}


def _adapter(name: str, words: str) -> Adapter:
    names, function = words.replace("-", "").split(), functions[name]
    first = names[0]
    absent = {**_GONE, **{word[1:]: None for word in words.split() if word[0] == "-"}}

    def call(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(names, args, strict=False))
        if len(args) > len(names):
            raise TypeError(f"{name} was given {len(args)} arguments; allowed: {', '.join(names)}")
        for theirs, value in kwargs.items():
            ours = first if theirs in ("input", "self") else _RENAMED.get(theirs, theirs)
            given[ours] = value
        for word in absent.keys() & given.keys():
            default = absent[word]
            if given.pop(word) is not default and word != "_stacklevel":
                raise ValueError(f"{name} was given {word}, which pycnn lacks; allowed: {default}")
        if isinstance(given.get("stride"), (list, tuple)) and not given["stride"]:
            given["stride"] = None  # as PyTorch's own pooling says it
        if "normalized_shape" in given:
            given["normalized_shape"] = tuple(given["normalized_shape"])
        if given.pop("inplace", False):
            return _in_place(function, given)
        return function(**given)

    call.__name__ = name
    return call


def _in_place(function: Adapter, given: dict[str, Any]) -> Any:
    """The result, put where the operand was. Its gradient needs the operand as it was."""
    x = given.pop("x")
    kept = x.clone() if torch.is_grad_enabled() and x.requires_grad else x
    return x.copy_(function(x=kept, **given))


def _with_indices(name: str) -> Adapter:
    plain = TABLE[getattr(functional, name)]

    def call(*args: Any, **kwargs: Any) -> Any:
        count = len(_SAME[name].split()) - 1  # PyTorch calls it with return_indices or without
        return plain(*args[:count], **{**kwargs, "return_indices": True})

    call.__name__ = f"{name}_with_indices"
    return call


def _relu_(x: Any) -> Any:
    return _in_place(functions["relu"], {"x": x})


def _softmax(name: str) -> Adapter:
    function = functions[name]

    def call(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
        if isinstance(_stacklevel, torch.dtype):  # torch.softmax(x, dim, dtype)
            dtype = _stacklevel
        if dim is None:
            dim = 0 if input.ndim in (0, 1, 3) else 1  # what PyTorch takes, and warns of
        return function(input if dtype is None else input.to(dtype), dim)

    call.__name__ = name
    return call


def _interpolate(plain: Adapter) -> Adapter:
    """Also by area, which PyTorch itself makes an adaptive mean of."""

    def call(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
             align_corners: Any = None, recompute_scale_factor: Any = None, antialias: bool = False,
             ) -> Any:  # fmt: skip
        if mode != "area":
            return plain(
                input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias
            )
        refused = {"align_corners": align_corners is not None, "antialias": antialias}
        for name, given in refused.items():
            if given:
                raise ValueError(f"mode='area' with {name}; allowed: without")
        axes = input.ndim - 2
        if not 1 <= axes <= 3:
            raise ValueError(
                f"x has shape {tuple(input.shape)}; allowed: (N, C, 1 to 3 spatial axes)"
            )
        if (size is None) == (scale_factor is None):
            raise ValueError("size and scale_factor; allowed: one of the two")
        if size is None:
            factors = (
                scale_factor if isinstance(scale_factor, (list, tuple)) else [scale_factor] * axes
            )
            size = [int(e * f) for e, f in zip(input.shape[2:], factors, strict=True)]
        size = tuple(size) if isinstance(size, (list, tuple)) else (size,) * axes
        return functions[f"adaptive_avg_pool{axes}d"](input, size if axes > 1 else size[0])

    call.__name__ = "interpolate"
    return call


def _batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if not training:
        return functions["batch_norm"](input, running_mean, running_var, weight, bias, eps=eps)
    y, _, _, mean, var = functions["batch_norm_train"](
        input, running_mean, running_var, weight, bias, momentum=momentum, eps=eps
    )
    with torch.no_grad():
        for running, new in ((running_mean, mean), (running_var, var)):
            if running is not None:
                running.copy_(new)
    return y


def _filled() -> dict[Any, Adapter]:
    table: dict[Any, Adapter] = {}
    for name, words in _SAME.items():
        adapter = _adapter(name, words)
        spaces = (functional, torch, torch.Tensor) if name in _METHODS else (functional,)
        table |= {getattr(space, name): adapter for space in spaces if hasattr(space, name)}
    return table


#: From PyTorch's function to ours.
TABLE = _filled()
for _n in (1, 2, 3):
    for _name in (f"max_pool{_n}d", f"adaptive_max_pool{_n}d"):
        TABLE[getattr(functional, f"_{_name}")] = TABLE[getattr(functional, _name)]
        TABLE[getattr(functional, f"{_name}_with_indices")] = _with_indices(_name)
    TABLE[getattr(torch, f"max_pool{_n}d")] = TABLE[getattr(functional, f"max_pool{_n}d")]
for _name in ("softmax", "log_softmax"):
    for _space in (functional, torch, torch.Tensor):
        TABLE[getattr(_space, _name)] = _softmax(_name)
for _space in (functional, torch, torch.Tensor):
    TABLE[_space.relu_] = _relu_
_batch_norm.__name__ = "batch_norm"
TABLE[functional.batch_norm] = _batch_norm
TABLE[functional.interpolate] = _interpolate(TABLE[functional.interpolate])
TABLE |= spellings(TABLE)
TABLE = {function: casting(adapter.__name__, adapter) for function, adapter in TABLE.items()}
