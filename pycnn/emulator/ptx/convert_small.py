"""``cvt`` between pairs of floating-point numbers of eight bits and fewer, and larger ones."""

from typing import Any

from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.floating import narrowed, widened
from pycnn.emulator.ptx.integer import lanes, packed
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Type

Modifiers = dict[str, Any]

F32 = TYPES["f32"]
#: As `SmallFloat` of emulator/small_float.h numbers them.
FORMATS = ("e4m3x2", "e5m2x2", "e3m2x2", "e2m3x2", "e2m1x2", "ue8m0x2")
_RELU, _UP, _SATURATED = 16, 32, 64


def _code(m: Modifiers, format: Type) -> int:
    """Format and how to convert, as the runtime takes it."""
    flags = (_RELU if m.get("relu") else 0) | (_SATURATED if m.get("satfinite") else 0)
    return FORMATS.index(format.name) | flags | (_UP if m.get("rnd") == "rp" else 0)


def to_small(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """From two f32, the first of which becomes the upper half, or from a packed pair."""
    to, of = m["D"], m["S"]
    if of is F32:
        if len(i.operands) != 3:
            e.fail("two numbers are wanted")
        values = [e.read(i.operands[k], F32) for k in (2, 1)]
    elif len(i.operands) != 2:
        e.fail("one pair of numbers is wanted")
    else:
        inner = TYPES[of.name[:-2]]
        values = [widened(e, inner, half) for half in lanes(e, e.read(i.operands[1], of))]
    low, high = (
        e.runtime("small_encode", "i32", f"i32 {_code(m, to)}", f"float {value}")
        for value in values
    )
    both = e.op(f"or i32 {low}, {e.op(f'shl i32 {high}, {to.bits // 2}')}")
    e.write(i.operands[0], to, e.op(f"trunc i32 {both} to i{to.bits}"))


def from_small(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """To a packed pair."""
    to, of = m["D"], m["S"]
    inner = TYPES[to.name[:-2]]
    pair = e.op(f"zext i{of.bits} {e.read(i.operands[1], of)} to i32")
    halves = []
    for k in (0, 1):
        bits = e.op(f"lshr i32 {pair}, {k * of.bits // 2}") if k else pair
        bits = e.op(f"and i32 {bits}, {(1 << of.bits // 2) - 1}")
        value = e.runtime("small_decode", "float", f"i32 {_code(m, of)}", f"i32 {bits}")
        halves.append(narrowed(e, inner, value, "rn"))
    e.write(i.operands[0], to, packed(e, *halves))


def rows() -> list[tuple[str, str, str, str, Any]]:
    """The rows of the table of instructions."""
    small = "|".join(FORMATS[:-1])
    wide = "S=f32|f16x2|bf16x2"
    return [
        ("cvt", f"rnd=rn satfinite ?relu D={small} {wide}", ">D S ?S", "pure", to_small),
        ("cvt", "rnd=rz|rp ?satfinite D=ue8m0x2 S=f32|bf16x2", ">D S ?S", "pure", to_small),
        ("cvt", f"rnd=rn ?relu D=f16x2|bf16x2 S={small}", ">D S", "pure", from_small),
        ("cvt", "rnd=rn D=bf16x2 S=ue8m0x2", ">D S", "pure", from_small),
    ]
