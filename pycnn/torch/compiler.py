"""A backend of `torch.compile`: the graph that PyTorch captured, with our functions in it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from pycnn.torch.functional import TABLE


def compile_backend(graph: torch.fx.GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
    """For ``torch.compile(model, backend="pycnn")``, or as the argument itself.

    Functions that pycnn has are computed by it, all others by PyTorch, one after the other.
    """
    for node in graph.graph.nodes:
        target = node.target
        if node.op == "call_method":
            target = getattr(torch.Tensor, target, None)
        if node.op in ("call_function", "call_method") and target in TABLE:
            node.op, node.target = "call_function", TABLE[target]
    graph.recompile()
    forward: Callable[..., Any] = graph.forward
    return forward
