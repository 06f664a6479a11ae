"""Theoretical occupancy: how many warps of a kernel fit on a multiprocessor, and what limits them.

Limits by architecture: CUDA C++ Programming Guide, "Compute Capabilities", technical
specifications. Allocation rules (units, the four partitions of the register file, the shared
memory reserved for each block): NVIDIA's ``cuda_occupancy.h``, against which a test compares.
"""

from dataclasses import dataclass

from pycnn.shapes import ceil_div

WARP = 32
REGISTERS = 65536  # a multiprocessor
REGISTER_UNIT = 256  # a warp's registers are allocated in multiples of this
PARTITIONS = 4  # of the register file; a warp's registers lie in one of them


@dataclass(frozen=True)
class Limits:
    """What one multiprocessor of an architecture holds."""

    warps: int
    blocks: int
    shared: int  # bytes a multiprocessor
    shared_unit: int = 128  # a block's shared memory is allocated in multiples of this
    reserved: int = 1024  # bytes of shared memory that the system keeps for itself in each block


LIMITS = {
    "sm_75": Limits(32, 16, 64 * 1024, shared_unit=256, reserved=0),
    "sm_80": Limits(64, 32, 164 * 1024),
    "sm_86": Limits(48, 16, 100 * 1024),
    "sm_89": Limits(48, 24, 100 * 1024),
    "sm_90": Limits(64, 32, 228 * 1024),
    "sm_100": Limits(64, 32, 228 * 1024),
    "sm_120": Limits(48, 24, 100 * 1024),
}


def limits_of(arch: str) -> Limits:
    """Those of an architecture, with a suffix ``a`` or without; of others, the least."""
    return LIMITS.get(arch.removesuffix("a"), LIMITS["sm_75"])


@dataclass(frozen=True)
class Occupancy:
    """Resident blocks and warps of a multiprocessor, their share, and the scarcest resource."""

    blocks: int
    warps: int
    fraction: float
    limit: str


def occupancy(arch: str, threads: int, registers: int, shared: int = 0) -> Occupancy:
    """Theoretical occupancy of a kernel.

    Parameters
    ----------
    arch : str
        A key of :data:`LIMITS`; a suffix ``a`` changes nothing.
    threads : int
        Threads of a block, 1 to 1024.
    registers : int
        Registers of a thread, 0 to 255.
    shared : int, default 0
        Bytes of shared memory of a block, static and dynamic together.

    Returns
    -------
    Occupancy
        ``limit`` is ``"warps"``, ``"blocks"``, ``"registers"`` or ``"shared"``.

    Raises
    ------
    ValueError
        For an architecture without limits here, or values out of range.

    Examples
    --------
    >>> occupancy("sm_90a", threads=256, registers=64)
    Occupancy(blocks=4, warps=32, fraction=0.5, limit='registers')
    """
    limits = LIMITS.get(arch.rstrip("a"))
    if limits is None:
        raise ValueError(f"arch={arch!r}: limits are known for {', '.join(LIMITS)}")
    if not 1 <= threads <= 1024:
        raise ValueError(f"threads={threads}: allowed are 1 to 1024")
    if not 0 <= registers <= 255:
        raise ValueError(f"registers={registers}: allowed are 0 to 255")
    warps = ceil_div(threads, WARP)
    fitting = {"warps": limits.warps // warps, "blocks": limits.blocks}
    if registers:
        each = _round_up(registers * WARP, REGISTER_UNIT)
        fitting["registers"] = REGISTERS // PARTITIONS // each * PARTITIONS // warps
    used = _round_up(shared + limits.reserved, limits.shared_unit)
    if used:
        fitting["shared"] = limits.shared // used
    limit = min(fitting, key=lambda name: fitting[name])  # of equals the first
    blocks = fitting[limit]
    return Occupancy(blocks, blocks * warps, blocks * warps / limits.warps, limit)


def _round_up(value: int, unit: int) -> int:
    return ceil_div(value, unit) * unit
