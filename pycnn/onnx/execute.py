"""Run the nodes of a graph one after another, and free what no later one needs."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.graph import Graph, Node
from pycnn.runtime.faults import synchronize

#: What an operator may raise on values that it cannot take.
REFUSALS = (ValueError, TypeError, IndexError, KeyError, MemoryError, ArithmeticError,
            NotImplementedError, AttributeError, RecursionError, AssertionError)  # fmt: skip

#: Called with a node, its inputs, its outputs and the seconds it took, after it has run.
Observer = Callable[[Node, list[Any], tuple[Any, ...], float], None]


#: Operators whose further inputs are shapes, axes and the like, which are read on the host.
READ_ON_HOST = {
    "Col2Im", "ConstantOfShape", "CumProd", "CumSum", "Dropout", "Expand", "If", "Loop",
    "MaxUnpool", "Pad", "Range", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
    "Reshape", "Resize", "Slice", "Split", "SplitToSequence", "Squeeze", "Tile", "TopK",
    "Unsqueeze", "Upsample",
}  # fmt: skip


def _together(arrays: list[Any], node: Node) -> list[Any]:
    """All on the GPU if one is; NumPy's are what was computed from shapes, and small."""
    if node.operator.type in READ_ON_HOST or not any(hasattr(a, "get") for a in arrays):
        return arrays
    cupy = sys.modules["cupy"]
    return [cupy.asarray(a) if isinstance(a, np.ndarray) else a for a in arrays]


class Step:
    """A node, ready to be called."""

    def __init__(self, node: Node, freed: tuple[str, ...]) -> None:
        self.node = node
        self.freed = freed
        self.keywords = {n: v for n, v in node.attributes.items() if not isinstance(v, Graph)}
        self.bodies = {n: Program(v) for n, v in node.attributes.items() if isinstance(v, Graph)}
        self.takes_scope = "scope" in node.operator.keywords
        if "outputs" in node.operator.keywords:
            self.keywords["outputs"] = len(node.outputs)

    def __call__(self, values: dict[str, Any], observer: Observer | None) -> None:
        node = self.node
        arrays = _together([values[name] if name else None for name in node.inputs], node)
        keywords = self.keywords
        if self.takes_scope:
            keywords = {**keywords, **self.bodies, "scope": Scope(values, observer)}
        begin = time.perf_counter()
        try:
            returned = node.operator.function(*arrays, **keywords)
        except OnnxError as error:
            raise OnnxError(f"{_where(node)}: {error}") from error
        except REFUSALS as error:
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            raise OnnxError(f"{_where(node)}: {kind}{error}") from error
        results = returned if isinstance(returned, tuple) else (returned,)
        if len(results) < len(node.outputs):
            raise OnnxError(f"{_where(node)}: {len(node.outputs)} outputs; allowed: {len(results)}")
        for name, result in zip(node.outputs, results, strict=False):
            if name:
                # NumPy gives a scalar where an array of no axes is meant.
                values[name] = np.asarray(result) if isinstance(result, np.generic) else result
        if observer is not None:
            if any(hasattr(result, "get") for result in results):  # on a GPU: when it is done
                synchronize()
            observer(node, arrays, results, time.perf_counter() - begin)
        for name in self.freed:
            values.pop(name, None)


class Scope:
    """The values around a body, with which it runs."""

    def __init__(self, values: dict[str, Any], observer: Observer | None) -> None:
        self._values, self._observer = values, observer

    def run(self, body: "Program", *inputs: Any) -> list[Any]:
        """The outputs of a body."""
        return body.run(inputs, self._values, self._observer)


class Program:
    """A graph, ready to be run."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.inputs = [value.name for value in graph.inputs]
        self.outputs = [value.name for value in graph.outputs]
        self.outer = graph.outer
        self._moved: dict[int, dict[str, Any]] = {}
        kept = {*self.outputs, *graph.constants}
        last: dict[str, int] = {}
        for position, node in enumerate(graph.nodes):
            last |= dict.fromkeys(node.reads | {n for n in node.outputs if n}, position)
        freed: dict[int, list[str]] = {}
        for name, position in last.items():
            if name not in kept:
                freed.setdefault(position, []).append(name)
        self.steps = [Step(node, tuple(freed.get(i, ()))) for i, node in enumerate(graph.nodes)]

    def constants_for(self, inputs: Any) -> Mapping[str, Any]:
        """The constants; where an input is on a GPU, floats are there too, copied once."""
        device = next((x.device.id for x in inputs if hasattr(x, "get")), None)
        if device is None:
            return self.graph.constants
        if device not in self._moved:
            cupy = sys.modules["cupy"]
            self._moved[device] = {
                name: cupy.asarray(array) if array.dtype.kind == "f" else array
                for name, array in self.graph.constants.items()
            }
        return self._moved[device]

    def run(
        self, inputs: Any, around: Mapping[str, Any], observer: Observer | None = None
    ) -> list[Any]:
        """The outputs, in their order, of inputs in theirs."""
        if len(inputs) != len(self.inputs):
            raise OnnxError(f"{len(inputs)} inputs of a body; allowed: {len(self.inputs)}")
        values = {name: around[name] for name in self.outer}
        values |= self.constants_for(inputs)
        values |= zip(self.inputs, inputs, strict=True)
        for step in self.steps:
            step(values, observer)
        return [values[name] for name in self.outputs]


def _where(node: Node) -> str:
    name = f" {node.name!r}" if node.name else ""
    return f"node{name} {node.what} -> {', '.join(filter(None, node.outputs))}"
