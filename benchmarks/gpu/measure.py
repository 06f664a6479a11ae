"""The measurements of stage ``bench``, in one process: what matters most comes first.

    python3 -m benchmarks.gpu.measure FOLDER SECONDS

Each bench is a command line of ``pycnn bench`` and leaves a file of its own. A file that is
complete is left as it is, one that is not goes on where it ended. An interrupt keeps what is there,
and so does a kernel after which CUDA refuses everything: status 3 asks for a process that goes on.
"""

import argparse
import contextlib
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.gpu.limited import INTERRUPTED
from benchmarks.gpu.session import now
from pycnn.bench import commands, options, record
from pycnn.bench.ceilings import Ceiling, measure_ceiling
from pycnn.bench.environment import environment
from pycnn.bench.peers import missing
from pycnn.bench.run import Benchmark, Budget, run
from pycnn.runtime.files import write_json

#: Algorithms without those that are slow on many images, where a check takes longest.
FAST = "--algo implicit_gemm,im2col,gemm_1x1,direct_tiled,winograd_f2,winograd_f4"

#: Name of a result and the command that gives it; peers are added where they are installed.
BENCHES = (
    ("resnet50", "resnet50 --batch 1"),
    ("resnet50_x32", f"resnet50 --batch 32 {FAST}"),
    ("resnet50_bf16", "resnet50 --batch 1 --dtype bfloat16"),
    ("resnet50_bf16_x32", f"resnet50 --batch 32 --dtype bfloat16 {FAST}"),
    ("resnet50_fp16_x32", f"resnet50 --batch 32 --dtype float16 {FAST}"),
    ("vgg16", "vgg16 --batch 1"),
    ("vgg16_bf16", "vgg16 --batch 1 --dtype bfloat16"),
    ("resnet50_backward_x32", "resnet50 --batch 32 --direction backward"),
    ("mobilenet", "mobilenet --batch 1,32 --direction all"),
    ("max_pool2d", "vgg16 --op max_pool2d --batch 32 --direction all"),
    ("relu", "resnet50 --op relu --batch 32 --direction all"),
    ("softmax", "resnet50 --op softmax --batch 1024 --direction all"),
    ("cross_entropy", "resnet50 --op cross_entropy --batch 1024 --direction all"),
    ("gemm", "vgg16 --op gemm --batch 128"),
    ("vgg16_x32", f"vgg16 --batch 32 {FAST}"),
    ("alexnet", "alexnet"),
    ("googlenet", "googlenet"),
    ("soumith", "soumith"),
    ("standard", "standard --op all --direction all --dtype float32,float16"),
)

#: A timing of a GPU takes little: its launches are short, and five samples of them suffice.
BUDGET = Budget(seconds=0.02, emulated_flops=0)

#: Exit status of a process that has lost the GPU: another one goes on.
LOST = 3

#: Seconds between two writes of a file.
WRITTEN_EVERY = 2.0

#: Ceilings by device and dtype; None where there was no measuring it.
Limits = dict[tuple[str, str], Ceiling | None]


class Lost(Exception):
    """The GPU is lost to this process, and what follows would fail for no fault of its own."""


def parse(line: str, backend: str, peers: Sequence[str]) -> argparse.Namespace:
    """The arguments of ``pycnn bench`` for one of `BENCHES`."""
    parser = argparse.ArgumentParser()
    commands.add_parsers(parser.add_subparsers())
    words = ["bench", *shlex.split(line), "--backend", backend]
    return parser.parse_args([*words, "--against", ",".join(peers) or "none"])


def measure(
    path: Path, arguments: argparse.Namespace, limits: Limits, end: float, budget: Budget = BUDGET
) -> bool:
    """Run one bench up to the time `end`; whether it is complete."""
    benchmarks = options.benchmarks(arguments)
    planned = sum(len(each.runners) for each in benchmarks)
    about: dict[str, Any] = environment(options.command_line(arguments))
    before = stored(path)
    written: list[dict[str, Any]] = before["results"]
    own = {(c["device"], c["dtype"]): Ceiling(**c) for c in before.get("ceilings", ())}
    saved = -WRITTEN_EVERY

    def keep(done: bool) -> None:
        unfinished = "" if done else f"{len(written)} of {planned} done"
        content = record.content(about, [c.as_json() for c in own.values()], written)
        write_json(
            path, {**content, "complete": done, "unfinished": unfinished, "planned": planned}
        )

    done = False
    try:
        for each in _left(benchmarks, written):
            own |= {key: limit for key in _limits_of(each) if (limit := _ceiling(limits, key))}
            for result, case in run([each], budget, own):
                written.append(result.as_json(case))
                if result.status == record.FAILED and _lost(result.backend):
                    raise Lost
                if time.monotonic() > end:
                    return False
                if time.monotonic() - saved > WRITTEN_EVERY:
                    keep(False)
                    saved = time.monotonic()
        done = True
    finally:
        keep(done)
    return done


def stored(path: Path) -> dict[str, Any]:
    """What a run of this session, perhaps stopped, wrote; nothing of one that has not begun."""
    return json.loads(path.read_text()) if path.exists() else {"results": [], "complete": False}


def _left(benchmarks: Sequence[Benchmark], written: Sequence[dict[str, Any]]) -> list[Benchmark]:
    """The benchmarks without the runners that there are results of."""
    known = {record.Record.from_json(each).key for each in written}
    left = []
    for each in benchmarks:
        problem = (
            each.suite, each.layer.name, each.op.name, each.direction, str(each.layer.case),
            each.dtype,
        )  # fmt: skip
        waiting = tuple(
            c for c in each.runners if (*problem, c.layout, c.backend, c.algorithm) not in known
        )
        if waiting:
            left.append(replace(each, runners=waiting))
    return left


def _lost(backend: str) -> bool:
    """Whether CUDA refuses everything in this process, as after an access out of bounds."""
    if not backend.startswith("cud"):
        return False
    import cupy

    try:
        cupy.cuda.runtime.deviceSynchronize()
    except cupy.cuda.runtime.CUDARuntimeError:
        return True
    return False


def _limits_of(each: Benchmark) -> list[tuple[str, str]]:
    """The ceilings that a benchmark is held against."""
    return [(c.device, getattr(c, "precision", "") or each.dtype) for c in each.runners if c.device]


def _ceiling(limits: Limits, key: tuple[str, str]) -> Ceiling | None:
    """Measured once, for all benches; one that fails costs the others nothing."""
    if key not in limits:
        limits[key] = None
        try:
            limits[key] = measure_ceiling(*key, budget=0.1)
        except Exception as error:
            print(f"no ceiling of {', '.join(key)}: {error}", flush=True)
    return limits[key]


def main(argv: Sequence[str] | None = None) -> int:
    """Run every bench that is not complete; 0 if all are, 130 if time ran out."""
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.gpu.measure", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--backend", default="cuda", help="another one, to try this without a GPU")
    arguments = parser.parse_args(argv)
    end = time.monotonic() + arguments.seconds
    peers = [] if arguments.backend != "cuda" or missing("cudnn") else ["cudnn"]
    limits: Limits = {}
    complete = True
    with contextlib.suppress(KeyboardInterrupt):
        for name, line in BENCHES:
            path = arguments.folder / f"{name}.json"
            if stored(path)["complete"]:
                continue
            if time.monotonic() > end:
                complete = False
                break
            began = time.monotonic()
            try:
                done = measure(path, parse(line, arguments.backend, peers), limits, end)
            except ValueError as error:  # it cannot be run here
                print(f"{now()} {name}: not possible: {error}", flush=True)
                write_json(path, {"results": [], "complete": True, "unfinished": str(error)})
                continue
            except Lost:
                print(f"{now()} {name}: the GPU is lost to this process", flush=True)
                return LOST
            complete &= done
            state = "complete" if done else "stopped"
            print(f"{now()} {name}: {state} after {time.monotonic() - began:.0f} s", flush=True)
        return 0 if complete else INTERRUPTED
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
