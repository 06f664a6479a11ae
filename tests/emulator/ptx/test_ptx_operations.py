"""Operations on the PTX route, in the checked build: right, and nothing is reported.

All of the case table is run by ``PYCNN_EMULATOR_VIA=ptx``; these are what only PTX has shown.
"""

import pytest

import pycnn
from benchmarks.gpu.once import CHECKED, SKIPPED, attempt, memory_of
from benchmarks.gpu.problems import select
from pycnn.runtime.target import planned_for, target_of_backend
from pycnn.testing.problem import every, named

pytest.importorskip("llvmlite", reason="llvmlite is not installed (extra emulator)")

WORDS = [
    # A 16-bit __ldg, hoisted above its guard, read beyond the row.
    "topk / rows / float16",
    "topk / rows / bfloat16",
    "nll_loss / short rows / float16",
    # Inline assembly: ldmatrix, mma.sync, cp.async.
    "gemm / ragged tiles / float16 / tensor_core",
    "gemm / both transposed / bfloat16 / tensor_core",
    "conv2d / same / float32 / direct_tiled",
]


@pytest.mark.parametrize("word", WORDS)
def test_right_and_silent(word):
    with pycnn.use_backend("emulator", checked=True, via="ptx"):
        assert attempt(named(word), memory_of("emulator")) == (CHECKED, "")


@pytest.mark.exhaustive
@pytest.mark.parametrize(("via", "arch"), [("source", ""), ("ptx", "sm_80"), ("ptx", "sm_90a")])
@pytest.mark.parametrize("operation", sorted({problem.op.name for problem in every()}))
def test_the_whole_table(operation, via, arch, monkeypatch):
    """Every case of every operation: by the source, without tensor cores, and by PTX for two
    architectures."""
    if arch:
        monkeypatch.setenv("PYCNN_EMULATOR_ARCH", arch)
    with pycnn.use_backend("emulator", checked=True, via=via):
        with planned_for(target_of_backend("emulator")):
            chosen = select(p for p in every() if p.op.name == operation and not p.large)
        found = {str(p): attempt(p, memory_of("emulator")) for p in chosen.problems}
    wrong = {
        name: (status, reason)
        for name, (status, reason) in found.items()
        if status not in (CHECKED, SKIPPED)
    }
    assert not wrong
    assert found
