"""Every operation that can be measured, by name."""

from pycnn.bench.cases import MapCase
from pycnn.bench.operations.base import Operation
from pycnn.bench.operations.conv import Conv2d
from pycnn.bench.operations.defined import Defined
from pycnn.bench.operations.dense import CrossEntropy, Gemm, Softmax
from pycnn.bench.operations.pool import AvgPool2d, MaxPool2d
from pycnn.define.operation import Gradient
from pycnn.define.registry import OPERATIONS as DEFINED
from pycnn.testing.case import Case


def _on_maps(name: str, onnx_type: str) -> Defined:
    """An operation on every element of the feature maps of a network."""
    return Defined(
        name,
        MapCase,
        lambda case: Case(str(case), {"x": case.x_shape}),
        entries=True,
        onnx=lambda case: (onnx_type, ("x",), {}),
    )


#: Those that networks are made of, with suites of real layers; then all others, on the standard
#: layers of their definitions.
_ON_NETWORKS: tuple[Operation, ...] = (
    Conv2d(),
    MaxPool2d(),
    AvgPool2d(),
    _on_maps("relu", "Relu"),
    Softmax(),
    CrossEntropy(),
    Gemm(),
)

OPERATIONS: dict[str, Operation] = {op.name: op for op in _ON_NETWORKS} | {
    name: Defined(name)
    for name, op in DEFINED.items()
    if not isinstance(op, Gradient) and name not in {known.name for known in _ON_NETWORKS}
}
