"""What need not be done at every call: constants folded, dead nodes removed."""

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


def simplify(graph: Graph) -> None:
    """Fold and prune, in place."""
    fold(graph)
    prune(graph)


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
