"""Branches over a little arithmetic, which is done in any case and its results chosen.

A GPU's compiler branches over what is rarely needed, a processor's turns elements next to each
other into vectors only where nothing branches.
"""

import re

from pycnn.emulator.ptx.syntax import Body, Instruction, Label, Symbol

#: What may be done in vain: it has no effect but its results, and is quick.
_QUICK = """
    abs add and bfe bfi clz copysign cvt ex2 fma lop3 mad max min mov mul neg not or popc prmt rcp
    selp set setp shf shl shr slct sqrt sub testp xor
"""
QUICK = frozenset(re.findall(r"\w+", _QUICK))

#: Instructions jumped over, at most.
MOST = 32


def skips(body: Body) -> dict[Instruction, Label]:
    """Of each such branch where it leads to: forward, over quick instructions only."""
    found: dict[Instruction, Label] = {}
    branch: Instruction | None = None
    length = 0
    for s in body.statements:
        if isinstance(s, Label):
            if branch is not None and _leads_to(branch, s):
                found[branch] = s
            branch = None
        elif s.opcode in ("bra", "bra.uni") and s.guard is not None:
            branch, length = s, 0
        elif branch is not None:
            length += 1
            if s.guard is not None or not is_quick(s.opcode) or length > MOST:
                branch = None
    return found


def _leads_to(branch: Instruction, label: Label) -> bool:
    target = branch.operands[0]
    return isinstance(target, Symbol) and target.name == label.name


def is_quick(opcode: str) -> bool:
    """Whether an instruction may be done in vain, or at another time."""
    stem, *modifiers = opcode.split(".")
    if stem == "div":
        return modifiers[-1] == "f32"
    return stem in QUICK and "cc" not in modifiers and "b128" not in modifiers
