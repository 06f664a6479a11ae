"""Validation and planning of convolutions, and the memory of both.

A repeated call spends microseconds before the launch: what validation and planning gave is kept
under everything it depends on: shapes, strides and dtypes, and the other arguments, ints as they
are and everything else as text. Equal text means equal value and type, as 1, 1.0 and True are not,
and a list has one too.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from pycnn.ops._conv_arguments import WEIGHT_AXES, X_AXES, Geometry, geometry
from pycnn.define.validate import (
    boolean,
    check_float,
    check_out,
    check_rank,
    check_shape,
    choice,
    element_strides,
)
from pycnn.plan import conv as plans
from pycnn.plan._epilogue import Epilogue
from pycnn.plan.conv_problem import Problem, View
from pycnn.runtime.backends import backend_for
from pycnn.runtime.plan import Plan

#: Calls that are kept, the oldest going first.
KEPT = 4096

#: Arguments (stride, padding, dilation, groups) as the caller gave them.
Settings = tuple[Any, Any, Any, Any]


@dataclass(frozen=True)
class Prepared:
    """A call that passed validation.

    Attributes
    ----------
    backend : str
    geometry : Geometry
    y_shape : tuple of int
        Shape of y or dy.
    plans : dict of str to Plan
        By output; none on the reference backend.
    """

    backend: str
    geometry: Geometry
    y_shape: tuple[int, ...]
    plans: dict[str, Plan]


_prepared: dict[Hashable, Prepared] = {}


def recall(key: Hashable, make: Callable[[], Prepared]) -> Prepared:
    """What `make` gives, or gave when called with this key before."""
    found = _prepared.get(key)
    if found is None:
        found = make()
        while len(_prepared) >= KEPT:
            _prepared.pop(next(iter(_prepared)), None)
        _prepared[key] = found
    return found


def key(array: Any) -> Hashable:
    """What validation and planning depend on of an argument."""
    if array is None:
        return None
    try:
        return array.__class__, array.shape, array.strides, array.dtype
    except AttributeError:  # no array, as `make` will say
        return array.__class__


def out_key(out: Any) -> Hashable:
    """The same of the argument `out`, which must also be writeable."""
    return key(out), out is None or getattr(getattr(out, "flags", None), "writeable", True)


def plain(value: Any) -> Hashable:
    """What validation depends on of an argument that is no array."""
    return value if type(value) is int else repr(value)


def forward(
    x: Any, weight: Any, bias: Any, out: Any, settings: Settings, algo: Any, limit: int
) -> Prepared:
    """Check the arguments of `conv2d`, of `out` all but its memory, and plan it."""
    backend = backend_for(x=x, weight=weight, bias=bias, out=out)
    dtype = check_float(x=x, weight=weight, bias=bias)
    found = _geometry(x, weight, settings)
    _check_algo(algo, ("forward",), backend)
    if bias is not None:
        check_shape("bias", bias.shape, weight.shape[:1], "one value a filter")
    y = (*x.shape[:-3], weight.shape[0], *found.out)
    if out is not None:
        check_out(out, y, dtype)
    step = None if bias is None else element_strides("bias", bias)[0]
    views = {"x": _view("x", x), "weight": _view("weight", weight), "y": View.of(_four(y))}
    if backend == "reference":
        return Prepared(backend, found, y, {})
    problem = _problem(dtype.name, views, found, step)
    plan = plans.plan(problem, "forward", algo, limit, unbatched=len(y) == 3)
    return Prepared(backend, found, y, {"y": plan})


def backward(
    dy: Any, x: Any, weight: Any, settings: Settings, needs: Any, algo: Any, limit: int
) -> Prepared:
    """Check the arguments of `conv2d_backward` and plan the gradients that are needed."""
    backend = backend_for(dy=dy, x=x, weight=weight)
    dtype = check_float(dy=dy, x=x, weight=weight)
    found = _geometry(x, weight, settings)
    if not isinstance(needs, (tuple, list)) or len(needs) != 3:
        raise ValueError(f"needs={needs!r}; allowed: (bool, bool, bool) for input, weight, bias")
    gradients = ("backward_input", "backward_weight", "backward_bias")
    needed = [g for g, need in zip(gradients, needs, strict=True) if boolean("needs", need)]
    _check_algo(algo, [g for g in needed if g != "backward_bias"], backend)
    y = (*x.shape[:-3], weight.shape[0], *found.out)
    check_shape("dy", dy.shape, y, "the shape of the result of conv2d")
    views = {"x": _view("x", x), "weight": _view("weight", weight), "y": _view("dy", dy)}
    if backend == "reference":
        return Prepared(backend, found, y, {})
    made = {}
    for direction in needed:
        # What is computed is contiguous, whatever the strides of its argument.
        own = {"backward_input": "x", "backward_weight": "weight"}.get(direction)
        given = {n: View.of(v.shape) if n == own else v for n, v in views.items()}
        chosen = "auto" if direction == "backward_bias" else algo
        problem = _problem(dtype.name, given, found)
        made[plans.OUTPUTS[direction]] = plans.plan(
            problem, direction, chosen, limit, unbatched=len(y) == 3
        )
    return Prepared(backend, found, y, made)


def shapes_only(
    dtype: str, x: tuple[int, ...], weight: tuple[int, ...], found: Geometry
) -> Problem:
    """The problem of contiguous arrays."""
    y = (1, *x)[-4], weight[0], *found.out
    shapes = {"x": _four(x), "weight": _four(weight), "y": y}
    return _problem(dtype, {name: View.of(shape) for name, shape in shapes.items()}, found)


def _geometry(x: Any, weight: Any, settings: Settings) -> Geometry:
    check_rank("x", x, (3, 4), X_AXES)
    check_rank("weight", weight, (4,), WEIGHT_AXES)
    return geometry(("x", _four(x.shape)), ("weight", weight.shape), *settings)


def _problem(
    dtype: str, views: dict[str, View], found: Geometry, bias_step: int | None = None
) -> Problem:
    (top, _), (left, _) = found.padding
    return Problem(
        dtype,
        **views,
        stride=found.stride,
        corner=(top, left),
        dilation=found.dilation,
        groups=found.groups,
        epilogue=Epilogue(bias=bias_step),
    )


def _check_algo(algo: Any, directions: Any, backend: str) -> None:
    """`algo` is "auto" or an algorithm of every direction, and of the backend."""
    names = [plans.PLANNERS[direction] for direction in directions]
    common = [n for n in plans.PLANNERS["forward"] if all(n in planners for planners in names)]
    choice("algo", algo, ("auto", *common))
    if algo != "auto" and backend == "reference":
        raise ValueError(
            f"algo={algo!r}; allowed on the backend reference: auto (the kernels run on CuPy "
            "arrays, or with pycnn.use_backend('emulator'))"
        )


def _four(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    n, c, h, w = (1, *shape)[-4:]
    return n, c, h, w


def _view(name: str, array: Any) -> View:
    strides = (0, *element_strides(name, array))[-4:]
    return View(_four(array.shape), strides)  # type: ignore[arg-type]
