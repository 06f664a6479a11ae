"""The command ``pycnn``: output, exit status, and one line for an error."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

import pycnn
from pycnn import cli
from pycnn.runtime import gate, nvrtc
from pycnn.runtime.cubin import Resources
from pycnn.runtime.extras import MissingExtra

pytestmark = pytest.mark.usefixtures("cache_dir")


def test_kernels_lists_every_entry_with_file_and_purpose(
    capsys: pytest.CaptureFixture[str], defined_entries: dict[str, str]
) -> None:
    assert cli.main(["kernels"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["entry", "file", "purpose"]
    cells = [re.split(r" {2,}", row, maxsplit=2) for row in rows]
    assert {entry: file for entry, file, _ in cells} == defined_entries
    assert all(len(purpose) > 5 for _, _, purpose in cells)


def a_report(*, problem: bool) -> gate.Report:
    used = Resources(256, 40, 4096, 8, 12, 16)
    records = tuple(
        gate.Record("f/k.cu", "k", {"SCALAR": "float"}, arch, used, share, "registers")
        for arch, share in (("sm_75", 0.5), ("sm_90a", 0.75))
    )
    return gate.Report(records, ("f/k.cu[] sm_75: k spills 12 + 16 bytes",) if problem else ())


@pytest.mark.parametrize("problem", [False, True])
def test_kernels_for_architectures_shows_figures_and_writes_json(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    problem: bool,
) -> None:
    asked = []

    def compile_all(archs: tuple, jobs: int, progress: gate.Progress, kernels: list) -> gate.Report:
        asked.append((archs, jobs, [kernel.file for kernel in kernels]))
        progress(1, 1, "f/k.cu")
        return a_report(problem=problem)

    monkeypatch.setattr(gate, "compile_all", compile_all)
    monkeypatch.setattr(nvrtc, "version", lambda: "13.5")
    target = tmp_path / "kernels.json"
    command = ["kernels", "--arch", "sm_75,sm_90a", "--jobs", "1", "--json", str(target)]
    command += ["conv/fft.cu", "pool/max_pool.cu"]
    assert cli.main(command) == (1 if problem else 0)
    assert asked == [(("sm_75", "sm_90a"), 1, ["conv/fft.cu", "pool/max_pool.cu"])]
    output = capsys.readouterr()
    header, row, closing = output.out.splitlines()
    assert header.split() == ["entry", "variant", "shared", "local", "spill", "sm_75", "sm_90a"]
    assert row.split() == ["k", "SCALAR=float", "4096", "8", "28", "40r", "50%", "40r", "75%"]
    assert closing.startswith("2 compiled entries for 2 architectures")
    assert ("FAILED f/k.cu[] sm_75: k spills" in output.err) == problem
    written = json.loads(target.read_text())
    assert written["environment"]["nvrtc"] == "13.5"
    assert len(written["problems"]) == problem
    assert written["results"][0] == {
        "file": "f/k.cu",
        "entry": "k",
        "defines": {"SCALAR": "float"},
        "arch": "sm_75",
        "threads": 256,
        "registers": 40,
        "shared": 4096,
        "local": 8,
        "spill_stores": 12,
        "spill_loads": 16,
        "occupancy": 0.5,
        "limit": "registers",
    }


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["kernels", "--json", "x.json"], "--json needs --arch"),
        (["kernels", "--json", "x.json", "--nvcc"], "--json needs --arch"),
        (["kernels", "conv/none.cu"], "FILE='conv/none.cu': allowed is one that"),
        (["kernels", "--arch", "sm_33"], "arch='sm_33': limits are known for sm_75"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    command: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"pycnn: error: {message}")
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "m.onnx: it may not be opened; needed: permission to read it, or to write"),
        (errno.ELOOP, "m.onnx: Too many levels of symbolic links"),
    ],
)
def test_what_the_system_refuses_is_said_in_words(
    number: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path) -> NoReturn:
        raise OSError(number, os.strerror(number), "m.onnx")

    monkeypatch.setattr("pycnn.onnx.command.load", refuse)
    assert cli.main(["run", "m.onnx"]) == 2
    assert capsys.readouterr().err.startswith(f"pycnn: error: {said}")


def test_verbose_adds_the_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYCNN_VERBOSE", "1")
    assert cli.main(["kernels", "--arch", "sm_33"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_wrong_variable_is_an_error_of_the_command_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYCNN_VERBOSE", "loud")
    assert cli.main(["cache"]) == 2
    assert capsys.readouterr().err == "pycnn: error: PYCNN_VERBOSE='loud': allowed is 0, 1\n"


def test_an_interruption_is_status_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pycnn.runtime.cache.usage", interrupted)
    assert cli.main(["cache"]) == 130
    assert capsys.readouterr().err == "pycnn: interrupted\n"


def test_an_error_nobody_expects_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pycnn.runtime.cache.usage", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["cache"])


def test_cache_path_size_and_clear(cache_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycnn.runtime import cache

    cache.get_or_build(cache.key("one"), ".bin", lambda path: path.write_bytes(bytes(2**20)))
    assert cli.main(["cache", "path"]) == 0
    assert capsys.readouterr().out == f"{cache_dir}\n"
    assert cli.main(["cache"]) == 0
    assert capsys.readouterr().out == f"1 entries, 1.0 MiB in {cache_dir}\n"
    assert cli.main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"removed 1 entries from {cache_dir}\n"
    assert list(cache_dir.iterdir()) == []


def test_info_as_json_describes_this_machine(
    cache_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYCNN_BACKEDN", "emulator")
    assert cli.main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["pycnn"] == pycnn.__version__
    assert found["cache"] == {"path": str(cache_dir), "entries": 0, "bytes": 0, "problem": ""}
    assert [status["name"] for status in found["backends"]] == ["cuda", "emulator", "reference"]
    assert found["backends"][2]["available"]
    assert "PYCNN_BACKEDN" in found["unknown_variables"]
    for name, version in found["versions"].items():
        assert (version is None) == (name in found["missing"])


def test_info_says_what_is_missing_and_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> str:
        raise MissingExtra("needs NVRTC; install it with: pip install -e '.[compile]'")

    monkeypatch.setattr(nvrtc, "version", missing)
    monkeypatch.setenv("PYCNN_CXX", "no-such-compiler")
    monkeypatch.setenv("PYCNN_BACKEDN", "emulator")
    assert cli.main(["info"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"^nvrtc +missing: .*pip install -e '\.\[compile\]'$", output, re.MULTILINE)
    assert re.search(r"^compiler +missing: .*no-such-compiler", output, re.MULTILINE)
    assert re.search(r"^  reference +yes +NumPy", output, re.MULTILINE)
    assert "PYCNN_BACKEDN means nothing" in output


def test_python_m_pycnn_is_the_command() -> None:
    command = [sys.executable, "-m", "pycnn", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"pycnn {pycnn.__version__}\n"


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = [sys.executable, "-m", "pycnn", "kernels"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
