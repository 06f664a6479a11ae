"""Every instruction there is: its modifiers, its operands, and what writes it.

A row reads like the ISA's syntax. Of the modifiers, ``?name=a|b`` may be there, ``name=a|b`` must,
a bare ``?name`` is itself. Operands are named by the modifier or the type they have; ``>`` marks a
destination, ``~`` one whose register may be wider, ``?`` one that may be left out, ``*`` anything.
"""

from pycnn.emulator.ptx import (
    address,
    async_table,
    atomic,
    bits,
    compare,
    control,
    convert,
    convert_small,
    floating,
    integer,
    matrix,
    memory,
    video,
    warp,
    wgmma,
    wmma,
)
from pycnn.emulator.ptx.forms import find, full, syntax, type_of, value, write

__all__ = ["async_table", "find", "syntax", "type_of", "write"]

_INTEGERS = "u16|u32|u64|s16|s32|s64"
_PAIRS = "u16x2|s16x2"
_HALVES = "f16|bf16"
_PACKED = "f16x2|bf16x2"
_BITS = "b16|b32|b64"
_ROUND = "?rnd=rn|rz|rm|rp"
_each = integer.each_half

for _stem in ("add", "sub"):
    _op = integer.add_sub(_stem)
    value(_stem, f"T={_INTEGERS}", "T T", _op)
    value(_stem, "sat T=s32", "T T", _op)
    value(_stem, f"T={_PAIRS}", "T T", _each(_op))
    value(_stem, f"{_ROUND} ?ftz ?sat T=f32", "T T", floating.arithmetic(_stem))
    value(_stem, f"{_ROUND} T=f64", "T T", floating.arithmetic(_stem))
    value(_stem, f"?rnd=rn ?ftz ?sat T={_HALVES}", "T T", floating.half(_stem))
    value(_stem, f"?rnd=rn ?ftz ?sat T={_PACKED}", "T T", _each(floating.half(_stem)))
    full(_stem, "cc T=u32|s32|u64|s64", ">T T T", "pure", integer.carrying(_stem, False))
    full(_stem + "c", "?cc T=u32|s32|u64|s64", ">T T T", "pure", integer.carrying(_stem, True))

value("mul", f"half=lo|hi T={_INTEGERS}", "T T", integer.multiply)
value("mul", "half=wide T=u16|u32|u64|s16|s32|s64", "T T", integer.multiply, "W")
value("mul", f"{_ROUND} ?ftz ?sat T=f32", "T T", floating.arithmetic("mul"))
value("mul", f"{_ROUND} T=f64", "T T", floating.arithmetic("mul"))
value("mul", f"?rnd=rn ?ftz ?sat T={_HALVES}", "T T", floating.half("mul"))
value("mul", f"?rnd=rn ?ftz ?sat T={_PACKED}", "T T", _each(floating.half("mul")))
value("mad", f"half=lo|hi T={_INTEGERS}", "T T T", integer.multiply_add)
value("mad", "half=hi sat T=s32", "T T T", integer.multiply_add)
value("mad", "half=wide T=u16|u32|s16|s32", "T T W", integer.multiply_add, "W")
value("mad", f"{_ROUND} ?ftz ?sat T=f32|f64", "T T T", floating.fused)
full("mad", "half=lo|hi cc T=u32|s32|u64|s64", ">T T T T", "pure", integer.multiply_carrying(False))
full(
    "madc", "half=lo|hi ?cc T=u32|s32|u64|s64", ">T T T T", "pure", integer.multiply_carrying(True)
)
value("mul24", "half=lo|hi T=u32|s32", "T T", integer.multiply24)
value("mad24", "half=lo|hi ?sat T=u32|s32", "T T T", integer.multiply24_add)
value("fma", "rnd=rn|rz|rm|rp ?ftz ?sat T=f32", "T T T", floating.fused)
value("fma", "rnd=rn|rz|rm|rp T=f64", "T T T", floating.fused)
value("fma", f"rnd=rn ?ftz ?sat ?relu T={_HALVES}", "T T T", floating.half_fused)
value("fma", f"rnd=rn ?ftz ?sat ?relu T={_PACKED}", "T T T", _each(floating.half_fused))

value("div", f"T={_INTEGERS}", "T T", integer.divide("div"))
value("div", "rnd=rn|rz|rm|rp|approx|full ?ftz T=f32", "T T", floating.arithmetic("div"))
value("div", "rnd=rn|rz|rm|rp T=f64", "T T", floating.arithmetic("div"))
value("rem", f"T={_INTEGERS}", "T T", integer.divide("rem"))
value("rcp", "rnd=rn|rz|rm|rp|approx ?ftz T=f32", "T", floating.reciprocal)
value("rcp", "rnd=rn|rz|rm|rp T=f64", "T", floating.reciprocal)
value("rcp", "rnd=approx ftz T=f64", "T", floating.upper_half(floating.reciprocal))
value("sqrt", "rnd=rn|rz|rm|rp|approx ?ftz T=f32", "T", floating.square_root)
value("sqrt", "rnd=rn|rz|rm|rp T=f64", "T", floating.square_root)
value("rsqrt", "approx ?ftz T=f32", "T", floating.approximate("rsqrt"))
value("rsqrt", "approx T=f64", "T", floating.approximate("rsqrt"))
value("rsqrt", "approx ftz T=f64", "T", floating.upper_half(floating.approximate("rsqrt")))
for _stem in ("sin", "cos", "ex2", "lg2"):
    value(_stem, "approx ?ftz T=f32", "T", floating.approximate(_stem))
for _stem in ("sin", "cos"):
    value(_stem, "approx unit=2pi ?ftz T=f32", "T", floating.approximate(_stem + "2pi"))
value("ex2", "approx T=f16", "T", floating.half_approximate("ex2"))
value("ex2", "approx ftz T=bf16", "T", floating.half_approximate("ex2"))
value("ex2", "approx T=f16x2", "T", _each(floating.half_approximate("ex2")))
value("ex2", "approx ftz T=bf16x2", "T", _each(floating.half_approximate("ex2")))
value("tanh", "approx T=f32", "T", floating.approximate("tanh"))
value("tanh", f"approx T={_HALVES}", "T", floating.half_approximate("tanh"))
value("tanh", f"approx T={_PACKED}", "T", _each(floating.half_approximate("tanh")))

value("abs", "T=s16|s32|s64", "T", integer.absolute)
value("neg", "T=s16|s32|s64", "T", integer.negate)
for _stem, _op in (("abs", floating.absolute), ("neg", floating.negate)):
    value(_stem, "?ftz T=f32|f64", "T", _op)
    value(_stem, f"?ftz T={_HALVES}", "T", floating.half_sign(_stem))
    value(_stem, f"?ftz T={_PACKED}", "T", _each(floating.half_sign(_stem)))
for _stem in ("min", "max"):
    value(_stem, f"T={_INTEGERS}", "T T", integer.min_max(_stem))
    value(_stem, "relu T=s32", "T T", integer.min_max(_stem))
    value(_stem, "?relu T=s16x2", "T T", _each(integer.min_max(_stem)))
    value(_stem, "T=u16x2", "T T", _each(integer.min_max(_stem)))
    value(_stem, "?ftz ?NaN ?xorsign ?abs T=f32", "T T ?T", floating.min_max(_stem))
    value(_stem, "T=f64", "T T", floating.min_max(_stem))
    value(_stem, f"?ftz ?NaN T={_HALVES}", "T T", floating.half_min_max(_stem))
    value(_stem, f"?ftz ?NaN T={_PACKED}", "T T", _each(floating.half_min_max(_stem)))
value("sad", f"T={_INTEGERS}", "T T T", integer.sad)
value("copysign", "T=f32|f64", "T T", floating.copy_sign)
value(
    "testp", "what=finite|infinite|number|notanumber|normal|subnormal T=f32|f64", "T",
    floating.test_property, "pred",
)  # fmt: skip

for _stem in ("and", "or", "xor"):
    value(_stem, f"T=pred|{_BITS}", "T T", bits.plain(_stem))
value("not", f"T=pred|{_BITS}", "T", bits.not_)
value("cnot", f"T={_BITS}", "T", bits.cnot)
full("lop3", "T=b32", ">T T T T *", "pure", bits.lop3)
value("shl", f"T={_BITS}", "T u32", bits.shift("shl"))
value("shr", f"T={_BITS}|{_INTEGERS}", "T u32", bits.shift("shr"))
value("shf", "way=l|r mode=clamp|wrap T=b32", "T T u32", bits.funnel)
value("popc", "T=b32|b64", "T", bits.population, "u32")
value("clz", "T=b32|b64", "T", bits.leading_zeros, "u32")
value("brev", "T=b32|b64", "T", bits.reverse_bits)
value("bfind", "?shiftamt T=u32|u64|s32|s64", "T", bits.find_bit, "u32")
value("bfe", "T=u32|u64|s32|s64", "T u32 u32", bits.extract)
value("bfi", "T=b32|b64", "T T u32 u32", bits.insert)
value("szext", "mode=clamp|wrap T=u32|s32", "T u32", bits.sign_extend)
value("bmsk", "mode=clamp|wrap T=b32", "u32 u32", bits.bit_mask)
value("prmt", "T=b32 ?mode=f4e|b4e|rc8|ecl|ecr|rc16", "T T T", bits.permute)
for _parts in (2, 4):
    value(f"vabsdiff{_parts}", "D=u32|s32 A=u32|s32 B=u32|s32 ?add", "A B b32",
          video.absolute_difference(_parts), "b32")  # fmt: skip
value("dp4a", "A=u32|s32 B=u32|s32", "A B b32", integer.dot4, "b32")
value("dp2a", "half=lo|hi A=u32|s32 B=u32|s32", "A B b32", integer.dot2, "b32")

_ANY = f"{_BITS}|{_INTEGERS}|f32|f64"
_ORDER = "|".join(compare.ORDERED)
_COMPARE = f"{_ORDER}|{'|'.join(compare.UNSIGNED)}|{'|'.join(compare.FLOAT_ONLY)}"
_BOOL = "?bool=and|or|xor"
full("setp", f"cmp={_COMPARE} {_BOOL} ?ftz T={_ANY}|{_HALVES}", ">* T T ?*", "pure",
     compare.set_predicate)  # fmt: skip
full(
    "setp", f"cmp={_COMPARE} {_BOOL} ?ftz T={_PACKED}", ">* T T ?*", "pure", compare.set_predicates
)
full("set", f"cmp={_COMPARE} {_BOOL} ?ftz D=u32|s32|f32|u16|s16|f16|bf16 T={_ANY}|{_HALVES}",
     ">D T T ?*", "pure", compare.set_value)  # fmt: skip
full("set", f"cmp={_COMPARE} {_BOOL} ?ftz D={_PACKED}|u16x2|s16x2|u32|s32 T={_PACKED}",
     ">D T T ?*", "pure", compare.set_values)  # fmt: skip
full("selp", f"T={_ANY}", ">T T T pred", "pure", memory.select)
full("slct", f"?ftz T={_ANY} S=s32|f32", ">T T T S", "pure", compare.select_by_sign)

_CVT = "u8|u16|u32|u64|s8|s16|s32|s64|f16|bf16|f32|f64"
_CVT_ROUND = "?rnd=rn|rz|rm|rp|rni|rzi|rmi|rpi"
full("cvt", f"{_CVT_ROUND} ?ftz ?sat ?relu ?satfinite D={_CVT} S={_CVT}", ">~D ~S", "pure",
     convert.convert)  # fmt: skip
full("cvt", f"rnd=rn|rz ?relu ?satfinite D={_PACKED} S=f32", ">D S S", "pure", convert.convert_pair)
full("cvt", "rnd=rn|rz|rna ?relu ?satfinite D=tf32 S=f32", ">b32 S", "pure", convert.convert_tf32)
full("cvt", "pack sat D=u16|s16 S=s32", ">b32 S S", "pure", convert.convert_pack)
full("cvt", "pack sat D=u8|s8 S=s32 T=b32", ">b32 S S ?T", "pure", convert.convert_pack)

full("mov", f"T=pred|{_ANY}|b128", ">* *", "pure", memory.move)

_SPACE = (
    "?space=global|shared|local|const|param|shared::cta|shared::cluster|param::entry|param::func"
)
_CACHE = (
    "?cop=ca|cg|cs|lu|cv|wb|wt ?nc ?l1=L1::evict_normal|L1::evict_unchanged|L1::evict_first|"
    "L1::evict_last|L1::no_allocate ?l2=L2::evict_normal|L2::evict_first|L2::evict_last "
    "?hint=L2::cache_hint ?size=L2::64B|L2::128B|L2::256B"
)
_STRONG = "?order=weak|volatile|relaxed|acquire|release ?mmio ?scope=cta|cluster|gpu|sys"
_STORED = "b8|b16|b32|b64|b128|u8|u16|u32|u64|s8|s16|s32|s64|f16|f32|f64"
full(
    "ld",
    f"{_STRONG} {_SPACE} {_CACHE} ?vec=v2|v4|v8 T={_STORED}",
    ">~* * ?*",
    "memory",
    memory.load,
)
full("ldu", f"{_SPACE} ?vec=v2|v4 T={_STORED}", ">~* *", "memory", memory.load)
full(
    "st",
    f"{_STRONG} {_SPACE} {_CACHE} ?vec=v2|v4|v8 T={_STORED}",
    "* ~* ?*",
    "memory",
    memory.store,
)
for _stem in ("prefetch", "prefetchu", "applypriority", "discard"):
    full(_stem, f"{_SPACE} level=L1|L2|L2::evict_normal|L2::evict_last ?size=128", "* ?*", "memory",
         memory.prefetch)  # fmt: skip
full("createpolicy", "fractional "
     "p1=L2::evict_last|L2::evict_normal|L2::evict_first|L2::evict_unchanged "
     "?p2=L2::evict_first|L2::evict_unchanged T=b64", ">T ?*", "pure", control.policy)  # fmt: skip
_ATOM = "?order=relaxed|acquire|release|acq_rel ?scope=cta|cluster|gpu|sys"
_OPS = "op=and|or|xor|cas|exch|add|inc|dec|min|max"
_ATOM_TYPES = "b16|b32|b64|u32|u64|s32|s64|f16|bf16|f16x2|bf16x2|f32|f64"
for _stem, _op, _operands in (
    ("atom", atomic.atomic, ">* * * ?* ?*"),
    ("red", atomic.reduction, "* * ?* ?*"),
):
    full(_stem, f"{_ATOM} {_SPACE} {_OPS} ?noftz ?hint=L2::cache_hint ?vec=v2|v4|v8 "
         f"T={_ATOM_TYPES}", _operands, "memory", _op)  # fmt: skip
full("atom", f"{_ATOM} {_SPACE} op=cas|exch ?hint=L2::cache_hint T=b128", ">* * * ?* ?*", "memory",
     atomic.atomic)  # fmt: skip
_CVTA = "space=global|shared|local|const|param|shared::cta|shared::cluster T=u32|u64"
full("cvta", _CVTA, ">T *", "pure", address.to_generic)  # fmt: skip
full("cvta", f"to {_CVTA}", ">~T *", "pure", address.from_generic)  # fmt: skip
full("isspacep", "space=global|shared|local|const|shared::cta|shared::cluster", ">pred *", "pure",
     address.is_in_space)  # fmt: skip

full("bra", "?uni", "*", "control", control.branch)
full("brx", "idx ?uni", "u32 *", "control", control.branch_indexed)
full("call", "?uni", "* ?* ?* ?*", "control", control.call)
full("ret", "?uni", "", "control", control.ret)
full("exit", "", "", "control", control.exit_)
full("trap", "", "", "control", control.trap)
full("alloca", "T=u64", ">T T ?*", "control", control.allocate)
full("stacksave", "T=u64", ">T", "control", control.save_stack)
full("stackrestore", "T=u64", "T", "control", control.restore_stack)
full("brkpt", "", "", "control", control.nothing)
full("pmevent", "?mask", "*", "control", control.nothing)
full("nanosleep", "T=u32", "T", "control", control.sleep)
full("setmaxnreg", "what=inc|dec sync aligned T=u32", "*", "control", control.set_registers)
full("griddepcontrol", "what=launch_dependents|wait", "", "control", control.nothing)

for _stem in ("bar", "barrier"):
    _of = "?cta ?aligned"
    full(_stem, f"{_of} sync", "?* ?*", "warp", warp.barrier)
    full(_stem, f"{_of} arrive", "* *", "warp", warp.barrier_arrive)
    full(_stem, f"{_of} red op=popc T=u32", ">u32 * ?* ?*", "warp", warp.barrier_reduce)
    full(_stem, f"{_of} red op=and|or T=pred", ">pred * ?* ?*", "warp", warp.barrier_reduce)
full("bar", "warp sync", "b32", "warp", warp.synchronise_warp)
full("membar", "scope=cta|gl|sys", "", "warp", warp.fence)
full("fence", "?order=sc|acq_rel|acquire|release scope=cta|cluster|gpu|sys", "", "warp", warp.fence)
full("shfl", "sync mode=up|down|bfly|idx T=b32", ">* b32 b32 b32 b32", "warp", warp.shuffle)
full("vote", "sync mode=all|any|uni T=pred", ">pred pred b32", "warp", warp.vote)
full("vote", "sync mode=ballot T=b32", ">b32 pred b32", "warp", warp.vote)
full("match", "mode=any|all sync T=b32|b64", ">* T b32", "warp", warp.match)
full("redux", "sync op=add|min|max T=u32|s32", ">T T b32", "warp", warp.reduce_warp)
full("redux", "sync op=and|or|xor T=b32", ">T T b32", "warp", warp.reduce_warp)
full("redux", "sync op=min|max ?abs ?NaN T=f32", ">T T b32", "warp", warp.reduce_warp)
full("activemask", "T=b32", ">b32", "warp", warp.active_mask)
full("elect", "sync", ">* b32", "warp", warp.elect)

for _row in (*convert_small.rows(), *matrix.rows(), *wmma.rows(), *wgmma.rows()):
    full(*_row)
full("cp", "async cop=ca|cg to=shared|shared::cta of=global ?hint=L2::cache_hint "
     "?size=L2::64B|L2::128B|L2::256B", "* * * ?* ?*", "memory", matrix.copy)  # fmt: skip
full("cp", "async commit_group", "", "memory", matrix.commit)
full("cp", "async wait_group", "*", "memory", matrix.wait)
full("cp", "async wait_all", "", "memory", matrix.wait_all)
