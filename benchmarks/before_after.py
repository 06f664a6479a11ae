"""What tensor cores bring: predicted time and bound, layer by layer, without them and with them.

    python benchmarks/before_after.py [--json FILE] [--resume FILE] [--gpu h200] [--batch 1 32 256]

The convolutions of ResNet-50 and VGG-16, forward, channels last. *Before* are the kernels that use
no tensor core, of which the one that `auto` would try first; *after* is what `auto` takes today, or
for TF32, which nobody gets unasked, `implicit_gemm_wgmma_tf32` (before it: float32). The limit is
max(operations / peak, bytes / copy speed) of the datasheet's peak for the type: that of the tensor
cores for bfloat16 and TF32, that without for float32. Everything here is predicted by
`pycnn.predict`, nothing measured, and no GPU is needed. What was done is kept after every layer:
with `--resume` the rows that are in FILE stay, and with `--again` only their *before*.

Of each side there are three times: of a call; of one that finds the weight repacked, as in a
network of `pycnn.nn.compile`; and of that the *bound*, which is arithmetic alone: what the busiest
unit of the busiest multiprocessor takes, or L2, or the memory, if all else were hidden behind it.
"""

import argparse
import json
import math
import re
from collections.abc import Sequence
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.bench.calls import described
from pycnn.bench.environment import commit
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.suites import SUITES, Layer
from pycnn.dtypes import numpy_dtype
from pycnn.emulator import KernelTimeoutError
from pycnn.plan.choice import Choice
from pycnn.plan.estimate import blocks_of, way_of
from pycnn.predict import gpus, plans, sample
from pycnn.predict.model import FRONT, MEMORY, Prediction
from pycnn.runtime.errors import CompileError
from pycnn.runtime.files import write_json
from pycnn.runtime.options import with_json
from pycnn.runtime.plan import Launch, Plan
from pycnn.runtime.replay import prepared
from pycnn.runtime.target import Target, planned_for
from pycnn.runtime.terminal import progress

SUITES_SHOWN = ("resnet50", "vgg16")
BATCHES = (1, 32, 256)

#: What a column computes in: dtype, kind of the peak, and the algorithms where `auto` takes none,
#: the first that fits.
MODES = {
    "bfloat16": ("bfloat16", "bfloat16", ()),
    "tf32": ("float32", "tf32", ("implicit_gemm_wgmma_tf32", "implicit_gemm_tf32")),
    "float32": ("float32", "float32", ()),
}

#: Blocks of a launch that a prediction is made from.
BLOCKS_RUN = 4

#: What is shown of a network: which side, and which of its times.
SHARES = {
    "before": ("before", "predicted_us"), "after": ("after", "predicted_us"),
    "kept": ("after", "kept_us"), "bound": ("after", "bound_us"),
}  # fmt: skip

#: In the name of a kernel's file that uses tensor cores.
TENSOR = re.compile(r"tensor_core|tf32|mma")


def on_tensor_cores(plan: Plan) -> bool:
    """Whether any launch of a plan uses them."""
    return any(TENSOR.search(str(getattr(step, "kernel", ""))) for step in plan.launches)


def before(choice: Choice) -> Plan | None:
    """The first plan in the order of `auto` that uses no tensor core."""
    for candidate in choice.candidates():
        if candidate.fits and not candidate.by_name:
            plan = choice.plan(candidate.name)
            if not on_tensor_cores(plan):
                return plan
    return None


def after(choice: Choice, algos: Sequence[str]) -> Plan | None:
    """The first of `algos` that fits; where none does, what `auto` takes."""
    fits = {candidate.name for candidate in choice.candidates() if candidate.fits}
    return choice.plan(next((algo for algo in algos if algo in fits), "auto"))


def row(
    suite: str, layer: Layer, mode: str, gpu: gpus.Gpu, known: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A layer in one mode; *before* from a row that is known."""
    dtype, kind, algos = MODES[mode]
    op = OPERATIONS["conv2d"]
    definition, call = described(op, layer.case, "forward", dtype, "NHWC")
    arrays = {
        name: sample.aligned(view.shape, numpy_dtype(view.dtype))
        for name, view in call.views.items()
    }
    with planned_for(Target(gpu.arch, gpu.sms)):
        (choice,) = definition.choices(call)
        chosen = {"after": after(choice, algos)}
        if known is None:
            chosen["before"] = before(choice)
        sides = {side: _side(plan, arrays, gpu) for side, plan in chosen.items() if plan}
    if known is not None and "before" in known:
        sides["before"] = known["before"]
    moved = op.traffic(layer.case, "forward", dtype)
    return {
        "suite": suite, "layer": layer.name, "count": layer.count, "batch": layer.case.batch,
        "shape": str(layer.case), "mode": mode,
        "limit_us": gpu.limit_us(op.flops(layer.case, "forward"), moved, kind), **sides,
    }  # fmt: skip


def _side(plan: Plan, arrays: dict[str, np.ndarray], gpu: gpus.Gpu) -> dict[str, Any]:
    try:
        found = plans.of_plans([plan], arrays, gpu, BLOCKS_RUN)
    except (CompileError, KernelTimeoutError, ValueError) as error:
        why = str(error).partition("\n")[0].partition(";")[0]
        return {"algo": plan.algo, "predicted_us": None, "bound": why}
    if found.skipped:
        return {"algo": plan.algo, "predicted_us": None, "bound": found.skipped[0]}
    first, _ = prepared(plan, ("weight",))
    rest = list(zip(plan.launches, found.launches, strict=True))[first:]
    return {
        "algo": plan.algo, "predicted_us": found.time_us, "bound": found.bound,
        "kept_us": sum(p.time_us + p.launch_us for _, p in rest),
        "bound_us": sum(bound_us(step, p, gpu) for step, p in rest if isinstance(step, Launch)),
    }  # fmt: skip


def bound_us(launch: Launch, found: Prediction, gpu: gpus.Gpu) -> float:
    """What the busiest unit of the busiest multiprocessor takes, or L2, or the memory."""
    blocks, at_once = prod(launch.grid), found.occupancy.blocks * gpu.sms
    waves, rest = divmod(blocks, at_once)
    busiest = waves * found.occupancy.blocks + ceil(rest / gpu.sms)
    uneven = busiest / (blocks / gpu.sms) * _uneven(launch)
    inside = max(found.busy[unit] for unit in (*FRONT, *MEMORY))
    return max(inside * uneven, found.busy["L2"], found.busy["memory"])


def _uneven(launch: Launch) -> float:
    """Of the kernels whose blocks have a tile after the other: most tiles of one over the mean."""
    way = way_of(launch)
    if way is None:
        return 1.0
    clusters, all_of_them = (n // way.blocks for n in (launch.grid[0], blocks_of(launch)))
    return ceil(all_of_them / clusters) * clusters / all_of_them


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What names a row."""
    return row["suite"], row["shape"], row["mode"]


def means(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each network, batch and mode that is there in full: geometric means over the layers."""
    found = []
    for suite in SUITES_SHOWN:
        for batch in BATCHES:
            wanted = {str(layer.case) for layer in SUITES[suite].layers("conv2d", batch)}
            for mode in MODES:
                of = [
                    r for r in rows
                    if (r["suite"], r["batch"], r["mode"]) == (suite, batch, mode)
                ]  # fmt: skip
                if {r["shape"] for r in of} != wanted or not all(_whole(r) for r in of):
                    continue
                shares = {
                    name: _geometric([r["limit_us"] / r[side][time] for r in of])
                    for name, (side, time) in SHARES.items()
                    if all(time in r[side] for r in of)
                }
                found.append({
                    "suite": suite, "batch": batch, "mode": mode,
                    "share_of_limit": shares, "gain": shares["after"] / shares["before"],
                })  # fmt: skip
    return found


def _whole(row: dict[str, Any]) -> bool:
    return all(row.get(side, {}).get("predicted_us") for side in ("before", "after"))


def _geometric(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def summary(document: dict[str, Any]) -> str:
    """The means, as they stand in the documentation."""
    lines = [
        f"PREDICTED for {document['name']} at commit {document['commit'][:7]}, nothing of it "
        "measured. Share of the limit, geometric mean over the layers: of a call, of one that "
        "finds the weight repacked, of the bound; and gain of a call over *before*. Empty: not "
        "computed.",
        "",
        "| network | batch | mode | before | after | weight kept | bound | gain |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    for m in means(document["rows"]):
        share = m["share_of_limit"]
        shown = " | ".join(f"{share[name]:.2f}" if name in share else "" for name in SHARES)
        lines.append(f"| {m['suite']} | {m['batch']} | {m['mode']} | {shown} | {m['gain']:.1f} |")
    return "\n".join(lines)


def table(document: dict[str, Any]) -> str:
    """The means, and every layer."""
    lines = [
        summary(document),
        "",
        "| layer | mode | limit us | before | us | bound by | after | us | bound by | kept us "
        "| bound us | share of bound |",
        "|---|---|---:|---|---:|---|---|---:|---|---:|---:|---:|",
    ]
    order = {mode: i for i, mode in enumerate(MODES)}
    for r in sorted(document["rows"], key=lambda r: (r["suite"], r["batch"], order[r["mode"]])):
        sides = [_cells(r.get(side)) for side in ("before", "after")]
        own = r.get("after", {})
        kept, bound = own.get("kept_us"), own.get("bound_us")
        last = f"{kept:.1f} | {bound:.1f} | {r['limit_us'] / bound:.2f}" if kept else " | | "
        lines.append(
            f"| {r['suite']} {r['shape']} | {r['mode']} | {r['limit_us']:.1f} | "
            f"{' | '.join(sides)} | {last} |"
        )
    return "\n".join(lines)


def _cells(side: dict[str, Any] | None) -> str:
    if not side or not side["predicted_us"]:
        return f"{side['algo'] if side else 'none'} | | {side['bound'] if side else ''}"
    return f"{side['algo']} | {side['predicted_us']:.1f} | {side['bound']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", default="h200", metavar="NAME")
    parser.add_argument("--batch", type=int, nargs="+", default=[*BATCHES], metavar="N")
    parser.add_argument("--suite", nargs="+", default=[*SUITES_SHOWN], choices=SUITES_SHOWN)
    parser.add_argument("--mode", nargs="+", default=[*MODES], choices=MODES)
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keep the rows of a FILE")
    parser.add_argument("--again", action="store_true", help="but predict *after* anew")
    options = with_json(parser)
    gpu = gpus.gpu(options.gpu)
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    if options.resume:
        rows = {key(r): r for r in json.loads(options.resume.read_text())["rows"]}
    document: dict[str, Any] = {}
    work = [
        (suite, layer, mode)
        for batch in options.batch
        for mode in options.mode
        for suite in options.suite
        for layer in SUITES[suite].layers("conv2d", batch)
    ]
    with progress(len(work)) as (announce, advance):
        for suite, layer, mode in work:
            name = (suite, str(layer.case), mode)
            if name not in rows or options.again:
                announce(f"{suite} {layer.case} {mode}")
                rows[name] = row(suite, layer, mode, gpu, rows.get(name))
                every = list(rows.values())
                document = {
                    "schema": 1, "gpu": gpu.key, "name": gpu.name, "commit": commit(),
                    "rows": every, "means": means(every),
                }  # fmt: skip
                if options.json:
                    write_json(options.json, document)
            advance()
    if document:
        print(summary(document))


if __name__ == "__main__":
    main()
