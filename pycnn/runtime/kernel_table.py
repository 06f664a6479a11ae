"""``pycnn kernels``: list the kernels, or compile all of them and show what they use."""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence

from pycnn.runtime import catalogue, gate
from pycnn.runtime.catalogue import KernelFile
from pycnn.runtime.extras import MissingExtra, import_extra
from pycnn.runtime.files import write_json
from pycnn.runtime.flags import DEVICE_FLAGS
from pycnn.runtime.options import add_force, check_output, positive
from pycnn.runtime.text import aligned, did_you_mean


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "kernels", help="list the kernels; with --arch compile them all, which needs no GPU"
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--nvcc", action="store_true", help="print FILE|OPTION|... of each compilation, for CMake"
    )
    group.add_argument(
        "--arch",
        metavar="LIST",
        help=f"architectures separated by commas, or 'all' for {','.join(gate.ARCHS)}",
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="such as conv/direct.cu; all files by default"
    )
    parser.add_argument("--json", metavar="FILE", help="write what each kernel uses to FILE")
    add_force(parser)
    parser.add_argument("--jobs", type=positive, default=2, help="processes (default: 2)")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    kernels = chosen(arguments.files)
    if arguments.arch is None:
        if arguments.json:
            raise ValueError("--json needs --arch: without it nothing is compiled")
        print("\n".join((compilations if arguments.nvcc else listing)(kernels)))
        return 0
    if arguments.json:
        check_output(arguments.json, "--json", force=arguments.force)
    archs = gate.ARCHS if arguments.arch == "all" else tuple(arguments.arch.split(","))
    with _progress() as progress:
        report = gate.compile_all(archs, arguments.jobs, progress, kernels)
    if arguments.json:
        write_json(arguments.json, report.as_json())
    print("\n".join(usage(report, archs)))
    for problem in report.problems:
        print(f"FAILED {problem}", file=sys.stderr)
    failed = f", {len(report.problems)} problems" if report.problems else ""
    print(
        f"{len(report.records)} compiled entries for {len(archs)} architectures{failed}; occupancy "
        f"at the largest block, before any dynamic shared memory"
    )
    return 1 if report.problems else 0


def chosen(files: Sequence[str]) -> Sequence[KernelFile]:
    """The kernel files of these names, relative to ``kernels/``; without names all of them."""
    known = {kernel.file: kernel for kernel in catalogue.load()}
    for file in files:
        if file not in known:
            near = did_you_mean(file, known)
            raise ValueError(f"FILE={file!r}: allowed is one that `pycnn kernels` lists{near}")
    return [known[file] for file in files] or [*known.values()]


def listing(kernels: Sequence[KernelFile]) -> list[str]:
    """Every entry with file and purpose, one line each."""
    rows = [
        (entry, kernel.file, purpose)
        for kernel in kernels
        for entry, purpose in kernel.entries.items()
    ]
    return aligned([("entry", "file", "purpose"), *rows])


def compilations(kernels: Sequence[KernelFile]) -> list[str]:
    """Each file in each variant with the options of nvcc, but for folders.

    Architectures are the caller's affair, unless a kernel is for one alone.
    """

    def own(arch: str | None) -> tuple[str, ...]:
        number = (arch or "").removeprefix("sm_")
        return (f"-gencode=arch=compute_{number},code=sm_{number}",) if arch else ()

    return [
        "|".join((
            kernel.file, *DEVICE_FLAGS, *own(kernel.arch),
            *(f"-D{name}={value}" for name, value in variant),
        ))
        for kernel in kernels
        for variant in kernel.variants
    ]  # fmt: skip


def usage(report: gate.Report, archs: Sequence[str]) -> list[str]:
    """What each entry uses: bytes at their largest, registers and occupancy by architecture."""
    rows = [("entry", "variant", "shared", "local", "spill", *archs)]
    for group in gate.by_kernel(report.records):
        used = {record.arch: record for record in group}
        rows.append((
            group[0].entry,
            " ".join(f"{name}={value}" for name, value in group[0].defines.items()) or "-",
            str(max(r.resources.shared for r in group)),
            str(max(r.resources.local for r in group)),
            str(max(r.resources.spill_stores + r.resources.spill_loads for r in group)),
            *(_cell(used.get(arch)) for arch in archs),
        ))  # fmt: skip
    return aligned(rows)


def _cell(record: gate.Record | None) -> str:
    if record is None:
        return "-"  # not for it, or among the problems
    share = "?" if record.occupancy is None else f"{record.occupancy:.0%}"
    return f"{record.resources.registers}r {share}"


@contextlib.contextmanager
def _progress() -> Iterator[gate.Progress]:
    """A bar where rich is installed and somebody looks; else a line now and then."""
    if not sys.stderr.isatty():
        yield _progress_line
        return
    try:
        rich = import_extra("rich.progress", "bench", "a progress bar")
    except MissingExtra:
        yield _progress_line
        return
    console = import_extra("rich.console", "bench", "a progress bar").Console(stderr=True)
    with rich.Progress(console=console, transient=True) as bar:
        task = bar.add_task("compiling", total=None)
        yield lambda done, total, label: bar.update(task, completed=done, total=total)


def _progress_line(done: int, total: int, label: str) -> None:
    if done == total or done % max(1, total // 10) == 0:
        print(f"{done}/{total} {label}", file=sys.stderr)
