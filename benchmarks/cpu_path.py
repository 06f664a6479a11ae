"""The CPU path beside PyTorch: forward convolution over the layers of ResNet-50.

    python3 -m benchmarks.cpu_path --batch 1 8 --json benchmarks/results/cpu/cpu_path.json

PyTorch gets its best setting: both memory layouts are timed (no transposition is), and the quicker
one counts. All use the same number of threads, the cores that are free or ``--threads``, and take
turns, a block of calls each, with a pause between in which the other's waiting threads go to sleep.
Every result is compared with the float64 oracle before it is timed. A block during which other
processes took more than a tenth of a core is done again while there is patience; how many had to
be kept is recorded. A layer's ratio is the median over the turns of PyTorch's median time over
ours; in the mean over the layers it counts as 1.5 at most, so that what PyTorch is slow at carries
nothing. On a machine that is never quiet, ``--processor`` gives each one thread and counts the
processor time of that thread.
"""

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from pycnn.bench.cases import ConvCase
from pycnn.bench.environment import environment
from pycnn.bench.suites import SUITES
from pycnn.reference.cpu import conv as cpu
from pycnn.reference.cpu._blas import limited
from pycnn.reference.cpu._threads import thread_count
from pycnn.reference.oracle import conv as oracle
from pycnn.runtime.files import write_json
from pycnn.runtime.options import with_json
from pycnn.testing.tolerance import compare

try:
    import torch
except ImportError as error:
    raise SystemExit(f"benchmarks.cpu_path compares with PyTorch: {error}") from error

#: Waiting threads of either library spin no longer than this.
PAUSE_S = 0.05
#: A block of calls lasts at least this long: processor times are counted in steps of 10 ms.
BLOCK_S = 0.15
#: PyTorch's memory layouts.
LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
#: Most that the ratio of a layer counts in the mean.
CAP = 1.5
#: The last one is read.
_clock = [time.perf_counter]
#: Cores that other processes may use during a block.
DISTURBANCE = 0.1


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=SUITES, default="resnet50")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], metavar="N")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument(
        "--patience", type=float, default=300, metavar="S", help="seconds to wait for quiet"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="default: the cores that are free")
    parser.add_argument(
        "--processor", action="store_true", help="one thread each, in processor time, no waiting"
    )
    options = with_json(parser, arguments)
    if options.processor:
        if options.threads not in (None, 1):
            parser.error("--processor counts the time of one thread; allowed: --threads 1")
        options.threads, options.patience = 1, 0
        _clock.append(time.thread_time)
    if options.threads:
        os.environ["PYCNN_CPU_THREADS"] = str(options.threads)

    threads = thread_count()
    torch.set_num_threads(threads)
    command = f"python3 -m benchmarks.cpu_path --suite {options.suite} --batch " + " ".join(
        map(str, options.batch)
    )
    command += " --processor" if options.processor else ""
    document: dict[str, Any] = {
        "environment": {
            **environment(f"{command} --repeats {options.repeats}"),
            "threads": threads,
            "blas": np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"],
        },
        "layouts": [*LAYOUTS],
        "clock": "processor time of one thread" if options.processor else "wall time",
        "capped_at": CAP,
        "geometric_mean": {},
        "results": [],
    }
    deadline = time.monotonic() + options.patience
    for batch in options.batch:
        records = []
        print(
            f"{'layer':34}{'method':>10}{'pycnn ms':>10}{'torch ms':>10}{'layout':>8}{'ratio':>7}"
        )
        for layer in with_progress(SUITES[options.suite].layers("conv2d", batch), batch):
            records.append(measure(layer.name, layer.case, options.repeats, deadline))
            print(
                "{shape:34}{method:>10}{pycnn_ms:10.3f}{torch_ms:10.3f}{layout:>8}{ratio:7.2f}".format(
                    **records[-1]
                )
            )
        logs = [math.log(min(record["ratio"], CAP)) for record in records]
        mean = math.exp(statistics.fmean(logs))
        kept = sum(record["disturbed_blocks"] for record in records)
        print(f"batch {batch}: {mean:.2f} of PyTorch's speed, geometric mean of the layers")
        if kept:
            blocks = (1 + len(LAYOUTS)) * options.repeats * len(records)
            print(f"({kept} of {blocks} blocks were disturbed)")
        document["geometric_mean"][str(batch)] = mean
        document["results"] += records
        if options.json:
            write_json(options.json, document)


def measure(name: str, case: ConvCase, repeats: int, deadline: float) -> dict[str, Any]:
    """Check the layer, then time it in turns."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(case.x_shape, np.float32)
    weight = rng.standard_normal(case.w_shape, np.float32)
    geometry = case.stride, case.padding, case.dilation, case.groups
    padding = case.padding[0][0], case.padding[1][0]

    def ours() -> np.ndarray:
        with limited(thread_count()):
            return cpu.conv2d(x, weight, None, *geometry)

    def theirs(layout: str) -> Callable[[], torch.Tensor]:
        operands = [
            torch.from_numpy(a).contiguous(memory_format=LAYOUTS[layout]) for a in (x, weight)
        ]
        settings = None, case.stride, padding, case.dilation, case.groups
        return lambda: torch.conv2d(*operands, *settings)

    expected = oracle.convolve(x, weight, None, *geometry)
    error, allowed = compare(ours(), expected, np.float32, weight[0].size)
    if not error <= allowed:
        raise SystemExit(f"{case}: error {error:.2e} exceeds {allowed:.2e}, not timed")
    calls = {"pycnn": ours, **{layout: theirs(layout) for layout in LAYOUTS}}
    turns = [
        {side: quiet_block(call, deadline) for side, call in calls.items()} for _ in range(repeats)
    ]
    ms = {side: 1e3 * statistics.median(turn[side].median for turn in turns) for side in calls}
    layout = min(LAYOUTS, key=lambda side: ms[side])
    ratios = [turn[layout].median / turn["pycnn"].median for turn in turns]
    return {
        "layer": name,
        "shape": str(case),
        "batch": case.n,
        "method": cpu.conv_method(case.x_shape, case.w_shape, *geometry),
        "layout": layout,
        "pycnn_ms": ms["pycnn"],
        "torch_ms": ms[layout],
        **{f"torch_{side}_ms": ms[side] for side in LAYOUTS},
        "pycnn_ms_min": 1e3 * min(turn["pycnn"].least for turn in turns),
        "torch_ms_min": 1e3 * min(turn[layout].least for turn in turns),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "gflops": 2e-6 * case.macs / ms["pycnn"],
        "turns": repeats,
        "disturbed_blocks": sum(
            block.others > DISTURBANCE for turn in turns for block in turn.values()
        ),
        "max_abs_error": error,
        "tolerance": allowed,
    }


class Block(NamedTuple):
    """Seconds of the calls of one turn, and cores that other processes used meanwhile."""

    median: float
    least: float
    others: float


def quiet_block(call: Callable[[], object], deadline: float) -> Block:
    """A block without disturbance, or the last one before the deadline."""
    while True:
        time.sleep(PAUSE_S)
        call()
        seconds: list[float] = []
        clock = _clock[-1]
        begin, others = time.perf_counter(), others_seconds()
        while len(seconds) < 3 or time.perf_counter() - begin < BLOCK_S:
            start = clock()
            call()
            seconds.append(clock() - start)
        others = (others_seconds() - others) / (time.perf_counter() - begin)
        if others <= DISTURBANCE or time.monotonic() > deadline:
            return Block(statistics.median(seconds), min(seconds), others)


def others_seconds() -> float:
    """Processor time of all other processes since the start, where Linux tells; else 0."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            ticks = [int(field) for field in stat.readline().split()[1:]]
    except OSError:
        return 0.0
    idle, waiting = ticks[3], ticks[4]
    everyone = (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")
    mine = os.times()
    return everyone - mine.user - mine.system


def with_progress(layers: Sequence[Any], batch: int) -> Iterator[Any]:
    """The layers, under a progress bar where rich is installed."""
    try:
        from rich.progress import track
    except ImportError:
        yield from layers
    else:
        yield from track(layers, description=f"batch {batch}", transient=True)


if __name__ == "__main__":
    main()
