"""An entry of a module, with the functions it calls, to object code."""

from dataclasses import dataclass, field

from pycnn.emulator.ptx import helpers, table
from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.errors import PtxError
from pycnn.emulator.ptx.layout import Layout
from pycnn.emulator.ptx.statements import body
from pycnn.emulator.ptx.syntax import Function, Instruction, Module, Place
from pycnn.emulator.ptx.verify import verify
from pycnn.emulator.ptx.written import Flow


@dataclass
class Site:
    """An instruction that a report may name."""

    opcode: str
    line: int  # of the PTX
    place: Place | None


@dataclass
class Program:
    """An entry in LLVM's language, and what the runtime has to know of it."""

    entry: Function
    text: str
    layout: Layout
    written: list[int] = field(default_factory=list)  # parameters through which it writes
    sites: list[Site] = field(default_factory=list)


def translate(module: Module, entry: Function, functions: dict[str, int], checked: bool) -> Program:
    """Write an entry and all functions that it may call.

    Parameters
    ----------
    module : Module
    entry : Function
    functions : dict
        Places of the runtime's functions in the context.
    checked : bool
        Tell the runtime of every access.

    Raises
    ------
    PtxError
        If something of it is not there; names the line.
    """
    layout = Layout(module)
    program = Program(entry, "", layout)
    texts: list[str] = []
    used_helpers: set[str] = set()
    intrinsics: set[str] = set()
    flow = Flow()
    pending, done = [entry.name], set()
    while pending:
        name = pending.pop()
        if name in done:
            continue
        done.add(name)
        function = module.functions[name]
        if function.begin < 0:
            raise PtxError(
                f"{name} is declared but not defined", name=module.name, line=function.line
            )
        parsed = body(module, function)
        verify(module, function, parsed)
        flow.add(module, parsed)
        emitter = Emitter(module, function, parsed, layout, functions, checked, len(program.sites))
        texts.append(emitter.emit(table.write))
        for statement in parsed.statements:
            if isinstance(statement, Instruction):
                program.sites.append(Site(statement.opcode, statement.line, statement.place))
            else:
                program.sites.append(Site("label", statement.line, None))
        used_helpers |= emitter.helpers
        intrinsics |= emitter.intrinsics
        pending += emitter.called
    program.written = flow.parameters(entry)
    helper_text = helpers.texts(used_helpers)
    for declaration in helpers.INTRINSICS:
        if declaration.partition("@")[2].partition("(")[0] in helper_text:
            intrinsics.add(declaration)
    program.text = "\n".join(
        [helper_text, *sorted(intrinsics), *texts,
         'attributes #0 = { nounwind "probe-stack"="inline-asm" }',
         "!0 = !{}", '!1 = !{!"branch_weights", i32 1, i32 100000}', ""]
    )  # fmt: skip
    return program
