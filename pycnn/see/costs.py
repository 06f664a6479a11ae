"""``pycnn summary``: shape, cost and receptive field of every layer, with nothing computed."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from pycnn.models import command_line
from pycnn.nn.layer import Layer
from pycnn.runtime.terminal import Row, Table, plain, show, size_text
from pycnn.see.receptive import Field, Span, is_bound
from pycnn.see.trace import Step, spatial, trace
from pycnn.see.weight_sharing import Sharing, of_step

COLUMNS = ("layer", "kind", "output", ">parameters", ">MACs", ">activations", ">sees", ">jump",
           ">from")  # fmt: skip
SHARING = (">fully connected", ">locally connected", ">shared")


@dataclass(frozen=True)
class LayerSummary:
    """One line of a summary.

    Attributes
    ----------
    path, kind : str
        Where the layer stands, and what it is.
    output_shape : tuple of int
        For one example.
    parameters : int
    macs : int
        Multiply-adds for one example.
    activation_bytes : int
        New memory for its result; 0 where that is a view.
    field : tuple of Span
        What an element of the result sees of the input of the network, along every spatial axis;
        at most, where `field_is_bound` or not `field_is_known`.
    field_is_bound : bool
        Whether an upsampling came before, behind which elements see different numbers of pixels.
    field_is_known : bool
        Not behind a layer that computes by NumPy itself, which is not traced.
    macs_are_known : bool
        Not of such a layer; `macs` then counts what was traced.
    sharing : Sharing or None
        Of a convolution: weights with and without sharing.
    """

    path: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    activation_bytes: int
    field: Field
    field_is_bound: bool
    field_is_known: bool
    macs_are_known: bool
    sharing: Sharing | None


@dataclass(frozen=True)
class Summary:
    """What `summary` returns; ``print(summary)`` shows it.

    Attributes
    ----------
    input_shape : tuple of int
    extents : tuple of int
        Its spatial part.
    layers : tuple of LayerSummary
        In the order in which they compute; containers that compute nothing are left out.
    parameters : int
        Of the model, with heads that only run in training.
    macs, activation_bytes : int
        Sums over the layers.
    """

    input_shape: tuple[int, ...]
    extents: tuple[int, ...]
    layers: tuple[LayerSummary, ...]
    parameters: int
    macs: int
    activation_bytes: int

    def __str__(self) -> str:
        return "\n".join(plain(self.table()))

    def at(self, path: str) -> LayerSummary:
        """The line of the layer at `path`.

        Raises
        ------
        ValueError
            If there is none; lists what there is.
        """
        for layer in self.layers:
            if layer.path == path:
                return layer
        raise ValueError(f"path={path!r}: allowed are {', '.join(x.path for x in self.layers)}")

    def table(self, sharing: bool = False) -> Table:
        """As rows of text, with `sharing` the weights of layers that share none too."""
        columns = COLUMNS + (SHARING if sharing else ())
        rows = [Row(_cells(layer, self.extents, sharing)) for layer in self.layers]
        sums = (_count(self.parameters), _count(self.macs), size_text(self.activation_bytes))
        idle = self.parameters - sum(layer.parameters for layer in self.layers)
        note = f"{idle:,} parameters for training only" if idle else ""
        if not all(layer.macs_are_known for layer in self.layers):
            note = ", ".join(filter(None, (note, "?: by NumPy, not traced")))
        total = ("total", note, "", *sums, *("",) * (len(columns) - 6))
        rows.append(Row(total, "bold", starts_section=True))
        return Table(f"input {shape_text(self.input_shape)}", columns, tuple(rows))

    def as_json(self) -> dict[str, Any]:
        """Ready for `json`; fractions of a field as floats."""
        return {
            "input_shape": self.input_shape,
            "parameters": self.parameters,
            "macs": self.macs,
            "activation_bytes": self.activation_bytes,
            "layers": [_plain_layer(layer) for layer in self.layers],
        }


def summary(model: Layer, input_shape: Sequence[int]) -> Summary:
    """Shapes, cost and receptive fields of a network, for one example, in evaluation mode.

    Nothing is computed, and a model that is built inside `pycnn.define.trace.tracing` takes no
    memory either.

    Parameters
    ----------
    model : Layer
        Any; layers of your own are traced through the operations they call.
    input_shape : sequence of int
        Of one example, such as (3, 224, 224).

    Returns
    -------
    Summary

    Raises
    ------
    LayerError
        If a layer cannot take its input; says which, and why.

    Notes
    -----
    A multiply-add (MAC) counts once; those of convolutions and matrix products count, as is usual.
    Of the receptive field stand its size, the jump from one element's field to the next one's, and
    where that of the first element begins: minus the padding. Behind an upsampling the size is a
    bound, ``<=``. Of a layer of your own that computes by NumPy, not by operations of pycnn,
    nothing is known, ``?``, nor of the fields behind it; `Layer.elementwise` tells.

    Examples
    --------
    >>> from pycnn import nn
    >>> net = nn.Sequential(conv=nn.Conv2d(1, 6, 5), relu=nn.ReLU(), pool=nn.MaxPool2d(2))
    >>> print(summary(net, (1, 28, 28)))
    input 1x28x28
    layer  kind             output   parameters    MACs  activations  sees  jump  from
    ----------------------------------------------------------------------------------
    conv   Conv2d(1, 6, 5)  6x24x24         156  86,400     13.5 KiB   5x5     1     0
    relu   ReLU()           6x24x24                         13.5 KiB   5x5     1     0
    pool   MaxPool2d(2)     6x12x12                         3.38 KiB   6x6     2     0
    total                                   156  86,400     30.4 KiB
    """
    steps = trace(model, input_shape)
    layers = tuple(
        _line(step) for step in steps if step.own or step.opaque or not step.layer.children
    )
    return Summary(
        tuple(input_shape),
        spatial(input_shape, steps[-1].channels_last),
        layers,
        sum(math.prod(parameter.value.shape) for parameter in model.parameters()),
        sum(layer.macs for layer in layers),
        sum(layer.activation_bytes for layer in layers),
    )


def _line(step: Step) -> LayerSummary:
    kind = type(step.layer).__name__
    return LayerSummary(
        step.path,
        kind if step.layer.children else f"{kind}({step.layer.describe()})",
        step.output_shape,
        step.parameters,
        step.macs,
        step.activation_bytes,
        step.field,
        is_bound(step.field),
        step.known,
        not step.opaque,
        of_step(step),
    )


def _cells(layer: LayerSummary, extents: tuple[int, ...], sharing: bool) -> tuple[str, ...]:
    cells = (
        layer.path,
        layer.kind,
        shape_text(layer.output_shape),
        _count(layer.parameters),
        _count(layer.macs) if layer.macs_are_known else "?",
        size_text(layer.activation_bytes),
        *_field_cells(layer, extents),
    )
    if not sharing:
        return cells
    return cells + tuple(map(_count, layer.sharing or (0, 0, 0)))


def _field_cells(layer: LayerSummary, extents: tuple[int, ...]) -> tuple[str, str, str]:
    field = layer.field
    if not layer.field_is_known:
        return "?", "", ""
    if field and all(map(sees_all, field, extents)):
        return "all", "", ""
    sizes = ("<=" if layer.field_is_bound else "") + "x".join(_number(s.size) for s in field)
    return sizes, _common([s.jump for s in field]), _common([s.start for s in field])


def sees_all(span: Span, extent: int) -> bool:
    """Whether every element sees the whole axis."""
    return span.jump == 0 and span.start <= 0 and span.start + span.size >= extent


def _count(number: int) -> str:
    """With separators; nothing for none."""
    return f"{number:,}" if number else ""


def _common(values: Sequence[Fraction | int]) -> str:
    """One number for all axes, if it is one."""
    return "x".join(map(_number, values[:1] if len(set(values)) == 1 else values))


def _number(value: Fraction | int) -> str:
    return f"{float(value):g}"


def shape_text(shape: Sequence[int]) -> str:
    """A shape as people write it.

    Examples
    --------
    >>> shape_text((64, 112, 112))
    '64x112x112'
    """
    return "x".join(map(str, shape))


def _plain_layer(layer: LayerSummary) -> dict[str, Any]:
    field = [{name: float(v) for name, v in span._asdict().items()} for span in layer.field]
    shared = layer.sharing._asdict() if layer.sharing else None
    return asdict(layer) | {"field": field, "sharing": shared}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "summary", help="shape, parameters, MACs, memory and receptive field of every layer"
    )
    command_line.add_arguments(parser)
    parser.add_argument("--sharing", action="store_true",
                        help="also the weights without weight sharing")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="as JSON, for a program")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    model, input_shape, *_ = command_line.shapes_of(arguments)
    result = summary(model, input_shape)
    if arguments.json:
        print(json.dumps(result.as_json(), indent=1))
    elif sys.stdout.isatty():
        show(result.table(arguments.sharing))
    else:
        print("\n".join(plain(result.table(arguments.sharing))))
    return 0
