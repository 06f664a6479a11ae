"""Every barrier, fence and wait of the kernels is needed: without it the emulator reports."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from barriers import TRIED, barriers, only_arch, problems

ROOT = Path(__file__).parents[2]

#: Files, or statements of one, that no problem on the CPU misses, and what does.
UNSEEN = {
    "check/values.cu": "run by checks of values, on a GPU: tests/runtime/test_faults.py",
    "optim/gradients.cu": "run by optimisers: tests/nn/test_fused_step.py takes it out",
    "include/pycnn/gemm_wgmma.cuh cluster_sync();": "of several blocks for one tile, some:"
    " tests/ops/test_gemm_wgmma.py and test_implicit_gemm_wgmma.py take each out",
    "include/pycnn/gemm_mma.cuh __syncthreads_or": "of NaN: tests/ops/test_gemm_tensor_core.py",
    "norm/layer_gradient.cu": "of several rows a block: tests/ops/test_norm.py takes each out",
    "norm/moments.cu __syncthreads_or": "of squares that overflow: tests/ops/test_norm.py",
}


def unseen(barrier):
    return UNSEEN.get(barrier.file) or UNSEEN.get(f"{barrier.file} {barrier.statement}")


EACH = pytest.mark.parametrize("barrier", list(barriers()), ids=str)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy to take barriers out of."""
    copy = tmp_path_factory.mktemp("barriers")
    for name in ("pycnn", "kernels", "emulator", "benchmarks", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "results")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    return copy


@EACH
def test_is_run_by_a_problem(barrier):
    assert unseen(barrier) or problems()[barrier.file]


@pytest.mark.exhaustive
@EACH
def test_is_missed(tree, barrier):
    if reason := unseen(barrier):
        pytest.skip(reason)
    path = tree / "kernels" / barrier.file
    cases = tree / "cases.txt"
    cases.write_text("\n".join(problems()[barrier.file][:TRIED]))
    text = path.read_text()
    path.write_text(barrier.removed_from(text))
    command = [sys.executable, "tests/mutation/barriers.py", str(cases)]
    own = {
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYCNN_EMULATOR_VIA": "ptx",
    }
    if arch := only_arch(barrier.file):
        own["PYCNN_EMULATOR_ARCH"] = arch
    try:
        reported = subprocess.check_output(command, cwd=tree, env={**os.environ, **own}, text=True)
    finally:
        path.write_text(text)
    assert reported.strip(), f"{barrier} can be removed, and nothing is reported"
