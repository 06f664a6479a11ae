"""What the page must know of a network: its layers, what each is made of, and what it costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn.define._pool_mean import cpu_divisor
from pycnn.define.trace import Traced
from pycnn.nn.combine import Combined, Concat, Product, Sum
from pycnn.nn.convolution import Conv2d, Linear
from pycnn.nn.layer import Layer
from pycnn.nn.observe import observing
from pycnn.see.costs import sees_all
from pycnn.see.labels import kind_of, text_of
from pycnn.see.receptive import Field
from pycnn.see.trace import Step, trace

#: Where the input stands among the sources of a layer.
INPUT = -1

#: Kinds of layers by the family of the operation that they call.
KINDS = {
    "conv": "convolution", "gemm": "dense", "pool": "pooling", "activation": "activation",
    "softmax": "softmax", "norm": "normalisation",
}  # fmt: skip


#: NumPy's names of what lies beyond the edges.
MODES: dict[str, Any] = {"replicate": "edge", "circular": "wrap", "reflect": "reflect"}


@dataclass(frozen=True, eq=False)
class Shown:
    """A layer that the page shows.

    Attributes
    ----------
    call : int
        Which of the calls of layers, as `pycnn.nn.observing` tells of them, computes it.
    step : Step
    kind : str
        A value of `KINDS`, "join", "sum", "product" or "other".
    text : str
        A few words, such as "conv 5x5".
    sources : tuple of int
        The layers before, by their places in the list of those that are shown; `INPUT`.
    taps : tuple of list, or ()
        For rows and columns: of every place of the result, the places of the source that its window
        covers, -1 for zeros around it. Nothing for what has no window.
    extra : dict
        What else the sum that makes an element needs.
    """

    call: int
    step: Step
    kind: str
    text: str
    sources: tuple[int, ...]
    taps: tuple[list[list[int]], ...] = ()
    extra: dict[str, Any] | None = None

    def as_json(self, extents: Sequence[int]) -> dict[str, Any]:
        """For the page; `extents` are those of the input."""
        step = self.step
        return {
            "path": step.path, "kind": self.kind, "text": self.text,
            "layer": f"{type(step.layer).__name__}({step.layer.describe()})",
            "shape": step.output_shape, "sources": self.sources, "taps": self.taps,
            "field": _field(step.field, extents) if step.known else None,
            "parameters": step.parameters, "macs": step.macs,
            "activation_bytes": step.activation_bytes, "memory": memory(step), **(self.extra or {}),
        }  # fmt: skip


def shown_layers(model: Layer, input_shape: Sequence[int]) -> list[Shown]:
    """The layers of a network that make something new, in the order in which they compute.

    Containers, and what only rearranges, are passed over: what follows has their sources.

    Raises
    ------
    LayerError
        If a layer cannot take its input; says which, and why.

    Examples
    --------
    >>> from pycnn import nn
    >>> net = nn.Sequential(conv=nn.Conv2d(1, 2, 3), flat=nn.Flatten(), dense=nn.Linear(8, 3))
    >>> [(s.step.path, s.kind, s.sources) for s in shown_layers(net, (1, 4, 4))]
    [('conv', 'convolution', (-1,)), ('dense', 'dense', (0,))]
    """
    notes: list[tuple[Layer, Any, Any]] = []
    with observing(lambda layer, x, y: notes.append((layer, x, y))):
        steps = trace(model, tuple(input_shape))
    by_path = {step.path: step for step in steps}
    made: dict[int, tuple[int, ...]] = {id(notes[-1][1]): (INPUT,)}
    results: dict[int, Any] = {}
    shown: list[Shown] = []
    for call, (step, (layer, x, y)) in enumerate(zip(steps, notes, strict=True)):
        inside = [results[id(c)] for c in layer.children.values() if id(c) in results]
        sources = tuple(s for a in inside or [x] for s in made.get(id(a), ()))
        results[id(layer)] = y
        if id(y) in made:
            continue
        if step.own or step.opaque or layer.elementwise:
            made[id(y)] = (len(shown),)
            shown.append(_shown(call, step, sources, by_path))
        else:
            made[id(y)] = sources
    return shown


def _shown(call: int, step: Step, sources: tuple[int, ...], by_path: dict[str, Step]) -> Shown:
    kind = _kind(step)
    known = kind_of(step)
    text = text_of(step, known, by_path) if known else type(step.layer).__name__
    if step.channels_last or isinstance(step.layer, Combined) or len(step.own) != 1:
        return Shown(call, step, kind, text, sources)
    taps: tuple[list[list[int]], ...] = ()
    extra: dict[str, Any] = {}
    if kind == "convolution" and len(step.extents) == 2:
        taps, extra = _convolution(step.own[0], step.layer)
    elif kind == "pooling" and len(step.extents) == 2:
        taps, extra = _pooling(step.own[0])
    elif kind == "dense":
        extra = {"exact": type(step.layer) is Linear and step.layer.activation is None}
    return Shown(call, step, kind, text, sources, taps, extra)


def _kind(step: Step) -> str:
    for layer, kind in ((Concat, "join"), (Sum, "sum"), (Product, "product")):
        if isinstance(step.layer, layer):
            return kind
    families = [KINDS[t.operation.family] for t in step.own if t.operation.family in KINDS]
    return families[0] if families else "activation" if step.layer.elementwise else "other"


def _convolution(
    traced: Traced, layer: Layer
) -> tuple[tuple[list[list[int]], ...], dict[str, Any]]:
    problem = traced.call.settings.problem
    if traced.operation.name != "conv2d":
        return (), {}
    axes = zip(
            problem.x.shape[2:], problem.y.shape[2:], problem.weight.shape[2:], problem.stride,
            problem.dilation, problem.pad_begin, strict=True,
    )  # fmt: skip
    taps = tuple(_taps(*map(int, axis), mode=problem.mode) for axis in axes)
    exact = type(layer) is Conv2d and layer.activation is None
    return taps, {"groups": problem.groups, "exact": exact, "filter": problem.weight.shape[1:]}


def _pooling(traced: Traced) -> tuple[tuple[list[list[int]], ...], dict[str, Any]]:
    problem = traced.call.settings
    taps = tuple(
        _taps(a.extent, a.windows, a.kernel, a.stride, a.dilation, a.low, mode="zeros")
        if a.kernel
        else [list(range(*a.sources(i, i, False))) for i in range(a.windows)]
        for a in problem.pooling.axes
    )
    words = traced.operation.name.split("_")
    rule = next((word for word in words if word in ("max", "avg", "sum", "lp")), "")
    extra: dict[str, Any] = {"rule": rule}
    if rule == "avg":
        extra["divisors"] = np.broadcast_to(
            cpu_divisor(problem), [a.windows for a in problem.pooling.axes]
        ).ravel().tolist()  # fmt: skip
    return taps, extra


def _taps(
    extent: int, windows: int, kernel: int, stride: int, dilation: int, low: int, *, mode: str
) -> list[list[int]]:
    """Of every window the places that it covers, with what lies beyond the edges by `mode`.

    Examples
    --------
    >>> _taps(4, 3, 3, 2, 1, 1, mode="zeros"), _taps(3, 3, 3, 1, 1, 1, mode="replicate")
    ([[-1, 0, 1], [1, 2, 3], [3, -1, -1]], [[0, 0, 1], [0, 1, 2], [1, 2, 2]])
    """
    high = max(0, (windows - 1) * stride + (kernel - 1) * dilation + 1 - low - extent)
    places = np.arange(extent)
    if mode == "zeros":
        padded = np.pad(places, (low, high), constant_values=-1)
    else:
        padded = np.pad(places, (low, high), MODES[mode])
    rows: list[list[int]] = [
        padded[i * stride : i * stride + (kernel - 1) * dilation + 1 : dilation].tolist()
        for i in range(windows)
    ]
    return rows


def _field(field: Field, extents: Sequence[int]) -> list[list[float]] | str:
    """Start, jump and size along every axis, or "all"."""
    if all(map(sees_all, field, extents)):
        return "all"
    return [[float(number) for number in span] for span in field]


def memory(step: Step, itemsize: int = 4) -> dict[str, int]:
    """Bytes that a layer needs for one example.

    Forward: what it reads, its parameters and its result. Backward: what it reads, the gradients of
    result and input, the parameters and theirs.
    """
    x, y = math.prod(step.input_shape), math.prod(step.output_shape)
    return {
        "forward": itemsize * (x + step.parameters + y),
        "backward": itemsize * (2 * x + y + 2 * step.parameters),
    }
