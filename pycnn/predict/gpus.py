"""The GPUs that times are predicted for: one file of figures, each with its source."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pycnn.runtime.text import did_you_mean

_FILE = Path(__file__).with_name("gpus.json")

#: A multiprocessor has four partitions, each with a scheduler that issues one instruction a clock.
PARTITIONS = 4


#: Of the bandwidth, what is lost to turning between reads and writes where they are as many: what
#: scale has less than read and init, on A40 and A100 (gpu-stream of RRZE-HPC/gpu-benches).
TURNING = 0.045


def _mixed(written: float) -> float:
    """One where as much is read as written, none where there is but one of them."""
    return 2 * min(written, 1 - written)


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes
    ----------
    key, name, arch : str
        As the command line calls it, as NVIDIA does, and what its kernels are compiled for.
    sms : int
        Multiprocessors.
    clock_ghz, sustained_ghz : float
        Clock under load, and under one that keeps the multipliers busy, as far as power allows.
    fp32_tflops : float
        Datasheet's peak without tensor cores.
    tensor_tflops : mapping of str to float
        Dense peak of the tensor cores by type, sums in float32 or int32.
    mma_sync_share : float
        What ``mma.sync`` can reach of that peak.
    fp32_lanes, int32_lanes, mufu_lanes, fp64_lanes : float
        Operations a clock of one of the four partitions.
    ldst_lanes : float
        Threads whose loads or stores a multiprocessor takes in a clock.
    l1_kib : int
        L1 cache and shared memory of a multiprocessor together.
    l1_bytes_per_clock : float
        What L1 gives a multiprocessor.
    l2_mib, l2_gbps : float
        Size and bandwidth of the L2 cache.
    dram_gbps, dram_achieved_gbps : float
        Bandwidth by the datasheet, and what a copy reaches.
    dram_channels : int
        Independent channels of the memory: width of its bus over that of a channel.
    l1_latency, shared_latency, l2_latency, dram_latency : float
        Clocks from the load to its value.
    block_clocks : float
        From a block that has nothing more to do to the first instruction of the next.
    launch_us : float
        From the end of one kernel of a stream to the beginning of the next.
    host_gbps, host_us : float
        Between host and GPU, a direction; and what a copy takes besides its bytes.
    """

    key: str
    name: str
    arch: str
    sms: int
    clock_ghz: float
    sustained_ghz: float
    fp32_tflops: float
    tensor_tflops: Mapping[str, float]
    mma_sync_share: float
    fp32_lanes: float
    int32_lanes: float
    ldst_lanes: float
    mufu_lanes: float
    fp64_lanes: float
    l1_kib: int
    l1_bytes_per_clock: float
    l2_mib: float
    l2_gbps: float
    dram_gbps: float
    dram_achieved_gbps: float
    dram_channels: int
    l1_latency: float
    shared_latency: float
    l2_latency: float
    dram_latency: float
    block_clocks: float
    launch_us: float
    host_gbps: float
    host_us: float

    def transfer_us(self, *sizes: int) -> float:
        """Time of copies of so many bytes each, one after the other."""
        return sum(self.host_us + size / self.host_gbps / 1e3 for size in sizes)

    def memory_gbps(self, written: float) -> float:
        """What the memory gives where a share of the bytes is written.

        Its bus turns round between reads and writes; the copy speed of the file is that of three
        reads to a write.
        """
        return (
            self.dram_achieved_gbps
            * (1 - TURNING * _mixed(written))
            / (1 - TURNING * _mixed(1 / 4))
        )

    def with_copies_at(self, gbps: float) -> "Gpu":
        """It with memory in which a copy, as much read as written, was seen to have this speed."""
        return replace(
            self, dram_achieved_gbps=gbps * self.dram_achieved_gbps / self.memory_gbps(1 / 2)
        )

    def channels_each(self, blocks: float) -> float:
        """Channels of the memory for each multiprocessor that has a block, at most one.

        Requests of a warp that are under way together meet different channels.
        """
        return min(1.0, self.dram_channels / min(self.sms, blocks))

    def peak_tflops(self, kind: str) -> float:
        """Highest rate of multiply-adds on operands of a type; ``float32`` is without TF32."""
        if kind in ("float32", "float64"):
            lanes = self.fp32_lanes if kind == "float32" else self.fp64_lanes
            return 2 * lanes * PARTITIONS * self.sms * self.clock_ghz / 1e3
        if kind not in self.tensor_tflops:
            there = ", ".join(("float32", "float64", *self.tensor_tflops))
            raise ValueError(f"{self.name} multiplies no {kind}; allowed: {there}")
        return self.tensor_tflops[kind]

    def products_a_clock(self, kind: str) -> float:
        """Multiply-adds of the tensor cores of a partition in a clock, by ``mma.sync``.

        Of a type that they do not know it is that of ``float16``; ``wgmma`` has the whole peak.
        """
        rate = self.tensor_tflops.get(kind, self.tensor_tflops["float16"])
        return rate * 1e3 / self.clock_ghz / self.sms / PARTITIONS / 2

    def limit_us(self, flops: float, necessary: float, kind: str) -> float:
        """Least time of so many operations and bytes, if nothing but peak and copy speed bounds."""
        arithmetic = flops / self.peak_tflops(kind) / 1e6 if flops else 0.0
        return max(arithmetic, necessary / self.dram_achieved_gbps / 1e3)


def gpu(key: str) -> Gpu:
    """A GPU by the name that the command line has for it.

    Raises
    ------
    ValueError
        If there is none of that name; lists those there are.

    Examples
    --------
    >>> gpu("h200").sms
    132
    """
    known = _load()
    if key not in known:
        raise ValueError(
            f"gpu={key!r}; allowed: {', '.join(known)}{did_you_mean(key, list(known))}"
        )
    return known[key]


def nearest(arch: str, sms: int, name: str = "") -> Gpu:
    """The GPU of the file that is like one, with that one's multiprocessors.

    Parameters
    ----------
    arch : str
        Empty for any; one that has no GPU in the file is taken for the one before it.
    sms : int
    name : str
        As the driver has it: of several of an architecture the one of this name counts.

    Examples
    --------
    >>> nearest("sm_90a", 114).key, nearest("sm_80", 50).sms, nearest("", 132).key
    ('h100_pcie', 50, 'h200')
    """
    known = list(_load().values())
    number = _number(arch) if arch else _number(known[0].arch)
    archs = sorted({_number(g.arch) for g in known})
    own = max((a for a in archs if a <= number), default=archs[0])
    alike = [g for g in known if _number(g.arch) == own]
    found = min(alike, key=lambda g: (g.name not in name, abs(g.sms - sms)))
    return replace(found, sms=sms)


def _number(arch: str) -> int:
    return int("".join(filter(str.isdigit, arch)))


def names() -> tuple[str, ...]:
    """Every GPU of the file."""
    return tuple(_load())


def sources(key: str) -> dict[str, str]:
    """Where each figure of a GPU is from."""
    data = _data()
    return {figure: data["sources"][source] for figure, (_, source) in _figures(data["gpus"][key])}


@functools.cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_FILE.read_text())
    return data


@functools.cache
def _load() -> dict[str, Gpu]:
    names = {f.name for f in fields(Gpu)} - {"key"}
    found = {}
    for key, row in _data()["gpus"].items():
        if set(row) != names:
            raise ValueError(f"{_FILE.name}, {key}: {sorted(set(row) ^ names)} missing or unknown")
        plain: dict[str, Any] = {
            figure: {t: v for t, (v, _) in entry.items()} if isinstance(entry, dict) else entry[0]
            for figure, entry in row.items()
        }
        found[key] = Gpu(key, **plain)
    return found


def _figures(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Each figure with its value and source; those of a table by ``table.key``."""
    flat = []
    for figure, entry in row.items():
        if isinstance(entry, dict):
            flat += [(f"{figure}.{kind}", pair) for kind, pair in entry.items()]
        else:
            flat.append((figure, entry))
    return flat
