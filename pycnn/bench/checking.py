"""The verdict on a result: every check of the case against the oracle, the worst one counting."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pycnn.bench.operations.base import Check
from pycnn.tolerance import compare


class Verdict(NamedTuple):
    """How far a result lies from the oracle.

    Attributes
    ----------
    error, tolerance : float
        Of the check that comes closest to its tolerance, or passes it the furthest.
    compared : str
        What was compared: ``"all"``, or the parts in words.
    """

    error: float
    tolerance: float
    compared: str

    @property
    def right(self) -> bool:
        return self.error <= self.tolerance


def judge(outputs: Mapping[str, np.ndarray], checks: Sequence[Check], dtype: str) -> Verdict:
    """Compare `outputs` with `checks`.

    Raises
    ------
    ValueError
        If there is nothing to compare: no result passes unseen.
    """
    if not checks:
        raise ValueError("checks is empty; allowed: at least one comparison with the oracle")
    pairs = []
    for check in checks:
        actual = outputs[check.output]
        if actual.dtype != np.dtype(dtype):
            pairs.append((float("inf"), 0.0))  # a result of another precision is not this one
        else:
            pairs.append(compare(check.view(actual), check.expected, dtype, check.reduction))
    error, tolerance = max(pairs, key=lambda pair: pair[0] / max(pair[1], 1e-300))
    parts = {f"{c.output}: {c.what}" for c in checks if c.what != "all"}
    return Verdict(error, tolerance, "; ".join(sorted(parts)) or "all")
