"""What changes from one step of a graph to the next, in memory of the GPU: rates, scale, counts."""

from typing import Any

import numpy as np

from pycnn.nn.arrays import to_numpy
from pycnn.nn.clip import checked_norm
from pycnn.nn.fused_step import Group, rates_of
from pycnn.nn.loss_scale import LossScale
from pycnn.nn.optimizer import Optimizer
from pycnn.plan.optim import Verdict


class GraphNumbers:
    """The numbers that the kernels of a captured step read, and those that they count.

    Attributes
    ----------
    state : array or None
        Scale, steps since an overflow, steps taken; None without a scale: the host counts then.
    rates : array or None
        Of the parameters, as `fused_step.rates_of` gives them; from the first `send_rates` on.
    """

    def __init__(
        self, library: Any, optimizer: Optimizer, scale: LossScale | None, clip_norm: float | None
    ) -> None:
        self._library, self._optimizer = library, optimizer
        self._scale, self._clip_norm = scale, clip_norm
        self._told: list[float] = [] if scale is None else self._counts(scale)
        self.state: Any = None if scale is None else library.asarray(self._told)
        self.rates: Any = None
        self._sent = b""
        self._settled = True

    def verdict(self) -> Verdict | None:
        """What the GPU decides before a step."""
        if self._scale is None and self._clip_norm is None:
            return None
        most = checked_norm("clip_norm", self._clip_norm)
        if self._scale is None:
            return Verdict(most)
        form = self._optimizer.form()
        betas = (0.0, 0.0) if form is None else form.betas
        return Verdict(most, True, self._scale.every, betas)

    def send_rates(self, group: Group) -> None:
        """Have the next step move parameters at the rates that the optimiser has now."""
        counted, exact = self._scale is not None, self.verdict() is not None
        numbers = rates_of(self._optimizer, group, counted=counted, exact=exact)
        if self.rates is None:
            self.rates = self._library.empty(numbers.shape, np.float64)
        if numbers.tobytes() != self._sent:
            self.rates.set(numbers)
            self._sent = numbers.tobytes()

    def begin(self) -> None:
        """Tell the GPU where steps without the graph, or a checkpoint, have come to."""
        if self._scale is None:
            return
        counts = self._counts(self._scale)
        if counts == self._told:
            return
        if not self._settled:
            raise ValueError(
                "the scale or the optimizer was moved on while the GPU counted; allowed: after "
                "settle()"
            )
        self._told = counts
        self.state.set(np.array(counts))

    def launched(self) -> None:
        """A step is on its way, which the GPU counts where it has the scale."""
        self._settled = False

    def settle(self) -> None:
        """Take over what the GPU has counted; waits for it."""
        if self._scale is not None and not self._settled:
            *numbers, steps = to_numpy(self.state).tolist()
            self._optimizer.steps = int(steps)
            self._settled, self._told = True, [*numbers, steps]
            self._scale.take(*numbers)

    def _counts(self, scale: LossScale) -> list[float]:
        """What the GPU counts on from: scale, steps since an overflow, steps taken."""
        return [*scale.numbers(), float(self._optimizer.steps)]
