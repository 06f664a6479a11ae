"""Time of every layer: measured on the backends that are here, predicted for a GPU that is not."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from pycnn.live.frames import pack
from pycnn.live.layers import Shown
from pycnn.nn.arrays import placer
from pycnn.predict import gpus, plans
from pycnn.predict.gpus import Gpu
from pycnn.runtime.backends import SELECTABLE, use_backend
from pycnn.runtime.faults import synchronize
from pycnn.runtime.text import printable

#: Runs of a layer, of which the median counts.
REPEATS = 5

Send = Callable[[bytes], None]


def measured(shown: Sequence[Shown], backend: str, send: Send) -> Iterator[None]:
    """Tell, layer by layer, the microseconds of each on random input."""
    if backend not in (*SELECTABLE, "cuda"):
        raise ValueError(f"backend={printable(backend, 40)!r}")
    return _measured(shown, backend, send)


def _measured(shown: Sequence[Shown], backend: str, send: Send) -> Iterator[None]:
    for place, layer in enumerate(shown):
        try:
            us = _time(layer, backend)
            send(_said("time", place, backend, us))
        except Exception as error:
            send(_said("time", place, backend, None, error))
        yield


def predicted(shown: Sequence[Shown], gpu: str, send: Send) -> Iterator[None]:
    """Tell, layer by layer, the microseconds that each is predicted to take on a GPU."""
    return _predicted(shown, gpus.gpu(gpu), send)


def _predicted(shown: Sequence[Shown], gpu: Gpu, send: Send) -> Iterator[None]:
    for place, layer in enumerate(shown):
        try:
            with plans.planned_on(gpu):
                found = plans.of_call(partial(_call, layer, _input(layer)), gpu)
            why = found.skipped[0] if found.skipped else None
            send(_said("time", place, gpu.key, None if why else found.time_us, why))
        except Exception as error:
            send(_said("time", place, gpu.key, None, error))
        yield


def _time(layer: Shown, backend: str) -> float:
    x = _input(layer)
    if backend == "cuda":
        params = layer.step.layer.parameters()
        x = placer(params[0].value)(x) if params else x
        return _median(lambda: _call(layer, x), REPEATS)
    with use_backend(backend):
        return _median(lambda: _call(layer, x), REPEATS if backend == "reference" else 1)


def _median(call: Callable[[], Any], repeats: int) -> float:
    call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        synchronize()
        times.append(1e6 * (time.perf_counter() - begin))
    return statistics.median(times)


def _input(layer: Shown) -> np.ndarray:
    shape = (1, *layer.step.input_shape)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def _call(layer: Shown, x: Any) -> Any:
    return layer.step.layer(x)


def _said(
    kind: str, place: int, where: str, us: float | None, why: object = None
) -> bytes:  # fmt: skip
    text = "" if why is None else printable(why, 200)
    return pack({"type": kind, "layer": place, "where": where, "us": us, "why": text})
