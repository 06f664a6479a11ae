"""Registers of ``wgmma``, which the product has from its issue until somebody waits.

In the checked build each of them, and each that is a copy of one, has two numbers beside it: of the
product that may still be writing it, and of the `wgmma.fence` behind which it was last used by
anything else. The compiler puts copies and constants where it likes, so a `mov` is no use: a copy
has the numbers of the original, a constant none.
"""

from typing import Any

from pycnn.emulator.ptx.speculation import registers
from pycnn.emulator.ptx.syntax import Body, Instruction, Operand, Register, Vector

_MULTIPLY = "wgmma.mma_async."


class Tracked:
    """The registers of a function that are, or hold, accumulators or fragments of A."""

    def __init__(self, body: Body) -> None:
        self.accumulators: set[Register] = set()
        self.inputs: set[Register] = set()
        copies: list[tuple[Register, Register]] = []
        self.is_used = False
        for s in body.statements:
            if not isinstance(s, Instruction):
                continue
            self.is_used |= s.opcode.startswith("wgmma.")
            if s.opcode.startswith(_MULTIPLY) and len(s.operands) > 1:
                self.accumulators.update(registers(s.operands[:1]))
                if isinstance(s.operands[1], Vector):
                    self.inputs.update(registers(s.operands[1:2]))
            elif (copy := _copy(s)) is not None:
                copies.append(copy)
        for group in (self.accumulators, self.inputs):
            size = -1
            while size != len(group):
                size = len(group)
                for pair in copies:
                    if not group.isdisjoint(pair):
                        group.update(pair)
        self.all = self.accumulators | self.inputs
        self.slots: dict[tuple[str, Register | None], str] = {}


def _copy(s: Instruction) -> tuple[Register, Register] | None:
    """The registers of a plain copy, target and source."""
    if s.opcode.startswith("mov.") and len(s.operands) == 2:
        target, source = s.operands
        if isinstance(target, Register) and isinstance(source, Register):
            return target, source
    return None


def _slot(e: Any, what: str, register: Register | None = None) -> str:
    """Memory of one number; of the function's own it is what the runtime has at the beginning."""
    slots = e.tracked.slots
    slot: str | None = slots.get((what, register))
    if slot is None:
        slot = slots[what, register] = e.new("acc")
        e.entry_lines.append(f"  {slot} = alloca i32")
        start = "0" if register else _at_entry(e, f"wgmma_{what}")
        e.entry_lines.append(f"  store i32 {start}, ptr {slot}")
    return slot


def _at_entry(e: Any, name: str) -> str:
    at = e.once(f"getelementptr i8, ptr %ctx, i64 {8 + 8 * e.functions[name]}")
    return str(e.once(f"call i32 {e.once(f'load ptr, ptr {at}, !invariant.load !0')}()"))


def _load(e: Any, what: str, register: Register | None = None) -> str:
    return str(e.op(f"load i32, ptr {_slot(e, what, register)}"))


def _store(e: Any, value: str, what: str, register: Register | None = None) -> None:
    e.line(f"store i32 {value}, ptr {_slot(e, what, register)}")


def _report(e: Any, faults: list[str], name: str) -> None:
    """A report if any of the conditions holds."""
    if not faults:
        return
    any_fault = faults[0]
    for fault in faults[1:]:
        any_fault = e.op(f"or i1 {any_fault}, {fault}")
    end = e.when(any_fault)
    e.runtime(name, "void", f"i32 {e.site}")
    end()


def _pending(e: Any, used: list[Register]) -> None:
    """No product may be writing these."""
    if used:
        done = _load(e, "done")
        faults = [e.op(f"icmp ugt i32 {_load(e, 'product', r)}, {done}") for r in used]
        _report(e, faults, "wgmma_early")


def _touch(e: Any, used: list[Register]) -> None:
    """Behind the last fence something other than a product has used these."""
    if used:
        fences = _load(e, "fences")
        for register in used:
            _store(e, fences, "used", register)


def before(e: Any, i: Instruction, operands: tuple[str, ...]) -> None:
    """Before any instruction is written: which tracked registers it reads."""
    if e.tracked is None or i.opcode.startswith(_MULTIPLY):
        return
    copy = _copy(i)
    if copy is not None and copy[0] in e.tracked.all:
        return
    sources = list(dict.fromkeys(r for r in registers(_sources(i, operands)) if r in e.tracked.all))
    _pending(e, [r for r in sources if r in e.tracked.accumulators])
    _touch(e, [r for r in sources if r in e.tracked.accumulators])


def after(e: Any, i: Instruction, operands: tuple[str, ...]) -> None:
    """Behind it: which it has written."""
    if e.tracked is None or i.opcode.startswith(_MULTIPLY):
        return
    copy = _copy(i)
    if copy is not None and copy[0] in e.tracked.all and copy[1] in e.tracked.all:
        for what in ("product", "used"):
            _store(e, _load(e, what, copy[1]), what, copy[0])
        return
    if operands and operands[0].startswith(">"):
        targets = [r for r in dict.fromkeys(registers(i.operands[:1])) if r in e.tracked.all]
        if not i.opcode.startswith("mov."):
            _touch(e, targets)
        for register in targets:
            if i.opcode.startswith("mov."):
                _store(e, "0", "used", register)
            _store(e, "0", "product", register)


def _sources(i: Instruction, operands: tuple[str, ...]) -> tuple[Operand, ...]:
    return i.operands[1:] if operands and operands[0].startswith(">") else i.operands


def require(e: Any, outputs: tuple[Register, ...], inputs: tuple[Register, ...]) -> None:
    """A product takes these registers: it needs a fence since they were last used."""
    if e.tracked is None:
        return
    _pending(e, [r for r in inputs if r in e.tracked.accumulators])
    fences = _load(e, "fences")
    used = dict.fromkeys((*outputs, *inputs))
    faults = [e.op(f"icmp uge i32 {_load(e, 'used', r)}, {fences}") for r in used]
    _report(e, faults, "wgmma_unfenced")


def pend(e: Any, outputs: tuple[Register, ...], number: str) -> None:
    """The product of that number writes these until it is waited for."""
    if e.tracked is not None:
        for register in dict.fromkeys(outputs):
            _store(e, number, "product", register)


def fence(e: Any) -> None:
    if e.tracked is not None:
        _store(e, e.runtime("wgmma_fence", "i32"), "fences")


def wait(e: Any, groups: int) -> None:
    if e.tracked is not None:
        _store(e, e.runtime("wgmma_wait", "i32", f"i32 {groups}", f"i32 {e.site}"), "done")
