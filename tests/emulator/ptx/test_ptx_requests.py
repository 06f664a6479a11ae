"""The emulator's own counters against requests of one warp that are counted by hand."""

import numpy as np
import pytest
from ptx_run import REGS, entry

from pycnn.emulator import PtxModule

LANE = np.arange(32)
#: Words of the tile, which are written before; one conflict-free pass for each 32 of them.
WORDS = 2048
LOADS = {
    4: "ld.shared.b32 %r4, [%r3];",
    8: "ld.shared.v2.b32 {%r4, %r5}, [%r3];",
    16: "ld.shared.v4.b32 {%r4, %r5, %r6, %r7}, [%r3];",
    "x2": "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r4, %r5}, [%r3];",
    "x4": "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r4, %r5, %r6, %r7}, [%r3];",
}
FILL = f"""
mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 2; mov.u32 %r3, tile; add.u32 %r2, %r2, %r3;
mov.u32 %r8, 0;
fill:
st.shared.b32 [%r2], %r1; add.u32 %r2, %r2, 128; add.u32 %r8, %r8, 1;
setp.lt.u32 %p1, %r8, {WORDS // 32}; @%p1 bra fill;
bar.sync 0;
ld.param.u64 %rd1, [places]; mad.wide.u32 %rd1, %r1, 4, %rd1; ld.global.s32 %r9, [%rd1];
add.u32 %r3, %r3, %r9; setp.ge.s32 %p2, %r9, 0;
"""

#: What is loaded, bytes from the tile's beginning by lane (negative: no part), passes, conflicts.
SHARED = {
    "32 bits, no conflict": (4, LANE * 4, 1, 0),
    "degree 2": (4, LANE * 8, 2, 1),
    "degree 8": (4, LANE * 32, 8, 7),
    "degree 32": (4, LANE * 128, 32, 31),
    "padded": (4, LANE * 132, 1, 0),
    "broadcast": (4, LANE * 0, 1, 0),
    "64 bits, no conflict": (8, LANE * 8, 2, 0),
    "64 bits, 2-way in a half": (8, LANE * 16, 4, 2),
    "64 bits, halves alike": (8, LANE % 16 * 8, 2, 0),
    "64 bits, i and i^1": (8, LANE // 2 * 8, 1, 0),
    "64 bits, i and i^2": (8, (LANE % 2 + LANE // 4 * 2) * 8, 1, 0),
    "64 bits, i and i^4": (8, (LANE % 4 + LANE // 8 * 4) * 8, 2, 0),
    "64 bits, one half": (8, np.where(LANE < 16, LANE * 8, -1), 1, 0),
    "64 bits, half a half": (8, np.where(LANE % 16 < 8, LANE * 8, -1), 2, 0),
    "64 bits, pairs 2-way": (8, LANE // 2 * 16, 2, 1),
    "128 bits, no conflict": (16, LANE * 16, 4, 0),
    "128 bits, 2-way in a quarter": (16, LANE * 32, 8, 4),
    "128 bits, 4-way in a quarter": (16, LANE * 64, 16, 12),
    "128 bits, padded": (16, LANE * 80, 4, 0),
    "128 bits, quarters alike": (16, LANE % 8 * 16, 4, 0),
    "128 bits, i and i^1": (16, LANE // 2 * 16, 2, 0),
    "128 bits, i and i^2": (16, (LANE % 2 + LANE // 4 * 2) * 16, 2, 0),
    "128 bits, broadcast": (16, LANE * 0, 2, 0),
    "128 bits, pairs in one half": (16, np.where(LANE < 16, LANE // 2, LANE) * 16, 3, 0),
    "128 bits, 12 lanes": (16, np.where(LANE < 12, LANE * 16, -1), 2, 0),
    "128 bits, one lane": (16, np.where(LANE == 21, 48, -1), 1, 0),
    "128 bits, one of each pair": (16, np.where(LANE % 2, LANE // 2 * 16, -1), 2, 0),
    "4 matrices": ("x4", LANE * 16, 4, 0),
    "4 matrices of one row": ("x4", LANE * 0, 4, 0),
    "4 matrices, 2-way": ("x4", LANE * 32, 8, 4),
    "2 matrices of one row": ("x2", LANE * 0, 2, 0),
}  # fmt: skip


@pytest.mark.parametrize("case", SHARED)
def test_passes_over_the_banks(case):
    what, places, passes, conflicts = SHARED[case]
    guard = "@%p2 " if isinstance(what, int) else ""
    tile = f".shared .align 16 .b8 tile[{4 * WORDS}];"
    text = entry(f"{REGS}{FILL}{guard}{LOADS[what]} ret;", ".param .u64 places", before=tile)
    kernel = PtxModule(text, checked=True).get_function("test")
    kernel((1,), (32,), (places.astype(np.int32),))
    found = kernel.counters
    assert found.shared_load_requests == 1
    assert (found.shared_wavefronts - WORDS // 32, found.bank_conflicts) == (passes, conflicts)


#: Bytes from one lane to the next, of the first, of each; sectors of 32 bytes.
GLOBAL = {
    "coalesced": (4, 0, 4, 4), "stride 2": (8, 0, 4, 8), "stride 32": (128, 0, 4, 32),
    "misaligned": (4, 4, 4, 5), "broadcast": (0, 0, 4, 1), "128 bits": (16, 0, 16, 16),
}  # fmt: skip


@pytest.mark.parametrize("case", GLOBAL)
def test_sectors_of_a_request(case):
    step, begin, size, sectors = GLOBAL[case]
    values = ".v4.b32 {%r4, %r5, %r6, %r7}" if size == 16 else ".b32 %r4"
    body = (
        f"{REGS} ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mad.wide.u32 %rd1, %r1, {step}, %rd1;"
        f" ld.global{values}, [%rd1+{begin}]; ret;"
    )
    kernel = PtxModule(entry(body, ".param .u64 x"), checked=True).get_function("test")
    kernel((1,), (32,), (np.zeros(1024, np.int32),))
    found = kernel.counters
    assert (found.global_load_requests, found.global_load_sectors) == (1, sectors)
