"""Main loops on tensor cores, in machine code: what the instructions of a tile are."""

import re
from collections import Counter
from itertools import accumulate

import numpy as np
import pytest

import pycnn
from pycnn.plan import conv_implicit
from pycnn.plan._wgmma import TILES
from pycnn.predict.gpus import gpu
from pycnn.predict.plans import of_call
from pycnn.runtime import cubin, elf, nvrtc, sources

_INSTRUCTION = re.compile(
    r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?([A-Z0-9]+)[^;]*?(?:0x([0-9a-f]+))?\s*;"
)

GEMM = "gemm/7_tensor_core.cu"
TF32 = "gemm/8_tf32.cu"
TF32X3 = "gemm/9_tf32x3.cu"
HALF = {"SCALAR": "__half"}
SQUARE = {"TILE_M": "128", "TILE_N": "128"}
CONV = "conv/implicit_gemm_mma.cu"
CONV_TF32 = "conv/implicit_gemm_tf32.cu"
CONV_TF32X3 = "conv/implicit_gemm_tf32x3.cu"


def instructions(file, arch, defines):
    """Address, name, and where to it jumps, of each."""
    code = nvrtc.compile_kernel(file, arch, tuple(defines.items())).read_bytes()
    found = _INSTRUCTION.findall(cubin.disassembly(code))
    return [(int(address, 16), op, to and int(to, 16)) for address, op, to in found]


def loops(file, arch, defines):
    """Of every innermost loop, how many instructions of each kind."""
    rows = instructions(file, arch, defines)
    entry = list(accumulate(not address for address, _, _ in rows))  # each begins at 0
    number = {(entry[i], address): i for i, (address, _, _) in enumerate(rows)}
    bodies = []
    for i, (_, op, target) in enumerate(rows):
        begin = number.get((entry[i], target), len(rows)) if op == "BRA" else len(rows)
        if begin < i and not any(begin <= b and e <= i for b, e in bodies):
            bodies.append((begin, i))
    return [Counter(op for _, op, _ in rows[b : e + 1]) for b, e in bodies]


#: What differs little from what is compiled beside it: another minute, left to test-all.
LONG = pytest.mark.exhaustive
ON_HOPPER = pytest.param("sm_90a", marks=LONG)
SMALL = {"TILE_M": "64", "TILE_N": "64", "A_TRANSPOSED": "0", "B_TRANSPOSED": "1"}
WIDE = {"TILE_M": "128", "TILE_N": "64", "A_TRANSPOSED": "0", "B_TRANSPOSED": "1"}


SHARES = [
    (GEMM, "sm_80", {**HALF, **SQUARE, "A_TRANSPOSED": "0", "B_TRANSPOSED": "1"}, 0.45),
    (GEMM, "sm_80", {**HALF, **SQUARE, "A_TRANSPOSED": "1", "B_TRANSPOSED": "0"}, 0.4),
    (GEMM, "sm_90a", {**HALF, **SQUARE, "A_TRANSPOSED": "0", "B_TRANSPOSED": "0"}, 0.4),
    (GEMM, "sm_90a", {**HALF, **SMALL}, 0.25),
    (CONV, "sm_80", {**HALF, "TILE": "128", "ALONG_K": "1"}, 0.4),
    (CONV, "sm_90a", {**HALF, "TILE": "128", "ALONG_K": "1"}, 0.4),
    (CONV, "sm_90a", {**HALF, "TILE": "64", "ALONG_K": "1"}, 0.25),
    (CONV, "sm_80", {**HALF, "TILE": "128", "ALONG_K": "0"}, 0.4),
    (CONV, "sm_80", {**HALF, "TILE": "64", "ALONG_K": "1"}, 0.25),
    (CONV, "sm_80", {**HALF, "TILE": "64", "ALONG_K": "0"}, 0.26),
    (CONV, "sm_90a", {**HALF, "TILE": "128", "ALONG_K": "0"}, 0.4),
    (CONV, "sm_90a", {**HALF, "TILE": "64", "ALONG_K": "0"}, 0.25),
    (TF32, "sm_80", {**SQUARE, "A_TRANSPOSED": "0", "B_TRANSPOSED": "1"}, 0.3),
    (TF32, "sm_90a", {**SQUARE, "A_TRANSPOSED": "0", "B_TRANSPOSED": "1"}, 0.3),
    (TF32, "sm_90a", {**SQUARE, "A_TRANSPOSED": "1", "B_TRANSPOSED": "0"}, 0.3),
    (CONV_TF32, "sm_80", {"TILE": "128", "ALONG_K": "1"}, 0.3),
    (CONV_TF32, "sm_90a", {"TILE": "128", "ALONG_K": "1"}, 0.29),
    (CONV_TF32, "sm_80", {"TILE": "128", "ALONG_K": "0"}, 0.29),
    (CONV_TF32, "sm_90a", {"TILE": "128", "ALONG_K": "0"}, 0.29),
    (CONV_TF32, "sm_80", {"TILE": "64", "ALONG_K": "1"}, 0.17),
    (CONV_TF32X3, "sm_80", {"TILE": "64", "ALONG_K": "1"}, 0.21),
    (TF32X3, "sm_80", WIDE, 0.25),
    (TF32X3, "sm_90a", WIDE, 0.29),
    (CONV_TF32X3, "sm_80", {"TILE": "128", "ALONG_K": "1"}, 0.25),
    (CONV_TF32X3, "sm_80", {"TILE": "128", "ALONG_K": "0"}, 0.25),
    (CONV_TF32X3, "sm_90a", {"TILE": "128", "ALONG_K": "1"}, 0.28),
    (CONV_TF32X3, "sm_90a", {"TILE": "128", "ALONG_K": "0"}, 0.28),
    (CONV_TF32X3, "sm_90a", {"TILE": "64", "ALONG_K": "1"}, 0.25),
]


@pytest.mark.parametrize(
    ("file", "arch", "defines", "least"),
    [pytest.param(*row, marks=LONG if row[1] == "sm_90a" else ()) for row in SHARES],
    ids=str,
)
def test_share_of_multiplications(needs_cuobjdump, file, arch, defines, least):
    """And all copies go straight to shared memory.

    Of floats less: a warp rounds 32 elements for 32 products, or for 16 in tiles of 64.
    """
    (body,) = [body for body in loops(file, arch, defines) if body["HMMA"] and body["LDGSTS"]]
    print(body, body.total())
    assert body["LDSM"] or body["LDS"] <= 20  # of 16 bytes each: floats that lie along m and n
    assert body["LDG"] == body["STS"] == body["LDL"] == body["STL"] == 0
    assert body["HMMA"] >= least * body.total()


@pytest.mark.parametrize("arch", ["sm_80", ON_HOPPER])
@pytest.mark.parametrize(("tile", "least"), [("64", 0.84), ("128", 0.9)])
@pytest.mark.parametrize("along_k", ["1", "0"])
def test_share_of_multiply_adds(needs_cuobjdump, arch, tile, least, along_k):
    """Of float32 one by one, copies included; a multiprocessor has 256 threads of it at least."""
    file, defines = "conv/implicit_gemm_ffma.cu", {"TILE": tile, "ALONG_K": along_k}
    bodies = [body for body in loops(file, arch, defines) if body["FFMA"] >= 128]
    assert len(bodies) == 2 - int(along_k)  # of chunks that are aligned, and that are not
    for body in bodies:
        aligned = not body["LDG"]
        assert bool(body["LDGSTS"]) == aligned == (not body["STS"])
        assert body["LDL"] == body["STL"] == 0
        assert body["FFMA"] >= (least if aligned else least - 0.05) * body.total()
    code = nvrtc.compile_kernel(file, arch, tuple(defines.items())).read_bytes()
    (taken,) = elf.resources(code).values()
    assert taken.local == 0
    assert taken.threads * taken.registers * (2 if tile == "128" else 6) <= 65536


@pytest.mark.parametrize("arch", ["sm_80", ON_HOPPER])
def test_multiply_adds_of_few_channels(needs_cuobjdump, arch):
    """Term by term, copies and their table included."""
    (body,) = [b for b in loops("conv/few_channels_ffma.cu", arch, {}) if b["FFMA"] >= 128]
    assert body["FFMA"] >= 0.85 * body.total()
    assert body["LDG"] == body["STS"] == body["LDL"] == body["STL"] == 0
    code = nvrtc.compile_kernel("conv/few_channels_ffma.cu", arch, ()).read_bytes()
    (taken,) = elf.resources(code).values()
    assert taken.local == 0
    assert taken.threads * taken.registers * 6 <= 65536


@pytest.mark.parametrize("arch", ["sm_80", ON_HOPPER])
@pytest.mark.parametrize(("run", "odd", "least"), [("3", "0", 0.4), ("2", "1", 0.29)])
def test_products_of_few_channels(needs_cuobjdump, arch, run, odd, least):
    """Operands come from the patch alone; with 3x3 a row is one product of each parity."""
    file = "conv/few_channels_mma.cu"
    bodies = [b for b in loops(file, arch, {**HALF, "RUN": run, "ODD": odd}) if b["HMMA"]]
    assert bodies
    for body in bodies:
        assert body["LDG"] == body["LDL"] == body["STL"] == body["STS"] == 0
        assert body["HMMA"] >= least * body.total()


@pytest.mark.parametrize("arch", ["sm_80", ON_HOPPER])
@pytest.mark.parametrize(("tile", "least", "beside"), [("128", 0.4, 0.32), ("64", 0.24, 0.18)])
def test_products_of_bytes(needs_cuobjdump, arch, tile, least, beside):
    """A loop with no zero point, and one that fills beyond the edges and adds bytes up (IDP)."""
    types = {"X_TYPE": "unsigned char", "W_TYPE": "signed char", "TILE": tile}
    bodies = loops("conv/int8_mma.cu", arch, types)
    bodies = [body for body in bodies if body["IMMA"] and body["LDGSTS"]]
    assert len(bodies) == 4  # of each of two entries
    for body in bodies:
        assert body["LDSM"] > 0
        assert body["LDG"] == body["LDL"] == body["STL"] == 0
        assert body["IMMA"] >= (beside if body["IDP"] else least) * (body.total() - body["IDP"])
    assert sum(not body["IDP"] and not body["STS"] for body in bodies) == 2


@pytest.mark.parametrize("arch", ["sm_80", ON_HOPPER])
@pytest.mark.parametrize("scalar", ["__half", "__nv_bfloat16"])
@pytest.mark.parametrize("along_k", ["1", "0"])
def test_blocks_of_small_tiles(arch, scalar, along_k):
    """Three of 128 threads on a multiprocessor: as many as sm_80 has shared memory for."""
    defines = (("SCALAR", scalar), ("TILE", "64"), ("ALONG_K", along_k))
    (taken,) = elf.resources(nvrtc.compile_kernel(CONV, arch, defines).read_bytes()).values()
    assert taken.local == 0
    assert taken.threads * taken.registers * 3 <= 65536


def test_an_output_takes_few_instructions(needs_cuobjdump, monkeypatch):
    """With scale, shift, residual and ReLU: 22.3, and 12 of them up to the sums of a k tile."""
    monkeypatch.setattr(conv_implicit, "TILES", (128, 128))
    x, weight = np.ones((1, 16, 16, 16), np.float16), np.ones((128, 16, 1, 1), np.float16)
    own, residual = np.ones(128, np.float16), np.ones((1, 16, 16, 128), np.float16)
    end = {"scale": own, "shift": own, "residual": residual, "activation": "relu"}
    how = {"layout": "NHWC", "algo": "implicit_gemm_mma"}
    found = of_call(lambda: pycnn.conv2d(x, weight, **end, **how), gpu("h200"))
    total = 32 * sum(found.launches[-1].mix.values())
    assert total <= 23.5 * residual.size


WGMMA = [
    ("gemm/10_wgmma.cu", {"A_TRANSPOSED": "0", "B_TRANSPOSED": "0"}),
    ("gemm/10_wgmma.cu", {"A_TRANSPOSED": "1", "B_TRANSPOSED": "1"}),
    ("conv/implicit_gemm_wgmma.cu", {}),
    ("conv/implicit_gemm_wgmma_weight.cu", {}),
    ("gemm/11_wgmma_tf32.cu", {}),
    ("conv/implicit_gemm_wgmma_tf32.cu", {}),
    ("gemm/12_wgmma_float8.cu", {"ELEMENT_A": "e4m3", "ELEMENT_B": "e5m2"}),
    ("conv/implicit_gemm_wgmma_float8.cu", {"ELEMENT_A": "e4m3", "ELEMENT_B": "e4m3"}),
]

#: Of what is compiled like the others, one is enough.
OTHER_TILES = [
    ("conv/implicit_gemm_wgmma.cu", {}, (192, 128)),
    ("conv/implicit_gemm_wgmma.cu", {}, (192, 128, 2)),
    ("conv/implicit_gemm_wgmma.cu", {}, (128, 64, 4)),
    ("conv/implicit_gemm_wgmma.cu", {"ALONG": "4"}, (128, 256, 1)),
    ("conv/implicit_gemm_wgmma_tf32.cu", {}, (192, 128)),
    ("gemm/11_wgmma_tf32.cu", {}, (128, 256)),
    (*WGMMA[-2], (128, 256)),
    (*WGMMA[-1], (128, 256)),
    (*WGMMA[-1], (192, 128)),
    (*WGMMA[-1], (128, 64, 4)),
]

#: Two entries each, with no larger tile.
BYTES = [
    (file, {"ELEMENT_A": "u8", "ELEMENT_B": "s8", "TILE_N": "128"})
    for file in ("gemm/13_wgmma_int8.cu", "conv/implicit_gemm_wgmma_int8.cu")
]

each_wgmma = pytest.mark.parametrize(("file", "own"), [*WGMMA, *BYTES], ids=str)


@pytest.mark.parametrize(
    ("file", "own", "tile"),
    [(*each, tile) for each in WGMMA[:4] for tile in TILES] + OTHER_TILES,
    ids=str,
)
@pytest.mark.parametrize("cluster", ["1", pytest.param("2", marks=LONG)])
def test_warpgroups(needs_cuobjdump, file, own, tile, cluster):
    """Four products a stage, which come from shared memory; nobody but TMA copies anything."""
    macros = dict(zip(("TILE_M", "TILE_N", "ACROSS"), map(str, tile), strict=False))
    defines = {**typed(file), **macros, "CLUSTER": "1" if "ACROSS" in macros else cluster, **own}
    bodies = loops(file, "sm_90a", defines)
    (body,) = [body for body in bodies if body["HGMMA"] or body["QGMMA"]]
    assert body["HGMMA"] + body["QGMMA"] == 4
    assert body["SYNCS"] == 2  # one wait for a stage, one arrival that hands another one back
    assert body["MEMBAR"] == body["FENCE"] == 0
    assert body["LDS"] == body["LDG"] == body["STS"] == body["BAR"] == body["LDSM"] == 0
    assert body.total() <= 90  # for 4 products of at least 32 cycles
    # A loop of its own, as the compiler asks which threads are there.
    assert len([body for body in bodies if body["UTMALDG"]]) >= 2
    assert sum(body["LDGSTS"] + body["LDL"] + body["STL"] for body in bodies) == 0
    names = {op for _, op, _ in instructions(file, "sm_90a", defines)}
    by_pieces = "weight" not in file and "tf32" not in file  # whose sums leave as they are
    assert ({"UTMASTG", "STSM"} <= names) == by_pieces


@pytest.mark.parametrize(("file", "own"), BYTES, ids=str)
def test_warpgroups_of_bytes(needs_cuobjdump, file, own):
    """Of either entry: whether integers or bytes leave, the loop is the same."""
    bodies = loops(file, "sm_90a", {"TILE_M": "128", "CLUSTER": "2", **own})
    products = [body for body in bodies if body["IGMMA"]]
    assert [body["IGMMA"] for body in products] == [4, 4]
    for body in products:
        assert body["SYNCS"] == 2
        assert body["LDS"] == body["LDG"] == body["STS"] == body["BAR"] == 0
        assert body.total() <= 90
    assert len([body for body in bodies if body["UTMALDG"]]) >= 4
    assert sum(body["LDGSTS"] + body["LDL"] + body["STL"] for body in bodies) == 0


def typed(file):
    """Those of 16 bits are compiled for each type."""
    return {} if "tf32" in file or "int8" in file else HALF


def log_and_resources(file, own, old="", new=""):
    """What the compiler says of a file for sm_90a, and what it takes; the header changed."""
    path = sources.kernel_path(file)
    include = sources.kernel_dir() / "include"
    text, wanted = path.read_text(), "#include <pycnn/gemm_wgmma.cuh>"
    parts = "integers|matrices|windows|patches"
    for name in re.findall(rf"#include <(pycnn/(?:{parts})_wgmma\.cuh)>", text):
        text = text.replace(f"#include <{name}>", (include / name).read_text())
    header = (include / "pycnn/gemm_wgmma.cuh").read_text()
    assert wanted in text
    assert old in header
    defines = {**typed(file), "TILE_M": "128", "TILE_N": "256", "CLUSTER": "2", **own}
    made = nvrtc.compile_text(
        text.replace(wanted, header.replace(old, new), 1).replace(wanted, ""),
        path, "sm_90a", tuple(defines.items()),
    )  # fmt: skip
    return made.log, elf.resources(made.cubin).values()


@each_wgmma
def test_products_are_not_serialised(file, own):
    """No "Potential Performance Loss" (C7510 and the like), no spill, no local memory."""
    log, entries = log_and_resources(file, own)
    assert log == ""
    assert {taken.local for taken in entries} == {0}
    assert {taken.registers for taken in entries} == {
        168
    }  # of 3 warpgroups; setmaxnreg makes 40, 232 and 232 of them


@pytest.mark.parametrize("columns", ["64", "128"])
def test_three_taps_of_a_copy(needs_cuobjdump, columns):
    """Twelve products a stage, and of the copies as many as warpgroups and taps."""
    file, own = "conv/implicit_gemm_wgmma_3x3.cu", {"TILE_M": "192", "TILE_N": columns}
    bodies = loops(file, "sm_90a", {**HALF, **own, "CLUSTER": "2"})
    (body,) = [body for body in bodies if body["HGMMA"]]
    assert body["HGMMA"] == 12
    assert body["SYNCS"] == 2
    assert body["LDS"] == body["LDG"] == body["STS"] == body["BAR"] == 0
    assert body.total() <= 180
    # Of units of pixels, and of taps.
    assert [body["UTMALDG"] for body in bodies if body["UTMALDG"]] == [1, 1]
    log, (taken,) = log_and_resources(file, own)
    assert (log, taken.local, taken.registers) == ("", 0, 128)


def test_serialised_products_would_be_seen():
    """Sums that are used while products are under way."""
    log, _ = log_and_resources(*WGMMA[0], "wgmma_wait<1>();", "sums[0] += 1;")
    assert "Potential Performance Loss" in log
