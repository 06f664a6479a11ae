"""The sanitizer's stage from end to end: a script for the tool, the emulator for the GPU."""

import shlex
import shutil
import subprocess
import sys

import pytest

from benchmarks.gpu import limited, sanitize
from benchmarks.gpu.problems import Selection, select
from benchmarks.gpu.result import FAILED, PARTIAL, PASSED, SKIPPED
from pycnn.runtime.backends import backends
from pycnn.testing.problem import named

WORDS = (
    "relu / matrices / float32",
    "softmax / ones / float32",
    "sigmoid / matrices / float32",
    "relu / one / float32",
)

#: Takes what the real tool takes, runs the rest as a child of its own, and adds what FINDING says.
TOOL = """\
import argparse, os, signal, subprocess, sys
parser = argparse.ArgumentParser(allow_abbrev=False)
tools = ("memcheck", "racecheck", "initcheck", "synccheck")
parser.add_argument("--tool", required=True, choices=tools)
parser.add_argument("--error-exitcode", type=int, default=0)
parser.add_argument("--launch-timeout", type=int)
parser.add_argument("--target-processes", choices=("all", "application-only"))
parser.add_argument("--report-api-errors", choices=("all", "explicit", "no"))
parser.add_argument("command", nargs=argparse.REMAINDER)
given = parser.parse_args()
kernel, only = (os.environ.get("FINDING") or "/").split("/")
found = kernel and given.tool in only
print("========= COMPUTE-SANITIZER", flush=True)
if "SLOW" in os.environ:
    code = ("import signal, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN); "
            "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
            "[print(f'@ {word}', flush=True) for word in open(sys.argv[1])]; time.sleep(60)")
    given.command = [sys.executable, "-c", code, given.command[-1]]
if "NO_CACHE" in os.environ:
    os.environ["PYCNN_CACHE_DIR"] = os.devnull
child = subprocess.Popen(given.command, stdout=subprocess.PIPE, text=True)
print("child", child.pid, flush=True)
for line in child.stdout:
    print(line, end="", flush=True)
    if found and line.startswith("@ ") and line.split()[1] == "sigmoid":
        # late, as the real tool's may be: the next problem has begun
        print(child.stdout.readline(), end="")
        print(f"========= Invalid __global__ write of size 4 bytes")
        print(f"=========     at {kernel}+0x160")
        print(f"=========     by thread (0,0,0) in block (0,0,0)", flush=True)
status = child.wait()
if status:
    print("========= Target application returned an error")
print(f"========= ERROR SUMMARY: {int(bool(found))} errors")
sys.exit(given.error_exitcode if found else status)
"""


@pytest.fixture(params=["emulator", "cuda"])
def run(request, tmp_path, monkeypatch):
    """Runs the stage with our compute-sanitizer in PATH, on a GPU or what stands in for it."""
    status = {b.name: b for b in backends()}[request.param]
    if not status.available:
        pytest.skip(f"{request.param} is not available here: {status.detail}")
    (tmp_path / "tool.py").write_text(TOOL)
    script = tmp_path / "compute-sanitizer"
    command = f"exec {shlex.quote(sys.executable)} {shlex.quote(str(tmp_path / 'tool.py'))}"
    script.write_text(f'#!/bin/sh\n{command} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(limited, "SIGNALS", [(number, 0.5) for number, _ in limited.SIGNALS])

    def run(tools=("memcheck",), limit=240, *, fresh=False):
        if fresh:
            shutil.rmtree(run.folder)
        problems = list(map(named, WORDS))
        found = sanitize.sanitize(
            run.folder, limit, tools, backend=request.param, problems=problems
        )
        return found.outcome

    run.folder = tmp_path / "left"

    return run


def test_without_a_finding_it_passes(run, capsys):
    assert run(sanitize.TOOLS) == PASSED
    said = capsys.readouterr().out
    for name in sanitize.TOOLS:
        assert f"{name}: 4 of 4 problems checked; " in said
    assert said.count("; no findings") == 4
    assert "3 of 3 kernels, 3 of 3 variants" in said


def test_a_finding_names_kernel_and_case_and_the_command_that_shows_it(run, monkeypatch, capsys):
    monkeypatch.setenv("FINDING", "sigmoid/racecheck")
    assert run(("memcheck", "racecheck")) == FAILED
    said = capsys.readouterr().out
    assert "memcheck: 4 of 4 problems checked" in said
    assert "racecheck: sigmoid, case 'sigmoid / matrices / float32'" in said
    assert "Invalid __global__ write of size 4 bytes" in said
    assert "3 variants; 1 finding\n" in said
    (line,) = [x for x in said.splitlines() if x.startswith("  to see it again: ")]
    again = subprocess.run(
        shlex.split(line.partition(": ")[2]), cwd=limited.ROOT, capture_output=True, text=True
    )
    assert again.returncode == sanitize.FOUND
    assert "Invalid __global__ write" in again.stdout


def test_a_run_that_is_stopped_keeps_what_it_has_and_goes_on_from_there(run, monkeypatch, capsys):
    monkeypatch.setenv("SLOW", "1")  # and deaf to all but SIGKILL
    monkeypatch.setattr(sanitize, "TOOL_LIMIT", 6)
    assert run() == PARTIAL
    said = capsys.readouterr().out
    assert "memcheck: 3 of 4 problems checked, stopped at " in said
    log = (run.folder / "memcheck.log").read_text()
    child = int(log.partition("child ")[2].split()[0])
    assert not _runs(child)
    monkeypatch.delenv("SLOW")
    monkeypatch.setattr(sanitize, "TOOL_LIMIT", 60)
    assert run() == PASSED
    assert "memcheck: 1 of 1 problems checked, 3 before; " in capsys.readouterr().out
    assert run() == PASSED
    assert "memcheck: all 4 problems were seen through before" in capsys.readouterr().out
    assert run(fresh=True) == PASSED
    assert "memcheck: 4 of 4 problems" in capsys.readouterr().out


def test_what_a_stopped_tool_found_counts(run, monkeypatch, capsys):
    monkeypatch.setenv("SLOW", "1")
    monkeypatch.setenv("FINDING", "sigmoid/memcheck")
    monkeypatch.setattr(sanitize, "TOOL_LIMIT", 6)
    assert run() == FAILED
    said = capsys.readouterr().out
    assert "memcheck: sigmoid, case 'sigmoid / matrices / float32'" in said
    assert "3 of 4 problems checked, stopped at " in said


def _runs(process):
    """Whether it does; one that ended and was not yet waited for does not."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_fails_under_the_tool_fails_and_is_run_again(run, monkeypatch, capsys):
    monkeypatch.setenv("NO_CACHE", "1")
    assert run() == FAILED
    said = capsys.readouterr().out
    assert "memcheck: failed: relu / matrices / float32: " in said
    monkeypatch.delenv("NO_CACHE")
    assert run() == PASSED
    assert "memcheck: 4 of 4" in capsys.readouterr().out


def test_tools_without_time_are_skipped(run, capsys):
    assert run(("racecheck", "synccheck"), limit=2) == PARTIAL
    said = capsys.readouterr().out
    assert "racecheck: no time is left\nsynccheck: no time" in said


def test_a_tool_that_does_not_start_fails(run, monkeypatch, tmp_path, capsys):
    (tmp_path / "tool.py").write_text("import sys; sys.exit('no such option')")
    assert run() == FAILED
    assert "memcheck: exit status 1; its last words:\nno such option" in capsys.readouterr().out


def test_without_the_tool_it_is_skipped_and_not_passed(monkeypatch, tmp_path):
    monkeypatch.setattr(sanitize.shutil, "which", lambda *about, **more: None)
    found = sanitize.sanitize(tmp_path)
    assert (found.outcome, found.what[:17]) == (SKIPPED, "compute-sanitizer")


@pytest.mark.parametrize(
    "line",
    [
        "========= Error: Race reported between Write access at sigmoid+0x80",
        "========= Uninitialized __global__ memory read of size 4 bytes",
        "========= Barrier error detected. Divergent thread(s) in block",
        "========= Internal Sanitizer Error: The Sanitizer encountered an error",
    ],
)
def test_findings(line):
    watch = sanitize.Watch(Selection([]))
    watch.line("@ here")
    watch.line(line)
    watch.line("=========     more")
    assert watch.report() == [("a kernel not named", "here", [line, "=========     more"])]


@pytest.mark.parametrize(
    "line",
    [
        "========= COMPUTE-SANITIZER",
        "========= ERROR SUMMARY: 0 errors",
        "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)",
        "========= Target application returned an error",
        "========= Error: process didn't terminate successfully",
        "=========     Host Frame: nothing",
        "what our own run says",
    ],
)
def test_lines_that_are_no_findings(line):
    watch = sanitize.Watch(Selection([]))
    watch.line(line)
    assert watch.report() == []


def test_findings_of_one_kernel_are_told_once():
    problems = list(map(named, WORDS))
    watch = sanitize.Watch(select(problems))
    for word in WORDS:
        watch.line(f"@ {word}")
        watch.line("========= Invalid __global__ read of size 4 bytes")
        watch.line("=========     at relu+0x10")
    assert [found[:2] for found in watch.report()] == [("relu", WORDS[0])]
    assert watch.done == list(WORDS[:3])


def test_a_command_of_several_processes_is_ended_whole(monkeypatch):
    """The first one goes at once; the other one hears neither signal."""
    monkeypatch.setattr(limited, "SIGNALS", [(number, 0.5) for number, _ in limited.SIGNALS])
    deaf = (
        "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)]; time.sleep(60)"
    )
    code = (
        f"import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', {deaf!r}]); "
        "print(p.pid, flush=True); time.sleep(60)"
    )
    said = []
    ended = limited.run_limited([sys.executable, "-c", code], 4.0, said.append)
    assert ended.stopped
    assert not _runs(int(said[0]))


def test_what_a_command_prints_can_be_heeded():
    said = []
    code = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(5)"
    ended = limited.run_limited([sys.executable, "-c", code], 30, said.append)
    assert (ended, sorted(said)) == (limited.Ended(5, False), ["one", "two"])
