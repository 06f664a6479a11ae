"""Damaged and foreign PTX: one error that says why, or a run; never a crash, and bounded memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")

SCRIPT = Path(__file__).parent / "run_damaged.py"
FOLDERS = (SCRIPT.parents[3], SCRIPT.parent, SCRIPT.parents[1] / "compiled")
#: Megabytes that a few hundred modules may leave behind, of what LLVM and the cache of it keep.
MOST_MEGABYTES = 300


def run(first: int, count: int, mode: str, cache: Path) -> dict[str, float]:
    path = os.pathsep.join([*map(str, FOLDERS), os.environ.get("PYTHONPATH", "")])
    process = subprocess.run(
        [sys.executable, str(SCRIPT), str(first), str(count), mode],
        env=os.environ | {"PYTHONPATH": path, "PYCNN_CACHE_DIR": str(cache)},
        capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    found: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    assert found["megabytes"] < MOST_MEGABYTES
    return found


def test_a_few_hundred_are_refused_or_translated(tmp_path):
    found = run(0, 400, "translate", tmp_path)
    assert found["refused"] > 200
    assert found["ran"] > 50


def test_some_are_refused_or_run(tmp_path):
    found = run(0, 60, "launch", tmp_path)
    assert found["refused"] > 20
    assert found["ran"] > 5


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(0, 10_000, 500))
@pytest.mark.parametrize("mode", ["translate", "launch"])
def test_ten_thousand(mode, first, tmp_path):
    found = run(first, 500, mode, tmp_path)
    assert found["slowest"] < 60
