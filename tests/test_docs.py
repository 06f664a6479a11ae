"""What the documentation names exists: tables, files, commands, kernels."""

import argparse
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from pycnn import cli
from pycnn.runtime import sources

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@each_page
def test_generated_tables_are_up_to_date(page: Path, tables: ModuleType) -> None:
    text = page.read_text()
    assert text == tables.regenerated(text), "run `make docs`"


def test_a_stale_table_is_replaced_and_an_unknown_one_refused(tables: ModuleType) -> None:
    stale = "before\n<!-- generated:environment -->\nstale row\n<!-- end:environment -->\nafter\n"
    fresh = tables.regenerated(stale)
    assert "| `PYCNN_BACKEND` | `reference` |" in fresh
    assert "stale row" not in fresh
    assert fresh.startswith("before\n")
    assert fresh.endswith("after\n")
    with pytest.raises(KeyError, match="nonsense"):
        tables.regenerated("<!-- generated:nonsense -->\n<!-- end:nonsense -->")


def test_the_kernel_list_of_the_docs_is_that_of_the_sources() -> None:
    listed = re.findall(
        r"^\| `(\w+)` \| `(\S+\.cu)` \|", (ROOT / "docs/kernels.md").read_text(), re.M
    )
    defined = {
        (path.relative_to(sources.kernel_dir()).as_posix(), path.read_text().count("__global__"))
        for path in sources.kernel_dir().rglob("*.cu")
    }
    files = [file for _, file in listed]
    assert {(file, files.count(file)) for file in files} == defined
    for entry, file in listed:
        assert re.search(rf"\b{entry}\(", sources.kernel_path(file).read_text())


@each_page
def test_every_file_named_exists(page: Path) -> None:
    text = page.read_text()
    folders = "kernels|pycnn|emulator|tests|docs|examples|benchmarks"
    named = re.findall(rf"`((?:{folders})/[\w./-]*\w)`", text)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", prose) if "://" not in link]
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [link for link in links if not (page.parent / link).exists()]
    assert missing == []


@each_page
def test_every_command_named_exists(page: Path) -> None:
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page.read_text(), re.DOTALL))
    targets = set(re.findall(r"^([a-z-]+(?: [a-z-]+)*):", (ROOT / "Makefile").read_text(), re.M))
    targets = {target for line in targets for target in line.split()}
    assert set(re.findall(r"(?:^|`|\$ )make ([a-z-]+)", code, re.M)) <= targets
    assert set(re.findall(r"(?:^|`|\$ |-m )pycnn ([a-z]\w*)", code, re.M)) <= subcommands()


def subcommands() -> set[str]:
    (action,) = (a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction))
    return set(action.choices)


def test_the_commands_are_those_that_the_docs_are_checked_for() -> None:
    of_networks = {"train", "predict", "summary", "draw", "visualise", "live", "run"}
    of_kernels = {"bench", "sweep", "compare", "explain", "tune", "ops", "kernels", "emulate"}
    of_all = {"profile", "info", "cache"}
    assert of_networks | of_kernels | of_all == subcommands()


@pytest.mark.parametrize(
    ("page", "count"),
    [("README.md", 3), ("docs/training.md", 8), ("docs/networks.md", 8), ("docs/onnx.md", 1)],
)
def test_the_python_of_a_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, count: int
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert len(blocks) == count
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)  # the blocks build on each other
