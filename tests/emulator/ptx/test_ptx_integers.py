"""Integer, bit and move instructions of PTX, against Python's integers."""

import itertools

import numpy as np
import pytest
from ptx_run import each

RNG = np.random.default_rng(3)
WIDTHS = (16, 32, 64)


def edges(bits: int, count: int = 40) -> list[int]:
    """Values as bits: the ends of both ranges, neighbours of powers of two, anything."""
    full = (1 << bits) - 1
    some = {0, 1, 2, 3, full, full - 1, full >> 1, (full >> 1) + 1, (full >> 1) - 1, 31, 32, 33, 64}
    some |= {int.from_bytes(RNG.bytes(bits // 8), "little") for _ in range(count)}
    some |= {
        int.from_bytes(RNG.bytes(bits // 8), "little") >> int(RNG.integers(bits))
        for _ in range(count)
    }
    return sorted(v & full for v in some)


def arrays(bits: int, count: int = 2, limit: int = 3000) -> list[np.ndarray]:
    """Columns of all combinations of the edges, or of some of them."""
    combinations = list(itertools.product(edges(bits, 6 if count > 1 else 40), repeat=count))
    if len(combinations) > limit:
        combinations = [
            combinations[i] for i in RNG.choice(len(combinations), limit, replace=False)
        ]
    return [np.array(column, f"u{bits // 8}") for column in zip(*combinations, strict=True)]


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def values(type: str, column: np.ndarray) -> list[int]:
    bits = int(type[1:])
    return [signed(v, bits) if type[0] == "s" else v for v in column.tolist()]


def check(code: str, out_bits: int, columns, want, checked=False):
    got = each(code, f"u{out_bits // 8}", *columns, checked=checked).tolist()
    mask = (1 << out_bits) - 1
    for i, (g, w) in enumerate(zip(got, want, strict=True)):
        assert g == w & mask, (code, [hex(c[i]) for c in columns], hex(g), hex(w & mask))


@pytest.mark.parametrize("type", [f"{k}{w}" for k in "us" for w in WIDTHS])
def test_arithmetic(type):
    bits = int(type[1:])
    columns = arrays(bits)
    a, b = (values(type, c) for c in columns)
    pairs = list(zip(a, b, strict=True))
    check(f"add.{type} %d, %a, %b;", bits, columns, [x + y for x, y in pairs])
    check(f"sub.{type} %d, %a, %b;", bits, columns, [x - y for x, y in pairs])
    check(f"mul.lo.{type} %d, %a, %b;", bits, columns, [x * y for x, y in pairs])
    check(f"mul.hi.{type} %d, %a, %b;", bits, columns, [x * y >> bits for x, y in pairs])
    check(f"min.{type} %d, %a, %b;", bits, columns, [min(p) for p in pairs])
    check(f"max.{type} %d, %a, %b;", bits, columns, [max(p) for p in pairs])
    check(f"sad.{type} %d, %a, %b, %a;", bits, columns, [abs(x - y) + x for x, y in pairs])
    check(f"mad.hi.{type} %d, %a, %b, %a;", bits, columns, [(x * y >> bits) + x for x, y in pairs])
    if bits < 64:
        check(f"mul.wide.{type} %d, %a, %b;", 2 * bits, columns, [x * y for x, y in pairs])

    def quotient(x, y):
        if y == 0:
            return -1
        return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)

    check(f"div.{type} %d, %a, %b;", bits, columns, [quotient(x, y) for x, y in pairs])
    check(f"rem.{type} %d, %a, %b;", bits, columns,
          [x - y * quotient(x, y) if y else x for x, y in pairs])  # fmt: skip
    if type[0] == "s":
        check(f"abs.{type} %d, %a;", bits, columns[:1], [abs(x) for x in a])
        check(f"neg.{type} %d, %a;", bits, columns[:1], [-x for x in a])


def test_saturating_sums():
    columns = arrays(32)
    a, b = (values("s32", c) for c in columns)

    def clamp(v):
        return max(-(1 << 31), min(v, (1 << 31) - 1))

    check("add.sat.s32 %d, %a, %b;", 32, columns, [clamp(x + y) for x, y in zip(a, b, strict=True)])
    check("sub.sat.s32 %d, %a, %b;", 32, columns, [clamp(x - y) for x, y in zip(a, b, strict=True)])
    check("mad.hi.sat.s32 %d, %a, %b, %a;", 32, columns,
          [clamp((x * y >> 32) + x) for x, y in zip(a, b, strict=True)])  # fmt: skip


@pytest.mark.parametrize("bits", WIDTHS)
def test_shifts_clamp_at_the_width(bits):
    a = np.array(edges(bits), f"u{bits // 8}")
    amounts = np.array([0, 1, 5, bits - 1, bits, bits + 1, 255, 1 << 31, (1 << 32) - 1], np.uint32)
    x, n = (g.ravel() for g in np.meshgrid(a, amounts))
    pairs = list(zip(x.tolist(), n.tolist(), strict=True))
    check(f"shl.b{bits} %d, %a, %b;", bits, [x, n], [v << k if k < bits else 0 for v, k in pairs])
    check(f"shr.u{bits} %d, %a, %b;", bits, [x, n], [v >> k if k < bits else 0 for v, k in pairs])
    check(f"shr.s{bits} %d, %a, %b;", bits, [x, n],
          [signed(v, bits) >> min(k, bits - 1) for v, k in pairs])  # fmt: skip
    for k in (0, 3, bits, bits + 9):
        check(
            f"shr.s{bits} %d, %a, {k};",
            bits,
            [a],
            [signed(v, bits) >> min(k, bits - 1) for v in a.tolist()],
        )
        check(
            f"shl.b{bits} %d, %a, {k};", bits, [a], [v << k if k < bits else 0 for v in a.tolist()]
        )


def test_funnel_shifts():
    a, b = arrays(32)
    n = RNG.integers(0, 70, a.size).astype(np.uint32)
    rows = list(zip(a.tolist(), b.tolist(), n.tolist(), strict=True))
    both = [y << 32 | x for x, y, _ in rows]
    for mode, cut in (("wrap", lambda k: k & 31), ("clamp", lambda k: min(k, 32))):
        check(f"shf.l.{mode}.b32 %d, %a, %b, %c;", 32, [a, b, n],
              [v << cut(k) >> 32 for v, (_, _, k) in zip(both, rows, strict=True)])  # fmt: skip
        check(f"shf.r.{mode}.b32 %d, %a, %b, %c;", 32, [a, b, n],
              [v >> cut(k) for v, (_, _, k) in zip(both, rows, strict=True)])  # fmt: skip


@pytest.mark.parametrize("bits", [32, 64])
def test_bits(bits):
    a = np.array(edges(bits), f"u{bits // 8}")
    v = a.tolist()
    check(f"popc.b{bits} %d, %a;", 32, [a], [x.bit_count() for x in v])
    check(f"clz.b{bits} %d, %a;", 32, [a], [bits - x.bit_length() for x in v])
    check(f"brev.b{bits} %d, %a;", bits, [a], [int(f"{x:0{bits}b}"[::-1], 2) for x in v])
    check(f"not.b{bits} %d, %a;", bits, [a], [~x for x in v])
    check(f"cnot.b{bits} %d, %a;", bits, [a], [int(x == 0) for x in v])
    check(f"bfind.u{bits} %d, %a;", 32, [a], [x.bit_length() - 1 for x in v])
    check(
        f"bfind.shiftamt.u{bits} %d, %a;", 32, [a], [bits - x.bit_length() if x else -1 for x in v]
    )
    other = [x ^ (-(x >> bits - 1) & ((1 << bits) - 1)) for x in v]
    check(f"bfind.s{bits} %d, %a;", 32, [a], [x.bit_length() - 1 for x in other])


@pytest.mark.parametrize("bits", [32, 64])
def test_bit_fields(bits):
    a, b = (np.resize(np.array(edges(bits), f"u{bits // 8}"), 1000) for _ in range(2))
    RNG.shuffle(b)
    control = RNG.integers(0, 80, (2, 1000)).astype(np.uint32)
    control[:, ::7] += 250
    packed = control[0] | control[1] << np.uint32(16)
    split = "and.b32 %t1, %c, 65535; shr.u32 %t2, %c, 16;"
    rows = list(zip(a.tolist(), b.tolist(), *(c.tolist() for c in control), strict=True))

    def insert(x, y, place, length):
        place, length = place & 255, length & 255
        for i in range(length):
            if i + place < bits and i < bits:
                y = y & ~(1 << i + place) | (x >> i & 1) << i + place
        return y

    def extract(x, place, length, is_signed):  # as the ISA has it, bit by bit
        place, length = place & 255, length & 255
        top = x >> min(place + length - 1, bits - 1) & 1 if is_signed and length else 0
        found = 0
        for i in range(bits):
            inside = i < length and place + i < bits
            found |= (x >> place + i & 1 if inside else top) << i
        return found

    check(f"{split} bfi.b{bits} %d, %a, %b, %t1, %t2;", bits, [a, b, packed],
          [insert(*row) for row in rows])  # fmt: skip
    for k in "us":
        check(f"{split} bfe.{k}{bits} %d, %a, %t1, %t2;", bits, [a, b, packed],
              [extract(x, p, n, k == "s") for x, _, p, n in rows])  # fmt: skip


def test_three_input_logic():
    a, b, c = arrays(32, 3, 200)
    for table in (0, 0x80, 0x96, 0xE8, 0xCA, 0xF0, 0xFE, 0xFF, 0x1B):
        want = []
        for x, y, z in zip(a.tolist(), b.tolist(), c.tolist(), strict=True):
            bits = 0
            for i in range(32):
                index = (x >> i & 1) << 2 | (y >> i & 1) << 1 | z >> i & 1
                bits |= (table >> index & 1) << i
            want.append(bits)
        check(f"lop3.b32 %d, %a, %b, %c, {table};", 32, [a, b, c], want)


def test_permutations_of_bytes():
    a, b = arrays(32, 2, 300)
    c = RNG.integers(0, 1 << 16, a.size).astype(np.uint32)
    rows = [(x.to_bytes(4, "little") + y.to_bytes(4, "little"), z)
            for x, y, z in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)]  # fmt: skip

    def general(data, z):
        out = []
        for k in range(4):
            n = z >> 4 * k & 15
            byte = data[n & 7]
            out.append(0xFF * (byte >> 7) if n & 8 else byte)
        return int.from_bytes(bytes(out), "little")

    check("prmt.b32 %d, %a, %b, %c;", 32, [a, b, c], [general(*row) for row in rows])
    modes = {  # bytes from the highest down, of each value of the control: the ISA's table
        "f4e": ["3210", "4321", "5432", "6543"], "b4e": ["5670", "6701", "7012", "0123"],
        "rc8": ["0000", "1111", "2222", "3333"], "ecl": ["3210", "3211", "3222", "3333"],
        "ecr": ["0000", "1110", "2210", "3210"], "rc16": ["1010", "1010", "3232", "3232"],
    }  # fmt: skip
    for mode, table in modes.items():
        want = [int.from_bytes(bytes(data[int(n)] for n in reversed(table[z & 3])), "little")
                for data, z in rows]  # fmt: skip
        check(f"prmt.b32.{mode} %d, %a, %b, %c;", 32, [a, b, c], want)


def test_dot_products():
    a, b, c = arrays(32, 3, 500)
    rows = list(zip(a.tolist(), b.tolist(), c.tolist(), strict=True))

    def parts(value, bits, is_signed):
        found = [value >> i & ((1 << bits) - 1) for i in range(0, 32, bits)]
        return [signed(v, bits) for v in found] if is_signed else found

    def dot(p, q):
        return sum(u * v for u, v in zip(p, q, strict=True))

    for s, t in itertools.product("us", repeat=2):
        want = [z + dot(parts(x, 8, s == "s"), parts(y, 8, t == "s")) for x, y, z in rows]
        check(f"dp4a.{s}32.{t}32 %d, %a, %b, %c;", 32, [a, b, c], want)
        for half, at in (("lo", 0), ("hi", 2)):
            want = [z + dot(parts(x, 16, s == "s"), parts(y, 8, t == "s")[at : at + 2])
                    for x, y, z in rows]  # fmt: skip
            check(f"dp2a.{half}.{s}32.{t}32 %d, %a, %b, %c;", 32, [a, b, c], want)


def test_products_of_24_bits():
    columns = arrays(32)
    for kind in "us":

        def low(v, kind=kind):
            v &= (1 << 24) - 1
            return signed(v, 24) if kind == "s" else v

        products = [low(x) * low(y) for x, y in zip(*(c.tolist() for c in columns), strict=True)]
        check(f"mul24.lo.{kind}32 %d, %a, %b;", 32, columns, products)
        check(f"mul24.hi.{kind}32 %d, %a, %b;", 32, columns, [p >> 16 for p in products])


def test_carries_through_128_bits():
    a, b = arrays(64)
    code = """add.cc.u64 %u1, %a, %b; addc.cc.u64 %u2, %a, %a; addc.u64 %d, %b, 0;"""
    want = []
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        total = (x | x << 64 | y << 128) + (y | x << 64)
        want.append(total >> 128)
    check(code, 64, [a, b], want)
    code = """sub.cc.u64 %u1, %a, %b; subc.u64 %d, %b, %a;"""
    want = [
        ((x | y << 64) - (y | x << 64)) >> 64 for x, y in zip(a.tolist(), b.tolist(), strict=True)
    ]
    check(code, 64, [a, b], want)
    a, b = arrays(32)
    code = """mul.lo.u32 %t1, %a, %b; mad.lo.cc.u32 %t2, %a, %b, %a; madc.hi.u32 %d, %a, %b, 0;"""
    want = [(x * y + x) >> 32 for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    check(code, 32, [a, b], want)


def test_masks_and_extensions():
    a = np.array(edges(32), np.uint32)
    x, n = (g.ravel() for g in np.meshgrid(a, np.array([0, 1, 5, 31, 32, 40], np.uint32)))
    rows = list(zip(x.tolist(), n.tolist(), strict=True))
    for mode in ("wrap", "clamp"):

        def amount(k, mode=mode):
            return k & 31 if mode == "wrap" else min(k, 32)

        low = [v & ((1 << amount(k)) - 1) for v, k in rows]
        check(f"szext.{mode}.u32 %d, %a, %b;", 32, [x, n], low)
        check(f"szext.{mode}.s32 %d, %a, %b;", 32, [x, n],
              [signed(v, amount(k)) if amount(k) else 0
               for v, (_, k) in zip(low, rows, strict=True)])  # fmt: skip
        p, q = (
            g.ravel()
            for g in np.meshgrid(np.arange(40, dtype=np.uint32), np.arange(40, dtype=np.uint32))
        )
        want = [
            ((1 << amount(c)) - 1 << amount(s)) & 0xFFFFFFFF
            for s, c in zip(p.tolist(), q.tolist(), strict=True)
        ]
        check(f"bmsk.{mode}.b32 %d, %a, %b;", 32, [p, q], want)


@pytest.mark.parametrize("of", ["s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64"])
def test_conversions_between_integers(of):
    bits = int(of[1:])
    held = max(bits, 32)
    raw = np.array(edges(64), np.uint64).astype(f"u{held // 8}")
    inner = [signed(v, bits) if of[0] == "s" else v & ((1 << bits) - 1) for v in raw.tolist()]
    for to in ("s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64"):
        width = int(to[1:])
        out = max(width, 32)
        low, high = (
            (-(1 << width - 1), (1 << width - 1) - 1) if to[0] == "s" else (0, (1 << width) - 1)
        )

        def wrapped(v, to=to, width=width):
            return signed(v, width) if to[0] == "s" else v & ((1 << width) - 1)

        check(f"cvt.{to}.{of} %d, %a;", out, [raw], [wrapped(v) for v in inner])
        check(f"cvt.sat.{to}.{of} %d, %a;", out, [raw], [min(max(v, low), high) for v in inner])


def test_comparisons_and_selection():
    a, b = arrays(32)
    rows = list(zip(a.tolist(), b.tolist(), strict=True))
    for name, holds in {"eq": int.__eq__, "ne": int.__ne__, "lt": int.__lt__, "le": int.__le__,
                        "gt": int.__gt__, "ge": int.__ge__}.items():  # fmt: skip
        for kind in "us":
            want = [
                int(holds(*((signed(v, 32) if kind == "s" else v) for v in row))) for row in rows
            ]
            check(f"setp.{name}.{kind}32 %p1, %a, %b; selp.u32 %d, 1, 0, %p1;", 32, [a, b], want)
            check(f"set.{name}.u32.{kind}32 %d, %a, %b;", 32, [a, b], [-w for w in want])
    for name, holds in {
        "lo": int.__lt__,
        "ls": int.__le__,
        "hi": int.__gt__,
        "hs": int.__ge__,
    }.items():
        check(f"setp.{name}.u32 %p1, %a, %b; selp.u32 %d, 1, 0, %p1;", 32, [a, b],
              [int(holds(*row)) for row in rows])  # fmt: skip
    check(
        "slct.u32.s32 %d, %a, %b, %a;",
        32,
        [a, b],
        [x if signed(x, 32) >= 0 else y for x, y in rows],
    )


def test_vectors_are_taken_apart_and_put_together():
    a = np.array(edges(64), np.uint64)
    code = "mov.b64 {%t1, %t2}, %a; mov.b64 %d, {%t2, %t1};"
    check(code, 64, [a], [(v >> 32 | v << 32) for v in a.tolist()])
    code = "mov.b64 {%h1, %h2, %h3, %h4}, %a; mov.b64 %d, {%h4, %h1, %h3, %h2};"
    parts = a.view(np.uint16).reshape(-1, 4)
    check(code, 64, [a], parts[:, [3, 0, 2, 1]].copy().view(np.uint64).ravel().tolist())


def test_packed_sixteen_bits():
    a, b = arrays(32)
    rows = list(zip(a.tolist(), b.tolist(), strict=True))

    def halves(function, kind):
        def both(x, y):
            found = 0
            for at in (0, 16):
                p, q = x >> at & 65535, y >> at & 65535
                if kind == "s":
                    p, q = signed(p, 16), signed(q, 16)
                found |= (function(p, q) & 65535) << at
            return found

        return [both(*row) for row in rows]

    for kind in "us":
        check(f"add.{kind}16x2 %d, %a, %b;", 32, [a, b], halves(lambda p, q: p + q, kind))
        check(f"min.{kind}16x2 %d, %a, %b;", 32, [a, b], halves(min, kind))
        check(f"max.{kind}16x2 %d, %a, %b;", 32, [a, b], halves(max, kind))
