"""One HTML page that needs nothing else: images within, no script, light or dark."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from pycnn.runtime.terminal import Table

KINDS = {"svg": "svg+xml", "png": "png", "jpg": "jpeg"}
#: A browser that honours it asks nobody for anything.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --quiet: #5c6470; --page: #fafafa;
  --card: #fff; --line: #dfe3e8; --bar: #6a9fd4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --quiet: #a2a9b3; --page: #15181c;
  --card: #1e2227; --line: #343a42; --bar: #4d7fb3; } }
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 60rem; background: var(--page);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.15rem; margin: 0 0 .3rem; }
p { margin: 0 0 .8rem; color: var(--quiet); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.1rem 1.3rem; margin-top: 1.2rem; }
figure { margin: 0 0 1rem; } figcaption { color: var(--quiet); font-size: .88rem; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 6px;
  padding: 6px; box-sizing: border-box; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th.number, td.number { text-align: right; }
summary { cursor: pointer; }
meter { width: 12rem; }
"""


@dataclass(frozen=True)
class Picture:
    """An image file and what it shows.

    Attributes
    ----------
    name : str
        Of the file, with its suffix: a key of `KINDS`.
    section, caption : str
        Heading under which it stands, and the words below it.
    data : bytes
    """

    name: str
    section: str
    caption: str
    data: bytes


#: What the sections are about, in the order of the page.
SECTIONS = {
    "The network": "Boxes are feature maps, sized by their extents; each stage has one resolution.",
    "Filters of the first convolution": "Every filter from its lowest weight, dark, to its "
    "highest, bright.",
    "Feature maps": "What the layers make of the image, stage by stage; the strongest maps of "
    "each, numbered by channel.",
    "Receptive field": "What the middle element of each stage's result depends on; "
    "behind an upsampling, at most.",
    "Where it looks": "What speaks for the most probable class.",
    "Classic filters": "Convolutions that people chose by hand, on the whole image.",
}


def page(
    title: str,
    subtitle: str,
    pictures: Sequence[Picture],
    classes: Sequence[tuple[str, float]],
    layers: Table,
) -> str:
    """The page, as text.

    Parameters
    ----------
    title, subtitle : str
    pictures : sequence of Picture
        Shown under their sections, in the order of `SECTIONS`.
    classes : sequence of (str, float)
        The most probable classes; none for a network that is no classifier.
    layers : Table
        The summary.
    """
    parts = [f"<h1>{escape(title)}</h1>\n<p>{escape(subtitle)}</p>"]
    if classes:
        parts.append(_section("Most probable classes", "", _classes(classes)))
    for heading, text in SECTIONS.items():
        inside = "\n".join(_figure(p) for p in pictures if p.section == heading)
        if inside:
            parts.append(_section(heading, text, inside))
    table = f"<details><summary>{len(layers.rows) - 1} layers</summary>{_table(layers)}</details>"
    parts.append(_section("Layers", "Shape, cost and receptive field of each.", table))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _section(heading: str, text: str, inside: str) -> str:
    paragraph = f"<p>{escape(text)}</p>\n" if text else ""
    return f"<section>\n<h2>{escape(heading)}</h2>\n{paragraph}{inside}\n</section>"


def _figure(picture: Picture) -> str:
    kind = KINDS[picture.name.rpartition(".")[2]]
    data = base64.b64encode(picture.data).decode()
    caption = escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/{kind};base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _classes(classes: Sequence[tuple[str, float]]) -> str:
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="number">{share:.1%}</td>'
        f'<td><meter value="{share:.4f}">{share:.1%}</meter></td></tr>'
        for name, share in classes
    )
    return f"<table>{rows}</table>"


def _table(table: Table) -> str:
    numbers = [column.startswith(">") for column in table.columns]

    def row(cells: Sequence[str], tag: str) -> str:
        inside = "".join(
            f"<{tag}{' class=number' if number else ''}>{escape(cell)}</{tag}>"
            for cell, number in zip(cells, numbers, strict=True)
        )
        return f"<tr>{inside}</tr>"

    head = row([column.lstrip(">") for column in table.columns], "th")
    body = "\n".join(row(line.cells, "td") for line in table.rows)
    return f'<div class="scroll"><table>{head}\n{body}</table></div>'
