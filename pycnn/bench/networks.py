"""The layers of a network of `pycnn.models`, traced, where no suite has a table of them."""

from collections.abc import Callable, Sequence
from typing import Any

from pycnn.bench.cases import Case, ConvCase, GemmCase, MapCase
from pycnn.bench.suites import Layer
from pycnn.define.trace import Traced, placeholder, tracing


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


def layers(model: str, op: str, batch: int = 1) -> list[Layer]:
    """The layers of `op` in a network, equal ones once, in the order in which they compute.

    Examples
    --------
    >>> layers("lenet5", "gemm", 8)[-1]
    Layer(name='fc3', case=GemmCase(m=8, n=10, k=84), count=1)
    """
    from pycnn.models import MODELS, create

    if op not in READERS:
        return []
    called, stem, read = READERS[op]
    with tracing() as log:
        network: Any = create(model).eval()
        network(placeholder((batch, *MODELS[model].input_shape)))
    cases = [read(traced) for traced in log if traced.operation.name == called]
    return _counted(stem, [case for case in cases if case is not None])


def _counted(stem: str, cases: Sequence[Case]) -> list[Layer]:
    counts: dict[Case, int] = {}
    for case in cases:
        counts[case] = counts.get(case, 0) + 1
    return [Layer(f"{stem}{i}", case, n) for i, (case, n) in enumerate(counts.items(), start=1)]
