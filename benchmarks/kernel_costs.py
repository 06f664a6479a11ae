"""What `auto` reckons with: the cost of every kernel of convolution, by architecture.

    python benchmarks/kernel_costs.py [--arch sm_90a ...] [--only WORD] [--all] [--jobs 2]
        --json pycnn/plan/kernel_costs.json --force

The file is that of `pycnn.plan.estimate`. Of every kernel, with its macros, that an algorithm
launches for ResNet-50 or MobileNet (VGG-16, GoogLeNet and LeNet-5: for what those do not launch),
two launches are run by a few blocks in the emulator, a shallow and a deep one. What a warp of each
keeps busy is `pycnn.predict.model.load`; a line through both is kept. It is compiled once for each
architecture and run once, where PTX is the same. Nothing is fitted, and no GPU is needed. Where
machine code and both launches are as they were, the cost is kept without ``--all``, which is for
changes of the model.
"""

import argparse
import contextlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from pycnn.bench import networks
from pycnn.bench.calls import described
from pycnn.bench.operations import OPERATIONS
from pycnn.dtypes import numpy_dtype
from pycnn.emulator import KernelError
from pycnn.plan import conv_implicit
from pycnn.plan.conv import ALGORITHMS
from pycnn.plan.conv_order import CONTENDS
from pycnn.plan.conv_problem import Unsupported
from pycnn.plan.estimate import Cost, blocks_of, depth_of
from pycnn.plan.gemm import Flag
from pycnn.predict import code, gpus, plans, sample
from pycnn.predict.counts import of_blocks
from pycnn.predict.gpus import PARTITIONS, Gpu
from pycnn.predict.model import FRONT, MEMORY, load
from pycnn.predict.pipes import mma_kind, multiply_adds
from pycnn.runtime import cache
from pycnn.runtime.errors import CompileError
from pycnn.runtime.files import write_json
from pycnn.runtime.options import positive, with_json
from pycnn.runtime.plan import Kernel, Launch, Plan
from pycnn.runtime.target import Target, planned_for

#: Those whose launches costs are made from, and those that only fill up.
NETWORKS, OTHERS = ("resnet50", "mobilenet"), ("vgg16", "googlenet", "lenet5_1998")
KINDS = (("float32", "NCHW"), ("float32", "NHWC"), ("bfloat16", "NHWC"))
DIRECTIONS, BATCHES = ("forward",), (1, 32)

#: Terms of a sum below which a kernel seldom is the choice, and from which on a sample costs more
#: than it tells.
SHALLOW, DEEP = 64, 2400


class Found(NamedTuple):
    """A launch that occurs, and how it comes about."""

    launch: Launch
    plan: Plan
    call: Any
    dtype: str
    contends: bool

    @property
    def depth(self) -> float:
        return depth_of(self.launch)

    @property
    def tiles(self) -> float:
        """That a block has one after the other."""
        return blocks_of(self.launch) / float(np.prod(self.launch.grid))

    @property
    def images(self) -> int:
        return int(self.call.views["x"].shape[0])

    @property
    def form(self) -> tuple[bool, ...]:
        """Which arguments there are, and what is aligned: kernels end and copy otherwise."""
        flags = [int(p["flags"]) for p in self.launch.args
                 if isinstance(p, np.void) and "flags" in (p.dtype.names or ())]  # fmt: skip
        aligned = (bool(f & flag) for f in flags for flag in (Flag.A_VECTOR, Flag.B_VECTOR))
        return (*(argument is None for argument in self.launch.args), *aligned)


#: A shallow and a deep launch of a kernel, and a row of the file.
Pair, Row = tuple[Found, Found], dict[str, Any]


def launches(gpu: Gpu, names: tuple[str, ...], batch: int) -> Iterator[Found]:
    """Of every algorithm for every layer of some networks."""
    op = OPERATIONS["conv2d"]
    for dtype, layout in KINDS:
        for name in names:
            for layer in networks.layers(name, "conv2d", batch):
                for direction in DIRECTIONS:
                    definition, call = described(op, layer.case, direction, dtype, layout)
                    with planned_for(Target(gpu.arch, gpu.sms)):
                        (choice,) = definition.choices(call)
                        for plan, contends in _plans(choice, direction):
                            for step in plan.launches:
                                if isinstance(step, Launch):
                                    yield Found(step, plan, call, dtype, contends)


def _plans(choice: Any, direction: str) -> Iterator[tuple[Plan, bool]]:
    """Sums are cut by rule: by the times that are sought, each run would ask for others."""
    by_rule = mock.patch.object(conv_implicit, "by_time", return_value=None)
    for algorithm in ALGORITHMS.values():
        if direction in algorithm.planners and not algorithm.by_name:
            contends = algorithm.score(choice.problem, direction)[0] >= CONTENDS
            with contextlib.suppress(Unsupported):
                with by_rule:
                    plan = algorithm.plan(choice.problem, direction, choice.limit)
                yield plan, contends


def kernels(gpu: Gpu) -> dict[Kernel, Pair]:
    """A shallow and a deep launch of every kernel."""
    found: dict[Kernel, list[Found]] = {}
    for names in (NETWORKS, OTHERS):
        new: dict[Kernel, list[Found]] = {}
        for batch in BATCHES:
            for one in launches(gpu, names, batch):
                if one.launch.kernel not in found:
                    new.setdefault(one.launch.kernel, []).append(one)
        found |= {k: several for k, several in new.items() if any(f.contends for f in several)}
    return {kernel: _pair(several) for kernel, several in found.items()}


def _pair(several: list[Found]) -> Pair:
    """Of the form with most depths the shallowest and the deepest within the bounds.

    Where only one lies within, the shallowest of all: one depth says nothing of another.

    Where all that contend have one depth, those that do not show how costs grow with it.
    Of each depth it is the launch with fewest tiles a block, then of fewest images, where waiting
    counts most, then with most blocks.
    """
    near = [one for one in several if one.contends]
    alone = len({one.depth for one in near}) == 1
    several = [one for one in several if one.form == near[0].form] if alone else near
    forms: dict[tuple[bool, ...], dict[float, Found]] = {}
    for one in sorted(several, key=lambda f: (f.tiles, f.images, -blocks_of(f.launch))):
        forms.setdefault(one.form, {}).setdefault(one.depth, one)
    by_depth = max(forms.values(), key=len)
    depths = sorted(by_depth)
    shallow = min((d for d in depths if SHALLOW <= d <= DEEP), default=depths[0])
    deep = max(d for d in depths if d <= max(DEEP, shallow))
    shallow = near[0].depth if alone else depths[0] if shallow == deep else shallow
    return by_depth[shallow], by_depth[deep]


def sampled(found: Found, compiled: code.Code, runs: plans.Runs) -> sample.Run:
    """Run a few blocks of a launch."""
    arrays = {
        name: sample.aligned(view.shape, numpy_dtype(view.dtype))
        for name, view in found.call.views.items()
    }
    for launch, bound in plans.launches(found.plan, arrays):
        if launch is found.launch:
            return plans.sampled(compiled, launch, bound, 4, runs)
    raise ValueError(f"{found.launch.kernel}: not in its plan")


def point(found: Found, run: sample.Run, compiled: code.Code, gpu: Gpu) -> dict[str, Any]:
    """What a warp keeps busy, for one tile."""
    work = load(compiled, run, gpu, found.launch.shared)
    blocks, tiles = float(np.prod(run.grid)), found.tiles
    executed = of_blocks(compiled.listing, run.code.block_of_line, run.warp_counts())
    products, kind = 0.0, ""
    for block, times in zip(compiled.listing.blocks(), executed, strict=True):
        for i in compiled.listing.instructions[block.begin : block.end]:
            of = mma_kind(i)
            if of is not None and times:
                share = 1.0 if i.base.endswith("GMMA") else gpu.mma_sync_share
                products, kind = products + times * multiply_adds(i) / share, of
    return {
        "front": PARTITIONS * max(work.of_warp[n] for n in FRONT if n != "tensor") / tiles,
        "memory": max(work.of_warp[name] for name in MEMORY) / tiles,
        "alone": work.alone / tiles,
        "products": products / blocks / run.warps / tiles,
        "kind": kind,
        "l2": work.bytes.l2_bytes / blocks / tiles,
    }


def line(low: float, high: float, at: tuple[float, float]) -> list[float]:
    """Fixed part and slope through two points; of one depth alone all grows in proportion."""
    if at[0] == at[1]:
        return [0.0, float(f"{high / at[1]:.5g}")] if at[1] else [float(f"{high:.5g}"), 0.0]
    slope = (high - low) / (at[1] - at[0])
    return [float(f"{low - slope * at[0]:.5g}"), float(f"{slope:.5g}")]


def cost(pair: Pair, compiled: code.Code, gpu: Gpu, runs: plans.Runs) -> Row:
    """A row of the file."""
    points = [point(found, sampled(found, compiled, runs), compiled, gpu) for found in pair]
    at = (pair[0].depth, pair[1].depth)
    lines = {
        name: line(points[0][name], points[1][name], at)
        for name in ("front", "memory", "alone", "products", "l2")
    }
    used = compiled.resources
    found = Cost(used.registers, used.shared, kind=points[1]["kind"], **lines)
    row = {name: value for name, value in found._asdict().items() if name != "depths"}
    return {"from": digest(pair, compiled), "depths": at, "cost": row}


def digest(pair: Pair, compiled: code.Code) -> str:
    """Of the machine code and the launches: what no comment changes."""
    return cache.key("cost", compiled.digest, *(repr(plans.alike(f.launch)) for f in pair))[:12]


def rows_of(pairs: Mapping[str, Pair], old: Mapping[str, Row]) -> dict[str, tuple[str, Row | None]]:
    """Of each architecture what became of a kernel's row, and the row."""
    rows: dict[str, tuple[str, Row | None]] = {}
    runs: plans.Runs = {}
    for arch, pair in pairs.items():
        try:
            compiled = code.of_kernel(pair[0].launch.kernel, arch)
            if arch in old and old[arch]["from"] == digest(pair, compiled):
                rows[arch] = "kept", old[arch]
            else:
                rows[arch] = "run", cost(pair, compiled, of_arch(arch), runs)
        except (CompileError, KernelError, ValueError) as error:
            rows[arch] = str(error).partition("\n")[0], None
    return rows


def of_arch(arch: str) -> Gpu:
    """The first of the data file."""
    return next(g for g in map(gpus.gpu, gpus.names()) if g.arch == arch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    archs = list(dict.fromkeys(gpus.gpu(name).arch for name in gpus.names()))
    parser.add_argument(
        "--arch", nargs="+", choices=archs, help="by default those in the file, without one all"
    )
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--all", action="store_true", help="also those that have not changed")
    parser.add_argument("--jobs", type=positive, default=1)
    options = with_json(parser)
    file = options.json
    costs: dict[str, dict[str, Row]] = {}
    if file and file.exists():
        costs = json.loads(file.read_text())["costs"]
    wanted: dict[str, dict[str, Pair]] = {}
    for arch in options.arch or list(costs) or archs:
        pairs = {str(kernel): pair for kernel, pair in kernels(of_arch(arch)).items()}
        costs[arch] = {name: row for name, row in costs.get(arch, {}).items() if name in pairs}
        for name, pair in pairs.items():
            if options.only in name:
                wanted.setdefault(name, {})[arch] = pair
    with ProcessPoolExecutor(options.jobs) as pool:
        running = {}
        for name, of in wanted.items():
            old = {a: costs[a][name] for a in of if name in costs[a] and not options.all}
            running[pool.submit(rows_of, of, old)] = name
        for done in as_completed(running):  # the file is written after every kernel
            for arch, (how, row) in done.result().items():
                print(f"{arch} {running[done]}: {how}", flush=True)
                if row:
                    costs[arch][running[done]] = row
            if file:
                write_json(file, {"costs": {a: dict(sorted(r.items())) for a, r in costs.items()}})


if __name__ == "__main__":
    main()
