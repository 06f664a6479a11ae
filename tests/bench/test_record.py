"""Files of results: what is missing in them, and whose they are."""

import json

import pytest

from pycnn.bench import environment, record, summary
from pycnn.bench.ceilings import Ceiling
from pycnn.bench.record import Record, content, load
from pycnn.cli import main

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


def test_a_file_that_does_not_call_itself_complete_is_not_taken_for_it(tmp_path):
    path = _file(tmp_path / "x.json")
    assert load(path).unfinished == ""
    old = {
        n: v for n, v in json.loads(path.read_text()).items() if n not in ("complete", "unfinished")
    }
    path.write_text(json.dumps(old))
    assert load(path).unfinished == "it does not say that it is complete"


def test_the_time_is_written_so_that_it_sorts():
    assert len(environment.now()) == len(SINCE)
    assert environment.now().endswith("+00:00")


def test_the_summary_of_a_file_tells_of_throttling(tmp_path):
    path = _file(tmp_path / "x.json")
    written = json.loads(path.read_text())
    written["environment"]["gpu"] = {"sampled": {"samples": 4, "held_back": {"power limit": 0.5}}}
    path.write_text(json.dumps(written))
    assert summary.of_run(load(path))[-1] == "THROTTLED: power limit in 50% of 4 samples"


@pytest.mark.parametrize(
    "change",
    [
        {"count": "2"}, {"count": None}, {"count": 2**70}, {"count": True}, {"layer": 7},
        {"time_ms": "1.0"}, {"time_ms": float("nan")}, {"time_ms": 10**400}, {"verified": 1},
        {"counters": []}, {"counters": {"reads": "5"}}, {"counters": 5}, {"status": ["timed"]},
        {"max_abs_error": "nan"}, {"max_abs_error": {}}, {"ran_shape": 5},
    ],
    ids=str,
)  # fmt: skip
def test_a_field_of_another_type_is_refused(tmp_path, change):
    path = _file(tmp_path / "x.json")
    loaded = json.loads(path.read_text())
    loaded["results"][0] |= change
    path.write_text(json.dumps(loaded))
    with pytest.raises(ValueError, match=r"x\.json: record 0 of `results` is not one"):
        load(path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"results": ' * 50_000, "1" * 5000, "\x00", '{"results": [[1]]}']
)
def test_any_json_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x\.json: ") as said:
        load(path)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("ceilings", [5, [5], [[]], {"a": 1}, [{"device": 1}], None, "x"])
def test_so_are_ceilings_of_another_form(tmp_path, ceilings):
    path = _file(tmp_path / "x.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ceilings": ceilings}))
    with pytest.raises(ValueError, match=r"x\.json: `ceilings` holds what is none"):
        load(path)


def test_texts_of_a_file_are_only_shown(tmp_path, capsys):
    path = _file(tmp_path / "x.json")
    loaded = json.loads(path.read_text())
    loaded["results"][0] |= {"layer": "\x1b[2Jlayer", "reason": "a\nb"}
    loaded["environment"]["cpu"] = {"model": "\x1b]0;title\x07", "cores": "2", "load": []}
    loaded["unfinished"], loaded["complete"] = ["\x1b[31m"], False
    path.write_text(json.dumps(loaded))
    assert load(path).records[0].layer == "?[2Jlayer"
    assert main(["compare", str(path), str(_file(tmp_path / "y.json"))]) == 0
    assert capsys.readouterr().out.replace("\n", "").isprintable()
