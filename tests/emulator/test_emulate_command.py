"""``pycnn emulate``: outcome, reports, counters, files, and one line for what is wrong."""

import re
from pathlib import Path

import numpy as np
import pytest

from pycnn import cli

pytest.importorskip("llvmlite", reason="running PTX needs the extra 'emulator'")
pytest.importorskip("cuda.bindings.nvrtc", reason="needs the extra 'compile'")

SOURCE = r"""
#include "factor.h"
extern "C" __global__ void shift(const float* x, float* y, int n) {
    __shared__ float tile[64];
    int i = threadIdx.x;
    tile[i] = x[i];
#ifndef RACY
    __syncthreads();
#endif
    y[i] = FACTOR * tile[(i + 1) % n];
}
template <typename T> __global__ void scale(T* x, T f) { x[threadIdx.x] *= f; }
extern "C" __global__ void sum(const int* x, unsigned long long* total) {
    extern __shared__ int tile[];
    tile[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0)
        for (int i = 0; i < blockDim.x; ++i) atomicAdd(total, (unsigned long long)tile[i]);
}
"""

PTX = """.version 8.0
.target sm_80
.address_size 64
.visible .entry twice(.param .u64 x) {
    .reg .b64 %d<4>; .reg .f32 %f<3>; .reg .b32 %r<2>;
    ld.param.u64 %d1, [x]; mov.u32 %r1, %tid.x; mad.wide.u32 %d2, %r1, 4, %d1;
    ld.global.f32 %f1, [%d2]; add.f32 %f2, %f1, %f1; st.global.f32 [%d2], %f2; ret;
}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "factor.h").write_text("#ifndef FACTOR\n#define FACTOR 1\n#endif\n")
    (tmp_path / "kernel.cu").write_text(SOURCE)
    (tmp_path / "kernel.ptx").write_text(PTX)
    np.save(tmp_path / "x.npy", np.arange(64, dtype=np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


CU = ["emulate", "kernel.cu", "--include", "include"]
SHIFT = [*CU, "--kernel", "shift", "--block", "64", "--arg", "x=x.npy",
         "--arg", "y=float32:64:empty", "--arg", "n=64"]  # fmt: skip


def test_the_outcome_and_the_arrays(files, capsys):
    assert (
        cli.main([*SHIFT, "--define", "FACTOR=2", "--save", "y=y.npy", "--save", "0=x2.npy"]) == 0
    )
    first, x, y = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"shift: done in \S+ s, grid 1, block 64, fast build", first)
    assert x.split() == ["x", "float32[64]", "unchanged", "0", "to", "63,", "mean", "31.5"]
    assert y.split() == ["y", "float32[64]", "changed", "0", "to", "126,", "mean", "63"]
    np.testing.assert_array_equal(np.load("y.npy"), 2 * np.roll(np.arange(64.0), -1))
    np.testing.assert_array_equal(np.load("x2.npy"), np.arange(64.0))


def test_counters_in_eighty_columns(files, capsys):
    assert cli.main([*SHIFT, "--count", "--arch", "sm_90a"]) == 0
    out = capsys.readouterr().out
    assert "checked build, no defect found" in out
    assert re.search(r"^  global load sectors +8$", out, re.M)
    assert re.search(r"^  barriers +1$", out, re.M)
    assert max(map(len, out.splitlines())) <= 80


def test_a_defect_is_status_1_with_the_line(files, capsys):
    assert cli.main([*SHIFT, "--checked", "--define", "RACY", "--save", "y=y.npy"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("shift: RaceError, grid 1, block 64, checked build\n")
    line = int(re.search(r"kernel\.cu:(\d+): write by thread", err)[1])
    assert "tile[i] = x[i]" in SOURCE.splitlines()[line - 1]
    assert not Path("y.npy").exists()


def test_templates_shared_memory_and_grids(files, capsys):
    scale = [*CU, "--kernel", "scale<double>", "--block", "8", "--arg", "float64:8:arange",
             "--arg", "float64=0.5", "--save", "0=y.npy"]  # fmt: skip
    assert cli.main(scale) == 0
    np.testing.assert_array_equal(np.load("y.npy"), np.arange(8) / 2)
    total = [*CU, "--kernel", "sum", "--grid", "2,1", "--block", "8,1,1", "--shared", "32",
             "--arg", "int32:16:random:3", "--arg", "uint64:1", "--save", "1=y.npy"]  # fmt: skip
    assert cli.main([*total, "--checked", "--schedule", "reverse"]) == 0
    values = np.random.default_rng(3).integers(0, 100, 16)
    assert np.load("y.npy")[0] == values.sum()
    assert "grid 2x1, block 8x1x1" in capsys.readouterr().out


def test_ptx_whose_only_kernel_needs_no_name(files, capsys):
    command = ["emulate", "kernel.ptx", "--block", "4", "--arg", "float32:2x2:ones"]
    assert cli.main(command) == 0
    assert "0  float32[2x2]  changed  2 to 2, mean 2" in capsys.readouterr().out
    assert cli.main([*command, "--block", "5", "--checked"]) == 1
    assert "OutOfBoundsError" in capsys.readouterr().err


WRONG = {
    "--kernel shft: kernel.cu has shift, sum; did you mean shift?": [*CU, "--kernel", "shft"],
    "--kernel is wanted: kernel.cu has shift, sum": CU,
    "no such file": ["emulate", "nothing.ptx"],
    "allowed are files .cu and .ptx": ["emulate", "include/factor.h"],
    "--arch goes with a .cu file": ["emulate", "kernel.ptx", "--arch", "sm_90a"],
    "--include there: no such folder": ["emulate", "kernel.cu", "--include", "there"],
    "--arg x=float33:3: float33 is no type": ["emulate", "kernel.ptx", "--arg", "x=float33:3"],
    "--arg float32:4x: shape 4x; allowed": ["emulate", "kernel.ptx", "--arg", "float32:4x"],
    "--arg float32:4:noise: fill noise; allowed: zeros": [
        "emulate", "kernel.ptx", "--arg", "float32:4:noise"],
    "a seed with random only": ["emulate", "kernel.ptx", "--arg", "float32:4:ones:3"],
    "needs its type: float32=0.5": ["emulate", "kernel.ptx", "--arg", "0.5"],
    "'three' is no float32": ["emulate", "kernel.ptx", "--arg", "float32=three"],
    "'300' is no uint8": ["emulate", "kernel.ptx", "--arg", "uint8=300"],
    "allowed: DTYPE:SHAPE[:FILL]": ["emulate", "kernel.ptx", "--arg", "x=y"],
    "--arg there.npy: there.npy: no such file": ["emulate", "kernel.ptx", "--arg", "there.npy"],
    "allowed: 68719476736": ["emulate", "kernel.ptx", "--arg", "uint8:999999x999999"],
    "takes 1 arguments, 0 were given": ["emulate", "kernel.ptx"],
    "block=(2000,)": ["emulate", "kernel.ptx", "--block", "2000", "--arg", "float32:4"],
    "--save y=y.npy: 'y' is no array; there are: 0": [
        "emulate", "kernel.ptx", "--arg", "float32:4", "--save", "y=y.npy"],
    "allowed is NAME=FILE.npy": ["emulate", "kernel.ptx", "--save", "y"],
    "allowed are the suffixes .npy": [
        "emulate", "kernel.ptx", "--arg", "float32:4", "--save", "0=y.txt"],
    "schedule='up'": ["emulate", "kernel.ptx", "--schedule", "up"],
    "timeout=-1.0": ["emulate", "kernel.cu", "--timeout", "-1"],
    "timeout=-2.0": ["emulate", "kernel.ptx", "--timeout", "-2"],
    "compiles for": [*CU, "--arch", "sm_10"],
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_bad_input_is_one_line(files, capsys, message):
    assert cli.main(WRONG[message]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("pycnn: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_extents_that_are_none(files, capsys):
    with pytest.raises(SystemExit):
        cli.main(["emulate", "kernel.ptx", "--grid", "2x2"])
    assert "one to three whole numbers" in capsys.readouterr().err
