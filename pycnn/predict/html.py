"""A profile as one page that needs nothing else: source, PTX and machine code side by side."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from pycnn.predict.profile import Profile, text

_STYLE = """
body { font: 14px sans-serif; margin: 1em }
.sides { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1em }
.side { overflow: auto; height: 75vh; border: 1px solid #bbb }
.side div { font: 12px monospace; white-space: pre; padding: 0 .3em; cursor: pointer }
.side b { display: inline-block; width: 5em; font-weight: normal; color: #666; text-align: right;
  margin-right: .7em }
.chosen { outline: 1px solid #06c; background-color: #cde !important }
pre { background: #f4f4f4; padding: .7em; overflow: auto }
"""

_SCRIPT = """
document.addEventListener("click", event => {
  const row = event.target.closest("[data-place]");
  if (!row) return;
  const launch = row.closest("section");
  for (const old of launch.querySelectorAll(".chosen")) old.classList.remove("chosen");
  for (const side of launch.querySelectorAll(".side")) {
    const same = [...side.children].filter(d => d.dataset.place === row.dataset.place);
    same.forEach(d => d.classList.add("chosen"));
    if (same.length && !side.contains(row)) same[0].scrollIntoView({block: "center"});
  }
});
"""

#: Text, place, how often.
Row = tuple[str, str, float]


def page(title: str, profiles: Sequence[Profile]) -> str:
    """The page.

    Parameters
    ----------
    title : str
    profiles : sequence of Profile
        One launch after the other.
    """
    body = "\n".join(map(_section, profiles))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n"
        "<p>Counts are of warps over the whole grid, scaled from the blocks that were run. Times "
        "are predicted, never measured. Click a line to see what it became.</p>\n"
        f"{body}\n<script>{_SCRIPT}</script></body></html>\n"
    )


def _section(found: Profile) -> str:
    sides = (
        ("source", _source(found)),
        ("PTX", [(t, f"{file}:{line}", times) for t, file, line, times in found.ptx]),
        ("machine code", [(t, f"{file}:{line}", times) for t, file, line, times in found.machine]),
    )
    columns = "\n".join(
        f'<div><h3>{name}</h3><div class="side">{_rows(rows)}</div></div>' for name, rows in sides
    )
    report = escape("\n".join(text(found, width=110)))
    return (
        f"<section><h2>{escape(found.name)}</h2>\n<pre>{report}</pre>\n"
        f'<div class="sides">{columns}</div></section>'
    )


def _source(found: Profile) -> list[Row]:
    """All lines of the files that have instructions, with how many warps ran."""
    times = {(line.file, line.line): line.instructions for line in found.lines}
    rows: list[Row] = []
    for file in dict.fromkeys(line.file for line in found.lines if line.file):
        path = Path(file)
        if path.is_file():
            rows.append((path.name, "", 0.0))
            rows += [
                (line, f"{file}:{n}", times.get((file, n), 0.0))
                for n, line in enumerate(path.read_text().splitlines(), 1)
            ]
    return rows


def _rows(rows: Sequence[Row]) -> str:
    most = max((times for *_, times in rows), default=0.0) or 1.0
    made = []
    for line, place, times in rows:
        heat = f' style="background:rgba(255,140,0,{0.6 * times / most:.2f})"' if times else ""
        said = f"{times:.3g}" if times else ""
        made.append(f'<div data-place="{escape(place)}"{heat}><b>{said}</b>{escape(line)}</div>')
    return "".join(made)
