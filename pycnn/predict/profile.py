"""A kernel by the lines of its source: what a sampled run did, and what its machine code has."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.emulator.ptx.places import demangled
from pycnn.predict import counts, plans, sample
from pycnn.predict.checked import Check
from pycnn.predict.code import Code
from pycnn.predict.gpus import Gpu
from pycnn.predict.model import Prediction, predict
from pycnn.predict.sample import Run
from pycnn.predict.sass import Listing
from pycnn.predict.traffic import Pattern
from pycnn.runtime.plan import Launch, Plan

#: Of the schema of `Profile.as_json`; another number means another form.
FORMAT = 1

_FILE = re.compile(r'\s*\.file\s+(\d+)\s+"([^"]*)"')
_LOC = re.compile(r"\s*\.loc\s+(\d+)\s+(\d+)\s+\d+(.*)")
_INLINED = re.compile(r"inlined_at\s+(\d+)\s+(\d+)")

#: File and line; the line is 0 where nothing is known.
Place = tuple[str, int]


@dataclass
class Line:
    """What one line of source does, over the grid.

    Attributes
    ----------
    file : str
    line : int
    text : str
    instructions : float
        Of machine code, by warps.
    lanes : float
        Threads of a warp that take part, on average.
    kinds : mapping of str to float
        Instructions by name.
    requests, sectors, lines : float
        Of global memory: warp instructions, and of each the sectors of 32 bytes and lines of 128.
    shared, wavefronts, conflicts : float
        Of shared memory: warp instructions, of each the passes over the banks, and those beyond
        the necessary, of all.
    barriers, atomics : float
        Warp instructions.
    """

    file: str
    line: int
    text: str
    instructions: float = 0.0
    lanes: float = 0.0
    kinds: dict[str, float] = field(default_factory=dict)
    requests: float = 0.0
    sectors: float = 0.0
    lines: float = 0.0
    shared: float = 0.0
    wavefronts: float = 0.0
    conflicts: float = 0.0
    barriers: float = 0.0
    atomics: float = 0.0


@dataclass(frozen=True)
class Loop:
    """A loop of the machine code.

    Attributes
    ----------
    begin, end : int
        Places of its first and last instruction.
    instructions, stall : int
        How many it has, and the clocks that one warp alone takes, if nothing is waited for.
    mix : mapping of str to int
    times : float
        How often warps run through it, over the grid.
    """

    begin: int
    end: int
    instructions: int
    stall: int
    mix: dict[str, int]
    times: float


@dataclass(frozen=True)
class Profile:
    """One launch.

    Attributes
    ----------
    prediction : Prediction
        For the named GPU; predicted, never measured.
    local : int
        Bytes of a thread's stack, where registers are spilled to.
    times : int
        How often it is launched, each time on other images.
    algo : str
        Of an operation, as it was asked for.
    check : Check, optional
        Of a file: what the checked build found.
    lines : list of Line
        Those that have instructions, in the order of file and line.
    loops : list of Loop
        Inner ones first.
    ptx, machine : list of (text, file, line, times)
        Every line of PTX and of machine code with the source it is from and how often warps ran it.
    """

    prediction: Prediction
    local: int
    lines: list[Line]
    loops: list[Loop]
    ptx: list[tuple[str, str, int, float]]
    machine: list[tuple[str, str, int, float]]
    times: int = 1
    algo: str = ""
    check: Check | None = None

    @property
    def name(self) -> str:
        """Of the kernel, as C++ writes it."""
        return demangled(self.prediction.entry)

    def as_json(self) -> dict[str, Any]:
        """Everything but the two listings."""
        p = self.prediction
        return {
            "format": FORMAT,
            "kernel": p.entry,
            "name": self.name,
            "times": self.times,
            "algo": self.algo,
            "gpu": p.gpu,
            "predicted": {
                "time_us": p.time_us, "bound": p.bound, "busy_us": dict(p.busy), "advice": p.advice
            },
            "grid": p.grid, "block": p.block, "registers": p.registers, "shared": p.shared,
            "local": self.local, "occupancy": asdict(p.occupancy), "waves": p.waves,
            "bytes": asdict(p.bytes), "mix": dict(p.mix),
            "loops": [asdict(loop) for loop in self.loops],
            "lines": [asdict(line) for line in self.lines],
            "checked": self.check and self.check.as_json(),
        }  # fmt: skip


def profile(code: Code, run: Run, gpu: Gpu, shared: int = 0, source: str = "") -> Profile:
    """Take a sampled launch apart.

    Parameters
    ----------
    code : Code
        For the architecture of `gpu`.
    run : Run
    gpu : Gpu
    shared : int
        Bytes of dynamic shared memory.
    source : str
        Path of the file whose lines are wanted; what is inlined from others counts at the call.
    """
    found = predict(code, run, gpu, shared)
    places = source_lines(code.ptx, source)
    executed = counts.of_blocks(code.listing, run.code.block_of_line, run.warp_counts())
    table = _Table()
    machine = []
    for block, times in zip(code.listing.blocks(), executed, strict=True):
        for i in code.listing.instructions[block.begin : block.end]:
            place = places.get(i.line, ("", 0))
            guard = f"@{i.guard} " if i.guard else ""
            machine.append((f"{guard}{i.op} {i.operands}".rstrip(), *place, float(times)))
            if times:
                line = table.at(place)
                line.instructions += times
                line.kinds[i.base] = line.kinds.get(i.base, 0.0) + times
                line.barriers += times * (i.base == "BAR")
                line.atomics += times * i.base.startswith(("ATOM", "RED"))
    for pattern in found.patterns:
        _add(table.at(places.get(pattern.access.line, ("", 0))), pattern)
    _lanes(table, run, places)
    warps = run.warp_counts()
    ptx = [
        (text.strip(), *places.get(n, ("", 0)), float(warps[run.code.block_of_line[n]]))
        for n, text in enumerate(code.ptx.splitlines(), 1)
        if n in run.code.block_of_line
    ]
    return Profile(found, code.resources.local, table.ordered(), _loops(code.listing, executed),
                   ptx, machine)  # fmt: skip


def launched(plan: Plan, arrays: Mapping[str, Any]) -> Iterator[tuple[Launch, dict[str, Any]]]:
    """Each kernel of a plan with all arrays by name, also those that the library would make."""
    made = {name: sample.aligned(spec.shape, spec.dtype) for name, spec in plan.workspace.items()}
    return plans.launches(plan, {**arrays, **made})


def source_lines(ptx: str, source: str = "") -> dict[int, Place]:
    """Source of each line of PTX, by its ``.loc``; in `source`, if it is inlined there.

    LLVM counts the lines of inline PTX on from the one that it stands in, which all are from.
    """
    files: dict[str, str] = {
        hit[1]: hit[2] for line in ptx.splitlines() if (hit := _FILE.match(line))
    }
    found: dict[int, Place] = {}
    calls: dict[Place, Place] = {}
    now: Place = ("", 0)
    told = False  # of inline PTX, where it stands
    inline = False
    for number, text in enumerate(ptx.splitlines(), 1):
        if "// begin inline asm" in text or "// end inline asm" in text:
            inline, told = "begin" in text, False
        if hit := _LOC.match(text):
            if told:
                continue
            told = inline
            now = (files.get(hit[1], ""), int(hit[2]))
            if inlined := _INLINED.search(hit[3]):
                calls[now] = (files.get(inlined[1], ""), int(inlined[2]))
            continue
        place, seen = now, {now}
        while source and place[0] != source and place in calls and calls[place] not in seen:
            place = calls[place]
            seen.add(place)
        found[number] = place
    return found


class _Table:
    """Lines that have been met."""

    def __init__(self) -> None:
        self.found: dict[Place, Line] = {}
        self._texts: dict[str, list[str]] = {}

    def at(self, place: Place) -> Line:
        if place not in self.found:
            self.found[place] = Line(*place, self._text(*place))
        return self.found[place]

    def ordered(self) -> list[Line]:
        return [self.found[place] for place in sorted(self.found)]

    def _text(self, file: str, line: int) -> str:
        if file not in self._texts:
            path = Path(file)
            self._texts[file] = path.read_text().splitlines() if path.is_file() else []
        texts = self._texts[file]
        return texts[line - 1].strip() if 0 < line <= len(texts) else ""


def _add(line: Line, pattern: Pattern) -> None:
    requests = pattern.requests
    if pattern.access.space == "shared":
        total = line.shared + requests
        if total:
            line.wavefronts += (pattern.wavefronts - line.wavefronts) * requests / total
        line.shared, line.conflicts = total, line.conflicts + pattern.conflicts
    else:
        total = line.requests + requests
        if total:
            line.sectors += (pattern.sectors - line.sectors) * requests / total
            line.lines += (pattern.lines - line.lines) * requests / total
        line.requests = total


def _lanes(table: _Table, run: Run, places: Mapping[int, Place]) -> None:
    """Threads of a warp that run the PTX of each line, on average."""
    threads = np.sum([s.weight * s.threads for s in run.samples], axis=0)
    warps = run.warp_counts()
    sums: dict[Place, list[float]] = {}
    for number, block in run.code.block_of_line.items():
        both = sums.setdefault(places.get(number, ("", 0)), [0.0, 0.0])
        both[0] += float(threads[block])
        both[1] += float(warps[block])
    for place, (of_threads, of_warps) in sums.items():
        if place in table.found and of_warps:
            table.found[place].lanes = of_threads / of_warps


def _loops(listing: Listing, executed: Any) -> list[Loop]:
    times = {b.begin: float(t) for b, t in zip(listing.blocks(), executed, strict=True)}
    made = []
    for begin, end in listing.loops():
        body = listing.instructions[begin : end + 1]
        if times.get(begin):
            made.append(
                Loop(begin, end, len(body), sum(max(1, i.stall) for i in body),
                     dict(Counter(i.base for i in body).most_common()), times[begin])
            )  # fmt: skip
    return made


# ---- Text ---------------------------------------------------------------------------------------


def text(found: Profile, width: int = 80, most: int = 20) -> list[str]:
    """A report for a terminal.

    Parameters
    ----------
    found : Profile
    width : int
    most : int
        Lines of source that are shown, those with most instructions.
    """
    p = found.prediction
    said = [
        f"{found.name}: grid {_by(p.grid)}, block {_by(p.block)}, on {p.gpu}",
        f"  {p.registers} registers a thread, {p.shared} bytes of shared memory a block, "
        f"{found.local} of local memory a thread",
        f"  {p.occupancy.blocks} blocks, {p.occupancy.warps} warps a multiprocessor "
        f"({p.occupancy.fraction:.0%}, limited by {p.occupancy.limit}); {p.waves:.3g} waves",
        f"  predicted, not measured: {p.time_us:.3g} us, bound by {p.bound}",
        "  " + ", ".join(f"{name} {us:.3g}" for name, us in _busiest(p)) + " us alone",
        f"  {_bytes(p)}",
    ]
    if found.times > 1:
        said.append(f"  launched {found.times} times, each on other images; all here is of one")
    said += [f"  would pay: {advice}" for advice in p.advice]
    if found.loops:
        inner = max(found.loops, key=lambda loop: loop.times * loop.instructions)
        mix = ", ".join(f"{n} {name}" for name, n in list(inner.mix.items())[:6])
        said.append(
            f"  main loop: {inner.instructions} instructions ({mix}), {inner.stall} clocks of one "
            f"warp, {_short(inner.times)} times by warps"
        )
    total = sum(line.instructions for line in found.lines) or 1.0
    said.append(f"{'line':>5} {'instr':>6} {'lanes':>5} {'sect':>5} {'bank':>5}  source")
    shown = sorted(found.lines, key=lambda line: -line.instructions)[:most]
    for line in sorted(shown, key=lambda line: (line.file, line.line)):
        sectors = f"{line.sectors:.3g}" if line.requests else ""
        banks = f"{line.wavefronts:.3g}" if line.shared else ""
        row = (
            f"{line.line or '-':>5} {line.instructions / total:>6.1%} {line.lanes:>5.3g} "
            f"{sectors:>5} {banks:>5}  {line.text}"
        )
        said.append(row[:width].rstrip())
    said.append(
        "instr: share of the warp instructions; lanes: threads of a warp that take part; sect: "
        "sectors of 32 bytes a request of global memory; bank: passes over the banks a request; "
        "line -: what the compiler adds"
    )
    wrapped = [
        part
        for line in said
        for part in ([line] if len(line) <= width else textwrap.wrap(
            line, width, subsequent_indent="    ", break_on_hyphens=False))
    ]  # fmt: skip
    return wrapped + (found.check.text() if found.check else [])


def _busiest(p: Prediction) -> list[tuple[str, float]]:
    return sorted(p.busy.items(), key=lambda pair: -pair[1])[:4]


def _bytes(p: Prediction) -> str:
    b = p.bytes
    l1 = 1 - b.l2_bytes / b.l1_bytes if b.l1_bytes else 0.0
    l2 = 1 - b.dram_bytes / b.l2_bytes if b.l2_bytes else 0.0
    over = b.dram_bytes / b.necessary if b.necessary else 0.0
    return (
        f"{_short(b.l1_bytes)}B asked of L1 ({max(0.0, l1):.0%} hits), {_short(b.l2_bytes)}B of L2 "
        f"({max(0.0, l2):.0%}), {_short(b.dram_bytes)}B of memory, {over:.2f} of the necessary"
    )


def _by(extents: tuple[int, int, int]) -> str:
    x, y, z = extents
    return f"{x}x{y}x{z}" if z > 1 else f"{x}x{y}" if y > 1 else str(x)


def _short(value: float) -> str:
    for unit in ("", "k", "M", "G"):
        if abs(value) < 1000:
            return f"{value:.3g} {unit}" if unit else f"{value:.3g} "
        value /= 1000
    return f"{value:.3g} T"
