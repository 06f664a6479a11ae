"""Choices that ``pycnn tune`` measured: the fastest of several algorithms, on this very machine.

The data base is one JSON file, ``PYCNN_TUNED``: of every machine, and of every problem on it, the
times of the algorithms that were right. A machine is all that a time depends on and that can
change beneath it: for kernels the GPU, its driver, NVRTC, and a hash over kernels and plans; for
the CPU path the processor, its threads, NumPy with its BLAS, and a hash over that path. What was
measured on another machine is never used. The file is replaced whole, under a lock: several
processes may tune.
"""

import contextlib
import functools
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pycnn import config
from pycnn.runtime import nvrtc, sources
from pycnn.runtime.cache import HAS_FILE_LOCKS
from pycnn.runtime.files import require_file, write_json
from pycnn.runtime.target import Target

VERSION = 1

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Measured:
    """What was found for one problem.

    Attributes
    ----------
    times_us : mapping of str to float
        Median time by algorithm, of those that were right.
    date : str
        When, in UTC.
    """

    times_us: Mapping[str, float]
    date: str

    @property
    def algo(self) -> str:
        """The fastest."""
        return min(self.times_us, key=lambda name: self.times_us[name])


#: By machine and problem.
Base = dict[str, dict[str, Measured]]


def path() -> Path:
    """Where the data base is. It need not exist."""
    found: Path = config.get("PYCNN_TUNED")
    return found


def load(file: Path) -> Base:
    """The data base in a file; empty if there is none.

    Raises
    ------
    ValueError
        If the file is none of `pycnn tune`, of another version, or damaged.
    """
    require_file(file, "data base of pycnn tune")
    if not file.exists():
        return {}
    try:
        return _base(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(
            f"{file} is no data base of pycnn tune, version {VERSION} ({error}); nothing of it is "
            "used: move it away, or set PYCNN_TUNED to another file"
        ) from None


def _base(data: Any) -> Base:
    if not isinstance(data, dict) or data.get("pycnn_tuned") != VERSION:
        version = data.get("pycnn_tuned") if isinstance(data, dict) else None
        raise ValueError(f"it says version {version}")
    found: Base = {}
    for machine, problems in data["machines"].items():
        found[machine] = {}
        for problem, row in problems.items():
            times = row["times_us"]
            usable = isinstance(times, dict) and times and isinstance(row["date"], str)
            if not usable or not all(_is_time(time) for time in times.values()):
                raise ValueError(f"no times of {problem!r}")
            found[machine][problem] = Measured(times, row["date"])
    return found


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < float("inf")


def merged(*bases: Base) -> Base:
    """All of them in one; of a problem that several have, what was measured last.

    Examples
    --------
    >>> old, new = Measured({"a": 1.0}, "2026-01-01"), Measured({"b": 2.0}, "2026-01-02")
    >>> merged({"gpu": {"p": new}}, {"gpu": {"p": old, "q": old}})["gpu"]["p"].algo
    'b'
    """
    found: Base = {}
    for base in bases:
        for machine, problems in base.items():
            own = found.setdefault(machine, {})
            for problem, measured in problems.items():
                if problem not in own or own[problem].date <= measured.date:
                    own[problem] = measured
    return found


def add(file: Path, base: Base) -> Base:
    """Merge into a file, whatever others write to it meanwhile; what it holds now."""
    with _locked(file):
        both = merged(load(file), base)
        machines = {
            machine: {problem: asdict(m) for problem, m in sorted(problems.items())}
            for machine, problems in sorted(both.items())
        }
        write_json(file, {"pycnn_tuned": VERSION, "machines": machines})
    forget()
    return both


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """No other process merges into the file meanwhile; the lock ends with the process."""
    if not HAS_FILE_LOCKS:
        yield
        return
    import fcntl

    handle = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def gpu_machine(target: Target) -> str:
    """The GPU that kernels are planned for, as a machine; empty where it is none that is here."""
    if not target.gpu:
        return ""
    own = _hash((sources.kernel_dir().rglob("*.cu*"), (_PACKAGE / "plan").glob("*.py")))
    return f"{target.gpu}; NVRTC {nvrtc.version()}; kernels {own}"


def cpu_machine(threads: int) -> str:
    """The CPU path here, as a machine."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    folder = _PACKAGE / "reference" / "cpu"
    own = _hash((folder.glob("*.py"), folder.glob("_compiled*")))
    return (
        f"{cpu_model()}; threads {threads}; NumPy {np.__version__}, {blas['name']} "
        f"{blas['version']}; CPU path {own}"
    )


@functools.cache
def cpu_model() -> str:
    """The processor's name."""
    import platform

    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _hash(folders: Iterable[Iterable[Path]]) -> str:
    digest = hashlib.sha256()
    for file in sorted(file for folder in folders for file in folder):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def on_gpu(target: Target) -> Mapping[str, Measured]:
    """What was measured on the GPU that kernels are planned for, by problem."""
    base = _here()
    return base.get(_named(gpu_machine, target), {}) if base and target.gpu else {}


def on_cpu(threads: Callable[[], int]) -> Mapping[str, Measured]:
    """What was measured of the CPU path here, by problem; `threads` is asked if there is any."""
    base = _here()
    return base.get(_named(cpu_machine, threads()), {}) if base else {}


_raw = config.raw("PYCNN_TUNED")
_bases: dict[tuple[bytes | None, ...], Base] = {}
#: Names of machines: files are read for a name once in a process.
_named = functools.cache(lambda machine, which: machine(which))


def _here() -> Base:
    """The data base, read once in a process."""
    setting = tuple(_raw())
    found = _bases.get(setting)
    if found is None:
        found = _bases[setting] = _read()
    return found


def _read() -> Base:
    """A data base that cannot be read costs speed, not results: it is said once."""
    try:
        return load(path())
    except (OSError, ValueError) as error:
        warnings.warn(f"algorithms are chosen as if nothing was tuned: {error}", stacklevel=2)
        return {}


def forget() -> None:
    """Read the data base again when it is next asked for."""
    _bases.clear()
