"""A plugin of pytest that writes what becomes of each test as a line of JSON, as it happens.

    python3 -m pytest -p benchmarks.gpu.ledger --ledger FILE --passed-before FILE

Whenever the run ends, by itself or not, the file says what passed, failed and was not run. Tests
named in the other file, which passed before, are left out.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

#: Outcomes of pytest, the one that decides about a test last.
ORDER = ("passed", "skipped", "failed")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ledger")
    group.addoption("--ledger", type=Path, metavar="FILE", help="append a line for each test")
    group.addoption("--passed-before", type=Path, metavar="FILE", help="leave these tests out")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--ledger")
    if path and not hasattr(config, "workerinput"):  # under pytest-xdist the first process writes
        config.pluginmanager.register(_Writer(path), "ledger-writer")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    path = config.getoption("--passed-before")
    if path and path.exists():
        before = set(path.read_text().splitlines())
        out = [item for item in items if item.nodeid in before]
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item.nodeid not in before]


class _Writer:
    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self._told = False
        self._write(begun=True)

    def _write(self, **about: Any) -> None:
        self._file.write(json.dumps(about) + "\n")
        self._file.flush()

    def _selected(self, names: list[str]) -> None:
        if not self._told and names:
            self._told = True
            self._write(selected=names)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._selected([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self._selected(list(ids))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write(broken=report.nodeid, why=_last_line(report.longrepr))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            why = _last_line(report.longrepr) if report.outcome == "failed" else ""
            self._write(test=report.nodeid, outcome=report.outcome, why=why)


def _last_line(representation: object) -> str:
    """What went wrong: the line that pytest marks with an E, or the last one."""
    lines = [line for line in str(representation).splitlines() if line.strip()]
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return (marked or lines or [""])[0 if marked else -1][:300]


@dataclass(frozen=True)
class Ledger:
    """What a file says, of several runs together.

    Attributes
    ----------
    selected : frozenset of str
        Tests that were to run.
    outcomes : dict of str to str
        ``"passed"``, ``"skipped"`` or ``"failed"``, by test; the last run of a test counts.
    why : dict of str to str
        What went wrong, by test that failed or file that could not be collected.
    broken : frozenset of str
        Files that could not be collected.
    """

    selected: frozenset[str]
    outcomes: dict[str, str]
    why: dict[str, str]
    broken: frozenset[str]

    @property
    def counts(self) -> Counter[str]:
        """Tests by outcome, and those ``"not run"``."""
        counts = Counter(self.outcomes.values())
        counts["not run"] = len(self.selected - self.outcomes.keys())
        return counts


def read(path: Path) -> Ledger:
    """Read a ledger; the last line may be cut off."""
    selected: set[str] = set()
    outcomes: dict[str, str] = {}
    why: dict[str, str] = {}
    broken: set[str] = set()
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            about = json.loads(line)
        except ValueError:
            continue
        if "begun" in about:
            broken = set()
        elif "selected" in about:
            selected |= set(about["selected"])
            for test in outcomes.keys() & set(about["selected"]):
                del outcomes[test], why[test]
        elif "broken" in about:
            broken.add(about["broken"])
            why[about["broken"]] = about["why"]
        else:
            test = about["test"]
            outcomes[test] = max(outcomes.get(test, "passed"), about["outcome"], key=ORDER.index)
            why[test] = why.get(test) or about["why"]
    return Ledger(frozenset(selected), outcomes, why, frozenset(broken))
