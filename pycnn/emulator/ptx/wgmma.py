"""``wgmma``: products of a warpgroup, of matrices that descriptors find in shared memory."""

from typing import Any

from pycnn.emulator.ptx import accumulators
from pycnn.emulator.ptx.bits import immediate
from pycnn.emulator.ptx.emit import PRED, Emitter
from pycnn.emulator.ptx.matrix import ELEMENTS, Fragment, Row, codes, extents, fill, take
from pycnn.emulator.ptx.speculation import registers
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Operand, Vector

Modifiers = dict[str, Any]

#: Bytes of a row of A along K, whatever the type.
ROW = 32
_FLOAT_COLUMNS = tuple(range(8, 257, 8))
#: N of integers and single bits.
_INTEGER_COLUMNS = (8, 16, 24, *range(32, 257, 16))
#: As `How` of emulator/ptx_wgmma_calls.cpp has them.
_SATURATED, _AND, _REGISTERS = 1, 2, 4
_NEGATE, _TRANSPOSE = (8, 16), (32, 64)
_ADD_SHIFT = 7


def multiply(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``wgmma.mma_async``: D = A B + D, the four warps of a warpgroup 16 rows each."""
    _, columns, _ = extents(m["shape"])
    names = [m[k] for k in ("a", "b", "d")]
    if ELEMENTS[names[0]][1] != ELEMENTS[names[1]][1]:
        e.fail(f"{names[0]} and {names[1]} do not go together")
    target, a, b, scale, *rest = i.operands
    in_registers = isinstance(a, Vector)
    d = Fragment.of(64 // 4 * columns, names[2])
    words = e.scratch("wgmma", 4 * (128 + 4))
    fill(e, target, d, words, 0)
    if in_registers:
        fill(e, a, Fragment(TYPES["b32"], 4), words, d.bytes)
    how = _how(e, i, m, in_registers, rest)
    add = e.op(f"zext i1 {e.read(scale, PRED)} to i32")
    flags = e.op(f"or i32 {e.op(f'shl i32 {add}, {_ADD_SHIFT}')}, {how}")
    first = "0" if in_registers else e.read(a, TYPES["b64"])
    inputs = tuple(registers((a,))) if in_registers else ()
    outputs = tuple(registers((target,)))
    accumulators.require(e, outputs, inputs)
    number = e.runtime("wgmma", "i32", f"i32 {columns}", f"i32 {codes(names)}", f"i32 {flags}",
                       f"i64 {first}", f"i64 {e.read(b, TYPES['b64'])}", f"ptr {words}",
                       f"i32 {e.site}")  # fmt: skip
    take(e, target, d, words)
    accumulators.pend(e, outputs, number)


def _how(e: Emitter, i: Instruction, m: Modifiers, in_registers: bool, rest: list[Operand]) -> int:
    """The immediate operands: scales of A and B, and which of the two lie transposed."""
    how = _REGISTERS if in_registers else 0
    how |= _SATURATED if m.get("satfinite") else 0
    how |= _AND if m.get("op") == "and" else 0
    bits = ELEMENTS[m["a"]][1]
    scaled = m["d"] != "s32"
    transposable = (0 if bits != 16 else 1 if in_registers else 2) if scaled else 0
    wanted = (2 if scaled else 0) + transposable
    if len(rest) != wanted:
        e.fail(f"{len(rest)} operands behind the predicate where {wanted} are wanted")
    at = len(i.operands) - len(rest)
    for k in range(2 if scaled else 0):
        sign = immediate(e, i, at + k, -1, 1)
        if sign == 0:
            e.fail("a scale is 1 or -1")
        how |= _NEGATE[k] if sign < 0 else 0
    for k in range(transposable):
        flag = immediate(e, i, at + 2 + k, 0, 1)
        how |= flag * _TRANSPOSE[k + 2 - transposable]
    return how


def fence(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``wgmma.fence``: what was done with registers before comes before products behind it."""
    accumulators.fence(e)


def commit(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``wgmma.commit_group``."""
    if e.checked:
        e.runtime("wgmma_commit", "void")


def wait(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``wgmma.wait_group``: all groups but the youngest so many are done."""
    accumulators.wait(e, immediate(e, i, 0, 0, 1 << 20))


def rows() -> list[Row]:
    """The rows of the table of instructions."""
    rows: list[Row] = [
        ("wgmma", "fence sync aligned", "", "warp", fence),
        ("wgmma", "commit_group sync aligned", "", "warp", commit),
        ("wgmma", "wait_group sync aligned", "*", "warp", wait),
    ]
    for bits, types in (
        (16, "d=f16|f32 a=f16 b=f16"),
        (16, "d=f32 a=bf16 b=bf16"),
        (32, "d=f32 a=tf32 b=tf32"),
        (8, "d=f16|f32 a=e4m3|e5m2 b=e4m3|e5m2"),
        (8, "d=s32 a=s8|u8 b=s8|u8 ?satfinite"),
        (1, "d=s32 a=b1 b=b1 op=and popc"),
    ):
        columns = _INTEGER_COLUMNS if "s32" in types else _FLOAT_COLUMNS
        shape = "|".join(f"m64n{n}k{8 * ROW // bits}" for n in columns)
        pattern = f"mma_async sync aligned shape={shape} {types}"
        rows.append(("wgmma", pattern, ">* * b64 pred ?* ?* ?* ?*", "warp", multiply))
    return rows
