"""How fast the emulator runs kernels on this processor, and what a launch costs.

    python benchmarks/emulator_speed.py [--json FILE [--force]]

GFLOP/s of the direct convolution and of every version of the GEMM kernel in the fast build,
and microseconds of a launch of one block and of a block for each core. Every result is checked
before it is timed.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

import pycnn
from pycnn.bench.environment import environment
from pycnn.bench.measure import CpuClock, measure
from pycnn.emulator import RawKernel
from pycnn.plan.gemm import algorithms_of
from pycnn.reference.oracle import conv as conv_oracle, gemm as gemm_oracle
from pycnn.runtime.options import print_and_write_json, with_json
from pycnn.testing.tolerance import compare

COMMAND = "python benchmarks/emulator_speed.py"

#: Of the matrix product, the best one last.
VERSIONS = algorithms_of("float64")  # those that multiply one by one

#: What the project asks of two cores.
TARGETS = {"conv2d direct": 3.0, "best gemm": 8.0, "launch of 1 block": 50.0}

LAUNCHED = 'extern "C" __global__ void touch(float* x) { x[blockIdx.x * 64 + threadIdx.x] = 1; }'


def check(result: np.ndarray, expected: np.ndarray, reduction: int) -> None:
    """Stop on a wrong result: it must not be timed."""
    error, allowed = compare(result, expected, result.dtype, reduction)
    if error > allowed:
        raise SystemExit(f"wrong result: error {error:.3g}, allowed {allowed:.3g}")


def gflops(call: Callable[[], Any], flop: float) -> dict[str, float]:
    timing = measure(call, CpuClock(), 3.0)
    return {
        "gflops": round(flop / timing.median_ms / 1e6, 2),
        "gflops_best": round(flop / timing.samples_ms[0] / 1e6, 2),
        "repeats": len(timing.samples_ms),
    }


def convolution(rng: np.random.Generator) -> dict[str, Any]:
    x = rng.standard_normal((1, 64, 56, 56), dtype=np.float32)
    w = rng.standard_normal((64, 64, 3, 3), dtype=np.float32)
    pads, ones = ((1, 1), (1, 1)), (1, 1)
    expected = conv_oracle.convolve(x, w, None, ones, pads, ones, 1)
    results = {}
    for algo in ("direct", "direct_tiled", "im2col"):

        def call(algo: str = algo) -> np.ndarray:
            return pycnn.conv2d(x, w, padding=1, algo=algo)

        check(call(), expected, 64 * 9)
        results[f"conv2d {algo}"] = gflops(call, 2.0 * 64 * 64 * 9 * 56 * 56)
    return results


def gemm(rng: np.random.Generator) -> dict[str, Any]:
    """Every version of the kernel at one size, and the best one where its large tile is chosen."""
    results = {}
    for algo, size in [*((a, 768) for a in VERSIONS), (VERSIONS[-1], 1536)]:
        a = rng.standard_normal((size, size), dtype=np.float32)
        b = rng.standard_normal((size, size), dtype=np.float32)

        def call(algo: str = algo, a: np.ndarray = a, b: np.ndarray = b) -> np.ndarray:
            return pycnn.gemm(a, b, algo=algo)

        check(call(), gemm_oracle.gemm(a, b), size)
        results[f"gemm {algo} {size}"] = gflops(call, 2.0 * size**3)
    return results


def launches() -> dict[str, Any]:
    results = {}
    kernel = RawKernel(LAUNCHED, "touch")
    for blocks in (1, 2):
        x = np.zeros(64 * blocks, np.float32)
        timing = measure(lambda x=x, n=blocks: kernel((n,), (64,), (x,)), CpuClock(), 1.0)
        results[f"launch of {blocks} block{'s' * (blocks > 1)}"] = {
            "time_us": round(1e3 * timing.median_ms, 2),
            "time_us_best": round(1e3 * timing.samples_ms[0], 2),
        }
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    file = with_json(parser).json
    rng = np.random.default_rng(0)
    with pycnn.use_backend("emulator", checked=False):
        results = {**convolution(rng), **gemm(rng), **launches()}
    best = max(v["gflops"] for k, v in results.items() if k.startswith("gemm"))
    report = {
        "environment": environment(COMMAND),
        "targets": TARGETS,
        "results": {**results, "best gemm": {"gflops": best}},
    }
    print_and_write_json(report, file)


if __name__ == "__main__":
    main()
