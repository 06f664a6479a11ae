"""Where the boxes of a network diagram stand: sizes by extents, pure numbers, nothing drawn.

Lengths are inches. A feature map is a box as high as its rows, as deep as its columns and as thick
as its channels; square roots keep small ones visible. A row of features is a rod.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pycnn.see.stages import Outline, Run, Stage, Unit
from pycnn.see.trace import Step

HIGHEST, LOWEST = 2.2, 0.16
THICKEST, THINNEST = 0.42, 0.05
ROD = 0.12
#: How far the far edge of a box lies to the right and up, of its depth.
SLANT = 0.32
#: Boxes drawn of one repetition, at most.
MOST = 4
BETWEEN_BOXES, BETWEEN_STAGES, LETTER = 0.05, 0.38, 0.072


@dataclass(frozen=True)
class Box:
    """A box, its front face first.

    Attributes
    ----------
    x : float
        Left edge of the front face.
    width, height, depth : float
        `width` is the thickness, along the network; the box is centred on the height 0.
    kind : str
        As of units, or "input".
    """

    x: float
    width: float
    height: float
    depth: float
    kind: str

    @property
    def slant(self) -> float:
        """How far the far edges are shifted."""
        return SLANT * self.depth

    @property
    def top(self) -> tuple[float, float]:
        """The middle of its highest edge."""
        return self.x + self.width / 2 + self.slant, self.height / 2 + self.slant


@dataclass(frozen=True)
class Group:
    """The boxes of one stage and what stands below them.

    Attributes
    ----------
    boxes : tuple of Box
    title, lines : str, tuple of str
        The shape of the result, and what makes it.
    left, right : float
        Room on the page, text included.
    """

    boxes: tuple[Box, ...]
    title: str
    lines: tuple[str, ...]
    left: float
    right: float

    @property
    def centre(self) -> float:
        """Where text is centred."""
        return (self.left + self.right) / 2


@dataclass(frozen=True)
class Shortcut:
    """A line from the highest edge of one box to that of another; levels are above each other."""

    start: Box
    end: Box
    level: int


@dataclass(frozen=True)
class Diagram:
    """What is to be drawn."""

    groups: tuple[Group, ...]
    shortcuts: tuple[Shortcut, ...]

    @property
    def boxes(self) -> list[Box]:
        """Of all groups."""
        return [box for group in self.groups for box in group.boxes]


def arrange(outline: Outline) -> Diagram:
    """Boxes for a network in stages, from left to right."""
    scale = _Scale(outline)
    groups = [_input_group(outline, scale)]
    places: dict[int, Box] = {-1: groups[0].boxes[0]}
    number = 0
    for stage in outline.stages:
        group, unit_boxes = _group(stage, scale, groups[-1].right + BETWEEN_STAGES)
        groups.append(group)
        for box in unit_boxes:
            places[number] = box
            number += 1
    arcs = sorted(outline.shortcuts, key=lambda ends: ends[1] - ends[0])
    shortcuts = [
        Shortcut(places[start], places[min(end + 1, number - 1)], level)
        for level, (start, end) in enumerate(arcs)
    ]
    return Diagram(tuple(groups), tuple(shortcuts))


class _Scale:
    """Lengths for extents, relative to the largest of the network."""

    def __init__(self, outline: Outline) -> None:
        shapes = [_map(unit.result) for unit in outline.units]
        self.input = _as_map(outline.input_shape)
        shapes.append(self.input)
        self.extent = max(max(rows, columns) for _, rows, columns in shapes)
        self.channels = max(c for c, rows, columns in shapes)

    def box(self, x: float, shape: tuple[int, int, int], kind: str, is_row: bool) -> Box:
        channels, rows, columns = shape
        if is_row:
            height = 0.3 + 1.5 * math.log(1 + channels) / math.log(1 + self.channels)
            return Box(x, ROD, height, ROD, kind)
        width = THINNEST + (THICKEST - THINNEST) * math.sqrt(channels / self.channels)
        return Box(x, width, self._length(rows), self._length(columns), kind)

    def _length(self, extent: int) -> float:
        return LOWEST + (HIGHEST - LOWEST) * math.sqrt(extent / self.extent)


def _map(step: Step) -> tuple[int, int, int]:
    shape = step.output_shape
    return _as_map((shape[-1], *shape[:-1]) if step.channels_last else shape)


def _as_map(shape: Sequence[int]) -> tuple[int, int, int]:
    """Channels, rows and columns, of any number of axes."""
    channels, *extents = shape
    rows, columns = ([1, 1, *extents])[-2:]
    return channels, rows, columns


def _input_group(outline: Outline, scale: _Scale) -> Group:
    is_row = len(outline.input_shape) == 1
    box = scale.box(0.0, scale.input, "input", is_row)
    return _placed([box], _shape(outline.input_shape), ["input"], 0.0)


def _group(stage: Stage, scale: _Scale, left: float) -> tuple[Group, list[Box]]:
    """A stage that begins at `left`; and for every unit the box that stands for it."""
    boxes: list[Box] = []
    box_of_unit: list[int] = []
    x = 0.0
    for run in stage.runs:
        for unit, is_new in _drawn(run):
            if is_new:
                box = scale.box(x, _map(unit.result), unit.kind, not unit.result.extents)
                boxes.append(box)
                x += box.width + BETWEEN_BOXES
            box_of_unit.append(len(boxes) - 1)
    lines = [run.text for run in stage.runs]
    group = _placed(boxes, _shape(stage.result.output_shape), lines, left)
    return group, [group.boxes[i] for i in box_of_unit]


def _drawn(run: Run) -> list[tuple[Unit, bool]]:
    """Units of a run, and whether each gets a box of its own: not the middle of many."""
    kept = max(MOST, 2 * run.pattern)
    return [(unit, i < kept) for i, unit in enumerate(run.units)]


def _placed(boxes: Sequence[Box], title: str, lines: Sequence[str], left: float) -> Group:
    """Boxes, moved so that they and their text have room from `left` on."""
    drawn = max(box.x + box.width + box.slant for box in boxes)
    room = max(drawn, LETTER * max(len(line) for line in (title + "  ", *lines)))
    shift = left + (room - drawn) / 2
    moved = [Box(box.x + shift, box.width, box.height, box.depth, box.kind) for box in boxes]
    return Group(tuple(moved), title, tuple(lines), left, left + room)


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
