"""Labels, which are known within the braces they stand in."""

import numpy as np
import pytest
from ptx_run import entry, run

from pycnn.emulator import PtxError, PtxModule

REGS = ".reg .b32 %r<4>; .reg .b64 %rd<4>; .reg .pred %p<2>;"


def test_one_name_in_several_scopes():
    """Inline assembly brings its labels along, as often as it is inlined."""
    loop = (
        "{ mov.u32 %r2, 0; again: add.u32 %r2, %r2, 1; setp.lt.u32 %p1, %r2, COUNT;"
        "@%p1 bra again; { bra.uni done; add.u32 %r2, %r2, 1000; done: } }"
    )
    body = REGS + "ld.param.u64 %rd1, [x];"
    for n in (3, 5, 7):
        body += loop.replace("COUNT", str(n)) + f"st.global.u32 [%rd1+{4 * (n // 2 - 1)}], %r2;"
    x = np.zeros(3, np.uint32)
    run(entry(body + "bra done; trap; done: ret;", ".param .u64 x"), (x,))
    np.testing.assert_array_equal(x, [3, 5, 7])


def test_a_table_of_targets_within_braces():
    body = REGS + "ld.param.u64 %rd1, [x]; mov.u32 %r1, 1; mov.u32 %r2, 0;"
    for value in (10, 200):
        body += (
            "{ table: .branchtargets first, second; brx.idx %r1, table; first: trap;"
            f"second: add.u32 %r2, %r2, {value}; }}"
        )
    x = np.zeros(1, np.uint32)
    run(entry(body + "st.global.u32 [%rd1], %r2; ret;", ".param .u64 x"), (x,))
    assert x[0] == 210


def test_two_of_one_name():
    with pytest.raises(PtxError, match="label a is defined again"):
        PtxModule(entry("{ a: a: } ret;")).get_function("test")
