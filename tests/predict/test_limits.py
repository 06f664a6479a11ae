"""The data behind the page "how far from the limit": whole, and read as the page says."""

import json
from dataclasses import replace

import pytest

from benchmarks import limits
from docs import tables
from pycnn.predict import gpus
from pycnn.predict.model import Prediction
from pycnn.predict.traffic import Footprint
from pycnn.runtime.occupancy import Occupancy

ROWS = json.loads(limits.FILE.read_text())["rows"]


def test_every_row_has_the_gpus_of_the_page():
    for row in ROWS.values():
        assert set(tables.SHOWN) <= set(row["gpus"]) <= set(gpus.names())
        for found in row["gpus"].values():
            if not isinstance(found, str):
                us, share, bound = found
                assert us > 0
                assert 0 <= share <= 1  # rounded: a launch of few bytes has 0.000
                assert bound


def test_every_kernel_below_its_goal_is_explained():
    table, short = tables.below(), 0
    for name, row in ROWS.items():
        on = row["gpus"]["h200"]
        if not isinstance(on, str) and on[1] < limits.GOALS[row["dtype"]]:
            if on[0] * on[1] < tables.SHORT_US:
                short += 1  # told by their number alone
            else:
                assert tables._kernel(name) in table
    assert f"| short: {short} |" in table
    assert all(line.count("|") == 4 for line in table.splitlines())


def test_parts_are_joined(tmp_path, monkeypatch):
    row = {"from": "a", "dtype": "float32", "layer": "l", "grid": [1], "block": [1]}
    few = {**row, "gpus": {"a100": [1.0, 0.5, "memory"]}}
    more = {**row, "gpus": {"h200": [2.0, 0.5, "memory"]}}
    assert list(limits._joined(few, more)["gpus"]) == ["h200", "a100"]
    changed = limits._joined({**few, "from": "b"}, more)
    assert list(changed["gpus"]) == ["h200"]
    parts = [tmp_path / "1.json", tmp_path / "2.json"]
    for part, one in zip(parts, (few, more), strict=True):
        part.write_text(json.dumps({"rows": {"k": one}}))
    whole = tmp_path / "all.json"
    monkeypatch.setattr(
        "sys.argv", ["limits", "--join", *map(str, parts), "--json", str(whole), "--force"]
    )
    limits.main()
    assert set(json.loads(whole.read_text())["rows"]["k"]["gpus"]) == {"h200", "a100"}


def test_the_limit_is_the_longer_of_two_times():
    gpu = gpus.gpu("h200")
    moved = Prediction(
        "k", "h200", 100.0, 1.5, "memory", {"tensor": 0.0}, Occupancy(2, 16, 0.25, "registers"),
        64, 0, (8, 1, 1), (256, 1, 1), 8, 0.1, {}, [], Footprint(1.0, 1.0, 1.0, 4.3e6, 1 / 4),
    )  # fmt: skip
    assert limits.limit_us(moved, gpu) == pytest.approx(1.0)  # at 4300 GB/s
    flops = replace(moved, mix={"FFMA": 2e6})  # 64 operations each
    assert limits.limit_us(flops, gpu) == pytest.approx(128 / gpu.peak_tflops("float32"))
    tensor = replace(moved, busy={"tensor": 63.0}, mix={"HMMA": 1.0})
    assert limits.limit_us(tensor, gpu) == pytest.approx(63.0 * 0.63)
