"""Through which of its parameters an entry may write: read-only arrays there go as copies.

Addresses are followed through registers, parameters of calls and variables in local memory, without
regard to the order of instructions. One that is read from other memory is not.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from pycnn.emulator.ptx.forms import find
from pycnn.emulator.ptx.syntax import (
    Address,
    Arguments,
    Body,
    Function,
    Instruction,
    Module,
    Operand,
    Pair,
    Register,
    Symbol,
    Variable,
    Vector,
)

Node = Register | Variable


class Flow:
    """Where addresses go in the functions of a program."""

    def __init__(self) -> None:
        self._sources: dict[Node, set[Node]] = defaultdict(set)  # what a node may hold comes from
        self._written: set[Node] = set()

    def add(self, module: Module, body: Body) -> None:
        """Take in a function."""
        for statement in body.statements:
            if not isinstance(statement, Instruction):
                continue
            if statement.opcode.startswith("call"):
                self._call(module, statement)
            else:
                self._plain(statement)

    def parameters(self, entry: Function) -> list[int]:
        """Numbers of the parameters that lead to an address that is written to."""
        reached, pending = set(self._written), list(self._written)
        while pending:
            for source in self._sources[pending.pop()] - reached:
                reached.add(source)
                pending.append(source)
        return [i for i, parameter in enumerate(entry.parameters) if parameter in reached]

    def _plain(self, i: Instruction) -> None:
        row = find(i.opcode)
        assert not isinstance(row, str)
        form, m = row
        targets: list[Node] = []
        sources: list[Node] = []
        for word, operand in zip(form.operands, i.operands, strict=False):
            (targets if word[0] == ">" else sources).extend(_nodes(operand))
        stem = form.stem
        address = next((o for o in i.operands if isinstance(o, Address)), None)
        if address is None:
            self._flow(sources, targets)
            return
        at = _base(address)
        if stem in ("ld", "ldu"):
            self._flow([at] if isinstance(at, Variable) else [], targets)
        elif stem == "st" and isinstance(at, Variable):
            self._flow(sources, [at])
        elif at is not None and (
            stem in ("st", "atom", "red")
            or m.get("to") == "global"
            or i.opcode.startswith("wmma.store")
        ):
            self._written.add(at)

    def _flow(self, sources: Iterable[Node], targets: Iterable[Node]) -> None:
        for target in targets:
            self._sources[target].update(sources)

    def _call(self, module: Module, i: Instruction) -> None:
        callee = next((o for o in i.operands if isinstance(o, Symbol)), None)
        function = module.functions.get(callee.name) if callee is not None else None
        if function is None or callee is None:
            return
        at = i.operands.index(callee)
        results = i.operands[at - 1] if at else Arguments(())
        arguments = i.operands[at + 1] if at + 1 < len(i.operands) else Arguments(())
        for own, operands in ((function.parameters, arguments), (function.results, results)):
            for parameter, operand in zip(own, getattr(operands, "items", ()), strict=False):
                into = own is function.parameters
                for node in _nodes(operand):
                    self._flow([node if into else parameter], [parameter if into else node])


def _base(address: Address) -> Node | None:
    if isinstance(address.base, Symbol):
        return address.base.variable
    return address.base


def _nodes(operand: Operand) -> Iterator[Node]:
    """Registers and variables that an address is made of: of 64 bits, which indices are not."""
    if isinstance(operand, Register):
        if operand.type.bits == 64 and operand.type.kind != "f":
            yield operand
    elif isinstance(operand, Symbol):
        if operand.variable is not None:
            yield operand.variable
    elif isinstance(operand, (Vector, Arguments)):
        for item in operand.items:
            yield from _nodes(item)
    elif isinstance(operand, Pair):
        yield from _nodes(operand.first)
        yield from _nodes(operand.second)
