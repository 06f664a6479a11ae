"""Nodes that one kernel computes: convolution, normalisation, sum and activation."""

from collections import Counter
from collections.abc import Callable

import numpy as np

from pycnn.dtypes import FLOATS
from pycnn.onnx.graph import Graph, Node
from pycnn.onnx.operators.fused import FUSED

#: Activations that kernels compute as they write, by operator.
_ACTIVATIONS = {"Relu": "relu", "LeakyRelu": "leaky_relu", "Sigmoid": "sigmoid"}


def fuse(graph: Graph) -> None:
    """Put into each convolution what follows it and nobody else reads, in place."""
    for node in graph.nodes:
        for body in node.graphs:
            fuse(body)
    fusion = _Fusion(graph)
    for node in list(graph.nodes):
        if node.operator.type in FUSED and node.operator.domain == "":
            fusion.follow(node)
    for node in list(fusion.nodes):
        if node.operator.type == "BatchNormalization":
            fusion.widen(node)
    graph.nodes[:] = fusion.nodes


class _Fusion:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = list(graph.nodes)
        self._outputs = {value.name for value in graph.outputs}
        self._readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in node.reads:
                self._readers.setdefault(name, []).append(node)

    def follow(self, first: Node) -> None:
        """Fuse what follows a convolution, as far as it goes."""
        weight = self.graph.constants.get(first.inputs[1])
        dtype = None if weight is None else weight.dtype.name
        if dtype not in FLOATS:
            return
        fused = Node(FUSED[first.operator.type], (*first.inputs, "", "")[:3], first.outputs,
                     dict(first.attributes), first.name, (first.operator.type,))  # fmt: skip
        steps: list[Callable[[Node, Node], Node | None]] = [
            self._affine, self._residual, self._activation, self._silu,
        ]  # fmt: skip
        last, chain = first, [first]
        while steps:
            found = None
            for i, step in enumerate(steps):
                found = step(fused, last)
                if found is not None:
                    steps = steps[i:] if step == self._affine else steps[i + 1 :]
                    break
            if found is None:
                break
            if fused.attributes.get("activation"):
                steps = []
            chain += self._between(found, last)
            fused.parts = (*fused.parts, *(n.what for n in self._between(found, last)))
            fused.outputs, last = found.outputs, found
        if len(chain) == 1:
            return
        gone = {id(node) for node in chain[:-1]}
        self.nodes = [
            fused if node is chain[-1] else node for node in self.nodes if id(node) not in gone
        ]
        swallowed = {id(node) for node in chain}
        for name in filter(None, fused.inputs):
            others = [n for n in self._readers.get(name, ()) if id(n) not in swallowed]
            self._readers[name] = [*others, fused]
        for node in chain:  # weights that nobody needs any more take no memory
            for name in {*node.inputs[1:]} - {*fused.inputs} - self._outputs:
                if all(id(reader) in swallowed for reader in self._readers.get(name, ())):
                    self.graph.constants.pop(name, None)

    def widen(self, first: Node) -> None:
        """Put into a normalisation by constants the factors and summands that follow it."""
        scales = [self.graph.constants.get(name) for name in first.inputs[1:]]
        given = [array for array in scales if array is not None]
        if len(given) != 4 or any(first.outputs[1:]) or len({v.shape for v in given}) > 1:
            return
        weight, bias = (array.astype(np.float64) for array in given[:2])
        chain = [first]
        while True:
            node = self._only_reader(chain[-1])
            if node is None or node.operator.type not in ("Mul", "Add"):
                break
            change = self._by_channel(node, chain[-1])
            if change is None or change[0].shape != weight.shape:
                break
            weight, bias = weight * change[0], bias * change[0] + change[1]
            chain.append(node)
        if len(chain) == 1:
            return
        last = chain[-1]
        names = [f"{last.outputs[0]}:fused{i}" for i in (1, 2)]
        self.graph.constants |= {
            name: array.astype(given[0].dtype)
            for name, array in zip(names, (weight, bias), strict=True)
        }
        inputs = (first.inputs[0], *names, *first.inputs[3:])
        parts = tuple(node.what for node in chain)
        wide = Node(first.operator, inputs, last.outputs, first.attributes, first.name, parts)
        gone = {id(node) for node in chain[:-1]}
        self.nodes = [wide if n is last else n for n in self.nodes if id(n) not in gone]

    def _between(self, found: Node, last: Node) -> list[Node]:
        """`found`, and of ``x * sigmoid(x)`` the sigmoid as well."""
        readers = self._readers.get(last.outputs[0], [])
        return [*(n for n in readers if n is not found), found]

    def _only_reader(self, node: Node) -> Node | None:
        name = node.outputs[0]
        readers = self._readers.get(name, [])
        if name in self._outputs or len(readers) != 1 or any(node.outputs[1:]):
            return None
        return readers[0] if readers[0].inputs.count(name) == 1 else None

    def _affine(self, fused: Node, last: Node) -> Node | None:
        """Normalisation by constants, or a factor or summand for each channel."""
        node = self._only_reader(last)
        if node is None or node.operator.type not in ("BatchNormalization", "Mul", "Add"):
            return None
        if fused.inputs[2] and fused.inputs[2] not in self.graph.constants:
            return None
        change = (
            self._normalisation(node, last)
            if node.operator.type == "BatchNormalization"
            else self._by_channel(node, last)
        )
        if change is None or not self._fits(fused, *change):
            return None
        factor, summand = change
        self._apply(fused, factor, summand)
        return node

    def _fits(self, fused: Node, factor: np.ndarray, summand: np.ndarray) -> bool:
        """Whether they have one value for each channel; in a wrong model they may not."""
        weight, bias = (self.graph.constants.get(name) for name in fused.inputs[1:3])
        if weight is None or weight.ndim < 3:
            return False
        filters = weight.shape[0]
        if fused.operator.type == "ConvTranspose":
            groups = fused.attributes.get("group", 1)
            if groups < 1 or weight.shape[0] % groups:
                return False
            filters = weight.shape[1] * groups
        vectors = [v for v in (factor, summand, bias) if v is not None]
        return all(v.shape == (filters,) for v in vectors)

    def _normalisation(self, node: Node, last: Node) -> tuple[np.ndarray, np.ndarray] | None:
        constants = [self.graph.constants.get(name) for name in node.inputs[1:]]
        given = [array for array in constants if array is not None]
        if len(given) != 4 or node.attributes.get("training_mode"):
            return None
        if node.inputs[0] != last.outputs[0] or any(node.outputs[1:]):
            return None
        weight, bias, mean, var = (np.asarray(a, np.float64) for a in given)
        if not node.attributes.get("spatial", 1) or len({v.shape for v in given}) > 1:
            return None
        factor = weight / np.sqrt(var + node.attributes.get("epsilon", 1e-5))
        return factor, bias - mean * factor

    def _by_channel(self, node: Node, last: Node) -> tuple[np.ndarray, np.ndarray] | None:
        """A constant of shape (K, 1, 1) or (1, K, 1, 1): not one that broadcasts the result."""
        (other,) = (name for name in node.inputs if name != last.outputs[0])
        constant = self.graph.constants.get(other)
        shape = self.graph.shapes.get(last.outputs[0])
        if constant is None or shape is None or node.attributes.get("broadcast"):
            return None
        channels = shape[1]
        lead = (1,) * (len(shape) - constant.ndim) + constant.shape
        if constant.ndim > len(shape) or not isinstance(channels, int):
            return None
        if any(e != 1 for i, e in enumerate(lead) if i != 1) or lead[1] not in (1, channels):
            return None
        vector = np.broadcast_to(constant.reshape(-1).astype(np.float64), (channels,))
        one, zero = np.ones(channels), np.zeros(channels)
        return (vector, zero) if node.operator.type == "Mul" else (one, vector)

    def _apply(self, fused: Node, factor: np.ndarray, summand: np.ndarray) -> None:
        """New weights, in float64 and rounded once."""
        constants = self.graph.constants
        weight = constants[fused.inputs[1]]
        bias = constants.get(fused.inputs[2]) if fused.inputs[2] else np.zeros(len(factor))
        assert bias is not None
        scaled = weight.astype(np.float64)
        if fused.operator.type == "Conv":
            scaled = scaled * factor.reshape(-1, *[1] * (weight.ndim - 1))
        else:  # (C, K / G, R, S)
            groups = fused.attributes.get("group", 1)
            grouped = scaled.reshape(groups, -1, *weight.shape[1:])
            by_group = factor.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))
            scaled = (grouped * by_group).reshape(weight.shape)
        names = [f"{fused.outputs[0]}:fused{i}" for i in (1, 2)]
        constants[names[0]] = scaled.astype(weight.dtype)
        constants[names[1]] = (bias * factor + summand).astype(weight.dtype)
        fused.inputs = (fused.inputs[0], *names)

    def _residual(self, fused: Node, last: Node) -> Node | None:
        """A sum with an array of the same shape that is there by then."""
        node = self._only_reader(last)
        if node is None or node.operator.type not in ("Add", "Sum") or len(node.inputs) != 2:
            return None
        (other,) = (name for name in node.inputs if name != last.outputs[0])
        shapes = [self.graph.shapes.get(name) for name in (last.outputs[0], other)]
        if shapes[0] is None or shapes[0] != shapes[1] or None in shapes[0]:
            return None
        if other in self.graph.constants or node.attributes.get("broadcast"):
            return None
        fused.inputs = (*fused.inputs[:3], other)
        return node

    def _activation(self, fused: Node, last: Node) -> Node | None:
        node = self._only_reader(last)
        if node is None:
            return None
        kind = node.operator.type
        if kind == "Clip" and self._bounds(node) == (0.0, 6.0) and node.inputs[0] in last.outputs:
            fused.attributes["activation"] = "relu6"
            return node
        if kind not in _ACTIVATIONS:
            return None
        fused.attributes["activation"] = _ACTIVATIONS[kind]
        if kind == "LeakyRelu":
            fused.attributes["negative_slope"] = node.attributes.get("alpha", 0.01)
        return node

    def _bounds(self, node: Node) -> tuple[float, ...] | None:
        if len(node.inputs) == 1:
            return tuple(float(node.attributes.get(name, np.nan)) for name in ("min", "max"))
        bounds = [self.graph.constants.get(name) for name in node.inputs[1:]]
        return tuple(np.nan if b is None else float(b.reshape(-1)[0]) for b in bounds)

    def _silu(self, fused: Node, last: Node) -> Node | None:
        """x * sigmoid(x), of two nodes."""
        name = last.outputs[0]
        readers = self._readers.get(name, [])
        if name in self._outputs or len(readers) != 2:
            return None
        by_kind = {node.operator.type: node for node in readers}
        sigmoid, product = by_kind.get("Sigmoid"), by_kind.get("Mul")
        if sigmoid is None or product is None or self._only_reader(sigmoid) is not product:
            return None
        if sorted(product.inputs) != sorted([name, sigmoid.outputs[0]]):
            return None
        fused.attributes["activation"] = "silu"
        return product


def fused_parts(graph: Graph) -> list[str]:
    """What was fused, a line a kind, with how often."""
    counts = Counter(node.what for node in graph.walk() if node.parts)
    return [f"{what} ({count})" for what, count in counts.most_common()]
