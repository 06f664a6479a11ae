"""A run in one line a layer, for a terminal of 80 columns."""

import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence

from pycnn.bench.environment import busy
from pycnn.bench.record import CHECKED, FAILED, SKIPPED, TIMED, WRONG, Record, Run
from pycnn.bench.summary import against, totals
from pycnn.bench.table import host_bound, in_full, time_text, winners

WIDTH = 80

#: How dtypes and directions are written where a run has several.
SHORT = {"float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64"}

COLUMNS = ("layer", "best", ">time", ">spread", ">limit", "over the next", ">checked")

Problem = tuple[str, ...]

#: What a mark of the table stands for, and whether a record has it.
MARKS: dict[str, tuple[str, Callable[[Record], bool]]] = {
    "c": ("c of a large matrix product", lambda r: r.bound == "compute"),
    "m": ("m of a large copy, which caches can exceed",
          lambda r: r.bound == "memory"),
    "~": ("~: disturbed, the samples lie far apart", lambda r: r.disturbed),
    "h": ("h: the host takes longer to queue the call than the GPU to run it", host_bound),
}  # fmt: skip


def lines(title: str, run: Run) -> list[str]:
    """The table, the network, a legend of the marks that occur, and what needs to be said."""
    problems: dict[Problem, list[Record]] = {}
    for record in run.records:
        problems.setdefault(record.problem, []).append(record)
    best = winners(in_full(run.records))
    halves = _of_halves(run.records, best.keys())
    rows = [
        _row(records, best.get(problem), run.records)
        for problem, records in problems.items()
        if problem not in halves
    ]
    marks = [text for text, has in MARKS.values() if any(map(has, best.values()))]
    said = [
        title,
        *_warnings(run),
        *aligned(COLUMNS, rows),
        *_legend(rows, marks),
        *_halves(halves),
        *([] if run.unfinished else totals(run.records)),
        *against(run.records),
        *_counted(run.records),
    ]
    return [line for text in said for line in wrapped(text)]


def wrapped(text: str) -> list[str]:
    """`text` in lines of at most `WIDTH` columns; what follows the first is indented."""
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False) or [""]


def _warnings(run: Run) -> list[str]:
    said = [f"PARTIAL: {run.unfinished}; no totals"] if run.unfinished else []
    if busy(run.environment):
        said.append(f"BUSY MACHINE ({busy(run.environment)}): times on the CPU are too long")
    return said


def _row(records: Sequence[Record], best: Record | None, every: Sequence[Record]) -> list[str]:
    checked = [r for r in records if r.backend in ("emulator", "cuda") and r.status != SKIPPED]
    right = sum(r.status in (CHECKED, TIMED) for r in checked)
    counts = f"{right}/{len(checked)}" if checked else ""
    name = _name(records[0], every)
    if best is None:
        return [name, "not timed", "", "", "", "", counts]
    return [
        name, method(best), time_text(best.time_ms) + _marks(best),
        "" if best.spread is None else f"\u00b1{best.spread:.0%}",
        f"{best.ceiling_share:.0%}{(best.bound or ' ')[0]}" if best.ceiling_share else "",
        _gain(best, records), counts,
    ]  # fmt: skip


def _marks(record: Record) -> str:
    return "~" * record.disturbed + "h" * host_bound(record)


def method(record: Record) -> str:
    """Who computed it, and how: the algorithm, or a peer's layout."""
    if record.is_peer:
        return record.backend + (f" {record.layout}" if "torch" in record.backend else "")
    own = "cuda" if record.backend == "cuda" else "pycnn"
    return f"{own} {record.chosen or record.algorithm}"


def _gain(best: Record, records: Sequence[Record]) -> str:
    """Time of the next method over that of the best, and which it is."""
    others = [r for r in in_full(records) if r.time_ms and method(r) != method(best)]
    if not others or not best.time_ms:
        return ""
    following = min(others, key=lambda r: r.time_ms or 0.0)
    return f"{following.time_ms / best.time_ms:.2f}x {method(following)}"  # type: ignore[operator]


def _name(record: Record, every: Sequence[Record]) -> str:
    times = f" x{record.count}" if record.count > 1 else ""
    several = len({r.direction for r in every}) > 1
    backward = " bwd" if several and record.direction != "forward" else ""
    timed = {r.dtype for r in every if r.status == TIMED}
    dtype = f" {SHORT.get(record.dtype, record.dtype)}" if len(timed) > 1 else ""
    return record.layer + times + backward + dtype


def aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows under `columns`, without those that are empty; a long name of a layer is cut."""
    if not rows:
        return []
    kept = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    head = [columns[i].lstrip(">") for i in kept]
    cells = [head, *([row[i] for i in kept] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(kept))]
    widths[0] = max(min(widths[0], WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1)), 8)
    table = []
    for row in cells:
        row = [row[0] if len(row[0]) <= widths[0] else row[0][: widths[0] - 1] + "\u2026", *row[1:]]
        parts = [
            cell.rjust(width) if columns[i].startswith(">") else cell.ljust(width)
            for cell, width, i in zip(row, widths, kept, strict=True)
        ]
        table.append("  ".join(parts).rstrip())
    return [table[0], "-" * min(len(table[0]), WIDTH), *table[1:]]


def _legend(rows: Sequence[Sequence[str]], marks: Sequence[str]) -> list[str]:
    """What the columns and marks that there are stand for."""
    limits = [mark for mark in marks if mark[0] in "cm"]
    others = [mark for mark in marks if mark[0] not in "cm"]
    texts = [f"limit: share of what this machine can do, {', '.join(limits)}"] * bool(limits)
    if any(row[5] for row in rows):
        texts.append("over the next: time of the next method over that of the best")
    if any(row[6] for row in rows):
        texts.append("checked: kernels that were right, of those that can run the layer")
    return ["; ".join([*texts, *others])] if texts or others else []


def _of_halves(
    records: Sequence[Record], timed: Collection[Problem]
) -> dict[Problem, list[Record]]:
    """Problems in 16 bits that were checked without being timed, beside others that were timed."""
    problems: dict[Problem, list[Record]] = {}
    for record in records:
        if timed and record.dtype in ("float16", "bfloat16") and record.problem not in timed:
            problems.setdefault(record.problem, []).append(record)
    return problems


def _halves(problems: Mapping[Problem, Sequence[Record]]) -> list[str]:
    counts: dict[str, list[bool]] = {}
    for records in problems.values():
        for record in records:
            if record.status != SKIPPED:
                counts.setdefault(record.dtype, []).append(record.status == CHECKED)
    parts = [f"{sum(right)}/{len(right)} kernels in {dtype}" for dtype, right in counts.items()]
    return [f"checked on a layer of each kind too: {', '.join(parts)}"] if parts else []


def _counted(records: Sequence[Record]) -> list[str]:
    skipped = sum(r.status == SKIPPED for r in records)
    said = [f"{skipped} of {len(records)} records skipped; --all shows each, with the reason"]
    bad = [r for r in records if r.status in (WRONG, FAILED)]
    said = said if skipped else [f"{len(records)} records; --all shows each"]
    return said + [
        f"{r.status.upper()}: {r.layer} {r.direction} {r.dtype} {r.backend} "
        f"{r.algorithm}: {r.reason}"
        for r in bad
    ]
