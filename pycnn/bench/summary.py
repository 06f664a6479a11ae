"""A run in a few lines: totals over the network and how pycnn stands against each peer."""

from collections.abc import Sequence
from math import exp, log

from pycnn.bench import clocks
from pycnn.bench.ceilings import Ceiling
from pycnn.bench.peers import CUDNN_TF32
from pycnn.bench.record import CHECKED, FAILED, SKIPPED, TIMED, WRONG, Record, Run
from pycnn.bench.table import host_bound, speedups, time_text, winners

#: What a peer is compared with: pycnn on the same device.
RIVALS = {"torch": "reference", "onnxruntime": "reference", "cudnn": "cuda", CUDNN_TF32: "cuda"}


#: More often than this many times as fast as a peer pycnn is not: something disturbs the peer.
PLAUSIBLE = 10.0


def of_run(run: Run) -> list[str]:
    """The lines below a table, and what the GPU did meanwhile."""
    gpu = run.environment.get("gpu")
    sampled = clocks.lines(gpu.get("sampled")) if isinstance(gpu, dict) else []
    return summarise(run.records, run.ceilings, run.unfinished) + sampled


def summarise(
    records: Sequence[Record], ceilings: Sequence[Ceiling], unfinished: str = ""
) -> list[str]:
    """The lines below a table; of a run that is `unfinished` with that, and without totals."""
    lines = [f"PARTIAL: {unfinished}; no totals"] if unfinished else []
    lines += [_limits(ceiling) for ceiling in ceilings]
    lines += [] if unfinished else totals(records)
    lines += against(records)
    gains = speedups(records)
    if gains:
        lines.append(
            f"GPU over CPU: {_mean(list(gains.values())):.3g}x (geometric mean of "
            f"{len(gains)} problems, the best of each)"
        )
    lines += _hosts(records)
    counts = {s: sum(r.status == s for r in records) for s in (TIMED, CHECKED, SKIPPED, FAILED)}
    lines.append(", ".join(f"{count} {status}" for status, count in counts.items() if count))
    wrong = [r for r in records if r.status == WRONG]
    lines += [f"WRONG: {r.layer} {r.direction} {r.backend} {r.algorithm}" for r in wrong]
    failed = [r for r in records if r.status == FAILED]
    lines += [f"FAILED: {r.layer} {r.direction} {r.backend} {r.algorithm}: {r.reason}"
              for r in failed]  # fmt: skip
    return [line for line in lines if line]


def _limits(ceiling: Ceiling) -> str:
    """What the device can do at most, and what of it is not known."""
    gflops, gbytes_per_s = (
        "unknown" if value is None else f"{value:.0f}"
        for value in (ceiling.gflops, ceiling.gbytes_per_s)
    )
    note = f" ({ceiling.note})" if ceiling.note else ""
    return (
        f"ceilings of {ceiling.device}, {ceiling.dtype}: {gflops} GFLOP/s, "
        f"{gbytes_per_s} GB/s{note}"
    )


def _hosts(records: Sequence[Record]) -> list[str]:
    """On whom launches weigh, and whose time could not be had without them."""
    slow = sum(map(host_bound, records))
    waiting = sum(not record.queued for record in records)
    return [f"{slow} take the host longer to queue than the GPU to compute"] * bool(slow) + [
        f"{waiting} wait for the GPU in the midst of a call: their times include the host's"
    ] * bool(waiting)


def totals(records: Sequence[Record]) -> list[str]:
    """Time of all layers, each as often as it occurs, where every layer was timed."""
    groups = sorted({(r.direction, r.dtype) for r in records}, reverse=True)
    lines = []
    for direction, dtype in groups:
        here = [r for r in records if (r.direction, r.dtype) == (direction, dtype)]
        problems = {r.problem for r in here}
        totals = {}
        for backend in dict.fromkeys(r.backend for r in here):
            best = winners(_of(here, backend))
            if best.keys() == problems:
                totals[backend] = sum(r.count * (r.time_ms or 0.0) for r in best.values())
        if totals and len(problems) > 1:
            parts = ", ".join(f"{name} {time_text(ms)}" for name, ms in totals.items())
            lines.append(f"all layers {direction} {dtype}, the best of each: {parts}")
    return lines


def against(records: Sequence[Record]) -> list[str]:
    """How fast pycnn is beside each peer: geometric mean over the problems that both ran."""
    return [line for peer in RIVALS for line in _against(records, peer)]


def _against(records: Sequence[Record], peer: str) -> list[str]:
    rival = RIVALS[peer]
    lines = []
    for direction in dict.fromkeys(r.direction for r in records):
        here = [r for r in records if r.direction == direction]
        ours, theirs = winners(_of(here, rival)), winners(_of(here, peer))
        both = [p for p in ours if p in theirs]
        fair = [p for p in both if not _unfair(ours[p], theirs[p])]
        left_out = f"; {len(both) - len(fair)} left out, as disturbed" * (len(fair) < len(both))
        if fair:
            mean = _mean([_ratio(ours[p], theirs[p]) for p in fair])
            lines.append(
                f"{rival} {direction} runs at {mean:.2f}x the speed of {peer} (geometric mean of "
                f"{len(fair)} problems, {_sides(rival)}{left_out})"
            )
        elif both:
            lines.append(f"{rival} {direction} beside {peer}: no ratio{left_out}")
    return lines


def _of(records: Sequence[Record], backend: str) -> list[Record]:
    """Those of a backend; of the CPU path its own choice, which is what a user gets."""
    return [
        r for r in records
        if r.backend == backend and (backend != "reference" or r.algorithm == "auto")
    ]  # fmt: skip


def _sides(rival: str) -> str:
    return "our own choice beside their best" if rival == "reference" else "the best of each"


def _ratio(ours: Record, theirs: Record) -> float:
    return (theirs.time_ms or 0.0) / (ours.time_ms or 1e-9)


def _unfair(ours: Record, theirs: Record) -> bool:
    """Whether other programs disturbed one of the two: by its samples, or beyond belief."""
    return ours.disturbed or theirs.disturbed or _ratio(ours, theirs) > PLAUSIBLE


def _mean(ratios: Sequence[float]) -> float:
    return exp(sum(map(log, ratios)) / len(ratios))
