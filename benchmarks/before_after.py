"""What tensor cores bring: predicted time and bound, layer by layer, without them and with them.

    python benchmarks/before_after.py [--json FILE] [--resume FILE] [--gpu h200] [--batch 1 32 256]

The convolutions of ResNet-50 and VGG-16, forward, channels last. *Before* are the kernels that use
no tensor core, of which the one that `auto` would try first; *after* is what `auto` takes today, or
for TF32, which nobody gets unasked, `implicit_gemm_tf32` (before it: float32). The limit is
max(operations / peak, bytes / copy speed) of the datasheet's peak for the type: that of the tensor
cores for bfloat16 and TF32, that without for float32. Everything here is predicted by
`pycnn.predict`, nothing measured, and no GPU is needed. What was done is kept after every layer:
with `--resume` the rows that are in FILE stay.
"""

import argparse
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycnn.bench.calls import described
from pycnn.bench.environment import commit
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.suites import SUITES, Layer
from pycnn.define.explain import Predictor, predictor
from pycnn.plan.choice import Choice
from pycnn.predict import gpus
from pycnn.runtime.files import write_json
from pycnn.runtime.options import with_json
from pycnn.runtime.plan import Plan
from pycnn.runtime.target import Target, planned_for
from pycnn.runtime.terminal import progress

SUITES_SHOWN = ("resnet50", "vgg16")
BATCHES = (1, 32, 256)

#: What a column computes in: dtype, kind of the peak, and the algorithm where `auto` takes none.
MODES = {
    "bfloat16": ("bfloat16", "bfloat16", None),
    "tf32": ("float32", "tf32", "implicit_gemm_tf32"),
    "float32": ("float32", "float32", None),
}

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


def after(choice: Choice, algo: str | None) -> Plan | None:
    """What `auto` takes, or `algo` where it fits; where it does not, what `auto` takes."""
    fits = {candidate.name for candidate in choice.candidates() if candidate.fits}
    return choice.plan(algo if algo in fits and algo else "auto")


def row(suite: str, layer: Layer, mode: str, gpu: gpus.Gpu) -> dict[str, Any]:
    """A layer in one mode."""
    dtype, kind, algo = MODES[mode]
    op = OPERATIONS["conv2d"]
    definition, call = described(op, layer.case, "forward", dtype, "NHWC")
    predict = predictor(gpu.key, call)
    with planned_for(Target(gpu.arch, gpu.sms)):
        (choice,) = definition.choices(call)
        plans = {"before": before(choice), "after": after(choice, algo)}
        sides = {side: _side(plan, predict) for side, plan in plans.items() if plan}
    moved = op.traffic(layer.case, "forward", dtype)
    return {
        "suite": suite, "layer": layer.name, "count": layer.count, "batch": layer.case.batch,
        "shape": str(layer.case), "mode": mode,
        "limit_us": gpu.limit_us(op.flops(layer.case, "forward"), moved, kind), **sides,
    }  # fmt: skip


def _side(plan: Plan, predict: Predictor) -> dict[str, Any]:
    time, bound = predict(plan)
    return {"algo": plan.algo, "predicted_us": time, "bound": bound}


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
                    side: _geometric([r["limit_us"] / r[side]["predicted_us"] for r in of])
                    for side in ("before", "after")
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


def table(document: dict[str, Any]) -> str:
    """The means, and every layer, as they stand in the documentation."""
    rows = document["rows"]
    lines = [
        f"PREDICTED for {document['name']} at commit {document['commit'][:7]}, nothing of it "
        "measured. Share of the limit, geometric mean over the layers, and gain over *before*.",
        "",
        "| network | batch | mode | before | after | gain |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for m in means(rows):
        share = m["share_of_limit"]
        lines.append(
            f"| {m['suite']} | {m['batch']} | {m['mode']} | {share['before']:.2f} "
            f"| {share['after']:.2f} | {m['gain']:.1f} |"
        )
    lines += [
        "",
        "| layer | mode | limit us | before | us | bound by | after | us | bound by | share |",
        "|---|---|---:|---|---:|---|---|---:|---|---:|",
    ]
    order = {mode: i for i, mode in enumerate(MODES)}
    for r in sorted(rows, key=lambda r: (r["suite"], r["batch"], order[r["mode"]])):
        sides = [_cells(r.get(side)) for side in ("before", "after")]
        time = r.get("after", {}).get("predicted_us")
        share = f"{r['limit_us'] / time:.2f}" if time else ""
        lines.append(
            f"| {r['suite']} {r['shape']} | {r['mode']} | {r['limit_us']:.1f} | "
            f"{' | '.join(sides)} | {share} |"
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
    options = with_json(parser)
    gpu = gpus.gpu(options.gpu)
    rows: list[dict[str, Any]] = []
    if options.resume:
        rows = json.loads(options.resume.read_text())["rows"]
    document: dict[str, Any] = {}
    work = [
        (suite, layer, mode)
        for batch in options.batch
        for mode in options.mode
        for suite in options.suite
        for layer in SUITES[suite].layers("conv2d", batch)
    ]
    done = {key(r) for r in rows}
    with progress(len(work)) as (announce, advance):
        for suite, layer, mode in work:
            if (suite, str(layer.case), mode) not in done:
                announce(f"{suite} {layer.case} {mode}")
                rows.append(row(suite, layer, mode, gpu))
                document = {
                    "schema": 1, "gpu": gpu.key, "name": gpu.name, "commit": commit(),
                    "rows": rows, "means": means(rows),
                }  # fmt: skip
                if options.json:
                    write_json(options.json, document)
            advance()
    if document:
        print(table(document).partition("\n\n| layer")[0])


if __name__ == "__main__":
    main()
