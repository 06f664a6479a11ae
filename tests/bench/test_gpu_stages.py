"""`make gpu`: what can be shown of it where there is no GPU."""

import argparse
import sys
import time

import pytest

import pycnn
from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import bench, limited, sanitize
from benchmarks.gpu.outcome import Outcome
from pycnn.bench import commands, wishes


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


def test_every_tool_has_time_for_every_kernel():
    assert sanitize.LIMIT / len(sanitize.TOOLS) >= 50


def test_how_stages_ended_is_told(monkeypatch, capsys):
    status = pycnn.runtime.backends.BackendStatus("cuda", True, "a GPU")
    monkeypatch.setattr(gpu.pycnn, "backends", lambda: [status])
    ends = {"test": True, "sanitize": Outcome.SKIPPED, "bench": Outcome.PARTIAL}
    for name, end in ends.items():
        monkeypatch.setitem(gpu.STAGES, name, lambda end=end: end)
    assert gpu.main(["all"]) == 0
    assert "test passed, sanitize skipped, bench passed as far" in capsys.readouterr().out
    monkeypatch.setitem(gpu.STAGES, "sanitize", lambda: Outcome.FAILED)
    assert gpu.main(["all"]) == 1
    assert "sanitize FAILED" in capsys.readouterr().out


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
