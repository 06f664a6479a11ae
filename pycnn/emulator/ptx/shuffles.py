"""Shuffles that go together: the words of a value of 64 bits, or several values in a row.

PTX shuffles 32 bits at a time, and each time all lanes of a warp wait for one another. In the fast
build those that stand close together and ask the same lanes are one exchange of several words.
Instructions between them that lead to their operands go before it, the others behind it.
"""

from collections import defaultdict
from typing import NamedTuple

from pycnn.emulator.ptx.skips import is_quick
from pycnn.emulator.ptx.speculation import registers
from pycnn.emulator.ptx.syntax import Body, Instruction, Label, Register, Statement

#: Words of an exchange, and instructions over which it is looked for, at most.
MOST, WINDOW = 8, 32

Site = tuple[str, int, int]


class _Group(NamedTuple):
    begin: int  # places among the statements
    end: int
    order: list[Statement]
    shuffles: list[Instruction]

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(_site(s) for s in self.shuffles)


def together(body: Body) -> tuple[list[Statement], dict[Instruction, list[Instruction]]]:
    """The statements in an order in which such shuffles stand together, and those of each first."""
    groups = list(_groups(body.statements))
    # Lanes may come by different copies of one line of the source: all must be grouped alike.
    ways: dict[Site, set[tuple[Site, ...]]] = defaultdict(set)
    for group in groups:
        for site in group.sites:
            ways[site].add(group.sites)
    grouped = {s for group in groups for s in group.shuffles}
    for s in body.statements:
        if isinstance(s, Instruction) and _shuffles(s) and s not in grouped:
            ways[_site(s)].add(())
    statements: list[Statement] = []
    found: dict[Instruction, list[Instruction]] = {}
    done = 0
    for group in groups:
        if all(len(ways[site]) == 1 for site in group.sites):
            statements += body.statements[done : group.begin] + group.order
            found[group.shuffles[0]] = group.shuffles
            done = group.end
    return statements + body.statements[done:], found


def _groups(statements: list[Statement]) -> list[_Group]:
    groups = []
    at = 0
    while at < len(statements):
        group = _group(statements, at)
        if group is not None:
            groups.append(group)
        at = group.end if group is not None else at + 1
    return groups


def _group(statements: list[Statement], begin: int) -> _Group | None:
    """The group that begins at a place, if there is one."""
    first = statements[begin]
    if isinstance(first, Label) or not _shuffles(first) or first.guard is not None:
        return None
    shuffles = [first]
    ahead: list[Statement] = []
    behind: list[Statement] = []
    # What is there only behind the exchange; and what nothing that goes ahead of it may change.
    late, used = set(_written(first)), set(registers(first.operands))
    end, order = begin, [statements[begin]]
    for at, s in enumerate(statements[begin + 1 : begin + WINDOW], begin + 1):
        if isinstance(s, Label) or s.guard is not None:
            break
        joins = s.opcode == first.opcode and s.operands[2:] == first.operands[2:]
        if not (joins or is_quick(s.opcode)):
            break
        waits = bool(late & _read(s) or (late | used) & _written(s))
        if joins:
            if waits or len(shuffles) == MOST:
                break
            shuffles.append(s)
            end, order = at, [*ahead, *shuffles, *behind]
        elif not waits:
            ahead.append(s)
            continue
        else:
            behind.append(s)
        late |= _written(s)
        used |= _read(s)
    return _Group(begin, end + 1, order, shuffles) if len(shuffles) > 1 else None


def _shuffles(s: Instruction) -> bool:
    return s.opcode.startswith("shfl.sync.")


def _site(s: Instruction) -> Site:
    """By which the runtime tells one from another."""
    return (s.opcode, s.place.file, s.place.line) if s.place else (s.opcode, -1, s.line)


def _written(s: Instruction) -> set[Register]:
    return set(registers(s.operands[:1]))


def _read(s: Instruction) -> set[Register]:
    return set(registers(s.operands[1:]))
