"""Other spellings of PyTorch's functions, whose arguments stand in another order or place."""

import functools
from collections.abc import Callable
from typing import Any

import torch

from pycnn.torch.register import functions


def _never(input: Any) -> Any:
    return torch.zeros((), dtype=torch.bool, device=input.device)


def _mm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    _check("mm", out, {"input": (input, 2), "mat2": (mat2, 2)})
    return functions["matmul"](input, mat2)


def _addmm(
    input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    _check("addmm", out, {"mat1": (mat1, 2), "mat2": (mat2, 2)})
    return _sum(input, functions["matmul"](mat1, mat2), beta, alpha)


def _baddbmm(
    input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    _check("baddbmm", out, {"batch1": (batch1, 3), "batch2": (batch2, 3)})
    return _sum(input, functions["bmm"](batch1, batch2), beta, alpha)


def _sum(input: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """beta * input + alpha * product, by PyTorch; with beta 0 the input is not looked at."""
    product = product if alpha == 1 else product * alpha
    if input.dtype != product.dtype:
        raise TypeError(f"input is {input.dtype}; allowed: {product.dtype}, as the matrices are")
    if torch.broadcast_shapes(input.shape, product.shape) != product.shape:
        raise ValueError(f"input has shape {tuple(input.shape)}; allowed: {tuple(product.shape)}")
    if beta == 0:  # chosen from, as its gradient is 0 and not None
        return torch.where(_never(input), input, product) if input.requires_grad else product
    return torch.add(product, input, alpha=beta)


def _check(name: str, out: Any, ranks: dict[str, tuple[Any, int]]) -> None:
    if out is not None:
        raise ValueError(f"{name} was given out, which pycnn lacks; allowed: None")
    for argument, (tensor, rank) in ranks.items():
        if tensor.ndim != rank:
            raise ValueError(f"{argument} has {tensor.ndim} axes; allowed: {rank}")


def _cat(tensors: Any, dim: int = 0, *, axis: int | None = None, out: Any = None) -> Any:
    """Of the widest dtype, as PyTorch has it; vectors of no elements go with any shape."""
    _check("cat", out, {})
    tensors = [t for t in tensors if t.shape != (0,)] or [*tensors]
    kinds = {tensor.dtype for tensor in tensors}
    if len(kinds) > 1:
        widest = functools.reduce(torch.promote_types, kinds)
        tensors = [tensor.to(widest) for tensor in tensors]
    return functions["concat"](tensors, dim if axis is None else axis)


def _operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """For ``@``, where Python takes a `TypeError` for "no such operator" and drops its words."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            raise ValueError(str(error)) from error

    call.__name__ = function.__name__
    return call


def _without_cudnn(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `torch` has it, with the argument at the end that says whether cuDNN may be used."""

    def call(
        input: Any, *args: Any, cudnn_enabled: bool = True, cudnn_enable: bool = True, **rest: Any
    ) -> Any:
        if args and isinstance(args[-1], bool):
            args = args[:-1]
        return function(input, *args, **rest)

    call.__name__ = function.__name__
    return call


def _parameters_first(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `torch` has it, with weight and bias before the running statistics."""

    def call(
        input: Any,
        weight: Any,
        bias: Any,
        running_mean: Any,
        running_var: Any,
        training: bool,  # of an instance norm: whether the input's own statistics are used
        momentum: float,
        eps: float,
        cudnn_enabled: bool,
    ) -> Any:
        return function(input, running_mean, running_var, weight, bias, training, momentum, eps)

    call.__name__ = function.__name__
    return call


def spellings(table: dict[Any, Callable[..., Any]]) -> dict[Any, Callable[..., Any]]:
    """What is to be put beside the functions of `torch.nn.functional` in `table`."""
    plain = torch.nn.functional
    more: dict[Any, Callable[..., Any]] = {}
    for name in ("batch_norm", "instance_norm"):
        more[getattr(torch, name)] = _parameters_first(table[getattr(plain, name)])
    for name, function in {"mm": _mm, "addmm": _addmm, "baddbmm": _baddbmm}.items():
        function.__name__ = name
        more |= {getattr(torch, name): function, getattr(torch.Tensor, name): function}
    _cat.__name__ = "cat"
    more |= dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _cat)
    for name in ("layer_norm", "group_norm"):
        more[getattr(torch, name)] = _without_cudnn(table[getattr(plain, name)])
    for method in (torch.Tensor.__matmul__, torch.Tensor.matmul):  # PyTorch calls both the latter
        more[method] = _operator(table[torch.matmul])
    for name in ("selu", "celu", "dropout"):
        more[getattr(torch, name)] = table[getattr(plain, name)]
    return more
