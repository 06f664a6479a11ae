"""One function of PTX to one function of LLVM's language, as text.

A register is a stack slot of as many bits, which LLVM turns into values: registers are bits, read
as whatever an instruction says. Arithmetic is in the modules `arithmetic`, `memory` ...; here is
what they write with.
"""

from collections.abc import Callable

from pycnn.emulator.ptx.accumulators import Tracked
from pycnn.emulator.ptx.layout import Layout
from pycnn.emulator.ptx.lines import float_constant, llvm_type
from pycnn.emulator.ptx.names import Names
from pycnn.emulator.ptx.shuffles import together
from pycnn.emulator.ptx.skips import skips
from pycnn.emulator.ptx.speculation import selected_loads
from pycnn.emulator.ptx.syntax import (
    TYPES,
    Body,
    Float,
    Function,
    Instruction,
    Integer,
    Label,
    Module,
    Negated,
    Operand,
    Register,
    Sink,
    Symbol,
    Type,
)
from pycnn.emulator.ptx.temporaries import temporaries
from pycnn.emulator.ptx.text import literal_bits

#: `Self::poll`: set when the running thread should call the runtime soon.
POLL = "getelementptr i8, ptr %self, i64 96"

PRED = TYPES["pred"]


class Emitter(Names):
    """Writes one function."""

    def __init__(
        self,
        module: Module,
        function: Function,
        body: Body,
        layout: Layout,
        functions: dict[str, int],
        checked: bool,
        first_site: int,
    ) -> None:
        super().__init__(module, function, layout, functions, first_site)
        self.body, self.checked = body, checked
        self._temporaries = temporaries(body) if function.is_entry else set()
        self._bits: dict[Register, str] = {}
        self._floats: dict[Register, str] = {}
        self._labels: dict[str, int] = {}
        self._skips = {} if checked else skips(body)
        # Of the first of shuffles that go together, all of them.
        self._statements, self.shuffles = (body.statements, {}) if checked else together(body)
        self.exchanged: set[Instruction] = set()  # shuffles that have been written
        self._kept: dict[Register, str] | None = None  # what registers held before a skip
        self._skipped = ""  # whether it is skipped
        self._passed: set[str] = set()
        self.selected = selected_loads(body) if checked else {}
        tracked = Tracked(body)
        self.tracked = tracked if checked and tracked.is_used else None
        self._polls: list[tuple[str, str, str, str]] = []
        self.locals = [v for v in body.variables if v.space == "local"]

    # ---- Registers and values -------------------------------------------------------------------

    def read(self, operand: Operand, type: Type) -> str:
        """The value of an operand as a type."""
        if isinstance(operand, Register):
            return self._read_register(operand, type)
        if isinstance(operand, Integer):
            if type.kind == "f" and type.bits > 16:
                if operand.value:
                    self.fail(f"{operand.value} is no floating-point literal")
                return "0.0"
            if type.kind == "pred":
                return "true" if operand.value else "false"
            return str(operand.value & ((1 << type.bits) - 1))
        if isinstance(operand, Float):
            if type.kind == "f" or (type.kind == "b" and type.bits in (32, 64)):
                bits = literal_bits(operand, type)
                is_float = llvm_type(type) in ("float", "double")
                return float_constant(bits, type.bits) if is_float else str(bits)
            self.fail(f"a floating-point literal where .{type.name} is wanted")
        if isinstance(operand, Negated) and type.kind == "pred":
            return self.op(f"xor i1 {self.read(operand.of, PRED)}, true")
        if isinstance(operand, Symbol):
            return self._resized(*self.symbol(operand), type)
        raise self.error("an operand of another form is wanted")

    def _read_register(self, register: Register, type: Type) -> str:
        wanted = llvm_type(type)
        own = register.type
        if own.bits == type.bits:
            if wanted[0] == "i":
                return self._load(register)
            known = self._floats.get(register)
            if known is None:
                known = self.op(f"bitcast i{own.bits} {self._load(register)} to {wanted}")
                self._floats[register] = known
            return known
        if (own.kind == "pred") != (type.kind == "pred"):
            self.fail(f"register {register.name} is .{own.name}, .{type.name} is wanted")
        if own.bits < type.bits:
            self.fail(f"register {register.name} of {own.bits} bits is read as .{type.name}")
        low = self.op(f"trunc i{own.bits} {self._load(register)} to i{type.bits}")
        return low if wanted[0] == "i" else self.op(f"bitcast i{type.bits} {low} to {wanted}")

    def _load(self, register: Register) -> str:
        known = self._bits.get(register)
        if known is None:
            assert register not in self._temporaries, register.name
            known = self.op(f"load i{register.type.bits}, ptr %r{register.index}")
            self._bits[register] = known
        return known

    def write(self, operand: Operand, type: Type, value: str) -> None:
        """Put a value of a type into a register; a wider one is filled as the type says."""
        if isinstance(operand, Sink):
            return
        if not isinstance(operand, Register):
            self.fail("the destination is no register")
        own = operand.type
        if (own.kind == "pred") != (type.kind == "pred"):
            self.fail(f"register {operand.name} is .{own.name}, the result .{type.name}")
        temporary = operand in self._temporaries
        if self._kept is not None and operand not in self._kept and not temporary:
            self._kept[operand] = self._load(operand)
        self._floats.pop(operand, None)
        held = llvm_type(type)
        if held[0] != "i":
            if own.bits == type.bits:
                self._floats[operand] = value
            value = self.op(f"bitcast {held} {value} to i{type.bits}")
        if own.bits > type.bits:
            extend = "sext" if type.kind == "s" else "zext"
            value = self.op(f"{extend} i{type.bits} {value} to i{own.bits}")
        elif own.bits < type.bits:
            self.fail(f"register {operand.name} of {own.bits} bits cannot take .{type.name}")
        self._bits[operand] = value
        if not temporary:
            self.line(f"store i{own.bits} {value}, ptr %r{operand.index}")

    def _resized(self, value: str, bits: int, type: Type) -> str:
        if bits == type.bits:
            return value
        if type.kind in ("f", "pred") or (bits < type.bits and type.bits > 64):
            self.fail(f"a name where .{type.name} is wanted")
        return self.op(f"{'trunc' if bits > type.bits else 'zext'} i{bits} {value} to i{type.bits}")

    # ---- The function ---------------------------------------------------------------------------

    def emit(self, instruction: Callable[["Emitter", Instruction], None]) -> str:
        """The text of the function; `instruction` writes each one."""
        for statement in self.body.statements:
            if isinstance(statement, Label):
                self._labels[statement.name] = len(self._labels)
        for statement in self._statements:
            if isinstance(statement, Label):
                self.begin_label(statement.name)
                continue
            self.at = statement
            if statement in self._skips:
                self._skipped, self._kept = self.guard(statement), {}
            elif statement.guard is not None and statement.opcode.split(".")[0] not in ("bra",):
                self._guarded(statement, instruction)
            else:
                instruction(self, statement)
        if not self._ended():
            self.return_()
        return self._assembled()

    def begin_label(self, name: str) -> None:
        label = self.label(name)
        self._end_skip()
        if not self._ended():
            self.line(f"br label %{label}")
        self.start_block(label)
        self._passed.add(name)
        self._bits.clear()
        self._floats.clear()

    def _end_skip(self) -> None:
        """Where a skip leads to: choose between what registers hold and what they held."""
        kept, self._kept = self._kept or {}, None
        for register, held in kept.items():
            t = f"i{register.type.bits}"
            value = f"select i1 {self._skipped}, {t} {held}, {t} {self._bits[register]}"
            self.line(f"store {t} {self.op(value)}, ptr %r{register.index}")

    def _ended(self) -> bool:
        return bool(self.lines) and self.lines[-1].startswith(
            ("  br ", "  ret ", "  unreachable", "  switch ")
        )

    def label(self, name: str) -> str:
        """The block of a label."""
        number = self._labels.get(name)
        if number is None:
            self.fail(f"label {name} is not defined")
        return f"L{number}"

    def guard(self, instruction: Instruction) -> str:
        """The condition under which a guarded instruction runs."""
        assert instruction.guard is not None
        value = self._load(instruction.guard)
        return self.op(f"xor i1 {value}, true") if instruction.guard_negated else value

    def _guarded(
        self, statement: Instruction, instruction: Callable[["Emitter", Instruction], None]
    ) -> None:
        then, after = self.new("g")[1:], self.new("a")[1:]
        self.line(f"br i1 {self.guard(statement)}, label %{then}, label %{after}")
        bits, floats = dict(self._bits), dict(self._floats)
        self.start_block(then)
        instruction(self, statement)
        if not self._ended():
            self.line(f"br label %{after}")
        self.start_block(after)
        # What was read or written under the guard is not known behind it.
        self._bits = {r: v for r, v in bits.items() if self._bits.get(r) == v}
        self._floats = {r: v for r, v in floats.items() if self._floats.get(r) == v}

    def unreachable(self) -> None:
        """End the block, and begin another that nothing leads to."""
        self.line("unreachable")
        self.after_jump()

    def after_jump(self) -> None:
        """What follows a jump, up to the next label, is a block of its own."""
        self.start_block(self.new("n")[1:])
        self._bits.clear()
        self._floats.clear()

    def jump(self, name: str) -> str:
        """The block to branch to for a label: on the way back, one that lets others run."""
        label = self.label(name)
        if name not in self._passed:
            return label
        poll, call = self.new("poll")[1:], self.new("yield")[1:]
        self._polls.append((poll, call, label, self.site))
        return poll

    def return_(self) -> None:
        if not self.function.is_entry:
            for i, result in enumerate(self.function.results):
                if result.space == "reg":
                    register = next(r for r in self.body.registers if r.name == result.name)
                    self.line(f"store i{register.type.bits} {self._load(register)}, ptr %o{i}")
        self.leave(exits=False)

    @property
    def result(self) -> str:
        """What functions return: nothing, or whether the thread has ended in them."""
        return "i1" if self.module.calls_may_exit else "void"

    def leave(self, exits: bool) -> None:
        """The end of the function, or of the thread."""
        returns = not self.function.is_entry and self.module.calls_may_exit
        self.line(f"ret i1 {str(exits).lower()}" if returns else "ret void")

    def call(self, function: str, arguments: str) -> None:
        """Call a function of the module; what it ends is ended here, too."""
        if not self.module.calls_may_exit:
            self.line(f"call void {function}({arguments})")
            return
        ended = self.op(f"call i1 {function}({arguments})")
        leave, onward = self.new("leave")[1:], self.new("on")[1:]
        self.line(f"br i1 {ended}, label %{leave}, label %{onward}")
        self.start_block(leave)
        self.leave(exits=True)
        self.start_block(onward)

    def _assembled(self) -> str:
        for poll, call, label, site in self._polls:
            self.start_block(poll)
            asked = self.op(f"load volatile i32, ptr {self.once(POLL)}")
            wanted = self.op(f"icmp ne i32 {asked}, 0")
            self.line(f"br i1 {wanted}, label %{call}, label %{label}, !prof !1")
            self.start_block(call)
            self.runtime("poll", "void", f"i32 {site}")
            self.line(f"br label %{label}")
        head = []
        for register in self.body.registers:
            if register in self._temporaries:
                continue
            head.append(f"  %r{register.index} = alloca i{register.type.bits}")
            head.append(f"  store i{register.type.bits} 0, ptr %r{register.index}")
        loads = []
        if not self.function.is_entry:
            for i, parameter in enumerate(self.function.parameters):
                if parameter.space == "reg":
                    r = next(r for r in self.body.registers if r.name == parameter.name)
                    loads.append(f"  %pr{i} = load i{r.type.bits}, ptr %p{i}")
                    loads.append(f"  store i{r.type.bits} %pr{i}, ptr %r{r.index}")
        text = [signature(self.function, self.result) + " {", "begin:", *head, *loads,
                *self.entry_lines, "  br label %body", "body:", *self.lines, "}"]  # fmt: skip
        return "\n".join(text)


def signature(function: Function, result: str) -> str:
    """How a function is defined: an entry gets its parameters in one block."""
    if function.is_entry:
        arguments = ["ptr %self", "ptr %ctx", "ptr noalias readonly %params"]
        return f'define void @"{function.name}"({", ".join(arguments)}) #0'
    arguments = ["ptr %self", "ptr %ctx"]
    arguments += [f"ptr %o{i}" for i in range(len(function.results))]
    arguments += [f"ptr %p{i}" for i in range(len(function.parameters))]
    return f'define internal {result} @"{function.name}"({", ".join(arguments)}) #0'
