"""The model's predictions beside published measurements.

    python benchmarks/model_truth.py [--gpu NAME ...] [--source NAME ...] [--json FILE [--force]]

For each row of `truth/measurements.json` of whose design a kernel is under `truth/`: predicted
and published figure, and what bounds it. Then rank correlation and errors, of the rows that were
looked at while the model was made and of those held out, apart. No GPU is needed.
"""

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import pycnn
from pycnn.dtypes import numpy_dtype
from pycnn.predict import code, gpus, plans, sample
from pycnn.predict.model import Prediction, predict
from pycnn.runtime.files import write_json
from pycnn.runtime.options import with_json

TRUTH = Path(__file__).with_name("truth")

#: Doubles of a stream, and bytes moved for each element, as the source counts them.
STREAM = 1 << 28
STREAM_BYTES = {
    "init": 8, "read": 8, "scale": 16, "triad_of_two": 24, "triad": 32, "three_point": 16,
    "five_point": 16,
}  # fmt: skip


def measurements() -> dict[str, Any]:
    """Sources and rows of the published measurements."""
    found: dict[str, Any] = json.loads((TRUTH / "measurements.json").read_text())
    return found


def held_out(row: dict[str, Any], sources: dict[str, Any]) -> bool:
    """Whether a row was kept from the making of the model."""
    which = sources[row["source"]]["held_out"]
    return bool(which) if isinstance(which, bool) else row["gpu"] in which


def predicted(row: dict[str, Any]) -> tuple[float, Prediction]:
    """The row's figure as the model has it, in the row's unit."""
    gpu = gpus.gpu(row["gpu"])
    if row["source"] == "gpu-stream":
        return _stream(row, gpu)
    if row["source"] == "gpu-roofline":
        return _chains(row, gpu)
    if row["design"] == "gemm_wgmma":
        return _hopper(row, gpu)
    return _product(row, gpu)


def _hopper(row: dict[str, Any], gpu: gpus.Gpu) -> tuple[float, Prediction]:
    """By the project's own kernel for Hopper, of the same tiles, clusters, copies and stores."""
    n, kind = row["size"], numpy_dtype(row["dtype"])
    a, b = sample.aligned((n, n), kind), sample.aligned((n, n), kind)
    (found,) = plans.of_call(lambda: pycnn.matmul(a, b.T), gpu).launches
    return 2 * n**3 / found.time_us / 1e3, found


def _predict(
    file: str, entry: str, gpu: gpus.Gpu, grid: Sequence[int], block: int, args: Sequence[Any],
    shared: int = 0,
) -> Prediction:  # fmt: skip
    path = TRUTH / file
    compiled = code.of_text(path.read_text(), path, entry, gpu.arch)
    arrays = {f"x{i}": a for i, a in enumerate(args) if isinstance(a, np.ndarray)}
    x, y, z = (*grid, 1, 1)[:3]
    run = sample.run(
        compiled.ptx, compiled.entry, (x, y, z), (block, 1, 1), args, arrays, shared=shared, most=4
    )
    return predict(compiled, run, gpu, shared)


def _product(row: dict[str, Any], gpu: gpus.Gpu) -> tuple[float, Prediction]:
    n = -(-row["size"] // 128) * 128  # 4092 is a multiple of no tile
    design = row["design"]
    tile = [int(v) for v in re.findall(r"\d+", design)]
    rows, cols = tile[:2] if tile else (32, 32)
    threads = {
        "column_tile": lambda: rows * cols // tile[3],
        "square_tile": lambda: rows * cols // (tile[3] * tile[4]),
        "warp_tile": lambda: 32 * rows * cols // (tile[3] * tile[4]),
    }.get(design.partition("<")[0], lambda: 1024)()
    args = [np.int32(n), *(sample.aligned((n, n), np.float32) for _ in range(3))]
    found = _predict("sgemm.cu", design, gpu, (n // cols, n // rows), threads, args)
    return 2 * n**3 / found.time_us / 1e3, found


def _stream(row: dict[str, Any], gpu: gpus.Gpu) -> tuple[float, Prediction]:
    args = [sample.aligned((STREAM,), np.float64) for _ in range(4)]
    # Shared memory that leaves room for two blocks.
    shared = 44 * 1024 if gpu.l1_kib <= 128 else 76 * 1024
    found = _predict(
        "stream.cu", row["design"], gpu, (STREAM // row["size"] + 1,), row["size"],
        [*args, np.int64(STREAM)], shared,
    )  # fmt: skip
    return STREAM * STREAM_BYTES[row["design"]] / found.time_us / 1e3, found


def _chains(row: dict[str, Any], gpu: gpus.Gpu) -> tuple[float, Prediction]:
    length, pairs = (int(v) for v in re.findall(r"\d+", row["design"]))
    blocks = gpu.sms * (8 if gpu.arch in ("sm_80", "sm_90a") else 6)
    elements = blocks * 256 * pairs
    args = [sample.aligned((elements,), np.float32) for _ in range(3)]
    found = _predict("stream.cu", row["design"], gpu, (blocks,), 256, args)
    return elements * (2 + 2 * length) / found.time_us / 1e3, found


def spearman(a: Iterable[float], b: Iterable[float]) -> float:
    """Correlation of the ranks, of which equal values share the mean."""
    ranks = []
    for values in (a, b):
        _, place, equal = np.unique(list(values), return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(equal) - (equal - 1) / 2)[place])
    return float(np.corrcoef(ranks)[0, 1])


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Rank correlation of times, and median and 90th percentile of the errors."""
    if not rows:
        return {}
    errors = [abs(r["predicted"] / r["value"] - 1) for r in rows]
    ranks = {}
    for unit in sorted({r["unit"] for r in rows}):
        same = [r for r in rows if r["unit"] == unit]
        if len(same) > 2:
            pair = ([r[name] for r in same] for name in ("predicted", "value"))
            ranks[f"spearman {unit}"] = spearman(*pair)
    return {
        "rows": len(rows),
        **ranks,
        "median error": float(np.median(errors)),
        "90 %": float(np.quantile(errors, 0.9)),
    }


def main() -> None:
    """Predict, print, summarise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="append")
    parser.add_argument("--source", action="append")
    options = with_json(parser)
    data = measurements()
    rows = []
    for row in data["rows"]:
        wanted = row["design"] and row["gpu"] in (options.gpu or [row["gpu"]])
        if not wanted or row["source"] not in (options.source or [row["source"]]):
            continue
        value, found = predicted(row)
        rows.append({**row, "predicted": value, "bound": found.bound,
                     "held_out": held_out(row, data["sources"])})  # fmt: skip
        print(
            f"{row['source']:13}{row['gpu']:10}{row['name']:21}{row['value']:9.0f}"
            f"{value:9.0f} {value / row['value']:5.2f} {row['unit']:8}{found.bound}",
            flush=True,
        )
    for name, kept in (("seen", False), ("held out", True)):
        found_rows = [r for r in rows if r["held_out"] is kept]
        print(name, {k: round(v, 3) for k, v in summary(found_rows).items()})
    if options.json:
        write_json(options.json, {"rows": rows})


if __name__ == "__main__":
    main()
