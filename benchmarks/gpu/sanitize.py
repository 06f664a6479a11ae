"""Stage ``sanitize``: every kernel on ragged problems, under the tools of compute-sanitizer.

    python3 -m benchmarks.gpu.sanitize --tool racecheck --resume

What the problems need is compiled before. Each tool then gets its share of the time: the problems
come in an order in which the first ones launch every kernel, and the next ones every variant of it,
so that a tool whose time is over has seen the most that it could.
"""

import argparse
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.gpu import kernels
from benchmarks.gpu.limited import ROOT, run_limited
from benchmarks.gpu.once import MARK
from benchmarks.gpu.problems import Selection, select
from benchmarks.gpu.result import FAILED, PARTIAL, PASSED, SKIPPED, Result
from pycnn.runtime.target import planned_for, target_of_backend
from pycnn.testing.problem import Problem, every

#: Seconds that the stage may last, compilation included; that a tool may, and needs at least.
LIMIT, TOOL_LIMIT, LEAST = 160, 100, 3

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")

#: Exit status of a tool that found something.
FOUND = 3

#: How many problems back a finding may belong to: a tool prints in its own time.
BEHIND = 5

#: The first line of a finding. Further ones are indented; these are none:
_FINDING = re.compile(
    r"========= (?!\s|COMPUTE-SANITIZER|\w+ SUMMARY|Target application|Error: process didn't)"
)
_FURTHER = re.compile(r"=========\s{2,}")


@dataclass
class Watch:
    """What a tool prints: the problems that begin, and findings with the problem they belong to.

    Attributes
    ----------
    selection : Selection
        The problems and their kernels.
    begun : list of str
        Words of the problems that began, in order.
    findings : list of list of str
        The lines of each.
    failures : dict of str to str
        What our own run said was wrong or failed, by the problem's word.
    summary : str
        The last thing it said.
    """

    selection: Selection
    begun: list[str] = field(default_factory=list)
    findings: list[list[str]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    _near: list[list[str]] = field(default_factory=list)

    def line(self, text: str) -> None:
        """The next line."""
        if text.startswith(MARK):
            self.begun.append(text.removeprefix(MARK))
        elif _FINDING.match(text):
            self.findings.append([text])
            self._near.append(self.begun[-BEHIND:])
        elif _FURTHER.match(text):
            if self.findings:
                self.findings[-1].append(text)
        elif text.startswith(("wrong: ", "failed: ")):
            self.failures[self.begun[-1] if self.begun else ""] = text
        elif " checked, " in text:
            self.summary = text

    @property
    def done(self) -> list[str]:
        """Words of the problems that were seen through."""
        return self.begun if self.summary and "stopped" not in self.summary else self.begun[:-1]

    def report(self) -> list[tuple[str, str, list[str]]]:
        """Kernel, problem and text of each finding, those of the same kernel once."""
        kernels = {str(p): {k.entry for k in ks} for p, ks in self.selection.kernels.items()}
        findings: dict[tuple[str, str], tuple[str, str, list[str]]] = {}
        for lines, near in zip(self.findings, self._near, strict=True):
            said = set(re.findall(r"\w+", " ".join(lines)))
            last = near[-1] if near else ""
            word = next((w for w in reversed(near) if kernels.get(w, set()) & said), last)
            kernel = ", ".join(sorted(kernels.get(word, set()) & said)) or "a kernel not named"
            findings.setdefault((kernel, lines[0]), (kernel, word, lines))
        return list(findings.values())


def sanitize(
    folder: Path,
    limit: float = LIMIT,
    tools: Sequence[str] = TOOLS,
    *,
    backend: str = "cuda",
    problems: Iterable[Problem] | None = None,
) -> Result:
    """Run every kernel under each of `tools`, but for what they saw through in the runs before.

    Parameters
    ----------
    folder : Path
        Where each tool leaves all it printed, and the problems that it saw through.
    limit : float
        Seconds for all of it.
    tools : sequence of str
        Of :data:`TOOLS`.
    backend : {"cuda", "emulator"}
        The emulator serves to test this stage.
    problems : iterable of Problem, optional
        By default everything.
    """
    end = time.monotonic() + limit
    program = shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path="/usr/local/cuda/bin"
    )
    if program is None:
        return Result(SKIPPED, "compute-sanitizer is not installed (it comes with CUDA's toolkit)")
    if backend == "cuda":
        compiled = kernels.compile_kernels(folder)
        if compiled.outcome == FAILED:
            return compiled
    with planned_for(target_of_backend(backend)):
        selection = select(every() if problems is None else problems)
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Result] = {}
    for i, tool in enumerate(tools):
        share = min(TOOL_LIMIT, (end - time.monotonic()) / (len(tools) - i))
        if share < LEAST:
            results[tool] = Result(SKIPPED, "no time is left", finished=False)
        else:
            results[tool] = _run(program, tool, selection, share, folder, backend)
        print(f"{tool}: {results[tool].what}", flush=True)
    return _together(results, selection)


def _together(results: Mapping[str, Result], selection: Selection) -> Result:
    """The result of the stage, from those of the tools."""
    outcomes = {result.outcome for result in results.values()}
    left_out = [f"skipped {count}: {reason}" for reason, count in selection.skipped.items()]
    outcome = PASSED if outcomes == {PASSED} and not left_out else PARTIAL
    return Result(
        FAILED if FAILED in outcomes else outcome,
        "; ".join(f"{tool} {result.outcome}" for tool, result in results.items()),
        (*(f"{tool}: {r.what}" for tool, r in results.items()), *left_out),
        finished=all(result.finished for result in results.values()),
    )


def _run(
    program: str, tool: str, selection: Selection, seconds: float, folder: Path, backend: str
) -> Result:
    """One tool: what it found, with the command that shows it again."""
    cases, past = folder / f"{tool}.cases", folder / f"{tool}.done"
    before = past.read_text().splitlines() if past.exists() else []
    words = [str(problem) for problem in selection.problems]
    left = [word for word in words if word not in set(before)]
    if not left:
        return Result(PASSED, f"all {len(words)} problems were seen through before")
    cases.write_text("\n".join(left) + "\n")
    watch = Watch(selection)
    command = _command(program, tool, backend, ["--cases", str(cases)])
    with (folder / f"{tool}.log").open("w") as log:

        def heed(line: str) -> None:
            print(line, file=log)
            watch.line(line)

        ended = run_limited(command, seconds, heed)
    findings = watch.report()
    again = {word for _, word, _ in findings} | watch.failures.keys()
    past.write_text("".join(f"{w}\n" for w in (*before, *watch.done) if w not in again))
    for kernel, word, lines in findings:
        print(f"{tool}: {kernel}, case {word!r}")
        print("\n".join(lines[:8]))
        command = _command(program, tool, backend, ["--case", shlex.quote(word)])
        print(f"  to see it again: {' '.join(command)}", flush=True)
    for failure in watch.failures.values():
        print(f"{tool}: {failure}")
    bad = bool(findings or watch.failures)
    whole = not ended.stopped and len(watch.done) == len(left)
    if not ended.stopped and (ended.status or not whole) and not bad:
        print(f"{tool}: exit status {ended.status}; its last words:")
        print("\n".join((folder / f"{tool}.log").read_text().splitlines()[-8:]))
        bad = True
    if ended.stopped and not watch.done:
        print(f"{tool}: not one problem in {seconds:.0f} s")
        bad = True
    before_too = f", {len(before)} before" if before else ""
    what = (
        f"{len(watch.done)} of {len(left)} problems checked{before_too}"
        f"{f', stopped at {seconds:.0f} s' if ended.stopped else ''}; {_seen(selection, watch)}; "
        f"{len(findings) or 'no'} finding{'s' * (len(findings) != 1)}"
    )
    return Result(FAILED if bad else PASSED if whole else PARTIAL, what, finished=whole)


def _command(program: str, tool: str, backend: str, cases: list[str]) -> list[str]:
    """As the tool takes it: any process, whenever it comes to the GPU; what CuPy probes with calls
    that fail is no finding.
    """
    watched = [program, "--tool", tool, "--error-exitcode", str(FOUND), "--launch-timeout", "0"]
    watched += ["--target-processes", "all", "--report-api-errors", "no"]
    ours = [sys.executable, "-m", "benchmarks.gpu.once", "--backend", backend, "--unpooled"]
    return [*watched, *ours, "--no-oracle", "--trace", *cases]


def _seen(selection: Selection, watch: Watch) -> str:
    """How many of the kernels have been launched."""
    done = set(watch.done)
    of = {kernel for launched in selection.kernels.values() for kernel in launched}
    seen = {k for p, launched in selection.kernels.items() if str(p) in done for k in launched}
    entries = [{(kernel.file, kernel.entry) for kernel in kernels} for kernels in (seen, of)]
    return f"{len(entries[0])} of {len(entries[1])} kernels, {len(seen)} of {len(of)} variants"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of ``python3 -m benchmarks.gpu.sanitize``."""
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.gpu.sanitize", description=__doc__)
    parser.add_argument("--tool", choices=TOOLS, action="append", help="by default all of them")
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS")
    parser.add_argument("--resume", action="store_true", help="go on where the last run stopped")
    arguments = parser.parse_args(argv)
    folder = ROOT / "build" / "sanitize"
    if not arguments.resume:
        shutil.rmtree(folder, ignore_errors=True)
    result = sanitize(folder, arguments.limit, arguments.tool or TOOLS)
    print(f"{result.outcome}: {result.what}")
    return 1 if result.outcome == FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
