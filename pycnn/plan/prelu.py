"""Plans of prelu and its gradients."""

from collections.abc import Mapping

from pycnn.plan._map import map_plan
from pycnn.plan._map_sum import MapSum, in_turn
from pycnn.plan._strided import Ints, broadcast_axes
from pycnn.runtime.plan import Plan

FILE = "activation/prelu.cu"


def prelu(shape: Ints, x: Ints, weight: Ints, dtype: str) -> Plan:
    """x or slope times x; `x` and `weight` are strides, of the slopes zero but along channels."""
    return map_plan("prelu", FILE, shape, {"x": x, "weight": weight}, "y", dtype)


def prelu_backward(
    shape: Ints, inputs: Mapping[str, Ints], slopes: Ints, own: Ints, dtype: str
) -> Plan:
    """Gradients of x and of the slopes in one pass.

    Parameters
    ----------
    shape : tuple of int
        Of x.
    inputs : mapping of str to tuple of int
        Strides of dy, x and the weight, as it is broadcast to x.
    slopes, own : tuple of int
        Shape of the weight, with the axes of x and with its own.
    dtype : str
    """
    one_pass = MapSum(
        file=FILE,
        entry="prelu_backward",
        shape=shape,
        inputs=tuple(inputs.items()),
        mapped="dx",
        total="dweight",
        summed=broadcast_axes(shape, slopes),
        dtype=dtype,
    )
    return in_turn("prelu_backward", [one_pass], {"dx": shape, "dweight": own}, dtype)
