"""The short way of a call: to the operation itself, without PyTorch's dispatcher.

To a Python kernel the dispatcher costs several times the work of a small call, and what
`torch.library` puts around it for autograd as much again. It is needed where somebody listens
there: a compiler, a tracer, a transform, a mode or a profiler. Ordinary tensors on the CPU with
nobody listening go straight to the operation, and through a `torch.autograd.Function` where a
gradient is wanted: the same rule, the same results.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.autograd import forward_ad

#: What `way` says.
DISPATCHER, GRADIENT, PLAIN = range(3)

#: Tensors whose class is none of the user's.
ORDINARY = frozenset((torch.Tensor, torch.nn.Parameter))

_C: Any = torch._C
_modes, _functions = _C._len_torch_dispatch_stack, _C._len_torch_function_stack
_transforms, _tracing = _C._functorch.maybe_current_level, _C._get_tracing_state
_profiling, _compiling = torch.autograd._profiler_enabled, torch.compiler.is_compiling
_records = torch.is_grad_enabled


def heard() -> bool:
    """Whether somebody listens at the dispatcher; a compiler, which reads no further, first."""
    return (
        _compiling()
        or bool(_modes() or _functions())
        or _transforms() is not None
        or _tracing() is not None
        or _profiling()
        or forward_ad._current_level >= 0
    )


def seen(arrays: Mapping[str, Any]) -> dict[str, Any] | None:
    """The memory of ordinary tensors on the CPU that ask for no gradient; None of any others."""
    found: dict[str, Any] = {}
    for name, tensor in arrays.items():
        if tensor is not None:
            if type(tensor) not in ORDINARY or tensor.requires_grad:
                return None
            try:
                tensor = tensor.numpy()
            except (TypeError, RuntimeError):  # on a GPU, sparse, bfloat16, of the other sign
                return None
        found[name] = tensor
    return found


def way(tensors: Iterable[Any]) -> int:
    """By which way a call of these goes: ordinary tensors on the CPU, and nobody listening?

    Raises
    ------
    NotImplementedError
        If one has a tangent of forward-mode differentiation, which PyTorch would drop in silence.
    """
    if _compiling():
        return DISPATCHER
    if forward_ad._current_level >= 0:
        tensors = [*tensors]
        if any(isinstance(t, torch.Tensor) and _tangent(t) is not None for t in tensors):
            raise NotImplementedError(
                "an operation of pycnn was given a tensor with a tangent; allowed: backward, or "
                "torch's own operations in forward-mode differentiation"
            )
    wanted = False
    for tensor in tensors:
        if tensor is not None:
            if type(tensor) not in ORDINARY or not tensor.is_cpu:
                return DISPATCHER
            wanted = wanted or tensor.requires_grad
    if heard():
        return DISPATCHER
    return GRADIENT if wanted and _records() else PLAIN


def _tangent(tensor: torch.Tensor) -> Any:
    return forward_ad.unpack_dual(tensor).tangent


def asking(tensors: Iterable[Any]) -> bool:
    """Whether one of them wants a gradient."""
    return _records() and any(t is not None and t.requires_grad for t in tensors)


def transformed() -> bool:
    """Whether a transform of `torch.func` is at work."""
    return _transforms() is not None


def differentiable(registered: Any, rule: Any) -> tuple[Any, Any]:
    """Functions of (settings, *tensors) with a gradient, that `torch.library` would have made.

    One for ordinary tensors, and one for transforms, of which `torch.library` knows none.
    """
    op = registered.op

    def named(tensors: Any) -> dict[str, Any]:
        if op.takes_list:
            return dict(op.listed(list(tensors)))
        return dict(zip(rule.tensors, tensors, strict=True))

    class Direct(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, settings: dict[str, Any], *tensors: Any) -> Any:
            arrays = named(tensors)
            output = registered.on_memory(arrays, settings)
            rule.keep(ctx, ["", *arrays], arrays, settings, output)
            return output

        backward = staticmethod(rule.backward)

    class Transformed(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(settings: dict[str, Any], *tensors: Any) -> Any:
            return registered.public(tensors, settings)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            settings, *tensors = inputs
            arrays = named(tensors)
            rule.keep(ctx, ["", *arrays], arrays, settings, output)

        backward = staticmethod(rule.backward)

    # What `apply` does beside, for functorch, `heard` has ruled out.
    return super(torch.autograd.Function, Direct).apply, Transformed.apply
