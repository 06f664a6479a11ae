"""Counters against hand-computed teaching patterns, and a sampled launch against a whole one."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import pycnn
from pycnn.bench.calls import described
from pycnn.bench.operations import OPERATIONS
from pycnn.dtypes import numpy_dtype
from pycnn.plan.conv import ALGORITHMS
from pycnn.plan.estimate import blocks_of
from pycnn.predict import code, gpus, model, pipes, plans, sample, sass, traffic
from pycnn.predict.sample import ALIGNMENT, aligned, axis_samples, run
from pycnn.runtime.target import Target, planned_for

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


#: Of the 32 lanes of a request: bytes from one to the next, of the first, of each; and what the
#: profiler of NVIDIA counts: sectors of global memory, passes over the banks of shared memory.
GLOBAL = {
    "coalesced": (4, 0, 4, 4), "stride 2": (8, 0, 4, 8), "stride 32": (128, 0, 4, 32),
    "misaligned": (4, 4, 4, 5), "broadcast": (0, 0, 4, 1), "128 bits": (16, 0, 16, 16),
}  # fmt: skip
SHARED = {
    "no conflict": (4, 0, 4, 1), "degree 2": (8, 0, 4, 2), "degree 8": (32, 0, 4, 8),
    "degree 32": (128, 0, 4, 32), "padded": (132, 0, 4, 1), "of one word": (0, 0, 4, 1),
    "128 bits in turns": (16, 0, 16, 4), "of one 128 bits": (0, 0, 16, 2),
}  # fmt: skip


@pytest.mark.parametrize("case", [*GLOBAL, *SHARED])
def test_a_request_by_hand(case: str) -> None:
    step, begin, size, expected = {**GLOBAL, **SHARED}[case]
    rows = (BASE + np.uint64(begin) + LANES * np.uint64(step))[None]
    found = (
        traffic.units(rows, size, traffic.SECTOR)
        if case in GLOBAL
        else traffic.wavefronts(rows, size)[0]
    )
    assert found.tolist() == [expected]


@pytest.mark.parametrize(
    ("places", "size", "passes", "ideal"),
    [
        (LANES % 8, 16, 4, 4), (LANES // 2 % 8, 16, 2, 2), (LANES % 2 + LANES // 4 * 2, 16, 2, 2),
        (LANES // 2, 8, 1, 1), (LANES % 16, 8, 2, 2), (LANES % 4 * 32, 16, 16, 4),
        (np.where(LANES % 8, LANES, 3), 16, 1 + 3 * 2, 4),
    ],
    ids=["eighths repeat", "i and i^1", "i and i^2", "64 bits, i and i^1", "64 bits, halves repeat",
         "four on a bank", "each eighth lane with lane 3"],
)  # fmt: skip
def test_lanes_of_wide_accesses_that_are_served_together(
    places: np.ndarray, size: int, passes: int, ideal: int
) -> None:
    rows = (BASE + places * np.uint64(size))[None]
    assert [found.tolist() for found in traffic.wavefronts(rows, size)] == [[passes], [ideal]]


def test_a_kernel_by_hand() -> None:
    """The same requests as loads and stores of a kernel that is run."""
    pytest.importorskip("llvmlite")
    lines = []
    for space, cases in (("global", GLOBAL), ("shared", SHARED)):
        for step, begin, size, _ in cases.values():
            vector, values = (".v4", "{%r4, %r5, %r6, %r7}") if size == 16 else ("", "%r4")
            lines += [
                f"mad.lo.u32 %r3, %r1, {step}, {begin};", "cvt.u64.u32 %rd2, %r3;",
                f"add.s64 %rd3, {'%rd1' if space == 'global' else '%rd4'}, %rd2;",
                f"ld.{space}{vector}.u32 {values}, [%rd3];",
                f"st.{space}{vector}.u32 [%rd3], {values};",
            ]  # fmt: skip
    text = COPY[: COPY.index("    mov.u32 %r2")] + "    mov.u64 %rd4, tile;\n" + "\n".join(lines)
    text = text.replace("%rd<4>", "%rd<5>").replace(
        ".visible", ".shared .align 16 .b8 tile[8192];\n.visible"
    )
    x = aligned((2048,), np.int32)
    found = traffic.patterns(run(f"{text}\nret;}}", "copy", (1, 1, 1), (32, 1, 1), [x], {"x": x}))
    loads, stores = found[::2], found[1::2]
    for kind, patterns in (("load", loads), ("store", stores)):
        assert [p.access.kind for p in patterns] == [kind] * len((*GLOBAL, *SHARED))
        assert [p.requests for p in patterns] == [1.0] * len(patterns)
        counted = [p.sectors if p.access.space == "global" else p.wavefronts for p in patterns]
        assert counted == [case[3] for case in (*GLOBAL.values(), *SHARED.values())]


@pytest.mark.parametrize(("size", "written"), [(4, "4"), (8, "8"), (16, "16"), (16, "0x10")])
def test_a_copy_to_shared_memory_by_hand(size: int, written: str) -> None:
    """Of neighbours: as many bytes as it says; Triton says so in hexadecimal."""
    pytest.importorskip("llvmlite")
    copy = f"cp.async.ca.shared.global [%r5], [%rd3], {written}, {written}"
    lines = ["mov.u32 %r4, tile;", f"mad.lo.u32 %r5, %r1, {size}, %r4;",
             f"mul.wide.u32 %rd2, %r1, {size};", "add.s64 %rd3, %rd1, %rd2;",
             f"{copy};", "cp.async.wait_all;", "ret;}"]  # fmt: skip
    text = COPY[: COPY.index("    mov.u32 %r2")] + "\n".join(lines)
    text = text.replace(".visible", ".shared .align 16 .b8 tile[512];\n.visible")
    x = aligned((128,), np.int32)
    loads, stores = traffic.patterns(run(text, "copy", (1, 1, 1), (32, 1, 1), [x], {"x": x}))
    assert (loads.sectors, stores.wavefronts) == (size, size / 4)


def test_some_blocks_stand_for_all() -> None:
    pytest.importorskip("llvmlite")
    x = aligned((9 * 32,), np.int32)
    found = [run(COPY, "copy", (9, 1, 1), (32, 1, 1), [x], {"x": x}, most=most) for most in (3, 9)]
    few, every = (r.warp_counts().tolist() for r in found)
    assert few == every == [9, 27, 9]
    assert [p.requests for p in traffic.patterns(found[0])] == [27, 27]
    footprint = traffic.footprint(found[0], 1e5, 1e7, 9)
    assert footprint.l1_bytes == 2 * 27 * 128
    assert footprint.necessary == 2 * 9 * 128  # what is changed in place comes and goes


#: The same, each block one tile after the other, until there are none.
TURNS = (
    COPY.replace("entry copy(.param .u64 x)", "entry copy(.param .u64 x, .param .u32 tiles)")
    .replace("mov.u32 %r2, %ctaid.x;", "mov.u32 %r2, %ctaid.x; mov.u32 %r6, %nctaid.x;"
             " ld.param.u32 %r7, [tiles]; next:")
    .replace("@%p1 bra again;", "@%p1 bra again; add.u32 %r2, %r2, %r6;"
             " setp.lt.u32 %p1, %r2, %r7; @%p1 bra next;")
)  # fmt: skip


@pytest.mark.parametrize(("tiles", "blocks"), [(17, 7), (15, 7), (20, 7), (14, 7), (9, 8), (5, 5)])
@pytest.mark.parametrize("most", [1, 2, 3, 4, 8])
def test_blocks_that_take_tiles_in_turns_count_as_they_are(
    tiles: int, blocks: int, most: int
) -> None:
    pytest.importorskip("llvmlite")
    x = aligned((tiles * 32,), np.int32)
    found = run(TURNS, "copy", (blocks, 1, 1), (32, 1, 1), [x, np.uint32(tiles)], {"x": x},
                most=most, tiles=tiles)  # fmt: skip
    assert found.warp_counts().tolist()[-3:] == [3 * tiles, tiles, blocks]
    mean, longest = tiles / blocks, -(-tiles // blocks)
    # Beside what a tile takes there is little, of which every block has as much.
    assert found.heaviest(1) == pytest.approx(longest / mean, rel=0.2)
    assert (found.heaviest(1) > 1) == (tiles % blocks > 0)
    assert found.heaviest(blocks) == pytest.approx(1)


def test_many_tiles_of_a_block_count_as_if_all_were_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """88 tiles in whole groups for 4 multiprocessors: each has 22, of which 5 and 3 are run."""
    pytest.importorskip("llvmlite")
    pytest.importorskip("cuda.bindings")
    gpu, bfloat16 = replace(gpus.gpu("h200"), sms=4), numpy_dtype("bfloat16")
    x, w = aligned((1, 88, 128, 64), bfloat16), aligned((64, 64, 1, 1), bfloat16)
    found, ran = [], []
    for tiles in (4, 100):
        monkeypatch.setattr(sample, "TILES", tiles)
        with plans.planned_on(gpu):
            ((plan, own),) = plans.planned(
                lambda: pycnn.conv2d(x, w, layout="NHWC", algo="implicit_gemm_wgmma")
            )
        ((launch, bound),) = plans.launches(plan, own)
        compiled = code.of_kernel(launch.kernel, gpu.arch)
        once = plans.sampled(compiled, launch, bound, 4)
        assert (once.grid, blocks_of(launch)) == ((4, 1, 1), 88)
        made = model.predict(compiled, once, gpu, launch.shared)
        found.append((once.warp_counts().tolist(), made))
        ran.append(sum(int(s.ran.sum()) for s in once.samples))
    (few, by_few), (every, by_every) = found
    assert few == every
    assert (by_few.time_us, by_few.busy, by_few.bytes) == (
        by_every.time_us, by_every.busy, by_every.bytes,
    )  # fmt: skip
    assert ran[0] < 0.5 * ran[1]


def test_a_multiprocessor_of_several_blocks_has_one_of_each_part() -> None:
    pytest.importorskip("llvmlite")
    x = aligned((9 * 32,), np.int32)
    found = run(TURNS, "copy", (8, 1, 1), (32, 1, 1), [x, np.uint32(9)], {"x": x}, tiles=9)
    one, two, every = (found.heaviest(together) for together in (1, 2, 8))
    mean = every
    assert two == pytest.approx((one + (8 * mean - one) / 7) / 2)


def test_a_prediction_is_no_shorter_than_its_products() -> None:
    """196 x 2 tiles for 132 multiprocessors: four of them have one less than the others."""
    pytest.importorskip("llvmlite")
    pytest.importorskip("cuda.bindings")
    gpu, op = gpus.gpu("h200"), OPERATIONS["conv2d"]
    case = op.parse("n32c64h28w28k512r1s1")
    definition, call = described(op, case, "forward", "bfloat16", "NHWC")
    with planned_for(Target(gpu.arch, gpu.sms)):
        (choice,) = definition.choices(call)
        way = ALGORITHMS["implicit_gemm_wgmma"]
        plan = way.plan(choice.problem, "forward", choice.limit)
    arrays = {n: aligned(v.shape, numpy_dtype(v.dtype)) for n, v in call.views.items()}
    found = plans.of_plans([plan], arrays, gpu)
    least = op.flops(case, "forward") / gpu.tensor_tflops["bfloat16"] / 1e6
    assert found.longest is not None
    assert found.longest.busy["tensor"] == pytest.approx(least)
    assert found.longest.time_us > 3 / (392 / 132) * least


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
            assert not found.any()
    assert aligned((0, 3), np.float32).shape == (0, 3)
    far = aligned((1 << 44,), np.int8)  # more than there is memory: none is used
    far[-1] = 1
    assert far[:: 1 << 40].sum() == 0


def test_places_stand_for_the_whole_axis() -> None:
    for extent in range(1, 40):
        for most in range(1, 6):
            places = axis_samples(extent, most)
            assert sum(weight for _, weight in places) == pytest.approx(extent)
            assert len({i for i, _ in places}) == len(places) <= most


def test_control_words() -> None:
    word = 5 << 41 | 3 << 46 | 7 << 49 | 0b101 << 52
    assert sass.decode(word) == (5, 3, 7, 0b101)


@pytest.mark.parametrize(
    ("op", "operands", "read"),
    [
        ("HGMMA.64x128x16.F32.BF16", "R24, gdesc[UR8], R24, UP0", (64 + 128) * 32),
        ("HGMMA.64x128x16.F32.BF16", "R24, R4, gdesc[UR8], R24", 128 * 32),
        ("HGMMA.64x64x8.F32.TF32", "R24, gdesc[UR8], R24", (64 + 64) * 32),
        ("QGMMA.64x256x32.F32.E4M3.E4M3", "R24, gdesc[UR8], R24", (64 + 256) * 32),
        ("HMMA.16816.F32.BF16", "R4, R8, R12, R4", 0),
    ],
)
def test_products_of_warpgroups_read_shared_memory(op: str, operands: str, read: int) -> None:
    """32 bytes of k of A and B, once for the four warps; not an operand from registers."""
    one = sass.Instruction(op, operands, "", 0, (), 1, 7, 7, 0)
    assert 4 * pipes.shared_bytes(one) == read


def test_every_figure_has_a_source() -> None:
    for key in gpus.names():
        assert all(gpus.sources(key).values())
        assert gpus.gpu(key).peak_tflops("float32") == pytest.approx(
            gpus.gpu(key).fp32_tflops, rel=0.12
        )


def test_unknown_gpu() -> None:
    with pytest.raises(ValueError, match="allowed: h200"):
        gpus.gpu("h2000")


def instruction(op: str, write: int = 7, waits: int = 0) -> tuple[sass.Instruction, float]:
    return sass.Instruction(op, "", "", 0, (), 1, write, 7, waits), 1.0


def waited(*instructions: tuple[sass.Instruction, float], misses: float = 1.0) -> float:
    """Clocks of a warp alone, beyond a load that hits."""
    bytes_ = traffic.Footprint(100.0, 100.0 * misses, 100.0 * misses, 100.0)
    return model._alone(list(instructions), A100, bytes_) - A100.l1_latency


A100 = gpus.gpu("a100")
MISS = A100.dram_latency - A100.l1_latency


def test_a_load_whose_line_is_under_way_is_there_with_that_line() -> None:
    load, user = partial(instruction, "LDG.E"), partial(instruction, "FADD")
    alone = waited(load(2), user(waits=4), misses=0.5)
    assert alone == pytest.approx(0.5 * MISS, abs=5)
    # Two that miss half of the time each, waited for at two barriers, are as late as one miss.
    both = waited(load(2), load(3), user(waits=4), user(waits=8), misses=0.5)
    assert both == pytest.approx(MISS, abs=5)
    # Three are no later; and one after the wait misses anew.
    assert waited(load(2), load(3), load(4), user(waits=28), misses=0.5) == pytest.approx(
        MISS, abs=5
    )
    again = waited(load(2), load(3), user(waits=12), load(2), user(waits=4), misses=0.5)
    assert again == pytest.approx(1.5 * MISS + A100.l1_latency, abs=8)


def test_a_barrier_that_is_used_again_adds_no_latency_twice() -> None:
    load = partial(instruction, "LDG.E")
    found = waited(load(2), load(3), instruction("DFMA", 3, waits=4), instruction("FADD", waits=8))
    assert found == pytest.approx(MISS + 20, abs=8)


def test_the_memory_gives_less_where_it_turns_between_reads_and_writes() -> None:
    reads, triad, copy = map(A100.memory_gbps, (0.0, 0.25, 0.5))
    assert reads > triad > copy
    assert triad == A100.dram_achieved_gbps
    assert copy / reads == pytest.approx(1 - gpus.TURNING)
    assert A100.memory_gbps(1.0) == reads


def test_channels_of_the_memory_are_shared_by_multiprocessors_that_work() -> None:
    assert A100.channels_each(1000) == 80 / 108
    assert A100.channels_each(3) == 1.0
