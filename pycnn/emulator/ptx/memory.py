"""Moves, loads and stores."""

from typing import Any

from pycnn.emulator.ptx.address import (
    READ,
    WRITE,
    address_of,
    check,
    fence,
    pointer,
    tell,
    vector_items,
)
from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.lines import llvm_type
from pycnn.emulator.ptx.speculation import registers
from pycnn.emulator.ptx.syntax import (
    TYPES,
    Instruction,
    Register,
    Type,
    Vector,
)

Modifiers = dict[str, Any]


def move(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mov``: also takes registers apart and puts them together."""
    type: Type = m["T"]
    target, source = i.operands
    if isinstance(target, Vector) and isinstance(source, Vector):
        e.fail("one side only may be a vector")
    if isinstance(target, Vector):
        part = _part_of(e, type, target)
        value = e.read(source, type)
        for k, item in enumerate(target.items):
            moved = e.op(f"lshr i{type.bits} {value}, {k * part.bits}") if k else value
            e.write(item, part, e.op(f"trunc i{type.bits} {moved} to i{part.bits}"))
    elif isinstance(source, Vector):
        part = _part_of(e, type, source)
        result = "0"
        for k, item in enumerate(source.items):
            wide = e.op(f"zext i{part.bits} {e.read(item, part)} to i{type.bits}")
            if k:
                wide = e.op(f"shl i{type.bits} {wide}, {k * part.bits}")
            result = e.op(f"or i{type.bits} {result}, {wide}")
        e.write(target, type, result)
    else:
        e.write(target, type, e.read(source, type))


def _part_of(e: Emitter, type: Type, vector: Vector) -> Type:
    count = len(vector.items)
    if count not in (2, 4) or type.bits // count < 8:
        e.fail(f"{type.bits} bits do not divide into {count} registers")
    return TYPES[f"b{type.bits // count}"]


# ---- Loads and stores ---------------------------------------------------------------------------


def _ordering(m: Modifiers) -> str:
    """Which loads and stores others may watch: LLVM keeps each of them."""
    if m.get("order") in ("relaxed", "acquire", "release") or m.get("mmio"):
        return "atomic"
    return "volatile" if m.get("order") == "volatile" else ""


def load(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``ld``, ``ldu`` and ``ld.global.nc``."""
    type: Type = m["T"]
    operand = i.operands[1]
    items = vector_items(e, m, i.operands[0])
    address = address_of(e, m, operand)
    strong = _ordering(m)
    if isinstance(items[0], Register) and e.selected.get(items[0]) is i:
        _postpone(e, i, address)
    else:
        check(e, m, operand, address, type.bytes * len(items), 3 if strong else READ)
    base = pointer(e, address)
    t = llvm_type(type)
    values = []
    for k in range(len(items)):
        at = e.op(f"getelementptr i8, ptr {base}, i64 {k * type.bytes}") if k else base
        if strong == "atomic":
            bits = e.op(f"load atomic i{type.bits}, ptr {at} acquire, align {type.bytes}")
            values.append(e.op(f"bitcast i{type.bits} {bits} to {t}") if t[0] != "i" else bits)
        else:
            values.append(
                e.op(f"load {'volatile ' if strong else ''}{t}, ptr {at}, align {_align(type)}")
            )
    for item, value in zip(items, values, strict=True):
        e.write(item, type, value)


def _postpone(e: Emitter, i: Instruction, address: str) -> None:
    """Remember an access that counts where its value is selected."""
    where, pending = _postponed(e, i)
    e.line(f"store i64 {address}, ptr {where}")
    e.line(f"store i1 true, ptr {pending}")


def _postponed(e: Emitter, i: Instruction) -> tuple[str, str]:
    """Memory for the address of a postponed access, and for whether it is still to come."""
    fresh = not e.has_scratch(f"pending {i.number}")
    pending = e.scratch(f"pending {i.number}", 1)
    if fresh:
        e.entry_lines.append(f"  store i1 false, ptr {pending}")
    return e.scratch(f"address {i.number}", 8), pending


def _settle(e: Emitter, load: Instruction, condition: str) -> None:
    """The postponed access, if the condition holds and it is still to come."""
    where, pending = _postponed(e, load)
    end = e.when(e.op(f"and i1 {condition}, {e.op(f'load i1, ptr {pending}')}"))
    e.line(f"store i1 false, ptr {pending}")
    address = e.op(f"load i64, ptr {where}")
    size = TYPES[load.opcode.rpartition(".")[2]].bytes
    tell(e, address, size, READ, e.site_of(load))
    end()


def settle_uses(e: Emitter, i: Instruction) -> None:
    """Postponed accesses whose values an instruction uses; `select` looks after its own."""
    if e.selected and not i.opcode.startswith("selp."):
        target = i.operands[0] if i.operands else None
        if isinstance(target, Register) and target in e.selected:
            return  # the load itself, or what is computed from its value at once
        for register in registers(i.operands):
            load = e.selected.get(register)
            if load is not None:
                _settle(e, load, "true")


def select(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``selp``; a load that the compiler moved out of a condition is an access from here on."""
    type: Type = m["T"]
    t = llvm_type(type)
    a, b = e.read(i.operands[1], type), e.read(i.operands[2], type)
    chosen = e.read(i.operands[3], TYPES["pred"])
    for operand, wanted in ((i.operands[1], "true"), (i.operands[2], "false")):
        load = e.selected.get(operand) if isinstance(operand, Register) else None
        if load is not None:
            _settle(e, load, e.op(f"icmp eq i1 {chosen}, {wanted}"))
    e.write(i.operands[0], type, e.op(f"select i1 {chosen}, {t} {a}, {t} {b}"))


def _align(type: Type) -> int:
    return min(type.bytes, 8)


def store(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``st``."""
    type: Type = m["T"]
    items = vector_items(e, m, i.operands[1])
    address = address_of(e, m, i.operands[0])
    strong = _ordering(m)
    if m.get("order") == "release":
        fence(e, m)
    values = [e.read(item, type) for item in items]
    check(e, m, i.operands[0], address, type.bytes * len(items), 4 if strong else WRITE)
    base = pointer(e, address)
    t = llvm_type(type)
    for k, value in enumerate(values):
        at = e.op(f"getelementptr i8, ptr {base}, i64 {k * type.bytes}") if k else base
        if strong == "atomic":
            bits = e.op(f"bitcast {t} {value} to i{type.bits}") if t[0] != "i" else value
            e.line(f"store atomic i{type.bits} {bits}, ptr {at} release, align {type.bytes}")
        else:
            e.line(
                f"store {'volatile ' if strong else ''}{t} {value}, ptr {at}, align {_align(type)}"
            )


def prefetch(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """Hints to the caches have no effect."""
