"""A run in a few lines: totals over the network and how pycnn stands against each peer."""

from collections.abc import Sequence
from math import exp, log

from pycnn.bench.ceilings import Ceiling
from pycnn.bench.peers import PEERS
from pycnn.bench.record import CHECKED, FAILED, SKIPPED, TIMED, WRONG, Record
from pycnn.bench.table import speedups, time_text, winners

#: What a peer is compared with: pycnn on the same device.
RIVALS = {"torch": "reference", "onnxruntime": "reference", "cudnn": "cuda"}


def summarise(
    records: Sequence[Record], ceilings: Sequence[Ceiling], complete: bool = True
) -> list[str]:
    """The lines below a table; without totals where `complete` is False."""
    lines = [
        f"ceilings of {c.device}, {c.dtype}: {c.gflops:.0f} GFLOP/s, {c.gbytes_per_s:.0f} GB/s"
        for c in ceilings
    ]
    lines += _totals(records) if complete else []
    lines += [line for peer in PEERS for line in _against(records, peer)]
    gains = speedups(records)
    if gains:
        lines.append(
            f"GPU over CPU: {_mean(list(gains.values())):.3g}x (geometric mean of "
            f"{len(gains)} problems, the best of each)"
        )
    counts = {s: sum(r.status == s for r in records) for s in (TIMED, CHECKED, SKIPPED, FAILED)}
    lines.append(", ".join(f"{count} {status}" for status, count in counts.items() if count))
    wrong = [r for r in records if r.status == WRONG]
    lines += [f"WRONG: {r.layer} {r.direction} {r.backend} {r.algorithm}" for r in wrong]
    return [line for line in lines if line]


def _totals(records: Sequence[Record]) -> list[str]:
    """Time of all layers, each as often as it occurs, where every layer was timed."""
    groups = sorted({(r.direction, r.dtype) for r in records}, reverse=True)
    lines = []
    for direction, dtype in groups:
        here = [r for r in records if (r.direction, r.dtype) == (direction, dtype)]
        problems = {r.problem for r in here}
        totals = {}
        for backend in dict.fromkeys(r.backend for r in here):
            best = winners([r for r in here if r.backend == backend])
            if best.keys() == problems:
                totals[backend] = sum(r.count * (r.time_ms or 0.0) for r in best.values())
        if totals and len(problems) > 1:
            parts = ", ".join(f"{name} {time_text(ms)}" for name, ms in totals.items())
            lines.append(f"all layers {direction} {dtype}, the best of each: {parts}")
    return lines


def _against(records: Sequence[Record], peer: str) -> list[str]:
    """How fast pycnn is beside `peer`: geometric mean over the problems that both ran."""
    rival = RIVALS[peer]
    lines = []
    for direction in dict.fromkeys(r.direction for r in records):
        ours, theirs = (
            winners([r for r in records if r.backend == name and r.direction == direction])
            for name in (rival, peer)
        )
        both = ours.keys() & theirs.keys()
        if both:
            ratios = [theirs[p].time_ms / ours[p].time_ms for p in both]  # type: ignore[operator]
            lines.append(
                f"{rival} {direction} runs at {_mean(ratios):.2f}x the speed of {peer} "
                f"(geometric mean of {len(both)} problems, the best of each)"
            )
    return lines


def _mean(ratios: Sequence[float]) -> float:
    return exp(sum(map(log, ratios)) / len(ratios))
