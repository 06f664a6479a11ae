"""One measurement as a record, and a run of them as a file.

A file holds ``schema``, ``complete``, ``unfinished`` (why it is not complete), ``environment``,
``ceilings`` and ``results``, one record for each layer x direction x backend x algorithm; and
``predicted`` where times on a GPU were predicted. docs/results.md has them all.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from pycnn.bench import grammar
from pycnn.bench.cases import Case
from pycnn.bench.ceilings import Ceiling
from pycnn.bench.measure import DISTURBED
from pycnn.runtime.files import require_file
from pycnn.runtime.text import printable

#: Counts the changes after which an earlier version would misread a file. Version 1 had no
#: ``complete``.
SCHEMA = 2

#: Said of a file of an earlier version.
SILENT = "it does not say that it is complete"

#: The backends of pycnn; all others are peers.
OWN = ("reference", "emulator", "cuda")

#: What became of a runner.
TIMED = "timed"  # right, and timed
CHECKED = "checked"  # right, on the emulator: no time
WRONG = "wrong"  # not within the tolerance, or a finding of the emulator: never timed
SKIPPED = "skipped"  # cannot run this case; `reason` says why
FAILED = "failed"  # raised an error; `reason` holds it


@dataclass(frozen=True)
class Record:
    """One runner on one layer in one direction.

    Times are in milliseconds, None where nothing was timed. ``time_cold_ms`` is with the caches of
    the GPU flushed. ``host_ms`` is the time in which a call on the GPU returns. ``queued`` says
    whether the times are the GPU's alone; if not, the call waits for it, and they include the
    host's. ``precision`` names that of the products where it is below that of ``dtype``, like
    ``"tf32"``. ``chosen`` is what an automatic choice came to. ``shape`` is the word that reruns
    the layer; where the emulator ran a smaller one, ``ran_shape`` is that. ``compared`` says what
    was compared with the oracle, ``counters`` is the memory traffic that the emulator counted.
    """

    suite: str
    layer: str
    count: int
    op: str
    direction: str
    shape: str
    dtype: str
    layout: str
    backend: str
    algorithm: str
    status: str
    reason: str = ""
    chosen: str = ""
    ran_shape: str | None = None
    time_ms: float | None = None
    time_ms_min: float | None = None
    time_ms_max: float | None = None
    time_ms_p25: float | None = None
    time_ms_p75: float | None = None
    time_cold_ms: float | None = None
    host_ms: float | None = None
    queued: bool = True
    precision: str = ""
    repeats: int = 0
    flops: int = 0
    bytes: int = 0
    gflops: float | None = None
    gbytes_per_s: float | None = None
    ceiling_share: float | None = None
    bound: str | None = None
    max_abs_error: float | None = None
    tolerance: float | None = None
    verified: bool = False
    compared: str = ""
    workspace_bytes: int = 0
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def is_peer(self) -> bool:
        """Whether it is another library's."""
        return self.backend not in OWN

    @property
    def spread(self) -> float | None:
        """Half of the range in which the middle half of the samples lies, over the median."""
        if self.time_ms is None or self.time_ms_p25 is None or self.time_ms_p75 is None:
            return None
        return (self.time_ms_p75 - self.time_ms_p25) / 2 / max(self.time_ms, 1e-9)

    @property
    def disturbed(self) -> bool:
        """Whether other programs had a part in the time: its samples lie too far apart."""
        if self.time_ms is None:
            return False
        best = self.time_ms if self.time_ms_min is None else self.time_ms_min
        return (self.spread or 0.0) > DISTURBED or self.time_ms > 2 * best

    @property
    def problem(self) -> tuple[str, ...]:
        """What all runners of one comparison have in common."""
        return self.suite, self.layer, self.op, self.direction, self.shape, self.dtype

    @property
    def key(self) -> tuple[str, ...]:
        """What names a record among all others, the same in every run."""
        return (*self.problem, self.layout, self.backend, self.algorithm)

    def as_json(self, case: Case) -> dict[str, Any]:
        """The record as it is written, with the extents of `case` under their own names."""
        record = asdict(self)
        if record["max_abs_error"] == float("inf"):  # JSON has no infinity
            record["max_abs_error"] = "inf"
        return {**record, "extents": grammar.as_json(case)}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Record":
        """The record that was written; fields of a later version are ignored."""
        values = _checked(cls, {**record, "max_abs_error": _error(record.get("max_abs_error"))})
        return cls(**values)


@dataclass(frozen=True)
class Run:
    """What a file holds.

    Attributes
    ----------
    environment : dict
    ceilings : list of Ceiling
    records : list of Record
    unfinished : str
        Why records are missing; empty if it is complete.
    predicted : dict of str to (str, float)
        Of a GPU and a layer the algorithm that is predicted to be the fastest, and
        its time in microseconds.
    """

    environment: dict[str, Any]
    ceilings: list[Ceiling]
    records: list[Record]
    unfinished: str = ""
    predicted: dict[str, tuple[str, float]] = field(default_factory=dict)


def _error(value: Any) -> Any:
    """JSON has no infinity: it is written as text."""
    return float("inf") if value == "inf" else value


def _checked(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """The fields of the dataclass `kind` among `values`, which may be anyone's, of their types."""
    known = {}
    for each in fields(kind):
        if each.name in values:
            value = values[each.name]
            if not _is(value, each.type):
                raise TypeError(printable(f"{each.name} is {value!r}", 100))
            known[each.name] = printable(value) if isinstance(value, str) else value
    return known


def _is(value: Any, kind: Any) -> bool:
    """Whether `value` is of a type as a field has it; numbers within what a float can hold."""
    if isinstance(value, bool):
        return kind is bool
    if kind == dict[str, int]:
        return isinstance(value, dict) and all(_is(count, int) for count in value.values())
    kinds = get_args(kind) or (kind,)
    if isinstance(value, int):
        return (int in kinds or float in kinds) and abs(value) < 2**63
    if isinstance(value, float):
        return float in kinds and value == value
    return type(value) in kinds


def _shown(value: Any, deep: int = 8) -> Any:
    """JSON whose texts can be shown, nested as deep as an environment is."""
    if deep < 0:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        return {printable(name): _shown(part, deep - 1) for name, part in value.items()}
    if isinstance(value, list):
        return [_shown(part, deep - 1) for part in value]
    return printable(value) if isinstance(value, str) else value


def content(
    environment: dict[str, Any],
    ceilings: list[dict[str, Any]],
    results: list[dict[str, Any]],
    unfinished: str = "",
) -> dict[str, Any]:
    """A whole file."""
    return {
        "schema": SCHEMA, "complete": not unfinished, "unfinished": unfinished,
        "environment": environment, "ceilings": ceilings, "results": results,
    }  # fmt: skip


def load(path: Path) -> Run:
    """Read a file.

    Raises
    ------
    ValueError
        If it is no file of results, with what is wrong in one line.
    """
    loaded = _load(path)
    records = []
    for i, record in enumerate(loaded["results"]):
        try:
            records.append(Record.from_json(record))
        except (TypeError, AttributeError) as error:
            raise ValueError(f"{path}: record {i} of `results` is not one ({error})") from None
    unfinished = "" if loaded.get("complete") else loaded.get("unfinished") or SILENT
    try:
        ceilings = [Ceiling(**_checked(Ceiling, each)) for each in loaded.get("ceilings", [])]
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{path}: `ceilings` holds what is none ({error})") from None
    try:
        environment = _shown(loaded["environment"])
    except ValueError as error:
        raise ValueError(f"{path}: `environment` is {error}") from None
    try:
        predicted = _predicted(loaded.get("predicted"))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: `predicted` is not what `--gpu` writes ({error})") from None
    return Run(environment, ceilings, records, printable(unfinished), predicted)


def _predicted(found: Any) -> dict[str, tuple[str, float]]:
    """The best of each layer that has a prediction."""
    best = {}
    how = " by estimates" if found is not None and found.get("by") == "estimates" else ""
    for layer in found["layers"] if found is not None else ():
        if layer["algorithms"]:
            first = layer["algorithms"][0]
            names = ("layer", "direction", "shape", "dtype")
            words = (found["gpu"] + how, *(layer[name] for name in names))
            if not _is(first["time_us"], float) or not first["time_us"] > 0:
                raise TypeError(printable(f"time_us is {first['time_us']!r}", 100))
            best[printable(", ".join(words))] = printable(first["algorithm"]), first["time_us"]
    return best


def read(path: Path) -> tuple[dict[str, Any], list[Record]]:
    """Environment and records of a file."""
    run = load(path)
    return run.environment, run.records


def _load(path: Path) -> dict[str, Any]:
    require_file(path, "results of a bench")
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:  # not JSON, or not UTF-8
        raise ValueError(f"{path}: is not JSON ({error})") from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("results"), list):
        raise ValueError(f"{path}: has no list `results`; written by `pycnn bench --json`?")
    schema = loaded.get("schema", 1)
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise ValueError(printable(f"{path}: `schema` is {schema!r}; allowed: 1 to {SCHEMA}", 200))
    if schema > SCHEMA:
        raise ValueError(
            f"{path}: schema {schema}, written by a later pycnn; this one reads up to {SCHEMA}"
        )
    if not isinstance(loaded.setdefault("environment", {}), dict):
        raise ValueError(f"{path}: `environment` is no object; written by `pycnn bench --json`?")
    return loaded
