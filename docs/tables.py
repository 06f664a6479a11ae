"""Write the generated tables of the documentation: ``make docs``, or ``--check`` to compare.

A table stands between ``<!-- generated:NAME -->`` and ``<!-- end:NAME -->`` in any Markdown file
of the repository, and is never typed. `TABLES` says what makes it.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from pycnn import config
from pycnn.runtime import catalogue

ROOT = Path(__file__).resolve().parent.parent

TABLES: dict[str, Callable[[], str]] = {
    "environment": config.table,
    "kernels": catalogue.table,
}

_BLOCK = re.compile(r"(<!-- generated:(\S+) -->\n).*?(<!-- end:\2 -->)", re.DOTALL)


def regenerated(text: str) -> str:
    """`text` with every table between markers made anew; a `KeyError` names an unknown one."""
    return _BLOCK.sub(lambda m: f"{m[1]}\n{TABLES[m[2]]()}\n\n{m[3]}", text)


def pages() -> list[Path]:
    """Every Markdown file that may hold a table."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def main() -> int:
    stale = [page for page in pages() if regenerated(page.read_text()) != page.read_text()]
    for page in stale:
        if "--check" in sys.argv[1:]:
            print(f"{page.relative_to(ROOT)}: a generated table is out of date; run `make docs`")
        else:
            page.write_text(regenerated(page.read_text()))
            print(f"{page.relative_to(ROOT)}: written")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
