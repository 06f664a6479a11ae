"""A race between lanes that did alike and one that knows of some of them names another of them."""

import pytest
from ptx_run import entry, run

from pycnn.emulator import RaceError

#: All lanes of warp 0 read a word; lane 0 tells thread 32 that it is done.
BODY = """
    .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p<3>;
    .shared .align 16 .b8 tile[16]; .shared .align 16 .b8 flag[16];
    mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 0;
    @%p1 st.shared.u32 [tile], %r1; @%p1 st.shared.u32 [flag], %r1;
    bar.sync 0;
    setp.lt.u32 %p2, %r1, 32; @!%p2 bra other;
    ld.shared.u32 %r2, [tile];
    TOGETHER
    membar.cta;
    @%p1 atom.shared.exch.b32 %r3, [flag], 1;
    ret;
other:
    ld.volatile.shared.u32 %r4, [flag]; setp.eq.u32 %p1, %r4, 0; @%p1 bra other;
    st.shared.u32 [tile], 7;
    ret;"""


def test_the_thread_that_is_not_waited_for():
    run(entry(BODY.replace("TOGETHER", "bar.warp.sync -1;")), block=33)
    with pytest.raises(RaceError, match="write by thread 32 after a read by thread 1,"):
        run(entry(BODY.replace("TOGETHER", "")), block=33)
