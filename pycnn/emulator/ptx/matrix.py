"""Tensor cores of a warp: ``mma.sync``, ``ldmatrix``, ``stmatrix``; and ``cp.async``."""

import re
from typing import Any, NamedTuple

from pycnn.emulator.ptx.address import address_of
from pycnn.emulator.ptx.bits import immediate
from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Operand, Register, Type, Vector

Modifiers = dict[str, Any]
#: Stem, modifiers, operands, kind and writer of a row of the table of instructions.
Row = tuple[str, str, str, str, Any]

_B32 = TYPES["b32"]
#: As `Element` of emulator/matrix_element.h numbers them; bits of one.
ELEMENTS = {
    "f16": (0, 16), "bf16": (1, 16), "tf32": (2, 32), "f64": (3, 64), "s8": (4, 8), "u8": (5, 8),
    "s4": (6, 4), "u4": (7, 4), "b1": (8, 1), "e4m3": (9, 8), "e5m2": (10, 8), "f32": (11, 32),
    "s32": (12, 32),
}  # fmt: skip
#: K of each shape with M = 16 or 8 and N = 8, by the bits of an element of A.
DEPTHS: dict[int, dict[int, tuple[int, ...]]] = {
    16: {1: (128, 256), 4: (32, 64), 8: (16, 32), 16: (8, 16), 32: (4, 8), 64: (4, 8, 16)},
    8: {1: (128,), 4: (32,), 8: (16,), 64: (4,)},
}


class Fragment(NamedTuple):
    """What a lane holds of a matrix: registers of a type, the matrix once or more often."""

    type: Type
    registers: int
    copies: int = 1

    @staticmethod
    def of(elements: int, element: str) -> "Fragment":
        """A lane's share of a matrix of so many elements."""
        bits = ELEMENTS[element][1]
        return Fragment(TYPES["b64"] if bits == 64 else _B32, elements // 32 // max(32 // bits, 1))

    @property
    def bytes(self) -> int:
        return self.registers * self.type.bytes


def extents(shape: str) -> tuple[int, int, int]:
    """M, N and K of a shape."""
    match = re.fullmatch(r"m(\d+)n(\d+)k(\d+)", shape)
    assert match is not None
    m, n, k = map(int, match.groups())
    return m, n, k


def multiply(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mma.sync``: D = A B + C, the fragments as registers of all lanes."""
    rows, columns, depth = extents(m["shape"])
    names = [m[k] for k in ("a", "b", "c", "d")]
    bits = ELEMENTS[names[0]][1]
    if columns != 8 or depth not in DEPTHS.get(rows, {}).get(bits, ()):
        e.fail(f"{m['shape']} does not go with .{names[0]}")
    if bits != ELEMENTS[names[1]][1] or (m.get("op") and bits != 1):
        e.fail(f"{names[0]} and {names[1]} do not go together")
    sizes = (rows * depth, columns * depth, rows * columns, rows * columns)
    fragments = [Fragment.of(size, name) for size, name in zip(sizes, names, strict=True)]
    multiply_fragments(e, i, m, names, fragments)


def multiply_fragments(
    e: Emitter, i: Instruction, m: Modifiers, names: list[str], fragments: list[Fragment]
) -> None:
    """D = A B + C, of the types and fragments of A, B, C and D."""
    rows, columns, depth = extents(m["shape"])
    words = _filled(e, i, fragments)
    how = (
        (1 if m.get("satfinite") else 0)
        | (2 if m.get("op") == "and" else 0)
        | fragments[0].copies << 8
        | fragments[1].copies << 16
    )
    e.runtime("mma", "void", f"i32 {rows | columns << 8 | depth << 16}", f"i32 {codes(names)}",
              f"i32 {how}", f"ptr {words}", f"i32 {e.site}")  # fmt: skip
    take(e, i.operands[0], fragments[3], words)


def multiply_quads(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mma.sync.m8n8k4`` of float16: four products, of eight lanes each."""
    names = ["f16", "f16", m["c"], m["d"]]
    fragments = [Fragment(_B32, n) for n in (2, 2, *(4 if c == "f16" else 8 for c in names[2:]))]
    words = _filled(e, i, fragments)
    how = (m["al"] == "col") | (m["bl"] == "col") << 1
    e.runtime("mma_quads", "void", f"i32 {codes(names)}", f"i32 {how}", f"ptr {words}",
              f"i32 {e.site}")  # fmt: skip
    take(e, i.operands[0], fragments[3], words)


def codes(names: list[str]) -> int:
    """Types of elements, four bits each."""
    return sum(ELEMENTS[name][0] << 4 * k for k, name in enumerate(names))


def _filled(e: Emitter, i: Instruction, fragments: list[Fragment]) -> str:
    """Memory with the registers of A, B and C."""
    words = e.scratch("mma", 4 * 32)
    at = 0
    for operand, fragment in zip(i.operands[1:4], fragments[:3], strict=True):
        fill(e, operand, fragment, words, at)
        at += fragment.bytes
    return words


def fill(e: Emitter, operand: Operand, fragment: Fragment, words: str, at: int) -> None:
    """Put the registers of a fragment into memory."""
    for k, item in enumerate(_items(e, operand, fragment.registers)):
        slot = e.op(f"getelementptr i8, ptr {words}, i64 {at + k * fragment.type.bytes}")
        e.line(f"store i{fragment.type.bits} {e.read(item, fragment.type)}, ptr {slot}")


def take(e: Emitter, operand: Operand, fragment: Fragment, words: str) -> None:
    """Get the registers of a fragment from memory."""
    for k, item in enumerate(_items(e, operand, fragment.registers)):
        slot = e.op(f"getelementptr i8, ptr {words}, i64 {k * fragment.type.bytes}")
        e.write(item, fragment.type, e.op(f"load i{fragment.type.bits}, ptr {slot}"))


def _items(e: Emitter, operand: Operand, count: int) -> tuple[Operand, ...]:
    items = operand.items if isinstance(operand, Vector) else (operand,)
    if len(items) != count:
        e.fail(f"{len(items)} registers where {count} are wanted")
    return items


_TILES = {"x1": 1, "x2": 2, "x4": 4}


def load(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``ldmatrix``: 8x8 tiles of 16-bit elements."""
    count = _TILES[m["num"]]
    words = e.scratch("tiles", 16)
    row = address_of(e, {"space": m.get("space") or ""}, i.operands[1])
    code = count | (8 if m.get("trans") else 0)
    e.runtime("ldmatrix", "void", f"i32 {code}", f"i64 {row}", f"ptr {words}", f"i32 {e.site}")
    for k, item in enumerate(_items(e, i.operands[0], count)):
        slot = e.op(f"getelementptr i8, ptr {words}, i64 {4 * k}")
        e.write(item, _B32, e.op(f"load i32, ptr {slot}"))


def store(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``stmatrix``."""
    count = _TILES[m["num"]]
    words = e.scratch("tiles", 16)
    for k, item in enumerate(_items(e, i.operands[1], count)):
        slot = e.op(f"getelementptr i8, ptr {words}, i64 {4 * k}")
        e.line(f"store i32 {e.read(item, _B32)}, ptr {slot}")
    row = address_of(e, {"space": m.get("space") or ""}, i.operands[0])
    code = count | (8 if m.get("trans") else 0)
    e.runtime("stmatrix", "void", f"i32 {code}", f"i64 {row}", f"ptr {words}", f"i32 {e.site}")


def copy(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cp.async``: in the checked build nothing arrives before it is waited for."""
    size = immediate(e, i, 2, 4, 16)
    if size not in (4, 8, 16) or (m["cop"] == "cg" and size != 16):
        e.fail(f"{size} bytes; allowed: 4, 8, 16, and 16 only with .cg")
    to = address_of(e, {"space": "shared"}, i.operands[0])
    of = address_of(e, {"space": "global"}, i.operands[1])
    source = str(size)
    rest = i.operands[3:]
    if m.get("hint"):
        rest = rest[:-1]
    if rest and isinstance(rest[0], Register) and rest[0].type.kind == "pred":
        ignored = e.read(rest[0], TYPES["pred"])  # where it holds, zeros arrive
        source = e.op(f"select i1 {ignored}, i32 0, i32 {size}")
    elif rest:
        source = e.read(rest[0], _B32)
    e.runtime("copy_async", "void", f"i64 {to}", f"i64 {of}", f"i32 {size}", f"i32 {source}",
              f"i32 {e.site}")  # fmt: skip


def commit(e: Emitter, i: Instruction, m: Modifiers) -> None:
    e.runtime("copy_commit", "void")


def wait(e: Emitter, i: Instruction, m: Modifiers) -> None:
    groups = immediate(e, i, 0, 0, 1 << 20)
    e.runtime("copy_wait", "void", f"i32 {groups}", "i32 0")


def wait_all(e: Emitter, i: Instruction, m: Modifiers) -> None:
    e.runtime("copy_wait", "void", "i32 0", "i32 1")


def rows() -> list[Row]:
    """The rows of the table of instructions."""
    shapes = sorted({(r, k) for r, t in DEPTHS.items() for ks in t.values() for k in ks})
    shape = "shape=" + "|".join(f"m{r}n8k{k}" for r, k in shapes)
    product = f"sync aligned {shape} row col ?satfinite"
    single_bits = f"{product} d=s32 a=b1 b=b1 c=s32 op=xor|and popc"
    quads = "sync aligned m8n8k4 al=row|col bl=row|col d=f16|f32 a=f16 b=f16 c=f16|f32"
    rows: list[Row] = [
        ("mma", f"{product} {types}", ">* * * *", "warp", multiply)
        for types in (
            "d=f16|f32 a=f16 b=f16 c=f16|f32",
            "d=f32 a=bf16 b=bf16 c=f32",
            "d=f32 a=tf32 b=tf32 c=f32",
            "d=f64 a=f64 b=f64 c=f64",
            "?kind=kind::f8f6f4 d=f16|f32 a=e4m3|e5m2 b=e4m3|e5m2 c=f16|f32",
            "d=s32 a=s8|u8|s4|u4 b=s8|u8|s4|u4 c=s32",
        )
    ]
    tile = "sync aligned m8n8 num=x1|x2|x4 ?trans ?space=shared|shared::cta b16"
    return [
        ("mma", quads, ">* * * *", "warp", multiply_quads),
        *rows,
        ("mma", single_bits, ">* * * *", "warp", multiply),
        ("ldmatrix", tile, ">* *", "warp", load),
        ("stmatrix", tile, "* *", "warp", store),
    ]
