"""Operations on the PTX route, in the checked build: right, and nothing is reported.

All of the case table is run by ``PYCNN_EMULATOR_VIA=ptx``; these are what only PTX has shown.
"""

import pytest

import pycnn
from benchmarks.gpu.once import CHECKED, attempt, memory_of
from pycnn.testing.problem import named

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
