"""Loads that the compiler has moved out of a condition.

``x = given ? shared : 0`` becomes a load that always happens, and a ``selp`` or a branch that may
leave its value unused, which is no defect even where nobody wrote the memory. Such a load counts as
an access only where its value is used, if that makes no difference otherwise: when nothing can
follow it that orders threads or writes shared memory.
"""

from collections import defaultdict
from collections.abc import Iterator

from pycnn.emulator.ptx.syntax import (
    Address,
    Arguments,
    Body,
    Instruction,
    Label,
    Negated,
    Operand,
    Pair,
    Register,
    Symbol,
    Vector,
)

#: What may order threads, or hides what does.
ORDERING = ("bar", "barrier", "call", "brx", "shfl", "vote", "match", "redux", "mma", "ldmatrix",
            "stmatrix", "wmma", "wgmma", "cp", "fence", "membar", "mbarrier")  # fmt: skip


#: What has no effect but its result, and may be moved along with a load.
COMPUTING = ("mul", "add", "sub", "fma", "mad", "neg", "abs", "cvt", "mov")


def selected_loads(body: Body) -> dict[Register, Instruction]:
    """Of each register that such a load fills, the load."""
    uses: dict[Register, list[Instruction]] = defaultdict(list)
    written: dict[Register, int] = defaultdict(int)
    for s in body.statements:
        if isinstance(s, Instruction):
            for register in registers(s.operands):
                uses[register].append(s)
            for register in registers(s.operands[:1]):
                written[register] += 1
    loads: dict[Register, Instruction] = {}
    settled, blocks = _settled_from(body), _blocks(body)
    for at, s in enumerate(body.statements):
        if at < settled or not isinstance(s, Instruction) or not s.opcode.startswith("ld.shared."):
            continue
        target = s.operands[0]
        if s.guard is None and isinstance(target, Register) and written[target] == 1:
            carried = {target}  # by it, and by what is computed from it at once
            pending = [(u, target) for u in uses[target] if u is not s]
            used = bool(pending)
            while pending and used:
                u, register = pending.pop()
                if _selects(u, register):
                    continue
                result = u.operands[0]
                if not (
                    u.opcode.split(".")[0] in COMPUTING
                    and u.guard is None
                    and isinstance(result, Register)
                    and written[result] == 1
                    and result not in loads
                ):
                    used = blocks[u] != blocks[s]
                elif result not in carried:
                    carried.add(result)
                    pending += [(v, result) for v in uses[result] if v is not u]
            if used:
                loads.update(dict.fromkeys(carried, s))
    return loads


def _selects(s: Instruction, register: Register) -> bool:
    return s.opcode.startswith("selp.") and register in s.operands[1:3] and s.guard is None


def _blocks(body: Body) -> dict[Instruction, int]:
    """Of each instruction the number of its basic block."""
    block_of: dict[Instruction, int] = {}
    block = 0
    for s in body.statements:
        if isinstance(s, Label):
            block += 1
        else:
            block_of[s] = block
            block += s.opcode.split(".")[0] in ("bra", "brx", "ret", "exit", "trap")
    return block_of


def _settled_from(body: Body) -> int:
    """Where the statements begin after which none orders threads or writes shared memory."""
    places = {s.name: k for k, s in enumerate(body.statements) if isinstance(s, Label)}
    last = 0
    for k, s in enumerate(body.statements):
        if not isinstance(s, Instruction):
            continue
        stem = s.opcode.split(".")[0]
        orders = stem in ORDERING
        writes = stem in ("st", "atom", "red") and ".global" not in s.opcode
        if orders or writes:
            last = k + 1
    moved = True
    while moved:  # a jump back to before there: what is jumped over comes before it, too
        moved = False
        for k, s in enumerate(body.statements[last:], last):
            if isinstance(s, Instruction) and s.opcode.startswith("bra"):
                target = s.operands[0]
                if isinstance(target, Symbol) and places.get(target.name, last) < last:
                    last, moved = k + 1, True
    return last


def registers(operands: tuple[Operand, ...]) -> Iterator[Register]:
    for o in operands:
        if isinstance(o, Register):
            yield o
        elif isinstance(o, (Vector, Arguments)):
            yield from registers(o.items)
        elif isinstance(o, Pair):
            yield from registers((o.first, o.second))
        elif isinstance(o, Negated):
            yield from registers((o.of,))
        elif isinstance(o, Address):
            if isinstance(o.base, Register):
                yield o.base
            yield from registers(o.more)
