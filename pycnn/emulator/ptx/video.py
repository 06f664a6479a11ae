"""``vabsdiff2`` and ``vabsdiff4``, the video instructions that the compiler still makes."""

from collections.abc import Callable
from typing import Any

from pycnn.emulator.ptx.emit import Emitter

Modifiers = dict[str, Any]


def absolute_difference(parts: int) -> Callable[..., str]:
    """Of each half or byte of a and b; with ``.add`` their sum and c."""
    bits = 32 // parts

    def run(e: Emitter, m: Modifiers, a: str, b: str, c: str) -> str:
        total = c if m.get("add") else "0"
        for k in range(parts):
            x, y = (_part(e, m[t].kind == "s", v, k * bits, bits) for t, v in (("A", a), ("B", b)))
            difference = e.op(f"sub i32 {x}, {y}")
            size = e.intrinsic("llvm.abs.i32", "i32", f"i32 {difference}", "i1 false")
            if not m.get("add"):
                kept = e.op(f"and i32 {size}, {(1 << bits) - 1}")
                total = e.op(f"or i32 {total}, {e.op(f'shl i32 {kept}, {k * bits}')}")
            else:
                total = e.op(f"add i32 {total}, {size}")
        return total

    return run


def _part(e: Emitter, signed: bool, value: str, shift: int, bits: int) -> str:
    part = e.op(f"trunc i32 {e.op(f'lshr i32 {value}, {shift}')} to i{bits}")
    return e.op(f"{'sext' if signed else 'zext'} i{bits} {part} to i32")
