"""Moves, loads, stores, atomics, and addresses of the state spaces."""

from typing import Any

from pycnn.emulator.ptx import floating
from pycnn.emulator.ptx.emit import Emitter, llvm_type
from pycnn.emulator.ptx.integer import lanes, packed
from pycnn.emulator.ptx.speculation import registers
from pycnn.emulator.ptx.syntax import (
    TYPES,
    Address,
    Instruction,
    Operand,
    Register,
    Sink,
    Symbol,
    Type,
    Variable,
    Vector,
)

Modifiers = dict[str, Any]

READ, WRITE, ATOMIC = 0, 1, 2
#: Bytes of shared memory that a block can address; `Worker::arena_size`.
ARENA = 256 * 1024 + 4 * 1024 * 1024


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


# ---- Addresses ----------------------------------------------------------------------------------


def _space(m: Modifiers) -> str:
    return (m.get("space") or "").partition("::")[0]


def address_of(e: Emitter, m: Modifiers, operand: Operand) -> str:
    """The host's address behind ``[...]`` in a state space, an i64."""
    if not isinstance(operand, Address):
        e.fail("an address in brackets is wanted")
    if operand.more:
        e.fail("coordinates do not go with this instruction")
    space = _space(m)
    base, offset = operand.base, operand.offset
    if isinstance(base, Symbol):
        variable = base.variable or e.module.variables.get(base.name)
        if variable is None:
            e.fail(f"{base.name} is not declared")
        if space and variable.space != space and not (space == "param" and variable.space == "reg"):
            e.fail(f"{base.name} is in .{variable.space}, the instruction is for .{space}")
        address = e.address_of(variable)
        if not space and variable.space == "shared":
            space = "shared"
    elif isinstance(base, Register):
        if base.type.bits == 32 and space == "shared":
            short = e.read(base, TYPES["u32"])
            if offset:  # within the 32 bits of the base, which may stand before the array
                short, offset = e.op(f"add i32 {short}, {offset}"), 0
            address = e.op(f"zext i32 {short} to i64")
        elif base.type.bits == 64:
            address = e.read(base, TYPES["b64"])
        else:
            e.fail(f"{base.name} has {base.type.bits} bits, an address has 64")
    else:
        address = "0"
    if offset:
        address = e.op(f"add i64 {address}, {offset}")
    if space == "shared":
        if isinstance(base, Register) and base.type.bits == 64:
            address = e.op(f"and i64 {address}, 4294967295")
        address = e.op(f"add i64 {address}, {e.arena_address}")
    return address


def check(e: Emitter, m: Modifiers, operand: Operand, address: str, size: int, access: int) -> None:
    """In the checked build: tell the runtime of an access before it happens."""
    space = _space(m)
    base = operand.base if isinstance(operand, Address) else None
    if space == "param" or (
        isinstance(base, Symbol) and base.variable and base.variable.space == "param"
    ):
        _check_parameter(e, operand, size)
        return
    if not e.checked:
        return
    variable = _local(e, base) if space == "local" else None
    if variable is not None:
        e.runtime("local", "void", f"i64 {address}", f"i32 {size}", f"i32 {e.site}",
                  f"i64 {e.address_of(variable)}", f"i64 {variable.size}")  # fmt: skip
        return
    e.runtime("access", "void", "ptr %self", f"i64 {address}", f"i32 {size}", f"i32 {access}",
              f"i32 {e.site}")  # fmt: skip


def _local(e: Emitter, base: Register | Symbol | None) -> Variable | None:
    """The local variable that an address must be within, where there is no doubt of it."""
    if isinstance(base, Symbol):
        return base.variable
    return e.locals[0] if len(e.locals) == 1 and e.function.is_entry else None


def _check_parameter(e: Emitter, operand: Operand, size: int) -> None:
    base = operand.base if isinstance(operand, Address) else None
    if isinstance(base, Symbol) and isinstance(base.variable, Variable):
        assert isinstance(operand, Address)
        if operand.offset < 0 or operand.offset + size > base.variable.size:
            e.fail(
                f"{size} bytes at byte {operand.offset} of {base.name}, which has "
                f"{base.variable.size}"
            )


def pointer(e: Emitter, address: str) -> str:
    return e.op(f"inttoptr i64 {address} to ptr")


def _items(e: Emitter, m: Modifiers, operand: Operand) -> tuple[Operand, ...]:
    count = {"": 1, "v2": 2, "v4": 4, "v8": 8}[m.get("vec") or ""]
    items = operand.items if isinstance(operand, Vector) else (operand,)
    if len(items) != count:
        e.fail(f"{len(items)} registers where {count} are wanted")
    return items


def _memory_type(type: Type) -> str:
    return llvm_type(type)


def _ordering(m: Modifiers) -> str:
    """Which loads and stores others may watch: LLVM keeps each of them."""
    if m.get("order") in ("relaxed", "acquire", "release") or m.get("mmio"):
        return "atomic"
    return "volatile" if m.get("order") == "volatile" else ""


def load(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``ld``, ``ldu`` and ``ld.global.nc``."""
    type: Type = m["T"]
    operand = i.operands[1]
    items = _items(e, m, i.operands[0])
    address = address_of(e, m, operand)
    strong = _ordering(m)
    if isinstance(items[0], Register) and e.selected.get(items[0]) is i:
        _postpone(e, i, address)
    else:
        check(e, m, operand, address, type.bytes * len(items), 3 if strong else READ)
    base = pointer(e, address)
    t = _memory_type(type)
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
    e.runtime("access", "void", "ptr %self", f"i64 {address}", f"i32 {size}", f"i32 {READ}",
              f"i32 {e.site_of(load)}")  # fmt: skip
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
    items = _items(e, m, i.operands[1])
    address = address_of(e, m, i.operands[0])
    strong = _ordering(m)
    if m.get("order") == "release":
        _fence(e, m)
    values = [e.read(item, type) for item in items]
    check(e, m, i.operands[0], address, type.bytes * len(items), 4 if strong else WRITE)
    base = pointer(e, address)
    t = _memory_type(type)
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


# ---- Atomics ------------------------------------------------------------------------------------

_LLVM = {"add": "add", "and": "and", "or": "or", "xor": "xor", "exch": "xchg"}


def _fence(e: Emitter, m: Modifiers) -> None:
    if m.get("scope") in ("gpu", "sys", "cluster", "", None):
        e.runtime("fence", "void")


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
    targets = _items(e, m, target) if not isinstance(target, Sink) else ()
    sources = _items(e, m, operands[0])
    address = address_of(e, m, where)
    values = [e.read(o, type) for o in sources]
    other = e.read(operands[1], type) if operation == "cas" else ""
    if m.get("order") in ("release", "acq_rel"):
        _fence(e, m)
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


# ---- State spaces and generic addresses ---------------------------------------------------------


def to_generic(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cvta.space``: shared addresses are offsets in the block's memory, all others the host's."""
    type: Type = m["T"]
    if type.bits != 64:
        e.fail("addresses have 64 bits")
    value = e.read(i.operands[1], TYPES["b64"])
    if _space(m) == "shared":
        value = e.op(f"add i64 {value}, {e.arena_address}")
    e.write(i.operands[0], type, value)


def from_generic(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cvta.to.space``."""
    type: Type = m["T"]
    value = e.read(i.operands[1], TYPES["b64"])
    if _space(m) == "shared":
        value = e.op(f"sub i64 {value}, {e.arena_address}")
    if type.bits == 32:
        value = e.op(f"trunc i64 {value} to i32")
    e.write(i.operands[0], type, value)


def is_in_space(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``isspacep``: by the address ranges of shared memory and of the threads' stacks."""
    value = e.read(i.operands[1], TYPES["b64"])
    space = _space(m)

    def within(start: str, size: str) -> str:
        return e.op(f"icmp ult i64 {e.op(f'sub i64 {value}, {start}')}, {size}")

    shared = within(e.arena_address, str(ARENA))
    low = e.once(f"ptrtoint ptr {_field(e, 72, 'ptr')} to i64")
    stack = within(low, _field(e, 80, "i64"))
    if space == "shared":
        result = shared
    elif space == "local":
        result = stack
    elif space == "global":
        result = e.op(f"xor i1 {e.op(f'or i1 {shared}, {stack}')}, true")
    else:
        e.fail(f"isspacep.{space} is not there")
    e.write(i.operands[0], TYPES["pred"], result)


def _field(e: Emitter, offset: int, type: str) -> str:
    at = e.once(f"getelementptr i8, ptr %self, i64 {offset}")
    return e.once(f"load {type}, ptr {at}, !invariant.load !0")
