"""How far a result moves where its inputs move by one rounding.

A result that lies no further from the oracle's than a few times this is the right one of inputs
that differ in their last digit: where terms cancel, no algorithm can be held to more.
"""

from collections.abc import Mapping

import numpy as np

from pycnn.dtypes import FLOATS
from pycnn.testing.tested import Settings, Tested

#: Signs are drawn so many times.
DRAWS = 4


def sensitivity(
    tested: Tested, settings: Settings, operands: Mapping[str, np.ndarray], precision: str
) -> dict[str, np.ndarray]:
    """Largest change of every element, by output; none where a maximum may change its place.

    Parameters
    ----------
    tested : Tested
    settings, operands
        Of a call.
    precision : str
        "float32" or "float64": the size of a rounding.
    """
    if tested.op.family in ("topk", "movement") or "max" in tested.op.name:
        return {}
    exact = tested.oracle(settings, _wide(operands, None, 0.0))
    moved = {name: np.zeros(np.shape(array)) for name, array in exact.items()}
    rng = np.random.default_rng(0)
    for _ in range(DRAWS):
        near = tested.oracle(settings, _wide(operands, rng, float(np.finfo(precision).eps)))
        for name, array in near.items():
            moved[name] = np.maximum(moved[name], np.abs(array - exact[name]))
    return moved


def _wide(
    operands: Mapping[str, np.ndarray], rng: np.random.Generator | None, eps: float
) -> dict[str, np.ndarray]:
    """In float64, each element moved by `eps` of itself up or down."""
    changed = {}
    for name, array in operands.items():
        if array.dtype.name in FLOATS:
            array = array.astype(np.float64)
            if rng is not None:
                array = array * (1 + eps * rng.choice((-1.0, 1.0), array.shape))
        changed[name] = array
    return changed
