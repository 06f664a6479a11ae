"""With no C++ compiler on the PATH PTX runs; the source route says what it lacks."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")
pytest.importorskip("cuda.bindings.nvrtc", reason="needs the extra 'compile'")

KERNEL = """
import numpy as np
from pycnn.emulator import RawKernel
code = 'extern "C" __global__ void add(const float* a, float* c) {'
code += 'int i = threadIdx.x; c[i] = 2 * a[i]; }'
for checked in (False, True):
    kernel = RawKernel(code, "add", checked=checked{settings})
    a = np.arange(64, dtype=np.float32)
    c = np.empty_like(a)
    kernel((1,), (64,), (a, c))
    assert (c == 2 * a).all()
"""
BACKEND = """
import numpy as np, pycnn
x = np.array([[-1, 0, 2]], np.float32)
with pycnn.use_backend("emulator"):
    assert pycnn.relu(x).tolist() == [[0, 0, 2]]
"""


def without_a_compiler(code, folder):
    (folder / "bin").mkdir()
    kept = {k: v for k, v in os.environ.items() if k not in ("PYCNN_CXX", "PYCNN_EMULATOR_VIA")}
    own = {"PATH": str(folder / "bin"), "PYCNN_CACHE_DIR": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-c", code], env=kept | own, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("code", [KERNEL.replace("{settings}", ""), BACKEND],
                         ids=["RawKernel", "use_backend"])  # fmt: skip
def test_kernels_run(code, tmp_path):
    done = without_a_compiler(code, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_source_route_says_what_it_lacks(tmp_path):
    done = without_a_compiler(KERNEL.replace("{settings}", ", via='source'"), tmp_path)
    assert done.returncode == 1
    assert "PYCNN_CXX" in done.stderr.splitlines()[-1]
