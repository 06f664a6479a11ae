"""Which unit an instruction keeps busy, and for how long."""

import re

from pycnn.predict.gpus import PARTITIONS, Gpu
from pycnn.predict.sass import Instruction
from pycnn.predict.traffic import Footprint

WARP = 32

_FMA = frozenset(("FFMA", "FMUL", "FADD", "FSWZADD", "FFMA2", "FADD2", "FMUL2"))
#: On the multiplier for floats as well, but on half of its lanes where it has 32.
_HEAVY = frozenset(("IMAD", "IDP", "IDP4A", "HFMA2", "HADD2", "HMUL2"))
_MUFU = frozenset(("MUFU", "F2F", "F2I", "I2F", "FRND", "POPC", "FLO", "BREV", "I2I"))
_FP64 = frozenset(("DFMA", "DADD", "DMUL", "DSETP"))
_FREE = frozenset(
    ("BRA", "EXIT", "BAR", "BSSY", "BSYNC", "NOP", "DEPBAR", "LDGDEPBAR", "WARPSYNC", "CALL", "RET",
     "LDC", "LDCU", "ULDC", "S2R", "S2UR", "CS2R", "R2UR", "UMOV", "WARPGROUP", "SYNCS", "ERRBAR",
     "MEMBAR", "FENCE", "BRX", "BRXU", "YIELD", "BREAK")
)  # fmt: skip
_MEMORY = re.compile(r"(LD|ST|ATOM|RED|UTMA|UBLK|CCTL)")

#: Multiply-adds of one instruction of a warp, by the shape in its name, and the rate's type.
_SHAPES = {
    "HMMA.16816": 2048, "HMMA.1688": 1024, "HMMA.1684": 512, "IMMA.16832": 4096,
    "IMMA.16816": 2048, "IMMA.8816": 1024,
}  # fmt: skip
_GROUP = re.compile(r"[HQI]GMMA\.(\d+)x(\d+)x(\d+)")


def mma_kind(instruction: Instruction) -> str | None:
    """Type of the operands of a product on tensor cores; None for other instructions."""
    base, op = instruction.base, instruction.op
    if base not in ("HMMA", "IMMA", "HGMMA", "QGMMA", "IGMMA"):
        return None
    if base in ("IMMA", "IGMMA"):
        return "int8"
    if base == "QGMMA" or "E4M3" in op or "E5M2" in op:
        return "float8"
    return "tf32" if "TF32" in op else "bfloat16" if "BF16" in op else "float16"


def multiply_adds(instruction: Instruction) -> float:
    """Of one execution by a warp; those of ``wgmma`` belong to four warps."""
    group = _GROUP.match(instruction.op)
    if group:
        m, n, k = map(int, group.groups())
        return m * n * k / 4
    for shape, number in _SHAPES.items():
        if instruction.op.startswith(shape):
            return number
    return 2048.0


def shared_bytes(instruction: Instruction) -> float:
    """What a product of a warpgroup reads of shared memory, a warp: B, and A if it lies there."""
    group = _GROUP.match(instruction.op)
    if not group:
        return 0.0
    m, n, k = map(int, group.groups())
    bits = 8 if instruction.base != "HGMMA" else 32 if mma_kind(instruction) == "tf32" else 16
    from_registers = not instruction.operands.split(",")[1].strip().startswith("gdesc")
    return (n + m * (not from_registers)) * k * bits / 8 / 4


def pipe_clocks(instruction: Instruction, gpu: Gpu) -> dict[str, float]:
    """Clocks of one partition that an instruction takes of each of its pipes."""
    base = instruction.base
    kind = mma_kind(instruction)
    if kind is not None:
        rate = gpu.tensor_tflops.get(kind, gpu.tensor_tflops["float16"])
        share = 1.0 if base.endswith("GMMA") else gpu.mma_sync_share
        a_clock = rate * share * 1e3 / gpu.clock_ghz / gpu.sms / PARTITIONS / 2
        return {"tensor": multiply_adds(instruction) / a_clock}
    if base in _FMA:
        return {"fma": WARP / gpu.fp32_lanes}
    if base in _HEAVY:
        return {"fma": WARP / min(gpu.fp32_lanes, 16)}
    if base in _FP64:
        return {"fp64": WARP / gpu.fp64_lanes}
    if base in _MUFU:
        return {"mufu": WARP / gpu.mufu_lanes}
    if base in _FREE or base.startswith("U") or _MEMORY.match(base) or base == "SHFL":
        return {}
    return {"alu": WARP / gpu.int32_lanes}


def latency(instruction: Instruction, gpu: Gpu, bytes_: Footprint) -> tuple[float, float, float]:
    """Of an instruction of no fixed latency: clocks where it hits, those beyond, and how often."""
    base = instruction.base
    if base in ("LDS", "LDSM", "ATOMS", "SHFL"):
        return gpu.shared_latency, 0.0, 0.0
    if base in ("LDG", "LD", "ATOMG", "ATOM"):
        beyond = min(1.0, bytes_.l2_bytes / max(bytes_.l1_bytes, 1.0))
        from_memory = min(1.0, bytes_.dram_bytes / max(bytes_.l2_bytes, 1.0))
        far = gpu.l2_latency + from_memory * (gpu.dram_latency - gpu.l2_latency)
        return gpu.l1_latency, far - gpu.l1_latency, beyond
    if base.startswith("LD") and base != "LDC":
        return gpu.l1_latency, 0.0, 0.0
    return 20.0, 0.0, 0.0
