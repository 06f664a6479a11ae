"""One measurement as a record, and a run of them as a file.

A file holds ``schema``, ``environment``, ``ceilings`` and ``results``, one record for each layer x
direction x backend x algorithm.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pycnn.bench import grammar
from pycnn.bench.cases import Case
from pycnn.bench.ceilings import Ceiling

SCHEMA = 1

#: What became of a contestant.
TIMED = "timed"  # right, and timed
CHECKED = "checked"  # right, on the emulator: no time
WRONG = "wrong"  # not within the tolerance, or a finding of the emulator: never timed
SKIPPED = "skipped"  # cannot run this case; `reason` says why
FAILED = "failed"  # raised an error; `reason` holds it


@dataclass(frozen=True)
class Record:
    """One contestant on one layer in one direction.

    Times are in milliseconds, None where nothing was timed. ``time_cold_ms`` is with the caches of
    the GPU flushed. ``chosen`` is what an automatic choice came to. ``shape`` is the word that
    reruns the layer; where the emulator ran a smaller one, ``ran_shape`` is that. ``compared`` says
    what was compared with the oracle, ``counters`` is the memory traffic that the emulator counted.
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
    def problem(self) -> tuple[str, ...]:
        """What all contestants of one comparison have in common."""
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
        known = {f.name for f in fields(cls)}
        values = {name: value for name, value in record.items() if name in known}
        for name, value in values.items():
            if name.startswith("time_ms") and not isinstance(value, int | float | None):
                raise TypeError(f"{name} is {value!r}")
        if values.get("max_abs_error") == "inf":
            values["max_abs_error"] = float("inf")
        return cls(**values)


def content(
    environment: dict[str, Any], ceilings: list[dict[str, Any]], results: list[dict[str, Any]]
) -> dict[str, Any]:
    """A whole file."""
    return {
        "schema": SCHEMA, "environment": environment, "ceilings": ceilings, "results": results,
    }  # fmt: skip


def read(path: Path) -> tuple[dict[str, Any], list[Record]]:
    """Environment and records of a file.

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
    return loaded["environment"], records


def read_ceilings(path: Path) -> list[Ceiling]:
    """The limits of the machine that a file was measured on."""
    return [Ceiling(**ceiling) for ceiling in _load(path).get("ceilings", [])]


def _load(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(f"{path}: is not JSON ({error})") from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("results"), list):
        raise ValueError(f"{path}: has no list `results`; written by `pycnn bench --json`?")
    if not isinstance(loaded.setdefault("environment", {}), dict):
        raise ValueError(f"{path}: `environment` is no object; written by `pycnn bench --json`?")
    return loaded
