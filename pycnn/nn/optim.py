"""Optimisers: how they move parameters against their gradients."""

import math
from typing import Any

from pycnn.define.validate import ensure
from pycnn.nn.arrays import library
from pycnn.nn.fused_step import Form
from pycnn.nn.layer import Layer
from pycnn.nn.module import Parameter
from pycnn.nn.optimizer import Optimizer
from pycnn.nn.rates import Groups, Rates


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant; as in PyTorch.

    Parameters
    ----------
    model : Layer
    lr : float
    momentum : float, default 0.0
    weight_decay : float, default 0.0
        Added to the gradient, times the weights.
    nesterov : bool, default False
        Look ahead by the momentum, which must not be 0.

    References
    ----------
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.

    Examples
    --------
    >>> from pycnn import nn
    >>> model = nn.Linear(2, 1)
    >>> optimizer = nn.SGD(model, lr=0.1, momentum=0.9, nesterov=True)
    >>> model = nn.Sequential(body=nn.Linear(4, 3), head=nn.Linear(3, 2))
    >>> optimizer = nn.SGD(model, lr=0.01, groups={"head": {"lr": 0.1}, "*.bias": {"lr": 0.02}})
    >>> optimizer.rates("head.weight").lr
    0.1
    """

    takes_halves = True

    def __init__(
        self, model: Layer, lr: float, momentum: float = 0.0, weight_decay: float = 0.0,
        nesterov: bool = False, *, groups: Groups | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, lr, weight_decay, groups)
        ensure("momentum", momentum, lambda m: 0 <= m < 1, "0 to less than 1")
        if nesterov and momentum == 0:
            raise ValueError("nesterov=True: allowed with momentum above 0 only")
        self.momentum, self.nesterov = float(momentum), nesterov

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    def form(self) -> Form:
        if self.momentum:
            return Form("sgd_momentum", (self.momentum, int(self.nesterov)))
        return Form("sgd")

    def update(self, parameter: Parameter, value: Any, grad: Any, rates: Rates) -> None:
        grad = self.decayed(value, grad, rates.weight_decay)
        if self.momentum:
            velocity = _followed(self.slot(parameter, "momentum"), self.momentum, grad)
            grad = grad + self.momentum * velocity if self.nesterov else velocity
        value -= rates.lr * grad


class Adam(Optimizer):
    """Steps of about `lr`, whatever the size of gradients; as in PyTorch.

    Parameters
    ----------
    model : Layer
    lr : float, default 1e-3
    betas : (float, float), default (0.9, 0.999)
        How slowly the means of gradients and of their squares change.
    eps : float, default 1e-8
    weight_decay : float, default 0.0
        Added to the gradient, times the weights.

    References
    ----------
    D. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.
    """

    def __init__(
        self, model: Layer, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0.0, *, groups: Groups | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, lr, weight_decay, groups)
        first, second = (float(beta) for beta in betas)
        if not (0 <= first < 1 and 0 <= second < 1):
            raise ValueError(f"betas={betas}: allowed are 0 to less than 1")
        self.betas, self.eps = (first, second), _checked_eps(eps)

    @property
    def slots(self) -> tuple[str, ...]:
        return "mean", "square"

    def form(self) -> Form:
        first, second = self.betas
        constants = first, 1 - first, second, 1 - second, self.eps, 0
        return Form("adam", constants, betas=self.betas)

    def update(self, parameter: Parameter, value: Any, grad: Any, rates: Rates) -> None:
        self._move(parameter, value, self.decayed(value, grad, rates.weight_decay), rates.lr)

    def _move(self, parameter: Parameter, value: Any, grad: Any, lr: float) -> None:
        first, second = self.betas
        mean = _followed(self.slot(parameter, "mean"), first, (1 - first) * grad)
        square = _followed(self.slot(parameter, "square"), second, (1 - second) * (grad * grad))
        root = library(value).sqrt(square)
        root *= (1 - second**self.steps) ** -0.5
        root += self.eps
        value -= (lr / (1 - first**self.steps)) * (mean / root)


class AdamW(Adam):
    """Adam with weights that decay by themselves, not through the gradient.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.
    """

    def __init__(
        self, model: Layer, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 1e-2, *, groups: Groups | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, lr, betas, eps, weight_decay, groups=groups)

    def form(self) -> Form:
        form = super().form()
        return form._replace(
            constants=(*form.constants[:-1], 1),
            row=lambda rates: (rates.lr, 1 - rates.lr * rates.weight_decay),
        )

    def update(self, parameter: Parameter, value: Any, grad: Any, rates: Rates) -> None:
        value *= 1 - rates.lr * rates.weight_decay
        self._move(parameter, value, grad, rates.lr)


class RMSprop(Optimizer):
    """Gradients over the root of their mean squares; as in PyTorch.

    References
    ----------
    T. Tieleman, G. Hinton, "Lecture 6.5 - RMSProp", Coursera, 2012.
    """

    def __init__(
        self, model: Layer, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0.0, momentum: float = 0.0, *, groups: Groups | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, lr, weight_decay, groups)
        for name, rate in (("alpha", alpha), ("momentum", momentum)):
            ensure(name, rate, lambda r: 0 <= r < 1, "0 to less than 1")
        self.alpha, self.eps, self.momentum = float(alpha), _checked_eps(eps), float(momentum)

    @property
    def slots(self) -> tuple[str, ...]:
        return ("square", "momentum") if self.momentum else ("square",)

    def form(self) -> Form:
        constants = self.alpha, 1 - self.alpha, self.eps
        if self.momentum:
            return Form("rmsprop_momentum", (*constants, self.momentum))
        return Form("rmsprop", constants)

    def update(self, parameter: Parameter, value: Any, grad: Any, rates: Rates) -> None:
        grad = self.decayed(value, grad, rates.weight_decay)
        squared = (1 - self.alpha) * (grad * grad)
        square = _followed(self.slot(parameter, "square"), self.alpha, squared)
        change = grad / (library(value).sqrt(square) + self.eps)
        if self.momentum:
            change = _followed(self.slot(parameter, "momentum"), self.momentum, change)
        value -= rates.lr * change


def _followed(slot: Any, share: float, fresh: Any) -> Any:
    """What is kept, in place: `share` of it, and what is fresh."""
    slot *= share
    slot += fresh
    return slot


def _checked_eps(eps: float) -> float:
    ensure("eps", eps, lambda e: 0 <= e < math.inf, "numbers from 0")
    return float(eps)


OPTIMIZERS = {kind.__name__.lower(): kind for kind in (SGD, Adam, AdamW, RMSprop)}
