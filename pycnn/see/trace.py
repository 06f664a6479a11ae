"""A trace of a network, with nothing computed: what every layer does to a shape."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn.define.trace import Traced, placeholder, tracing
from pycnn.nn.layer import Layer
from pycnn.nn.observe import evaluating, observing
from pycnn.see.receptive import Field, Span, after, everything, union


@dataclass(frozen=True, eq=False)
class Step:
    """What one layer does.

    Attributes
    ----------
    path : str
        Where the layer stands, as in `Layer.named_layers`.
    layer : Layer
    input_shape, output_shape : tuple of int
        For one example.
    own : tuple of Traced
        The operations of the layer itself, without those of the layers inside.
    field : tuple of Span
        What its result sees of the input of the network, along every spatial axis: at most, after
        an upsampling (see `is_bound`) or where it is not `known`.
    channels_last : bool
        Whether shapes end with the channels.
    parameters : int
        Numbers that the layer itself learns, and that no step before shares.
    activation_bytes : int
        New memory for its results; a view takes none.
    opaque : bool
        Whether it computes by NumPy itself, which is not traced: its multiply-adds are not known.
    known : bool
        Whether the field is: not behind an opaque layer.
    """

    path: str
    layer: Layer
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    own: tuple[Traced, ...]
    field: Field
    channels_last: bool
    parameters: int
    activation_bytes: int
    opaque: bool
    known: bool

    @property
    def extents(self) -> tuple[int, ...]:
        """Spatial extents of the result, none of a row of features."""
        return spatial(self.output_shape, self.channels_last)

    @property
    def macs(self) -> int:
        """Multiply-adds of convolutions and matrix products."""
        return sum(t.flops // 2 for t in self.own if t.operation.bound == "arithmetic")


def spatial(shape: Sequence[int], channels_last: bool) -> tuple[int, ...]:
    """The spatial extents of the shape of one example."""
    return tuple(shape[:-1] if channels_last else shape[1:])


def trace(model: Layer, input_shape: Sequence[int]) -> list[Step]:
    """All layers, inner ones first, in the order in which they compute; in evaluation mode.

    Parameters
    ----------
    model : Layer
    input_shape : sequence of int
        Of one example, such as (3, 224, 224).

    Raises
    ------
    LayerError
        If a layer cannot take its input; says which, and why.

    Examples
    --------
    >>> from pycnn import nn
    >>> steps = trace(nn.Sequential(nn.Conv2d(3, 64, 7, stride=2, padding=3), nn.ReLU()), (3, 8, 8))
    >>> [(step.path, step.output_shape) for step in steps]
    [('0', (64, 4, 4)), ('1', (64, 4, 4)), ('', (64, 4, 4))]
    >>> steps[0].field[0]
    Span(start=-3, jump=2, size=7)
    """
    for extent in input_shape:
        if not isinstance(extent, int) or extent < 1:
            raise ValueError(f"input={tuple(input_shape)}: allowed are positive ints")
    recorder = _Recorder(model)
    with evaluating(model), tracing() as log, observing(recorder.note):
        recorder.log = log
        x = placeholder((1, *input_shape), _dtype(model))
        field = tuple(Span() for _ in spatial(input_shape, recorder.channels_last))
        recorder.fields[id(x)] = (x, field, True)
        model(x)
    return recorder.steps


class _Recorder:
    """Listens to the forward pass. Arrays are known by identity, so it holds on to them."""

    def __init__(self, model: Layer) -> None:
        self.paths = {id(layer): path for path, layer in model.named_layers()}
        self.channels_last = any(_layout(layer) == "NHWC" for _, layer in model.named_layers())
        self.fields: dict[int, tuple[Any, Field, bool]] = {}
        self.results: dict[int, Any] = {}
        self.counted: set[int] = set()
        self.log: list[Traced] = []
        self.noted = 0
        self.steps: list[Step] = []

    def note(self, layer: Layer, x: Any, y: Any) -> None:
        own, self.noted = tuple(self.log[self.noted :]), len(self.log)
        new = id(y) not in self.fields
        opaque = new and not layer.elementwise and _is_opaque(x, y, own)
        inputs = self._inputs(layer, x)
        if new:
            known = not opaque and all(self.fields.get(id(a), (0, 0, False))[2] for a in inputs)
            self.fields[id(y)] = (y, self._field(layer, inputs, x, y, own, opaque), known)
        _, field, known = self.fields[id(y)]
        self.results[id(layer)] = y
        memory = sum(spec.nbytes for t in own for spec in t.call.outputs.values())
        if new and _by_numpy(x, y):
            memory = y.nbytes
        path, shapes = self.paths.get(id(layer), "?"), (x.shape[1:], y.shape[1:])
        step = Step(path, layer, *shapes, own, field, self.channels_last,
                    self._parameters(layer), memory, opaque, known)  # fmt: skip
        self.steps.append(step)

    def _parameters(self, layer: Layer) -> int:
        """Of arrays that no step before has counted."""
        new = [array for array in layer.params.values() if id(array) not in self.counted]
        self.counted |= {id(array) for array in new}
        return sum(math.prod(array.shape) for array in new)

    def _inputs(self, layer: Layer, x: Any) -> list[Any]:
        """What a layer works on: the results of those inside, or what it is given."""
        inner = [self.results[id(c)] for c in layer.children.values() if id(c) in self.results]
        return inner or [x]

    def _field(
        self, layer: Layer, inputs: Sequence[Any], x: Any, y: Any, own: Sequence[Traced],
        opaque: bool,
    ) -> Field:  # fmt: skip
        field = union([self._known(array) for array in inputs])
        if layer.elementwise:
            return field
        if opaque:
            return everything(field, spatial(x.shape[1:], self.channels_last))
        for traced in own:
            field = after(field, traced, self.channels_last)
        if not own and x.shape != y.shape:  # elements of another order, or another shape
            return everything(field, spatial(x.shape[1:], self.channels_last))
        return field

    def _known(self, array: Any) -> tuple[Field, tuple[int, ...]]:
        """What an array sees, and its extents; one that no layer made may see everything."""
        extents = spatial(array.shape[1:], self.channels_last)
        if id(array) in self.fields:
            return self.fields[id(array)][1], extents
        first, field, _ = next(iter(self.fields.values()))
        return everything(field, spatial(first.shape[1:], self.channels_last)), extents


def _by_numpy(x: Any, y: Any) -> bool:
    """Whether NumPy has computed y: operations that are traced give placeholders, read-only."""
    return bool(y.flags.writeable and not np.may_share_memory(x, y))


def _is_opaque(x: Any, y: Any, own: Sequence[Traced]) -> bool:
    """Whether the result, or what an operation took, was computed without being traced."""
    views = [list(traced.call.views.items()) for traced in own]
    taken = [view for some in views for _, view in (some[:1] if "weight" in dict(some) else some)]
    return _by_numpy(x, y) or (not x.flags.writeable and any(any(v.strides) for v in taken))


def _layout(layer: Layer) -> str | None:
    settings = getattr(layer, "settings", {})
    layout: str | None = settings.get("layout", getattr(layer, "layout", None))
    return layout


def _dtype(model: Layer) -> Any:
    parameters = model.parameters()
    return parameters[0].value.dtype if parameters else "float32"
