"""How far from the limit every kernel is predicted to be, on every GPU of the data file.

    python benchmarks/limits.py [--gpu NAME ...] [--dtype NAME ...] [--only WORD ...] [--again]
        [--seconds N] [--json benchmarks/results/predicted/limits.json --force]

The operations of `bandwidth.py` and some convolutions of ResNet-50 at batch 32, then the standard
layers of all operations, are planned for a GPU with Hopper's instructions and for one without. Of
each kernel, with its macros, the launch met first stands for it: compiled once for each
architecture, run once by a few blocks where PTX is the same, and predicted for each GPU. The limit
is the longer of two times: that of its necessary bytes at the speed of a copy with as many reads to
a write, and that of its multiply-adds at the peak of their pipe; the share is the limit over the
predicted time.
The file is written after every kernel, and one in it whose machine code is as it was and that has
the GPUs asked for is not done again without ``--again``: a run can be stopped and goes on. Several
runs may take parts of the kernels, each with a file of its own; ``--join FILE ...`` puts them in.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import bandwidth
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.suites import SUITES
from pycnn.dtypes import numpy_dtype
from pycnn.emulator import KernelError
from pycnn.predict import code, gpus, plans, sample
from pycnn.predict.gpus import Gpu
from pycnn.predict.model import Prediction, predict
from pycnn.runtime import sources
from pycnn.runtime.errors import CompileError
from pycnn.runtime.files import write_json
from pycnn.runtime.options import positive, with_json
from pycnn.runtime.plan import Launch

FILE = Path(__file__).parent / "results" / "predicted" / "limits.json"
DTYPES, BATCH, BLOCKS = ("float32", "bfloat16"), 32, 4

#: Layers of convolution that its algorithms are shown on: 3x3, 1x1, the first one, depthwise.
CONVOLUTIONS = (
    "n32c64h56w56k64r3s3p1", "n32c256h56w56k64r1s1", "n32c3h224w224k64r7s7p3u2",
    "n32c128h56w56k128r3s3p1g128",
)  # fmt: skip

#: What a kernel is meant to reach.
GOALS = {"float32": 0.7, "bfloat16": 0.85}


def layers(name: str) -> list[Any]:
    """Cases of an operation."""
    op = OPERATIONS[name]
    if name == "conv2d":
        return [op.parse(word) for word in CONVOLUTIONS]
    own = [case for _, case in op.standard_layers()]
    return own or [layer.case for layer in SUITES["resnet50"].layers(name, BATCH)][:1]


def launches(gpu: Gpu, dtype: str) -> Iterator[tuple[str, Launch, dict[str, Any]]]:
    """What operations launch on a GPU: words, launch, arrays by name."""
    for large in bandwidth.cases(dtype):
        with plans.planned_on(gpu):
            planned = plans.planned(large.call)
        for plan, own in planned:
            for launch, bound in plans.launches(plan, own):
                yield f"{large.name} {large.layout}".strip(), launch, bound
    for name in dict.fromkeys(("conv2d", *OPERATIONS)):
        op = OPERATIONS[name]
        for case in layers(name):
            for direction in op.directions_of(case):
                if dtype in op.dtypes_of(direction):
                    yield from _of(name, case, direction, dtype, gpu)


def _of(
    name: str, case: Any, direction: str, dtype: str, gpu: Gpu
) -> Iterator[tuple[str, Launch, dict[str, Any]]]:
    op = OPERATIONS[name]
    arrays = {
        n: sample.aligned(shape, numpy_dtype(own or dtype))
        for n, (shape, own) in op.input_specs(case, direction).items()
    }
    with plans.planned_on(gpu):
        offered = [a.name for a in op.algorithms(case, direction, dtype) if a.fits]
        for algo in dict.fromkeys(("auto", *offered)):
            try:
                planned = plans.planned(lambda a=algo: op.run(case, direction, arrays, a))  # type: ignore[misc]
            except ValueError:  # an operation without a choice has no algorithm of that name
                continue
            for plan, own in planned:
                for launch, bound in plans.launches(plan, own):
                    if set(launch.names) <= set(bound):  # of what a library makes nothing is known
                        yield f"{name} {direction} {case}", launch, bound


def limit_us(found: Prediction, gpu: Gpu) -> float:
    """The least time of a launch's necessary bytes and executed multiply-adds."""
    moved = found.bytes.necessary / gpu.memory_gbps(found.bytes.written) / 1e3
    scalar = 64 * found.mix.get("FFMA", 0.0) / gpu.peak_tflops("float32") / 1e6
    tensor = found.busy["tensor"]
    if any(name in found.mix for name in ("HMMA", "IMMA")):
        tensor *= gpu.mma_sync_share
    return max(moved, scalar, tensor)


def predicted(launch: Launch, bound: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Time in microseconds, share and bound, by GPU."""
    found: dict[str, Any] = {}
    runs: plans.Runs = {}
    for name in names:
        gpu = gpus.gpu(name)
        try:
            compiled = code.of_kernel(launch.kernel, gpu.arch)
            run = plans.sampled(compiled, launch, bound, BLOCKS, runs)
            made = predict(compiled, run, gpu, launch.shared)
        except (CompileError, KernelError, ValueError) as error:
            said = str(error).replace(f"{sources.kernel_dir()}/", "")
            found[name] = said.partition("\n")[0].partition(";")[0][:100]
            continue
        share = float(limit_us(made, gpu) / made.time_us)
        found[name] = [float(f"{made.time_us:.4g}"), round(share, 3), made.bound]
    return found


def _joined(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """The new row, with those GPUs of the old one that it lacks if it is of the same launch."""
    same = old and all(old[of] == new[of] for of in new if of != "gpus")
    kept = {**(old["gpus"] if old and same else {}), **new["gpus"]}
    return {**new, "gpus": {key: kept[key] for key in gpus.names() if key in kept}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", nargs="+", default=DTYPES, choices=DTYPES)
    parser.add_argument("--gpu", nargs="+", default=gpus.names(), choices=gpus.names())
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD")
    parser.add_argument("--join", nargs="+", type=Path, default=[], metavar="FILE")
    parser.add_argument("--again", action="store_true", help="also kernels that have not changed")
    parser.add_argument("--seconds", type=positive, default=10**9, help="begin no kernel later")
    options = with_json(parser)
    if options.join and not options.json:
        parser.error("--join needs --json: the file that they are put into")
    end = time.monotonic() + options.seconds
    file = options.json
    rows = json.loads(file.read_text())["rows"] if file and file.exists() else {}
    for part in options.join:
        for name, row in json.loads(part.read_text())["rows"].items():
            rows[name] = _joined(rows.get(name), row)
    if options.join:
        write_json(file, {"rows": dict(sorted(rows.items()))})
        return
    met = set()
    for dtype in options.dtype:
        for first in ("h200", "a100"):  # what only Hopper has, and what others launch instead
            for words, launch, bound in launches(gpus.gpu(first), dtype):
                name = str(launch.kernel)
                wanted = any(word in name for word in options.only)
                if name in met or not wanted or time.monotonic() > end:
                    continue
                met.add(name)
                compiled = code.of_kernel(launch.kernel, gpus.gpu(first).arch)
                row = {
                    "from": compiled.digest[:12], "dtype": dtype, "layer": words,
                    "grid": list(launch.grid), "block": list(launch.block), "gpus": {},
                }  # fmt: skip
                old = {} if options.again else _joined(rows.get(name), row)["gpus"]
                missing = [key for key in options.gpu if key not in old]
                if missing:
                    row["gpus"] = predicted(launch, bound, missing)
                    rows[name] = _joined({**row, "gpus": old}, row)
                    if file:
                        write_json(file, {"rows": dict(sorted(rows.items()))})
                    print(name, next(iter(row["gpus"].items())), flush=True)


if __name__ == "__main__":
    main()
