"""`make gpu`: what can be shown of it where there is no GPU."""

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import pycnn
from benchmarks.gpu import __main__ as gpu, bench, device, kernels, limited, sanitize, test
from benchmarks.gpu.result import FAILED, PARTIAL, PASSED, SKIPPED, Result
from benchmarks.gpu.session import Session, slug
from pycnn.runtime.backends import BackendStatus

ROOT = Path(__file__).parents[2]


def test_without_a_gpu_there_is_one_clear_message(capsys):
    if {b.name: b.available for b in pycnn.backends()}["cuda"]:
        pytest.skip("there is a GPU here")
    for stage in ("compile", "test", "sanitize", "bench", "all", "page", "once"):
        assert gpu.main([stage]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("make gpu needs a GPU that CuPy can use: ")


def test_an_unknown_stage_lists_the_stages(capsys):
    with pytest.raises(SystemExit):
        gpu.main(["tests"])
    assert "test" in capsys.readouterr().err


def test_the_limits_leave_room_within_eight_minutes():
    """What a stage takes to stop is counted as well."""
    assert kernels.LIMIT <= 60
    assert test.LIMIT <= 90
    assert bench.LIMIT <= 150
    assert kernels.LIMIT + test.LIMIT + sanitize.LIMIT + bench.LIMIT + bench.GRACE <= 480


def test_a_command_is_interrupted_at_its_limit():
    code = "import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: raise SystemExit(130)"
    begin = time.monotonic()
    assert limited.limited([sys.executable, "-c", code], 1.5) == limited.INTERRUPTED
    assert time.monotonic() - begin < 30


def test_names_of_gpus_become_folders():
    assert slug("NVIDIA H200 NVL (MIG 1g.18gb)") == "nvidia-h200-nvl-mig-1g-18gb"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with a GPU, whose stages are replaced; gives the session and the stages' calls."""
    status = BackendStatus("cuda", True, "Imaginary GPU, driver for CUDA 13.1")
    monkeypatch.setattr(gpu.pycnn, "backends", lambda: [status])
    monkeypatch.setattr(gpu.device, "describe", lambda: {"name": "Imaginary GPU", "pci_bus": "0"})
    monkeypatch.setattr(device, "_ask", lambda bus, fields: None)
    monkeypatch.setattr(gpu, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    session = Session("Imaginary", tmp_path)
    monkeypatch.setattr(gpu, "Session", lambda machine: session)
    called, returns = [], dict.fromkeys(gpu.STAGES, Result(PASSED, "all of it"))

    def stage(name):
        def run(folder):
            called.append(name)
            if isinstance(returns[name], Exception):
                raise returns[name]
            return returns[name]

        return run

    monkeypatch.setattr(gpu, "STAGES", {name: stage(name) for name in gpu.STAGES})
    return session, called, returns


def test_all_runs_every_stage_and_ends_in_a_page(machine, capsys, tmp_path):
    _, called, _ = machine
    assert gpu.main(["all"]) == 0
    assert called == ["compile", "test", "sanitize", "bench"]
    page = capsys.readouterr().out.partition("\n\n")[2]
    assert re.search(r"^bench +pass +0 s +all of it$", page, re.MULTILINE)
    written = (tmp_path / "results" / "imaginary-gpu" / "gpu.md").read_text()
    assert page.partition("\n\nwritten to")[0] in written
    assert (tmp_path / "results" / "imaginary-gpu" / "gpu.json").exists()


def test_a_stage_that_fails_or_raises_fails_the_whole_and_stops_no_other(machine, capsys):
    _, called, returns = machine
    returns["compile"] = RuntimeError("no NVRTC\nat all")
    returns["test"] = False
    assert gpu.main(["all"]) == 1
    assert called == ["compile", "test", "sanitize", "bench"]
    out = capsys.readouterr().out
    assert re.search(r"^compile +FAIL .*RuntimeError: no NVRTC$", out, re.MULTILINE)
    assert re.search(r"^test +FAIL", out, re.MULTILINE)


def test_what_was_stopped_goes_on_and_what_is_finished_waits(machine, capsys):
    _, called, returns = machine
    returns["test"] = Result(PARTIAL, "half of it", finished=False)
    assert gpu.main(["all"]) == 0  # partial is no failure, and no pass
    assert re.search(r"^test +partial", capsys.readouterr().out, re.MULTILINE)
    called.clear()
    returns["test"] = Result(PASSED)
    assert gpu.main(["all"]) == 0
    assert called == ["test"]
    assert "== bench: finished already" in capsys.readouterr().out
    called.clear()
    gpu.main(["all"])
    assert called == ["compile", "test", "sanitize", "bench"]  # all was finished: anew
    called.clear()
    gpu.main(["bench"])
    assert called == ["bench"]


def test_a_page_alone_does_not_pass_what_has_not_run(machine, capsys):
    session, called, _ = machine
    assert gpu.main(["page"]) == 1
    assert called == []
    assert re.search(r"^test +not run$", capsys.readouterr().out, re.MULTILINE)
    session.end("test", Result(SKIPPED))
    gpu.main(["page"])
    assert re.search(r"^test +skipped", capsys.readouterr().out, re.MULTILINE)


def test_fresh_forgets(machine):
    session, _, returns = machine
    returns["test"] = Result(PARTIAL, finished=False)
    gpu.main(["all"])
    kept = session.folder / "test" / "tests.jsonl"
    kept.write_text("kept")
    gpu.main(["test"])
    assert kept.exists()
    gpu.main(["test", "--fresh"])
    assert not kept.exists()
    assert session.result("bench") is None


@pytest.mark.parametrize(
    ("returned", "outcome"),
    [(True, PASSED), (False, FAILED), (Result(PARTIAL), PARTIAL)],
)
def test_what_a_stage_returns_becomes_a_result(returned, outcome):
    assert Result.of(returned).outcome == outcome


SAMPLES = """0x0000000000000001, 345, 30, 80.5
0x0000000000000004, 1755, 61, 690.1
0x0000000000000000, 1980, 55, 400.0
[N/A], half a li
"""


def test_clocks_are_those_while_the_gpu_was_busy(tmp_path):
    file = tmp_path / "gpu.csv"
    assert device.clocks(file) == "clocks unknown: nvidia-smi did not answer"
    file.write_text(SAMPLES)
    assert device.clocks(file) == (
        "SM clock 1868 MHz (1755 to 1980), 61 C, 690 W, THROTTLED: power limit"
    )
    file.write_text(SAMPLES.splitlines()[2])
    assert device.clocks(file).endswith("not throttled")


def test_the_gpu_is_asked_by_its_address_while_a_block_runs(tmp_path, monkeypatch):
    """On a machine with an nvidia-smi that knows only the older name of a field."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        '*--id=0000:19:00.0*throttle*--loop=1) echo "0x4, 1700, 50, 600"; exec sleep 60;;\n'
        '*--id=0000:19:00.0*throttle*) echo "0x0";;\n*) exit 2;;\nesac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    file = tmp_path / "gpu.csv"
    with device.watched("0000:19:00.0", file):
        end = time.monotonic() + 20
        while not file.read_text() and time.monotonic() < end:
            time.sleep(0.05)
    assert "1700 MHz" in device.clocks(file)
    with device.watched("0000:20:00.0", tmp_path / "none.csv"):
        pass
    assert not (tmp_path / "none.csv").exists()


def test_the_makefile_names_what_it_needs_and_an_extra_brings_it():
    head = (ROOT / "Makefile").read_text().partition("PYTHON ?=")[0]
    needed = re.search(r"beside a driver:\n(.*)\n", head)[1].strip(" #").split(", ")
    assert needed == ["numpy", "cupy", "cuda-bindings", "cuda-pathfinder", "ml_dtypes", "pytest"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    brought = [*project["dependencies"], *extras["cuda13"], *extras["bf16"], "pytest"]
    for name in needed:
        assert any(requirement.startswith(name) for requirement in brought)


def test_a_gpu_is_chosen_as_nvidia_smi_counts():
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    alone = {n: value for n, value in os.environ.items() if n not in ("MAKEFLAGS", "MAKELEVEL")}
    for chosen, expected in (
        ("2", "CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=2 "),
        ("", ""),
    ):
        done = subprocess.run(
            ["make", "-n", "gpu", f"GPU={chosen}"],
            cwd=ROOT,
            env=alone,  # these tests may be run by make
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == f"{expected}python3 -m benchmarks.gpu all"
