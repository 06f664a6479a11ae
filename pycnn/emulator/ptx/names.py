"""What the names in a function of PTX stand for: variables, parameters, special registers."""

from typing import NoReturn

from pycnn.emulator.ptx import special
from pycnn.emulator.ptx.errors import PtxError
from pycnn.emulator.ptx.layout import Layout
from pycnn.emulator.ptx.lines import Lines
from pycnn.emulator.ptx.syntax import Function, Instruction, Module, Symbol, Variable


class Names(Lines):
    """The lines of one function, and the memory and the runtime that they refer to."""

    def __init__(
        self,
        module: Module,
        function: Function,
        layout: Layout,
        functions: dict[str, int],
        first_site: int,
    ) -> None:
        super().__init__()
        self.module, self.function = module, function
        self.layout, self.functions = layout, functions
        self.first_site = first_site
        self.called: dict[str, None] = {}
        self.at: Instruction | None = None
        self._slots: dict[Variable, str] = {}
        self._scratch: dict[str, str] = {}

    def fail(self, message: str) -> NoReturn:
        raise self.error(message)

    def error(self, message: str) -> PtxError:
        assert self.at is not None
        return PtxError(f"{self.at.opcode}: {message}", name=self.module.name, line=self.at.line)

    def runtime(self, name: str, result: str, *arguments: str) -> str:
        """A call of a function of the C++ runtime, by its address in the context."""
        slot = self.once(f"getelementptr i8, ptr %ctx, i64 {8 + 8 * self.functions[name]}")
        target = self.once(f"load ptr, ptr {slot}, !invariant.load !0")
        call = f"call {result} {target}({', '.join(arguments)})"
        if result == "void":
            self.line(call)
            return ""
        return self.op(call)

    @property
    def site(self) -> str:
        """The number by which a report names the current instruction; 0 is none."""
        assert self.at is not None
        return self.site_of(self.at)

    def site_of(self, instruction: Instruction) -> str:
        return str(self.first_site + instruction.number + 1)

    def symbol(self, symbol: Symbol) -> tuple[str, int]:
        """Value of a name and its width in bits: an address, or a special register."""
        if symbol.name[0] == "%" or symbol.name == "WARP_SZ":
            return special.read(self, symbol.name)
        variable = symbol.variable or self.module.variables.get(symbol.name)
        if variable is not None:
            address = self.address_of(variable)
            if symbol.addend:
                address = self.op(f"add i64 {address}, {symbol.addend}")
            return address, 64
        if symbol.name in self.module.functions:
            self.called[symbol.name] = None
            return self.op(f'ptrtoint ptr @"{symbol.name}" to i64'), 64
        raise self.error(f"{symbol.name} is not declared")

    def symbol_value(self, name: str) -> str:
        """The value of a special register."""
        return self.symbol(Symbol(name))[0]

    def carry_slot(self) -> str:
        """The carry of ``add.cc`` and its like."""
        slot = self.once("alloca i1")
        if f"  store i1 false, ptr {slot}" not in self.entry_lines:
            self.entry_lines.append(f"  store i1 false, ptr {slot}")
        return slot

    def has_scratch(self, name: str) -> bool:
        return name in self._scratch

    def scratch(self, name: str, size: int) -> str:
        """Memory of the function's own, the same for all that ask by that name."""
        slot = self._scratch.get(name)
        if slot is None:
            slot = self._scratch[name] = self.new("v")
            self.entry_lines.append(f"  {slot} = alloca [{size} x i8], align 16")
        return slot

    def address_of(self, variable: Variable) -> str:
        """Address of a variable in its own state space, an i64."""
        if variable.space == "shared":
            return str(self.layout.shared_offset(variable))
        if variable.space in ("global", "const"):
            offset = self.layout.global_offset(variable)
            base = self.once("load ptr, ptr %ctx, !invariant.load !0")
            return self.once(
                f"ptrtoint ptr {self.once(f'getelementptr i8, ptr {base}, i64 {offset}')} to i64"
            )
        return self.once(f"ptrtoint ptr {self.slot(variable)} to i64")

    def slot(self, variable: Variable) -> str:
        """Memory of a parameter or of a local variable."""
        known = self._slots.get(variable)
        if known is not None:
            return known
        if variable in self.function.parameters and self.function.is_entry:
            known = self.once(f"getelementptr i8, ptr %params, i64 {variable.offset}")
        elif variable in self.function.parameters:
            known = f"%p{self.function.parameters.index(variable)}"
        elif variable in self.function.results:
            known = f"%o{self.function.results.index(variable)}"
        else:
            known = self.new("v")
            align = max(variable.align, 1)
            self.entry_lines.append(
                f"  {known} = alloca [{max(variable.size, 1)} x i8], align {align}"
            )
        self._slots[variable] = known
        return known

    @property
    def arena(self) -> str:
        """Base of the block's shared memory."""
        at = self.once("getelementptr i8, ptr %self, i64 56")
        return self.once(f"load ptr, ptr {at}, !invariant.load !0")

    @property
    def arena_address(self) -> str:
        return self.once(f"ptrtoint ptr {self.arena} to i64")
