"""A model planned once, for inputs of one shape: static memory, and on a GPU one CUDA graph."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pycnn.define.out import address, span
from pycnn.define.trace import RECORDER
from pycnn.nn.arrays import device_of, library, to_numpy
from pycnn.nn.layer import Layer
from pycnn.runtime.active import active_backend
from pycnn.runtime.backends import SHAPES, executor
from pycnn.runtime.plan import Plan, Transform
from pycnn.runtime.replay import Piece, array_in, memory, place, prepared, split

Step = Callable[[], Any]


@dataclass(eq=False)
class _Root:
    """Memory that arrays of a pass lie in, and where it goes.

    Attributes
    ----------
    array : array
        As the pass has it: the input, a parameter or buffer, or a result.
    layer, group, key
        Where a layer holds it; None of what changes from pass to pass.
    piece : Piece
        From the first to the last operation that needs it.
    where, offset
        Its memory in the compiled model, and where it begins there.
    """

    array: Any
    piece: Piece
    layer: Layer | None = None
    group: str = ""
    key: str = ""
    used: bool = False
    where: Any = None
    offset: int = 0

    def __post_init__(self) -> None:
        self.begin, self.end = span(self.array)

    def moved(self, array: Any) -> Any:
        """The compiled model's counterpart of an array that lies in it."""
        first = self.offset + address(array) - self.begin
        lib = library(array)
        return array_in(lib, self.where, first, array.shape, array.dtype, array.strides)


@dataclass(eq=False)
class _Ran:
    """An operation of the pass; its arrays, and the memory that they lie in."""

    operation: Any
    call: Any
    arrays: Mapping[str, Any]
    results: Mapping[str, Any]
    roots: dict[str, _Root]

    def moved(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: None if array is None else self.roots[name].moved(array)
            for name, array in arrays.items()
        }


class _Recorder:
    """Notes the operations of a pass, and where in memory their arrays lie."""

    def __init__(self, model: Layer, x: Any) -> None:
        self.steps: list[_Ran] = []
        self.roots = [_Root(x, Piece(x.nbytes, 0, 0))]
        for _, layer in model.named_layers():
            for group in ("params", "buffers"):
                for key, array in getattr(layer, group).items():
                    if array is not None:
                        begin, end = span(array)
                        self.roots.append(_Root(array, Piece(end - begin, 0, 0), layer, group, key))

    def root(self, name: str, array: Any) -> _Root:
        """Where an array lies, which is needed now."""
        begin, end = span(array)
        for root in self.roots:
            if root.begin <= begin < end <= root.end:
                root.used, root.piece.last = True, len(self.steps)
                return root
        raise ValueError(
            f"{name} is made by no operation of pycnn, and could not be computed again for another "
            "input; allowed in a compiled model: its input, parameters, buffers, results of "
            "operations, and views of them"
        )

    def note(
        self,
        operation: Any,
        call: Any,
        arrays: Mapping[str, Any],
        out: Any,
        results: Mapping[str, Any],
    ) -> None:
        """An `Operation`, its `Call`, and what `Operation.run` got and computed."""
        refused = {
            "with out": out is not None,
            "looks at values": call.checks,
            "updates its operands": any(new in results for new in operation.updates.values()),
            "has an empty result": not all(spec.nbytes for spec in call.outputs.values()),
        }
        for what, holds in refused.items():
            if holds:
                raise ValueError(f"{operation.name} {what}; not allowed in a compiled model")
        roots = {
            name: self.root(f"{name} of {operation.name}", array)
            for name, array in arrays.items()
            if array is not None
        }
        now = len(self.steps)
        for name, array in results.items():
            roots[name] = _Root(array, Piece(array.nbytes, now, now))
            if call.backend == "reference":  # kernels take no read-only arrays everywhere
                array.flags.writeable = False  # what a layer writes into it is not recorded
        self.roots += [roots[name] for name in results]
        self.steps.append(_Ran(operation, call, arrays, results, roots))


class Compiled:
    """What `compile` makes of a model: called as the model.

    Attributes
    ----------
    shape, dtype, backend
        What it takes, and where it runs.
    launches : int
        Kernels that a call launches; on the backend ``reference``, operations.
    nbytes : int
        Memory for the input, all that is in between and the workspace, beside the weights.
    """

    def __init__(self, model: Layer, example: Any) -> None:
        self.shape, self.dtype = tuple(example.shape), example.dtype
        self.backend = "cuda" if device_of(example) == "cuda" else active_backend()
        self._library = library(example)
        self._once: list[Step] = []
        self._steps: list[Step] = []
        self._graph: Any = None
        self._lock = threading.Lock()
        x = example.copy(order="C")
        recorder = _Recorder(model, x)
        token = RECORDER.set(recorder.note)
        try:
            y = model(x)
        finally:
            RECORDER.reset(token)
        last = recorder.root("the result", y)
        self._build(recorder.steps, recorder.roots)
        self._input, self._result = recorder.roots[0].moved(x), last.moved(y)
        self._run(self._once)
        for _ in range(2):  # again, with what the first time has left in memory
            self._fill(x)
            self._run(self._steps)
            if to_numpy(self._result).tobytes() != to_numpy(y).tobytes():
                raise ValueError(
                    f"a second pass of {model!r} has another result; allowed in a compiled model: "
                    "layers that compute by operations of pycnn alone, and never in place"
                )
        if self.backend == "cuda" and not self._transforms:
            self._graph = executor("cuda").captured(self._steps)  # type: ignore[attr-defined]

    def __call__(self, x: Any) -> Any:
        """The result, in memory that the next call overwrites.

        Parameters
        ----------
        x : array
            Of the shape and dtype of the example, in any strides.

        Raises
        ------
        TypeError
            If it is no array of the example's library.
        ValueError
            If it has another shape, dtype or device, or NumPy arrays go to another backend than
            when the model was compiled.
        """
        self._check(x)
        with self._lock:
            self._fill(x)
            if self._graph is None:
                self._run(self._steps)
            else:
                self._graph.launch()
        return self._result

    def update(self) -> None:
        """Take over the weights and statistics that the model has now.

        Raises
        ------
        ValueError
            If one has another shape or dtype than when the model was compiled; nothing is changed.
        """
        new = [getattr(root.layer, root.group).get(root.key) for root in self._constants]
        for root, array in zip(self._constants, new, strict=True):
            own = root.array
            if array is None or (array.shape, array.dtype) != (own.shape, own.dtype):
                raise ValueError(
                    f"{root.key} of {root.layer!r} was {own.dtype} of shape {own.shape} and is not "
                    "any more; compile the model again"
                )
        with self._lock:
            for root, array in zip(self._constants, new, strict=True):
                root.moved(root.array)[...] = array
            self._run(self._once)

    @property
    def graph(self) -> bool:
        """Whether a call is one CUDA graph."""
        return self._graph is not None

    def __repr__(self) -> str:
        unit = "operations" if self.backend == "reference" else "launches"
        how = f"one graph of {self.launches}" if self.graph else self.launches
        return f"Compiled({self.dtype} {self.shape}, {self.backend}: {how} {unit})"

    def _build(self, ran: list[_Ran], roots: list[_Root]) -> None:
        """Memory for everything, and what is run on it."""
        self._constants = [root for root in roots if root.layer is not None and root.used]
        for root in self._constants:
            root.where = memory(self._library, root.piece.size)
            root.moved(root.array)[...] = root.array
        pieces = [root.piece for root in roots if root.layer is None]
        planned = [(now, one, plan) for now, one in enumerate(ran) for plan in one.call.plans]
        scratch = [_Scratch(self._library, *which) for which in planned]
        pieces += [piece for some in scratch for piece in some.pieces.values()]
        self.nbytes = place(pieces)
        arena = memory(self._library, self.nbytes)
        for root in roots:
            if root.layer is None:
                root.where, root.offset = arena, root.piece.offset
        self._transforms = any(some.transforms for some in scratch)
        if self.backend == "reference":
            self._steps = [partial(_on_cpu, one, one.moved(one.arrays), one.moved(one.results))
                           for one in ran]  # fmt: skip
            self.launches = len(ran)
            return
        by: Any = executor(self.backend)
        self.launches = 0
        for (_, one, plan), own in zip(planned, scratch, strict=True):
            outputs = {name: one.results[name] for name in plan.outputs}
            arrays = one.moved(one.arrays) | one.moved(outputs) | own.arrays(arena)
            once, rest = (None, plan) if own.transforms else split(plan, own.count)
            if once is not None and once.launches:
                self._once += by.bound(once, arrays)
            self._steps += by.bound(rest, arrays)
            self.launches += len(rest.launches)

    def _check(self, x: Any) -> None:
        if not isinstance(x, self._library.ndarray):
            raise TypeError(
                f"x is of type {type(x).__name__}; allowed: {self._library.__name__}.ndarray, for "
                "which the model was compiled"
            )
        if x.shape != self.shape or x.dtype != self.dtype:
            raise ValueError(
                f"x is {x.dtype} of shape {x.shape}; allowed: {self.dtype} of shape {self.shape}, "
                "for which the model was compiled"
            )
        if self.backend != "cuda":
            now = active_backend()
            if now != self.backend:
                raise ValueError(f"backend {now}; allowed: {self.backend}, as it was compiled")
        elif x.data.device_id != self._input.data.device_id:
            raise ValueError(
                f"x is on device {x.data.device_id}; allowed: {self._input.data.device_id}, for "
                "which the model was compiled"
            )

    def _fill(self, x: Any) -> None:
        if self.backend == "cuda" and x.flags.c_contiguous:
            self._input.data.copy_from_device_async(x.data, x.nbytes)
        else:
            self._input[...] = x

    def _run(self, steps: list[Step]) -> None:
        for step in steps:
            step()


class _Scratch:
    """The workspace of a plan: what is made once, and what every call needs anew.

    Of a plan with Fourier transforms the library allocates a part, at every call.
    """

    def __init__(self, lib: Any, now: int, ran: _Ran, plan: Plan) -> None:
        self._library, self._plan = lib, plan
        self.transforms = any(isinstance(launch, Transform) for launch in plan.launches)
        constant = {name for name, root in ran.roots.items() if root.layer is not None}
        self.count, kept = (0, set()) if self.transforms else prepared(plan, constant)
        sizes = {} if self.transforms else {n: s.nbytes for n, s in plan.workspace.items()}
        self.pieces = {n: Piece(size, now, now) for n, size in sizes.items() if n not in kept}
        self._kept = {n: memory(lib, size) for n, size in sizes.items() if n in kept}

    def arrays(self, arena: Any) -> dict[str, Any]:
        places = {name: (arena, piece.offset) for name, piece in self.pieces.items()}
        places |= {name: (kept, 0) for name, kept in self._kept.items()}
        return {
            name: array_in(self._library, where, offset, spec.shape, spec.dtype)
            for name, (where, offset) in places.items()
            for spec in (self._plan.workspace[name],)
        }


def _on_cpu(ran: _Ran, arrays: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    first, *others = results
    computed = ran.operation.by_cpu(ran.call, arrays, results[first])
    for name in others:
        results[name][...] = computed[name]


def compile(model: Layer, example: Any) -> Compiled:
    """Plan a model once, for inputs of one shape and dtype.

    What is called then does no validation, no planning and no allocation: everything lies in memory
    of its own, which arrays share that are not needed at a time. What depends on weights alone,
    such as filters in the form that an algorithm wants, is computed once. On a GPU a call is one
    CUDA graph (without Fourier transforms of the library, whose memory is not static); on the
    emulator and the CPU the same operations run one by one.

    Parameters
    ----------
    model : Layer
        In evaluation mode. Its layers compute by operations of pycnn, and decide nothing by values.
    example : array
        An input: its values do not matter, its library, device, shape and dtype do. The model runs
        it, with the memory that this takes without `compile`.

    Returns
    -------
    Compiled
        To be called as the model. The weights are copies: what happens to those of the model later
        shows after ``update()``.

    Raises
    ------
    TypeError
        If `example` or the result of the model is no array.
    ValueError
        If a layer is in training mode, or computes something that could not be repeated.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn
    >>> model = nn.Sequential(conv=nn.Conv2d(1, 2, 3), act=nn.ReLU()).eval()
    >>> x = np.ones((4, 1, 8, 8), np.float32)
    >>> compiled = nn.compile(model, x)
    >>> compiled
    Compiled(float32 (4, 1, 8, 8), reference: 2 operations)
    >>> bool((compiled(x) == model(x)).all())
    True
    """
    for path, layer in model.named_layers():
        if layer.training:
            where = f"layer {path}, {layer!r}," if path else "the model"
            raise ValueError(f"{where} is in training mode; call model.eval() before compile")
    if not hasattr(example, "dtype") or not hasattr(example, "shape"):
        raise TypeError(f"example is of type {type(example).__name__}; allowed: an array")
    if active_backend() == SHAPES:
        raise ValueError("compile inside tracing, where nothing is computed; allowed: outside")
    return Compiled(model, example)
