"""Which differences between two runs count, with files made by hand."""

import json

import pytest

from pycnn.bench.compare import compare_runs, failures
from pycnn.bench.record import read
from pycnn.cli import main

BASE = {
    "suite": "lenet5", "layer": "conv1", "count": 1, "op": "conv2d", "direction": "forward",
    "shape": "n1c1h32w32k6r5s5", "dtype": "float32", "layout": "NCHW", "backend": "reference",
    "algorithm": "auto", "status": "timed", "verified": True, "repeats": 9,
}  # fmt: skip


def _record(median, low=None, high=None, **other):
    times = {"time_ms": median, "time_ms_min": low or median, "time_ms_max": high or median}
    return {**BASE, **(times if median else {}), **other}


def _file(path, *records, **content):
    whole = {
        "schema": 2,
        "complete": True,
        "environment": {"cpu": {"model": "one", "cores": 2, "load": 1.0}},
        "results": list(records),
        **content,
    }
    path.write_text(json.dumps(whole))
    return path


def _verdicts(tmp_path, old, new, threshold=0.1):
    olds = read(_file(tmp_path / "old.json", *old))[1]
    news = read(_file(tmp_path / "new.json", *new))[1]
    return [change.verdict for change in compare_runs(olds, news, threshold)]


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ((10, 9.8, 10.4), (10, 9.9, 10.2), "same"),
        ((10, 9.8, 10.4), (14, 13.7, 14.4), "slower"),
        ((14, 13.7, 14.4), (10, 9.8, 10.4), "faster"),
        # the ranges overlap: one slow sample of the old run reaches into the new one
        ((10, 9.8, 13.9), (14, 13.7, 14.4), "same"),
        ((14, 9.9, 14.4), (10, 9.8, 10.4), "same"),
        # the ranges are apart, but the difference is below the threshold of 10 %
        ((10, 9.99, 10.01), (10.9, 10.89, 10.91), "same"),
        ((10.9, 10.89, 10.91), (10, 9.99, 10.01), "same"),
        ((10, 9.99, 10.01), (11.1, 11.09, 11.11), "slower"),
    ],
)
def test_only_a_difference_beyond_the_noise_counts(tmp_path, old, new, verdict):
    assert _verdicts(tmp_path, [_record(*old)], [_record(*new)]) == [verdict]


def test_percentiles_count_where_there_are_any(tmp_path):
    """One slow sample, which stretches the maximum, does not hide a difference then."""
    old = _record(10, 9.8, 30, time_ms_p25=9.9, time_ms_p75=10.2)
    new = _record(14, 13.7, 40, time_ms_p25=13.8, time_ms_p75=14.3)
    assert _verdicts(tmp_path, [old], [new]) == ["slower"]
    assert _verdicts(tmp_path, [new], [old]) == ["faster"]


def test_a_machine_that_was_busy_most_of_the_time_is_no_slower(tmp_path):
    """Its fastest samples, which nothing disturbed, are as fast as before."""
    old = _record(10, 9.8, 30, time_ms_p25=9.9, time_ms_p75=10.2)
    new = _record(14, 9.9, 40, time_ms_p25=13.8, time_ms_p75=14.3)
    assert _verdicts(tmp_path, [old], [new]) == ["same"]
    assert _verdicts(tmp_path, [new], [old]) == ["same"]


def test_the_threshold_can_be_set(tmp_path):
    old, new = _record(10, 9.9, 10.1), _record(12, 11.9, 12.1)
    assert _verdicts(tmp_path, [old], [new], threshold=0.3) == ["same"]
    assert _verdicts(tmp_path, [old], [new], threshold=0.0) == ["slower"]


def _layers(*medians, **other):
    return [_record(m, layer=f"conv{i}", **other) for i, m in enumerate(medians)]


def test_the_noise_between_two_runs_is_taken_from_all_layers(tmp_path):
    """30 % more is a change where the others stay within 1 %, and none where they drift by 15 %."""
    old = _layers(*[10.0] * 9)
    quiet = _layers(13, 10.1, 9.9, 10, 10.1, 9.9, 10, 10.1, 9.9)
    moved = _layers(13, 11.5, 8.7, 10, 11.5, 8.7, 10, 11.5, 8.7)
    assert _verdicts(tmp_path, old, quiet) == ["slower"] + ["same"] * 8
    assert set(_verdicts(tmp_path, old, moved)) == {"same"}
    # What a few layers or another device do, says nothing.
    assert _verdicts(tmp_path, old[:5], moved[:5])[0] == "slower"
    on_gpu = _record(13, layer="conv0", backend="cuda"), _record(10, layer="conv0", backend="cuda")
    assert _verdicts(tmp_path, [*old, on_gpu[1]], [*moved, on_gpu[0]])[-1] == "slower"
    # A machine that is slower as a whole is not noise.
    assert _verdicts(tmp_path, old, _layers(*[13.0] * 9)) == ["slower"] * 9


def test_the_command_says_the_noise_and_folds_what_changed_alike(tmp_path, capsys):
    old = _file(tmp_path / "old.json", *_layers(*[10.0] * 9), _record(10, layer="other"))
    new = _file(tmp_path / "new.json", *_layers(*[20.0] * 8, 21.0), _record(2, layer="other"))
    assert main(["compare", str(old), str(new)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert any(line.startswith("noise between the runs on the CPU: ") for line in shown)
    rows = [line.split() for line in shown if "slower" in line or "faster" in line]
    assert rows[0][0] == "other"
    assert rows[1][:2] == ["9", "layers"]
    assert rows[1][-6:] == ["90", "ms", "181", "ms", "2.00-2.10", "slower"]
    main(["compare", str(old), str(new), "--all"])
    assert "conv8" in capsys.readouterr().out


def test_records_are_matched_by_everything_but_their_times(tmp_path):
    old = [_record(10), _record(10, direction="backward"), _record(10, backend="torch")]
    new = [_record(20, backend="torch"), _record(10, dtype="float64"), _record(10)]
    assert _verdicts(tmp_path, old, new) == [
        "same", "only in the old run", "slower", "only in the new run",
    ]  # fmt: skip


def test_what_became_wrong_or_right_is_said(tmp_path):
    wrong = _record(None, status="wrong", verified=False)
    checked = _record(None, status="checked")
    assert _verdicts(tmp_path, [_record(10)], [wrong]) == ["now wrong"]
    assert _verdicts(tmp_path, [wrong], [checked]) == ["now right"]
    assert _verdicts(tmp_path, [checked], [checked]) == []
    assert _verdicts(tmp_path, [wrong], [wrong]) == []


def test_only_slower_and_wrong_are_failures(tmp_path):
    layers = ("a", "b", "c")
    old = _file(tmp_path / "old.json", *(_record(10, layer=name) for name in layers))
    wrong = _record(None, layer="c", status="wrong")
    new = _file(tmp_path / "new.json", _record(20, layer="a"), _record(5, layer="b"), wrong)
    changes = compare_runs(read(old)[1], read(new)[1])
    assert [c.verdict for c in failures(changes)] == ["slower", "now wrong"]


def test_the_command_shows_changes_and_fails_only_when_asked(tmp_path, capsys):
    old = _file(tmp_path / "old.json", _record(10), _record(10, layer="conv2"))
    new = _file(tmp_path / "new.json", _record(20), _record(10, layer="conv2"))
    assert main(["compare", str(old), str(new)]) == 0
    shown = capsys.readouterr().out
    assert "slower" in shown
    assert "2.00" in shown
    assert "1 same" in shown
    assert main(["compare", str(old), str(new), "--fail-on-slower"]) == 1
    assert main(["compare", str(new), str(old), "--fail-on-slower"]) == 0
    assert main(["compare", str(old), str(new), "--fail-on-slower", "--threshold", "150"]) == 0


def test_another_machine_and_a_busy_one_are_pointed_out(tmp_path, capsys):
    old = _file(tmp_path / "old.json", _record(10))
    cpu = {"model": "another", "cores": 2, "load": 5.0}
    new = _file(tmp_path / "new.json", _record(10), environment={"cpu": cpu})
    main(["compare", str(old), str(new)])
    shown = capsys.readouterr().out
    assert "cpu differs: {'model': 'one', 'cores': 2} -> {'model': 'another'" in shown
    assert "the new run was on a busy machine: load 5.0 on 2 cores" in shown
    assert "the old run" not in shown


def test_a_part_of_a_run_and_a_throttled_gpu_are_pointed_out(tmp_path, capsys):
    old = _file(tmp_path / "old.json", _record(10), complete=False, unfinished="1 of 9 done")
    gpu = {"name": "G", "sampled": {"samples": 9, "held_back": {"power limit": 0.25}}}
    new = _file(tmp_path / "new.json", _record(10), environment={"gpu": gpu})
    main(["compare", str(old), str(new)])
    shown = capsys.readouterr().out
    assert "the old run is PARTIAL: 1 of 9 done" in shown
    assert "the new run was on a GPU that held its clocks back: power limit 25%" in shown
    assert "the new run is" not in shown
    main(["compare", str(new), str(new)])
    assert "differs" not in capsys.readouterr().out


def test_what_changes_from_minute_to_minute_makes_no_other_machine(tmp_path, capsys):
    runs = []
    for clock, bus in (("1980 MHz", "0000:19:00.0"), ("345 MHz", "0000:5D:00.0")):
        gpu = {"name": "G", "clocks.sm": clock, "pci_bus": bus, "sampled": {"samples": len(runs)}}
        runs.append(_file(tmp_path / f"{len(runs)}.json", _record(10), environment={"gpu": gpu}))
    main(["compare", *map(str, runs)])
    assert "differs" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "has no list `results`"),
        ('{"results": 3}', "has no list `results`"),
        ('{"results": [3]}', "record 0 of `results` is not one"),
        ('{"results": [{"suite": "x"}]}', "record 0 of `results` is not one"),
        ("\xff\xfe", "is not JSON"),
        ('{"results": [], "environment": 3}', "`environment` is no object"),
        (json.dumps({"results": [_record("fast")]}), "record 0 of `results` is not one"),
        ('{"results": [], "ceilings": [3]}', "`ceilings` holds what is none"),
        ('{"results": [], "schema": 3}', "schema 3, written by a later pycnn"),
        ('{"results": [], "schema": "2"}', "`schema` is '2'; allowed: 1 to 2"),
    ],
)
def test_a_bad_file_gives_one_clear_error(tmp_path, capsys, text, complaint):
    good, bad = _file(tmp_path / "good.json", _record(10)), tmp_path / "bad.json"
    if text is not None:
        bad.write_bytes(text.encode("latin-1"))
    assert main(["compare", str(good), str(bad)]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert "bad.json" in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("value", ["nan", "-1", "x"])
def test_a_bad_threshold_is_refused(tmp_path, capsys, value):
    good = str(_file(tmp_path / "good.json", _record(10)))
    try:
        status = main(["compare", good, good, "--threshold", value])
    except SystemExit as stop:  # argparse
        status = stop.code
    assert status == 2
    assert "threshold" in capsys.readouterr().err
