"""How the tape finds the gradient of an operation (`pycnn.define.pullback`).

What does not depend on the values of arrays is found once for all calls of one form. What the
gradient does not look at is dropped as soon as forward is done.
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import pycnn
from pycnn.define.cache import forms
from pycnn.define.pullback import Back, ByGradient, Pullback, pullback_of
from pycnn.runtime.target import decided_by

Arrays = Mapping[str, Any]
Names = tuple[str, ...]

_function = partial(getattr, pycnn)


class Way:
    """The way back of calls of one form.

    Attributes
    ----------
    keeps : list of (name, operand, int)
        What the gradient looks at, and where it comes from: an operand, or a result by its number.
    looks_at : list of str
        The operands that are kept.
    """

    def __init__(self, operation: Any, arrays: Arrays, settings: Mapping[str, Any]) -> None:
        self._rule: Pullback = pullback_of(operation)
        self._refused = self._rule.refusal(arrays, settings)
        self._name = operation.name
        keeps = {} if self._refused else self._rule.keeps(settings)
        names = self._rule.named if isinstance(self._rule, ByGradient) else keeps
        results = {name: i for i, name in enumerate(self._rule.results) if name not in arrays}
        self.keeps = [(n, by := keeps.get(n, ""), results.get(by, -1)) for n in names]
        self.looks_at = [by for by in keeps.values() if by in arrays]
        shapes = {name: a.shape for name, a in arrays.items() if a is not None}
        own = deepcopy(dict(settings))  # lists of the caller's may change
        self._back = partial(Back, _function, shapes=shapes, settings=own)
        self._calls: dict[Any, Any] = {}
        #: Those in 16 bits: without a weight of them, normalisations sum gradients up in float32.
        self._narrow = {
            name: arrays[name].dtype
            for name in ("weight", "bias")
            if arrays.get(name) is not None and arrays[name].dtype.itemsize == 2
        }

    def pull(self, kept: dict[str, Any], dys: list[Any], needed: Names) -> Arrays:
        """Gradients of operands by name, those that are needed among them."""
        if self._refused:
            raise ValueError(f"{self._name} has no gradient{self._refused}")
        rule, dy = self._rule, dys[0]
        if not isinstance(rule, ByGradient):
            return rule.pull(self._back(dys=dys, kept=kept, needed=needed))
        gradient, kept[rule.dy] = rule.gradient, dy
        # All other operands are as in every call of this form.
        key = needed, *forms((dy,)), *decided_by(dy), *gradient.variables()
        call = self._calls.get(key)
        if call is None:
            told = rule.told(self._back(dys=dys, kept=kept, needed=needed))
            call = gradient.prepared(kept, None, told)
            if call is None:  # of another library
                return self._narrowed(rule.grads(gradient.run(kept, None, **told), dy))
            self._calls[key] = call
        return self._narrowed(
            rule.grads(gradient.returned(call, gradient.computed(call, kept)), dy)
        )

    def _narrowed(self, grads: Arrays) -> Arrays:
        """In the dtypes of the operands."""
        if not self._narrow:
            return grads
        wide = {n: d for n, d in self._narrow.items() if grads.get(n) is not None}
        return {**grads, **{n: grads[n].astype(d, copy=False) for n, d in wide.items()}}
