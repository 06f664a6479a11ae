"""The emulator's two routes: fast build by PTX against by the source, checked against fast build.

    python benchmarks/emulator_routes.py [NAME ...] [--direction all] [--json FILE [--force]]

Of every operation the standard layer, float32, scaled down as ``pycnn bench`` does; of the checked
build convolution and matrix products, by PTX; and of every entry that ran the time from PTX text to
code in memory. Times are of the processor, user and system, of one thread of the emulator, so that
a machine with other work gives the same ratios; what is compared takes turns, and medians count.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pycnn
from pycnn import config
from pycnn.bench import expected
from pycnn.bench.cases import Case
from pycnn.bench.checking import check
from pycnn.bench.environment import environment
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.operations.base import DIRECTIONS, FORWARD, Operation
from pycnn.bench.scaling import scale_down
from pycnn.emulator import host
from pycnn.emulator.ptx import PtxModule
from pycnn.emulator.ptx.source import ptx_source
from pycnn.runtime import sources
from pycnn.runtime.emulator import EmulatorExecutor
from pycnn.runtime.files import write_json
from pycnn.runtime.options import with_json
from pycnn.runtime.plan import Kernel, Launch

#: What the project asks: speed by PTX over that by the source; the checked build's time over the
#: fast one's; seconds of an entry.
TARGETS = {"mean": 0.9, "worst": 0.5, "checked": 20.0, "code_median_s": 0.5, "code_worst_s": 1.5}

#: Of the checked build: operation, layer, algorithm.
CHECKED = (
    ("conv2d", "n1c64h14w14k64r3s3p1", "implicit_gemm"),
    ("gemm", "m128n128k256", "naive"),
    ("gemm", "m128n128k256", "vectorised"),
)

#: FLOPs of a layer at most; a block of calls lasts at least `BLOCK_S` on the processor.
FLOPS, BLOCK_S = 20_000_000, 0.02

Call = Callable[[], Any]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="operations (default: all)", metavar="NAME")
    parser.add_argument("--direction", choices=(*DIRECTIONS, "all"), default=FORWARD)
    parser.add_argument("--turns", type=int, default=7, help="blocks of calls of each (default 7)")
    options = with_json(parser, arguments)
    os.environ["PYCNN_EMULATOR_THREADS"] = "1"
    used = _recorded()
    names = options.names or list(OPERATIONS)
    directions = DIRECTIONS if options.direction == "all" else (options.direction,)
    routes = [row for name in names for row in _routes(name, directions, options.turns)]
    checked = [_checked(*which, options.turns) for which in CHECKED if which[0] in names]
    entries = [_code(kernel) for kernel in sorted(used, key=str)]
    report = {
        "environment": environment("python benchmarks/emulator_routes.py"),
        "targets": TARGETS, "routes": routes, "checked": checked, "entries": entries,
        "summary": _summary(routes, checked, entries),
    }  # fmt: skip
    for name, value in report["summary"].items():
        print(f"{name:24} {value}")
    if options.json:
        write_json(options.json, report)


def _recorded() -> set[Kernel]:
    """The kernels that are launched from now on."""
    used: set[Kernel] = set()
    run = EmulatorExecutor.run

    def recording(self: Any, plan: Any, *rest: Any) -> Any:
        used.update(launch.kernel for launch in plan.launches if isinstance(launch, Launch))
        return run(self, plan, *rest)

    EmulatorExecutor.run = recording  # type: ignore[method-assign]
    return used


# ---- Fast builds --------------------------------------------------------------------------------


def _routes(name: str, directions: Sequence[str], turns: int) -> Iterator[dict[str, Any]]:
    op = OPERATIONS[name]
    for direction in directions:
        layer = standard_layer(op, direction)
        if layer is None or "float32" not in op.dtypes_of(direction):
            continue
        call = _prepared(op, layer, direction, "auto")
        builds = {via: _build(call, via, checked=False) for via in ("source", "ptx")}
        seconds = _in_turns(builds, turns)
        row = {
            "operation": name, "direction": direction, "layer": str(layer),
            "source_ms": round(1e3 * seconds["source"], 4),
            "ptx_ms": round(1e3 * seconds["ptx"], 4),
            "ratio": round(seconds["source"] / seconds["ptx"], 3),
        }  # fmt: skip
        print(f"{name:34} {direction:8} {row['source_ms']:10.3f} {row['ptx_ms']:10.3f} ms "
              f"{row['ratio']:6.2f}", flush=True)  # fmt: skip
        yield row


def standard_layer(op: Operation, direction: str, flops: int = FLOPS) -> Case | None:
    """The standard layer, or where there is none the example of the grammar."""
    standard = [case for _, case in op.standard_layers()]
    example = getattr(op.case, "EXAMPLE", None)
    found = standard[0] if standard else op.parse(example) if example else None
    if found is None or direction not in op.directions_of(found):
        return None
    return scale_down(found, lambda case: op.emulated_flops(case, direction), flops)


def _prepared(op: Operation, layer: Case, direction: str, algo: str) -> Call:
    """The call, whose result is right."""
    arrays = op.inputs(layer, direction, "float32", expected.rng())
    checks = op.checks(layer, direction, arrays)

    def call() -> dict[str, Any]:
        return op.run(layer, direction, arrays, algo)

    for via in ("source", "ptx"):
        with pycnn.use_backend("emulator", checked=False, via=via):
            outputs = call()
        verdict = check(outputs, checks, "float32", op.output_shapes(layer, direction))
        if not verdict.right:
            raise SystemExit(f"{op.name} {direction} by {via} is wrong: {verdict}")
    return call


def _build(call: Call, via: str, checked: bool) -> Call:
    def run() -> None:
        with pycnn.use_backend("emulator", checked=checked, via=via):
            call()

    return run


def _in_turns(calls: dict[str, Call], turns: int) -> dict[str, float]:
    """Median processor time of each call."""
    times = {}
    for name, call in calls.items():
        call()
        times[name] = max(1, round(BLOCK_S / max(_spent(call, 1), 1e-6)))
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            samples[name].append(_spent(call, times[name]))
    return {name: statistics.median(found) for name, found in samples.items()}


def _spent(call: Call, times: int) -> float:
    begin = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - begin) / times


# ---- The checked build, and code ----------------------------------------------------------------


def _checked(name: str, word: str, algo: str, turns: int) -> dict[str, Any]:
    op = OPERATIONS[name]
    call = _prepared(op, op.parse(word), FORWARD, algo)
    builds = {b: _build(call, "ptx", checked=b == "checked") for b in ("fast", "checked")}
    seconds = _in_turns(builds, turns)
    row = {
        "operation": name, "layer": word, "algorithm": algo,
        "fast_ms": round(1e3 * seconds["fast"], 4),
        "checked_ms": round(1e3 * seconds["checked"], 3),
        "ratio": round(seconds["checked"] / seconds["fast"], 1),
    }  # fmt: skip
    print(f"{name:8} {algo:16} {row['fast_ms']:10.3f} {row['checked_ms']:10.2f} ms "
          f"{row['ratio']:6.1f} times", flush=True)  # fmt: skip
    return row


def _code(kernel: Kernel) -> dict[str, Any]:
    """From PTX text to code in memory, with an empty cache."""
    options = [f"-D{name}={value}" for name, value in kernel.defines]
    source = host.Source(str(sources.kernel_path(kernel.file)), None)
    arch = config.get("PYCNN_EMULATOR_ARCH")
    text = ptx_source(source, arch, options, (), checked=False).module.text
    seconds = {}
    for build in ("fast", "checked"):
        with tempfile.TemporaryDirectory() as empty, _cache(empty):
            begin = time.process_time()
            PtxModule(text, checked=build == "checked").get_function(kernel.entry)
            seconds[build] = round(time.process_time() - begin, 4)
    return {"file": kernel.file, "entry": kernel.entry, **seconds}


@contextlib.contextmanager
def _cache(folder: str) -> Iterator[None]:
    """With another folder of compiled kernels."""
    before = os.environ.get("PYCNN_CACHE_DIR")
    os.environ["PYCNN_CACHE_DIR"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYCNN_CACHE_DIR"]
        else:
            os.environ["PYCNN_CACHE_DIR"] = before


def _summary(
    routes: list[dict[str, Any]], checked: list[dict[str, Any]], entries: list[dict[str, Any]]
) -> dict[str, float]:
    found: dict[str, float] = {}
    if routes:
        ratios = [row["ratio"] for row in routes]
        found["mean"] = round(statistics.geometric_mean(ratios), 3)
        found["worst"] = min(ratios)
    for row in checked:
        found[f"checked {row['algorithm']}"] = row["ratio"]
    for build in ("fast", "checked") if entries else ():
        seconds = [row[build] for row in entries]
        found[f"code {build} median"] = round(statistics.median(seconds), 3)
        found[f"code {build} worst"] = max(seconds)
    return found


if __name__ == "__main__":
    main()
