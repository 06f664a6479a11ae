"""Special registers: who a thread is, and what is around it."""

import re
from typing import NoReturn, Protocol

from pycnn.emulator.ptx import layout
from pycnn.emulator.ptx.layout import Layout


class Writer(Protocol):
    """What this module needs of `names.Names`, which uses it."""

    layout: Layout

    def op(self, text: str) -> str: ...
    def once(self, text: str) -> str: ...
    def intrinsic(self, name: str, result: str, *arguments: str) -> str: ...
    def runtime(self, name: str, result: str, *arguments: str) -> str: ...
    def fail(self, message: str) -> NoReturn: ...


#: Where `Self` (emulator/include/pycnn_emulator/abi.h) keeps threadIdx, blockIdx ...
_TRIPLES = {
    "%tid": 0,
    "%ctaid": 12,
    "%ntid": 24,
    "%nctaid": 36,
    # And `ClusterPlace` (emulator/worker.h) behind it.
    "%cluster_ctaid": 256,
    "%cluster_nctaid": 268,
    "%clusterid": 280,
    "%nclusterid": 292,
}
_WORDS = {"%cluster_ctarank": 304, "%cluster_nctarank": 308}
_THREAD, _DYNAMIC_SIZE, _EXPLICIT = 48, 88, 312
_CONSTANTS = {
    "%smid": 0, "%nsmid": 1, "%reserved_smem_offset_begin": 0,
    "%reserved_smem_offset_end": 0, "WARP_SZ": 32,
}  # fmt: skip
_LANE_MASKS = {
    "%lanemask_eq": "shl i32 1, {0}",
    "%lanemask_lt": "sub i32 {1}, 1",
    "%lanemask_le": "or i32 {1}, {2}",
    "%lanemask_gt": "xor i32 {3}, -1",
    "%lanemask_ge": "sub i32 0, {1}",
}
NAMES = frozenset(
    [
        *(f"{name}.{axis}" for name in _TRIPLES for axis in "xyz"),
        *_CONSTANTS,
        *_WORDS, "%is_explicit_cluster",
        *_LANE_MASKS,
        "%laneid", "%warpid", "%nwarpid", "%gridid", "%clock", "%clock_hi", "%clock64",
        "%globaltimer", "%globaltimer_lo", "%globaltimer_hi", "%dynamic_smem_size",
        "%total_smem_size", "%aggr_smem_size", "%current_graph_exec",
        *(f"%envreg{i}" for i in range(32)), *(f"%pm{i}" for i in range(8)),
    ]
)  # fmt: skip


def read(e: Writer, name: str) -> tuple[str, int]:
    """Value of a special register and its width in bits."""
    if name not in NAMES:
        e.fail(f"{name} is not declared, and no special register of that name is there")
    base, _, axis = name.partition(".")
    if base in _TRIPLES:
        return _self(e, _TRIPLES[base] + 4 * "xyz".index(axis)), 32
    if base in _WORDS:
        return _self(e, _WORDS[base]), 32
    if base == "%is_explicit_cluster":
        return e.once(f"icmp ne i32 {_self(e, _EXPLICIT)}, 0"), 1
    if base in _CONSTANTS:
        return str(_CONSTANTS[base]), 32
    if name in _LANE_MASKS:
        lane = e.once(f"and i32 {_self(e, _THREAD)}, 31")
        bit = e.once(f"shl i32 1, {lane}")
        below = e.once(f"sub i32 {bit}, 1")
        upto = e.once(f"or i32 {bit}, {below}")
        return e.once(_LANE_MASKS[name].format(lane, bit, below, upto)), 32
    if name == "%laneid":
        return e.once(f"and i32 {_self(e, _THREAD)}, 31"), 32
    if name == "%warpid":
        return e.once(f"lshr i32 {_self(e, _THREAD)}, 5"), 32
    if name == "%nwarpid":
        threads = e.once(f"mul i32 {_self(e, 24)}, {_self(e, 28)}")
        threads = e.once(f"mul i32 {threads}, {_self(e, 32)}")
        return e.once(f"lshr i32 {e.once(f'add i32 {threads}, 31')}, 5"), 32
    if name == "%clock64":
        return e.intrinsic("llvm.readcyclecounter", "i64"), 64
    if name in ("%clock", "%clock_hi"):
        return _half(e, e.intrinsic("llvm.readcyclecounter", "i64"), name.endswith("_hi")), 32
    if name == "%globaltimer":
        return e.runtime("globaltimer", "i64"), 64
    if name.startswith("%globaltimer"):
        return _half(e, e.runtime("globaltimer", "i64"), name.endswith("_hi")), 32
    if name in ("%dynamic_smem_size", "%total_smem_size", "%aggr_smem_size"):
        at = e.once(f"getelementptr i8, ptr %self, i64 {_DYNAMIC_SIZE}")
        size = e.once(f"load i64, ptr {at}, !invariant.load !0")
        size = e.once(f"trunc i64 {size} to i32")
        static = 0 if name.startswith("%dynamic") else e.layout.shared_bytes
        return (e.once(f"add i32 {size}, {static}") if static else size), 32
    if name in ("%envreg1", "%envreg2"):  # high and low half of the address of the grid's barrier
        place = layout.GRID_POINTER + (4 if name == "%envreg1" else 0)
        memory = e.once("load ptr, ptr %ctx, !invariant.load !0")
        half = e.once(f"getelementptr i8, ptr {memory}, i64 {place}")
        return e.once(f"load i32, ptr {half}, !invariant.load !0"), 32
    if re.fullmatch(r"%gridid|%current_graph_exec", name):
        return "0", 64
    return "0", 32


def _half(e: Writer, value: str, high: bool) -> str:
    if high:
        value = e.op(f"lshr i64 {value}, 32")
    return e.op(f"trunc i64 {value} to i32")


def _self(e: Writer, offset: int) -> str:
    at = e.once(f"getelementptr i8, ptr %self, i64 {offset}")
    return e.once(f"load i32, ptr {at}, !invariant.load !0")
