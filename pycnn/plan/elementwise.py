"""Plans of sums and products of two arrays with broadcasting, and of their gradients."""

from collections.abc import Mapping
from dataclasses import replace

from pycnn.dtypes import numpy_dtype
from pycnn.plan._map import accum_scalars, map_plan
from pycnn.plan._map_sum import MapSum, in_turn
from pycnn.plan._strided import Ints, broadcast_axes
from pycnn.runtime.plan import ArraySpec, Plan

ADD, MUL = "elementwise/add.cu", "elementwise/mul.cu"


def add(shape: Ints, a: Ints, b: Ints, dtype: str, alpha: float) -> Plan:
    """a + alpha b; `a` and `b` are strides, zero where they are broadcast."""
    alphas = accum_scalars(dtype, alpha)
    return map_plan("add", ADD, shape, {"a": a, "b": b}, "y", dtype, parameters=alphas)


def mul(shape: Ints, a: Ints, b: Ints, dtype: str) -> Plan:
    """a b; `a` and `b` are strides, zero where they are broadcast."""
    return map_plan("mul", MUL, shape, {"a": a, "b": b}, "y", dtype)


def add_backward(shape: Ints, dy: Ints, own: Mapping[str, Ints], dtype: str, alpha: float) -> Plan:
    """dy and alpha dy, summed over the axes that an operand was broadcast over.

    Parameters
    ----------
    shape, dy : tuple of int
        Shape and element strides of dy.
    own : mapping of str to tuple of int
        Shapes of the operands a and b.
    dtype : str
    alpha : float
    """
    op, factors = "add_backward", {"a": 1.0, "b": alpha}
    summed = {name: broadcast_axes(shape, its) for name, its in own.items()}
    if not any(summed.values()):
        scalars = accum_scalars(dtype, 1.0, alpha)
        plan = map_plan(op, ADD, shape, {"dy": dy}, ("da", "db"), dtype, parameters=scalars)
        return replace(plan, outputs=_outputs(own, dtype))
    passes = [
        MapSum(
            file=ADD,
            entry=op,
            shape=shape,
            inputs=(("dy", dy),),
            mapped=f"d{full}" if full else None,
            total=f"d{name}",
            summed=summed[name],
            dtype=dtype,
            constants=(factors[full] if full else 0.0, factors[name]),
        )
        for name, full in _passes(summed)
    ]
    return in_turn(op, passes, {f"d{name}": its for name, its in own.items()}, dtype)


def mul_backward(
    shape: Ints, dy: Ints, own: Mapping[str, Ints], strides: Mapping[str, Ints], dtype: str
) -> Plan:
    """dy times the other operand, summed over the axes that an operand was broadcast over.

    Parameters
    ----------
    shape, dy : tuple of int
        Shape and element strides of dy.
    own, strides : mapping of str to tuple of int
        Shapes of the operands a and b, and their strides as they are broadcast.
    dtype : str
    """
    op, other = "mul_backward", {"a": "b", "b": "a"}
    summed = {name: broadcast_axes(shape, its) for name, its in own.items()}
    if not any(summed.values()):
        plan = map_plan(op, MUL, shape, {"dy": dy, **strides}, ("da", "db"), dtype)
        return replace(plan, outputs=_outputs(own, dtype))
    passes = []
    for name, full in _passes(summed):
        # The kernel's a and b; where a has no gradient in this pass, what b is does not matter.
        factors = (other[name], name if full else other[name])
        passes.append(
            MapSum(
                file=MUL,
                entry=op,
                shape=shape,
                inputs=(("dy", dy), *((factor, strides[factor]) for factor in factors)),
                mapped=f"d{full}" if full else None,
                total=f"d{name}",
                summed=summed[name],
                dtype=dtype,
            )
        )
    return in_turn(op, passes, {f"d{name}": its for name, its in own.items()}, dtype)


def _outputs(own: Mapping[str, Ints], dtype: str) -> dict[str, ArraySpec]:
    """The gradients, of their operands' shapes: axes of extent 1 may be missing in front."""
    return {f"d{name}": ArraySpec(its, numpy_dtype(dtype)) for name, its in own.items()}


def _passes(summed: Mapping[str, Ints]) -> list[tuple[str, str | None]]:
    """Operands to sum for, each with the other one if that is not broadcast and goes along."""
    if summed["a"] and summed["b"]:
        return [("a", None), ("b", None)]
    return [("a", "b")] if summed["a"] else [("b", "a")]
