"""An array that a tape follows: the arithmetic that has a gradient, and nothing else."""

import sys
from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np

import pycnn
from pycnn.define.trace import FOLLOWED

#: What NumPy's arrays have and an array on a tape has not, and what to write instead.
INSTEAD = {
    "max": "pycnn.amax", "mean": "pycnn.mean", "min": "pycnn.amin", "sum": "pycnn.sum",
    "clip": "pycnn.clip", "argmax": "pycnn.argmax", "dot": "pycnn.matmul",
    "squeeze": "x.reshape(...)", "ravel": "x.reshape(-1)", "flatten": "x.reshape(-1)",
}  # fmt: skip


class Variable:
    """An array on a tape: operations of pycnn take it, and give such ones back.

    Attributes
    ----------
    value : array
        What it holds, NumPy's or CuPy's; for use where no gradient is needed.
    tape : Tape
        Which follows it.

    Notes
    -----
    It has ``+ - * / @`` with arrays and numbers (powers not), ``reshape``, ``transpose`` and
    indexing, by slices, places and arrays of them. NumPy's functions refuse it.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> with pycnn.grad() as tape:
    ...     x = tape.watch(np.array([1.0, 2.0]))
    ...     y = pycnn.sum(x * x - 3)
    >>> tape.gradient(y, [x])
    [array([2., 4.])]
    """

    __slots__ = ("slot", "tape", "value")
    __array_ufunc__ = None  # NumPy's operators leave the work to ours
    __hash__ = object.__hash__

    def __init__(self, value: Any, tape: Any, slot: int) -> None:
        self.value, self.tape, self.slot = value, tape, slot

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return tuple(self.value.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return int(self.value.ndim)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self.value.size)

    @property
    def dtype(self) -> Any:
        """Of the elements."""
        return self.value.dtype

    def reshape(self, *shape: Any) -> "Variable":
        """The same elements in another shape."""
        own = self.shape
        return self._step("reshape", self.value.reshape(*shape), lambda dy: dy.reshape(own))

    def transpose(self, *axes: Any) -> "Variable":
        """Axes in another order, one after the other or in a tuple; reversed by default."""
        if len(axes) == 1 and isinstance(axes[0], (tuple, list)):
            axes = tuple(axes[0])
        return pycnn.permute(self, axes or tuple(range(self.ndim))[::-1])

    @property
    def T(self) -> "Variable":
        """Axes in reversed order."""
        return self.transpose()

    def astype(self, dtype: Any) -> "Variable":
        """In another floating dtype; the gradient comes back in this one."""
        own, to = self.dtype, np.dtype(dtype)
        if to.kind not in "fV":  # V: bfloat16
            raise TypeError(f"astype({to}) has no gradient; allowed: a floating dtype")
        return self._step("astype", self.value.astype(dtype), lambda dy: dy.astype(own))

    def _step(self, name: str, value: Any, pull: Any) -> "Variable":
        """What a function of this one alone has made of it."""
        made: Variable = self.tape.add(name, {"x": self}, value, lambda dys, _: {"x": pull(dys[0])})
        return made

    # --- arithmetic ---------------------------------------------------------------------

    def __getitem__(self, index: Any) -> "Variable":
        index = plain(index)
        value = self.value

        def pull(dy: Any) -> Any:
            dx = type(dy)(value.shape, dy.dtype)
            dx[...] = 0
            if _picks_once(index):
                dx[index] = dy
            else:
                sys.modules[type(dx).__module__.partition(".")[0]].add.at(dx, index, dy)
            return dx

        return self._step("index", value[index], pull)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator["Variable"]:
        return iter([self[i] for i in range(len(self))])  # of no axes: len says so

    def __add__(self, other: Any) -> "Variable":
        if _is_number(other):
            return self._step("add", self.value + self.dtype.type(other), lambda dy: dy)
        return pycnn.add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "Variable":
        return self + -other if _is_number(other) else pycnn.add(self, other, alpha=-1)

    def __rsub__(self, other: Any) -> "Variable":
        return -self + other if _is_number(other) else pycnn.add(other, self, alpha=-1)

    def __mul__(self, other: Any) -> "Variable":
        if not _is_number(other):
            return pycnn.mul(self, other)
        factor = self.dtype.type(other)
        return self._step("mul", self.value * factor, lambda dy: dy * factor)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Variable":
        if _is_number(other):
            return self * (1 / other)
        if isinstance(other, Variable):
            raise TypeError("a division by an array on a tape; allowed: by numbers and arrays")
        return pycnn.mul(self, 1 / other)

    def __neg__(self) -> "Variable":
        return self * -1

    def __matmul__(self, other: Any) -> "Variable":
        return pycnn.matmul(self, other)

    def __rmatmul__(self, other: Any) -> "Variable":
        return pycnn.matmul(other, self)

    # --- what it is not -----------------------------------------------------------------

    def __float__(self) -> float:
        if pycnn.tape.recording() is self.tape:
            raise TypeError(
                "float of an array on a tape that records, which would lose its gradient; allowed: "
                "float(x.value), or after the tape's block"
            )
        return float(self.value)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "an array on a tape went to a function that the tape does not know; allowed: functions "
            "of pycnn, x.value where no gradient is needed, pycnn.custom_gradient"
        )

    def __getattr__(self, name: str) -> Any:
        instead = INSTEAD.get(name, "functions of pycnn, or x.value where no gradient is needed")
        raise AttributeError(f"an array on a tape has no attribute {name!r}; allowed: {instead}")

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError("an array on a tape cannot be written into; allowed: a result of its own")

    def __eq__(self, other: object) -> bool:
        raise TypeError(
            "an array on a tape is not compared; allowed: x.value == y, and x is y for identity"
        )

    __ne__ = __eq__

    def __bool__(self) -> bool:
        return bool(self.value)

    def __repr__(self) -> str:
        return f"Variable({self.value!r})"

    def __pycnn_operation__(self, operation: Any, arrays: Any, out: Any, settings: Any) -> Any:
        """What `Operation.run` makes of operands of which one is on a tape."""
        return self.tape.record(operation, arrays, out, settings)


FOLLOWED.add(Variable)


def plain(value: Any) -> Any:
    """The array, without a tape that may follow it; of lists, tuples and mappings, of each."""
    if isinstance(value, Variable):
        return value.value
    if isinstance(value, tuple) and hasattr(value, "_make"):  # with names
        return value._make(map(plain, value))
    if isinstance(value, (tuple, list)):
        return type(value)([plain(one) for one in value])
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value


def _is_number(value: Any) -> bool:
    if isinstance(value, np.generic):
        return value.dtype.kind in "biufV"  # V: bfloat16
    return isinstance(value, Real)


def _picks_once(index: Any) -> bool:
    """Whether no element can be picked twice: by places, slices and masks."""
    several = index if isinstance(index, tuple) else (index,)
    return all(
        one is None or one is Ellipsis or isinstance(one, (slice, int, np.integer))
        or getattr(getattr(one, "dtype", None), "kind", None) == "b"
        for one in several
    )  # fmt: skip
