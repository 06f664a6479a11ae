"""Bulk copies between global and shared memory, and stores that arrive at a barrier."""

from typing import Any

from pycnn.emulator.ptx.address import address_of, vector_items
from pycnn.emulator.ptx.bits import immediate
from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Operand, Type

Modifiers = dict[str, Any]

_U32 = TYPES["u32"]
#: As `Reduce` and `Number` of emulator/reduction.h.
REDUCE = {"add": 1, "min": 2, "max": 3, "inc": 4, "dec": 5, "and": 6, "or": 7, "xor": 8}
_NUMBER = {"u32": 0, "s32": 1, "u64": 2, "s64": 3, "f16": 4, "bf16": 5, "f32": 6, "f64": 7,
           "b32": 0, "b64": 2}  # fmt: skip
#: What goes with each reduction.
_TYPES = {
    "add": ("u32", "s32", "u64", "s64", "f16", "bf16", "f32", "f64"),
    "min": ("u32", "s32", "u64", "s64", "f16", "bf16"),
    "max": ("u32", "s32", "u64", "s64", "f16", "bf16"),
    "inc": ("u32",), "dec": ("u32",),
    "and": ("b32", "b64"), "or": ("b32", "b64"), "xor": ("b32", "b64"),
}  # fmt: skip


def load(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cp.async.bulk`` into shared memory, from global memory or from another block's."""
    to, of, size, barrier, *rest = i.operands
    mask = "0"
    if m.get("multicast"):
        if not rest:
            e.fail("the mask of blocks is missing")
        mask = _mask(e, rest.pop(0))
    if len(rest) != bool(m.get("hint")):
        e.fail("operands and modifiers do not go together")
    e.runtime(
        "bulk_load", "void", _at(e, m["to"], to), _at(e, m["of"], of),
        f"i32 {e.read(size, _U32)}", _at(e, _barrier_space(m), barrier), f"i32 {mask}",
        f"i32 {reduction_code(e, m)}", f"i32 {e.site}",
    )  # fmt: skip


def store(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cp.async.bulk`` and ``cp.reduce.async.bulk`` to global memory."""
    to, of, size, *rest = i.operands
    if len(rest) != bool(m.get("hint")):
        e.fail("operands and modifiers do not go together")
    e.runtime("bulk_store", "void", _at(e, "global", to), _at(e, m["of"], of),
              f"i32 {e.read(size, _U32)}", f"i32 {reduction_code(e, m)}",
              f"i32 {e.site}")  # fmt: skip


def commit(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cp.async.bulk.commit_group``."""
    e.runtime("bulk_commit", "void")


def wait(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cp.async.bulk.wait_group``."""
    groups = immediate(e, i, 0, 0, 1 << 20)
    e.runtime("bulk_wait", "void", f"i32 {groups}", f"i32 {1 if m.get('read') else 0}")


def store_async(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``st.async`` and ``red.async``: registers to shared memory of the cluster."""
    type: Type = m["T"]
    to, source, barrier = i.operands
    items = vector_items(e, m, source)
    words = e.scratch("sent", 32)
    for k, item in enumerate(items):
        at = e.op(f"getelementptr i8, ptr {words}, i64 {k * type.bytes}")
        bits = e.read(item, TYPES[f"b{type.bits}"])
        e.line(f"store i{type.bits} {bits}, ptr {at}")
    space = m.get("space") or ""
    e.runtime("store_async", "void", _at(e, space, to), f"ptr {words}",
              f"i32 {type.bytes * len(items)}", _at(e, space, barrier),
              f"i32 {reduction_code(e, m)}", f"i32 {e.site}")  # fmt: skip


def prefetch(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cp.async.bulk.prefetch``: there are no caches."""


def reduction_code(e: Emitter, m: Modifiers) -> int:
    """The reduction and the type that it is of, as the runtime takes them."""
    if not m.get("op"):
        return 0
    type: Type = m["T"]
    if type.name not in _TYPES[m["op"]]:
        e.fail(f".{m['op']} goes with {', '.join(_TYPES[m['op']])}, not with .{type.name}")
    return REDUCE[m["op"]] | _NUMBER[type.name] << 4


def _mask(e: Emitter, operand: Operand) -> str:
    return e.op(f"zext i16 {e.read(operand, TYPES['b16'])} to i32")


def _barrier_space(m: Modifiers) -> str:
    """The barrier is where the destination is."""
    return m["to"] if m["to"].startswith("shared") else "shared"


def _at(e: Emitter, space: str, operand: Operand) -> str:
    return f"i64 {address_of(e, {'space': space}, operand)}"
