"""An operation on plain arrays, and how to pull gradients back (`pycnn.define.pullback`).

What the gradient does not look at is dropped as soon as forward is done.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import pycnn
from pycnn.define.pullback import Back, pullback_of

Arrays = Mapping[str, Any]

#: From gradients of the results, and the operands that need one, to theirs by name.
Pull = Callable[[list[Any], Collection[str]], Mapping[str, Any]]

_function = partial(getattr, pycnn)


class Differentiated(NamedTuple):
    """What an operation returned, how many of that have a gradient, and how to pull it back.

    `keeps` names the operands that the way back looks at.
    """

    returned: Any
    differentiable: int
    pull: Pull
    keeps: Collection[str] = ()


def differentiate(operation: Any, arrays: Arrays, settings: Mapping[str, Any]) -> Differentiated:
    """Run an operation on plain arrays, and keep what its gradient needs."""
    rule = pullback_of(operation)
    run = rule.run(settings)
    returned = operation.run(arrays, None, **run)
    results = returned if isinstance(returned, tuple) else (returned,)
    if run is not settings:  # the indices, for which nobody has asked
        returned = results[0]
    count = 1 if rule.single else len(results)
    why = rule.refusal(arrays, settings)
    if why:
        return Differentiated(returned, count, _refusing(operation.name, why))
    keeps = rule.keeps(settings)
    everything = {**arrays, **dict(zip(rule.results, results, strict=False))}
    kept = {name: everything[by] for name, by in keeps.items()}
    shapes = {n: a.shape for n, a in arrays.items() if a is not None}

    def pull(dys: list[Any], needed: Collection[str]) -> Mapping[str, Any]:
        return rule.pull(Back(_function, dys, kept, shapes, settings, needed))

    return Differentiated(returned, count, pull, [n for n, by in keeps.items() if by in arrays])


def _refusing(name: str, why: str) -> Pull:
    def pull(dys: list[Any], needed: Collection[str]) -> Mapping[str, Any]:
        raise ValueError(f"{name} has no gradient{why}")

    return pull
