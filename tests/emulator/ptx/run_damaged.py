"""Damaged PTX, in a process of its own: each text an error that says why, or a run.

python run_damaged.py FIRST COUNT MODE prints one line of JSON. MODE is ``translate``, which goes as
far as LLVM's language, or ``launch``, in the checked build. It ends with another status than 0 at
anything that is neither: a crash, or an exception that is none of ours. PYTHONPATH must have this
folder and ``compiled``.
"""

import collections
import contextlib
import faulthandler
import json
import random
import resource
import sys
import time

import numpy as np
from compiled_cases import CASES
from damage import damaged
from ptx_run import entry
from test_compiled_ptx import launch, text_of

from pycnn.emulator import KernelError, PtxError, PtxModule
from pycnn.emulator.launching import runtime
from pycnn.emulator.ptx.compile import translate
from pycnn.emulator.ptx.machine import llvm
from pycnn.emulator.ptx.parse import parse
from pycnn.runtime import nvrtc
from pycnn.runtime.extras import MissingExtra

#: What errors of a launch say: no such kernel, other parameters or blocks.
OF_A_LAUNCH = ("no such kernel", "argument", "requires", "allow")
#: Seconds and memory accesses that a launch may take.
SECONDS, STEPS = 5, 3_000_000

GOOD = entry(
    """
    .reg .pred %p<3>; .reg .b32 %r<9>; .reg .b64 %rd<5>; .reg .f32 %f<5>;
    .shared .align 4 .b8 tile[128];
    ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mad.wide.u32 %rd2, %r1, 4, %rd1;
    ld.global.f32 %f1, [%rd2]; cvt.rzi.s32.f32 %r2, %f1;
    mov.u32 %r3, tile; shl.b32 %r4, %r1, 2; add.u32 %r3, %r3, %r4;
    st.shared.f32 [%r3], %f1; bar.sync 0; ld.shared.f32 %f2, [%r3];
    setp.gt.f32 %p1, %f2, 0f3F800000; @%p1 fma.rn.f32 %f2, %f2, %f1, 0f40000000;
    { .param .b32 a; .param .b32 b; st.param.b32 [a], %r2;
      call (b), half, (a); ld.param.b32 %r5, [b]; }
    shfl.sync.bfly.b32 %r6, %r5, 1, 31, -1;
    st.global.f32 [%rd2], %f2; ret;""",
    ".param .u64 x",
    before=".func (.param .b32 r) half(.param .b32 n) { .reg .b32 %r<3>; ld.param.b32 %r1, [n];"
    " shr.s32 %r2, %r1, 1; st.param.b32 [r], %r2; ret; }\n.global .align 4 .u32 table[2] = {1, 2};",
)

#: One of our own kinds of kernel: NVRTC makes the PTX of it.
OWN = r"""
#include <cuda_fp16.h>
__constant__ float table[4] = {1, 2, 3, 4};
__device__ int total;
__device__ __noinline__ float half_of(float v) { return v / 2; }
extern "C" __global__ void test(float* x) {
    __shared__ float tile[32];
    float local[8];
    for (int i = 0; i < 8; ++i) local[i] = x[(threadIdx.x + i) % 32];
    tile[threadIdx.x] = local[(int)x[threadIdx.x] & 7] * table[threadIdx.x & 3];
    __syncthreads();
    float v = half_of(tile[31 - threadIdx.x]) + __shfl_xor_sync(~0u, tile[threadIdx.x], 3);
    v = __half2float(__float2half(v));
    if (v > 1e30f) printf("%f %d\n", v, total);
    atomicAdd(&total, 1);
    for (unsigned n = threadIdx.x; n > 1; n = n & 1 ? 3 * n + 1 : n / 2) v += 1;
    x[threadIdx.x] = v;
}"""
#: Texts whose entry `test` has an array of 32 floats as parameter.
SMALL = {"good": GOOD}
with contextlib.suppress(MissingExtra):
    SMALL["own"] = nvrtc.compile_ptx(OWN, "own.cu", "sm_80").text
TEXTS = SMALL | {case.name: text_of(case) for case in CASES}


def launched(name: str, text: str) -> None:
    """Run it in the checked build, which lets nothing out of its arrays."""
    settings = {"timeout": SECONDS, "max_steps": STEPS}
    if name in SMALL:
        module = PtxModule(text, checked=True, **settings)
        module.get_function("test")((1,), (32,), (np.ones(32, np.float32),))
    else:
        [case] = [case for case in CASES if case.name == name]
        launch(case, text, case.arguments(), checked=True, **settings)


def translated(name: str, text: str) -> None:
    """Write every entry in LLVM's language, which must be well-formed."""
    functions = {name: i for i, name in enumerate(runtime().PTX_FUNCTIONS)}
    module = parse(text)
    for function in module.functions.values():
        if function.is_entry:
            program = translate(module, function, functions, checked=True)
            llvm().parse_assembly(program.text, llvm().create_context()).verify()


def outcome(name: str, text: str, run) -> str:
    """What became of a text; any other exception is a defect of ours."""
    try:
        run(name, text)
    except PtxError as error:
        if len(str(error)) > 5000:
            raise
        return "refused"
    except KernelError:
        return "found"
    except FileNotFoundError:  # what is left of the text may be the name of a file
        if len(text) < 100:
            return "refused"
        raise
    except (TypeError, ValueError) as error:  # of the launch: no such kernel, other parameters
        if not any(word in str(error) for word in OF_A_LAUNCH):
            raise
        return "refused"
    return "ran"


def main(first: int, count: int, mode: str) -> None:
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    run = {"translate": translated, "launch": launched}[mode]
    for name, text in TEXTS.items():
        assert outcome(name, text, run) == "ran", name
    names = list(TEXTS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts: dict[str, int] = collections.Counter()
    slowest = 0.0
    for seed in range(first, first + count):
        name = names[seed % len(names)]
        print(f"seed {seed}, {name}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        counts[outcome(name, damaged(TEXTS[name], random.Random(seed)), run)] += 1
        slowest = max(slowest, time.perf_counter() - start)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(json.dumps({**counts, "slowest": round(slowest, 1), "megabytes": grown}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
