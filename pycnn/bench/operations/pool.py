"""Maximum and average pooling on the feature maps of a network."""

from typing import Any

from pycnn.bench.cases import PoolCase
from pycnn.bench.operations.defined import Defined
from pycnn.testing.case import Case


def _problem(case: PoolCase) -> Case:
    settings = {
        "kernel_size": (case.r, case.s),
        "stride": case.stride,
        "padding": case.pad,
        "ceil_mode": case.ceil_mode,
    }
    return Case(str(case), {"x": case.x_shape}, settings)


def _attributes(case: PoolCase) -> dict[str, Any]:
    """Of ONNX's node."""
    return {
        "kernel_shape": (case.r, case.s),
        "strides": case.stride,
        "pads": (*case.pad, *case.pad),
        "ceil_mode": int(case.ceil_mode),
    }


class MaxPool2d(Defined):
    """`pycnn.max_pool2d` and `pycnn.max_pool2d_backward`."""

    def __init__(self) -> None:
        super().__init__(
            "max_pool2d",
            PoolCase,
            _problem,
            entries=True,
            onnx=lambda case: ("MaxPool", ("x",), _attributes(case)),
        )


class AvgPool2d(Defined):
    """`pycnn.avg_pool2d` and `pycnn.avg_pool2d_backward`."""

    def __init__(self) -> None:
        super().__init__(
            "avg_pool2d",
            PoolCase,
            _problem,
            entries=True,
            onnx=lambda case: (
                "AveragePool",
                ("x",),
                {**_attributes(case), "count_include_pad": 1},
            ),
        )
