"""SVG as text: shapes, numbers in grids, and steps that follow each other without a script.

Every picture has paper of its own, so that it is read on light and on dark pages alike. Steps are
shown one after the other by CSS; where motion is not wanted, or not shown, the first one stays.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

INK, QUIET, LINES, PAPER = "#22262c", "#5f6773", "#b9c0ca", "#ffffff"
#: As on the page of `pycnn live`; red and green mean nothing to many.
POSITIVE, NEGATIVE, MARK, SHADE = "#d2691e", "#2f6fba", "#0b7a75", "#e8ecf1"
SECONDS = 1.6  # of a step
Fill = Callable[[float], str]


def number(value: float, digits: int = 2) -> str:
    """As in print: a minus sign, no zeros behind the point."""
    text = f"{round(float(value), digits) + 0.0:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "\N{MINUS SIGN}")


def mixed(colour: str, share: float) -> str:
    """Paper with a share of a colour, 0 to 1."""
    part = [round(255 + (int(colour[i : i + 2], 16) - 255) * share) for i in (1, 3, 5)]
    return "#" + "".join(f"{c:02x}" for c in part)


def signed(most: float) -> Fill:
    """Orange for what is positive, blue for what is negative, up to `most`."""
    return lambda v: mixed(POSITIVE if v > 0 else NEGATIVE, 0.9 * min(1, abs(v) / most))


def grey(most: float) -> Fill:
    """From black, 0, to white."""
    return lambda v: "#" + f"{round(255 * min(1, v / most)):02x}" * 3


def plain(_: float) -> str:
    return PAPER


def _is_dark(colour: str) -> bool:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0.3 * red + 0.59 * green + 0.11 * blue < 130


class Picture:
    """One picture; what is drawn later lies above."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self.parts: list[str] = []
        self.count = 0  # of steps

    def add(self, tag: str, text: str = "", **attributes: Any) -> None:
        written = "".join(
            f' {name.rstrip("_").replace("_", "-")}="{value:g}"'
            if isinstance(value, int | float)
            else f' {name.rstrip("_").replace("_", "-")}="{value}"'
            for name, value in attributes.items()
            if value is not None
        )
        self.parts.append(
            f"<{tag}{written}>{escape(text)}</{tag}>" if text else f"<{tag}{written}/>"
        )

    def text(self, x: float, y: float, text: str, **look: Any) -> None:
        """Centred at (x, y), unless `text_anchor` says otherwise."""
        size = look.get("font_size") or 15
        self.add("text", text, x=x, y=round(y + 0.35 * size, 1), **look)

    def left(self, x: float, y: float, text: str, **look: Any) -> None:
        self.text(x, y, text, text_anchor="start", **look)

    def head(self, x: float, y: float, text: str) -> None:
        self.text(x, y, text, font_weight="bold")

    def note(self, x: float, y: float, text: str, **look: Any) -> None:
        self.text(x, y, text, fill=QUIET, font_size=13, **look)

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str = INK,
             **look: Any) -> None:  # fmt: skip
        self.add("path", d=f"M{x1:g} {y1:g}L{x2:g} {y2:g}", stroke=stroke, fill="none", **look)

    def arrow(self, x1: float, y1: float, x2: float, y2: float, stroke: str = INK) -> None:
        """A line with a head at its end."""
        length = float(np.hypot(x2 - x1, y2 - y1))
        ux, uy = (x2 - x1) / length, (y2 - y1) / length
        self.line(x1, y1, x2 - 6 * ux, y2 - 6 * uy, stroke, stroke_width=1.5)
        corners = [(x2, y2)] + [
            (x2 - 8 * ux + side * 4 * uy, y2 - 8 * uy - side * 4 * ux) for side in (1, -1)
        ]
        points = "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)
        self.add("path", d=f"M{points}z", fill=stroke)

    def box(self, x: float, y: float, width: float, height: float, **look: Any) -> None:
        self.add("rect", x=x, y=y, width=width, height=height, **look)

    def frame(self, x: float, y: float, width: float, height: float, colour: str = MARK) -> None:
        """Around what is looked at."""
        self.box(x, y, width, height, stroke=colour, stroke_width=3, rx=2,
                 fill=colour, fill_opacity=".1")  # fmt: skip

    def grid(
        self, x: float, y: float, values: Any, cell: float = 34, fill: Fill = plain,
        shown: bool = True, digits: int = 2, size: float = 15, stroke: str = LINES,
    ) -> None:  # fmt: skip
        """Numbers (rows, columns) in cells; a NaN is an empty one."""
        values = np.atleast_2d(np.asarray(values, float))
        rows, columns = values.shape
        width, height = columns * cell, rows * cell
        self.box(x, y, width, height, fill=PAPER)
        cells: dict[str, str] = {}  # of one colour: one path
        for i, j in np.ndindex(rows, columns):
            colour = PAPER if np.isnan(values[i, j]) else fill(values[i, j])
            corner = f"M{x + j * cell:g} {y + i * cell:g}"
            cells[colour] = cells.get(colour, "") + f"{corner}h{cell:g}v{cell:g}h-{cell:g}z"
        cells.pop(PAPER, None)
        for colour, path in cells.items():
            self.add("path", d=path, fill=colour)
        lines = [f"M{x:g} {y + i * cell:g}h{width:g}" for i in range(rows + 1)]
        lines += [f"M{x + j * cell:g} {y:g}v{height:g}" for j in range(columns + 1)]
        self.add("path", d="".join(lines), stroke=stroke, fill="none")
        for i, j in np.ndindex(rows, columns):
            if shown and not np.isnan(values[i, j]):
                self.text(
                    x + (j + 0.5) * cell, y + (i + 0.5) * cell, number(values[i, j], digits),
                    fill="#fff" if _is_dark(fill(values[i, j])) else None,
                    font_size=None if size == 15 else size,
                )  # fmt: skip

    @contextmanager
    def step(self) -> Iterator[None]:
        """What is drawn inside is shown for a while, after the steps before it."""
        first = " f" if self.count == 0 else ""
        delay = f' style="animation-delay:{SECONDS * self.count:g}s"' if self.count else ""
        self.parts.append(f'<g class="s{first}"{delay}>')
        self.count += 1
        yield
        self.parts.append("</g>")

    def __str__(self) -> str:
        style = ""
        if self.count:
            style = (
                f"<style>.s{{opacity:0;animation:s {SECONDS * self.count:g}s step-end infinite}}"
                f".f{{opacity:1}}@keyframes s{{0%{{opacity:1}}"
                f"{100 / self.count:.3f}%,to{{opacity:0}}}}"
                "@media (prefers-reduced-motion:reduce){.s{animation:none}}</style>"
            )
        size = f'width="{self.width}" height="{self.height}"'
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'{size} role="img" font-family="system-ui,sans-serif" font-size="15" '
            f'text-anchor="middle" fill="{INK}">',
            f"<title>{escape(self.title)}</title>{style}",
            f'<rect {size} rx="8" fill="{PAPER}"/>',
            *self.parts,
            "</svg>\n",
        ])  # fmt: skip


def total(products: Sequence[float], result: float) -> str:
    """A sum in one line: 3 + 0 - 1 = 2."""
    text = number(products[0])
    for value in products[1:]:
        sign = "\N{MINUS SIGN}" if value < 0 else "+"
        text += f" {sign} {number(abs(value))}"
    return f"{text} = {number(result)}"
