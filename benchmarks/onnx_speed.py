"""ONNX models by our session and by ONNX Runtime, with one thread each: time, memory, loading.

    OMP_NUM_THREADS=1 python benchmarks/onnx_speed.py [--json FILE [--force]]

The models are our own networks, exported with the weights that they start with: SqueezeNet 1.1 and
ResNet-50, batch 1, called in turns. Counted is processor time, so that other programs on the
machine add less to it. Memory is the largest resident set of a process that loads the model and
calls it three times, and does nothing else. Prints JSON.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import pycnn
from pycnn import models, onnx
from pycnn.bench.environment import environment
from pycnn.runtime.options import print_and_write_json, with_json

COMMAND = "OMP_NUM_THREADS=1 python benchmarks/onnx_speed.py"

#: Networks and calls a turn; what is asked for: speed over, memory over ONNX Runtime's, seconds to
#: load a model.
NETWORKS = {"squeezenet": 4, "resnet50": 1}
TURNS, ASKED = 9, {"speed": 0.5, "memory": 1.3, "load": 2.0}

#: Loads the model at the first argument and calls it with an array of the shape at the second.
ALONE = {
    "pycnn": """
from pycnn import onnx
call = onnx.load(path)
""",
    "onnxruntime": """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
call = lambda x: session.run(None, {session.get_inputs()[0].name: x})
""",
}
_BEFORE = "import sys, time, numpy as np\npath, *shape = sys.argv[1:]\n"
_AFTER = """
loaded = time.process_time()
for _ in range(3):
    call(np.ones(tuple(map(int, shape)), np.float32))
with open("/proc/self/status") as status:  # rusage counts what the parent had when it forked, too
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")), loaded)
"""


def alone(by: str, path: Path, shape: tuple[int, ...]) -> tuple[float, float]:
    """Of a process of its own: MiB at most, and seconds until the model was loaded."""
    command = [sys.executable, "-c", _BEFORE + ALONE[by] + _AFTER, path, *map(str, shape)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return round(int(printed[0]) / 1024, 1), round(float(printed[1]), 2)


def sessions(path: Path) -> tuple[Any, Any]:
    """Ours, and ONNX Runtime's with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    theirs = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnx.load(path), theirs


def measure(name: str, folder: Path) -> dict[str, Any]:
    """One network by both."""
    path = folder / f"{name}.onnx"
    model = models.create(name)
    onnx.export(model.eval(), path)
    ours, theirs = sessions(path)
    shape = models.MODELS[name].input_shape
    x = np.random.default_rng(5).standard_normal((1, *shape), np.float32)
    feeds = {"input": x}
    calls = {"pycnn": lambda: ours(x), "onnxruntime": lambda: theirs.run(None, feeds)[0]}
    given, wanted = (call() for call in calls.values())
    worst = float(np.abs(given - wanted).max() / np.abs(wanted).max())
    taken: dict[str, list[float]] = {by: [] for by in calls}
    for _ in range(TURNS):
        for by, call in calls.items():
            begin = time.process_time()
            for _ in range(NETWORKS[name]):
                call()
            taken[by].append(1e3 * (time.process_time() - begin) / NETWORKS[name])
    memory, loading = zip(*(alone(by, path, (1, *shape)) for by in calls), strict=True)
    times = {by: round(statistics.median(some), 2) for by, some in taken.items()}
    return {
        "network": name,
        "time_ms": times,
        "speed_over_onnxruntime": round(times["onnxruntime"] / times["pycnn"], 3),
        "memory_mib": dict(zip(calls, memory, strict=True)),
        "memory_over_onnxruntime": round(memory[0] / memory[1], 3),
        "load_s": dict(zip(calls, loading, strict=True)),
        "largest_difference": worst,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    file = with_json(parser).json
    if os.environ.get("OMP_NUM_THREADS") != "1":  # BLAS reads it when NumPy is imported
        parser.error(f"OMP_NUM_THREADS is not 1; allowed: {COMMAND}")
    with pycnn.use_backend("reference"), tempfile.TemporaryDirectory() as folder:
        results = [measure(name, Path(folder)) for name in NETWORKS]
    report = {
        "environment": environment(COMMAND),
        "onnxruntime": onnxruntime.__version__,
        "threads": 1,
        "turns": TURNS,
        "asked": ASKED,
        "results": results,
    }
    print_and_write_json(report, file)


if __name__ == "__main__":
    main()
