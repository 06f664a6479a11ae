"""The verdict on a result: every check of the case against the oracle, the worst one counting."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pycnn.bench.cases import Shape
from pycnn.bench.operations.base import Check
from pycnn.dtypes import FLOATS
from pycnn.testing.tolerance import compare

#: Roundings that are allowed to who rounds factors or partial sums to fewer bits.
COARSE = 8.0


class Verdict(NamedTuple):
    """How far a result lies from the oracle.

    Attributes
    ----------
    error, tolerance : float
        Of the check that comes closest to its tolerance, or passes it the furthest. One of
        combined elements counts only if it fails.
    compared : str
        What was compared: ``"all"``, or the parts in words.
    """

    error: float
    tolerance: float
    compared: str

    @property
    def right(self) -> bool:
        return self.error <= self.tolerance


def check(
    outputs: Mapping[str, np.ndarray],
    checks: Sequence[Check],
    dtype: str,
    shapes: Mapping[str, Shape],
    coarse: float = 0.0,
) -> Verdict:
    """Compare `outputs` with `checks`; the error is infinite where a dtype or shape is off.

    Parameters
    ----------
    outputs : mapping of str to array
    checks : sequence of Check
    dtype : str
        Of the computation.
    shapes : mapping of str to tuple of int
        Of the outputs.
    coarse : float, default 0.0
        Of a peer that rounds factors or partial sums to fewer bits: the distance from 1 to the next
        larger value in them. It may be off by `COARSE` of those, relative to the largest magnitude
        expected.

    Raises
    ------
    ValueError
        If there is nothing to compare: no result passes unseen.
    """
    if not checks:
        raise ValueError("checks is empty; allowed: at least one comparison with the oracle")
    own = {c.output: c.dtype or dtype for c in checks}
    if any(outputs[name].shape != shape for name, shape in shapes.items()) or any(
        output.dtype.name != own.get(name, dtype) for name, output in outputs.items()
    ):
        return Verdict(float("inf"), 0.0, "shapes and dtypes")
    errors = [
        (*_compare(c.view(outputs[c.output]), c, c.dtype or dtype, coarse), c) for c in checks
    ]
    error, tolerance, _ = max(
        (e for e in errors if not e[2].combined or e[0] > e[1]),
        key=lambda e: e[0] / max(e[1], 1e-300),
    )
    parts = {f"{c.output}: {c.what}" for c in checks if c.what != "all"}
    return Verdict(error, tolerance, "; ".join(sorted(parts)) or "all")


def _compare(actual: np.ndarray, check: Check, dtype: str, coarse: float) -> tuple[float, float]:
    """Error and tolerance; integers, such as the places of maxima, must be right."""
    if dtype not in FLOATS:
        return (0.0 if np.array_equal(actual, check.expected) else float("inf")), 0.0
    error, allowed = compare(actual, check.expected, dtype, check.reduction)
    relative = COARSE * coarse
    if check.combined and FLOATS[dtype].is_half:
        relative += FLOATS[dtype].eps  # each of the elements is rounded before they are combined
    if relative:
        allowed += relative * float(np.abs(check.expected).max(initial=0.0))
    return error, allowed
