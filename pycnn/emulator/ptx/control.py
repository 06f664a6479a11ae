"""Branches, calls, returns, and the ends of threads."""

from typing import Any

from pycnn.emulator.ptx.bits import immediate
from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.syntax import (
    TYPES,
    Arguments,
    Float,
    Instruction,
    Integer,
    Operand,
    Register,
    Symbol,
    Variable,
)

Modifiers = dict[str, Any]

#: Functions that the runtime has: types of the arguments and of the result, and what it calls them.
SYSTEM = {
    "vprintf": (("i64", "i64"), "i32", "vprintf"),
    "__assertfail": (("i64", "i64", "i32", "i64", "i64"), "void", "assertfail"),
    "malloc": (("i64",), "i64", "malloc"),
    "free": (("i64",), "void", "free"),
}


def _target(e: Emitter, operand: Operand) -> str:
    if not isinstance(operand, Symbol):
        e.fail("a label is wanted")
    return operand.name


def branch(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``bra``, the only instruction whose guard is not a branch around it."""
    name = _target(e, i.operands[0])
    if i.guard is None:
        e.line(f"br label %{e.jump(name)}")
        e.after_jump()
        return
    condition = e.guard(i)
    onward = e.new("f")[1:]
    e.line(f"br i1 {condition}, label %{e.jump(name)}, label %{onward}")
    e.start_block(onward)


def branch_indexed(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``brx.idx``: an index beyond the list goes nowhere."""
    index = e.read(i.operands[0], TYPES["u32"])
    table = e.body.targets.get(_target(e, i.operands[1]))
    if table is None:
        e.fail("the list of targets is not defined")
    nowhere = e.new("nowhere")[1:]
    cases = " ".join(f"i32 {k}, label %{e.jump(name)}" for k, name in enumerate(table))
    e.line(f"switch i32 {index}, label %{nowhere} [ {cases} ]")
    e.start_block(nowhere)
    _stop(e, "brx_idx")


def _stop(e: Emitter, why: str) -> None:
    e.runtime("trap", "void", f"i32 {['trap', 'brx_idx', 'call'].index(why)}", f"i32 {e.site}")
    e.unreachable()


def ret(e: Emitter, i: Instruction, m: Modifiers) -> None:
    e.return_()
    e.after_jump()


def exit_(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``exit`` ends the thread, from within a function that is called, too."""
    e.leave(exits=True)
    e.after_jump()


def trap(e: Emitter, i: Instruction, m: Modifiers) -> None:
    _stop(e, "trap")


def nothing(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """An instruction that has no effect that a thread could see."""


def set_registers(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``setmaxnreg``: how many registers a warp may have; there is no limit here."""
    count = getattr(i.operands[0], "value", None)
    if count is None or count % 8 or not 24 <= count <= 256:
        e.fail("the number of registers must be a multiple of 8 from 24 to 256")


def policy(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``createpolicy``: a hint to the caches, any number."""
    e.write(i.operands[0], TYPES["b64"], "0")


def sleep(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``nanosleep`` lets other threads run."""
    e.runtime("poll", "void", f"i32 {e.site}")


# ---- Calls --------------------------------------------------------------------------------------


def call(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``call``: results and arguments are memory that the caller provides."""
    operands = list(i.operands)
    results: tuple[Operand, ...] = ()
    if operands and isinstance(operands[0], Arguments):
        results = operands.pop(0).items  # type: ignore[union-attr]
    if not operands:
        e.fail("the function to call is missing")
    callee = operands.pop(0)
    arguments: tuple[Operand, ...] = ()
    if operands and isinstance(operands[0], Arguments):
        arguments = operands.pop(0).items  # type: ignore[union-attr]
    if isinstance(callee, Register):
        _call_through(e, callee, operands, results, arguments)
        return
    if not isinstance(callee, Symbol):
        e.fail("a function is wanted")
    function = e.module.functions.get(callee.name)
    if function is None:
        e.fail(f"function {callee.name} is not declared")
    if (len(results), len(arguments)) != (len(function.results), len(function.parameters)):
        e.fail(
            f"{callee.name} gives {len(function.results)} results of "
            f"{len(function.parameters)} arguments"
        )
    if function.begin < 0:
        _call_system(e, callee.name, results, arguments)
        return
    if function.is_entry:
        e.fail(f"{callee.name} is an entry")
    e.called[callee.name] = None
    outs = [_result_slot(e, r, v) for r, v in zip(results, function.results, strict=True)]
    ins = [_argument_slot(e, a, v) for a, v in zip(arguments, function.parameters, strict=True)]
    slots = "".join(f", ptr {s}" for s in (*outs, *ins))
    e.call(f'@"{callee.name}"', f"ptr %self, ptr %ctx{slots}")
    for operand, slot, variable in zip(results, outs, function.results, strict=True):
        if isinstance(operand, Register):
            e.write(operand, variable.type, e.op(f"load i{variable.type.bits}, ptr {slot}"))
    if function.noreturn:
        _stop(e, "call")


def _result_slot(e: Emitter, operand: Operand, wanted: Variable) -> str:
    if isinstance(operand, Symbol) and operand.variable is not None:
        return e.slot(operand.variable)
    return _temporary(e, wanted)


def _temporary(e: Emitter, wanted: Variable) -> str:
    slot = e.new("v")
    e.entry_lines.append(f"  {slot} = alloca [{max(wanted.size, 8)} x i8], align 16")
    return slot


def _argument_slot(e: Emitter, operand: Operand, wanted: Variable) -> str:
    if isinstance(operand, Symbol) and operand.variable is not None and not operand.addend:
        if operand.variable.size < wanted.size:
            e.fail(f"{operand.name} has {operand.variable.size} bytes, {wanted.size} are wanted")
        return e.slot(operand.variable)
    if not isinstance(operand, (Register, Integer, Float, Symbol)):
        e.fail("an argument is a variable, a register or a number")
    slot = _temporary(e, wanted)
    bits = e.read(operand, TYPES[f"b{wanted.type.bits}"])
    e.line(f"store i{wanted.type.bits} {bits}, ptr {slot}")
    return slot


def _call_through(
    e: Emitter,
    callee: Register,
    rest: list[Operand],
    results: tuple[Operand, ...],
    arguments: tuple[Operand, ...],
) -> None:
    """A call by address, of a function with the parameters of a prototype."""
    slots = []
    for operand in (*results, *arguments):
        if not (isinstance(operand, Symbol) and operand.variable is not None):
            e.fail("arguments of a call through a register are variables")
        slots.append(f", ptr {e.slot(operand.variable)}")
    address = e.op(f"inttoptr i64 {e.read(callee, TYPES['b64'])} to ptr")
    e.call(address, f"ptr %self, ptr %ctx{''.join(slots)}")
    for name, function in e.module.functions.items():
        if not function.is_entry and function.begin >= 0:
            e.called[name] = None  # any of them may be meant


def _call_system(
    e: Emitter, name: str, results: tuple[Operand, ...], arguments: tuple[Operand, ...]
) -> None:
    if name not in SYSTEM:
        e.fail(f"{name} is declared, but defined neither here nor by the emulator, which has "
               f"{', '.join(SYSTEM)}")  # fmt: skip
    values = []
    for operand, wanted in zip(arguments, e.module.functions[name].parameters, strict=True):
        slot = _argument_slot(e, operand, wanted)
        value = e.op(f"load i{wanted.type.bits}, ptr {slot}")
        values.append(f"i{wanted.type.bits} {value}")
    types, result, function = SYSTEM[name]
    if tuple(v.split(" ")[0] for v in values) != types:
        e.fail(f"{name} takes {', '.join(types)}")
    value = e.runtime(function, result, *values, f"i32 {e.site}")
    if name == "__assertfail":
        e.unreachable()
        return
    for operand, wanted in zip(results, e.module.functions[name].results, strict=True):
        slot = _result_slot(e, operand, wanted)
        e.line(f"store {result} {value}, ptr {slot}")
        if isinstance(operand, Register):
            e.write(operand, wanted.type, value)


# ---- The stack ----------------------------------------------------------------------------------


def allocate(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``alloca``: local memory until the function returns, or the stack is restored."""
    size = e.read(i.operands[1], m["T"])
    align = max(immediate(e, i, 2, 1, 128), 8) if len(i.operands) > 2 else 8
    if align & (align - 1):
        e.fail(f"an alignment of {align} bytes is no power of two")
    at = e.op(f"alloca i8, i{m['T'].bits} {size}, align {align}")
    e.write(i.operands[0], m["T"], e.op(f"ptrtoint ptr {at} to i{m['T'].bits}"))


def save_stack(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``stacksave``."""
    at = e.intrinsic("llvm.stacksave.p0", "ptr")
    e.write(i.operands[0], m["T"], e.op(f"ptrtoint ptr {at} to i{m['T'].bits}"))


def restore_stack(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``stackrestore``."""
    at = e.op(f"inttoptr i{m['T'].bits} {e.read(i.operands[0], m['T'])} to ptr")
    e.intrinsics.add("declare void @llvm.stackrestore.p0(ptr)")
    e.line(f"call void @llvm.stackrestore.p0(ptr {at})")
