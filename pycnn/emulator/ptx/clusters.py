"""Clusters: addresses in the shared memory of other blocks, and the barrier of them all."""

from typing import Any

from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Type

Modifiers = dict[str, Any]

_U32 = TYPES["u32"]


def map_address(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mapa``: the same place in the shared memory of another block."""
    type: Type = m["T"]
    rank = e.read(i.operands[2], _U32)
    address = _wide(e, i, m)
    name = "map_shared" if m.get("space") else "map_generic"
    result = e.runtime(name, "i64", f"i64 {address}", f"i32 {rank}", f"i32 {e.site}")
    if type.bits == 32:
        result = e.op(f"trunc i64 {result} to i32")
    e.write(i.operands[0], type, result)


def rank_of(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``getctarank``: whose shared memory an address is in."""
    name = "rank_of_shared" if m.get("space") else "rank_of_generic"
    e.write(i.operands[0], _U32,
            e.runtime(name, "i32", f"i64 {_wide(e, i, m)}", f"i32 {e.site}"))  # fmt: skip


def _wide(e: Emitter, i: Instruction, m: Modifiers) -> str:
    type: Type = m["T"]
    if type.bits == 32 and not m.get("space"):
        e.fail("generic addresses have 64 bits")
    value = e.read(i.operands[1], TYPES[f"b{type.bits}"])
    return e.op(f"zext i32 {value} to i64") if type.bits == 32 else value


def arrive(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``barrier.cluster.arrive``."""
    relaxed = 1 if m.get("sem") == "relaxed" else 0
    e.runtime("cluster_arrive", "void", f"i32 {relaxed}", f"i32 {e.site}")


def wait(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``barrier.cluster.wait``, which acquires whether it says so or not."""
    e.runtime("cluster_wait", "void", "i32 1", f"i32 {e.site}")
