"""Losses: a number to make small, and its gradient."""

from collections.abc import Callable
from typing import Any, ClassVar

import pycnn
from pycnn.define.validate import choice
from pycnn.nn.arrays import library
from pycnn.nn.layer import FLOAT32
from pycnn.tape import Tape, Variable


class Loss:
    """``loss.forward(x, target)`` gives an array of shape (), ``loss.backward()`` its gradient.

    ``loss(x, target)`` computes; on the tape where x is on one.
    """

    operation: ClassVar[Callable[..., Any]]
    #: What `reduction` may be.
    reductions: ClassVar[tuple[str, ...]] = ("none", "mean", "sum")
    #: Whether targets are the numbers of classes, which is what a `pycnn.train.Trainer` has.
    takes_classes: ClassVar[bool] = False

    def __init__(self, **settings: Any) -> None:
        choice("reduction", settings.get("reduction", "mean"), self.reductions)
        self.settings = settings
        self._kept: Any = None

    def __call__(self, x: Any, target: Any) -> Any:
        if isinstance(x, Variable) and x.tape.precision is not None:
            x, target = (Tape.convert(one, FLOAT32) for one in (x, target))
        return type(self).operation(x, target, **self.settings)

    def forward(self, x: Any, target: Any) -> Any:
        """The loss, keeping what `backward` needs."""
        tape = Tape()
        watched = tape.watch(x)
        y = self(watched, target)
        self._kept = tape, watched, y
        return y.value

    def backward(self) -> Any:
        """Gradient of the sum of the last `forward`'s result for x.

        Raises
        ------
        ValueError
            If no `forward` came before.
        """
        if self._kept is None:
            raise ValueError(f"{type(self).__name__}: backward without a forward before it")
        (tape, x, y), self._kept = self._kept, None
        (dx,) = tape.gradient(y, [x], library(y.value).ones_like(y.value))
        return dx


class CrossEntropyLoss(Loss):
    """Of scores and classes; arguments as `pycnn.cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn
    >>> loss = nn.CrossEntropyLoss()
    >>> round(float(loss.forward(np.zeros((1, 4)), np.array([2]))), 4)
    1.3863
    >>> loss.backward()
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """

    takes_classes = True
    operation = staticmethod(pycnn.cross_entropy)

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(
            weight=weight, ignore_index=ignore_index, reduction=reduction,
            label_smoothing=label_smoothing,
        )  # fmt: skip


class NLLLoss(Loss):
    """Of log-probabilities and classes; arguments as `pycnn.nll_loss`."""

    takes_classes = True
    operation = staticmethod(pycnn.nll_loss)

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction)


class BCEWithLogitsLoss(Loss):
    """Of scores and probabilities; arguments as `pycnn.binary_cross_entropy_with_logits`."""

    operation = staticmethod(pycnn.binary_cross_entropy_with_logits)

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(weight=weight, reduction=reduction, pos_weight=pos_weight)


class MSELoss(Loss):
    """Mean of squared differences; arguments as `pycnn.mse_loss`."""

    operation = staticmethod(pycnn.mse_loss)

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class L1Loss(Loss):
    """Mean of distances; arguments as `pycnn.l1_loss`."""

    operation = staticmethod(pycnn.l1_loss)

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class SmoothL1Loss(Loss):
    """Mean of distances that are squares near zero; arguments as `pycnn.smooth_l1_loss`."""

    operation = staticmethod(pycnn.smooth_l1_loss)

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction, beta=beta)


class HuberLoss(Loss):
    """Mean of squares that become distances; arguments as `pycnn.huber_loss`."""

    operation = staticmethod(pycnn.huber_loss)

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction, delta=delta)


class KLDivLoss(Loss):
    """Of log-probabilities and probabilities; arguments as `pycnn.kl_div`."""

    reductions = (*Loss.reductions, "batchmean")
    operation = staticmethod(pycnn.kl_div)

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction=reduction, log_target=log_target)


class BCELoss(Loss):
    """Of probabilities and probabilities; arguments as `pycnn.binary_cross_entropy`."""

    operation = staticmethod(pycnn.binary_cross_entropy)

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(weight=weight, reduction=reduction)


class SumOfHalfSquares(Loss):
    """Half the sum of squared differences; as `pycnn.sum_of_half_squares`.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn
    >>> output, target = np.array([0.2, 0.4, 0.1, 0.3]), np.array([0.0, 0.0, 1.0, 0.0])
    >>> round(float(nn.SumOfHalfSquares()(output, target)), 4)
    0.55
    """

    operation = staticmethod(pycnn.sum_of_half_squares)
