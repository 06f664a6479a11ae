"""One page on all stages: what became of them, and what was measured beside what was predicted."""

from collections.abc import Mapping, Sequence
from math import exp, log
from typing import Any

from benchmarks.gpu import predicted
from benchmarks.gpu.result import Result
from pycnn.bench.record import TIMED, Record
from pycnn.bench.table import winners
from pycnn.runtime.text import aligned

#: Columns of the page.
WIDTH = 80

Runs = Mapping[str, Mapping[str, Any]]


def page(
    about: Mapping[str, Any], clocks: str, results: Mapping[str, Result | None], runs: Runs
) -> list[str]:
    """The lines of the page.

    Parameters
    ----------
    about : mapping
        ``gpu``, ``libraries``, ``commit`` and ``date``.
    clocks : str
        What the clocks did while the bench ran.
    results : mapping of str to Result or None
        By stage; None for one that has not run.
    runs : mapping of str to mapping
        The files of the bench by name.
    """
    lines = [f"make gpu: {about['gpu']}", about["libraries"]]
    lines += [f"commit {about['commit']}, {about['date']}", clocks, "", *_stages(results)]
    lines += [f"ceiling {text}" for text in _ceilings(runs)]
    networks = _networks(runs)
    if networks:
        lines += ["", *networks]
    for name, run in runs.items():
        table = _layers(run)
        if table:
            state = "" if run["complete"] else f" (partial: {run['unfinished']})"
            lines += ["", f"{name}{state}", *table]
    lines += _details(results)
    return [piece for line in lines for piece in _folded(line)]


def merged(runs: Runs, results: Mapping[str, Result | None], about: Mapping[str, Any]) -> dict:
    """One file of results, as ``pycnn compare`` reads them, from those of a session."""
    measured = {name: run for name, run in runs.items() if run["results"]}
    first = next(iter(measured.values()), {})
    return {
        "schema": first.get("schema", 1),
        "complete": bool(measured) and all(run["complete"] for run in runs.values()),
        "unfinished": "; ".join(f"{n}: {run['unfinished']}" for n, run in runs.items()
                                if run.get("unfinished")),
        "environment": {**first.get("environment", {}), "command": "make gpu"},
        "about": dict(about),
        "stages": {name: result.as_json() if result else None for name, result in results.items()},
        "runs": [
            {"name": name, "command": run["environment"]["command"],
             "date": run["environment"]["date"], "results": len(run["results"]),
             "complete": run["complete"], "unfinished": run["unfinished"]}
            for name, run in measured.items()
        ],
        "ceilings": list(_best_ceilings(measured).values()),
        "results": [each for run in measured.values() for each in run["results"]],
    }  # fmt: skip


def _stages(results: Mapping[str, Result | None]) -> list[str]:
    rows = [("stage", "outcome", "time", "")]
    for name, result in results.items():
        if result is None:
            rows.append((name, "not run", "", ""))
        else:
            rows.append((name, result.outcome, f"{result.seconds:.0f} s", result.what))
    return aligned(rows)


def _best_ceilings(runs: Runs) -> dict[tuple[str, str], dict[str, Any]]:
    """The highest of each, for a limit is what can be reached."""
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for run in runs.values():
        for ceiling in run.get("ceilings", ()):
            key = ceiling["device"], ceiling["dtype"]
            kept = best.setdefault(key, dict(ceiling))
            for name in ("gflops", "gbytes_per_s"):
                known = [value for value in (kept[name], ceiling[name]) if value is not None]
                kept[name] = max(known, default=None)
    return best


def _ceilings(runs: Runs) -> list[str]:
    return [
        f"of {device}, {dtype}: {_thousands(ceiling['gflops'], 1)} TFLOP/s, "
        f"{_thousands(ceiling['gbytes_per_s'], 2)} TB/s"
        for (device, dtype), ceiling in _best_ceilings(runs).items()
    ]


def _thousands(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{value / 1e3:.{digits}f}"


def _networks(runs: Runs) -> list[str]:
    """Geometric means against cuDNN beside the predicted ones."""
    rows = []
    for run in runs.values():
        records = [Record.from_json(each) for each in run["results"]]
        for peer in ("cudnn", "cudnn-tf32"):
            for suite, direction, dtype, batch in _groups(records):
                here = [r for r in records if _group(r) == (suite, direction, dtype, batch)]
                ours, theirs = _best(here, "cuda"), _best(here, peer)
                both = ours.keys() & theirs.keys()
                if not both:
                    continue
                ratios = [theirs[p].time_ms / ours[p].time_ms for p in both]  # type: ignore[operator]
                guess = _guess(peer, suite, direction, dtype, batch)
                rows.append((
                    f"{suite} x{batch} {direction} {dtype}", peer, str(len(both)),
                    f"{exp(sum(map(log, ratios)) / len(ratios)):.2f}",
                    f"{guess:.2f}" if guess else "-", "" if run["complete"] else "partial",
                ))  # fmt: skip
    if not rows:
        return []
    head = ("speed, geometric mean", "over", "layers", "measured", "predicted", "")
    return [*aligned([head, *rows]), f"predicted, here and below: {predicted.SOURCE}"]


def _groups(records: Sequence[Record]) -> list[tuple[str, str, str, int]]:
    return list(dict.fromkeys(map(_group, records)))


def _group(record: Record) -> tuple[str, str, str, int]:
    return record.suite, record.direction, record.dtype, _batch(record)


def _batch(record: Record) -> int:
    """The number after the letter n (or m, of a matrix product) that begins the word of a shape."""
    digits = ""
    for character in record.shape[1:]:
        if not character.isdigit():
            break
        digits += character
    return int(digits or 0)


def _guess(peer: str, suite: str, direction: str, dtype: str, batch: int) -> float | None:
    if direction != "forward":
        return None
    if peer == "cudnn":
        return predicted.AGAINST_CUDNN.get((suite, dtype), {}).get(batch)
    return predicted.AGAINST_TF32.get(suite, {}).get(batch) if dtype == "float32" else None


def _best(records: Sequence[Record], backend: str) -> dict[tuple[str, ...], Record]:
    return winners([r for r in records if r.backend == backend and r.status == TIMED])


def _layers(run: Mapping[str, Any]) -> list[str]:
    """Best algorithm of each layer, against cuDNN and the ceiling, with what was predicted.

    ``ceil`` is the share of the ceiling, ``speed`` a multiple of cuDNN's, ``reached`` TFLOP or TB a
    second, as ``pred.`` is.
    """
    records = [Record.from_json(each) for each in run["results"]]
    ours, theirs = _best(records, "cuda"), _best(records, "cudnn")
    rows = []
    for problem, best in ours.items():
        peer = theirs.get(problem)
        rows.append((
            _layer(best), best.algorithm, _microseconds(best.time_ms),
            f"{best.ceiling_share:.0%}" if best.ceiling_share else "",
            _microseconds(peer.time_ms) if peer else "",
            f"{peer.time_ms / best.time_ms:.2f}" if peer else "",  # type: ignore[operator]
            *_speed(best),
        ))  # fmt: skip
    if not rows:
        return []
    head = ("layer", "best", "us", "ceil", "cuDNN", "speed", "reached", "pred.")
    return aligned([head, *rows])


def _layer(record: Record) -> str:
    """Its name, shortened, with what a run has several of."""
    several = f" {record.direction[0]}" if record.direction != "forward" else ""
    return (record.layer if len(record.layer) <= 18 else record.layer[:17] + "~") + several


def _microseconds(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds * 1e3:.4g}"


def _speed(record: Record) -> tuple[str, str]:
    """Speed a second in the unit of the limit that binds, and the one that was predicted."""
    nbytes = {"float64": 8, "float32": 4}.get(record.dtype, 2)
    share = predicted.MEMORY.get((record.op, nbytes))
    if share or record.op not in ("conv2d", "gemm"):
        reached = f"{(record.gbytes_per_s or 0) / 1e3:.2f} TB"
        return reached, _range(share, predicted.COPY, 2)
    compute = predicted.COMPUTE.get(record.algorithm) if record.direction == "forward" else None
    fits = compute if nbytes < 8 else None
    return f"{(record.gflops or 0) / 1e3:.1f} TF", _range(fits, predicted.FLOPS, 0)


def _range(share: tuple[float, float] | None, of: float, digits: int) -> str:
    if share is None:
        return "-"
    low, high = (f"{bound * of:.{digits}f}" for bound in share)
    return low if low == high else f"{low}-{high}"


def _details(results: Mapping[str, Result | None]) -> list[str]:
    lines = []
    for name, result in results.items():
        if result and result.details:
            lines += ["", f"{name}:", *(f"  {line}" for line in result.details)]
    return lines


def _folded(line: str) -> list[str]:
    """A line in pieces that fit, at blanks; the further ones indented."""
    pieces = []
    while len(line) > WIDTH:
        cut = line.rfind(" ", 8, WIDTH + 1)
        cut = cut if cut > 0 else WIDTH
        pieces.append(line[:cut].rstrip())
        line = "    " + line[cut:].lstrip()
    return [*pieces, line]
