"""Tables and progress for a person: with rich where it is installed, plain text where not."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pycnn.runtime.extras import MissingExtra, import_extra

#: Width of a table that is written to a file or a pipe.
PLAIN_WIDTH = 250


@dataclass(frozen=True)
class Row:
    """Cells of one row, and how it looks."""

    cells: tuple[str, ...]
    style: str = ""
    starts_section: bool = False


@dataclass(frozen=True)
class Table:
    """A title, columns (a name that starts with ``>`` is aligned to the right) and rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def size_text(nbytes: int) -> str:
    """Bytes in a unit that suits them; nothing for none."""
    if nbytes == 0:
        return ""
    for unit in ("B", "KiB", "MiB"):
        if nbytes < 1024:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1024  # type: ignore[assignment]
    return f"{nbytes:.3g} GiB"


def show(table: Table) -> None:
    """Print `table` to standard output."""
    try:
        rich_table = import_extra("rich.table", "bench", "a table with colours")
        rich_console = import_extra("rich.console", "bench", "a table with colours")
    except MissingExtra:
        print("\n".join(plain(table)))
        return
    console = rich_console.Console()
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    drawn = rich_table.Table(title=table.title, title_justify="left", header_style="bold")
    for column in table.columns:
        side = "right" if column.startswith(">") else "left"
        drawn.add_column(column.lstrip(">"), justify=side, overflow="fold")
    for i, row in enumerate(table.rows):
        if row.starts_section and i:
            drawn.add_section()
        drawn.add_row(*row.cells, style=row.style)
    console.print(drawn, markup=False)


def plain(table: Table) -> list[str]:
    """`table` as aligned lines."""
    names = tuple(column.lstrip(">") for column in table.columns)
    lines = [names, *(row.cells for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        "  ".join(
            cell.rjust(width) if column.startswith(">") else cell.ljust(width)
            for cell, width, column in zip(line, widths, table.columns, strict=True)
        ).rstrip()
        for line in lines
    ]
    return [table.title, aligned[0], "-" * len(aligned[0]), *aligned[1:]]


@contextlib.contextmanager
def progress(total: int) -> Iterator[tuple[Callable[[str], None], Callable[[], None]]]:
    """A bar where rich is installed and somebody looks; else a line now and then.

    Yields
    ------
    (announce, advance) : callables
        `announce` says what is being done, `advance` that one piece of `total` is.
    """
    bar = _bar() if sys.stderr.isatty() else None
    if bar is not None:
        with bar:
            task = bar.add_task("starting", total=total)
            yield lambda doing: bar.update(task, description=doing), lambda: bar.advance(task)
        return
    latest, done = "", 0

    def announce(doing: str) -> None:
        nonlocal latest
        latest = doing

    def advance() -> None:
        nonlocal done
        done += 1
        if done == total or done % max(1, total // 10) == 0:
            print(f"{done}/{total} {latest}", file=sys.stderr)

    yield announce, advance


def _bar() -> Any:
    """A progress bar of rich on standard error, or None without rich."""
    try:
        rich = import_extra("rich.progress", "bench", "a progress bar")
        console = import_extra("rich.console", "bench", "a progress bar").Console(stderr=True)
    except MissingExtra:
        return None
    columns = (*rich.Progress.get_default_columns(), rich.TimeElapsedColumn())
    return rich.Progress(*columns, console=console, transient=True)
