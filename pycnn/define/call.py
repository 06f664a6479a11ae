"""A call that passed validation, and what a repeated one need not find again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from types import SimpleNamespace
from typing import Any

from pycnn.define.values import Check
from pycnn.define.views import View
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.runtime.plan import ArraySpec, Plan

Views = Mapping[str, View]


#: The arguments of a call that are no arrays, by the names of the public function.
Arguments = SimpleNamespace

#: What `Operation.infer` returns: the settings of a `Call`, and what will be computed, in the order
#: in which it is returned: (shape, dtype), dtype None for that of the computation.
Inference = tuple[Any, Mapping[str, tuple[tuple[int, ...], str | None]]]


@dataclass(frozen=True, eq=False)
class Call:
    """An operation on arrays of given shapes, strides and dtypes, with checked settings.

    Attributes
    ----------
    dtype : str
        Of the computation.
    views : mapping of str to View
        The operands that are there.
    settings : object
        The arguments that are no arrays, checked and in one form, as plan and references take
        them; of a type that the operation chooses.
    outputs : mapping of str to ArraySpec
        In the order in which they are returned.
    backend : str
        That it is prepared for; "" where nothing is.
    checks : tuple of Check
        Looks at values, before anything is computed.
    plans : tuple of Plan
        Run one after the other; none where no kernel is.
    memo : dict
        What others keep that follows from the call: the tape, how its gradient is found.
    """

    dtype: str
    views: Views
    settings: Any
    outputs: Mapping[str, ArraySpec]
    backend: str = ""
    checks: tuple[Check, ...] = ()
    plans: tuple[Plan, ...] = ()
    memo: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def bytes(self) -> int:
        """Every input read once and every output written once."""
        read = sum(prod(v.shape) * itemsize(v.dtype) for v in self.views.values())
        return read + sum(spec.nbytes for spec in self.outputs.values())

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of everything that goes in and comes out."""
        inputs = {name: view.shape for name, view in self.views.items()}
        return inputs | {name: spec.shape for name, spec in self.outputs.items()}


def itemsize(dtype: str) -> int:
    """Bytes of an element, by the name of the dtype."""
    return FLOATS[dtype].itemsize if dtype in FLOATS else numpy_dtype(dtype).itemsize
