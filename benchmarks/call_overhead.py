"""What a repeated call costs before the launch: validation, look-up of the plan, packing.

    python benchmarks/call_overhead.py [--json FILE [--force]]

On NumPy arrays the executor is one that does nothing, so that what remains is pycnn's own part of a
call. On CuPy arrays the executor is the real one, and CuPy packs and launches as ever; beside it,
in turns, stands one that leaves to CuPy at each launch what is done once for a plan. That needs a
GPU, or the stand-in driver of ``tests/standin`` under the real CuPy, whose launch then does
nothing; the report says which.

Counted is processor time, so that other programs on the machine do not add to it. Prints JSON:
microseconds for each call, and the limits that they are meant to stay under.
"""

import argparse
import ctypes
import statistics
import sys
import time
import timeit
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import pycnn
from pycnn import models, nn
from pycnn.bench.environment import environment
from pycnn.runtime.backends import backends, executor, stand_in_executor
from pycnn.runtime.cuda import CudaExecutor
from pycnn.runtime.options import print_and_write_json, with_json
from pycnn.runtime.plan import Buffer, Launch, Plan, Transform

COMMAND = "python benchmarks/call_overhead.py"
LIMIT_US = 10.0
CALLS, REPEATS = 2000, 15

#: On CuPy arrays: what a `conv2d` of four launches may cost where a launch of a kernel with three
#: pointers costs `BARE_US`, and what a launch of a network may cost, in empty Python calls.
CUDA_LIMIT_US, BARE_US = 45.0, 2.4
NETWORK_LIMIT = 60.0

#: Launches that a GPU takes without making the caller wait.
QUEUE = 700


class Idle:
    """Runs plans by doing nothing."""

    name = "idle"

    def run(
        self, plan: Plan, arrays: Mapping[str, Any], out: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return dict.fromkeys(plan.outputs)


def calls() -> dict[str, Callable[[], Any]]:
    """Calls as users write them, on arrays of a ResNet-50 layer."""
    x = np.zeros((1, 64, 56, 56), np.float32)
    weight, bias = np.zeros((64, 64, 3, 3), np.float32), np.zeros(64, np.float32)
    out = np.zeros_like(x)
    return {
        "conv2d": lambda: pycnn.conv2d(x, weight, padding=1),
        "conv2d_bias_out": lambda: pycnn.conv2d(
            x, weight, bias, (1, 1), ((1, 1), (1, 1)), algo="direct", out=out
        ),
        "conv2d_list_arguments": lambda: pycnn.conv2d(x, weight, bias, [1, 1], [1, 1]),
        "conv2d_backward": lambda: pycnn.conv2d_backward(x, x, weight, padding=1),
    }


def measure(call: Callable[[], Any]) -> dict[str, float]:
    """Microseconds a call: median, least and most of several repeats, the first call left out."""
    call()
    taken = timeit.repeat(call, number=CALLS, repeat=REPEATS, timer=time.thread_time)
    repeats = [1e6 * seconds / CALLS for seconds in taken]
    return {
        "time_us": round(statistics.median(repeats), 3),
        "time_us_min": round(min(repeats), 3),
        "time_us_max": round(max(repeats), 3),
    }


class AtEachLaunch(CudaExecutor):
    """Leaves to CuPy, at each launch, what does not change: packing, and looking the kernel up."""

    def run(
        self, plan: Plan, arrays: Mapping[str, Any], out: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        cupy, device = self._cupy, self._cupy.cuda.runtime.getDevice()
        memory = {name: array for name, array in arrays.items() if array is not None}
        memory.update(out or {})
        for array in memory.values():
            assert array.data.device_id == device
        for name, spec in (*plan.outputs.items(), *plan.allocated.items()):
            if name not in memory:
                memory[name] = cupy.empty(spec.shape, spec.dtype)
        for launch in plan.launches:
            if isinstance(launch, Transform):
                launch.run(memory, cupy.fft)
            else:
                self._launch(launch, memory, device)
        return {name: memory[name] for name in plan.outputs}

    def _launch(self, launch: Launch, memory: Mapping[str, Any], device: int) -> None:
        args = [
            memory[a.name].data + a.offset
            if isinstance(a, Buffer)
            else None
            if a is None
            else np.array(a)
            for a in launch.args
        ]
        kernel = self._load(launch.kernel, device)
        kernel(launch.grid, launch.block, args, shared_mem=launch.shared)


class Counting:
    """Runs plans by another executor, and counts their launches."""

    name = "cuda"

    def __init__(self, by: Any) -> None:
        self.by, self.launches = by, 0

    def run(
        self, plan: Plan, arrays: Mapping[str, Any], out: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        self.launches += len(plan.launches)
        results: dict[str, Any] = self.by.run(plan, arrays, out)
        return results


def nothing() -> None:
    """An empty Python call."""


def driver() -> str:
    """What launches; the stand-in driver does nothing."""
    standin = sys.modules.get("pycnn_standin")
    if standin is None:
        return "a GPU"
    launch = dict(standin.driver.Hooks._fields_)["launch"]
    standin._hooks.launch = launch(lambda *_: 0)
    library = ctypes.CDLL(str(standin.LIBRARIES / "libcuda.so.1"))
    library.standin_hooks(ctypes.byref(standin._hooks))
    return "the stand-in driver, whose launch does nothing"


def in_turns(launches: int, calls: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Microseconds of each of several calls that launch as many kernels, the median of repeats."""
    repeats = max(QUEUE // max(launches, 1), 1)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS):
        for name, call in calls.items():
            pycnn.synchronize()
            begin = time.thread_time()
            for _ in range(repeats):
                call()
            taken[name].append(1e6 * (time.thread_time() - begin) / repeats)
    return {name: round(statistics.median(times), 3) for name, times in taken.items()}


def on_cupy() -> dict[str, Any]:
    """What calls cost on CuPy arrays, through the executor as it is and as it was."""
    status = backends()[0]
    if not status.available:
        return {"not_measured": status.detail}
    import cupy

    by = driver()
    new, old = executor("cuda"), AtEachLaunch()
    x = cupy.zeros((1, 64, 56, 56), np.float32)
    weight = cupy.zeros((64, 64, 3, 3), np.float32)
    model = models.create("resnet50").eval()
    nn.fuse(model)
    model.to("cuda")
    image = cupy.zeros((1, 3, 224, 224), np.float32)
    measured: dict[str, Callable[[], Any]] = {
        "conv2d": lambda: pycnn.conv2d(x, weight, padding=1),
        "conv2d_implicit_gemm": lambda: pycnn.conv2d(x, weight, padding=1, algo="implicit_gemm"),
        "relu": lambda: pycnn.relu(x),
        "resnet50_fused": lambda: model(image),
    }
    code = 'extern "C" __global__ void touch(float* a, float* b, float* c) {}'
    bare = cupy.RawModule(code=code).get_function("touch")
    per_call = min(timeit.repeat(nothing, number=100_000, repeat=REPEATS, timer=time.thread_time))
    bare_us = in_turns(1, {"bare": lambda: bare((1, 1, 1), (32, 1, 1), (x, x, x))})["bare"]
    empty_us = 1e6 * per_call / 100_000
    results = []
    for name, call in measured.items():
        counting = Counting(new)
        with stand_in_executor("cuda", counting):
            call()

        def by_old(call: Callable[[], Any] = call) -> None:
            with stand_in_executor("cuda", old):
                call()

        by_old()
        times = in_turns(counting.launches, {"time_us": call, "packed_at_each_launch_us": by_old})
        a_launch = times["time_us"] / counting.launches
        shares = {"us_a_launch": a_launch, "empty_calls_a_launch": a_launch / empty_us}
        shares = {unit: round(share, 2) for unit, share in shares.items()}
        results.append({"call": name, "launches": counting.launches, **times, **shares})
    return {
        "launched_by": by,
        "bare_launch_us": bare_us,
        "empty_call_us": round(empty_us, 4),
        "limits": {
            "conv2d_us": round(CUDA_LIMIT_US * bare_us / BARE_US, 1),
            "resnet50_fused_empty_calls_a_launch": NETWORK_LIMIT,
        },
        "results": results,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    file = with_json(parser).json
    with pycnn.use_backend("emulator"), stand_in_executor("emulator", Idle()):
        results = [{"call": name, **measure(call)} for name, call in calls().items()]
    report = {
        "environment": environment(COMMAND),
        "limit_us": LIMIT_US,
        "repeats": REPEATS,
        "calls_a_repeat": CALLS,
        "results": results,
        "cuda": on_cupy(),
    }
    print_and_write_json(report, file)


if __name__ == "__main__":
    main()
