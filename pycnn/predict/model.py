"""Time of a launch: what its warps queue for, and the waves in which its blocks run.

Warps queue for the units of their multiprocessor (`pycnn.predict.queue`), and wait for what nothing
covers: the stalls that the compiler has written and latencies. The whole launch is no faster than
L2 and memory.

A kernel that keeps the multipliers busy runs at the clock that the power limit leaves it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from pycnn.predict import counts, registers, traffic
from pycnn.predict.code import Code
from pycnn.predict.gpus import PARTITIONS, Gpu
from pycnn.predict.pipes import latency, mma_kind, pipe_clocks, shared_bytes
from pycnn.predict.queue import Warp, in_waves
from pycnn.predict.sample import WARP, Run
from pycnn.predict.sass import Instruction, Listing
from pycnn.predict.traffic import Footprint, Pattern
from pycnn.runtime.occupancy import Occupancy, occupancy
from pycnn.shapes import ceil_div

#: Of each unit, what would make it less busy.
ADVICE = {
    "issue": "fewer instructions an output: wider accesses, larger thread tiles, loops unrolled",
    "registers": "operands that the compiler can keep: larger tiles of a thread, loops unrolled",
    "fma": "the multiplications themselves: tensor cores, or an algorithm with fewer",
    "alu": "fewer integer and logic instructions: offsets that step, divisions out of the loop",
    "mufu": "fewer reciprocals, exponentials and conversions",
    "fp64": "float32 where its accuracy does",
    "tensor": "the products themselves: a type of half the width, wgmma instead of mma.sync",
    "load/store": "fewer and wider loads and stores: 16 bytes a thread",
    "shared banks": "no bank conflicts, more of a tile in registers",
    "L1": "coalesced accesses: neighbours in a warp read neighbours in memory",
    "L2": "larger tiles, so that less is read again",
    "memory": "fewer bytes: fusion with what comes before or after, a narrower type",
    "latency": "more warps or more loads under way: fewer registers, smaller blocks, prefetch",
    "waves": "a grid that fills the last wave: smaller tiles, split-K",
    "launch": "fewer launches: fusion, or a CUDA graph",
}


#: Units of a scheduler, and those that the four of a multiprocessor share.
FRONT = ("issue", "registers", "fma", "alu", "mufu", "fp64", "tensor")
MEMORY = ("load/store", "shared banks", "L1")

#: Units that are busy at the expense of the clock.
POWER = ("issue", "registers", "fma", "tensor")

#: Lines of L1 that are looked up in a clock, behind the first (gpu-strides of RRZE-HPC/gpu-benches:
#: 9 lines in 3.0 clocks, 31 in 8.5, on A40, A100 and H200).
TAGS = 4

#: Bytes that the banks of shared memory deliver or take in a clock.
ALL_BANKS = 128

#: And those that an SM gets from others of its cluster: Luo et al., arXiv 2501.12084, about 3.3
#: TB/s of 114 at 1.755 GHz, in clusters of two. Larger clusters have less.
NETWORK = 16


@dataclass(frozen=True)
class Prediction:
    """Predicted, never measured.

    Attributes
    ----------
    entry, gpu : str
    time_us : float
        Without the launch.
    launch_us : float
    bound : str
        The unit that is busiest, ``latency`` or ``waves``.
    busy : mapping of str to float
        Microseconds that each unit alone would take.
    occupancy : Occupancy
    registers, shared : int
    grid, block : (int, int, int)
    blocks_at_once : int
    waves : float
    mix : mapping of str to float
        Warp instructions of the grid, by kind.
    patterns : list of Pattern
    bytes : Footprint
    """

    entry: str
    gpu: str
    time_us: float
    launch_us: float
    bound: str
    busy: Mapping[str, float]
    occupancy: Occupancy
    registers: int
    shared: int
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    blocks_at_once: int
    waves: float
    mix: Mapping[str, float]
    patterns: list[Pattern]
    bytes: Footprint

    @property
    def advice(self) -> list[str]:
        """The three changes that would pay most, by the units that are busiest."""
        order = sorted(self.busy, key=lambda name: -self.busy[name])
        return [f"{name}: {ADVICE[name]}" for name in order[:3]]


@dataclass(frozen=True)
class Load:
    """What the warps of a launch keep busy, of which its time is made.

    Attributes
    ----------
    of_warp : mapping of str to float
        Clocks of each unit of a multiprocessor, of one warp on average.
    alone : float
        Clocks of one warp with nothing beside it.
    fits : Occupancy
    patterns : list of Pattern
    bytes : Footprint
        Of the grid.
    mix : mapping of str to float
        Warp instructions of the grid, by kind.
    """

    of_warp: Mapping[str, float]
    alone: float
    fits: Occupancy
    patterns: list[Pattern]
    bytes: Footprint
    mix: Mapping[str, float]


def load(code: Code, run: Run, gpu: Gpu, shared: int = 0) -> Load:
    """What keeps a GPU busy; parameters as those of `predict`."""
    used = code.resources
    all_shared = used.shared + shared
    fits = occupancy(gpu.arch, prod(run.block), used.registers, all_shared)
    if not fits.blocks:
        raise ValueError(f"{code.entry} does not fit on a multiprocessor of {gpu.name}")
    blocks = prod(run.grid)
    executed = counts.of_blocks(code.listing, run.code.block_of_line, run.warp_counts())
    per_instruction = counts.per_instruction(code.listing, executed)
    found = traffic.patterns(run, _widths(code.listing))
    resident = min(blocks, fits.blocks * gpu.sms)
    room = max(16384.0, gpu.l1_kib * 1024 - fits.blocks * (all_shared + 1024)) / fits.blocks
    bytes_ = traffic.footprint(run, room, gpu.l2_mib * 2**20, resident)

    hits = max(0.0, 1 - bytes_.l2_bytes / max(bytes_.l1_bytes, 1.0))
    copied = traffic.bulk_bytes(run, "bulk", "cluster")
    clocks = _units(code.listing, executed, found, hits, copied, gpu)  # of the grid, on one SM
    of_warp = {name: value / (blocks * run.warps) for name, value in clocks.items()}
    mix: dict[str, float] = {}
    for instruction, times in per_instruction:
        mix[instruction.base] = mix.get(instruction.base, 0.0) + times
    alone = _alone(per_instruction, gpu, bytes_) / (blocks * run.warps)
    return Load(of_warp, alone, fits, found, bytes_, mix)


def predict(code: Code, run: Run, gpu: Gpu, shared: int = 0) -> Prediction:
    """Predict the time of a launch that was sampled.

    Parameters
    ----------
    code : Code
        For the architecture of `gpu`.
    run : Run
    gpu : Gpu
    shared : int
        Bytes of dynamic shared memory.
    """
    work = load(code, run, gpu, shared)
    fits, bytes_, warps = work.fits, work.bytes, run.warps
    blocks = prod(run.grid)
    number, waves = blocks / gpu.sms, blocks / (fits.blocks * gpu.sms)
    # One warp from start to end, and what passes until a block has taken another's place.
    alone = work.alone + gpu.block_clocks
    far = {
        "L2": bytes_.l2_bytes / gpu.l2_gbps / 1e3,
        "memory": bytes_.dram_bytes / gpu.memory_gbps(bytes_.written) / 1e3,
    }
    near = {name: number * warps * value for name, value in work.of_warp.items()}
    near["latency"] = max(waves, 1.0) * alone
    us = 1e-3 / gpu.clock_ghz
    busy = {**{name: value * us for name, value in near.items()}, **far}
    if max(busy, key=lambda name: busy[name]) in POWER:
        us = 1e-3 / gpu.sustained_ghz
        busy = {**{name: value * us for name, value in near.items()}, **far}
    # What is shared by all multiprocessors, as one of those that have a block sees it.
    l2, dram = (value / us / (max(1.0, number) * warps) for value in far.values())
    front = PARTITIONS * max(work.of_warp[name] for name in FRONT)
    memory = max(work.of_warp[name] for name in MEMORY)
    # Where all blocks run at once, those with most to do end last.
    most = 1.0
    if waves <= 1:
        most = run.heaviest(ceil_div(blocks, gpu.sms))
        alone *= run.heaviest(1)
    warp = Warp(front * most, memory * most, l2, dram, alone, gpu.channels_each(blocks))
    clocks = in_waves(blocks, fits.blocks, gpu.sms, warps, warp)
    time = max(clocks * us, *far.values())
    bound = max(busy, key=lambda name: busy[name])
    if busy[bound] < 0.7 * time:
        uneven = number > waves * fits.blocks * 1.2 or most > 1.2
        bound = "waves" if uneven else "latency"
    return Prediction(
        code.entry, gpu.key, time, gpu.launch_us, bound, busy, fits, code.resources.registers,
        code.resources.shared + shared, run.grid, run.block, min(blocks, fits.blocks * gpu.sms),
        waves, work.mix, work.patterns, bytes_,
    )  # fmt: skip


def _units(
    listing: Listing,
    executed: np.ndarray,
    found: list[Pattern],
    hits: float,
    copied: float,
    gpu: Gpu,
) -> dict[str, float]:
    """Clocks that each unit of one multiprocessor would need for all warps of the grid.

    `copied`: bytes that tensor copies write to shared memory, or read there.
    """
    clocks = dict.fromkeys((*FRONT, *MEMORY), 0.0)
    for block, times in zip(listing.blocks(), executed, strict=True):
        inside = listing.instructions[block.begin : block.end]
        if not times:
            continue
        pipes = [pipe_clocks(instruction, gpu) for instruction in inside]
        lost = registers.bubbles(inside, [max(p.values(), default=1.0) for p in pipes])
        for instruction, of_pipes, bubbles in zip(inside, pipes, lost, strict=True):
            clocks["issue"] += times / PARTITIONS
            clocks["registers"] += times * (1 + bubbles) / PARTITIONS
            for pipe, each in of_pipes.items():
                clocks[pipe] += times * each / PARTITIONS
            clocks["shared banks"] += times * shared_bytes(instruction) / ALL_BANKS
            if mma_kind(instruction) is None and instruction.base in _MEMORY:
                clocks["load/store"] += times * WARP / gpu.ldst_lanes
    clocks["shared banks"] += copied / ALL_BANKS
    for pattern in found:
        access = pattern.access
        if access.space == "shared":
            slower = ALL_BANKS / NETWORK if "shared::cluster" in access.opcode else 1
            clocks["shared banks"] += pattern.requests * pattern.wavefronts * slower
        else:
            clocks["L1"] += pattern.requests * _cache_clocks(pattern, hits, gpu)
    # L1 and shared memory are one memory, which does one of them at a time.
    clocks["L1"] += clocks["shared banks"]
    return clocks


def _widths(listing: Listing) -> dict[int, int]:
    """Bytes of a thread that the memory instructions of each line of PTX move."""
    widths: dict[int, int] = {}
    for i in listing.instructions:
        if i.base in _MEMORY and i.base not in ("SHFL", "LDSM", "STSM", "LDGSTS"):
            widths[i.line] = max(widths.get(i.line, 0), i.width)
    return widths


def _cache_clocks(pattern: Pattern, hits: float, gpu: Gpu) -> float:
    """Clocks of L1 for a request: its banks, the tags of its lines, four a clock, and its bytes.

    What misses comes from L2 by sectors, whatever its bank.
    """
    data = pattern.sectors * traffic.SECTOR / gpu.l1_bytes_per_clock
    banks = 1 + (pattern.wavefronts - 1) * hits
    return max(banks, 1 + (pattern.lines - 1) / TAGS, data)


_MEMORY = frozenset(
    ("LDG", "STG", "LDS", "STS", "LDSM", "STSM", "LDGSTS", "LDL", "STL", "ATOM", "ATOMS", "ATOMG",
     "RED", "LD", "ST", "SHFL")
)  # fmt: skip


def _alone(instructions: list[tuple[Instruction, float]], gpu: Gpu, bytes_: Footprint) -> float:
    """Clocks of all warps if each ran alone: stalls, and latencies where a value is waited for.

    Loads that are under way together meet in L1: one whose line another has asked for is there
    when that one's is. So each is as late as a miss of the first that happens as often as theirs
    do together, whatever barriers their values are waited for at.
    """
    total, now = 0.0, 0.0
    ready: dict[int, float] = {}  # by barrier
    loading: set[int] = set()  # barriers of loads under way
    first, missed = 0.0, 0.0  # when the first of them began, and how often they miss
    for instruction, times in instructions:
        for barrier in range(6):
            if instruction.waits >> barrier & 1 and barrier in ready:
                exposed = max(0.0, ready.pop(barrier) - now)
                total += times * exposed
                now += exposed
                if barrier in loading:  # what is loaded from now on meets none of these
                    loading.clear()
        stall = max(1, instruction.stall)
        total += times * stall
        now += stall
        if instruction.write_barrier < 6:
            near, miss, share = latency(instruction, gpu, bytes_)
            there = now + near + share * miss
            if share:
                first, missed = (first, missed) if loading else (now, 0.0)
                missed = min(1.0, missed + share)
                loading.add(instruction.write_barrier)
                there = max(there, first + near + missed * miss)
            ready[instruction.write_barrier] = max(ready.get(instruction.write_barrier, 0.0), there)
    return total
