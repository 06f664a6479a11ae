"""``exit`` in a function that is called ends its thread, as far out as the entry."""

import numpy as np
import pytest
from ptx_run import entry, run

#: Threads that the bits of their number say so leave: in `inner`, in `outer`, or in the entry.
INNER = """
.func (.param .b32 r) inner(.param .b32 n) {
  .reg .pred %p; .reg .b32 %r<4>;
  ld.param.b32 %r1, [n];
  and.b32 %r2, %r1, 1;
  setp.ne.u32 %p, %r2, 0;
  @%p exit;
  add.u32 %r3, %r1, 100;
  st.param.b32 [r], %r3;
  ret;
}
.func (.reg .b32 %r) outer(.reg .b32 %n) {
  .reg .pred %p; .reg .b32 %t;
  and.b32 %t, %n, 2;
  setp.eq.u32 %p, %t, 0;
  @%p bra on;
  exit;
on:
  { .param .b32 a; .param .b32 b; st.param.b32 [a], %n;
    CALL
    ld.param.b32 %r, [b]; }
  ret;
}
"""
DIRECT = "call (b), inner, (a);"
THROUGH = """{ .reg .b64 %f; mov.u64 %f, inner;
    call (b), %f, (a), kind; kind: .callprototype (.param .b32 _) _ (.param .b32 _); }"""
BODY = """
  .reg .b32 %r<4>; .reg .b64 %d<3>;
  mov.u32 %r1, %tid.x;
  call (%r2), outer, (%r1);
  ld.param.u64 %d1, [x];
  mad.wide.u32 %d2, %r1, 4, %d1;
  st.global.u32 [%d2], %r2;
  ret;
"""


@pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])
@pytest.mark.parametrize("call", [DIRECT, THROUGH], ids=["direct", "through a register"])
def test_the_thread_ends_and_the_others_go_on(call, checked):
    x = np.zeros(64, np.int32)
    text = entry(BODY, ".param .u64 x", before=INNER.replace("CALL", call))
    run(text, (x,), block=64, checked=checked)
    threads = np.arange(64)
    np.testing.assert_array_equal(x, np.where(threads & 3, 0, threads + 100))
