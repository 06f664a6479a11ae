"""Bulk copies of boxes of a tensor, which a tensor map describes."""

from typing import Any

from pycnn.emulator.ptx.address import address_of
from pycnn.emulator.ptx.bulk import REDUCE
from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.syntax import TYPES, Address, Instruction, Operand, Vector

Modifiers = dict[str, Any]

_S32 = TYPES["s32"]
_IM2COL = 16
_MOST_RANK, _NUMBERS = 5, 8  # coordinates, and offsets behind them


def load(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cp.async.bulk.tensor`` into shared memory."""
    to, tensor, barrier, *rest = i.operands
    rank = int(m["dim"][0])
    offsets: tuple[Operand, ...] = ()
    if m.get("mode") == "im2col":
        if rank < 3:
            e.fail(".im2col is of three to five dimensions")
        if not rest or not isinstance(rest[0], Vector) or len(rest[0].items) != rank - 2:
            e.fail(f"{rank - 2} offsets in braces are wanted")
        offsets = rest.pop(0).items  # type: ignore[union-attr]
    mask = "0"
    if m.get("multicast"):
        if not rest:
            e.fail("the mask of blocks is missing")
        mask = e.op(f"zext i16 {e.read(rest.pop(0), TYPES['b16'])} to i32")
    if len(rest) != bool(m.get("hint")):
        e.fail("operands and modifiers do not go together")
    space = {"space": m["to"]}
    e.runtime(
        "tensor_load", "void", f"i64 {address_of(e, space, to)}", *_box(e, tensor, rank, offsets),
        f"i64 {address_of(e, space, barrier)}", f"i32 {mask}", f"i32 {_code(m, rank)}",
        f"i32 {e.site}",
    )  # fmt: skip


def store(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cp.async.bulk.tensor`` and ``cp.reduce.async.bulk.tensor`` to global memory."""
    tensor, of, *rest = i.operands
    rank = int(m["dim"][0])
    if len(rest) != bool(m.get("hint")):
        e.fail("operands and modifiers do not go together")
    operation = REDUCE[m["op"]] if m.get("op") else 0
    e.runtime(
        "tensor_store", "void", *_box(e, tensor, rank, ()),
        f"i64 {address_of(e, {'space': m['of']}, of)}", f"i32 {operation}",
        f"i32 {_code(m, rank)}", f"i32 {e.site}",
    )  # fmt: skip


def _code(m: Modifiers, rank: int) -> int:
    return rank | (_IM2COL if (m.get("mode") or "").startswith("im2col") else 0)


def _box(e: Emitter, tensor: Operand, rank: int, offsets: tuple[Operand, ...]) -> tuple[str, str]:
    """The address of the tensor map, and memory with the numbers that name a box."""
    if not isinstance(tensor, Address) or len(tensor.more) != 1:
        e.fail("a tensor map and coordinates are wanted, in brackets")
    (coordinates,) = tensor.more
    if not isinstance(coordinates, Vector) or len(coordinates.items) != rank:
        e.fail(f"{rank} coordinates in braces are wanted")
    numbers = e.scratch("box", 4 * _NUMBERS)
    for k, item in enumerate(coordinates.items):
        at = e.op(f"getelementptr i8, ptr {numbers}, i64 {4 * k}")
        e.line(f"store i32 {e.read(item, _S32)}, ptr {at}")
    for k in range(_NUMBERS - _MOST_RANK):
        at = e.op(f"getelementptr i8, ptr {numbers}, i64 {4 * (_MOST_RANK + k)}")
        offset = e.read(offsets[k], TYPES["b16"]) if k < len(offsets) else "0"
        e.line(f"store i32 {e.op(f'zext i16 {offset} to i32')}, ptr {at}")
    address = address_of(e, {"space": ""}, Address(tensor.base, tensor.offset))
    return f"i64 {address}", f"ptr {numbers}"
