"""Files of results: what is missing in them, and whose they are."""

import json

import pytest

from pycnn.bench import environment, record, summary
from pycnn.bench.ceilings import Ceiling
from pycnn.bench.record import Record, content, load

SINCE, COMMIT = "2026-11-28T17:00:00+00:00", "a" * 40

FOUND = Record(
    "vgg16", "conv1", 2, "conv2d", "forward", "n1c3h9w9k4r3s3", "float32", "NCHW", "cuda", "auto",
    "timed", time_ms=1.0, host_ms=0.02,
)  # fmt: skip


def _file(path, date="2026-11-28T17:00:01+00:00", commit=COMMIT, unfinished=""):
    about = {"date": date, "commit": commit}
    limits = [Ceiling("cuda", "float32", 5e4, 4e3).as_json()]
    results = [{**vars(FOUND)}]
    path.write_text(json.dumps(content(about, limits, results, unfinished)))
    return path


def test_a_file_is_read_as_it_was_written(tmp_path):
    run = load(_file(tmp_path / "x.json", unfinished="interrupted"))
    assert run.records == [FOUND]
    assert run.ceilings == [Ceiling("cuda", "float32", 5e4, 4e3)]
    assert run.unfinished == "interrupted"
    assert record.read(tmp_path / "x.json") == (run.environment, run.records)
    assert record.read_ceilings(tmp_path / "x.json") == run.ceilings


def test_a_file_that_does_not_call_itself_complete_is_not_taken_for_it(tmp_path):
    path = _file(tmp_path / "x.json")
    assert load(path).unfinished == ""
    old = {
        n: v for n, v in json.loads(path.read_text()).items() if n not in ("complete", "unfinished")
    }
    path.write_text(json.dumps(old))
    assert load(path).unfinished == "it does not say that it is complete"


@pytest.mark.parametrize(
    ("about", "foreign"),
    [
        ({}, ""),
        ({"date": SINCE}, ""),
        ({"commit": COMMIT + "-dirty"}, ""),  # by the results that the job itself writes
        ({"date": "2026-11-28T16:59:59+00:00"}, "of an earlier run, which began at 2026-11"),
        ({"commit": "b" * 40}, "of commit bbb"),
        ({"commit": None}, "of commit None"),
    ],
)  # fmt: skip
def test_only_what_this_very_job_wrote_is_summed_up(tmp_path, about, foreign):
    path = _file(tmp_path / "x.json", **about)
    lines = summary.of_file(path, SINCE, COMMIT)
    if foreign:
        assert lines[0].startswith(f"NOT RUN: the results are {foreign}")
        assert len(lines) == 1
    else:
        assert "1 timed" in lines


def test_without_a_file_nothing_was_run(tmp_path):
    assert summary.of_file(tmp_path / "x.json", SINCE, None) == ["NOT RUN: there are no results"]


def test_the_time_is_written_so_that_it_sorts():
    assert len(environment.now()) == len(SINCE)
    assert environment.now().endswith("+00:00")


def test_the_summary_of_a_file_tells_of_throttling(tmp_path):
    path = _file(tmp_path / "x.json")
    written = json.loads(path.read_text())
    written["environment"]["gpu"] = {"sampled": {"samples": 4, "held_back": {"power limit": 0.5}}}
    path.write_text(json.dumps(written))
    assert summary.of_file(path, SINCE, COMMIT)[-1] == "THROTTLED: power limit in 50% of 4 samples"
