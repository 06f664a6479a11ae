"""ONNX models by our session and by ONNX Runtime, in turns, with one thread each.

    OMP_NUM_THREADS=1 python benchmarks/onnx_speed.py [--json FILE [--force]]

The models are our own networks, exported with the weights that they start with: SqueezeNet 1.1 and
ResNet-50, batch 1. Counted is processor time, so that other programs on the machine add less to it.
Prints JSON: milliseconds a call and the speed over that of ONNX Runtime.
"""

import argparse
import os
import statistics
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

#: Networks, calls a turn, and the speed over ONNX Runtime's that is asked for.
NETWORKS = {"squeezenet": 4, "resnet50": 1}
TURNS, ASKED = 9, 0.5


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
    times = {by: round(statistics.median(some), 2) for by, some in taken.items()}
    return {
        "network": name,
        "time_ms": times,
        "speed_over_onnxruntime": round(times["onnxruntime"] / times["pycnn"], 3),
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
