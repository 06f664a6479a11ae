"""What a network costs: the multiply-adds of one example."""

from pycnn import nn
from pycnn.define.trace import placeholder, tracing
from pycnn.nn.observe import evaluating

#: Operations that multiply and add; all others are left out, as papers do.
COUNTED = ("linear", *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)))


def multiply_adds(model: nn.Layer, input_shape: tuple[int, ...]) -> int:
    """Multiply-adds of convolutions and dense layers for one example, without auxiliary heads.

    Examples
    --------
    >>> from pycnn import nn
    >>> multiply_adds(nn.Conv2d(3, 10, 3, padding=1), (3, 32, 32))  # 10 x 32 x 32 x 27
    276480
    """
    with evaluating(model), tracing() as log:
        model(placeholder((1, *input_shape)))
    return sum(one.flops for one in log if one.operation.name in COUNTED) // 2
