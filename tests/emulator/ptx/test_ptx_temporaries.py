"""Registers that need no memory."""

from ptx_run import REGS, entry

from pycnn.emulator.ptx.parse import parse
from pycnn.emulator.ptx.statements import body
from pycnn.emulator.ptx.temporaries import temporaries

CODE = """
    mov.u32 %r1, %tid.x; add.u32 %r2, %r1, 1; ld.param.u64 %rd1, [x];
    setp.eq.u32 %p1, %r2, 5; @%p1 add.u32 %r3, %r2, 1; mov.u32 %r4, 0; mov.u32 %r9, 3;
again:
    add.u32 %r4, %r4, 1; add.u32 %r5, %r4, %r1; mul.lo.u32 %r6, %r5, %r5;
    st.global.u32 [%rd1], %r6; add.u32 %r7, %r7, 1; setp.lt.u32 %p2, %r4, 4;
    @%p2 bra again;
    cp.async.bulk.tensor.1d.shared::cta.global.mbarrier::complete_tx::bytes
        [%r8], [%rd1, {%r9}], [%r8];
    ret;
"""  # fmt: skip


def test_those_of_one_block():
    """Not those of two blocks, of a guarded instruction, or that are read first."""
    module = parse(entry(REGS + CODE, ".param .u64 x"), "test.ptx")
    found = {r.name for r in temporaries(body(module, module.functions["test"]))}
    assert found == {"%p1", "%p2", "%r5", "%r6"}
