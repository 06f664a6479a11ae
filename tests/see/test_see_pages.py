"""The commands of docs/seeing.md print what the page says, and draw the pictures it shows."""

import re
import shlex
from pathlib import Path

import pytest

from pycnn import cli

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCKS = re.findall(r"```console\n\$ (.*)\n((?:.*\n)*?)```", (DOCS / "seeing.md").read_text())
#: `visualise` with trained weights takes half a minute; tests/see/test_visualise.py runs it small.
QUICK = [block for block in BLOCKS if not block[0].startswith("pycnn visualise")]


@pytest.mark.parametrize(("command", "printed"), QUICK)
def test_command_prints_what_the_page_says(
    command: str,
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(command)
    assert program == "pycnn"
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == printed
    for drawn in tmp_path.iterdir():  # other versions of matplotlib write other numbers
        shown = (DOCS / "seeing" / drawn.name).read_text()
        assert texts(drawn.read_text()) == texts(shown)


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)<", svg)


def test_the_page_shows_every_command() -> None:
    assert [block[0].split()[1] for block in BLOCKS] == [
        "summary", "summary", *["draw"] * 5, "visualise",
    ]  # fmt: skip


def test_the_python_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "seeing.md").read_text(), re.DOTALL)
    exec(compile(block, "seeing.md", "exec"), {})
    assert capsys.readouterr().out.strip() == block.rpartition("# ")[2].strip()


def test_pictures_of_the_page_are_small() -> None:
    assert sum(path.stat().st_size for path in (DOCS / "seeing").iterdir()) < 560_000
