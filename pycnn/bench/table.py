"""Results of a run as a table for a person."""

from collections.abc import Sequence
from dataclasses import replace

from pycnn.bench.record import CHECKED, FAILED, SKIPPED, TIMED, WRONG, Record
from pycnn.emulator import Counters
from pycnn.runtime.terminal import Row, Table, size_text

#: Colour of a row by what became of it; winners are bold.
STYLES = {TIMED: "", CHECKED: "green", WRONG: "bold red", FAILED: "red", SKIPPED: "dim"}

COLUMNS = (
    "layer", "shape", "backend", "algorithm", ">time", ">spread", ">host", ">GFLOP/s", ">GB/s",
    ">of ceiling", ">traffic", ">workspace", ">error", ">allowed", "verdict", ">GPU over CPU",
)  # fmt: skip


def results(title: str, records: Sequence[Record]) -> Table:
    """The table of a run: layers as sections, the fastest of each marked; no empty columns."""
    best = winners(in_full(records))
    faster = speedups(records)
    several = len({(r.direction, r.dtype) for r in records}) > 1
    rows, before = [], None
    for record in records:
        wins, first = best.get(record.problem) is record, record.problem != before
        name = _name(record, several) if first else ""
        gain = f"{faster[record.problem]:.1f}x" if wins and record.problem in faster else ""
        cells = (name, record.shape if first else "", *_cells(record, wins), gain)
        rows.append(Row(cells, "bold cyan" if wins else STYLES[record.status], first))
        before = record.problem
    return _without_empty(Table(title, COLUMNS, tuple(rows)))


def _name(record: Record, several: bool) -> str:
    """Of a layer: how often it occurs, and direction and precision where a run has several."""
    times = f" x{record.count}" if record.count > 1 else ""
    return record.layer + times + (f" {record.direction} {record.dtype}" if several else "")


def _without_empty(table: Table) -> Table:
    kept = [i for i in range(len(table.columns)) if any(row.cells[i] for row in table.rows)]
    rows = [replace(row, cells=tuple(row.cells[i] for i in kept)) for row in table.rows]
    return Table(table.title, tuple(table.columns[i] for i in kept), tuple(rows))


def winners(records: Sequence[Record]) -> dict[tuple[str, ...], Record]:
    """The fastest of each problem, peers included; a problem without times has none."""
    best: dict[tuple[str, ...], Record] = {}
    for record in records:
        if record.time_ms is not None:
            leader = best.get(record.problem)
            if leader is None or leader.time_ms is None or record.time_ms < leader.time_ms:
                best[record.problem] = record
    return best


def in_full(records: Sequence[Record]) -> list[Record]:
    """Those whose products have the precision of their dtype: only they can be told the fastest."""
    return [record for record in records if not record.precision]


def speedups(records: Sequence[Record]) -> dict[tuple[str, ...], float]:
    """Best time on the CPU over best time on the GPU, where a problem was timed on both."""
    gpu = ("cuda", "cudnn")
    full = in_full(records)
    on_cpu = winners([r for r in full if r.backend not in gpu])
    on_gpu = winners([r for r in full if r.backend in gpu])
    return {
        problem: on_cpu[problem].time_ms / on_gpu[problem].time_ms  # type: ignore[operator]
        for problem in on_cpu.keys() & on_gpu.keys()
    }


def _cells(record: Record, wins: bool) -> tuple[str, ...]:
    """From the backend to the verdict."""
    algorithm = record.algorithm + (f": {record.chosen}" if record.chosen else "")
    return (
        record.backend,
        algorithm + (" *" if wins else ""),
        time_text(record.time_ms),
        spread_text(record),
        time_text(record.host_ms) if host_bound(record) else "",
        _number(record.gflops),
        _number(record.gbytes_per_s),
        f"{record.ceiling_share:.0%} {record.bound}" if record.ceiling_share else "",
        traffic_text(record.counters),
        size_text(record.workspace_bytes),
        "" if record.max_abs_error is None else f"{record.max_abs_error:.1e}",
        "" if record.tolerance is None else f"{record.tolerance:.1e}",
        verdict_text(record),
    )


def verdict_text(record: Record) -> str:
    """The verdict in words, with what it rests on."""
    at = f" at {record.ran_shape}" if record.ran_shape else ""
    if record.status == TIMED:
        within = f" within {record.precision.upper()}" if record.precision else ""
        return f"right{within}" + ("" if record.queued else "; waits for the GPU: time with host")
    if record.status == CHECKED:
        return f"right, no finding{at}"
    if record.status == WRONG:
        return f"WRONG{at}: {record.reason}"
    return f"{record.status}: {record.reason}"


def host_bound(record: Record) -> bool:
    """Whether the host takes longer to queue a call than the GPU to compute it."""
    both = record.host_ms is not None and record.time_ms is not None
    return both and record.host_ms > record.time_ms  # type: ignore[operator]


def time_text(milliseconds: float | None) -> str:
    """A time with three digits and a unit that suits it."""
    if milliseconds is None:
        return ""
    if milliseconds < 1:
        return f"{milliseconds * 1e3:.3g} us"
    return f"{milliseconds:.3g} ms" if milliseconds < 1000 else f"{milliseconds / 1e3:.3g} s"


def spread_text(record: Record) -> str:
    """Half of the range in which the middle half of the samples lies, relative to the median."""
    return "" if record.spread is None else f"\u00b1{record.spread:.0%}"


def traffic_text(counters: dict[str, int]) -> str:
    """Bytes that move without any cache, as a multiple of the distinct ones that must."""
    if not counters:
        return ""
    counted = Counters(**counters)
    return f"{counted.bytes_moved / max(counted.bytes_necessary, 1):.1f}x"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"
