"""Clocks lost at the ports of the register file.

Each of the four partitions keeps its registers in two banks, even and odd numbers, and each bank
gives the 32 lanes of one register a clock. What the compiler has marked ``.reuse`` is kept for the
next instruction of the warp at the same place of operand. An instruction of fixed latency goes on
when all its registers can be read within three clocks; until then nothing follows it (Huerta,
Abaie Shoushtary, Cruz and Gonzalez, "Analyzing Modern NVIDIA GPU Cores", arXiv 2503.20481, 5.3).

So a multiply-add of three registers, none of them kept, takes one clock and a half: 0.67 of the
peak of GPUs that begin one every clock, and nothing of those that begin one every second.
"""

import re
from collections.abc import Iterable, Sequence

from pycnn.predict.sass import Instruction

BANKS, WINDOW = 2, 3

#: Clocks of waiting after which the scheduler has turned to another warp, whose operands overwrite
#: those that were kept.
TURNS = 3

_REGISTER = re.compile(r"(?<![\w.])R(\d+)(\.64)?(\.reuse)?")
_VARIABLE = re.compile(
    r"(LD|ST|ATOM|RED|MUFU|SHFL|BAR|[HIQD]MMA|[HIQ]GMMA|UTMA|UBLK|SYNCS|S2R|BRA|EXIT|BSSY|BSYNC"
    r"|CALL|RET|NOP|DEPBAR|WARPSYNC|R2UR|U[A-Z]|D(FMA|ADD|MUL|SETP)|[FI]2[FI]|CCTL|MEMBAR)"
)


def fixed(instruction: Instruction) -> bool:
    """Whether an instruction always takes the same time, and so reserves its ports."""
    return not _VARIABLE.match(instruction.base)


def sources(instruction: Instruction) -> list[tuple[int, int, bool]]:
    """Place, number and whether it is kept, of every register that an instruction reads."""
    found = []
    for place, operand in enumerate(instruction.operands.split(",")):
        hit = _REGISTER.search(operand)
        # The first register is what is written; predicates before it have no number with R.
        if hit and (place > 0 or instruction.base.endswith("SETP")):
            found.append((place, int(hit[1]), hit[3] is not None))
            if hit[2]:
                found.append((place, int(hit[1]) + 1, hit[3] is not None))
    return found


def bubbles(instructions: Sequence[Instruction], spacing: Iterable[float] = ()) -> list[float]:
    """Clocks lost before each instruction of a block that one warp runs through.

    Parameters
    ----------
    instructions : sequence of Instruction
    spacing : iterable of float
        Clocks for which each keeps its pipe, during which ports are free; all 1 if not given.
    """
    kept: dict[tuple[int, int], int] = {}
    taken: set[tuple[int, int]] = set()  # (clock, bank)
    lost = []
    now = 0
    holds = iter(spacing)
    for instruction in instructions:
        hold = next(holds, 1.0)
        wanted = [0] * BANKS
        for place, register, keep in sources(instruction):
            bank = register % BANKS
            wanted[bank] += kept.get((place, bank)) != register
            if keep:
                kept[place, bank] = register
            else:
                kept.pop((place, bank), None)
        start = now
        if fixed(instruction):
            while not all(
                sum((now + i, bank) not in taken for i in range(WINDOW)) >= wanted[bank]
                for bank in range(BANKS)
            ):
                now += 1
            for bank in range(BANKS):
                free = [now + i for i in range(WINDOW) if (now + i, bank) not in taken]
                taken.update((clock, bank) for clock in free[: wanted[bank]])
        lost.append(float(now - start))
        now += max(1, round(hold))
        if instruction.stall >= TURNS or instruction.waits:
            kept.clear()
    return lost
