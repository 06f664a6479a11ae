"""The stage `test`: what pytest does is counted, however it ends."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import ledger, test
from benchmarks.gpu.limited import heed_interrupts
from benchmarks.gpu.result import FAILED, PARTIAL, PASSED

ROOT = Path(__file__).parents[2]

TESTS = """
import time, pytest
@pytest.fixture
def torn():
    yield
    raise RuntimeError("in teardown")
def test_good(): pass
def test_bad(): assert 1 == 2, "one is not two"
def test_left_out(): pytest.skip("why not")
def test_torn(torn): pass
@pytest.mark.parametrize("i", range(3))
def test_slow(i): time.sleep(SLOW)
"""


@pytest.fixture
def run(tmp_path):
    """Runs pytest with the plugin on `TESTS`; gives the ledger."""
    file, before = tmp_path / "tests.jsonl", tmp_path / "passed.txt"

    def start(*options, slow=0.0, source=TESTS, until=None):
        (tmp_path / "test_it.py").write_text(source.replace("SLOW", str(slow)))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p",
                   "benchmarks.gpu.ledger", "--continue-on-collection-errors",
                   "--ledger", str(file), "--passed-before", str(before), *options,
                   str(tmp_path)]  # fmt: skip
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": ROOT},
            preexec_fn=heed_interrupts,
        )
        end = time.monotonic() + 60
        while until and until not in (file.read_text() if file.exists() else ""):
            assert time.monotonic() < end
            time.sleep(0.05)
        if until:
            process.send_signal(signal.SIGINT)
        process.wait(60)
        return ledger.read(file)

    start.before = before
    return start


def names(found, outcome):
    return {name.rpartition("::")[2] for name, each in found.outcomes.items() if each == outcome}


@pytest.mark.parametrize("parallel", [False, True])
def test_every_outcome_is_counted(run, parallel):
    if parallel:
        pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    found = run(*(["-n", "2", "--dist", "worksteal"] if parallel else []))
    assert names(found, "failed") == {"test_bad", "test_torn"}
    assert names(found, "skipped") == {"test_left_out"}
    assert found.counts == {"passed": 4, "failed": 2, "skipped": 1, "not run": 0}
    (why,) = (why for name, why in found.why.items() if name.endswith("test_bad"))
    assert "one is not two" in why
    result = test.result_of(found)
    assert result.outcome == FAILED
    assert result.what == "4 of 7 tests passed, 2 FAILED, 1 skipped"
    assert len(result.details) == 2


def test_what_there_was_no_time_for_is_not_passed_and_comes_next_time(run):
    found = run("-k", "good or slow", slow=1.0, until='test_good", "outcome": "passed"')
    assert found.counts["not run"] >= 2
    result = test.result_of(found)
    assert (result.outcome, result.finished) == (PARTIAL, False)
    assert f"{found.counts['not run']} not run" in result.what
    run.before.write_text("\n".join(n for n, o in found.outcomes.items() if o == "passed"))
    again = run("-k", "good or slow", source=TESTS.replace("test_good(): pass", "test_good(): 1/0"))
    assert again.counts == {"passed": 4, "not run": 0}  # test_good was left out, or it would fail
    assert test.result_of(again).outcome == PASSED


def test_one_that_failed_may_pass_later(run):
    assert run("-k", "test_bad").counts["failed"] == 1
    mended = run("-k", "test_bad", source=TESTS.replace("1 == 2", "1 == 1"))
    assert test.result_of(mended).outcome == PASSED
    assert not test.result_of(mended).details


def test_a_file_that_cannot_be_collected_fails_and_the_others_run(run, tmp_path):
    (tmp_path / "test_broken.py").write_text("import nothing_of_this_name")
    found = run("-k", "good")
    assert found.counts["passed"] == 1
    result = test.result_of(found)
    assert result.outcome == FAILED
    assert "1 files CANNOT BE COLLECTED" in result.what
    assert "nothing_of_this_name" in result.details[0]


def test_a_worker_that_dies_fails_its_test_and_the_others_run(run):
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    dying = TESTS.replace("def test_good(): pass", "def test_good():\n    import os; os._exit(3)")
    found = run("-n", "1", "--dist", "worksteal", "-k", "good or slow", source=dying)
    assert names(found, "failed") == {"test_good"}
    assert found.counts["passed"] == 3


def test_nothing_run_is_no_pass(tmp_path):
    assert test.result_of(ledger.read(tmp_path / "none")).outcome == FAILED


@pytest.mark.parametrize(("lasts", "outcome"), [(0.0, FAILED), (2.0, PARTIAL)])
def test_no_test_collected_is_told_from_no_time(tmp_path, monkeypatch, lasts, outcome):
    def limited(command, seconds, **variables):
        time.sleep(lasts)
        return 4

    monkeypatch.setattr(test, "limited", limited)
    monkeypatch.setattr(test, "LIMIT", 1)
    result = test.test(tmp_path)
    assert result.outcome == outcome
    assert result.finished == (outcome == FAILED)
    assert "collected" in result.what


def test_half_a_line_is_left_out(tmp_path):
    path = tmp_path / "tests.jsonl"
    path.write_text('{"selected": ["a", "b"]}\n{"test": "a", "outcome": "passed", "why": ""}\n{"te')
    assert ledger.read(path).counts == {"passed": 1, "not run": 1}


def test_the_stage_takes_tests_of_cuda_alone_and_all_cores(tmp_path):
    command = test.command(tmp_path / "a", tmp_path / "b")
    assert "--only-backends" in command
    assert "-k" not in command
    assert ("-n" in command) == (importlib.util.find_spec("xdist") is not None)
