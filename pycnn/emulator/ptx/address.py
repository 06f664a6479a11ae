"""Addresses of the state spaces, and what the checked build tells of an access."""

from typing import Any

from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.syntax import (
    TYPES,
    Address,
    Instruction,
    Operand,
    Register,
    Symbol,
    Type,
    Variable,
    Vector,
)

Modifiers = dict[str, Any]

READ, WRITE, ATOMIC = 0, 1, 2
#: Bytes of shared memory that a block can address; `Worker::arena_size`.
ARENA = 256 * 1024 + 4 * 1024 * 1024


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
        elif base.type.bits == 32 and space in ("param", "local"):
            short = e.op(f"zext i32 {e.read(base, TYPES['u32'])} to i64")
            address = _whole(e, space, short)
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
        if m.get("space") == "shared::cluster" and isinstance(base, Register):
            return e.runtime("cluster_address", "i64", f"i64 {address}", f"i32 {e.site}")
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
    tell(e, address, size, access, e.site)


def tell(e: Emitter, address: str, size: int, access: int, site: str) -> None:
    """Call the runtime about an access; there is one function for each of the usual ones."""
    where = ("ptr %self", f"i64 {address}")
    if access in (READ, WRITE) and size in (4, 8, 16):
        name = f"{'read' if access == READ else 'write'}{size}"
        e.runtime(name, "void", *where, f"i32 {site}")
    else:
        e.runtime("access", "void", *where, f"i32 {size}", f"i32 {access}", f"i32 {site}")


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


def vector_items(e: Emitter, m: Modifiers, operand: Operand) -> tuple[Operand, ...]:
    count = {"": 1, "v2": 2, "v4": 4, "v8": 8}[m.get("vec") or ""]
    items = operand.items if isinstance(operand, Vector) else (operand,)
    if len(items) != count:
        e.fail(f"{len(items)} registers where {count} are wanted")
    return items


def fence(e: Emitter, m: Modifiers) -> None:
    """A fence that an instruction with an order has before it."""
    if m.get("scope") in ("gpu", "sys", "cluster", "", None):
        e.runtime("fence", "void")


# ---- Generic addresses --------------------------------------------------------------------------


def to_generic(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cvta.space``: shared addresses are offsets in the block's memory, all others the host's."""
    type: Type = m["T"]
    if type.bits != 64:
        e.fail("addresses have 64 bits")
    value = e.read(i.operands[1], TYPES["b64"])
    if m["space"] == "shared::cluster":
        value = e.runtime("cluster_address", "i64", f"i64 {value}", f"i32 {e.site}")
    elif _space(m) == "shared":
        value = e.op(f"add i64 {value}, {e.arena_address}")
    elif _space(m) in ("param", "local"):
        value = _whole(e, _space(m), value)
    e.write(i.operands[0], type, value)


def _whole(e: Emitter, space: str, value: str) -> str:
    """An address in param or local space of which a compiler may have kept 32 bits, as Triton's."""
    if space == "local" and e.locals:
        near = e.address_of(e.locals[0])
    elif space == "param" and e.function.is_entry:
        near = e.once("ptrtoint ptr %params to i64")
    else:
        return value
    apart = e.op(f"trunc i64 {e.op(f'sub i64 {value}, {near}')} to i32")
    nearby = e.op(f"add i64 {near}, {e.op(f'sext i32 {apart} to i64')}")
    is_short = e.op(f"icmp ult i64 {value}, 4294967296")
    return e.op(f"select i1 {is_short}, i64 {nearby}, i64 {value}")


def from_generic(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cvta.to.space``."""
    type: Type = m["T"]
    value = e.read(i.operands[1], TYPES["b64"])
    if m["space"] == "shared::cluster":
        value = e.runtime("to_cluster", "i64", f"i64 {value}", f"i32 {e.site}")
    elif _space(m) == "shared":
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
    if m["space"] == "shared::cluster":
        result = _in_cluster(e, value)
    elif space == "shared":
        result = shared
    elif space == "local":
        result = stack
    elif space == "global":
        result = e.op(f"xor i1 {e.op(f'or i1 {_in_cluster(e, value)}, {stack}')}, true")
    else:
        e.fail(f"isspacep.{space} is not there")
    e.write(i.operands[0], TYPES["pred"], result)


def _in_cluster(e: Emitter, address: str) -> str:
    return e.op(f"icmp ne i32 {e.runtime('in_cluster', 'i32', f'i64 {address}')}, 0")


def _field(e: Emitter, offset: int, type: str) -> str:
    at = e.once(f"getelementptr i8, ptr %self, i64 {offset}")
    return e.once(f"load {type}, ptr {at}, !invariant.load !0")
