"""Threads that spin let others run, and a launch that does not end is ended."""

import numpy as np
import pytest
from ptx_run import entry

from pycnn.emulator import KernelTimeoutError, PtxModule

SPIN = """
.reg .pred %p<3>; .reg .b32 %r<5>; .reg .b64 %rd<3>;
ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; setp.ne.u32 %p1, %r1, WAITER;
@%p1 bra other;
again: ld.volatile.global.u32 %r2, [%rd1]; setp.eq.u32 %p2, %r2, 0; @%p2 bra again;
st.volatile.global.u32 [%rd1+4], %r2;
ret;
other: mov.u32 %r3, 7; st.volatile.global.u32 [%rd1], %r3;
ret;"""


@pytest.mark.parametrize("waiter", [0, 1])
def test_a_thread_that_waits_lets_others_run(waiter):
    """Whichever of the two comes first."""
    x = np.zeros(2, np.uint32)
    text = entry(SPIN.replace("WAITER", str(waiter)), ".param .u64 x")
    PtxModule(text, timeout=20).get_function("test")((1,), (2,), (x,))
    np.testing.assert_array_equal(x, 7)


@pytest.mark.parametrize("checked", [False, True], ids=["fast", "checked"])
def test_a_loop_without_end_is_ended(checked):
    text = entry("again: bra again;")
    with pytest.raises(KernelTimeoutError):
        PtxModule(text, checked=checked, timeout=0.3).get_function("test")((1,), (2,), ())


def test_a_number_of_steps_ends_it_too():
    alone = SPIN.replace("WAITER", "0").replace("other: mov.u32 %r3, 7;", "other: ret;")
    module = PtxModule(entry(alone, ".param .u64 x"), checked=True, max_steps=5000)
    with pytest.raises(KernelTimeoutError, match="steps") as caught:
        module.get_function("test")((1,), (2,), (np.zeros(2, np.uint32),))
    assert caught.value.kernel == "test"
