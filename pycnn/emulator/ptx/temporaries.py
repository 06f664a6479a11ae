"""Registers of one basic block, which need no memory: their values are known where they are read.

Most registers of compiled code are such. For LLVM each of the others is a variable in memory, which
it turns into values at some cost.
"""

import itertools

from pycnn.emulator.ptx.skips import is_quick
from pycnn.emulator.ptx.speculation import registers
from pycnn.emulator.ptx.syntax import Body, Instruction, Label, Register

#: Behind these nothing is known of any register.
_ENDS = frozenset(("bra", "brx", "call", "ret", "exit", "trap"))


def temporaries(body: Body) -> set[Register]:
    """Registers that are written in a basic block, and then read in no other."""
    block_of: dict[Register, int] = {}
    others: set[Register] = set()
    blocks = itertools.count()
    block = next(blocks)
    for s in body.statements:
        if isinstance(s, Label):
            block = next(blocks)
            continue
        first = _target(s)
        if first is not None and first not in block_of:
            block_of[first] = block
        used = list(registers(s.operands))
        if s.guard is not None:
            others.update(used)
            used.append(s.guard)
        # What has not been written before, at its first appearance or here.
        others.update(r for r in used if block_of.setdefault(r, -1) != block)
        if first is not None and first in registers(s.operands[1:]):
            others.add(first)
        if s.opcode.split(".")[0] in _ENDS:
            block = next(blocks)
    return set(block_of) - others


def _target(s: Instruction) -> Register | None:
    """The register that an instruction surely writes."""
    target = s.operands[0] if s.operands else None
    plain = is_quick(s.opcode) or s.opcode.startswith("ld.")
    return target if s.guard is None and plain and isinstance(target, Register) else None
