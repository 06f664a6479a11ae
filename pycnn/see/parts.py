"""Pieces of a drawing in lines and boxes: laid out from top to bottom, put together, then drawn.

Lengths are inches, y grows downwards. A part is entered at its top and left at its bottom, both at
`x`; putting parts together moves them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pycnn.runtime.extras import import_extra
from pycnn.see.colours import COLOURS, INK, QUIET, lit
from pycnn.see.write import figure_bytes, new_figure

LINE, LETTER, PADDING, GAP, BESIDE = 0.16, 0.072, 0.1, 0.24, 0.28
#: Radius of a sum, height of a bar, and of the room in which lines part.
RADIUS, BAR, FORK = 0.11, 0.2, 0.14

Point = tuple[float, float]


@dataclass(frozen=True)
class Text:
    """A box with lines of text, or a circle with one; "" is no kind and gives white.

    A bare one has no frame, and covers nothing.
    """

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    kind: str = ""
    is_round: bool = False
    is_bare: bool = False


@dataclass(frozen=True)
class Path:
    """A line through points, with an arrow at its end or not."""

    points: tuple[Point, ...]
    arrow: bool = True
    dashed: bool = False


@dataclass(frozen=True)
class Part:
    """What is drawn within `width` and `height`; `fork`: it begins with lines that part."""

    width: float
    height: float
    x: float
    texts: tuple[Text, ...] = ()
    paths: tuple[Path, ...] = ()
    fork: bool = False

    def moved(self, dx: float, dy: float) -> "Part":
        """The same elsewhere; `x` moves along."""
        texts = tuple(replace(t, x=t.x + dx, y=t.y + dy) for t in self.texts)
        paths = tuple(
            replace(p, points=tuple((x + dx, y + dy) for x, y in p.points)) for p in self.paths
        )
        return replace(self, x=self.x + dx, texts=texts, paths=paths)


def box(lines: Sequence[str], kind: str, least: float = 0.0) -> Part:
    """A box with text, as wide as that needs."""
    width = max(least, LETTER * max(map(len, lines)) + 2 * PADDING)
    height = LINE * len(lines) + PADDING
    text = Text(0.0, 0.0, width, height, tuple(lines), kind)
    return Part(width, height, width / 2, (text,))


def straight(height: float = 0.0) -> Part:
    """Nothing but a line."""
    return Part(0.0, height, 0.0, (), (Path(((0.0, 0.0), (0.0, height)), arrow=False),))


def chain(parts: Sequence[Part]) -> Part:
    """Parts below each other, arrows between."""
    x = max(part.x for part in parts)
    width = x + max(part.width - part.x for part in parts)
    texts: list[Text] = []
    paths: list[Path] = []
    y = 0.0
    for i, part in enumerate(parts):
        if i:
            paths.append(Path(((x, y), (x, y + GAP)), arrow=not part.fork))
            y += GAP
        placed = part.moved(x - part.x, y)
        texts += placed.texts
        paths += placed.paths
        y += part.height
    return Part(width, y, x, tuple(texts), tuple(paths), parts[0].fork)


def branches(parts: Sequence[Part], sign: str, main: int | None = None) -> Part:
    """Parts beside each other, which part at the top and meet in a sum or product, or a bar.

    `sign` is what stands where they meet: one character for a circle, a word for a bar. The line
    goes on below the part of number `main`, or in the middle.
    """
    lefts, right = [], 0.0
    for i, part in enumerate(parts):
        right += BESIDE * (i > 0)
        lefts.append(right)
        right += max(part.width, 2 * RADIUS)
    lefts = [left + max(0.0, RADIUS - part.x) for left, part in zip(lefts, parts, strict=True)]
    xs = [left + part.x for left, part in zip(lefts, parts, strict=True)]
    x = right / 2 if main is None else xs[main]
    tallest = max(part.height for part in parts)
    top, bottom = FORK + GAP, FORK + GAP + tallest
    texts: list[Text] = []
    paths = [Path(((x, 0.0), (x, FORK)), arrow=False)]
    is_bar = len(sign) > 1
    meet = bottom + GAP + (0.0 if is_bar else RADIUS)
    for left, part, at in zip(lefts, parts, xs, strict=True):
        placed = part.moved(left, top)
        texts += placed.texts
        paths += placed.paths
        is_line = not part.texts
        first = ((x, FORK), (at, FORK), (at, top))
        last: list[Point] = [(at, top if is_line else top + part.height)]
        if is_line:
            paths.append(Path(first, arrow=False))
        else:
            paths.append(Path(first))
        if is_bar or at == x:
            last.append((at, meet if is_bar else meet - RADIUS))
        else:
            last += [(at, meet), (x + (RADIUS if at > x else -RADIUS), meet)]
        paths.append(Path(tuple(last)))
    if is_bar:
        reach = [*xs, x]
        begin, end = min(reach) - 0.15, max(reach) + 0.15
        middle = LETTER * len(sign) / 2 + PADDING
        begin, end = min(begin, x - middle), max(end, x + middle)
        texts.append(Text(begin, meet, end - begin, BAR, (sign,), "branches"))
        height = meet + BAR
    else:
        texts.append(Text(x - RADIUS, meet - RADIUS, 2 * RADIUS, 2 * RADIUS, (sign,), "", True))
        height = meet + RADIUS
    leftmost = min([0.0, *(text.x for text in texts)])
    rightmost = max([right, *(text.x + text.width for text in texts)])
    whole = Part(rightmost - leftmost, height, x, tuple(texts), tuple(paths), fork=True)
    return whole.moved(-leftmost, 0.0)


def aside(head: Part) -> Part:
    """A line that goes on, and a part that is fed from it at its right."""
    left = BESIDE
    placed = head.moved(left, FORK + GAP)
    feed = Path(((0.0, FORK), (placed.x, FORK), (placed.x, FORK + GAP)), dashed=True)
    height = FORK + GAP + head.height
    line = Path(((0.0, 0.0), (0.0, height)), arrow=False)
    paths = (line, feed, *placed.paths)
    return Part(left + head.width, height, 0.0, placed.texts, paths, fork=True)


def draw(axes: Any, part: Part) -> None:
    """Put a part on axes whose y grows downwards."""
    style = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0,
             "mutation_scale": 8}  # fmt: skip
    for path in part.paths:
        points = path.points[:-1] if path.arrow else path.points
        axes.plot(*zip(*points, strict=True), color=INK, linewidth=0.8,
                  linestyle="--" if path.dashed else "-", solid_joinstyle="round")  # fmt: skip
        if path.arrow:
            axes.annotate("", path.points[-1], path.points[-2], arrowprops=style)
    for text in part.texts:
        _text(axes, text)


def picture(part: Part, title: str, kind: str, margin: float = 0.2) -> bytes:
    """The file, of kind "svg", "png" or "pdf", that shows a part."""
    above = margin + (0.3 if title else 0.0)
    width = max(part.width, 0.1 * len(title)) + 2 * margin
    left = -margin - (width - 2 * margin - part.width) / 2
    figure = new_figure((width, part.height + above + margin))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left, left + width), ylim=(part.height + margin, -above))
    axes.set_axis_off()
    draw(axes, part)
    if title:
        axes.text(left + margin, -above + 0.1, title, fontsize=11, weight="bold", color=INK,
                  va="top")  # fmt: skip
    return figure_bytes(figure, kind)


def _text(axes: Any, text: Text) -> None:
    shapes = import_extra("matplotlib.patches", "viz", "a picture")
    colour = lit(COLOURS[text.kind], 0.45) if text.kind else "white"
    x, y = text.x + text.width / 2, text.y + text.height / 2
    look = {"facecolor": colour, "edgecolor": INK, "linewidth": 0.7, "zorder": 3}
    if text.is_bare:
        pass
    elif text.is_round:
        axes.add_patch(shapes.Ellipse((x, y), text.width, text.height, **look))
    else:
        corners = "round,pad=0,rounding_size=0.04"
        place = (text.x, text.y), text.width, text.height
        axes.add_patch(shapes.FancyBboxPatch(*place, boxstyle=corners, **look))
    first = y - LINE * (len(text.lines) - 1) / 2
    for i, line in enumerate(text.lines):
        axes.text(x, first + LINE * i, typeset(line), fontsize=8 if i == 0 else 7, zorder=4,
                  color=INK if i == 0 else QUIET, ha="center", va="center_baseline")  # fmt: skip


def typeset(text: str) -> str:
    """With signs of multiplication for the x that stand for them.

    Examples
    --------
    >>> ascii(typeset("2 x max pool 3x3"))
    "'2 \\\\xd7 max pool 3\\\\xd73'"
    """
    return re.sub(r"(?<=\d)( ?)x(?=[ \d])", "\\1\N{MULTIPLICATION SIGN}", text)
