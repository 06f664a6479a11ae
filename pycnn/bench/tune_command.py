"""``pycnn tune``: measure what is fastest here, and keep it for `auto`."""

import argparse
from pathlib import Path
from typing import Any

from pycnn.models.command_line import add_own
from pycnn.runtime.options import add_threads


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "tune",
        help="measure which algorithm of each convolution is fastest here, for auto to take",
        description="Every algorithm that fits a layer is checked against the float64 oracle, then "
        "timed; what is fastest is kept in the data base PYCNN_TUNED, by GPU, driver, NVRTC and "
        "kernels, and auto takes it from then on. What is there already is not measured again, so "
        "an interrupted run goes on where it stopped. With no GPU: the methods of the CPU path.",
    )
    add = parser.add_argument
    add("suite", nargs="?", metavar="SUITE", help="a network, as for pycnn bench")
    add_own(parser)
    add("--shape", metavar="WORD", help="one layer instead, such as n1c64h56w56k64r3s3p1")
    add("--batch", metavar="LIST", help="batch sizes by commas (default: that of the suite)")
    add("--dtype", default="float32", metavar="LIST", help="by commas (default: float32)")
    add("--direction", default="forward", metavar="NAME", help="forward (default), backward, all")
    add("--layout", default="NCHW", metavar="LIST", help="NCHW (default), NHWC, by commas")
    add("--backend", metavar="NAME", help="cuda, reference (default: cuda if there is a GPU)")
    add("--seconds", type=float, default=0.3, metavar="S", help="for a timing (default 0.3)")
    add("--again", action="store_true", help="also what is in the data base already")
    add("--merge", type=Path, nargs="+", metavar="FILE",
        help="measure nothing: take over what other data bases have")  # fmt: skip
    add_threads(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from pycnn.runtime import measured

    file = measured.path()
    if not file.parent.is_dir():
        raise FileNotFoundError(f"PYCNN_TUNED={file}: no folder {file.parent}")
    if arguments.merge:
        if arguments.suite or arguments.shape:
            raise ValueError("--merge measures nothing; allowed: without a suite and --shape")
        missing = [str(other) for other in arguments.merge if not other.exists()]
        if missing:
            raise FileNotFoundError(f"--merge: no file {', '.join(missing)}")
        base = measured.add(file, measured.merged(*map(measured.load, arguments.merge)))
        print(f"{sum(map(len, base.values()))} problems on {len(base)} machines in {file}")
        return 0
    return _tune(arguments, file)


def _tune(arguments: argparse.Namespace, file: Path) -> int:
    from pycnn.bench.tune import Tuner
    from pycnn.runtime import measured, terminal
    from pycnn.runtime.target import ANY, target_of_backend

    if not 0 < arguments.seconds <= 60:
        raise ValueError(f"--seconds {arguments.seconds}; allowed: above 0, up to 60")
    backend = _backend(arguments.backend)
    tasks = _tasks(arguments, backend)
    tuner = Tuner(backend, ANY if backend == "reference" else target_of_backend("cuda"))
    known = {} if arguments.again else measured.load(file).get(tuner.machine, {})
    print(f"tuning {tuner.machine}")
    done, there, wrong = 0, 0, 0
    with terminal.progress(len(tasks)) as (announce, advance):
        for task in tasks:
            announce(str(task))
            for found in tuner.tune(task, known, arguments.seconds):
                there += found.known
                done += bool(found.times_us)
                wrong += len(found.failed)
                if found.times_us:
                    measured.add(file, found.as_base(tuner.machine))
                for line in _lines(found):
                    print(line)
            advance()
    print(f"{done} measured, {there} there already, {wrong} wrong or failed; data base: {file}")
    return 1 if wrong else 0


def _lines(found: Any) -> list[str]:
    lines = [f"{found.task}: {name} left out: {why}" for name, why in found.failed.items()]
    if found.times_us:
        best = min(found.times_us, key=found.times_us.__getitem__)
        beside = found.times_us.get(found.before)
        gain = f", {beside / found.times_us[best]:.2f} times as fast" if beside else ""
        change = "as auto has it" if best == found.before else f"not {found.before}{gain}"
        lines.append(f"{found.task} {found.result}: {best} {found.times_us[best]:.1f} us, {change}")
    return lines


def _backend(asked: str | None) -> str:
    from pycnn.runtime.backends import backends, require

    if asked not in (None, "cuda", "reference"):
        raise ValueError(
            f"--backend {asked!r}; allowed: cuda, reference (times of the emulator mean nothing)"
        )
    if asked is None:
        status = {b.name: b for b in backends()}["cuda"]
        if not status.available:
            print(f"kernels are not tuned here, which needs a GPU: {status.detail}")
            return "reference"
        return "cuda"
    require(asked)
    return asked


def _tasks(arguments: argparse.Namespace, backend: str) -> list[Any]:
    from pycnn.bench import options
    from pycnn.bench.calls import LAYOUTS
    from pycnn.bench.tune import OPERATION, Task, refused

    _, layers = options.layers_of(argparse.Namespace(**vars(arguments), case=None), OPERATION)
    tasks = []
    for dtype in options.listed("--dtype", arguments.dtype, OPERATION.dtypes):
        for layout in options.listed("--layout", arguments.layout, LAYOUTS):
            for direction in options.directions_of(OPERATION, arguments.direction):
                reason = refused(backend, direction, layout)
                if reason:
                    raise ValueError(reason)
                tasks += [Task(x.name, x.case, direction, dtype, layout) for x in layers]
    return tasks
