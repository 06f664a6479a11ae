"""Tensor maps that a kernel makes itself: ``tensormap.replace``, a field at a time."""

from typing import Any

from pycnn.emulator.ptx.address import READ, WRITE, address_of, check, pointer
from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.syntax import Instruction, Integer

Modifiers = dict[str, Any]

_MAGIC = 0x50414D524F534E54
#: Where emulator/tensor_map.h has a field, and its bits; of those with an index, of the first.
_FIELDS = {
    "global_address": (8, 64), "rank": (16, 8), "elemtype": (17, 8), "interleave_layout": (18, 8),
    "swizzle_mode": (19, 8), "fill_mode": (20, 8), "global_dim": (24, 32),
    "global_stride": (48, 64), "box_dim": (80, 16), "element_stride": (90, 8),
}  # fmt: skip
_INDEXED = {"global_dim": 5, "global_stride": 4, "box_dim": 5, "element_stride": 5}
#: Types that PTX numbers otherwise than the driver: .f32.ftz, .f64 and .bf16.
_TYPES = {8: 10, 9: 8, 10: 9}
_SIZE, _LANE = 128, 4


def replace(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``tensormap.replace``: a rank counts from zero; the ISA has strides in bytes."""
    field, space = m["field"], {"space": m.get("space") or ""}
    where, *index, value = i.operands
    offset, bits = _FIELDS[field]
    if field in _INDEXED:
        at = index[0] if index else None
        if not isinstance(at, Integer) or not 0 <= at.value < _INDEXED[field]:
            e.fail(f"the number of a dimension is wanted, 0 to {_INDEXED[field] - 1}")
        offset += at.value * bits // 8
    elif index:
        e.fail(f".{field} has no dimensions")
    if field == "elemtype" and isinstance(value, Integer):
        value = Integer(_TYPES.get(value.value, value.value))
    if field == "interleave_layout" and isinstance(value, Integer) and value.value:
        e.fail("interleaved layout is not there")
    new = e.read(value, m["T"])
    if field == "global_dim":
        new = e.op(f"sub i32 {new}, 1")  # kept less one
    elif field == "rank":
        new = e.op(f"add i32 {new}, 1")
    wide = m["T"].bits
    if bits < wide:
        new = e.op(f"trunc i{wide} {new} to i{bits}")
    address = address_of(e, space, where)
    if field == "global_address":
        _store(e, i, space, address, 0, 64, str(_MAGIC))
    _store(e, i, space, address, offset, bits, new)


def _store(
    e: Emitter, i: Instruction, space: Modifiers, base: str, offset: int, bits: int, value: str
) -> None:
    at = e.op(f"add i64 {base}, {offset}")
    check(e, space, i.operands[0], at, bits // 8, WRITE)
    e.line(f"store i{bits} {value}, ptr {pointer(e, at)}, align {min(bits // 8, 8)}")


def copy(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``tensormap.cp_fenceproxy``: the lanes of the warp copy four bytes each, and wait."""
    size = i.operands[2]
    if not isinstance(size, Integer) or size.value != _SIZE:
        e.fail(f"the size is {_SIZE}")
    lane = e.op(f"zext i32 {e.symbol_value('%laneid')} to i64")
    mine = e.op(f"mul i64 {lane}, {_LANE}")
    ends = []
    for operand, space, access in (
        (i.operands[1], {"space": m["of"]}, READ), (i.operands[0], {"space": "global"}, WRITE),
    ):  # fmt: skip
        at = e.op(f"add i64 {address_of(e, space, operand)}, {mine}")
        check(e, space, operand, at, _LANE, access)
        ends.append(pointer(e, at))
    value = e.op(f"load i32, ptr {ends[0]}, align 4")
    e.line(f"store i32 {value}, ptr {ends[1]}, align 4")
    e.runtime("fence", "void")
    e.runtime("warpsync", "void", "i32 -1", f"i32 {e.site}")
