"""A program on inputs of one shape: operations on memory that was planned once.

The nodes are run one by one and what they do is noted (`pycnn.define.record`), as long as it is
operations of pycnn on inputs, weights and results of each other, and views of these. What follows
from extents alone is kept. The first node that does anything else, and all after it, run as ever.
"""

import sys
import threading
import time
from typing import Any

import numpy as np

from pycnn import config
from pycnn.define.record import Place, Ran, Recorder, Static, base
from pycnn.define.trace import RECORDER
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.execute import Observer, Program, Step
from pycnn.onnx.graph import Node
from pycnn.onnx.simplify import RANDOM
from pycnn.runtime.active import active_backend
from pycnn.runtime.context import held
from pycnn.runtime.target import decided_by

#: Shapes of inputs whose plans are kept, the oldest going first.
KEPT = 8

#: cudaErrorNotSupported: the stand-in driver has no graphs.
_NOT_SUPPORTED = 801

#: Environment variables that plans depend on.
_ENVIRONMENT = ("PYCNN_WORKSPACE_LIMIT", "PYCNN_TUNED", "PYCNN_CPU_THREADS")

#: Operators whose results follow from the extents of what goes in.
_OF_SHAPES = ("Shape", "Size")


class Planned:
    """A program on inputs of the shapes and dtypes, and in the library, of those it is made from.

    Attributes
    ----------
    results : list
        The outputs of `inputs`.
    count : int
        Nodes, from the first on, that are noted.
    """

    def __init__(self, program: Program, inputs: list[Any]) -> None:
        self._program, self._lock = program, threading.Lock()
        on_gpu = hasattr(inputs[0], "get")
        self._library: Any = sys.modules["cupy"] if on_gpu else np
        notes = _Notes(program, [x.copy(order="C") for x in inputs])
        self.results, self.count = notes.run(), notes.count
        self._fixed = {name for name in program.outputs if name in notes.fixed}
        self.results = self._handed(self.results)
        self._static: Static | None = None
        self._inputs: list[Any] = []
        self._graph: Any = None
        if not notes.recorder.steps:
            return
        notes.keep()
        static = Static(notes.recorder, self._library, "cuda" if on_gpu else "reference")
        self._static = static
        self._values = dict(program.constants_for(inputs)) | notes.fixed
        self._values |= {name: p.array(self._library) for name, p in notes.places.items()}
        self._inputs = [self._values[name] for name in program.inputs]
        self._nodes = [(node, static.steps[first:last]) for node, first, last in notes.nodes]
        static.run_once()
        whole = self.count == len(program.steps) and not static.transforms
        if on_gpu and whole:
            self._graph = self._captured(static)

    def __str__(self) -> str:
        shapes = ", ".join(f"{array.dtype} {array.shape}" for array in self._inputs)
        nodes = f"{self.count} of {len(self._program.steps)} nodes"
        nodes += ", one CUDA graph," if self._graph is not None else ""
        return (
            f"planned for {shapes}: {nodes} in {self._static.nbytes if self._static else 0} bytes"
        )

    def __call__(self, inputs: list[Any], observer: Observer | None = None) -> list[Any] | None:
        """The outputs; None where it cannot be, as another thread is in it."""
        if self._static is None or not self._lock.acquire(blocking=False):
            return None
        try:
            for own, given in zip(self._inputs, inputs, strict=True):
                own[...] = given
            if observer is not None and self._library is np:
                self._observed(observer)
            elif self._graph is not None:
                self._graph.launch()
            else:
                self._static.run()
            values = dict(self._values)
            for step in self._program.steps[self.count :]:
                step(values, observer)
            return self._handed([self._apart(values[name]) for name in self._program.outputs])
        finally:
            self._lock.release()

    def _handed(self, results: list[Any]) -> list[Any]:
        """What follows from extents and weights is kept for later calls: others get copies."""
        pairs = zip(self._program.outputs, results, strict=True)
        return [r.copy() if n in self._fixed and hasattr(r, "copy") else r for n, r in pairs]

    def _captured(self, static: Static) -> Any:
        """One CUDA graph; None where the driver has none, which `__str__` says."""
        try:
            return static.captured()
        except self._library.cuda.runtime.CUDARuntimeError as error:
            if error.status != _NOT_SUPPORTED:
                raise
            return None

    def _observed(self, observer: Observer) -> None:
        for node, steps in self._nodes:
            begin = time.perf_counter()
            for some in steps:
                for step in some:
                    step()
            taken = time.perf_counter() - begin
            given, made = (
                [self._values[name] for name in names if name in self._values]
                for names in (node.inputs, node.outputs)
            )
            observer(node, given, tuple(made), taken)

    def _apart(self, result: Any) -> Any:
        """A result in memory that the next call leaves alone."""
        if isinstance(result, list):
            return [self._apart(one) for one in result]
        arena = self._static.arena if self._static else None
        own = self._library is not np or base(result) is arena
        return result.copy(order="C") if own and hasattr(result, "copy") else result


class _Notes:
    """A run of a program, and what it did up to the first node that cannot be done again.

    Attributes
    ----------
    places : dict of str to Place
        Values that lie in inputs and in results of operations.
    fixed : dict of str to array
        Values that follow from extents and weights.
    nodes : list of (Node, int, int)
        Those that are noted, with the first of their operations and the one behind the last.
    """

    def __init__(self, program: Program, inputs: list[Any]) -> None:
        self.program, self.recorder = program, Recorder(in_place=True)
        self.values = dict(program.constants_for(inputs))
        self.known = set(self.values)
        for array in self.values.values():
            self._constant(array)
        self.places: dict[str, Place] = {}
        self.fixed: dict[str, Any] = {}
        self.nodes: list[tuple[Node, int, int]] = []
        for name, x in zip(program.inputs, inputs, strict=True):
            self.values[name] = x
            self.places[name] = self.recorder.add(x).place(x)
        self.count, self._going = 0, True

    def run(self) -> list[Any]:
        """The outputs of the program."""
        for step in self.program.steps:
            if self._going:
                self._going = self._noted(step)
                self.count += self._going
            else:
                step(self.values, None)
        return [self.values[name] for name in self.program.outputs]

    def keep(self) -> None:
        """Until the end of a run, what is needed behind the noted nodes."""
        needed = set(self.program.outputs)
        for step in self.program.steps[self.count :]:
            needed |= step.node.reads
        for name in needed & self.places.keys():
            self.places[name].root.piece.last = len(self.recorder.steps)

    def _noted(self, step: Step) -> bool:
        """Run a node; whether it can be done again by what was noted of it."""
        node, first = step.node, len(self.recorder.steps)
        data = [name for name in node.reads if name not in self.known]
        same = not data or node.operator.type in _OF_SHAPES
        same = same and not node.graphs and node.operator.type not in RANDOM
        given = [self.places[name] for name in data]
        with held(RECORDER, None if same else self._note):
            step(self.values, None)
        made = {name: self.values[name] for name in node.outputs if name in self.values}
        if same:
            self.known.update(made)
            self.fixed |= made
            for array in made.values():
                self._constant(array)
            return True
        if self._going and self._again(node, data, given, self.recorder.steps[first:]):
            try:
                found = {name: self.recorder.place(name, array) for name, array in made.items()}
            except (ValueError, AttributeError):  # made by NumPy, or no array
                found = None
            if found is not None:
                self.places |= found
                last = len(self.recorder.steps)
                self.nodes.append((node, first, last))
                return True
        del self.recorder.steps[first:]
        return False

    def _constant(self, array: Any) -> None:
        if getattr(array, "size", 0) and hasattr(array, "strides"):
            self.recorder.add(array, constant=True)

    def _note(self, *ran: Any) -> None:
        """As the recorder; but what it refuses ends the notes, not the run."""
        if self._going:
            try:
                self.recorder.note(*ran)
            except ValueError:
                self._going = False

    @staticmethod
    def _again(node: Node, data: list[str], given: list[Place], ran: list[Ran]) -> bool:
        """Whether all that went into a node went into its operations, or it is a view of x."""
        if not ran:
            return data == [node.inputs[0]]
        places = [p for one in ran for p in (*one.arrays.values(), *one.results.values())]
        roots = {id(place.root) for place in places if place is not None}
        seen = all(id(place.root) in roots for place in given)
        return seen and node.operator.type not in RANDOM


class Plans:
    """Of a program, for the inputs that it was called with last."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._plans: dict[Any, Planned | None] = {}
        self._lock = threading.Lock()
        self._environment = config.raw(*_ENVIRONMENT)

    def __call__(self, inputs: list[Any], observer: Observer | None) -> list[Any] | None:
        """The outputs by a plan; None where there is none, as for inputs that were never seen.

        The second call with inputs of a shape is planned as it runs.
        """
        key = self._key(inputs)
        if key is None:
            return None
        with self._lock:
            if key not in self._plans:
                while len(self._plans) >= KEPT:
                    del self._plans[next(iter(self._plans))]
                self._plans[key] = None
                return None
            planned = self._plans[key]
        if planned is not None:
            return planned(inputs, observer)
        if observer is not None:
            return None
        try:
            planned = Planned(self._program, inputs)
        except OnnxError:  # as a run without a plan will say, if it is the model's fault
            return None
        with self._lock:
            if key in self._plans:  # else others came meanwhile
                self._plans[key] = planned
        results, planned.results = planned.results, []
        return results

    def __str__(self) -> str:
        """The plans that there are, a line each."""
        return "".join(f"\n{planned}" for planned in [*self._plans.values()] if planned is not None)

    def _key(self, inputs: list[Any]) -> Any:
        """What a plan depends on; None where none is made."""
        if not inputs or RECORDER.get() is not None:
            return None
        libraries = {type(x) for x in inputs}
        cupy = sys.modules.get("cupy")
        if libraries == {np.ndarray}:
            stream = None
            if active_backend() != "reference":
                return None
        elif cupy is not None and libraries == {cupy.ndarray}:
            stream = cupy.cuda.get_current_stream().ptr  # what runs on another one may meet it
        else:
            return None
        given = tuple((x.shape, x.dtype) for x in inputs)
        return given, stream, decided_by(inputs[0]), tuple(self._environment())
