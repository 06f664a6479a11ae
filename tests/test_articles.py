"""The checklist of docs/articles.md: every item is shown by something, and all of it exists."""

import re
import shlex
from pathlib import Path

import pytest

from pycnn import cli, models
from pycnn.see.schemes import SCHEMES

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "articles.md"
#: What the introductions have, as far as this list was made: rows do not vanish.
LEAST = 59
ROWS = [
    (item.strip(), shown.strip())
    for item, shown in re.findall(r"^\| (?!Item)([^|]+)\|([^|]+)\|$", PAGE.read_text(), re.M)
]
TESTS = sorted(set(re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", PAGE.read_text())))
COMMANDS = sorted(set(re.findall(r"`pycnn ([^`]+)`", PAGE.read_text())))
LINKS = sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE.read_text())))


def headings(page: Path) -> set[str]:
    """Anchors of a page, as GitHub makes them."""
    lines = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL).splitlines()
    titles = [line.lstrip("#").strip().lower() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles}


def test_every_item_is_shown_by_something() -> None:
    assert len(ROWS) >= LEAST
    assert len({item for item, _ in ROWS}) == len(ROWS)
    for item, shown in ROWS:
        assert re.search(r"`(tests/|pycnn |python examples/)|\]\(", shown), item


@pytest.mark.parametrize("link", LINKS)
def test_pages_sections_and_pictures_exist(link: str) -> None:
    path, _, anchor = link.partition("#")
    assert (PAGE.parent / path).is_file()
    assert not anchor or anchor in headings(PAGE.parent / path)


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_tests_exist(file: str, name: str) -> None:
    text = (ROOT / file).read_text()
    assert not name or re.search(rf"^def {name}\(", text, re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood_and_name_networks(command: str) -> None:
    arguments = cli._parser().parse_args(shlex.split(command))
    assert arguments.model in models.MODELS or arguments.model in SCHEMES


def test_examples_exist() -> None:
    scripts = re.findall(r"`python (examples/\w+\.py)", PAGE.read_text())
    assert scripts
    assert all((ROOT / script).is_file() for script in scripts)


def test_what_the_articles_get_wrong_is_said_where_it_is_shown() -> None:
    """A line of a page each; but the 358 million are worked out, and AlexNet has two lines."""
    pages = ("a-convolution-by-hand", "after-a-convolution", "networks-by-hand")
    said = sum((PAGE.parent / f"{name}.md").read_text().count("**Often told wrongly**: ")
               for name in pages)  # fmt: skip
    rows = [item for item, _ in ROWS if re.search(r"\b(an error|are errors)\b", item)]
    assert len(rows) == 7
    assert said == 7
