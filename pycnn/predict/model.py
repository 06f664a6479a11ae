"""Time of a launch: the slowest of what it has to do, and the waves in which its blocks run.

A multiprocessor is busy with its blocks as long as the busiest of its units: the four schedulers,
the pipes, the load and store unit, the banks of shared memory. It is no faster than one warp alone,
whose clocks are the stalls that the compiler has written and the latencies that nothing covers
(Little's law: more warps cover more). The whole launch is no faster than L2 and memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod

from pycnn.predict import counts, traffic
from pycnn.predict.code import Code
from pycnn.predict.gpus import PARTITIONS, Gpu
from pycnn.predict.pipes import latency, mma_kind, pipe_clocks
from pycnn.predict.sample import Run
from pycnn.predict.sass import Instruction
from pycnn.predict.traffic import Footprint, Pattern
from pycnn.runtime.occupancy import Occupancy, occupancy

#: Of each unit, what would make it less busy.
ADVICE = {
    "issue": "fewer instructions an output: wider accesses, larger thread tiles, loops unrolled",
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
    used = code.resources
    all_shared = used.shared + shared
    fits = occupancy(gpu.arch, prod(run.block), used.registers, all_shared)
    if not fits.blocks:
        raise ValueError(f"{code.entry} does not fit on a multiprocessor of {gpu.name}")
    blocks = prod(run.grid)
    number = blocks / gpu.sms
    warps = run.warps
    executed = counts.of_blocks(code.listing, run.code.block_of_line, run.warp_counts())
    per_instruction = counts.per_instruction(code.listing, executed)
    found = traffic.patterns(run)
    resident = min(blocks, fits.blocks * gpu.sms)
    room = max(16384.0, gpu.l1_kib * 1024 - fits.blocks * (all_shared + 1024)) / fits.blocks
    bytes_ = traffic.footprint(run, room, gpu.l2_mib * 2**20, resident)

    clocks = _units(per_instruction, found, gpu)  # of all warps of the grid, on one multiprocessor
    of_block = {name: value / blocks for name, value in clocks.items()}
    alone = _alone(per_instruction, gpu, bytes_) / (blocks * warps)  # one warp, from start to end
    busiest = max(of_block, key=lambda name: of_block[name])

    def together(count: int) -> float:
        return max(count * of_block[busiest], alone) if count else 0.0

    full, rest = divmod(blocks, fits.blocks * gpu.sms)
    sm_clocks = full * together(fits.blocks) + together(ceil(rest / gpu.sms))
    us = 1e-3 / gpu.clock_ghz
    busy = {name: number * value * us for name, value in of_block.items()}
    busy["L2"] = bytes_.l2_bytes / gpu.l2_gbps / 1e3
    busy["memory"] = bytes_.dram_bytes / gpu.dram_achieved_gbps / 1e3
    waves = blocks / (fits.blocks * gpu.sms)
    busy["latency"] = max(waves, 1.0) * alone * us
    time = max(sm_clocks * us, busy["L2"], busy["memory"])
    bound = max(busy, key=lambda name: busy[name])
    if busy[bound] < 0.7 * time:
        bound = "waves"
    mix: dict[str, float] = {}
    for instruction, times in per_instruction:
        mix[instruction.base] = mix.get(instruction.base, 0.0) + times
    return Prediction(
        code.entry, gpu.key, time, gpu.launch_us, bound, busy, fits, used.registers, all_shared,
        run.grid, run.block, resident, waves, mix, found, bytes_,
    )  # fmt: skip


def _units(
    instructions: list[tuple[Instruction, float]], found: list[Pattern], gpu: Gpu
) -> dict[str, float]:
    """Clocks that each unit of one multiprocessor would need for all warps of the grid."""
    clocks = dict.fromkeys(
        ("issue", "fma", "alu", "mufu", "fp64", "tensor", "load/store", "shared banks", "L1"), 0.0
    )
    for instruction, times in instructions:
        clocks["issue"] += times / PARTITIONS
        for pipe, each in pipe_clocks(instruction, gpu).items():
            clocks[pipe] += times * each / PARTITIONS
        if mma_kind(instruction) is None and instruction.base in _MEMORY:
            clocks["load/store"] += times * 32 / gpu.ldst_lanes
    for pattern in found:
        access = pattern.access
        if access.space == "shared":
            clocks["shared banks"] += pattern.requests * pattern.wavefronts
        else:  # one tag of 128 bytes a clock, and 128 bytes of data
            data = pattern.sectors * traffic.SECTOR / traffic.LINE
            clocks["L1"] += pattern.requests * max(pattern.lines, data)
    # L1 and shared memory are one memory, which does one of them at a time.
    clocks["L1"] += clocks["shared banks"]
    return clocks


_MEMORY = frozenset(
    ("LDG", "STG", "LDS", "STS", "LDSM", "STSM", "LDGSTS", "LDL", "STL", "ATOM", "ATOMS", "ATOMG",
     "RED", "LD", "ST", "SHFL")
)  # fmt: skip


def _alone(instructions: list[tuple[Instruction, float]], gpu: Gpu, bytes_: Footprint) -> float:
    """Clocks of all warps if each ran alone: stalls, and latencies where a value is waited for."""
    total, now = 0.0, 0.0
    ready: dict[int, float] = {}
    for instruction, times in instructions:
        for barrier in range(6):
            if instruction.waits >> barrier & 1 and barrier in ready:
                exposed = max(0.0, ready.pop(barrier) - now)
                total += times * exposed
                now += exposed
        stall = max(1, instruction.stall)
        total += times * stall
        now += stall
        if instruction.write_barrier < 6:
            wait = latency(instruction, gpu, bytes_)
            ready[instruction.write_barrier] = max(
                ready.get(instruction.write_barrier, 0.0), now + wait
            )
    return total
