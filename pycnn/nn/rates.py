"""How fast parameters move: one rate for all, or rates of their own for parts of a model."""

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from pycnn.define.validate import ensure
from pycnn.nn.layer import Layer

#: Rates of their own, by parts of the model.
Groups = Mapping[str, Mapping[str, float]]


class Rates(NamedTuple):
    """How fast one parameter moves, and decays."""

    lr: float
    weight_decay: float


def matches(pattern: str, name: str) -> bool:
    return name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)


def check_rates(lr: float = 1.0, weight_decay: float = 0.0) -> None:
    ensure("lr", lr, lambda rate: 0 < rate < math.inf, "positive numbers")
    ensure("weight_decay", weight_decay, lambda rate: 0 <= rate < math.inf, "numbers from 0")


def checked_groups(groups: Groups, model: Layer) -> dict[str, dict[str, float]]:
    names = [p.name for p in model.parameters()]
    if not isinstance(groups, Mapping) or not all(isinstance(g, Mapping) for g in groups.values()):
        raise TypeError(f'groups={groups!r}; allowed: such as {{"head": {{"lr": 0.1}}}}')
    for pattern, own in groups.items():
        if unknown := own.keys() - {"lr", "weight_decay"}:
            raise ValueError(f"groups[{pattern!r}] has {min(unknown)}; allowed: lr, weight_decay")
        check_rates(**own)
        if not any(matches(pattern, name) for name in names):
            raise ValueError(
                f"groups[{pattern!r}] is of no parameter; allowed: paths of layers and patterns of "
                f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
            )
    return {p: {name: float(rate) for name, rate in own.items()} for p, own in groups.items()}
