"""Main loops on tensor cores, in machine code: what the instructions of a tile are."""

import re
from collections import Counter

import pytest

from pycnn.runtime import cubin, nvrtc

_INSTRUCTION = re.compile(
    r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?([A-Z0-9]+)[^;]*?(?:0x([0-9a-f]+))?\s*;"
)

GEMM = "gemm/7_tensor_core.cu"
TF32 = "gemm/8_tf32.cu"
TF32X3 = "gemm/9_tf32x3.cu"
HALF = {"SCALAR": "__half"}
SQUARE = {"TILE_M": "128", "TILE_N": "128"}
CONV = "conv/implicit_gemm_mma.cu"


def loops(file, arch, defines):
    """Of every innermost loop, how many instructions of each kind."""
    code = nvrtc.compile_kernel(file, arch, tuple(defines.items())).read_bytes()
    found = _INSTRUCTION.findall(cubin.disassembly(code))
    rows = [(int(address, 16), op, to and int(to, 16)) for address, op, to in found]
    number = {address: i for i, (address, _, _) in enumerate(rows)}
    bodies = []
    for i, (_, op, target) in enumerate(rows):
        begin = number.get(target, len(rows)) if op == "BRA" else len(rows)
        if begin < i and not any(begin <= b and e <= i for b, e in bodies):
            bodies.append((begin, i))
    return [Counter(op for _, op, _ in rows[b : e + 1]) for b, e in bodies]


@pytest.mark.parametrize(
    ("file", "arch", "defines"),
    [
        (GEMM, "sm_80", {**HALF, **SQUARE, "A_TRANSPOSED": "0", "B_TRANSPOSED": "1"}),
        (GEMM, "sm_80", {**HALF, **SQUARE, "A_TRANSPOSED": "1", "B_TRANSPOSED": "0"}),
        (GEMM, "sm_90a", {**HALF, **SQUARE, "A_TRANSPOSED": "0", "B_TRANSPOSED": "0"}),
        (CONV, "sm_80", {**HALF, "TILE": "128", "ALONG_K": "1"}),
        (TF32, "sm_80", {**SQUARE, "A_TRANSPOSED": "0", "B_TRANSPOSED": "1"}),
        (TF32, "sm_90a", {**SQUARE, "A_TRANSPOSED": "0", "B_TRANSPOSED": "1"}),
    ],
    ids=str,
)
def test_a_quarter_is_multiplication(needs_cuobjdump, file, arch, defines):
    """And all copies go straight to shared memory. A seventh of TF32's: rounding takes the rest."""
    least = 0.14 if file == TF32 else 0.25
    (body,) = [body for body in loops(file, arch, defines) if body["HMMA"] and body["LDGSTS"]]
    print(body, body.total())
    assert body["HMMA"] == 32
    assert body["LDSM"] == 12
    assert body["LDGSTS"] == 4
    assert body["LDG"] == body["STS"] == body["LDL"] == body["STL"] == 0
    assert body["HMMA"] >= least * body.total()


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_split_products(needs_cuobjdump, arch):
    """Of 8 products of fragments three each, their sums, and the split of 16 elements."""
    defines = {"TILE_M": "128", "TILE_N": "64", "A_TRANSPOSED": "0", "B_TRANSPOSED": "1"}
    bodies = [body for body in loops(TF32X3, arch, defines) if body["HMMA"]]
    print([(b, b.total()) for b in bodies])
    for body in bodies:
        assert body["HMMA"] % 24 == body["LDSM"] % 4 == 0
        assert body["LDG"] == body["STS"] == body["LDL"] == body["STL"] == 0
