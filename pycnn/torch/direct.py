"""The short way of a call: to the operation itself, without PyTorch's dispatcher.

To a Python kernel the dispatcher costs several times the work of a small call, and what
`torch.library` puts around it for autograd as much again. It is needed where somebody listens
there: a compiler, a tracer, a transform, a mode or a profiler. Ordinary tensors on the CPU with
nobody listening go straight to the operation, and through a `torch.autograd.Function` where a
gradient is wanted: the same rule, the same results.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch.autograd import forward_ad

#: What `way` says.
DISPATCHER, GRADIENT, PLAIN = range(3)

_TENSORS = (torch.Tensor, torch.nn.Parameter)
_C: Any = torch._C
_modes, _functions = _C._len_torch_dispatch_stack, _C._len_torch_function_stack
_transforms, _tracing = _C._functorch.maybe_current_level, _C._get_tracing_state
_profiling, _compiling = torch.autograd._profiler_enabled, torch.compiler.is_compiling
_records = torch.is_grad_enabled


def way(tensors: Iterable[Any]) -> int:
    """By which way a call of these goes: ordinary tensors on the CPU, and nobody listening?

    Raises
    ------
    NotImplementedError
        If one has a tangent of forward-mode differentiation, which PyTorch would drop in silence.
    """
    if _compiling():  # first: a compiler reads no further
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
            if type(tensor) not in _TENSORS or not tensor.is_cpu:
                return DISPATCHER
            wanted = wanted or tensor.requires_grad
    if (
        _modes()
        or _functions()
        or _transforms() is not None
        or _tracing() is not None
        or _profiling()
        or forward_ad._current_level >= 0
    ):
        return DISPATCHER
    return GRADIENT if wanted and _records() else PLAIN


def _tangent(tensor: torch.Tensor) -> Any:
    return forward_ad.unpack_dual(tensor).tangent


def differentiable(registered: Any, rule: Any) -> Any:
    """A function of (settings, *tensors) with a gradient, that `torch.library` would have made."""
    encoders = {a.name: a.encode for a in registered.arguments if not isinstance(a, str)}
    places = ["", *rule.tensors]

    class Direct(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, settings: dict[str, Any], *tensors: Any) -> Any:
            named = dict(zip(rule.tensors, tensors, strict=True))
            output = registered.on_memory(named, settings)
            ctx.places = places
            named.update({name: encode(settings[name]) for name, encode in encoders.items()})
            rule.keep(ctx, named, output)
            return output

        backward = staticmethod(rule.backward)

    return Direct.apply
