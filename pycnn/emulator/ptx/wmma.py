"""``wmma``: matrices that a warp loads, multiplies and stores as fragments."""

from typing import Any

from pycnn.emulator.ptx.address import address_of
from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.matrix import (
    ELEMENTS,
    Fragment,
    Row,
    extents,
    fill,
    multiply_fragments,
    take,
)
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Operand

Modifiers = dict[str, Any]

#: Shapes, by the type of A and B.
_LARGE = ("m16n16k16", "m32n8k16", "m8n32k16")
SHAPES = {
    "f16": _LARGE, "bf16": _LARGE, "s8": _LARGE, "u8": _LARGE, "tf32": ("m16n16k8",),
    "f64": ("m8n8k4",), "s4": ("m8n8k32",), "u4": ("m8n8k32",), "b1": ("m8n8k128",),
}  # fmt: skip
_OPERANDS = ("a", "b", "c")


def _fragment(shape: str, operand: str, element: str) -> Fragment:
    """The registers of one matrix; float16's A and B are eight in every shape."""
    rows, columns, depth = extents(shape)
    elements = {"a": rows * depth, "b": columns * depth}.get(operand, rows * columns)
    fragment = Fragment.of(elements, element)
    if element == "f16" and operand in ("a", "b"):
        return fragment._replace(registers=8, copies=8 // fragment.registers)
    return fragment


def _fits(e: Emitter, m: Modifiers, element: str) -> None:
    if m["shape"] not in SHAPES.get(element, ()):
        e.fail(f"{m['shape']} does not go with .{element}")


def _matrix(
    e: Emitter, m: Modifiers, operand: str, place: Operand, rest: tuple[Operand, ...]
) -> list[str]:
    """The arguments that say where a matrix is: extents, what it is, address and stride."""
    rows, columns, depth = extents(m["shape"])
    element = m["type"]
    if operand != "c":
        _fits(e, m, element)
    column = m["layout"] == "col"
    leading = {"a": (depth, rows), "b": (columns, depth), "c": (columns, rows)}[operand][column]
    stride = e.read(rest[0], TYPES["b32"]) if rest else str(leading)
    what = _OPERANDS.index(operand) | 4 * column | ELEMENTS[element][0] << 4
    address = address_of(e, {"space": m.get("space") or ""}, place)
    return [f"i32 {rows | columns << 8 | depth << 16}", f"i32 {what}", f"i64 {address}",
            f"i32 {stride}"]  # fmt: skip


def load(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``wmma.load``."""
    matrix = _matrix(e, m, m["operand"], i.operands[1], i.operands[2:])
    words = e.scratch("mma", 4 * 32)
    e.runtime("wmma_load", "void", *matrix, f"ptr {words}", f"i32 {e.site}")
    take(e, i.operands[0], _fragment(m["shape"], m["operand"], m["type"]), words)


def store(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``wmma.store``."""
    words = e.scratch("mma", 4 * 32)
    fill(e, i.operands[1], _fragment(m["shape"], "c", m["type"]), words, 0)
    matrix = _matrix(e, m, "c", i.operands[0], i.operands[2:])
    e.runtime("wmma_store", "void", *matrix, f"ptr {words}", f"i32 {e.site}")


def multiply(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``wmma.mma``; of float16 only the types of D and C are named."""
    names = [m.get("a") or "f16", m.get("b") or "f16", m["c"], m["d"]]
    _fits(e, m, names[0])
    if ELEMENTS[names[0]][1] != ELEMENTS[names[1]][1]:
        e.fail(f"{names[0]} and {names[1]} do not go together")
    if ELEMENTS[names[0]][1] < 8 and (m["al"], m["bl"]) != ("row", "col"):
        e.fail(f"A of .{names[0]} lies by rows, B by columns")
    fragments = [_fragment(m["shape"], o, n) for o, n in zip("abcd", names, strict=True)]
    multiply_fragments(e, i, m, names, fragments)


def rows() -> list[Row]:
    """The rows of the table of instructions."""
    shape = f"shape={'|'.join(dict.fromkeys(s for shapes in SHAPES.values() for s in shapes))}"
    layout, space = "layout=row|col", "?space=global|shared|shared::cta|shared::cluster"
    operands = "|".join(SHAPES)
    rows: list[Row] = [
        ("wmma", f"load operand=a|b sync aligned {layout} {shape} {space} type={operands}",
         ">* * ?b32", "warp", load),
        ("wmma", f"load operand=c sync aligned {layout} {shape} {space} type=f16|f32|f64|s32",
         ">* * ?b32", "warp", load),
        ("wmma", f"store d sync aligned {layout} {shape} {space} type=f16|f32|f64|s32",
         "* * ?b32", "warp", store),
        ("wmma", f"mma op=xor|and popc sync aligned al=row|col bl=row|col {shape} "
         "d=s32 a=b1 b=b1 c=s32", ">* * * *", "warp", multiply),
    ]  # fmt: skip
    for types in (
        "d=f16|f32 c=f16|f32 ?satfinite",
        "d=f32 a=bf16 b=bf16 c=f32",
        "d=f32 a=tf32 b=tf32 c=f32",
        "d=f64 a=f64 b=f64 c=f64 ?rnd=rn",
        "d=s32 a=s8|u8|s4|u4 b=s8|u8|s4|u4 c=s32 ?satfinite",
    ):
        pattern = f"mma sync aligned al=row|col bl=row|col {shape} {types}"
        rows.append(("wmma", pattern, ">* * * *", "warp", multiply))
    return rows
