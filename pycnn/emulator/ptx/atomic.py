"""``atom`` and ``red``."""

from typing import Any

from pycnn.emulator.ptx import floating
from pycnn.emulator.ptx.address import ATOMIC, address_of, check, fence, pointer, vector_items
from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.integer import lanes, packed
from pycnn.emulator.ptx.lines import llvm_type
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Operand, Sink, Type

Modifiers = dict[str, Any]

_LLVM = {"add": "add", "and": "and", "or": "or", "xor": "xor", "exch": "xchg"}


def atomic(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``atom``: the value before goes to the destination."""
    _atomic(e, m, i.operands[0], i.operands[1], i.operands[2:])


def reduction(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``red``."""
    _atomic(e, m, Sink(), i.operands[0], i.operands[1:])


def _atomic(
    e: Emitter, m: Modifiers, target: Operand, where: Operand, operands: tuple[Operand, ...]
) -> None:
    type: Type = m["T"]
    operation = m["op"]
    if len(operands) != (2 if operation == "cas" else 1):
        e.fail(f".{operation} takes {2 if operation == 'cas' else 1} operands behind the address")
    targets = vector_items(e, m, target) if not isinstance(target, Sink) else ()
    sources = vector_items(e, m, operands[0])
    address = address_of(e, m, where)
    values = [e.read(o, type) for o in sources]
    other = e.read(operands[1], type) if operation == "cas" else ""
    if m.get("order") in ("release", "acq_rel"):
        fence(e, m)
    if operation == "cas" and e.checked:
        expected = e.scratch("expected", 16)
        e.line(f"store i{type.bits} {values[0]}, ptr {expected}")
        e.runtime("compare", "void", f"i64 {address}", f"ptr {expected}", f"i32 {type.bytes}",
                  f"i32 {e.site}")  # fmt: skip
    else:
        check(e, m, where, address, type.bytes * len(values), ATOMIC)
    base = pointer(e, address)
    for k, value in enumerate(values):
        at = e.op(f"getelementptr i8, ptr {base}, i64 {k * type.bytes}") if k else base
        before = _update(e, m, operation, type, at, value, other)
        if targets:
            e.write(targets[k], type, before)


def _update(
    e: Emitter, m: Modifiers, operation: str, type: Type, at: str, value: str, other: str
) -> str:
    t, bits = llvm_type(type), f"i{type.bits}"
    if operation == "cas":
        pair = e.op(f"cmpxchg ptr {at}, {bits} {value}, {bits} {other} seq_cst seq_cst")
        return e.op(f"extractvalue {{ {bits}, i1 }} {pair}, 0")
    if operation in ("inc", "dec"):
        name = {"inc": "uinc_wrap", "dec": "udec_wrap"}[operation]
        return e.op(f"atomicrmw {name} ptr {at}, {bits} {value} seq_cst")
    if operation in ("min", "max") and type.kind in ("u", "s"):
        name = ("u" if type.kind == "u" else "") + operation
        return e.op(f"atomicrmw {name} ptr {at}, {bits} {value} seq_cst")
    if t in ("float", "double"):
        if operation != "add":
            e.fail(f".{operation} does not go with .{type.name}")
        return e.op(f"atomicrmw fadd ptr {at}, {t} {value} seq_cst")
    if operation in _LLVM and "16" not in type.name:
        return e.op(f"atomicrmw {_LLVM[operation]} ptr {at}, {bits} {value} seq_cst")
    if operation == "exch":
        return e.op(f"atomicrmw xchg ptr {at}, {bits} {value} seq_cst")
    return _compare_and_swap(e, operation, type, at, value)


def _compare_and_swap(e: Emitter, operation: str, type: Type, at: str, value: str) -> str:
    """An update in 16-bit formats: again and again until nobody came between."""
    bits = f"i{type.bits}"
    loop, done = e.new("cas")[1:], e.new("swapped")[1:]
    first = e.op(f"load {bits}, ptr {at}, align {type.bytes}")
    before = e.new("before")
    again = e.new("now")
    start = e.new("from")[1:]
    e.line(f"br label %{start}")
    e.start_block(start)
    e.line(f"br label %{loop}")
    e.start_block(loop)
    e.line(f"{before} = phi {bits} [ {first}, %{start} ], [ {again}, %{loop} ]")
    after = _sixteen(e, operation, type, before, value)
    pair = e.op(f"cmpxchg ptr {at}, {bits} {before}, {bits} {after} seq_cst seq_cst")
    e.line(f"{again} = extractvalue {{ {bits}, i1 }} {pair}, 0")
    ok = e.op(f"extractvalue {{ {bits}, i1 }} {pair}, 1")
    e.line(f"br i1 {ok}, label %{done}, label %{loop}")
    e.start_block(done)
    return before


def _sixteen(e: Emitter, operation: str, type: Type, a: str, b: str) -> str:
    inner = TYPES[type.name.removesuffix("x2")]
    run = floating.half("add") if operation == "add" else floating.half_min_max(operation)
    if type.bits == 16:
        return str(run(e, {"T": inner}, a, b))
    pairs = zip(lanes(e, a), lanes(e, b), strict=True)
    return packed(e, *(run(e, {"T": inner}, x, y) for x, y in pairs))
