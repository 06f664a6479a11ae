"""Barriers in shared memory: ``mbarrier`` and what arrives there."""

from typing import Any

from pycnn.emulator.ptx.address import address_of
from pycnn.emulator.ptx.emit import PRED, Emitter
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Integer, Operand

Modifiers = dict[str, Any]

_U32, _B64 = TYPES["u32"], TYPES["b64"]
#: As `How` of emulator/ptx_mbarrier_calls.cpp.
_DROP, _NO_COMPLETE, _RELAXED, _PARITY = 1, 2, 4, 8
#: Arrivals, and bytes, of one phase.
MOST = (1 << 20) - 1


def init(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mbarrier.init``."""
    count = _number(e, i.operands[1], "arrivals", 1)
    e.runtime("mbarrier_init", "void", _at(e, m, i.operands[0]), count, f"i32 {e.site}")


def invalidate(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mbarrier.inval``."""
    e.runtime("mbarrier_inval", "void", _at(e, m, i.operands[0]), f"i32 {e.site}")


def arrive(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mbarrier.arrive`` and ``.arrive_drop``, which may expect bytes as well."""
    if m.get("nocomplete") and len(i.operands) < 3:
        e.fail("the number of arrivals is missing")
    if m.get("expect") and len(i.operands) < 3:
        e.fail("the number of bytes is missing")
    number = i.operands[2] if len(i.operands) > 2 else Integer(1)
    count, more = "i32 1", "i32 0"
    if m.get("expect"):
        more = _number(e, number, "bytes", 0)
    else:
        count = _number(e, number, "arrivals", 1)
    how = (
        (_DROP if m["op"] == "arrive_drop" else 0)
        | (_NO_COMPLETE if m.get("nocomplete") else 0)
        | _relaxed(m)
    )
    state = e.runtime("mbarrier_arrive", "i64", _at(e, m, i.operands[1]), count, more,
                      f"i32 {how}", f"i32 {e.site}")  # fmt: skip
    e.write(i.operands[0], _B64, state)


def transact(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mbarrier.expect_tx`` and ``.complete_tx``."""
    number = _number(e, i.operands[1], "bytes", 0)
    name = {"expect_tx": "mbarrier_expect", "complete_tx": "mbarrier_complete"}[m["op"]]
    e.runtime(name, "void", _at(e, m, i.operands[0]), number, f"i32 {e.site}")


def wait(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mbarrier.test_wait`` and ``.try_wait``: whether a phase has ended.

    Both let other threads run until it has, or nobody else can go on.
    """
    how = _relaxed(m)
    if m.get("parity"):
        phase = e.op(f"zext i32 {e.read(i.operands[2], _U32)} to i64")
        how |= _PARITY
    else:
        phase = e.read(i.operands[2], _B64)
    done = e.runtime("mbarrier_wait", "i32", _at(e, m, i.operands[1]), f"i64 {phase}",
                     f"i32 {how}", f"i32 {e.site}")  # fmt: skip
    e.write(i.operands[0], PRED, e.op(f"icmp ne i32 {done}, 0"))


def pending_count(e: Emitter, m: Modifiers, state: str) -> str:
    """``mbarrier.pending_count``: of the state that an arrival returned."""
    return e.op(f"trunc i64 {e.op(f'and i64 {state}, {MOST}')} to i32")


def copies_arrive(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cp.async.mbarrier.arrive``: when the copies of the thread are there."""
    e.runtime("mbarrier_copies", "void", _at(e, m, i.operands[0]),
              f"i32 {1 if m.get('noinc') else 0}", f"i32 {e.site}")  # fmt: skip


def _relaxed(m: Modifiers) -> int:
    return _RELAXED if m.get("sem") == "relaxed" else 0


def _at(e: Emitter, m: Modifiers, operand: Operand) -> str:
    return f"i64 {address_of(e, m, operand)}"


def _number(e: Emitter, operand: Operand, what: str, least: int) -> str:
    if isinstance(operand, Integer) and not least <= operand.value <= MOST:
        e.fail(f"{operand.value} {what}; allowed: {least} to {MOST}")
    return f"i32 {e.read(operand, _U32)}"
