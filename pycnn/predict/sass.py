"""Machine code of a kernel: instructions with their control words, basic blocks and loops.

``nvdisasm`` names the instructions and, with ``-lineinfo``, the line of PTX that each was made of.
The 21 bits by which the compiler schedules are taken from the encoding, where they stand at the
same place from sm_75 to sm_120 (Jia et al., arXiv 1804.06826, for Volta).
"""

import functools
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pycnn.runtime.extras import MissingExtra, import_extra, install

#: No scoreboard: the value of three bits all set.
NONE = 7

_LINE = re.compile(r'//## File "\.nv_debug_ptx_txt", line (\d+)')
_LABEL = re.compile(r"^(\.L_\w+):")
_SECTION = re.compile(r"^\.text\.(\S+):$")
_INSTRUCTION = re.compile(
    r"/\*(?P<address>[0-9a-f]{4,})\*/\s+(?:@(?P<guard>!?U?P\w+)\s+)?(?P<op>[A-Z][\w.]*)"
    r"\s*(?P<operands>.*?)\s*;\s*/\* 0x[0-9a-f]{16} \*/"
)
_ENCODING = re.compile(r"/\* (0x[0-9a-f]{16}) \*/")
_SECOND = re.compile(r"^\s*/\* 0x([0-9a-f]{16}) \*/")
_TARGET = re.compile(r"\.L_x?_?\w+")

#: Instructions behind which another block of instructions begins.
_ENDS = frozenset(("BRA", "BRX", "BRXU", "JMP", "JMX", "EXIT", "RET", "CALL", "BREAK", "BSYNC"))


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Attributes
    ----------
    op, operands, guard : str
        ``LDS.128``, its operands as text, and the predicate such as ``!P0``, or nothing.
    line : int
        Of the PTX that it was made of; 0 where nothing says so.
    targets : tuple of int
        Instructions that a branch may go to.
    stall : int
        Clocks until the warp may issue its next one.
    write_barrier, read_barrier : int
        Scoreboard that falls when the result is there, or the operands have been read.
    waits : int
        A bit for each scoreboard that must have fallen before.
    """

    op: str
    operands: str
    guard: str
    line: int
    targets: tuple[int, ...]
    stall: int
    write_barrier: int
    read_barrier: int
    waits: int

    @property
    def base(self) -> str:
        """``LDS`` of ``LDS.128``."""
        return self.op.partition(".")[0]

    @property
    def width(self) -> int:
        """Bytes a thread loads or stores, by the instruction's suffix."""
        for suffix, size in ((".128", 16), (".64", 8), (".U16", 2), (".S16", 2), (".16", 2),
                             (".U8", 1), (".S8", 1)):  # fmt: skip
            if suffix in self.op:
                return size
        return 4


@dataclass(frozen=True)
class Block:
    """Instructions from `begin` to before `end`, entered at the first and left at the last."""

    begin: int
    end: int


@dataclass(frozen=True)
class Listing:
    """All instructions of an entry, in the order of their addresses."""

    instructions: tuple[Instruction, ...]

    def blocks(self) -> tuple[Block, ...]:
        """Basic blocks, in the order of their addresses."""
        return self._blocks

    @functools.cached_property
    def _blocks(self) -> tuple[Block, ...]:
        starts = {0}
        for i, instruction in enumerate(self.instructions):
            starts.update(instruction.targets)
            if instruction.base in _ENDS:
                starts.add(i + 1)
        edges = sorted(s for s in starts if s < len(self.instructions))
        return tuple(map(Block, edges, (*edges[1:], len(self.instructions))))

    def loops(self) -> tuple[tuple[int, int], ...]:
        """First and last instruction of every loop, inner ones first."""
        found = {
            (target, i)
            for i, instruction in enumerate(self.instructions)
            for target in instruction.targets
            if target <= i and instruction.base not in ("CALL", "RET") and target != i
        }
        # Of two branches back to one place the later closes the loop.
        closed = {begin: max(e for b, e in found if b == begin) for begin, _ in found}
        return tuple(sorted(closed.items(), key=lambda loop: loop[1] - loop[0]))


def decode(word: int) -> tuple[int, int, int, int]:
    """Stall, write and read scoreboard, and scoreboards waited for, of an encoding's upper half."""
    return word >> 41 & 15, word >> 46 & 7, word >> 49 & 7, word >> 52 & 63


def listings(text: str) -> dict[str, Listing]:
    """Every entry in what ``nvdisasm`` prints."""
    return {name: Listing(tuple(_resolved(rows))) for name, rows in _sections(text)}


def encodings(text: str, name: str) -> list[str]:
    """An entry's machine code in what ``nvdisasm`` prints: two words an instruction."""
    section = text.partition(f"\n.text.{name}:\n")[2].partition("\n\t.section")[0]
    return _ENCODING.findall(section)


_Row = tuple[int, re.Match[str], int, int]  # line, instruction, encoding, position


def _sections(text: str) -> Iterator[tuple[str, tuple[list[_Row], dict[str, int]]]]:
    name, line = "", 0
    rows: list[_Row] = []
    labels: dict[str, int] = {}
    pending: re.Match[str] | None = None
    for row in text.splitlines():
        if section := _SECTION.match(row):
            if name and rows:
                yield name, (rows, labels)
            name, line, rows, labels, pending = section[1], 0, [], {}, None
        elif label := _LABEL.match(row):
            labels[label[1]] = len(rows)
        elif at := _LINE.search(row):
            line = int(at[1])
        elif pending is None:
            pending = _INSTRUCTION.search(row)
        elif second := _SECOND.match(row):
            rows.append((line, pending, int(second[1], 16), len(rows)))
            pending = None
    if name and rows:
        yield name, (rows, labels)


def _resolved(section: tuple[list[_Row], dict[str, int]]) -> Iterator[Instruction]:
    rows, labels = section
    while rows and rows[-1][1]["op"] in ("NOP", "BRA") and len(rows) > 1:
        rows.pop()  # what fills up the last line of the instruction cache
    for line, found, word, _ in rows:
        stall, write, read, waits = decode(word)
        base = found["op"].partition(".")[0]
        # BSSY and the like name where threads meet again, which is no branch.
        names = _TARGET.findall(found["operands"]) if base in _ENDS else []
        targets = tuple(labels[n] for n in names if labels.get(n, len(rows)) < len(rows))
        yield Instruction(found["op"], found["operands"], found["guard"] or "", line, targets,
                          stall, write, read, waits)  # fmt: skip


def disassemble(cubin: bytes) -> str:
    """What ``nvdisasm`` says of a cubin, with encodings and lines of PTX.

    Raises
    ------
    MissingExtra
        If the tool is not installed.
    """
    pathfinder = import_extra("cuda.pathfinder", "compile", "finding nvdisasm")
    tool = pathfinder.find_nvidia_binary_utility("nvdisasm") or shutil.which("nvdisasm")
    triton = sys.modules.get("triton")
    if tool is None and triton:  # which brings its own
        tool = str(triton.knobs.nvidia.nvdisasm.path)
    if tool is None:
        raise MissingExtra(
            f"reading machine code needs nvdisasm; install it with: {install('compile')}"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(cubin)
        command = [
            str(tool),
            "--print-code",
            "--print-line-info-ptx",
            "--print-instruction-encoding",
            str(path),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"nvdisasm: {done.stderr.strip()}")
    return done.stdout
