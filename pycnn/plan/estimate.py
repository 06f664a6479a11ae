"""How long a plan would take on the GPU it is planned for, by arithmetic.

`kernel_costs.json` has, of each kernel and architecture, what one warp keeps busy and how that
grows with the depth of its work (terms of a sum, taps, rows): the model of docs/model.md at two
depths, by benchmarks/kernel_costs.py, nothing fitted. Here blocks, depth and bytes of a launch are
put in, and the GPU's figures from `pycnn.predict.gpus`. Nothing is run.
"""

import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pycnn.plan._wgmma import Way
from pycnn.predict import gpus
from pycnn.predict.gpus import Gpu
from pycnn.predict.queue import Warp, in_waves
from pycnn.runtime.occupancy import occupancy
from pycnn.runtime.plan import SCALAR, Kernel, Launch, Plan
from pycnn.runtime.target import Target, target
from pycnn.shapes import ceil_div

FILE = Path(__file__).with_name("kernel_costs.json")

#: Of the queues: finer than predictions are true.
ACCURACY = 0.01

#: Multiply-adds below which a convolution takes hardly longer than its launch.
LITTLE = 100_000

#: What each bound of an estimate means.
WHY = {
    "multipliers": "schedulers, multipliers and registers have no clock to spare",
    "L1": "L1 and shared memory deliver no faster",
    "L2": "L2 delivers no faster",
    "memory": "the bytes at the speed of a copy",
    "latency": "no unit is busy, for blocks or warps are too few to cover waits",
    "launch": "what lies between launches takes longer than they do",
}


class Estimate(NamedTuple):
    """Predicted, not measured.

    Attributes
    ----------
    time_us : float
        Of all launches and what lies between them.
    bound : str
        What bounds the longest launch, a key of `WHY`; ``launch`` where what lies between takes
        longer than all.
    """

    time_us: float
    bound: str


class Cost(NamedTuple):
    """What a warp of a kernel keeps busy, each as (fixed, for each of its depth).

    Attributes
    ----------
    registers, shared : int
        Of a thread, and static bytes of a block.
    front, memory, alone : (float, float)
        Clocks, as in `Warp`; without tensor cores.
    products : (float, float)
        Multiply-adds on tensor cores.
    kind : str
        Of their operands; empty if there are none.
    l2 : (float, float)
        Bytes that are asked of L2.
    depths : (float, float)
        Of the two runs. Below, a cost is at least in proportion; of one alone it is the same.
    """

    registers: int
    shared: int
    front: Sequence[float]
    memory: Sequence[float]
    alone: Sequence[float]
    products: Sequence[float]
    kind: str
    l2: Sequence[float]
    depths: Sequence[float] = (0.0, 0.0)


def estimate(plan: Plan, arrays: Mapping[str, int]) -> Estimate | None:
    """Time of a plan on the GPU at hand; None where a kernel's cost is not known.

    Parameters
    ----------
    plan : Plan
    arrays : mapping of str to int
        Bytes of each array that the plan is given.
    """
    gpu = at_hand(target())
    sizes = {**arrays, **{name: spec.nbytes for name, spec in plan.allocated.items()}}
    launches = [step for step in plan.launches if isinstance(step, Launch)]
    if not launches or len(launches) < len(plan.launches):
        return None
    # Of chunks of images each has its part of what the plan is given.
    parts: Counter[Kernel] = Counter()
    for launch in launches:
        parts[launch.kernel] += launch.times
    known: dict[tuple[object, ...], tuple[float, str]] = {}
    found = []
    for launch in launches:
        alike = (launch.kernel, launch.grid, launch.shared)
        if alike not in known:
            cost = cost_of(launch.kernel, gpu.arch)
            if cost is None:
                return None
            bytes_ = sum(
                sizes.get(name, 0) / (parts[launch.kernel] if name in arrays else 1)
                for name in launch.names
            )
            known[alike] = of_launch(launch, cost, bytes_, gpu)
        found.append(known[alike])
    times = sum(launch.times * time for launch, (time, _) in zip(launches, found, strict=True))
    between = gpu.launch_us * sum(parts.values())
    return Estimate(times + between, "launch" if between > times else max(found)[1])


def of_launch(launch: Launch, cost: Cost, bytes_: float, gpu: Gpu) -> tuple[float, str]:
    """Microseconds of a launch that touches so many bytes, without what lies between, and bound."""
    threads, blocks, depth = prod(launch.block), blocks_of(launch), depth_of(launch)
    return of_blocks(cost, threads, blocks, depth, bytes_, gpu, launch.shared)


def of_blocks(
    cost: Cost, threads: int, blocks: int, depth: int, bytes_: float, gpu: Gpu, shared: int = 0
) -> tuple[float, str]:
    """The same of so many blocks, of so many threads and bytes of dynamic shared memory each."""
    warps = ceil_div(threads, 32)
    known = max(depth, cost.depths[0])
    share = 1.0 if cost.depths[0] == cost.depths[1] else depth / known
    at_once = occupancy(gpu.arch, threads, cost.registers, cost.shared + shared).blocks
    front, memory, alone, products, l2 = (
        max(0.0, fixed + each * depth, (fixed + each * known) * share)
        for fixed, each in (cost.front, cost.memory, cost.alone, cost.products, cost.l2)
    )
    if products:
        front = max(front, products / gpu.products_a_clock(cost.kind))
    alone += gpu.block_clocks
    number = blocks / gpu.sms
    far = (l2 * blocks / gpu.l2_gbps / 1e3, bytes_ / gpu.dram_achieved_gbps / 1e3)
    us = 1e-3 / gpu.clock_ghz
    near = number * warps * front / gpus.PARTITIONS, number * warps * memory
    if near[0] > near[1] and near[0] * us > max(far):
        us = 1e-3 / gpu.sustained_ghz
    each = us * max(1.0, number) * warps
    warp = Warp(front, memory, far[0] / each, far[1] / each, alone, gpu.channels_each(blocks))
    time = max(in_waves(blocks, max(1, at_once), gpu.sms, warps, warp, ACCURACY) * us, *far)
    busy = {"multipliers": near[0] * us, "L1": near[1] * us, "L2": far[0], "memory": far[1]}
    bound = max(busy, key=busy.__getitem__)
    return time, bound if busy[bound] > 0.7 * time else "latency"


def blocks_of(launch: Launch) -> int:
    """Blocks, or tiles where a block has one after the other."""
    if (few := _few_channels(launch)) is not None:
        return int(few["tiles"]) * launch.grid[1]
    way, p = way_of(launch), _struct(launch, "tile_m")
    if way is None or p is None:
        return prod(launch.grid)
    return way.tiles(*(int(p[name]) for name in ("m", "n", "batches")))


def way_of(launch: Launch) -> Way | None:
    """Of kernels whose blocks have a tile after the other; parts of sums are batches to them."""
    macros, p = dict(launch.kernel.defines), _struct(launch, "tile_m")
    if "CLUSTER" not in macros or p is None:
        return None
    cluster, across, along = (int(macros.get(n, 1)) for n in ("CLUSTER", "ACROSS", "ALONG"))
    return Way((int(p["tile_m"]), int(p["tile_n"])), 1, cluster, across, along=along)


def depth_of(launch: Launch) -> int:
    """What the work of a block grows with: terms of its sums, mostly."""
    if (p := _struct(launch, "k_per_split")) is not None:
        if launch.kernel.entry.endswith("_finish"):
            return int(p["splits"])
        return min(int(p["k_per_split"]), int(p["k"]["count"]))
    if (p := _struct(launch, "tiles_n")) is not None:
        part = _struct(launch, "per_split")  # copies of 64 channels
        return int(p["k"]) if part is None else min(int(part["per_split"]) * 64, int(p["k"]))
    if (few := _few_channels(launch)) is not None:
        return int(few["products"])
    if (p := _struct(launch, "residual")) is not None:  # several products: the mean of their blocks
        ends = [*(int(first) for first in p["first"] if first < launch.grid[0]), launch.grid[0]]
        tiles = zip(ends, ends[1:], p["of"], strict=False)
        return sum((e - b) * int(of["k"]["count"]) for b, e, of in tiles) // launch.grid[0]
    if (p := _struct(launch, "block_channels")) is not None:
        return int(p["block_channels"]) * int(p["block_rows"]) * int(p["block_cols"])
    if launch.kernel.entry == "unfold" and (p := _struct(launch, "band")) is not None:
        return ceil_div(prod(int(p[name]) for name in ("band", "Q", "R", "S")), 32)
    if (p := _struct(launch, "tap_order")) is not None:
        return int(p["rows"])
    p = _struct(launch, "conv")
    conv = _struct(launch, "tap_step_h") if p is None else p["conv"]
    if conv is None:
        return 0
    taps = int(conv["t"]) * int(conv["r"]) * int(conv["s"])
    return taps if launch.kernel.entry in ("im2col", "col2im") else taps * int(conv["c"])


def _few_channels(launch: Launch) -> np.void | None:
    """What the product of conv/few_channels_mma.cu is given, not the copy of its weight."""
    return _struct(launch, "tiles_q") if launch.shared else None


def _struct(launch: Launch, member: str) -> np.void | None:
    """The argument by value that has a member."""
    for argument in launch.args:
        if isinstance(argument, np.void) and member in (argument.dtype.fields or ()):
            return argument
    return None


@functools.cache
def _costs() -> dict[str, dict[str, Cost]]:
    if not FILE.exists():
        return {}
    data = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        arch: {name: Cost(**row["cost"], depths=row["depths"]) for name, row in rows.items()}
        for arch, rows in data["costs"].items()
    }


def known_archs() -> tuple[str, ...]:
    """Those that kernels' costs are known for."""
    return tuple(_costs())


@functools.cache
def cost_of(kernel: Kernel, arch: str) -> Cost | None:
    """Of a kernel with its macros; the two types of 16 bits cost the same."""
    if kernel.entry == "implicit_gemm_phases":  # the same product, several of them
        macros = dict(kernel.defines) | {"ALONG_K": "1"}
        of = tuple((name, macros[name]) for name in ("SCALAR", "TILE", "ALONG_K"))
        kernel = Kernel("conv/implicit_gemm_mma.cu", "implicit_gemm_mma", of)
    name = str(kernel).replace(f"SCALAR={SCALAR['float16']}", f"SCALAR={SCALAR['bfloat16']}")
    return _costs().get(arch, {}).get(name)


@functools.cache
def at_hand(here: Target) -> Gpu:
    """The row of the data file that is nearest to a GPU, with its number of multiprocessors."""
    return gpus.nearest(here.arch, here.processors, here.gpu)
