"""A model in plain data: nodes in the order in which they run, values by name."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pycnn.onnx.operators.registry import Operator

#: An extent that differs from call to call has a name, or none.
Shape = tuple[int | str | None, ...]


@dataclass(frozen=True)
class Value:
    """What goes into a graph or comes out of it.

    Attributes
    ----------
    name : str
    dtype : numpy.dtype or None
        None of what is no tensor.
    shape : Shape or None
        None: any rank.
    kind : str
        ``"tensor"``, ``"sequence"`` or ``"optional"``.
    """

    name: str
    dtype: np.dtype | None = None
    shape: Shape | None = None
    kind: str = "tensor"

    def __str__(self) -> str:
        if self.kind != "tensor":
            return f"{self.name}: {self.kind}"
        shape = "..." if self.shape is None else ", ".join(str(e or "?") for e in self.shape)
        return f"{self.name}: {self.dtype} ({shape})"


@dataclass
class Node:
    """One call of an operator. Inputs and outputs that are left out are called ``""``.

    `parts` are the types of the nodes that were fused into this one.
    """

    operator: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    parts: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """Its type; of one that does the work of several nodes, all of them."""
        return " + ".join(self.parts) or self.operator.type

    def __str__(self) -> str:
        given = ", ".join(name or "-" for name in self.inputs)
        return f"{self.what}({given}) -> {', '.join(self.outputs)}"

    @property
    def graphs(self) -> "list[Graph]":
        """The bodies of If, Loop and Scan."""
        return [value for value in self.attributes.values() if isinstance(value, Graph)]

    @property
    def reads(self) -> set[str]:
        """Every name it needs, those that its bodies take from outside among them."""
        return {n for n in self.inputs if n}.union(*(graph.outer for graph in self.graphs))


@dataclass
class Graph:
    """Nodes that run one after another; of a body, what it does not make comes from outside.

    `shapes` are those that were inferred, by name of the value.
    """

    name: str
    inputs: list[Value]
    outputs: list[Value]
    constants: dict[str, np.ndarray]
    nodes: list[Node]
    shapes: dict[str, Shape] = field(default_factory=dict)

    @property
    def outer(self) -> set[str]:
        """Names that come from the graph around."""
        made = {value.name for value in self.inputs}.union(self.constants)
        outer: set[str] = set()
        for node in self.nodes:
            outer |= node.reads - made
            made.update(node.outputs)
        return outer | ({value.name for value in self.outputs} - made)

    def walk(self) -> Iterator[Node]:
        """Every node, those of bodies too."""
        for node in self.nodes:
            yield node
            for graph in node.graphs:
                yield from graph.walk()
