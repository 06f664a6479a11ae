"""The data behind the page "how far from the limit": whole, and read as the page says."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from benchmarks import limits
from docs import tables
from pycnn.predict import gpus, sample
from pycnn.predict.model import Prediction
from pycnn.predict.profile import launched
from pycnn.predict.traffic import Footprint
from pycnn.runtime.catalogue import load
from pycnn.runtime.occupancy import Occupancy
from pycnn.runtime.plan import Kernel

ROWS = json.loads(limits.FILE.read_text())["rows"]


def test_every_row_has_the_gpus_of_the_page():
    shown = tables._shown(ROWS)
    assert {"h200", "h100", "h100_pcie", "a100", "l4", "rtx4090", "a6000"} <= set(shown)
    for row in ROWS.values():
        assert set(shown) <= set(row["gpus"]) <= set(gpus.names())
        for found in row["gpus"].values():
            if not isinstance(found, str):
                us, share, bound = found
                assert us > 0
                assert 0 <= share <= 1  # rounded: a launch of few bytes has 0.000
                assert bound


def test_every_kernel_has_a_row():
    shown = {tuple(row.partition("[")[0].split(":")) for row in ROWS}
    assert shown == {(file.file, entry) for file in load() for entry in file.entries}


def test_every_kernel_below_its_goal_is_explained():
    table, short = tables.below(), 0
    for name, row in ROWS.items():
        on = row["gpus"]["h200"]
        if not isinstance(on, str) and on[1] < limits.GOALS.get(row["dtype"], limits.OTHERS):
            if on[0] * on[1] < tables.SHORT_US:
                short += 1  # told by their number alone
            else:
                assert tables._kernel(name) in table
    assert f"| short: {short} |" in table
    assert all(line.count("|") == 4 for line in table.splitlines())


def test_what_does_not_run_is_told_with_its_reason():
    page = tables.absent()
    for name, row in ROWS.items():
        for found in row["gpus"].values():
            if isinstance(found, str):
                assert tables._kernel(name).partition("`")[2].partition("`")[0] in page


def test_every_bound_has_a_letter():
    bounds = {found[2] for row in ROWS.values() for found in row["gpus"].values()
              if not isinstance(found, str)}  # fmt: skip
    letters = [tables.LETTERS[bound] for bound in bounds]
    assert len(set(letters)) == len(letters)


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


def entries(launches):
    return {str(launch.kernel).partition("[")[0] for *_, launch, _ in launches}


def catalogued(*folders):
    return {f"{k.file}:{e}" for k in load() for e in k.entries if k.file.startswith(folders)}


def test_what_no_operation_launches_is_met():
    assert entries(limits.beside_operations()) == catalogued("optim/", "check/")


def test_what_is_launched_between_transforms_of_the_library_has_its_arrays():
    op = limits.OPERATIONS["conv2d"]
    definition, call = limits.described(op, op.parse("n2c3h9w7k4r3s3"), "forward", "float32")
    arrays = {name: sample.aligned(v.shape, np.float32) for name, v in call.views.items()}
    (choice,) = definition.choices(call)
    launches = list(launched(choice.plan("fft"), arrays))
    assert entries(launches) == catalogued("conv/fft.cu")
    for launch, bound in launches:
        assert launch.names <= set(bound)


class Launched(NamedTuple):
    """As much of a launch as a row says."""

    kernel: Kernel
    grid: tuple[int, int, int] = (3, 1, 1)
    block: tuple[int, int, int] = (32, 1, 1)


@pytest.fixture
def rerun(tmp_path, monkeypatch):
    """Runs the script on two kernels; what was predicted and what was compiled."""
    file, seen = tmp_path / "limits.json", []
    monkeypatch.setattr(limits, "closure_of", lambda launch: STATE["sources"])
    monkeypatch.setattr(limits, "model", lambda: STATE["model"])

    def compiled(kernel, arch):
        seen.append("compiled")
        return SimpleNamespace(digest=STATE["code"])

    def predicted(launch, bound, names):
        seen.append(launch.kernel.entry)
        return {name: [1.0, 0.5, "memory"] for name in names}

    def launches(dtypes, met):
        for entry in STATE["entries"]:
            yield "float32", "a100", "layer", Launched(Kernel("a/b.cu", entry)), {}

    monkeypatch.setattr(limits.code, "of_kernel", compiled)
    monkeypatch.setattr(limits, "predicted", predicted)
    monkeypatch.setattr(limits, "_all", launches)

    def once(*words):
        seen.clear()
        monkeypatch.setattr("sys.argv", ["limits", "--json", str(file), "--force", *words])
        limits.main()
        return seen, json.loads(file.read_text())["rows"]

    return once


STATE = {}


def test_only_what_has_changed_is_done_again(rerun):
    STATE.update(sources="s", model="m", code="c" * 12, entries=["one", "two"])
    seen, rows = rerun("--gpu", "a100")
    assert seen == ["compiled", "one", "compiled", "two"]
    assert set(rows) == {"a/b.cu:one", "a/b.cu:two"}
    assert rerun("--gpu", "a100")[0] == []
    assert rerun("--gpu", "a100", "h200")[0] == ["one", "two"]
    STATE["sources"] = "a comment"
    assert rerun()[0].count("one") == 1  # the other GPUs
    STATE["sources"] = "another"
    assert rerun()[0] == ["compiled", "compiled"]
    assert rerun()[0] == []
    STATE["model"] = "another"
    assert rerun("--of-any-model")[0] == []
    assert rerun("--only", "one")[0] == ["one"]
    STATE.update(sources="a change", code="d" * 12, entries=["two"])
    seen, rows = rerun()
    assert seen == ["compiled", "two"]
    assert set(rows) == {"a/b.cu:two"}  # nothing launches the other any more
    assert set(rows["a/b.cu:two"]["gpus"]) == set(gpus.names())


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
