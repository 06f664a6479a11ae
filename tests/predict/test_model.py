"""Counters against hand-computed teaching patterns, and a sampled launch against a whole one."""

import numpy as np
import pytest

from pycnn.predict import gpus, sass, traffic
from pycnn.predict.sample import ALIGNMENT, aligned, axis_samples, run

LANES = np.arange(32, dtype=np.uint64)
BASE = np.uint64(4096)

COPY = """
.version 8.0
.target sm_80
.address_size 64
.visible .entry copy(.param .u64 x) {
    .reg .b64 %rd<4>; .reg .b32 %r<8>; .reg .pred %p<2>;
    ld.param.u64 %rd1, [x];
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, %ctaid.x;
    mad.lo.u32 %r3, %r2, 32, %r1;
    mul.wide.u32 %rd2, %r3, 4;
    add.s64 %rd3, %rd1, %rd2;
    mov.u32 %r4, 0;
again:
    ld.global.u32 %r5, [%rd3];
    st.global.u32 [%rd3], %r5;
    add.u32 %r4, %r4, 1;
    setp.lt.u32 %p1, %r4, 3;
    @%p1 bra again;
    ret;
}"""


@pytest.mark.parametrize(
    ("step", "begin", "size", "sectors"),
    [(4, 0, 4, 4), (8, 0, 4, 8), (128, 0, 4, 32), (4, 4, 4, 5), (0, 0, 4, 1), (16, 0, 16, 16)],
    ids=["coalesced", "stride 2", "stride 32", "misaligned", "broadcast", "128 bits"],
)
def test_sectors_of_a_request(step: int, begin: int, size: int, sectors: int) -> None:
    rows = (BASE + np.uint64(begin) + LANES * np.uint64(step))[None]
    assert traffic.units(rows, size, traffic.SECTOR).tolist() == [sectors]


@pytest.mark.parametrize(
    ("step", "size", "passes"),
    [(4, 4, 1), (8, 4, 2), (32, 4, 8), (128, 4, 32), (132, 4, 1), (0, 4, 1), (16, 16, 4)],
    ids=["none", "2", "8", "32", "padded", "broadcast", "128 bits"],
)
def test_passes_over_the_banks(step: int, size: int, passes: int) -> None:
    rows = (BASE + LANES * np.uint64(step))[None]
    assert traffic.wavefronts(rows, size)[0].tolist() == [passes]


def test_some_blocks_stand_for_all() -> None:
    pytest.importorskip("llvmlite")
    x = aligned((9 * 32,), np.int32)
    found = [run(COPY, "copy", (9, 1, 1), (32, 1, 1), [x], {"x": x}, most=most) for most in (3, 9)]
    few, every = (r.warp_counts().tolist() for r in found)
    assert few == every == [9, 27, 9]
    assert [p.requests for p in traffic.patterns(found[0])] == [27, 27]
    assert traffic.footprint(found[0], 1e5, 1e7, 9).l1_bytes == 2 * 27 * 128


def test_accesses_that_the_compiler_joins_are_one() -> None:
    pytest.importorskip("llvmlite")
    # Each lane loads two words of its own, 8 bytes from those of its neighbours.
    pair = COPY.replace("%r3, 4;", "%r3, 8;").replace(
        "st.global.u32 [%rd3], %r5;", "ld.global.u32 %r6, [%rd3+4]; st.global.u32 [%rd3], %r5;"
    )
    x = aligned((64,), np.int32)
    found = run(pair, "copy", (1, 1, 1), (32, 1, 1), [x], {"x": x})
    first, second, _ = (access.line for access in found.code.accesses)
    apart = traffic.patterns(found, {first: 8, second: 4})
    assert [(p.access.kind, p.sectors) for p in apart] == [("load", 8), ("load", 8), ("store", 8)]
    joined = traffic.patterns(found, {first: 8})
    assert [(p.access.kind, p.sectors) for p in joined] == [("load", 8), ("store", 8)]


def test_memory_begins_where_that_of_a_gpu_may() -> None:
    for shape in ((3,), (5, 7)):
        for dtype in (np.float64, np.int8):
            found = aligned(shape, dtype)
            assert (found.shape, found.dtype) == (shape, np.dtype(dtype))
            assert found.ctypes.data % ALIGNMENT == 0


def test_places_stand_for_the_whole_axis() -> None:
    for extent in range(1, 40):
        for most in range(1, 6):
            places = axis_samples(extent, most)
            assert sum(weight for _, weight in places) == pytest.approx(extent)
            assert len({i for i, _ in places}) == len(places) <= most


def test_control_words() -> None:
    word = 5 << 41 | 3 << 46 | 7 << 49 | 0b101 << 52
    assert sass.decode(word) == (5, 3, 7, 0b101)


def test_every_figure_has_a_source() -> None:
    for key in gpus.names():
        assert all(gpus.sources(key).values())
        assert gpus.gpu(key).peak_tflops("float32") == pytest.approx(
            gpus.gpu(key).fp32_tflops, rel=0.12
        )


def test_unknown_gpu() -> None:
    with pytest.raises(ValueError, match="allowed: h200"):
        gpus.gpu("h2000")
