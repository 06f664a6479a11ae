"""What threads do together: barriers, shuffles, votes, fences."""

from typing import Any

from pycnn.emulator.ptx.emit import PRED, Emitter
from pycnn.emulator.ptx.shuffles import MOST
from pycnn.emulator.ptx.syntax import TYPES, Instruction, Integer, Pair, Type

Modifiers = dict[str, Any]

_B32 = TYPES["b32"]
_SHUFFLES = ("up", "down", "bfly", "idx")
_VOTES = ("all", "any", "uni", "ballot")
_REDUCTIONS = ("add", "min", "max", "and", "or", "xor")


def barrier(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``bar.sync`` and ``barrier.sync``."""
    _barrier(e, i.operands, "1", 0)


def barrier_arrive(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``bar.arrive``: to be waited for by others."""
    if len(i.operands) != 2:
        e.fail("the number of threads is missing")
    _barrier(e, i.operands, "0", 1)


def barrier_reduce(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``bar.red``: the predicates of all threads, counted or combined."""
    predicate = e.read(i.operands[-1], PRED)
    wide = e.op(f"zext i1 {predicate} to i32")
    how = {"popc": 2, "and": 3, "or": 4}[m["op"]]
    result = _barrier(e, i.operands[1:-1], wide, how)
    if m["op"] == "popc":
        e.write(i.operands[0], TYPES["u32"], result)
    else:
        e.write(i.operands[0], PRED, e.op(f"icmp ne i32 {result}, 0"))


def _barrier(e: Emitter, operands: tuple[Any, ...], predicate: str, how: int) -> str:
    number = e.read(operands[0], TYPES["u32"]) if operands else "0"
    if operands and isinstance(operands[0], Integer) and not 0 <= operands[0].value <= 15:
        e.fail(f"barrier {operands[0].value}; allowed: 0 to 15")
    count = e.read(operands[1], TYPES["u32"]) if len(operands) > 1 else "0"
    return e.runtime("barrier", "i32", f"i32 {how}", f"i32 {number}", f"i32 {count}",
                     f"i32 {predicate}", f"i32 {e.site}")  # fmt: skip


def synchronise_warp(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``bar.warp.sync``."""
    e.runtime("warpsync", "void", f"i32 {e.read(i.operands[0], _B32)}", f"i32 {e.site}")


def fence(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``membar`` and ``fence``: those beyond the block order blocks."""
    e.runtime("fence_block" if m.get("scope") == "cta" else "fence", "void")


def shuffle(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``shfl.sync``: a second destination says whether the source lane was in range."""
    group = e.shuffles.get(i, [i])
    if i in e.exchanged:
        return
    e.exchanged.update(group)
    words = e.scratch("shuffled words", 4 * MOST)
    places = [e.op(f"getelementptr i8, ptr {words}, i64 {4 * k}") for k in range(len(group))]
    for s, place in zip(group, places, strict=True):
        e.line(f"store i32 {e.read(s.operands[1], _B32)}, ptr {place}")
    b, c, mask = (e.read(operand, _B32) for operand in i.operands[2:])
    inside = e.runtime(
        "shuffle", "i32", f"i32 {_SHUFFLES.index(m['mode'])}", f"i32 {len(group)}", f"ptr {words}",
        f"i32 {b}", f"i32 {c}", f"i32 {mask}", f"i32 {e.site}",
    )  # fmt: skip
    in_range = e.op(f"icmp ne i32 {inside}, 0")
    for s, place in zip(group, places, strict=True):
        target = s.operands[0]
        if isinstance(target, Pair):
            e.write(target.second, PRED, in_range)
            target = target.first
        e.write(target, _B32, e.op(f"load i32, ptr {place}"))


def vote(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``vote.sync``."""
    predicate = e.op(f"zext i1 {e.read(i.operands[1], PRED)} to i32")
    mask = e.read(i.operands[2], _B32)
    result = e.runtime("vote", "i32", f"i32 {_VOTES.index(m['mode'])}", f"i32 {predicate}",
                       f"i32 {mask}", f"i32 {e.site}")  # fmt: skip
    if m["mode"] == "ballot":
        e.write(i.operands[0], _B32, result)
    else:
        e.write(i.operands[0], PRED, e.op(f"icmp ne i32 {result}, 0"))


def match(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``match.any.sync`` and ``match.all.sync``."""
    type: Type = m["T"]
    target = i.operands[0]
    value = e.read(i.operands[1], type)
    wide = e.op(f"zext i32 {value} to i64") if type.bits == 32 else value
    result = e.runtime("match", "i32", f"i32 {int(m['mode'] == 'all')}", f"i64 {wide}",
                       f"i32 {e.read(i.operands[2], _B32)}", f"i32 {e.site}")  # fmt: skip
    if isinstance(target, Pair):
        e.write(target.second, PRED, e.op(f"icmp ne i32 {result}, 0"))
        target = target.first
    e.write(target, _B32, result)


def reduce_warp(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``redux.sync``."""
    type: Type = m["T"]
    code = _REDUCTIONS.index(m["op"]) << 2 | {"u": 0, "b": 0, "s": 1, "f": 2}[type.kind]
    if type.kind == "f":
        code |= (32 if m.get("abs") else 0) | (64 if m.get("NaN") else 0)
    result = e.runtime("reduce", "i32", f"i32 {code}", f"i32 {e.read(i.operands[1], _B32)}",
                       f"i32 {e.read(i.operands[2], _B32)}", f"i32 {e.site}")  # fmt: skip
    e.write(i.operands[0], _B32, result)


def active_mask(e: Emitter, i: Instruction, m: Modifiers) -> None:
    e.write(i.operands[0], _B32, e.runtime("activemask", "i32", f"i32 {e.site}"))


def elect(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``elect.sync``: the lowest lane of the mask."""
    mask = e.read(i.operands[1], _B32)
    e.runtime("warpsync", "void", f"i32 {mask}", f"i32 {e.site}")
    leader = e.intrinsic("llvm.cttz.i32", "i32", f"i32 {mask}", "i1 false")
    lane = e.symbol_value("%laneid")
    chosen = e.op(f"icmp eq i32 {lane}, {leader}")
    target = i.operands[0]
    if isinstance(target, Pair):
        e.write(target.first, _B32, leader)
        target = target.second
    e.write(target, PRED, chosen)
