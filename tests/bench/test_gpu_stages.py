"""`make gpu`: what can be shown of it where there is no GPU."""

import argparse
import sys
import time

import pytest

import pycnn
from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import bench, limited, once, sanitize, test
from pycnn.bench import commands, wishes
from pycnn.bench.operations import OPERATIONS


def test_without_a_gpu_there_is_one_clear_message(capsys):
    if {b.name: b.available for b in pycnn.backends()}["cuda"]:
        pytest.skip("there is a GPU here")
    for stage in ("test", "sanitize", "bench", "all", "once"):
        assert gpu.main([stage]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("make gpu needs a GPU that CuPy can use: ")


def test_an_unknown_stage_lists_the_stages(capsys):
    with pytest.raises(SystemExit):
        gpu.main(["tests"])
    assert "test" in capsys.readouterr().err


def test_the_limits_leave_room_within_ten_minutes():
    assert test.LIMIT + sanitize.LIMIT + bench.LIMIT <= 580


def test_every_operation_runs_under_the_sanitizer():
    assert once.RAGGED.keys() <= OPERATIONS.keys()
    for name, operation in OPERATIONS.items():
        words = once.RAGGED.get(name) or operation.small_cases()
        assert words
        for word in words:
            assert str(operation.parse(word)) == word


@pytest.mark.parametrize(("name", "line"), bench.BENCHES)
def test_every_bench_is_a_command_that_exists(name, line):
    parser = argparse.ArgumentParser()
    commands.add_parsers(parser.add_subparsers())
    arguments = parser.parse_args(["bench", *line.split()])
    arguments.backend = arguments.backend.replace("cuda", "emulator")  # plans are the same
    assert wishes.rounds(arguments)


def test_a_command_is_interrupted_at_its_limit():
    code = "import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: raise SystemExit(130)"
    begin = time.monotonic()
    assert limited.limited([sys.executable, "-c", code], 1.5) == limited.INTERRUPTED
    assert time.monotonic() - begin < 30


def test_names_of_gpus_become_folders():
    assert bench._slug("NVIDIA H200 NVL (MIG 1g.18gb)") == "nvidia-h200-nvl-mig-1g-18gb"


def test_once_runs_the_kernels_and_tells_right_from_wrong(monkeypatch, capsys):
    status = {b.name: b for b in pycnn.backends()}["emulator"]
    if not status.available:
        pytest.skip(f"the emulator, standing in for a GPU, is not available: {status.detail}")
    monkeypatch.setattr(once, "OPERATIONS", {"relu": OPERATIONS["relu"]})
    assert once.once("emulator") == 0
    monkeypatch.setattr(type(OPERATIONS["relu"]), "run", lambda *about: {"y": about[3]["x"]})
    assert once.once("emulator") == 1
    assert "wrong" in capsys.readouterr().out
