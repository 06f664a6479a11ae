"""When LLVM optimises an entry: not before it has run for long, or on many threads."""

import re

import numpy as np
import pytest
from ptx_run import BOTH, REGS, entry

from pycnn.emulator import OutOfBoundsError, PtxModule
from pycnn.emulator.ptx import module

BODY = f"""{REGS}
    ld.param.u64 %rd1, [x];
    mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x;
    mad.lo.u32 %r4, %r2, %r3, %r1;
    mul.wide.u32 %rd2, %r4, 4; add.s64 %rd3, %rd1, %rd2;
    ld.global.f32 %f1, [%rd3];
    fma.rn.f32 %f2, %f1, %f1, 0f3DCCCCCD;
    sqrt.rn.f32 %f3, %f2; div.rn.f32 %f4, %f1, %f3;
    st.global.f32 [%rd3], %f4;
    ret;"""


@pytest.fixture
def text(cache_dir):
    return entry(BODY, ".param .u64 x")


@BOTH
def test_many_threads(text, monkeypatch, checked):
    """The same bits come out, and the next module of the same text starts with that code."""
    monkeypatch.setattr(module, "MANY", 96)
    x = np.random.default_rng(3).standard_normal(96).astype(np.float32)
    few, many = x.copy(), x.copy()
    kernel = PtxModule(text, checked=checked).get_function("test")
    for start in range(0, 96, 32):
        kernel((1,), (32,), (few[start : start + 32],))
    assert not kernel._compiled.optimised
    kernel((3,), (32,), (many,))
    assert kernel._compiled.optimised
    np.testing.assert_array_equal(few.view(np.uint32), many.view(np.uint32))
    assert not np.array_equal(few, x)
    assert PtxModule(text, checked=checked).get_function("test")._compiled.optimised
    assert not PtxModule(text, checked=not checked).get_function("test")._compiled.optimised


def test_once_it_has_run_for_long(text, monkeypatch):
    monkeypatch.setattr(module, "LONG", 0.0)
    ptx = PtxModule(text)
    kernel, other = ptx.get_function("test"), ptx.get_function("test")
    x = np.ones(4, np.float32)
    kernel((1,), (4,), (x,))
    assert not kernel._compiled.optimised
    kernel((1,), (4,), (x,))
    assert kernel._compiled.optimised
    other.optimise()
    assert other._compiled is kernel._compiled


def test_reports_are_the_same(text):
    said, x = [], np.ones(7, np.float32)
    kernel = PtxModule(text, checked=True).get_function("test")
    for _ in range(2):
        with pytest.raises(OutOfBoundsError) as caught:
            kernel((1,), (8,), (x,))
        said.append(re.sub("0x[0-9a-f]+", "", str(caught.value)))  # where its copy lies may differ
        kernel.optimise()
    assert said[0] == said[1]


def test_a_cache_that_takes_no_more_stops_no_kernel(text, monkeypatch):
    """What is not kept is not optimised, nor tried in every launch; asked for, it is an error."""
    monkeypatch.setattr(module, "LONG", 0.0)
    kernel = PtxModule(text).get_function("test")
    tried = []

    def full(*_):
        tried.append(1)
        raise OSError("the cache folder cannot be written")

    monkeypatch.setattr(module.cache, "get_or_build", full)
    x = np.ones(4, np.float32)
    for _ in range(3):
        kernel((1,), (4,), (x,))
    assert len(tried) == 1
    assert x[0] < 1
    with pytest.raises(OSError, match="cannot be written"):
        kernel.optimise()
