"""Examples of any form: inputs and targets in arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn.data.dataset import PARTS, check_indices
from pycnn.define.validate import choice

#: What an example may be made of.
KINDS = "float32, float64, and integers"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Arrays:
    """Examples in memory, of any form, and which of them are for training and for testing.

    Masks of images, numbers to predict, several inputs: whatever the model takes and the loss makes
    of the target. Nothing is normalised.

    Attributes
    ----------
    name : str
    inputs : numpy.ndarray or tuple of numpy.ndarray
        What the model takes, (N, ...) each: float32, float64, or integers.
    target : numpy.ndarray or tuple of numpy.ndarray
        What the loss takes beside the model's result, (N, ...) each.
    train, test : numpy.ndarray
        int64, indices of the examples of the two parts, disjoint.

    Raises
    ------
    TypeError, ValueError
        If a field is not as described; names it.

    Examples
    --------
    >>> images, masks = np.zeros((5, 1, 8, 8), np.float32), np.zeros((5, 1, 8, 8), np.float32)
    >>> Arrays(name="cells", inputs=images, target=masks, train=np.arange(4), test=np.array([4]))
    Arrays('cells': 4 to train, 1 to test; float32 (1, 8, 8) -> float32 (1, 8, 8))
    """

    name: str
    inputs: Any
    target: Any
    train: np.ndarray
    test: np.ndarray

    def __post_init__(self) -> None:
        count = None
        for field in ("inputs", "target"):
            value = getattr(self, field)
            arrays = value if isinstance(value, tuple) else (value,)
            if not arrays:
                raise ValueError(f"{field} is an empty tuple; allowed: one array or more")
            for array in arrays:
                kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                if isinstance(kind, str) or kind.kind not in "fiub" or kind == "f2":
                    raise TypeError(f"{field} holds {kind}; allowed: arrays of {KINDS}")
                count = len(array) if count is None and array.ndim else count
                if not array.ndim or len(array) != count:
                    raise ValueError(f"{field} has shape {array.shape}; allowed: ({count}, ...)")
        check_indices("train", self.train, count or 0, least=1)
        check_indices("test", self.test, count or 0)
        if both := np.intersect1d(self.train, self.test).size:
            raise ValueError(f"train and test share {both} examples")

    def __repr__(self) -> str:
        inputs, target = form_of(self.inputs), form_of(self.target)
        return (
            f"Arrays({self.name!r}: {len(self.train)} to train, {len(self.test)} to test; "
            f"{inputs} -> {target})"
        )

    def part(self, part: str) -> np.ndarray:
        """The indices of ``"train"`` or ``"test"``."""
        return {"train": self.train, "test": self.test}[choice("part", part, PARTS)]

    def take(self, indices: np.ndarray) -> tuple[Any, Any]:
        """Inputs and target of some examples, each in the form that it has here."""
        inputs, target = (
            tuple(one[indices] for one in value) if isinstance(value, tuple) else value[indices]
            for value in (self.inputs, self.target)
        )
        return inputs, target


def form_of(value: Any) -> str:
    """Dtype and shape of an example, or of each part of it."""
    arrays = value if isinstance(value, tuple) else (value,)
    return ", ".join(f"{array.dtype} {array.shape[1:]}" for array in arrays)
