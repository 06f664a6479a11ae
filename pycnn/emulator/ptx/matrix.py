"""Tensor cores of a warp: ``mma.sync``, ``ldmatrix``, ``stmatrix``; and ``cp.async``."""

import re
from typing import Any

from pycnn.emulator.ptx.address import address_of
from pycnn.emulator.ptx.bits import immediate
from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Operand, Register, Vector

Modifiers = dict[str, Any]

_B32 = TYPES["b32"]
#: As `Element` of emulator/ptx_matrix.h numbers them; bits of one.
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


def multiply(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mma.sync``: D = A B + C, the fragments as registers of all lanes."""
    shape = re.fullmatch(r"m(\d+)n(\d+)k(\d+)", m["shape"])
    assert shape is not None
    rows, columns, depth = map(int, shape.groups())
    names = [m[k] for k in ("a", "b", "c", "d")]
    (_, bits), *_ = elements = [ELEMENTS[n] for n in names]
    if columns != 8 or depth not in DEPTHS.get(rows, {}).get(bits, ()):
        e.fail(f"{m['shape']} does not go with .{names[0]}")
    if bits != elements[1][1] or (m.get("op") and bits != 1):
        e.fail(f"{names[0]} and {names[1]} do not go together")
    counts = [
        _registers(rows * depth, bits),
        _registers(columns * depth, bits),
        _registers(rows * columns, elements[2][1]),
    ]
    words = e.scratch("mma", 4 * 32)
    at = 0
    for operand, count, element in zip(i.operands[1:], counts, elements[:3], strict=True):
        type = TYPES["b64"] if element[1] == 64 else _B32
        for item in _items(e, operand, count):
            slot = e.op(f"getelementptr i8, ptr {words}, i64 {at}")
            e.line(f"store i{type.bits} {e.read(item, type)}, ptr {slot}")
            at += type.bytes
    packed = sum(code << 4 * k for k, (code, _) in enumerate(elements))
    code = (
        rows
        | depth << 8
        | (1 << 30 if m.get("satfinite") else 0)
        | (1 << 31 if m.get("op") == "and" else 0)
    )
    e.runtime("mma", "void", f"i32 {code}", f"i32 {packed}", f"ptr {words}", f"i32 {e.site}")
    type = TYPES["b64"] if elements[3][1] == 64 else _B32
    for k, item in enumerate(_items(e, i.operands[0], _registers(rows * columns, elements[3][1]))):
        slot = e.op(f"getelementptr i8, ptr {words}, i64 {k * type.bytes}")
        e.write(item, type, e.op(f"load i{type.bits}, ptr {slot}"))


def _registers(elements: int, bits: int) -> int:
    """Registers of a lane for its share of a matrix."""
    return elements // 32 // max(32 // bits, 1)


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
