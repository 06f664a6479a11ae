"""The compile gate: every kernel, in every variant, for every architecture that it is for, with no
GPU.

Two processes compile twice as fast as one; threads do not. Results are kept in the disk cache, so
that a second run compiles only what changed.
"""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from pycnn.runtime import cache, catalogue, nvrtc, sources
from pycnn.runtime.catalogue import KernelFile, Variant
from pycnn.runtime.cubin import VERBOSE, Resources, resources
from pycnn.runtime.errors import CompileError
from pycnn.runtime.flags import NVRTC_FLAGS
from pycnn.runtime.occupancy import occupancy

ARCHS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_120")

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Unit:
    """One compilation."""

    kernel: KernelFile
    variant: Variant
    arch: str

    def __str__(self) -> str:
        macros = ", ".join(f"{name}={value}" for name, value in self.variant)
        return f"{self.kernel.file}[{macros}] {self.arch}"


@dataclass(frozen=True)
class Record:
    """One entry in one variant on one architecture.

    ``occupancy`` is the theoretical one for the largest block, with static shared memory only;
    ``limit`` is the resource that bounds it. Both are None without ``__launch_bounds__``.
    """

    file: str
    entry: str
    defines: dict[str, str]
    arch: str
    resources: Resources
    occupancy: float | None
    limit: str | None


@dataclass(frozen=True)
class Report:
    """What the gate found; it passes when there are no problems."""

    records: tuple[Record, ...]
    problems: tuple[str, ...]

    def as_json(self) -> dict:
        """For `--json`: one flat record per entry, variant and architecture."""
        flat = []
        for record in self.records:
            fields = asdict(record)
            used = fields.pop("resources")
            flat.append({**fields, **used})
        return {
            "environment": {"nvrtc": nvrtc.version(), "flags": list(NVRTC_FLAGS)},
            "results": flat,
            "problems": list(self.problems),
        }


def compile_all(
    archs: Sequence[str] = ARCHS,
    jobs: int = 2,
    progress: Progress = lambda done, total, label: None,
    kernels: Sequence[KernelFile] | None = None,
) -> Report:
    """Compile every kernel x variant x architecture and read what each entry uses.

    Parameters
    ----------
    archs : sequence of str
        Architectures, such as ``"sm_90a"``; :data:`ARCHS` by default.
    jobs : int, default 2
        Processes; 1 compiles in this one. With more, a script that calls this needs its
        ``if __name__ == "__main__":``, as for everything in `multiprocessing`.
    progress : callable, optional
        Called as ``progress(done, total, label)`` after each compilation.
    kernels : sequence of KernelFile, optional
        What to compile; the whole catalogue by default.

    Returns
    -------
    Report
        Records in the order of the catalogue. Problems are compile failures, spills and
        other local memory that no ``// spill`` line explains, and entries without
        ``__launch_bounds__``.

    Raises
    ------
    ValueError
        For an architecture that NVRTC or the table of limits does not know.
    MissingExtra
        If NVRTC or cuobjdump are not installed.
    """
    for arch in archs:
        occupancy(arch, 32, 0)
        if arch not in nvrtc.supported_archs():
            raise ValueError(f"arch={arch!r}: allowed are {', '.join(nvrtc.supported_archs())}")
    kernels = catalogue.load() if kernels is None else kernels
    units = [Unit(k, v, a) for k in kernels for v in k.variants for a in archs if k.runs_on(a)]
    results: dict[Unit, dict[str, Resources] | str] = {}
    for unit, result in _run(units, jobs):
        results[unit] = result
        progress(len(results), len(units), str(unit))
    records = [r for unit in units for r in _records(unit, results[unit])]
    return Report(tuple(records), tuple(_all_problems(results, units)))


def _run(units: Sequence[Unit], jobs: int) -> Iterator[tuple[Unit, dict[str, Resources] | str]]:
    if jobs == 1:
        yield from ((unit, measure(unit)) for unit in units)
        return
    # spawn: a fork would copy whatever state NVRTC and BLAS threads have in this process.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        pending = {pool.submit(measure, unit): unit for unit in units}
        try:
            for future in as_completed(pending):
                yield pending[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def measure(unit: Unit) -> dict[str, Resources] | str:
    """Resources by entry, through the disk cache; or what the compiler said as a text."""
    path = sources.kernel_path(unit.kernel.file)
    parts = ("gate", nvrtc.version(), nvrtc.source_hash(path), str(unit), *NVRTC_FLAGS)

    def build(target: Path) -> None:
        text = path.read_text()
        compiled = nvrtc.compile_text(text, path, unit.arch, unit.variant, (VERBOSE,))
        by_kernel = resources(compiled.cubin, compiled.log, unit.arch)
        target.write_text(json.dumps({name: asdict(used) for name, used in by_kernel.items()}))

    try:
        stored = json.loads(cache.get_or_build(cache.key(*parts), ".json", build).read_text())
    except CompileError as error:
        return error.log
    return {name: Resources(**used) for name, used in stored.items()}


def _records(unit: Unit, result: dict[str, Resources] | str) -> Iterator[Record]:
    if isinstance(result, str):
        return
    for entry, used in result.items():
        share, limit = None, None
        if used.threads is not None:
            fits = occupancy(unit.arch, used.threads, used.registers, used.shared)
            share, limit = fits.fraction, fits.limit
        defines = dict(unit.variant)
        yield Record(unit.kernel.file, entry, defines, unit.arch, used, share, limit)


def _all_problems(
    results: dict[Unit, dict[str, Resources] | str], units: Sequence[Unit]
) -> Iterator[str]:
    """Each problem once, with the first compilation that has it and the number of the others."""
    units_with: dict[str, list[Unit]] = {}
    for unit in units:
        for problem in _problems(unit, results[unit]):
            units_with.setdefault(problem, []).append(unit)
    for problem, (first, *others) in units_with.items():
        more = f" and {len(others)} more" if others else ""
        yield f"{first}{more}: {problem}"


def _problems(unit: Unit, result: dict[str, Resources] | str) -> Iterator[str]:
    if isinstance(result, str):
        yield f"does not compile:\n{result}"
        return
    if set(result) != set(unit.kernel.entries):
        yield f"compiled {sorted(result)}, but the header lists {[*unit.kernel.entries]}"
    for entry, used in result.items():
        if used.threads is None:
            yield f"{entry} has no __launch_bounds__"
        spilled = used.spill_stores + used.spill_loads
        if unit.kernel.spill is not None:
            continue
        if spilled:
            yield f"{entry} spills {used.spill_stores} + {used.spill_loads} bytes"
        elif used.local:  # such as an array with a runtime index: no spill, and as slow
            yield f"{entry} keeps {used.local} bytes of a thread in local memory"


def by_kernel(records: Sequence[Record]) -> list[list[Record]]:
    """Records grouped by entry and variant: each group holds one record an architecture."""
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        groups.setdefault((record.entry, *record.defines.items()), []).append(record)
    return list(groups.values())
