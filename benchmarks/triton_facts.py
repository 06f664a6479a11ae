"""Triton's code for our own matrix product and convolution beside our kernels, for the same layers.

    python benchmarks/triton_facts.py --json FILE

Layers of ResNet-50 in bfloat16, batch 32, images with channels last, on an H200. `triton/*.ptx` is
what Triton makes of `triton/kernels.py`; `ptxas` makes machine code of it, and of ours NVRTC. Of
both: registers, shared memory, blocks of a multiprocessor, what the main loop consists of, bytes
asked of L2 and of memory in a sampled run, and the time that `pycnn.predict` has for them.
Predicted, nothing measured; no GPU and no Triton is needed. Of Triton's tiles the faster counts.
"""

import argparse
import json
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.bench.calls import described
from pycnn.bench.cases import ConvCase
from pycnn.bench.environment import commit
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.suites import SUITES
from pycnn.dtypes import numpy_dtype
from pycnn.predict import code, gpus, plans, sample
from pycnn.predict.profile import Profile, profile
from pycnn.runtime.files import write_json
from pycnn.runtime.options import with_json
from pycnn.runtime.plan import Launch
from pycnn.runtime.target import Target, planned_for
from pycnn.shapes import ceil_div

FOLDER = Path(__file__).with_name("triton")
BATCH, DTYPE = 32, "bfloat16"

#: Of ResNet-50: products and 3x3 convolutions of both ends.
LAYERS = ("conv4", "conv5", "conv3", "conv10", "conv11", "conv15", "conv16", "conv17")

#: Of machine code, by what they are for.
KINDS = {
    "tensor": ("HGMMA", "HMMA"),
    "copies": ("LDGSTS", "UTMALDG", "LDG"),
    "shared": ("LDSM", "LDS", "STS"),
    "waits": ("SYNCS", "BAR", "LDGDEPBAR", "DEPBAR", "WARPGROUP", "WARPSYNC"),
}


def facts(of: Profile) -> dict[str, Any]:
    """What there is to say of one launch."""
    p = of.prediction
    inner = [one for one in of.loops if any(name in one.mix for name in KINDS["tensor"])]
    loop = min(inner, key=lambda one: one.instructions, default=None)
    mix = loop.mix if loop else {}
    said = {kind: sum(mix.get(name, 0) for name in names) for kind, names in KINDS.items()}
    return {
        "kernel": p.entry, "grid": p.grid, "block": p.block, "registers": p.registers,
        "shared_bytes": p.shared, "blocks_per_sm": p.occupancy.blocks, "local_bytes": of.local,
        "loop": {"instructions": loop.instructions if loop else 0, **said, "mix": mix},
        "l2_bytes": p.bytes.l2_bytes, "dram_bytes": p.bytes.dram_bytes,
        "predicted_us": p.time_us, "bound": p.bound,
    }  # fmt: skip


def of_triton(name: str, about: dict[str, Any], case: ConvCase, gpu: gpus.Gpu) -> dict[str, Any]:
    """A kernel of Triton's on a layer."""
    text = (FOLDER / f"{name}.ptx").read_text()
    compiled = code.of_ptx(text, name, about["entry"], gpu.arch)
    pixels = case.n * case.p * case.q
    shapes = ((pixels, case.c), (case.k, case.r * case.s * case.c), (pixels, case.k))
    arrays = [sample.aligned(shape, numpy_dtype(DTYPE)) for shape in shapes]
    sizes: tuple[int, ...] = (pixels, case.k, case.c)
    if about["entry"] != "matmul":
        sizes = (case.n, case.h, case.w, case.c, case.k)
    scratch = (np.uint64(0), np.uint64(0))  # Triton's own, which these kernels do not use
    args = [*arrays, *map(np.int32, sizes), *scratch]
    rows, columns, _ = about["tile"]
    grid = (ceil_div(pixels, rows), ceil_div(case.k, columns), 1)
    named = dict(zip(("x", "w", "y"), arrays, strict=True))
    run = sample.run(compiled.ptx, compiled.entry, grid, (about["threads"], 1, 1), args, named,
                     shared=about["shared"], most=4)  # fmt: skip
    found = facts(profile(compiled, run, gpu, about["shared"], name))
    return {**found, "tile": about["tile"], "stages": about["stages"]}


def of_ours(case: ConvCase, gpu: gpus.Gpu) -> tuple[str, list[dict[str, Any]]]:
    """The algorithm that `auto` takes, and the facts of its launches."""
    definition, call = described(OPERATIONS["conv2d"], case, "forward", DTYPE, "NHWC")
    arrays = {n: sample.aligned(v.shape, numpy_dtype(v.dtype)) for n, v in call.views.items()}
    with planned_for(Target(gpu.arch, gpu.sms)):
        plan = definition.plan(call)
    found = []
    for launch, bound in plans.launches(plan, arrays):
        assert isinstance(launch, Launch)
        compiled = code.of_kernel(launch.kernel, gpu.arch)
        run = plans.sampled(compiled, launch, bound, 4)
        found.append(facts(profile(compiled, run, gpu, launch.shared, launch.kernel.file)))
    return plan.algo, found


def rows(gpu: gpus.Gpu) -> Iterator[dict[str, Any]]:
    """Every layer, by both."""
    launches = json.loads((FOLDER / "launches.json").read_text())
    by_name = {layer.name: layer.case for layer in SUITES["resnet50"].layers("conv2d", BATCH)}
    for layer in LAYERS:
        case = by_name[layer]
        entry = "matmul" if case.r == 1 else "conv3x3"
        theirs = [
            of_triton(name, about, case, gpu)
            for name, about in launches.items()
            if about["entry"] == entry
        ]
        algo, ours = of_ours(case, gpu)
        moved = 2 * (prod(case.x_shape) + prod(case.w_shape) + prod(case.y_shape))
        yield {
            "layer": layer, "shape": str(case), "necessary_bytes": moved,
            "limit_us": gpu.limit_us(2 * case.macs, moved, DTYPE),
            "triton": min(theirs, key=lambda one: one["predicted_us"]),
            "pycnn": {"algo": algo, "launches": ours,
                      "predicted_us": sum(one["predicted_us"] for one in ours)},
        }  # fmt: skip


def table(document: dict[str, Any]) -> str:
    """As it stands in the documentation."""
    lines = [
        f"PREDICTED for {document['name']} at commit {document['commit'][:7]}, nothing of it "
        f"measured; bfloat16, batch {BATCH}.",
        "",
        "| layer | limit us | of | us | bound by | tile | registers | shared kB | blocks an SM "
        "| loop | tensor | copies | L2 over least |",
        "|---|---:|---|---:|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in document["rows"]:
        main = max(row["pycnn"]["launches"], key=lambda one: one["predicted_us"])
        for who, one, time in (
            ("Triton", row["triton"], row["triton"]["predicted_us"]),
            (row["pycnn"]["algo"], main, row["pycnn"]["predicted_us"]),
        ):
            tile = "x".join(map(str, one["tile"])) if "tile" in one else ""
            loop = one["loop"]
            lines.append(
                f"| {row['shape']} | {row['limit_us']:.1f} | {who} | {time:.1f} | {one['bound']} "
                f"| {tile} | {one['registers']} | {one['shared_bytes'] / 1024:.0f} "
                f"| {one['blocks_per_sm']} | {loop['instructions']} | {loop['tensor']} "
                f"| {loop['copies']} | {one['l2_bytes'] / row['necessary_bytes']:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", default="h200", metavar="NAME", help="of sm_90a (default h200)")
    options = with_json(parser)
    gpu = gpus.gpu(options.gpu)
    if gpu.arch != "sm_90a":
        parser.error(f"--gpu {gpu.key} is of {gpu.arch}; allowed: sm_90a, as the PTX is")
    about = {"schema": 1, "gpu": gpu.key, "name": gpu.name, "commit": commit()}
    document: dict[str, Any] = {**about, "rows": []}
    for row in rows(gpu):
        document["rows"].append(row)
        if options.json:
            write_json(options.json, document)
    print(table(document))


if __name__ == "__main__":
    main()
