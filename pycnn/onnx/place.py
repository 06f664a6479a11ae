"""Convolutions that write where a concatenation along the channels would copy their results to."""

from pycnn.dtypes import FLOATS
from pycnn.onnx.graph import Graph, Node
from pycnn.onnx.operators.fused import FUSED


def place(graph: Graph) -> None:
    """Have the convolutions that a Concat alone reads write into its result, in place.

    Each takes what those before it wrote, puts its channels beside them, and hands both on; the
    last one's result is that of the Concat, which goes.
    """
    for node in graph.nodes:
        for body in node.graphs:
            place(body)
    outputs = {value.name for value in graph.outputs}
    made = {name: node for node in graph.nodes for name in node.outputs}
    readers: dict[str, int] = {}
    for node in graph.nodes:
        for name in node.reads:
            readers[name] = readers.get(name, 0) + 1
    for node in list(graph.nodes):
        if node.operator.type != "Concat" or node.attributes.get("axis") != 1:
            continue
        alone = [n for n in node.inputs if readers.get(n) == 1 and n not in outputs]
        makers = [made[n] for n in alone if n in made]
        if len(makers) == len({*node.inputs}) == len(node.inputs) > 1 and _alike(graph, makers):
            _join(graph, node, makers)


def _alike(graph: Graph, makers: list[Node]) -> bool:
    """All are convolutions by constants of one dtype and rank."""
    weights = []
    for node in makers:
        if node.operator.type != "Conv" or node.operator.domain not in ("", "pycnn"):
            return False
        weights.append(graph.constants.get(node.inputs[1]))
    kinds = {(w.dtype.name, w.ndim) for w in weights if w is not None}
    there = all(w is not None for w in weights) and len(kinds) == 1
    return there and next(iter(kinds))[0] in FLOATS and "part" not in makers[0].attributes


def _join(graph: Graph, concat: Node, makers: list[Node]) -> None:
    counts = [graph.constants[node.inputs[1]].shape[0] for node in makers]
    starts = {id(node): sum(counts[:i]) for i, node in enumerate(makers)}
    order = [node for node in graph.nodes if id(node) in starts]
    whole = ""
    for node in order:
        node.attributes = {**node.attributes, "part": (starts[id(node)], sum(counts))}
        node.parts = node.parts or (node.operator.type,)
        node.operator = FUSED["Conv"]
        node.inputs = (*(*node.inputs, "", "")[:4], whole)
        whole = node.outputs[0]
    last = order[-1]
    last.parts = (*last.parts, concat.what)
    last.outputs = concat.outputs
    graph.nodes[:] = [node for node in graph.nodes if node is not concat]
