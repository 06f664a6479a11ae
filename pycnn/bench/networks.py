"""The layers of a network of `pycnn.models` or of an ONNX file, where no suite has a table."""

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.bench.cases import Case, ConvCase, GemmCase, MapCase
from pycnn.bench.suites import Layer
from pycnn.define.trace import RECORDER, Traced, placeholder, tracing
from pycnn.runtime.backends import use_backend
from pycnn.runtime.context import held


def _conv(traced: Traced) -> Case | None:
    shapes, problem = traced.call.shapes, traced.call.settings.problem
    if len(shapes["x"]) != 4 or problem.mode != "zeros":
        return None
    stride, padding, dilation, groups = problem.windows
    (n, c, h, w), (k, _, height, width) = shapes["x"], shapes["weight"]
    return ConvCase(n, c, h, w, k, height, width, padding, stride, dilation, groups)


def _linear(traced: Traced) -> Case | None:
    shapes = traced.call.shapes
    outputs, inputs = shapes["weight"]
    return GemmCase(shapes["x"][0], outputs, inputs) if len(shapes["x"]) == 2 else None


def _map(traced: Traced) -> Case | None:
    shape = traced.call.shapes["x"]
    return MapCase(*shape) if len(shape) == 4 else None


#: By operation of the bench: the one that a network calls, names of layers, and how to read a call.
READERS: dict[str, tuple[str, str, Callable[[Traced], Case | None]]] = {
    "conv2d": ("conv2d", "conv", _conv),
    "gemm": ("linear", "fc", _linear),
    "relu": ("relu", "relu", _map),
}


def layers(model: str, op: str, batch: int = 1, own: Sequence[str] = ()) -> list[Layer]:
    """The layers of `op` in a network, equal ones once, in the order in which they compute.

    `own` are words such as "hidden=120,100", for `pycnn.models.arguments.read`.

    Examples
    --------
    >>> layers("lenet5", "gemm", 8)[-1]
    Layer(name='fc3', case=GemmCase(m=8, n=10, k=84), count=1)
    >>> layers("lenet5", "gemm", 8, ["hidden=120,100"])[-1].case
    GemmCase(m=8, n=10, k=100)
    """
    from pycnn.models import MODELS, arguments, create

    settings = arguments.read(model, own)
    if op not in READERS:
        return []
    called, stem, read = READERS[op]
    with tracing() as log:
        network: Any = create(model, **settings).eval()
        network(placeholder((batch, *MODELS[model].input_shape)))
    cases = [read(traced) for traced in log if traced.operation.name == called]
    return _counted(stem, [case for case in cases if case is not None])


def of_onnx(path: Path, op: str, batch: int | None = None) -> list[Layer]:
    """The layers of `op` in an ONNX model, as `layers` has them, by a run on zeros.

    Nothing is fused, so that an activation is a layer of its own. `batch` is for the first extent
    of the inputs where the model leaves it open; None is 1.
    """
    from pycnn.onnx.build import build
    from pycnn.onnx.execute import Program
    from pycnn.onnx.read import read
    from pycnn.onnx.simplify import simplify

    if op not in READERS:
        return []
    proto, weights, _ = read(path)
    graph = build(proto, weights)
    simplify(graph)
    seen: list[Traced] = []
    inputs = [_zeros(value, batch) for value in graph.inputs]
    see = held(RECORDER, lambda operation, call, *rest: seen.append(Traced(operation, call)))
    with see, use_backend("reference"), np.errstate(all="ignore"):
        Program(graph).run(inputs, {})
    called, stem, read_call = READERS[op]
    if op == "gemm":  # a product of the model, whatever layer it was
        cases = [_product(traced) for traced in seen if traced.operation.name in ("gemm", "matmul")]
    else:
        cases = [read_call(traced) for traced in seen if traced.operation.name == called]
    return _counted(stem, [case for case in cases if case is not None])


def _product(traced: Traced) -> Case | None:
    shape, a = traced.call.outputs["y"].shape, traced.call.shapes["a"]
    return GemmCase(*shape, prod(a) // shape[0]) if len(shape) == len(a) == 2 else None


def _zeros(value: Any, batch: int | None) -> np.ndarray:
    shape = value.shape
    if shape is None or any(not isinstance(extent, int) for extent in shape[1:]):
        raise ValueError(f"input {value} of the model; allowed: only the first extent open")
    if shape and isinstance(shape[0], int) and batch not in (None, shape[0]):
        raise ValueError(f"--batch {batch}: the model has input {value}")
    first = [extent if isinstance(extent, int) else batch or 1 for extent in shape[:1]]
    return np.zeros((*first, *shape[1:]), value.dtype)


def _counted(stem: str, cases: Sequence[Case]) -> list[Layer]:
    counts: dict[Case, int] = {}
    for case in cases:
        counts[case] = counts.get(case, 0) + 1
    return [Layer(f"{stem}{i}", case, n) for i, (case, n) in enumerate(counts.items(), start=1)]
