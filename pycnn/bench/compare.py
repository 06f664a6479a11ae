"""Two runs side by side: what became faster or slower beyond the noise.

A layer counts as changed only if all hold:
* the ranges from the 25th to the 75th percentile of the two runs do not overlap (the whole range
  from minimum to maximum where a file has no percentiles);
* the medians and the minima differ by more than a threshold, 10 % unless asked otherwise: what else
  runs on a machine lengthens most samples, but seldom all;
* the medians differ by more than three times the noise between the two runs, in which a machine
  drifts further than the samples of either show: `drift` takes it from how far the ratios of all
  layers on the same device lie apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median
from typing import Any

from pycnn.bench.brief import method
from pycnn.bench.environment import busy
from pycnn.bench.record import TIMED, WRONG, Record, Run
from pycnn.bench.table import time_text
from pycnn.runtime.terminal import Row, Table
from pycnn.runtime.text import aligned

FASTER, SLOWER, SAME = "faster", "slower", "same"
BROKEN, REPAIRED = "now wrong", "now right"
GONE, ADDED = "only in the old run", "only in the new run"

THRESHOLD = 0.10

#: Standard deviations of the noise that a difference must exceed; pairs that say what it is, and
#: what turns the median of the absolute deviations into a standard deviation.
SIGMAS, LEAST, MAD = 3.0, 8, 1.4826

#: Relative difference of predicted times that is said.
PREDICTED = 0.01

#: Layers with the same method and verdict above which they are one line.
FOLD = 3

STYLES = {
    FASTER: "green", SLOWER: "red", SAME: "", BROKEN: "bold red", REPAIRED: "bold green",
    GONE: "dim", ADDED: "dim",
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One record in both runs; `old` or `new` is None where only the other has it."""

    verdict: str
    old: Record | None
    new: Record | None

    @property
    def record(self) -> Record:
        """The new one, or the old one where there is no new one."""
        record = self.new or self.old
        assert record is not None  # a change has at least one side
        return record

    @property
    def ratio(self) -> float | None:
        """New time over old time."""
        if not self.old or not self.new or not self.old.time_ms or not self.new.time_ms:
            return None
        return self.new.time_ms / self.old.time_ms


def compare_runs(
    old: Sequence[Record], new: Sequence[Record], threshold: float = THRESHOLD
) -> list[Change]:
    """Match the records of two runs and compare each pair.

    Parameters
    ----------
    old, new : sequence of Record
    threshold : float, default 0.10
        Least relative difference of the medians that counts.

    Returns
    -------
    list of Change
        In the order of the old run, then what is new. Pairs in which neither run has a time, and
        neither became wrong nor right, are left out.
    """
    before = {record.key: record for record in old}
    after = {record.key: record for record in new}
    changes, noise = [], drift(old, new)
    for key in [*before, *(k for k in after if k not in before)]:
        verdict = _verdict(before.get(key), after.get(key), threshold, noise)
        if verdict:
            changes.append(Change(verdict, before.get(key), after.get(key)))
    return changes


def drift(old: Sequence[Record], new: Sequence[Record]) -> dict[str, float]:
    """Standard deviation of the logarithm of new over old time, by device.

    Around their median, from the median deviation: half of the layers may have changed. Of fewer
    than `LEAST` pairs it is not known.
    """
    before = {record.key: record for record in old}
    ratios: dict[str, list[float]] = {}
    for record in new:
        one = before.get(record.key)
        if one and one.time_ms and record.time_ms:
            ratios.setdefault(device(record), []).append(log(record.time_ms / one.time_ms))
    return {
        name: MAD * median(abs(r - median(of)) for r in of)
        for name, of in ratios.items()
        if len(of) >= LEAST
    }


def device(record: Record) -> str:
    """What a record was timed on.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> device(SimpleNamespace(backend="cudnn-tf32")), device(SimpleNamespace(backend="reference"))
    ('GPU', 'CPU')
    """
    return "GPU" if record.backend.startswith(("cuda", "cudnn")) else "CPU"


def _verdict(
    old: Record | None, new: Record | None, threshold: float, noise: Mapping[str, float]
) -> str | None:
    if old is None:
        return ADDED
    if new is None:
        return GONE
    if (old.status == WRONG) != (new.status == WRONG):
        return BROKEN if new.status == WRONG else REPAIRED
    if old.status != TIMED or new.status != TIMED:
        return None
    (old_low, old_mid, old_high), (new_low, new_mid, new_high) = _range(old), _range(new)
    old_best, new_best = old.time_ms_min or old_mid, new.time_ms_min or new_mid
    if abs(log(new_mid / old_mid)) <= SIGMAS * noise.get(device(new), 0.0):
        return SAME
    growth = min(new_mid / old_mid, new_best / old_best)
    shrinkage = min(old_mid / new_mid, old_best / new_best)
    if new_low > old_high and growth > 1 + threshold:
        return SLOWER
    if new_high < old_low and shrinkage > 1 + threshold:
        return FASTER
    return SAME


def _range(record: Record) -> tuple[float, float, float]:
    """Low end of the noise, median, high end."""
    middle = record.time_ms or 1e-9  # a time of zero is below any clock
    ends = (
        (record.time_ms_p25, record.time_ms_p75)
        if record.time_ms_p25 is not None and record.time_ms_p75 is not None
        else (record.time_ms_min, record.time_ms_max)
    )
    low, high = (middle if end is None else end for end in ends)
    return low, middle, high


def failures(changes: Sequence[Change]) -> list[Change]:
    """The changes that ``--fail-on-slower`` does not let pass."""
    return [change for change in changes if change.verdict in (SLOWER, BROKEN)]


def table(changes: Sequence[Change]) -> Table:
    """The changes, the largest first; what stayed the same is counted below it."""
    shown = _sorted(changes)
    columns = (
        "layer", "direction", "shape", "dtype", "backend", "algorithm", ">old", ">new",
        ">new / old", "verdict",
    )  # fmt: skip
    return Table("What changed", columns, tuple(Row(_cells(c), STYLES[c.verdict]) for c in shown))


def brief(changes: Sequence[Change]) -> list[str]:
    """What became faster, slower, wrong or right; what only one run has is counted.

    A line each; more than `FOLD` layers with the same method and verdict are one.
    """
    shown = [c for c in _sorted(changes) if c.verdict not in (GONE, ADDED)]
    if not shown:
        return []
    several = [name for name in ("suite", "direction", "dtype")
               if len({getattr(c.record, name) for c in shown}) > 1]  # fmt: skip
    groups: dict[tuple[str, ...], list[Change]] = {}
    for change in shown:
        of_record = (getattr(change.record, name) for name in several)
        groups.setdefault((change.verdict, method(change.record), *of_record), []).append(change)
    rows = [("layer", "method", "old", "new", "new/old", "")]
    for (verdict, by, *words), of in groups.items():
        folded = [of] if len(of) > FOLD else [[change] for change in of]
        suite = words[:1] if "suite" in several else []
        for part in folded:
            layer = f"{len(part)} layers" if len(part) > 1 else part[0].record.layer
            said = " ".join([*suite, layer, *words[len(suite) :]])
            old, new = (_together([getattr(c, side) for c in part]) for side in ("old", "new"))
            rows.append((said, by, old, new, _ratios(part), verdict))
    return aligned(rows)


def _together(records: Sequence[Record | None]) -> str:
    times = [r.time_ms for r in records if r and r.time_ms]
    return time_text(sum(times) if times else None)


def _ratios(changes: Sequence[Change]) -> str:
    ratios = sorted(f"{c.ratio:.2f}" for c in changes if c.ratio)
    return "-".join(dict.fromkeys((ratios[0], ratios[-1]))) if ratios else ""


def noises(old: Sequence[Record], new: Sequence[Record]) -> list[str]:
    """How far the runs drifted apart, by device, where that is known."""
    return [
        f"noise between the runs on the {name}: {exp(value) - 1:.1%}; a difference below "
        f"{exp(SIGMAS * value) - 1:.0%} is none"
        for name, value in drift(old, new).items()
    ]


def _sorted(changes: Sequence[Change]) -> list[Change]:
    """Without what stayed the same; the worst kind first, and in it the largest."""
    return sorted(
        (c for c in changes if c.verdict != SAME),
        key=lambda c: (list(STYLES).index(c.verdict), -abs((c.ratio or 1.0) - 1.0)),
    )


def _cells(change: Change) -> tuple[str, ...]:
    record = change.record
    return (
        f"{record.suite} {record.layer}",
        record.direction,
        record.shape,
        record.dtype,
        record.backend,
        record.algorithm,
        time_text(change.old.time_ms if change.old else None),
        time_text(change.new.time_ms if change.new else None),
        f"{change.ratio:.2f}" if change.ratio else "",
        change.verdict,
    )


def counted(changes: Sequence[Change]) -> str:
    """How many of each verdict, in one line."""
    counts = {v: sum(c.verdict == v for c in changes) for v in STYLES}
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n) or "nothing to compare"


def differences(old: Run, new: Run) -> list[str]:
    """Why two runs may not be comparable: parts, another or a busy or hot machine, settings."""
    lines = []
    for name, run in (("old", old), ("new", new)):
        if run.unfinished:
            lines.append(f"the {name} run is PARTIAL: {run.unfinished}")
        if busy(run.environment):
            lines.append(f"the {name} run was on a busy machine: {busy(run.environment)}")
        if throttled(run):
            lines.append(f"the {name} run was on a GPU that held its clocks back: {throttled(run)}")
    for name in ("cpu", "gpu", "variables"):
        before, after = (_steady(run.environment.get(name)) for run in (old, new))
        if before != after:
            lines.append(f"{name} differs: {before} -> {after}")
    return lines


def predictions(old: Run, new: Run) -> list[str]:
    """What changed in predictions, which have no noise: a line each, or one for many."""
    both = [name for name in old.predicted if name in new.predicted]
    if not both:
        return []
    changed = [name for name in both if abs(log(_us(new, name) / _us(old, name))) > PREDICTED]
    sums = [sum(_us(run, name) for name in both) for run in (old, new)]
    told = [
        f"predicted on {name}: {time_text(_us(old, name) / 1e3)} by {old.predicted[name][0]}, now "
        f"{time_text(_us(new, name) / 1e3)} by {new.predicted[name][0]}"
        for name in changed[: FOLD if len(changed) > FOLD else None]
    ]
    if len(changed) > FOLD:
        told.append(f"and {len(changed) - FOLD} more")
    before, after = (time_text(us / 1e3) for us in sums)
    return [*told, f"predicted, {len(both)} layers once each: {before}, now {after}; "
            f"{len(changed)} changed by over {PREDICTED:.0%}"]  # fmt: skip


def _us(run: Run, name: str) -> float:
    return run.predicted[name][1]


def throttled(run: Run) -> str:
    """What held the clocks of the GPU back, and in which share of the samples."""
    gpu = run.environment.get("gpu")
    sampled = gpu.get("sampled") if isinstance(gpu, dict) else None
    held = sampled.get("held_back") if isinstance(sampled, dict) else None
    if not isinstance(held, dict):
        return ""
    shares = {text: share for text, share in held.items() if isinstance(share, int | float)}
    return ", ".join(f"{text} {share:.0%}" for text, share in shares.items())


def _steady(value: Any) -> Any:
    """What a machine is, without what changes from minute to minute."""
    changing = ("load", "clocks.sm", "clocks.mem", "sampled", "pci_bus")
    if not isinstance(value, dict):
        return value
    return {name: part for name, part in value.items() if name not in changing}
