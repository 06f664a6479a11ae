"""A model that can be called."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from pycnn.define.record import base
from pycnn.onnx.build import build, value_of
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.execute import Observer, Program
from pycnn.onnx.fuse import fuse, fused_parts
from pycnn.onnx.graph import Value
from pycnn.onnx.place import place
from pycnn.onnx.profile import Record, record
from pycnn.onnx.read import read
from pycnn.onnx.simplify import prune, simplify
from pycnn.onnx.static import Plans


class Session:
    """A model, read once: called with arrays, it gives arrays.

    Attributes
    ----------
    inputs, outputs : list of Value
        Name, dtype and shape of each; an extent that may be any has a name, or is None.
    defaults : list of Value
        Weights that the model lists among its inputs too. `run` takes other values for them: the
        model is read once more for each selection of them that is given.
    """

    def __init__(self, model: Any, free: Collection[str] = ()) -> None:
        proto, weights, listed = read(model, free)
        graph = build(proto, weights)
        self.defaults: list[Value] = [value_of(value) for value in listed]
        self._source = model if self.defaults else None
        self._others: dict[frozenset[str], Session] = {}
        before = len(graph.nodes)
        simplify(graph)
        self._removed = before - len(graph.nodes)
        fuse(graph)
        place(graph)
        prune(graph)
        self.graph = graph
        self.inputs: list[Value] = graph.inputs
        self.outputs: list[Value] = graph.outputs
        self._program = Program(graph)
        self._plans = Plans(self._program)

    def __call__(self, *inputs: Any) -> Any:
        """The output, or a tuple of the outputs, of inputs in the order of `inputs`.

        Parameters
        ----------
        *inputs : array
            NumPy's are computed on the active backend (`pycnn.use_backend`), CuPy's on the GPU.

        Raises
        ------
        OnnxError
            If there are more or fewer than the model has, or one has another dtype or shape.
        """
        results = self._run(list(inputs))
        return results[0] if len(results) == 1 else tuple(results)

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, Any]) -> list[Any]:
        """The outputs of these names, or all, of inputs by name.

        Parameters
        ----------
        outputs : sequence of str, or None
        feeds : mapping of str to array
            By name, of every input and of any of `defaults`.

        Raises
        ------
        OnnxError
            If a name is none of the model, or an input is missing or has another dtype or shape.
        """
        names = [value.name for value in self.outputs]
        wanted = list(names if outputs is None else outputs)
        _known("output", wanted, names)
        defaults = {value.name for value in self.defaults}
        _known("input", feeds, [*(value.name for value in self.inputs), *defaults])
        given = frozenset(defaults.intersection(feeds))
        if given:
            if given not in self._others:
                self._others[given] = Session(self._source, given)
            return self._others[given].run(outputs, feeds)
        missing = [value.name for value in self.inputs if value.name not in feeds]
        if missing:
            raise OnnxError(f"no input {', '.join(map(repr, missing))} is given")
        results = dict(zip(names, self._run([feeds[v.name] for v in self.inputs]), strict=True))
        return [results[name] for name in wanted]

    def profile(self, *inputs: Any) -> list[Record]:
        """What each node took: seconds, bytes that go in and out, algorithm.

        Parameters
        ----------
        *inputs : array
            As for a call. The first call compiles kernels and plans: make one before.
        """
        records: list[Record] = []
        self._run(list(inputs), lambda *ran: records.append(record(*ran)))
        return records

    def explain(self) -> str:
        """What became of the model: nodes, what is computed once, what is fused, by what."""
        nodes = list(self.graph.walk())
        weights = sum(array.nbytes for array in self.graph.constants.values())
        own = Counter(n.what for n in nodes if not n.operator.kernels)
        ours = Counter(n.what for n in nodes if n.operator.kernels)
        lines = [
            f"{len(nodes)} nodes, {weights} bytes of weights; {self._removed} nodes were computed "
            "at load or needed by no output",
            f"fused: {', '.join(fused_parts(self.graph)) or 'nothing'}",
            *(
                f"{by}: {', '.join(f'{what} ({n})' for what, n in some.most_common()) or 'nothing'}"
                for by, some in (("by kernels, of floats", ours), ("by NumPy or CuPy", own))
            ),
        ]
        return "\n".join(lines) + str(self._plans)

    def _run(self, inputs: list[Any], observer: Observer | None = None) -> list[Any]:
        if len(inputs) != len(self.inputs):
            listed = "; ".join(map(str, self.inputs)) or "none"
            raise OnnxError(f"{len(inputs)} inputs; allowed: {len(self.inputs)} ({listed})")
        inputs = [np.asarray(x) if isinstance(x, np.generic) else x for x in inputs]
        extents: dict[str, int] = {}
        for value, given in zip(self.inputs, inputs, strict=True):
            _check_input(value, given, extents)
        with np.errstate(all="ignore"):
            results = self._plans(inputs, observer)
            if results is None:
                results = self._program.run(inputs, {}, observer)
            return _own(results, [*inputs, *self.graph.constants.values()])

    def __repr__(self) -> str:
        inputs, outputs = ("; ".join(map(str, v)) for v in (self.inputs, self.outputs))
        return f"Session({len(self.graph.nodes)} nodes: {inputs} -> {outputs})"


def load(model: Any) -> Session:
    """Read a model, to be called.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto

    Returns
    -------
    Session

    Raises
    ------
    OnnxError
        If it is no valid model, or has an operator that pycnn does not have.
    OSError
        If the file cannot be read.
    MissingExtra
        If the package onnx is not installed.
    """
    return Session(model)


def _own(results: list[Any], others: list[Any]) -> list[Any]:
    """Results in memory of their own: not that of inputs, of weights, or of each other."""
    seen = {id(base(array)) for array in others}
    own = []
    for result in results:
        if hasattr(result, "base"):
            root = base(result)
            if id(root) in seen or not getattr(result.flags, "writeable", True):
                result = result.copy(order="C")
            seen.add(id(root))
        own.append(result)
    return own


def _known(what: str, names: Any, allowed: list[str]) -> None:
    for name in names:
        if name not in allowed:
            raise OnnxError(f"{what} {name!r}; allowed: {', '.join(map(repr, allowed))}")


def _check_input(value: Value, given: Any, extents: dict[str, int]) -> None:
    """Refuse what does not fit; `extents` are those of names that were met before."""
    if value.kind != "tensor" or value.dtype is None:
        return
    if not hasattr(given, "dtype") or not hasattr(given, "shape"):
        raise OnnxError(f"input {value.name!r} of type {type(given).__name__}; allowed: an array")
    if given.dtype != value.dtype:
        raise OnnxError(f"input {value.name!r} of dtype {given.dtype}; allowed: {value.dtype}")
    if value.shape is None:
        return
    fits = len(given.shape) == len(value.shape)
    for extent, allowed in zip(given.shape, value.shape, strict=False):
        if isinstance(allowed, str):
            allowed = extents.setdefault(allowed, extent)
        fits &= allowed is None or extent == allowed
    if not fits:
        allowed_shape = str(value).partition("(")[2].rstrip(")")
        raise OnnxError(
            f"input {value.name!r} of shape {given.shape}; allowed: ({allowed_shape})"
            + (f" with {extents}" if extents else "")
        )
