"""kill -9 at any moment: what was there stays, what is there is whole, and the next run is right.

The moments are drawn from a seed, over the time that a run takes when it is left alone.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pycnn import data, models, train
from pycnn.bench import record
from pycnn.emulator import RawModule
from pycnn.runtime import cache

#: Of each kind, in `make test` and in `make test-all`.
FEW, MANY = 2, 70

MOMENTS = [
    pytest.param(range(FEW), id="a few"),
    pytest.param(range(FEW, FEW + MANY), id="many", marks=pytest.mark.exhaustive),
]

PYCNN = [sys.executable, "-m", "pycnn"]


def finished(command: list[str]) -> float:
    """Seconds that a run takes."""
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began


def killed(command: list[str], seconds: float) -> bool:
    """Whether a run was killed, with all its compilers, before its end."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def at_moments(
    command: Callable[[], list[str]],
    moments: range,
    check: Callable[[], None],
    before: Callable[[], None],
) -> None:
    """Kill a run for each of `moments`, at least half of them before the run is over."""
    before()
    whole = finished(command())
    # The interpreter's start, in which nothing can go wrong, is a good part of a run.
    shares = np.random.default_rng(11).uniform(0.25, 1.0, moments.stop)[moments.start :]
    kills = 0
    for share in shares:
        before()
        began = time.monotonic()
        if killed(command(), share * whole):
            kills += 1
        else:  # the machine is less busy than it was
            whole = time.monotonic() - began
        check()
    print(f"killed {kills} of {len(shares)} runs")
    assert kills >= len(shares) // 2, "most runs were over before their moment"
    finished(command())
    check()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.slow
@pytest.mark.parametrize("moments", MOMENTS)
def test_training(tmp_path: Path, moments: range) -> None:
    from PIL import Image

    images, runs = tmp_path / "images", tmp_path / "runs"
    runs.mkdir()
    digits = data.load("digits")
    for label in (0, 1):
        (images / str(label)).mkdir(parents=True)
        for i in np.flatnonzero(digits.labels == label)[:20]:
            picture = Image.fromarray(digits.images[i, 0]).resize((28, 28))
            picture.save(images / str(label) / f"{i}.png")
    path, log = runs / "keep.safetensors", runs / "log.json"
    unfinished, unfinished_log = (
        p.with_name(f"{p.stem}.unfinished{p.suffix}") for p in (path, log)
    )
    command = [*PYCNN, "train", "lenet5", "--data", str(images), "--width", "0.3", "--batch", "8"]
    command += ["--epochs", "25", "--threads", "1"]
    to_files = [*command, "-o", str(path), "--log", str(log), "--force"]
    begun, old = tmp_path / "begun.safetensors", {}

    def before() -> None:
        train.save(path, models.create("lenet5", width=0.3, classes=2), {"old": True})
        log.write_text('["old"]')
        old.update({each: each.read_bytes() for each in (path, log)})

    def check() -> None:
        for each in (path, unfinished):
            if each.exists() and each.read_bytes() != old.get(each):
                _, about = train.load_model(each)
                done = len(about["training"]["state"]["history"])
                assert done == 25 if each == path else done > 0
        for each in (log, unfinished_log):
            if each.exists() and each.read_bytes() != old.get(each):
                rows = json.loads(each.read_text())
                assert len(rows) == 25 if each == log else rows
        if unfinished.exists():
            begun.write_bytes(unfinished.read_bytes())
        assert len(left(runs)) <= 2, "what killed runs left is not swept"

    at_moments(lambda: to_files, moments, check, before)
    assert sorted(os.listdir(runs)) == ["keep.safetensors", "log.json"]
    if begun.exists():  # what a killed run had leads to what all others came to, bit for bit
        resumed = tmp_path / "resumed.safetensors"
        finished([*command, "--resume", str(begun), "-o", str(resumed)])
        theirs = train.load(path).model
        for name, array in train.load(resumed).model.items():
            assert array.tobytes() == theirs[name].tobytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("moments", MOMENTS)
def test_bench(tmp_path: Path, moments: range) -> None:
    path = tmp_path / "prev.json"
    command = [*PYCNN, "bench", "--shape", "n1c3h9w9k4r3s3", "--quick", "--backend", "reference"]
    command += ["--json", str(path), "--force"]
    old = b'{"schema": 2, "complete": true, "results": []}'

    def check() -> None:
        for each in tmp_path.glob("*.json"):
            if each.name != path.name or each.read_bytes() != old:
                run = record.load(each)
                assert each != path or (run.records and not run.unfinished)
        assert len(left(tmp_path)) <= 1, "what killed runs left is not swept"

    def before() -> None:
        path.write_bytes(old)

    at_moments(lambda: command, moments, check, before)
    assert os.listdir(tmp_path) == ["prev.json"]


PROGRAM = """
import sys
import numpy as np
from pycnn.emulator import RawModule
x = np.zeros(1, np.float32)
RawModule(sys.argv[1]).get_function("k")((1,), (1,), (x,))
assert x[0] == float(sys.argv[2]), x
"""


@pytest.mark.slow
@pytest.mark.parametrize("moments", MOMENTS)
def test_compiling(tmp_path: Path, moments: range, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv("PYCNN_CACHE_DIR", str(folder))
    source = 'extern "C" __global__ void k(float* x) { *x = VALUE; }'
    number = 0

    def command() -> list[str]:
        return [sys.executable, "-c", PROGRAM, source.replace("VALUE", str(number)), str(number)]

    def before() -> None:
        nonlocal number  # a kernel that was never compiled
        number += 1

    def check() -> None:
        for entry in folder.iterdir():
            if not entry.name.startswith("."):  # whole, or it is not there
                assert any(cache.find(entry.name, end) for end in (".so", ".bin", ".json"))
        finished(command())

    at_moments(command, moments, check, before)
    for name in left(folder):
        os.utime(folder / name, (1, 1), follow_symlinks=False)
    RawModule(source.replace("VALUE", "0.5")).compile()
    if cache._sweep_once.cache_info().currsize:  # this process had swept before
        cache._sweep(folder)
    assert left(folder) == []
