"""Predicted shares of the speed of memory, of the kernels that it bounds; nothing is measured.

    python benchmarks/bandwidth.py [--gpu NAME ...] [--dtype NAME ...] [--only WORD] [--json FILE]

Of each operation: the time that the necessary bytes take at the speed of a copy, as a share of what
its launches are predicted to take by `pycnn.predict` (docs/model.md), without what lies between
them. Sizes are ResNet-50's at batch 32, and rows enough to fill a GPU. Necessary is every operand
and result once; batch norm in training has to read its operands twice, but where a block keeps a
channel. With several GPUs the last column is the least share, by which the rows are sorted. Under
``x`` stands what memory is predicted to move over what is necessary. ``--json`` with ``--force``
keeps the rows of FILE that are not predicted now, and of those that are what they were at first, as
``before``; and the share that our copy kernel (`pycnn.relu`) is predicted to reach with as many
bytes, as ``copy``: of few bytes no kernel comes near the speed of memory, as a launch fills and
drains the GPU. ``limit_us`` is what the necessary bytes take at that speed.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import pycnn
from pycnn.dtypes import numpy_dtype
from pycnn.predict import gpus, plans, sample
from pycnn.runtime.files import write_json
from pycnn.runtime.options import with_json

GPUS = ("h200", "a100", "rtx4090")
DTYPES = ("bfloat16", "float32")

#: Share of the speed of memory that every kernel is meant to reach.
GOAL = 0.85

#: Blocks of a launch that are run.
BLOCKS = 12

#: What arrays are filled with, again and again.
_SOME = np.random.default_rng(0).uniform(0.5, 1.5, 4093)

N = 32
STEM, MAP, LAST = (112, 64), (56, 256), (7, 2048)  # side and channels
ROWS, CLASSES, TOKENS = 16384, 1000, (4096, 1024)


@dataclass(frozen=True)
class Case:
    """An operation on arrays of one size.

    Attributes
    ----------
    name, layout : str
    call : callable
    necessary : int
        Bytes that it cannot do without.
    """

    name: str
    layout: str
    call: Callable[[], object]
    necessary: int


def array(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """Where a GPU would have it, of numbers that overflow nowhere and of which none is zero."""
    made = sample.aligned(tuple(shape), np.dtype(dtype))
    made.reshape(-1)[...] = np.resize(_SOME.astype(made.dtype), made.size)
    return made


def images(layout: str, size: tuple[int, int], dtype: Any) -> np.ndarray:
    """A batch of maps of a side and a number of channels."""
    side, channels = size
    last = layout == "NHWC"
    return array((N, side, side, channels) if last else (N, channels, side, side), dtype)


def cases(dtype: str) -> Iterator[Case]:
    """All of them in one dtype."""
    kind = numpy_dtype(dtype)
    for layout in ("NCHW", "NHWC"):
        yield from _pooling(layout, kind)
        yield from _norms(layout, kind)
        yield from _resizing(layout, kind)
    yield from _movement(kind)
    yield from _rows(kind)
    yield from _elements(kind)


def _pooling(layout: str, kind: np.dtype) -> Iterator[Case]:
    for size, window in ((STEM, (3, 2, 1)), (MAP, (2, 2))):
        x = images(layout, size, kind)
        half = (size[0] // 2, size[1])
        y, at = (images(layout, half, t) for t in (kind, np.int64))
        name, both = f"{window[0]}x{window[0]}/2", x.nbytes + y.nbytes
        to: dict[str, Any] = {"layout": layout}
        pool = partial(pycnn.max_pool2d, x, *window, **to)
        yield Case(f"max_pool {name}", layout, pool, both)
        pool = partial(pool, return_indices=True)
        yield Case(f"max_pool indices {name}", layout, pool, both + at.nbytes)
        back = partial(pycnn.max_pool2d_backward, y, at, x.shape, *window, **to)
        yield Case(f"max_pool_backward {name}", layout, back, both + at.nbytes)
        yield Case(f"avg_pool {name}", layout, partial(pycnn.avg_pool2d, x, *window, **to), both)
        back = partial(pycnn.avg_pool2d_backward, y, x.shape, *window, **to)
        yield Case(f"avg_pool_backward {name}", layout, back, both)
    x = images(layout, LAST, kind)
    pool = partial(pycnn.global_avg_pool, x, layout=layout)
    yield Case("global_avg_pool", layout, pool, x.nbytes * 50 // 49)


def _norms(layout: str, kind: np.dtype) -> Iterator[Case]:
    to: dict[str, Any] = {"layout": layout}
    for size in (STEM, MAP, LAST):
        x, dy = (images(layout, size, kind) for _ in range(2))
        mean, var, weight, bias = (array(size[1:], kind) for _ in range(4))
        centre, rstd = (array(size[1:], np.float32) for _ in range(2))
        name = f"{size[1]}@{size[0]}"
        once = size == LAST  # a block keeps a channel
        call = partial(pycnn.batch_norm, x, mean, var, weight, bias, **to)
        yield Case(f"batch_norm {name}", layout, call, 2 * x.nbytes)
        call = partial(pycnn.batch_norm_train, x, mean, var, weight, bias, **to)
        yield Case(f"batch_norm_train {name}", layout, call, (2 if once else 3) * x.nbytes)
        call = partial(pycnn.batch_norm_train_backward, dy, x, centre, rstd, weight, **to)
        yield Case(f"batch_norm_train_backward {name}", layout, call, (3 if once else 5) * x.nbytes)
    x, dy = (images(layout, MAP, kind) for _ in range(2))
    weight, bias = (array(MAP[1:], kind) for _ in range(2))
    call = partial(pycnn.group_norm, x, 32, weight, bias, **to)
    yield Case("group_norm", layout, call, 2 * x.nbytes)
    call = partial(pycnn.local_response_norm, x, 5, **to)
    yield Case("local_response_norm", layout, call, 2 * x.nbytes)
    call = partial(pycnn.local_response_norm_backward, dy, x, 5, **to)
    yield Case("local_response_norm_backward", layout, call, 3 * x.nbytes)


def _resizing(layout: str, kind: np.dtype) -> Iterator[Case]:
    x, dy = (images(layout, (side, 256), kind) for side in (28, 56))
    for mode in ("nearest", "bilinear"):
        call: Callable[[], object]
        call = partial(pycnn.interpolate, x, scale_factor=2, mode=mode, layout=layout)
        yield Case(f"interpolate x2 {mode}", layout, call, 5 * x.nbytes)
        call = partial(pycnn.interpolate_backward, dy, 28, scale_factor=2, mode=mode, layout=layout)
        yield Case(f"interpolate_backward x2 {mode}", layout, call, 5 * x.nbytes)
    dy = images(layout, (42, 256), kind)
    to: dict[str, Any] = {"mode": "bilinear", "layout": layout}
    both = x.nbytes + dy.nbytes
    yield Case("interpolate 28 to 42", layout, partial(pycnn.interpolate, x, 42, **to), both)
    call = partial(pycnn.interpolate_backward, dy, 28, **to)
    yield Case("interpolate_backward 28 to 42", layout, call, both)


def _movement(kind: np.dtype) -> Iterator[Case]:
    for size in (MAP, LAST):
        name = f"{size[1]}@{size[0]}"
        x, y = images("NCHW", size, kind), images("NHWC", size, kind)
        call = partial(pycnn.permute, x, (0, 2, 3, 1))
        yield Case(f"permute {name}", "to NHWC", call, 2 * x.nbytes)
        call = partial(pycnn.permute, y, (0, 3, 1, 2))
        yield Case(f"permute {name}", "to NCHW", call, 2 * x.nbytes)
    x = array(TOKENS, kind)
    yield Case("permute matrix", "", partial(pycnn.permute, x, (1, 0)), 2 * x.nbytes)
    x = images("NCHW", (56, 64), kind)
    yield Case("unfold 3x3 (im2col)", "NCHW", partial(pycnn.unfold, x, 3, 1, 1), 10 * x.nbytes)
    call = partial(pycnn.pad, x, (1, 1, 1, 1))
    y = images("NCHW", (58, 64), kind)
    yield Case("pad 1", "NCHW", call, x.nbytes + y.nbytes)
    call = partial(pycnn.pad_backward, y, (1, 1, 1, 1))
    yield Case("pad_backward 1", "NCHW", call, x.nbytes + y.nbytes)
    call = partial(pycnn.pad_backward, y, (1, 1, 1, 1), "reflect")
    yield Case("pad_backward 1 reflect", "NCHW", call, x.nbytes + y.nbytes)
    other = images("NCHW", (56, 64), kind)
    yield Case("concat", "NCHW", partial(pycnn.concat, [x, other], 1), 4 * x.nbytes)
    yield Case("channel_shuffle", "NCHW", partial(pycnn.channel_shuffle, x, 4), 2 * x.nbytes)


def _rows(kind: np.dtype) -> Iterator[Case]:
    x, y, dy = (array((ROWS, CLASSES), kind) for _ in range(3))
    target = array((ROWS,), np.int64)
    target[...] = np.arange(ROWS) % CLASSES
    one = array((), kind)
    for name in ("softmax", "log_softmax"):
        yield Case(name, "rows", partial(getattr(pycnn, name), x), 2 * x.nbytes)
        back = getattr(pycnn, f"{name}_backward")
        yield Case(f"{name}_backward", "rows", partial(back, dy, y), 3 * x.nbytes)
    yield Case("cross_entropy", "rows", partial(pycnn.cross_entropy, x, target), x.nbytes)
    call = partial(pycnn.cross_entropy_backward, one, x, target)
    yield Case("cross_entropy_backward", "rows", call, 2 * x.nbytes)
    x, dy = (array(TOKENS, kind) for _ in range(2))
    weight, bias = (array(TOKENS[1:], kind) for _ in range(2))
    call = partial(pycnn.layer_norm, x, TOKENS[1:], weight, bias)
    yield Case("layer_norm", "rows", call, 2 * x.nbytes)
    call = partial(pycnn.layer_norm_backward, dy, x, TOKENS[1:], weight)
    yield Case("layer_norm_backward", "rows", call, 3 * x.nbytes)
    yield Case("sum", "rows", partial(pycnn.sum, x, 1), x.nbytes)


def _elements(kind: np.dtype) -> Iterator[Case]:
    x, dy = (images("NCHW", MAP, kind) for _ in range(2))
    for name in ("relu", "gelu", "silu", "sigmoid"):
        yield Case(name, "", partial(getattr(pycnn, name), x), 2 * x.nbytes)
        back = getattr(pycnn, f"{name}_backward")
        other = [dy, x]
        yield Case(f"{name}_backward", "", partial(back, *other), 3 * x.nbytes)
    yield Case("add", "", partial(pycnn.add, x, dy), 3 * x.nbytes)
    yield Case("mul", "", partial(pycnn.mul, x, dy), 3 * x.nbytes)
    yield Case("dropout", "", partial(pycnn.dropout, x, 0.5, seed=1), 2 * x.nbytes)


@dataclass(frozen=True)
class Row:
    """Predictions of one case."""

    dtype: str
    case: Case
    algo: str
    shares: dict[str, float]
    copies: dict[str, float]
    limits: dict[str, float]
    moved: float
    bound: str
    launches: int

    @property
    def least(self) -> float:
        return min(self.shares.values())


@cache
def copied(necessary: int, dtype: str, name: str) -> float:
    """Share of the speed of memory that a copy is predicted to reach that moves as many bytes."""
    kind = numpy_dtype(dtype)
    x = array((max(1, necessary // 2 // kind.itemsize),), kind)
    gpu = gpus.gpu(name)
    launches = plans.of_call(partial(pycnn.relu, x), gpu, BLOCKS).launches
    return gpu.limit_us(0, 2 * x.nbytes, dtype) / sum(p.time_us for p in launches)


def predicted(case: Case, dtype: str, names: Sequence[str]) -> Row:
    """One row of the table; traffic and bound are those of the GPU that is worst."""
    found = {name: plans.of_call(case.call, gpus.gpu(name), BLOCKS) for name in names}
    limits = {name: gpus.gpu(name).limit_us(0, case.necessary, dtype) for name in names}
    shares = {n: limits[n] / sum(p.time_us for p in of.launches) for n, of in found.items()}
    copies = {name: copied(case.necessary, dtype, name) for name in names}
    worst = found[min(shares, key=lambda name: shares[name])]
    moved = sum(p.bytes.l2_bytes for p in worst.launches) / case.necessary
    longest = worst.longest
    assert longest is not None
    launches = len(worst.launches)
    return Row(dtype, case, worst.algo, shares, copies, limits, moved, longest.bound, launches)


def main() -> None:
    """Predict and print, the worst first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="append", choices=gpus.names())
    parser.add_argument("--dtype", action="append", choices=("float16", *DTYPES))
    parser.add_argument("--only", default="", metavar="WORD", help="operations whose names have it")
    options = with_json(parser)
    names = options.gpu or GPUS
    rows = [
        predicted(case, dtype, names)
        for dtype in options.dtype or DTYPES
        for case in cases(dtype)
        if options.only in f"{case.name} {case.layout}"
    ]
    rows.sort(key=lambda row: row.least)
    print("predicted, not measured: share of the speed of memory")
    print("| operation | layout | dtype | kernels | " + " | ".join(names) + " | copy | x | bound |")
    print("|---|---|---|---|" + "---:|" * (len(names) + 2) + "---|")
    for row in rows:
        shares = " | ".join(f"{row.shares[name]:.2f}" for name in names)
        print(
            f"| {row.case.name} | {row.case.layout} | {row.dtype} | {row.algo} ({row.launches}) | "
            f"{shares} | {min(row.copies.values()):.2f} | {row.moved:.2f} | {row.bound} |"
        )
    least = [row.least for row in rows]
    mean = math.exp(sum(map(math.log, least)) / len(least))
    print(f"{sum(v >= GOAL for v in least)} of {len(rows)} at {GOAL}; geometric mean {mean:.2f}")
    reached = sum(all(v >= GOAL * r.copies[n] for n, v in r.shares.items()) for r in rows)
    print(f"{reached} at {GOAL} of a copy of as many bytes")
    if options.json:
        made = [
            {"operation": r.case.name, "layout": r.case.layout, "dtype": r.dtype, "algo": r.algo,
             "shares": r.shares, "copy": r.copies, "limit_us": r.limits, "moved": r.moved,
             "bound": r.bound, "launches": r.launches}
            for r in rows
        ]  # fmt: skip
        write_json(options.json, {"rows": with_before(options.json, made)})


def with_before(path: Path, made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a file, with those of today in place of theirs."""

    def key(row: dict[str, Any]) -> tuple[str, ...]:
        return row["operation"], row["layout"], row["dtype"]

    old = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = {key(row): row for row in old}
    for row in made:
        was = rows.get(key(row), row)
        rows[key(row)] = {**row, "before": was.get("before", was["shares"])}
    return list(rows.values())


if __name__ == "__main__":
    main()
