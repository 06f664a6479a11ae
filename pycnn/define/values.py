"""What an array may hold beyond its dtype, such as classes that exist, and looking whether it does.

NumPy arrays are looked at before anything is computed. Values on a GPU cannot be seen without
waiting for it, so a kernel looks at them (`pycnn.runtime.faults`), unless ``PYCNN_CHECK_VALUES``
asks for something else.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pycnn import config
from pycnn.define.views import View
from pycnn.plan import check as plans
from pycnn.runtime.backends import executor
from pycnn.runtime.faults import Slot, synchronize


@dataclass(frozen=True)
class Allowed:
    """What the elements of an array may be.

    Attributes
    ----------
    low, high : int or float
        From the one to the other; NaN is neither.
    said : str
        The same in an error message.
    also : int or None
        One more value.
    harmless : bool
        The operation has a result for other values as well. On a GPU they are then looked at only
        if ``PYCNN_CHECK_VALUES`` is ``sync``.
    """

    low: float
    high: float
    said: str
    also: int | None = None
    harmless: bool = False


#: Of the one check of an operation's operand, whatever the shapes.
_slots: dict[tuple[str, str, Allowed], Slot] = {}


@dataclass(frozen=True)
class Check:
    """A look at one operand of a prepared call."""

    op: str
    name: str
    allowed: Allowed
    view: View

    def __call__(self, array: Any) -> None:
        """Look at `array`, or have it looked at.

        Raises
        ------
        ValueError
            If it holds what is not allowed, or an array that was looked at before did.
        """
        if isinstance(array, np.ndarray):
            self.now(array)
            return
        mode = config.get("PYCNN_CHECK_VALUES")
        if mode == "sync":
            self.now(array)
        elif mode == "deferred" and not self.allowed.harmless:
            self._later(array)

    def now(self, array: Any) -> None:
        """Look at it, and wait for the device where the array is CuPy's."""
        low, high, also = self.allowed.low, self.allowed.high, self.allowed.also
        with np.errstate(invalid="ignore"):  # of a NaN
            if array.size == 0 or (array.min() >= low and array.max() <= high):
                return
            wrong = ~((array >= low) & (array <= high))
        if also is not None:
            wrong &= array != also
        if wrong.any():
            raise ValueError(self._message(array[wrong].min().item()))

    def _later(self, array: Any) -> None:
        if self._slot.written:
            synchronize()
        executor("cuda").run(self._plan, {"x": array, "fault": self._slot.array()})

    @cached_property
    def _plan(self) -> Any:
        view, allowed = self.view, self.allowed
        limits = allowed.low, allowed.high, allowed.also
        return plans.values(view.shape, view.strides, view.dtype, *limits)

    @cached_property
    def _slot(self) -> Slot:
        key = self.op, self.name, self.allowed
        if key not in _slots:
            of = f"{self.op}: "
            _slots[key] = Slot(lambda least: of + self._message(_value(least, self.view.dtype)))
        return _slots[key]

    def _message(self, value: float) -> str:
        return f"{self.name} holds {value}; allowed: {self.allowed.said}"


def _value(least: int, dtype: str) -> float:
    """The value that check/values.cu wrote: integers in the order of the values, NaN first."""
    if dtype in ("int64", "int32"):
        return least - 2**63
    if least == 0:
        return float("nan")
    bits = least ^ 2**31 if least >> 31 else least ^ (2**32 - 1)
    return float(np.uint32(bits).view(np.float32))
