"""A layer of the bench as the call that it is, with no arrays behind it."""

from typing import Any

import pycnn
from pycnn.bench.operations.base import FORWARD, Operation
from pycnn.bench.operations.conv import NEEDS, geometry
from pycnn.define.call import Call
from pycnn.define.explain import unread
from pycnn.define.trace import tracing
from pycnn.dtypes import numpy_dtype

#: In which order axes of images may lie.
LAYOUTS = ("NCHW", "NHWC")


def described(
    op: Operation, case: Any, direction: str, dtype: str, layout: str = "NCHW"
) -> tuple[Any, Call]:
    """The definition of an operation and what it makes of a layer, validated.

    Parameters
    ----------
    op : Operation
    case : Case
    direction, dtype : str
        Of those that the operation has.
    layout : {"NCHW", "NHWC"}
        The latter of convolutions along two axes.

    Raises
    ------
    ValueError
        If it has no such direction, dtype or layout.

    Examples
    --------
    >>> from pycnn.bench.operations import OPERATIONS
    >>> conv2d = OPERATIONS["conv2d"]
    >>> definition, call = described(
    ...     conv2d, conv2d.parse("n1c4h8w8k2r3s3p1"), "forward", "float32", "NHWC"
    ... )
    >>> definition.name, call.shapes["x"], call.shapes["y"]
    ('conv2d', (1, 8, 8, 4), (1, 8, 8, 2))
    """
    layouts = LAYOUTS if op.name == "conv2d" else LAYOUTS[:1]
    for name, value, allowed in (
        ("direction", direction, tuple(op.directions_of(case))),
        ("dtype", dtype, op.dtypes_of(direction)),
        ("layout", layout, layouts),
    ):
        if value not in allowed:
            raise ValueError(f"{name}={value!r}; allowed for {op.name}: {', '.join(allowed)}")
    shapes = op.input_specs(case, direction)
    if layout == "NHWC":
        shapes |= {n: (_last(shapes[n][0]), None) for n in ("x", "dy") if n in shapes}
    arrays = {n: unread(shape, numpy_dtype(own or dtype)) for n, (shape, own) in shapes.items()}
    with tracing() as log:
        if layout == "NCHW":
            op.run(case, direction, arrays, "auto")
        elif direction == FORWARD:
            pycnn.conv2d(arrays["x"], arrays["weight"], None, *geometry(case), layout=layout)
        else:
            dy, x, weight = (arrays[name] for name in ("dy", "x", "weight"))
            pycnn.conv2d_backward(dy, x, weight, *geometry(case), needs=NEEDS, layout=layout)
    return log[0].operation, log[0].call


def _last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[0], *shape[2:], shape[1]
