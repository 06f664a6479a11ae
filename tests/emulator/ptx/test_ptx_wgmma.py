"""``wgmma``: every type and layout against NumPy."""

import importlib.util

import numpy as np
import pytest
from test_ptx_matrix_float8 import values as float8
from wgmma_run import descriptor, image, product

from pycnn.emulator import PtxError, PtxModule, RawKernel

RNG = np.random.default_rng(17)
BOTH = pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])


def numbers(kind, rows):
    """A matrix of 32 bytes a row: as it lies in memory, and its values."""
    if kind in ("s8", "u8"):
        x = RNG.integers(0, 256, (rows, 32)).astype(np.uint8)
        x = x.view(np.int8) if kind == "s8" else x
        return x, x.astype(np.int64)
    if kind in ("e4m3", "e5m2"):
        x = RNG.integers(0, 0x78, (rows, 32)).astype(np.uint8)
        x |= (RNG.integers(0, 2, x.shape) << 7).astype(np.uint8)
        return x, float8(x, kind)
    x = RNG.standard_normal((rows, 8 if kind == "tf32" else 16)).astype(np.float32)
    if kind == "f16":
        return x.astype(np.float16), x.astype(np.float16).astype(np.float64)
    bits = x.view(np.uint32) & (0xFFFFE000 if kind == "tf32" else 0xFFFF0000)
    exact = bits.view(np.float32).astype(np.float64)
    return (bits.view(np.float32) if kind == "tf32" else (bits >> 16).astype(np.uint16)), exact


DEPTHS = {"f16": 16, "bf16": 16, "tf32": 8, "e4m3": 32, "e5m2": 32, "s8": 32, "u8": 32}


def multiply(
    ka, kb, d, columns, *, la, lb, from_registers=False, add=1, signs=(1, 1), checked=True
):
    """One product in random numbers, and what it should be; `la` and `lb`: swizzle, transposed."""
    a, va = numbers(ka, 64)
    b, vb = numbers(kb, columns)
    memory, places = np.zeros(0, np.uint8), []
    for x, (swizzle, transposed), rows in ((a, la, 64), (b, lb, columns)):
        if swizzle:  # rows of a pattern, which a transposed matrix has several of side by side
            leading, stride = (2 * 8 * swizzle, 8 * swizzle) if transposed else (16, 8 * swizzle)
        else:
            leading, stride = (128, 256) if transposed else (rows // 8 * 128 + 128, 128)
        bytes_ = image(x, swizzle, transposed, leading, stride)
        bytes_ = bytes_[: -(-(np.flatnonzero(bytes_)[-1] + 1) // 2048) * 2048]
        places.append(descriptor(memory.size, leading, stride, swizzle))
        memory = np.concatenate([memory, bytes_])
    dtype = {"f32": np.float32, "f16": np.float16, "s32": np.int32}[d]
    c = (RNG.standard_normal((64, columns)) * (1000 if d == "s32" else 1)).astype(dtype)
    rest = ""
    if d != "s32":
        rest = f", {signs[0]}, {signs[1]}"
        if DEPTHS[ka] == 16:
            rest += f", {int(lb[1])}" if from_registers else f", {int(la[1])}, {int(lb[1])}"
    opcode = f"wgmma.mma_async.sync.aligned.m64n{columns}k{DEPTHS[ka]}.{d}.{ka}.{kb}"
    got = product(
        opcode, memory, *places, c, columns, dtype, a=a if from_registers else None, add=add,
        rest=rest, checked=checked,
    )  # fmt: skip
    wide = np.int64 if d == "s32" else np.float64
    exact = (c.astype(wide) if add else 0) + signs[0] * signs[1] * (va @ vb.T)
    np.testing.assert_array_equal(got, exact.astype(dtype))


@BOTH
@pytest.mark.parametrize(
    ("ka", "kb", "d"),
    [
        ("f16", "f16", "f32"),
        ("f16", "f16", "f16"),
        ("bf16", "bf16", "f32"),
        ("tf32", "tf32", "f32"),
        ("e4m3", "e5m2", "f32"),
        ("e5m2", "e4m3", "f32"),
        ("s8", "u8", "s32"),
        ("u8", "s8", "s32"),
    ],
)
def test_types(ka, kb, d, checked):
    for from_registers in (False, True):
        multiply(ka, kb, d, 24, la=(128, False), lb=(128, False), from_registers=from_registers,
                 checked=checked)  # fmt: skip


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("swizzle", [0, 32, 64, 128])
def test_layouts(swizzle, transposed):
    multiply("bf16", "bf16", "f32", 64, la=(swizzle, transposed), lb=(128, False))
    multiply("bf16", "bf16", "f32", 128, la=(0, False), lb=(swizzle, transposed), checked=False)


@pytest.mark.parametrize("swizzle", [0, 32, 64])
def test_layouts_of_bytes(swizzle):
    multiply("s8", "s8", "s32", 48, la=(swizzle, False), lb=(swizzle, False))


@pytest.mark.parametrize("columns", [8, 16, 40, 120, 256])
def test_columns(columns):
    multiply("f16", "f16", "f32", columns, la=(32, False), lb=(64, False), checked=columns < 100)


def test_signs_and_no_addition():
    for signs in ((1, -1), (-1, 1), (-1, -1)):
        multiply("f16", "f16", "f32", 16, la=(0, False), lb=(0, False), signs=signs)
    multiply("f16", "f16", "f32", 16, la=(0, False), lb=(0, False), add=0)
    multiply("s8", "s8", "s32", 16, la=(0, False), lb=(0, False), add=0)


@pytest.mark.parametrize("operation", ["and", "xor"])
def test_single_bits(operation):
    if operation == "xor":
        with pytest.raises(PtxError, match="is not there"):
            _bits(operation)
    else:
        _bits(operation)


def _bits(operation):
    a, b = (RNG.integers(0, 256, (rows, 32)).astype(np.uint8) for rows in (64, 16))
    memory = np.concatenate([image(x, 0, False, 2048, 128)[:4096] for x in (a, b)])
    c = RNG.integers(-100, 100, (64, 16)).astype(np.int32)
    met = np.unpackbits(a[:, None] & b[None], axis=2).sum(2)
    opcode = f"wgmma.mma_async.sync.aligned.m64n16k256.s32.b1.b1.{operation}.popc"
    got = product(opcode, memory, descriptor(0, 2048, 128), descriptor(4096, 2048, 128), c, 16,
                  np.int32)  # fmt: skip
    np.testing.assert_array_equal(got, c + met)


def test_satfinite():
    a, b = np.full((64, 32), 127, np.int8), np.full((8, 32), 127, np.int8)
    memory = np.concatenate([image(x, 0, False, 2048, 128)[:4096] for x in (a, b)])
    c = np.full((64, 8), 2**31 - 5, np.int32)
    places = descriptor(0, 2048, 128), descriptor(4096, 2048, 128)
    for flag, want in ((".satfinite", 2**31 - 1), ("", 2**31 - 5 + 32 * 127 * 127 - 2**32)):
        opcode = f"wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8{flag}"
        got = product(opcode, memory, *places, c, 8, np.int32)
        assert (got == want).all()


def test_a_tile_that_begins_within_its_pattern():
    """Along K a swizzled tile is advanced by 32 bytes of its address."""
    a = RNG.standard_normal((64, 64)).astype(np.float16)
    b = RNG.standard_normal((8, 64)).astype(np.float16)

    def swizzled(x):
        out = np.zeros(8192, np.uint8)
        rows = x.view(np.uint8)
        for row in range(x.shape[0]):
            for piece in range(8):
                at = row * 128 + (piece ^ row % 8) * 16
                out[at : at + 16] = rows[row, piece * 16 : piece * 16 + 16]
        return out

    memory = np.concatenate([swizzled(a), swizzled(b)])
    opcode = "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16"
    for k in range(4):
        places = (descriptor(at + 32 * k, 16, 1024, 128) for at in (0, 8192))
        got = product(opcode, memory, *places, None, 8, np.float32, rest=", 1, 1, 0, 0")
        part = slice(16 * k, 16 * k + 16)
        want = a[:, part].astype(np.float64) @ b[:, part].astype(np.float64).T
        np.testing.assert_array_equal(got, want.astype(np.float32))


def test_forms_that_are_not_there():
    d = "{%r1, %r2, %r3, %r4}"
    for line, why in (
        (f"m64n8k16.f32.f16.f16 {d}, %rd1, %rd2, %p1, 1, 1, 0;", "3 operands behind"),
        (f"m64n8k16.f32.f16.f16 {d}, %rd1, %rd2, %p1, 2, 1, 0, 0;", "from -1 to 1"),
        (f"m64n8k16.f32.f16.f16 {d}, %rd1, %rd2, %p1, 0, 1, 0, 0;", "1 or -1"),
        (f"m64n8k32.f32.f16.f16 {d}, %rd1, %rd2, %p1, 1, 1, 0, 0;", "is not there"),
        (f"m64n40k32.s32.s8.s8 {d}, %rd1, %rd2, %p1;", "is not there"),
        (f"m64n16k16.f32.f16.f16 {d}, %rd1, %rd2, %p1, 1, 1, 0, 0;", "8 are wanted"),
    ):
        text = (
            ".version 8.0\n.target sm_90a\n.address_size 64\n.visible .entry test()\n{"
            ".reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p<2>;"
            f"wgmma.mma_async.sync.aligned.{line} ret; }}"
        )
        with pytest.raises(PtxError, match=why):
            PtxModule(text).get_function("test")


STATIC = """
#include <cuda_fp16.h>
typedef unsigned long long u64;
extern "C" __global__ void product(const uint4* a, const uint4* b, float* c) {
    extern __shared__ uint4 other[];
    __shared__ __align__(128) uint4 tile[128 + 16];
    int i = threadIdx.x;
    tile[i] = a[i];
    if (i < 16) tile[128 + i] = b[i];
    other[i] = make_uint4(1, 2, 3, 4);
    asm volatile("fence.proxy.async;" ::: "memory");
    __syncthreads();
    auto describe = [](const void* p) {
        u64 start = (unsigned)__cvta_generic_to_shared(p);
        return (MASKED ? (start & 0x3ffff) >> 4 : start >> 4) | (u64)(1024 >> 4) << 16 |
               (u64)(128 >> 4) << 32;
    };
    u64 first = describe(tile), second = describe(tile + 128);
    second = (second & ~((u64)0x3fff << 16)) | (u64)(128 >> 4) << 16;
    float d[4] = {};
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    asm volatile("{.reg .pred p; setp.eq.u32 p, 0, 1;"
                 "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%0, %1, %2, %3}, %4, %5, p, 1,"
                 "1, 0, 0;}"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "l"(first), "l"(second));
    asm volatile("wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;" ::: "memory");
    for (int k = 0; k < 4; ++k)
        c[(i / 32 * 16 + i % 32 / 4 + k / 2 * 8) * 8 + i % 4 * 2 + k % 2] = d[k];
}"""


@pytest.mark.skipif(importlib.util.find_spec("cuda") is None, reason="needs the extra 'compile'")
@pytest.mark.parametrize("masked", [0, 1])
@BOTH
def test_static_shared_memory_beside_dynamic(masked, checked):
    a = RNG.standard_normal((64, 16)).astype(np.float16)
    b = RNG.standard_normal((8, 16)).astype(np.float16)

    def pieces(x):  # no swizzle: the first 16 bytes of every row, then the second
        return np.ascontiguousarray(x.reshape(-1, 2, 8).transpose(1, 0, 2)).view(np.uint32)

    c = np.zeros((64, 8), np.float32)
    kernel = RawKernel(STATIC, "product", (f"-DMASKED={masked}",), via="ptx", arch="sm_90a",
                       checked=checked)  # fmt: skip
    kernel((1,), (128,), (pieces(a), pieces(b), c), shared_mem=2048)
    np.testing.assert_array_equal(c, (a.astype(float) @ b.astype(float).T).astype(np.float32))


@pytest.mark.parametrize("swizzle", [32, 64, 128])
def test_a_pattern_that_does_not_begin_where_it_repeats(swizzle):
    """The base offset says where it does."""
    a, b = RNG.standard_normal((64, 16)), RNG.standard_normal((8, 16))
    a, b = a.astype(np.float16), b.astype(np.float16)
    shift = 128 * (swizzle // 32)  # within the pattern, which repeats after eight rows
    memory = np.zeros(20480, np.uint8)
    memory[:10240] = image(a, swizzle, False, 16, 8 * swizzle)[:10240]
    second = image(b, swizzle, False, 16, 8 * swizzle)
    memory[10240 + shift :] = second[: memory.size - 10240 - shift]
    places = (
        descriptor(0, 16, 8 * swizzle, swizzle),
        descriptor(10240 + shift, 16, 8 * swizzle, swizzle, (10240 + shift >> 7) & 7),
    )
    opcode = "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16"
    got = product(opcode, memory, *places, None, 8, np.float32, rest=", 1, 1, 0, 0")
    want = a.astype(np.float64) @ b.astype(np.float64).T
    np.testing.assert_array_equal(got, want.astype(np.float32))
