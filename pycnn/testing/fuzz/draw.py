"""Random calls: cases whose extents, settings and values are changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pycnn.define.operation import Gradient, Operation
from pycnn.dtypes import FLOATS
from pycnn.testing import TESTED
from pycnn.testing.case import Case, Shape
from pycnn.testing.problem import holds
from pycnn.testing.tested import Tested

#: Seed of what is drawn unless another one is asked for.
SEED = 20261128

#: How an array lies in memory.
VIEWS = ("contiguous", "transposed", "stepped", "reversed", "misaligned", "broadcast")

#: Operations in which one element of a large value leaves the others right: full range.
RANGED = ("activation", "norm", "softmax", "topk", "movement")

#: Beyond it the squares of float64, and the oracle with them, overflow.
WIDEST = 1e150

INTEGERS = (0, 1, 2, 3, 5, -1, -2, 7, 2**31 - 1, 2**31, 2**40, 2**63, 2**64, -(2**31))

NUMBERS = (0.0, -0.0, 1.0, 0.5, -0.5, 2.0, 1e-3, 1e30, -1e-30, np.inf, np.nan)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A call.

    Attributes
    ----------
    tested : Tested
    case : Case
        As changed at random; of a gradient, that of the operation it belongs to.
    dtype : str
    seed : tuple of int
        Of its values.
    """

    tested: Tested
    case: Case
    dtype: str
    seed: tuple[int, ...]

    def __str__(self) -> str:
        shapes = ", ".join(f"{name} {shape}" for name, shape in self.case.shapes.items())
        settings = ", ".join(f"{k}={v!r}" for k, v in self.tested.settings(self.case).items())
        return f"{self.tested.op.name}({shapes}; {settings}) {self.dtype}"


def draw(
    seed: int,
    number: int,
    names: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    together: int = 1,
) -> Drawn:
    """Call `number` of a seed, of one of the operations and dtypes given.

    So many calls `together` are of one operation in one dtype: most of them share their kernels.
    """
    rng = np.random.default_rng((seed, number))
    kind = rng if together == 1 else np.random.default_rng((seed, number // together))
    tested = TESTED[_one(kind, names or tuple(TESTED))]
    small = [case for case in tested.cases if not case.standard]
    base = _one(rng, small)
    owner = tested.forward if isinstance(tested.op, Gradient) else tested  # type: ignore[attr-defined]
    shapes, settings = dict(base.shapes), dict(base.settings)
    if rng.random() < 0.8:
        shapes = _other_shapes(rng, owner, shapes)
    if rng.random() < 0.6:
        settings = _other_settings(rng, owner, settings)
    allowed = [d for d in tested.op.dtypes if not dtypes or d in dtypes] or tested.op.dtypes
    dtype = _one(kind, allowed)
    case = replace(base, name=f"{base.name}, changed", shapes=shapes, settings=settings)
    return Drawn(tested, case if holds(dtype, case) else base, dtype, (seed, number, 1))


def _one(rng: np.random.Generator, values: Sequence[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def _other_shapes(
    rng: np.random.Generator, tested: Tested, shapes: dict[str, Shape]
) -> dict[str, Shape]:
    """Equal extents stay equal, since most often they are one and the same axis."""
    free = all(not o.ranks for o in tested.op.operands)
    if free and len(set(shapes.values())) == 1 and rng.random() < 0.7:
        rank = int(rng.integers(6))
        shape = tuple(int(_one(rng, (0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 16, 33))) for _ in range(rank))
        return dict.fromkeys(shapes, shape)
    extents = sorted({extent for shape in shapes.values() for extent in shape})
    changed = {}
    for extent in extents:
        if rng.random() < 0.4:
            near = (extent - 1, extent + 1, 2 * extent, extent // 2, extent + 2)
            new = _one(rng, (*near, *near, 1, 2, 3, 4, 8, 0))
            changed[extent] = max(0, min(int(new), 1024))
    return {name: tuple(changed.get(e, e) for e in shape) for name, shape in shapes.items()}


def _other_settings(
    rng: np.random.Generator, tested: Tested, settings: dict[str, Any]
) -> dict[str, Any]:
    """Some of them changed: to what other cases have, or to a neighbour or an extreme."""
    known = [*tested.op.required, *tested.op.defaults]
    if not known:
        return settings
    for name in rng.choice(known, int(rng.integers(1, 3))):
        if name in tested.op.required and name not in settings:
            continue
        now = settings.get(name, tested.op.defaults.get(name))
        others = [case.settings[name] for case in tested.cases if name in case.settings]
        pool = [*others, tested.op.defaults.get(name, now), _near(rng, now), _near(rng, now)]
        settings[str(name)] = _one(rng, pool)
    return settings


def _near(rng: np.random.Generator, value: Any) -> Any:
    """Another value of the kind of `value`."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return int(_one(rng, (value - 1, value + 1, 2 * value, *INTEGERS)))
    if isinstance(value, float):
        return float(_one(rng, (2 * value, -value, value + 1, *NUMBERS)))
    if isinstance(value, (tuple, list)) and value:
        if rng.random() < 0.2:
            return value[0]
        at = int(rng.integers(len(value)))
        return tuple(_near(rng, v) if i == at else v for i, v in enumerate(value))
    return value


def lay_out(array: np.ndarray, kind: str) -> np.ndarray:
    """`array` with the same values and other strides; with "broadcast" as it is."""
    if array.ndim == 0 or kind in ("contiguous", "broadcast"):
        return array
    if kind == "transposed":
        return np.ascontiguousarray(array.T).T
    if kind == "reversed":
        flip = (slice(None, None, -1),) * array.ndim
        return np.ascontiguousarray(array[flip])[flip]
    if kind == "misaligned":  # one element behind a boundary of 16 bytes
        base = np.zeros(array.size + 1, array.dtype)
        base[1:] = array.ravel()
        return base[1:].reshape(array.shape)
    base = np.zeros([2 * extent + 1 for extent in array.shape], array.dtype)
    base[(slice(1, None, 2),) * array.ndim] = array
    return base[(slice(1, None, 2),) * array.ndim]


def full_range(op: Operation) -> bool:
    """Whether finite values of any size have results that rounding alone is in the way of."""
    return op.family in RANGED and not (op.family == "norm" and isinstance(op, Gradient))


def specials(dtype: str, op: Operation) -> tuple[float, ...]:
    """Values that everyday data lacks; large ones as far as sums of products stay finite."""
    kind = FLOATS[dtype]
    if full_range(op):
        large = {"float16": 6e4, "bfloat16": 3e38, "float32": 3e38, "float64": WIDEST}[dtype]
    else:
        large = {"float16": 100.0, "bfloat16": 1e9, "float32": 1e9, "float64": 1e100}[dtype]
    # Large ones of one sign: of two, which nearly cancel, no sum keeps a digit.
    return (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, kind.tiny, -kind.tiny / 4, large)


def fill(drawn: Drawn) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], bool]:
    """Inputs of forward for PyTorch, the arrays of the call, and whether some value is special."""
    rng, tested = np.random.default_rng(drawn.seed), drawn.tested
    if isinstance(tested.op, Gradient):
        forward, operands = tested.draw_both(drawn.case, rng, drawn.dtype)  # type: ignore[attr-defined]
    else:
        forward = operands = tested.draw(drawn.case, rng, drawn.dtype)
    produced = {name for name in operands if name not in forward and name not in _upstream(tested)}
    limited = _limited(drawn, operands)
    special = rng.random() < 0.25 and drawn.dtype in FLOATS and not produced
    if full_range(tested.op) and not produced and rng.random() < 0.2:
        special = True
        power = 10.0 ** rng.integers(-3, 4)
        for array in operands.values():
            if array.dtype.name == drawn.dtype and array.dtype.name in FLOATS and not limited:
                array[...] = (array.astype(np.float64) * power).astype(array.dtype)
    placed = {}
    for name, array in operands.items():
        kind = _one(rng, VIEWS) if rng.random() < 0.6 else "contiguous"
        if special and array.dtype.name == drawn.dtype and array.size and name not in limited:
            chosen = specials(drawn.dtype, tested.op)
            if tested.op.family == "norm" and name != "x":
                chosen = chosen[:-1]  # large parameters have large results
            if name == "target" and drawn.case.settings.get("log_target"):
                chosen = chosen[:-1]  # of a logarithm that large there is no probability
            count = int(rng.integers(1, 1 + min(array.size, 4)))
            array.reshape(-1)[rng.integers(0, array.size, count)] = rng.choice(chosen, count)
        updated = name.startswith("running_")
        if kind == "broadcast" and array.ndim and array.size and not (produced or updated):
            axis = int(rng.integers(array.ndim))
            array = np.broadcast_to(np.take(array, [0], axis), array.shape)
            if name in forward:
                forward[name] = array.copy()
        placed[name] = lay_out(array, kind)
        if name in forward and special:
            forward[name] = np.array(array)
    return forward, placed, special


def _limited(drawn: Drawn, operands: Mapping[str, np.ndarray]) -> set[str]:
    """Arrays that may not hold every value, such as probabilities."""
    op = drawn.tested.op
    try:
        return set(op.allowed(op.describe(operands, **drawn.tested.settings(drawn.case))))
    except (ValueError, TypeError):
        return set()


def _upstream(tested: Tested) -> Mapping[str, str]:
    return tested.op.upstream if isinstance(tested.op, Gradient) else {}
