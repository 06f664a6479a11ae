"""Memory traffic by PTX against that by the source: equal, or explained by a rule.

Of every operation the standard layer, scaled down; every launch by itself. The rules are those of
docs/emulator.md, "Two compilers, one count".
"""

import re
from dataclasses import asdict

import numpy as np
import pytest

import pycnn
from benchmarks.emulator_routes import standard_layer
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.operations.base import DIRECTIONS
from pycnn.emulator import counting
from pycnn.runtime import nvrtc

pytest.importorskip("llvmlite", reason="llvmlite is not installed (extra emulator)")

FLOPS = 500_000

#: Loads that the host's compiler keeps and NVRTC does not: of what is in a register already, or of
#: what nothing uses.
FEWER_LOADS = {"gradient_parameters", "gradient_sums_planes", "pointwise_loss_backward"}
#: A loop that lanes leave after different numbers of turns, which one of the two has unrolled: the
#: n-th execution of an instruction by one lane is then another turn than that by the next.
UNROLLED = {
    "avg_pool", "col2im", "fold", "grid_sample_bin", "max_pool", "max_pool_backward", "pad_rows",
    "unfold",
}  # fmt: skip
#: Threads want the same struct of six words, a request of the source's that is served five lanes at
#: a time: seven passes. NVRTC loads the words it needs, each a pass, and in warps that have work.
STRUCTS = {"gradient_planes": 7, "norm_planes": 7, "norm_relu_planes": 7}
LOADS = ("global_load_requests", "global_load_sectors", "global_bytes_read")
REQUESTS = (*LOADS[:2], "global_store_requests")
#: Where a compiler puts what fits into registers, vectors or both arms of a condition is its own.
SHARED = ("shared_load_requests", "shared_store_requests", "shared_atomic_requests",
          "shared_wavefronts", "bank_conflicts")  # fmt: skip

SOME = ("relu", "softmax", "kl_div", "fold")


@pytest.mark.parametrize(
    "name",
    [n if n in SOME else pytest.param(n, marks=pytest.mark.exhaustive) for n in OPERATIONS],
)
def test_same_traffic_or_explained(name):
    op = OPERATIONS[name]
    seen = 0
    for direction in DIRECTIONS:
        layer = standard_layer(op, direction, FLOPS)
        if layer is None or "float32" not in op.dtypes_of(direction):
            continue
        arrays = op.inputs(layer, direction, "float32", np.random.default_rng(5))
        counted = {}
        for via in ("source", "ptx"):
            with pycnn.use_backend("emulator", checked=True, via=via), counting() as log:
                op.run(layer, direction, arrays, "auto")
            counted[via] = log.launches
        assert [e for e, _ in counted["source"]] == [e for e, _ in counted["ptx"]]
        for (entry, source), (_, ptx) in zip(counted["source"], counted["ptx"], strict=True):
            unexplained = differences(entry, asdict(source), asdict(ptx))
            assert not unexplained, f"{entry} of {name} {direction} {layer}: {unexplained}"
            seen += 1
    if not seen:
        pytest.skip(f"{name} has no layer of float32")


def differences(entry, source, ptx):
    """The counters that no rule explains, as (by the source, by PTX)."""
    return {
        name: (by_source, ptx[name])
        for name, by_source in source.items()
        if by_source != ptx[name] and not explained(entry, name, by_source, ptx[name])
    }


def explained(entry, name, source, ptx):
    if name in SHARED:
        least = source / STRUCTS.get(entry, 3)
        return name != "shared_wavefronts" or least <= ptx <= 1.5 * source
    if entry in FEWER_LOADS:
        return name in LOADS and ptx < source
    if entry in UNROLLED:
        return name in REQUESTS and abs(ptx - source) <= source / 6
    return False


def test_what_the_rules_leave():
    plain = {"global_load_requests": 6, "shared_wavefronts": 30, "barriers": 2}
    assert differences("k", plain, {**plain, "global_load_requests": 7}) == {
        "global_load_requests": (6, 7)
    }
    assert not differences("fold", plain, {**plain, "global_load_requests": 7})
    assert differences("fold", plain, {**plain, "global_load_requests": 8})
    assert differences("fold", plain, {**plain, "barriers": 1})
    assert differences("k", plain, {**plain, "shared_wavefronts": 46})
    assert differences("k", plain, {**plain, "shared_wavefronts": 5})
    assert not differences("norm_planes", plain, {**plain, "shared_wavefronts": 5})
    assert differences("norm_planes", plain, {**plain, "shared_wavefronts": 4})
    assert differences("gradient_parameters", plain, {**plain, "global_load_requests": 7})
    assert not differences("gradient_parameters", plain, {**plain, "global_load_requests": 5})


#: Structs of 16 bytes and more: how they are declared, what of it is computed, and the stores that
#: NVRTC makes of `y[i] = t`.
STORES = {
    "whole": ("struct alignas(16) T { float a, b, c, d; };", "a b c d", ["v4.f32"]),
    "of_two_types": ("struct alignas(16) T { int a; float b; int c; float d; };", "a b c d",
                     ["v4.u32"]),
    "doubles_and_integers": ("struct alignas(16) T { double a; long long b; };", "a b",
                             ["v2.u64"]),
    "of_small_alignment": ("struct T { float a, b, c, d; };", "a b c d", ["f32"] * 4),
    "of_half_the_alignment": ("struct T { double a; long long b; };", "a b", ["f64", "u64"]),
    "of_two_sizes": ("struct alignas(16) T { float a; long long b; };", "a b", ["f32", "u64"]),
    "copied": ("struct alignas(16) T { float a; long long b; };", "", ["v4.u32"]),
    "coefficients": ("struct T { float a, b, c, d, e, f; };", "a b c d e f", ["f32"] * 6),
}  # fmt: skip


def test_which_stores_nvrtc_splits():
    """Those of types that are aligned to less, and of computed members that differ in size."""
    pytest.importorskip("cuda.bindings.nvrtc", reason="needs the extra 'compile'")
    source = "".join(
        f"namespace {name} {{ {struct} }}\n"
        f'extern "C" __global__ void f_{name}({name}::T* y, const {name}::T* z, const int* x) {{\n'
        f"    {name}::T t = z[threadIdx.x];\n"
        + "".join(f"    t.{m} = x[threadIdx.x + {i}];\n" for i, m in enumerate(members.split()))
        + "    y[threadIdx.x] = t;\n}\n"
        for name, (struct, members, _) in STORES.items()
    )
    text = nvrtc.compile_ptx(source, "stores.cu", "sm_80").text
    entries = re.findall(r"\.entry f_(\w+)\((.*?)\n\}", text, re.DOTALL)
    found = {name: re.findall(r"st\.global\.([\w.]+)", code) for name, code in entries}
    assert found == {name: stores for name, (_, _, stores) in STORES.items()}
