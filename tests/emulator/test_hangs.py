"""Threads that wait for each other without a barrier, and launches that would never end."""

import numpy as np

from pycnn.emulator import RawKernel


def kernel(code, **settings):
    return RawKernel(f'extern "C" __global__ void k{code}', "k", **settings)


def test_a_loop_that_sleeps_lets_the_other_threads_run():
    wait = kernel("""(volatile int* flag, int* out) {
        if (threadIdx.x == 64) flag[0] = 1;
        while (flag[0] == 0) __nanosleep(10);
        atomicAdd(out, 1);
    }""")
    flag, out = np.zeros(1, "i4"), np.zeros(1, "i4")
    wait((1,), (96,), (flag, out))
    assert out[0] == 96
