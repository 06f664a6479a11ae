"""What need not be done at every call: constants folded, dead nodes removed, zeros left out."""

from typing import Any

import numpy as np

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.execute import Step
from pycnn.onnx.graph import Graph, Node
from pycnn.onnx.limits import WHILE_LOADING, limit
from pycnn.runtime.context import held

#: Operators that give something else at every call.
RANDOM = {
    "Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike",
    "RandomUniform", "RandomUniformLike",
}  # fmt: skip

#: Where convolutions of integers have the zero points of x and of the weight.
_ZERO_POINTS = {"ConvInteger": (2, 3), "QLinearConv": (2, 5)}


def simplify(graph: Graph) -> None:
    """Fold, leave out and prune, in place."""
    fold(graph)
    leave_out_zero_points(graph)
    prune(graph)


def leave_out_zero_points(graph: Graph) -> None:
    """Those that are 0, which some kernels want known; of x also where a bias does the same."""
    for node in graph.nodes:
        for body in node.graphs:
            leave_out_zero_points(body)
        for i in _ZERO_POINTS.get(node.operator.type, ()):
            zero = graph.constants.get(node.inputs[i]) if i < len(node.inputs) else None
            if zero is not None and not zero.any():
                node.inputs = (*node.inputs[:i], "", *node.inputs[i + 1 :])
        if node.operator.type == "QLinearConv":
            _into_bias(node, graph.constants)


def _into_bias(node: Node, constants: dict[str, np.ndarray]) -> None:
    """Where nothing is padded, x - z is x and a constant of each filter: modulo 2**32 as all is."""
    _, _, x_zero, weight, _, w_zero, _, _, bias = (*node.inputs, "")[:9]
    padded = any(node.attributes.get("pads") or ()) or "SAME" in node.attributes.get("auto_pad", "")
    known = {x_zero, weight} <= constants.keys() and (not bias or bias in constants)
    if not known or w_zero or padded or constants[x_zero].size != 1 or constants[weight].ndim != 4:
        return
    sums = constants[weight].sum((1, 2, 3), dtype=np.int64) * -int(constants[x_zero].item())
    if bias and constants[bias].shape != sums.shape:
        return
    added = (sums + (constants[bias] if bias else 0)).astype(np.int32)
    name = f"{node.outputs[0]} bias"
    while name in constants:
        name += "'"
    constants[name] = added
    node.inputs = (*node.inputs[:2], "", *node.inputs[3:8], name)


def fold(graph: Graph) -> None:
    """Compute the nodes whose inputs are all constants; what is too large stays a node."""
    kept: list[Node] = []
    with held(limit, WHILE_LOADING):
        for node in graph.nodes:
            for body in node.graphs:
                fold(body)
            if not _foldable(node, graph.constants):
                kept.append(node)
                continue
            values: dict[str, Any] = {n: graph.constants[n] for n in node.inputs if n}
            try:
                with np.errstate(all="ignore"):
                    Step(node, ())(values, None)
            except OnnxError:
                kept.append(node)  # it is reported when it runs, if it does
                continue
            made = {name: values[name] for name in node.outputs if name}
            if not all(isinstance(array, np.ndarray) for array in made.values()):
                kept.append(node)
                continue
            graph.constants |= made
    graph.nodes[:] = kept


def _foldable(node: Node, constants: dict[str, np.ndarray]) -> bool:
    if node.operator.type in RANDOM or node.graphs:
        return False
    return all(not name or name in constants for name in node.inputs)


def prune(graph: Graph) -> None:
    """Remove the nodes and constants that no output needs."""
    needed = {value.name for value in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            for body in node.graphs:
                prune(body)
            needed |= node.reads
            kept.append(node)
    graph.nodes[:] = reversed(kept)
    graph.constants = {n: array for n, array in graph.constants.items() if n in needed}
