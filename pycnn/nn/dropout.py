"""Dropout as layers."""

from typing import Any

from pycnn.define.validate import ensure
from pycnn.nn.function import OfOperation
from pycnn.nn.init import generator
from pycnn.nn.layer import Layer


class Dropout(OfOperation, Layer, operation="dropout"):
    """Elements set to zero in training, see `pycnn.dropout`; passes on in evaluation.

    Every forward pass draws anew: the pass number is the `offset` of the operation.

    Parameters
    ----------
    p : float, default 0.5
        Probability of zero.
    seed : int, optional
        By default drawn from the generator in force; `Layer.reseed` sets it too.
    """

    def __init__(self, p: float = 0.5, *, seed: int | None = None) -> None:
        super().__init__()
        ensure("p", p, lambda p: 0 <= p <= 1, "0 to 1")
        self.p = float(p)
        self.seed = int(generator().integers(2**63)) if seed is None else seed
        self.step = 0

    def set_seed(self, seed: int, step: int) -> None:
        self.seed, self.step = seed, step

    def compute(self, x: Any) -> Any:
        if not self.training or self.p == 0:
            return x
        step, self.step = self.step, self.step + 1
        return type(self).operation(x, self.p, seed=self.seed, offset=step)

    def describe(self) -> str:
        return str(self.p)


class Dropout2d(Dropout, operation="dropout2d"):
    """Whole channels set to zero in training, see `pycnn.dropout2d`."""
