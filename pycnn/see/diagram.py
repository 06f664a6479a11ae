"""``pycnn draw``: a network as papers draw it, by matplotlib."""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycnn.models import command_line
from pycnn.nn.layer import Layer
from pycnn.runtime.options import check_output
from pycnn.see import parts
from pycnn.see.boxes import Box, Diagram, Group, Shortcut, arrange
from pycnn.see.colours import COLOURS, INK, QUIET, lit
from pycnn.see.opened import WHOLE, opened
from pycnn.see.schemes import SCHEMES
from pycnn.see.stages import Outline, outline
from pycnn.see.trace import trace
from pycnn.see.write import check_folder, figure_bytes, new_figure, suffix_of, write_bytes

FORMATS = ("svg", "png", "pdf")
LINE, BELOW, ABOVE = 0.17, 0.2, 0.22


def draw(
    model: Layer,
    input_shape: Sequence[int],
    path: Path | str,
    title: str = "",
    block: str | None = None,
) -> Path:
    """Draw a network into a file.

    Boxes are sized by extents and labelled with shapes; layers of one resolution are a stage, and
    repetitions in it are counted. Blocks of branches are one box; a shortcut around a way down and
    up again, as in U-Net, is an arrow above.

    Parameters
    ----------
    model : Layer
    input_shape : sequence of int
        Of one example.
    path : Path or str
        Ends with .svg, .png or .pdf; its folder must exist.
    title : str, optional
    block : str, optional
        Draw this block alone, with all its layers: a path such as "stage1.0"; "." is the network.

    Returns
    -------
    Path
        `path`. The same network gives the same bytes.

    Raises
    ------
    ValueError
        If the format is none of these, there is no such block, or nothing to draw.
    FileNotFoundError
        If the folder does not exist.
    LayerError
        If a layer cannot take its input.
    MissingExtra
        If matplotlib is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pycnn import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw(net, (1, 28, 28), f"{folder}/net.svg").name
    'net.svg'
    """
    kind = suffix_of(path, FORMATS)
    check_folder(path)
    if block is not None:
        return write_bytes(path, parts.picture(opened(model, input_shape, block), title, kind))
    return write_bytes(path, picture(outline(model, trace(model, input_shape)), title, kind))


def draw_scheme(name: str, path: Path | str, title: str = "") -> Path:
    """Draw how a kind of network works, one of `pycnn.see.schemes.SCHEMES`, into a file.

    Parameters
    ----------
    name : {"rnn", "rbm", "dbn", "gan"}
    path, title
        As for `draw`; the title has a default.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ValueError, FileNotFoundError, MissingExtra
        As `draw`; if there is no such scheme.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_scheme("rbm", f"{folder}/rbm.svg").name
    'rbm.svg'
    """
    if name not in SCHEMES:
        raise ValueError(f"name={name!r}: allowed are {', '.join(SCHEMES)}")
    kind = suffix_of(path, FORMATS)
    check_folder(path)
    words, make = SCHEMES[name]
    return write_bytes(path, parts.picture(make(), title or words, kind))


def picture(network: Outline, title: str = "", kind: str = "svg") -> bytes:
    """The file that `draw` writes, of a network in stages."""
    if not network.stages:
        raise ValueError("the model has no convolution, pooling or dense layer to draw")
    return figure_bytes(_figure(arrange(network), title), kind)


def _figure(diagram: Diagram, title: str) -> Any:
    lowest = max(len(group.lines) for group in diagram.groups)
    height = max(box.height for box in diagram.boxes) / 2
    top = max(box.top[1] for box in diagram.boxes)
    ceiling = top + ABOVE * (len(diagram.shortcuts) + 1) + (0.3 if title else 0)
    floor = -height - BELOW - LINE * (lowest + 3)
    left, right = -0.15, diagram.groups[-1].right + 0.15
    figure = new_figure((right - left, ceiling - floor))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left, right), ylim=(floor, ceiling))
    axes.set_axis_off()
    for before, after in itertools.pairwise(diagram.groups):
        _between(axes, before, after)
    for group in diagram.groups:
        for box in group.boxes:
            _box(axes, box)
        _labels(axes, group, -height - BELOW)
    for shortcut in diagram.shortcuts:
        _shortcut(axes, shortcut, top + ABOVE * (shortcut.level + 1))
    if title:
        axes.text(0, ceiling - 0.1, title, fontsize=12, weight="bold", color=INK, va="top")
    _legend(axes, diagram, (left + right) / 2, floor + 0.12)
    return figure


def _box(axes: Any, box: Box) -> None:
    """Front, top and side, lit from above."""
    x, w, h, s = box.x, box.width, box.height / 2, box.slant
    front = [(x, -h), (x + w, -h), (x + w, h), (x, h)]
    top = [(x, h), (x + w, h), (x + w + s, h + s), (x + s, h + s)]
    side = [(x + w, -h), (x + w + s, -h + s), (x + w + s, h + s), (x + w, h)]
    colour = COLOURS[box.kind]
    for face, light in ((side, -0.18), (top, 0.35), (front, 0.0)):
        axes.fill(*zip(*face, strict=True), facecolor=lit(colour, light), edgecolor=INK,
                  linewidth=0.5, joinstyle="round")  # fmt: skip


def _between(axes: Any, before: Group, after: Group) -> None:
    last, first = before.boxes[-1], after.boxes[0]
    _arrow(axes, (last.x + last.width + last.slant / 2, 0), (first.x - 0.02, 0))


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0,
             "mutation_scale": 8}  # fmt: skip
    axes.annotate("", end, start, arrowprops=style)


def _shortcut(axes: Any, shortcut: Shortcut, height: float) -> None:
    """From the top of one box to that of another, above what lies between."""
    (x, y), (end, top) = shortcut.start.top, shortcut.end.top
    axes.plot([x, x, end], [y, height, height], color=INK, linewidth=0.8)
    _arrow(axes, (end, height), (end, top))


def _labels(axes: Any, group: Group, y: float) -> None:
    axes.text(group.centre, y, parts.typeset(group.title), fontsize=8, weight="bold", color=INK,
              ha="center", va="top")  # fmt: skip
    for i, line in enumerate(group.lines, start=1):
        axes.text(group.centre, y - LINE * i, parts.typeset(line), fontsize=7.5, color=QUIET,
                  ha="center", va="top")  # fmt: skip


def _legend(axes: Any, diagram: Diagram, centre: float, y: float) -> None:
    """The kinds that occur, as small squares with names."""
    present = {box.kind for box in diagram.boxes}
    kinds = [kind for kind in COLOURS if kind in present and kind != "input"]
    widths = [0.3 + 0.075 * len(kind) for kind in kinds]
    x = centre - sum(widths) / 2
    for kind, width in zip(kinds, widths, strict=True):
        axes.fill([x, x + 0.11, x + 0.11, x], [y, y, y + 0.11, y + 0.11],
                  facecolor=COLOURS[kind], edgecolor=INK, linewidth=0.5)  # fmt: skip
        axes.text(x + 0.16, y + 0.05, kind, fontsize=7.5, color=INK, va="center")
        x += width


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    schemes = "; ".join(f"{name}: {words}" for name, (words, _) in SCHEMES.items())
    parser = subparsers.add_parser(
        "draw", help="a network diagram, as papers draw it",
        description=f"MODEL may also be a scheme. {schemes}.",
    )  # fmt: skip
    command_line.add_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE",
                        help="ends with " + ", ".join(f".{f}" for f in FORMATS))  # fmt: skip
    parser.add_argument("--title", default="", help="written above")
    parser.add_argument("--open", metavar="BLOCK", dest="block",
                        help="this block alone, with all its layers: a path of pycnn summary, "
                        f"such as stage1.0; {WHOLE} for the whole network")  # fmt: skip
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    check_output(arguments.output, "-o", [f".{name}" for name in FORMATS])
    if arguments.model in SCHEMES:
        why = f"{arguments.model} is a scheme, drawn as it is; allowed with a network"
        command_line.refuse_settings(arguments, why)
        if arguments.block is not None:
            raise ValueError(f"--open: {why}")
        print(draw_scheme(arguments.model, arguments.output, arguments.title))
        return 0
    model, input_shape, *_ = command_line.shapes_of(arguments)
    print(draw(model, input_shape, arguments.output, arguments.title, arguments.block))
    return 0
