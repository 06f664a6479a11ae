"""Losses: a number to make small, and its gradient."""

import inspect
from typing import Any, ClassVar

from pycnn.define.validate import choice
from pycnn.nn.arguments import bound
from pycnn.nn.arrays import library
from pycnn.nn.function import OfOperation
from pycnn.nn.layer import FLOAT32
from pycnn.tape import Tape, Variable


class Loss(OfOperation):
    """``loss.forward(x, target)`` gives an array of shape (), ``loss.backward()`` its gradient.

    ``loss(x, target)`` computes; on the tape where x is on one. ``class MSELoss(Loss,
    operation="mse_loss")`` takes the arguments of `pycnn.mse_loss` that come after the first two.
    """

    #: What `reduction` may be.
    reductions: ClassVar[tuple[str, ...]] = ("none", "mean", "sum")
    #: Whether targets are the numbers of classes.
    takes_classes: ClassVar[bool] = False
    #: Of the settings; one's own class has any, by name, where it names no operation of pycnn.
    __signature__: ClassVar[inspect.Signature] = inspect.Signature(
        [inspect.Parameter("settings", inspect.Parameter.VAR_KEYWORD)]
    )

    def __init_subclass__(cls, operation: str = "", **rest: Any) -> None:
        super().__init_subclass__(operation, **rest)
        if operation:
            _, _, *settings = inspect.signature(cls.operation).parameters.values()
            cls.__signature__ = inspect.Signature([p for p in settings if p.name != "out"])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        settings = bound(type(self), args, kwargs)
        self.settings: dict[str, Any] = settings.pop("settings", settings)
        choice("reduction", self.settings.get("reduction", "mean"), self.reductions)
        self._kept: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_kept": None}  # a copy has computed nothing

    def __call__(self, x: Any, target: Any) -> Any:
        if isinstance(x, Variable) and x.tape.precision is not None:
            x, target = (Tape.convert(one, FLOAT32) for one in (x, target))
        return type(self).operation(x, target, **self.settings)

    def count(self, target: Any) -> float:
        """What the mean is over: examples, or the sum of their weights."""
        return len(target)

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


class _OfClasses(Loss):
    """A mean over the classes that are not ignored, by their weights."""

    takes_classes = True

    def count(self, target: Any) -> float:
        if target.dtype.kind not in "iu":  # probabilities, along the classes' axis
            return target.size / (target.shape[1] if target.ndim > 1 else len(target))
        counted = target[target != self.settings["ignore_index"]]
        weight = self.settings["weight"]
        return float(counted.size if weight is None else weight[counted].sum())


class CrossEntropyLoss(_OfClasses, operation="cross_entropy"):
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


class NLLLoss(_OfClasses, operation="nll_loss"):
    """Of log-probabilities and classes; arguments as `pycnn.nll_loss`."""


class BCEWithLogitsLoss(Loss, operation="binary_cross_entropy_with_logits"):
    """Of scores and probabilities; arguments as `pycnn.binary_cross_entropy_with_logits`."""


class MSELoss(Loss, operation="mse_loss"):
    """Mean of squared differences; arguments as `pycnn.mse_loss`."""


class L1Loss(Loss, operation="l1_loss"):
    """Mean of distances; arguments as `pycnn.l1_loss`."""


class SmoothL1Loss(Loss, operation="smooth_l1_loss"):
    """Mean of distances that are squares near zero; arguments as `pycnn.smooth_l1_loss`."""


class HuberLoss(Loss, operation="huber_loss"):
    """Mean of squares that become distances; arguments as `pycnn.huber_loss`."""


class KLDivLoss(Loss, operation="kl_div"):
    """Of log-probabilities and probabilities; arguments as `pycnn.kl_div`."""

    reductions = (*Loss.reductions, "batchmean")


class BCELoss(Loss, operation="binary_cross_entropy"):
    """Of probabilities and probabilities; arguments as `pycnn.binary_cross_entropy`."""


class SumOfHalfSquares(Loss, operation="sum_of_half_squares"):
    """Half the sum of squared differences; as `pycnn.sum_of_half_squares`.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn
    >>> output, target = np.array([0.2, 0.4, 0.1, 0.3]), np.array([0.0, 0.0, 1.0, 0.0])
    >>> round(float(nn.SumOfHalfSquares()(output, target)), 4)
    0.55
    """
