"""Errors go from one process to another as they are."""

import pickle

import numpy as np
import pytest

from pycnn import nn
from pycnn.emulator import RawKernel
from pycnn.emulator.errors import KernelError
from pycnn.emulator.ptx.errors import PtxError
from pycnn.runtime.errors import CompileError


def of_a_kernel():
    code = 'extern "C" __global__ void k(float* x) { x[64] = 1; }'
    with pytest.raises(KernelError) as caught:
        RawKernel(code, "k", checked=True)((1,), (1,), (np.zeros(4, np.float32),))
    return caught.value


def of_a_layer():
    with pytest.raises(nn.LayerError) as caught:
        nn.Sequential(conv=nn.Conv2d(1, 1, 3))("x")
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        of_a_kernel,
        of_a_layer,
        lambda: PtxError("wrong", name="a.ptx", line=3),
        lambda: CompileError("a.cu", "sm_80", "no"),
    ],
)
def test_an_error_survives_pickling(error):
    error = error()
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    for name in ("kernel", "line", "trace", "array", "path", "reason", "log"):
        assert getattr(again, name, None) == getattr(error, name, None)


@pytest.mark.parametrize("header", ["cstdio", "vector", "stdio.h", "string.h"])
def test_a_header_of_the_host_is_one_message(header):
    log = f'k.cu(1): catastrophic error: cannot open source file "{header}"\n  #include <{header}>'
    said = str(CompileError("k.cu", "compute_80", log))
    assert said.startswith(f"k.cu includes <{header}>, which is code for the host;")
    assert len(said.splitlines()) == 1
    own = log.replace(header, f"mine/{header}")
    assert str(CompileError("k.cu", "compute_80", own)).endswith(own)
