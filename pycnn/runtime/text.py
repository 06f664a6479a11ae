"""Rows of text: in columns for a terminal, or as a Markdown table; names that are near."""

from collections.abc import Iterable, Sequence

Row = Sequence[str]


def aligned(rows: Sequence[Row]) -> list[str]:
    """Lines in which every column begins at one place.

    Examples
    --------
    >>> aligned([("op", "flops"), ("relu", "1")])
    ['op    flops', 'relu  1']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def markdown(head: Row, rows: Sequence[Row]) -> str:
    """A Markdown table.

    Examples
    --------
    >>> print(markdown(("op", "flops"), [("relu", "1")]))
    | op | flops |
    |---|---|
    | relu | 1 |
    """
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def printable(text: object, most: int = 500) -> str:
    """One line that a terminal only shows, whatever file it is from: no control characters.

    Examples
    --------
    >>> printable("red \x1b[31m")
    'red ?[31m'
    """
    line = "".join(c if c.isprintable() else "?" for c in str(text))
    return line if len(line) <= most else line[: most - 3] + "..."


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """The end of a message about a name that is not `allowed`; empty where nothing is near.

    Examples
    --------
    >>> did_you_mean("resnet5O", ["resnet50", "vgg16"])
    '; did you mean resnet50?'
    >>> did_you_mean("x", ["resnet50"])
    ''
    """
    import difflib  # only where there is a mistake

    near = difflib.get_close_matches(name.lower(), list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
