"""Optimisers: what moves parameters against their gradients."""

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

from pycnn.define.out import span
from pycnn.nn.arrays import device_of, library, mover, to_numpy, widened
from pycnn.nn.fused_step import Form, Group, grouped, move
from pycnn.nn.layer import Layer
from pycnn.nn.loss_scale import LossScale, counts_as_kernel
from pycnn.nn.module import Parameter
from pycnn.plan.optim import Verdict

#: Rates of their own, by parts of the model.
Groups = Mapping[str, Mapping[str, float]]


class Rates(NamedTuple):
    """How fast one parameter moves, and decays."""

    lr: float
    weight_decay: float


class Optimizer:
    """Base: a learning rate, weight decay, and arrays of state for every parameter.

    Parameters
    ----------
    model : Layer
    lr, weight_decay : float
    groups : mapping of str to mapping, optional
        Parts that have rates of their own: by the path of a layer, ``"head"``, or a pattern of
        parameter names, ``"*.bias"``, what differs, ``{"lr": 0.1, "weight_decay": 0.0}``. Of two
        groups the later one counts, in what it names. A schedule changes all rates by one factor.

    Attributes
    ----------
    lr : float
        Learning rate; schedules change it.
    steps : int
        Steps taken.
    state : dict of str to dict of str to array
        By the parameter's name and what it is, such as "momentum"; of the parameter's dtype, on
        its device.
    """

    #: Whether it works in 16 bits: squares of gradients, and `eps`, are out of their range.
    takes_halves: ClassVar[bool] = False

    def __init__(
        self, model: Layer, lr: float, weight_decay: float, groups: Groups | None = None
    ) -> None:
        if not isinstance(model, Layer):
            raise TypeError(
                f"model is of type {type(model).__name__}; allowed: a pycnn.nn.Layer, such as the "
                "model itself (not its parameters)"
            )
        _check_rates(lr=lr, weight_decay=weight_decay)
        self.model, self.lr, self.weight_decay = model, float(lr), float(weight_decay)
        self.groups = None if groups is None else _checked(groups, model)
        self._first = self.lr
        self.steps = 0
        self.state: dict[str, dict[str, Any]] = {}
        self._check_dtypes(model.parameters())
        _check_apart(model.parameters())

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the arrays that it keeps of a parameter."""
        return ()

    def settings(self) -> dict[str, Any]:
        """What it was made with, without the learning rate."""
        state = ("model", "lr", "steps", "state", "_first")
        return {name: value for name, value in vars(self).items() if name not in state}

    def __init_subclass__(cls, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        own = {"update", "decayed", "_move"} & {*vars(cls)}
        if own and "form" not in vars(cls):  # a kernel knows nothing of it
            cls.form = Optimizer.form  # type: ignore[method-assign]

    def step(self, scale: LossScale | None = None, clip_norm: float | None = None) -> bool:
        """Move every parameter that has a gradient, in place.

        On a GPU, and the emulator, many parameters are moved by one kernel, to the same bits as one
        by one; those that are not contiguous, or whose gradient is not, and those of an optimiser
        of your own, are moved one by one.

        Parameters
        ----------
        scale : LossScale, optional
            What the loss was multiplied by. Where a gradient is not finite nothing moves.
        clip_norm : float, optional
            How long all gradients may be together, see `clip_grad_norm`.

        Returns
        -------
        bool
            Whether the step was taken. Gradients stay as they are where neither `scale` nor
            `clip_norm` is given, and where kernels see to these.
        """
        check_scale(scale)
        parameters = self.model.parameters()
        self._check_dtypes(parameters)
        grads = [(p, grad) for p in parameters if p.trainable and (grad := p.grad) is not None]
        groups, apart = grouped(self.form(), grads)
        most = checked_norm("clip_norm", clip_norm)
        judged = clip_norm is not None if scale is None else counts_as_kernel(scale)
        if judged and len(groups) == 1 and not apart:
            return self._step_judged(groups[0], scale, most)
        if scale is not None and not scale.unscaled(self.model):
            return False
        if clip_norm is not None:
            clip_grad_norm(self.model, clip_norm)
        self.steps += 1
        for group in groups:
            move(self, group)
        for parameter, grad in apart:
            self.update(parameter, parameter.value, grad, self.rates(parameter.name))
        return True

    def _step_judged(self, group: Group, scale: LossScale | None, most: float) -> bool:
        """A step that the GPU takes or leaves out, and shortens, by itself."""
        if scale is None:
            self.steps += 1
            move(self, group, Verdict(most))
            return True
        state = library(group.grads[0][1]).asarray([*scale.numbers(), float(self.steps)])
        move(self, group, Verdict(most, True, scale.every, group.form.betas), state)
        before, (*numbers, steps) = self.steps, to_numpy(state).tolist()
        self.steps = int(steps)
        scale.take(*numbers)
        return self.steps > before

    def form(self) -> Form | None:
        """What the kernel of one step takes; None where there is no kernel."""
        return None

    def rates(self, name: str) -> Rates:
        """Of the parameter called `name`, now."""
        lr, weight_decay = self.lr, self.weight_decay
        for pattern, own in (self.groups or {}).items():
            if _matches(pattern, name):
                weight_decay = own.get("weight_decay", weight_decay)
                if "lr" in own:
                    lr = own["lr"] * (self.lr / self._first)
        return Rates(lr, weight_decay)

    def _check_dtypes(self, parameters: list[Parameter]) -> None:
        for parameter in parameters:
            if parameter.value.dtype.itemsize < 4 and not self.takes_halves:
                raise ValueError(
                    f"{parameter.name} is {parameter.value.dtype}, whose range is too small for "
                    f'{type(self).__name__}; allowed are float32 and float64: model.to("float32")'
                )

    def update(self, parameter: Parameter, value: Any, grad: Any, rates: Rates) -> None:
        """Move one parameter."""
        raise NotImplementedError

    def slot(self, parameter: Parameter, name: str) -> Any:
        """State of a parameter, at first zeros like it; it follows the model's `to`."""
        value = parameter.value
        slots = self.state.setdefault(parameter.name, {})
        if name not in slots:
            slots[name] = library(value).zeros_like(value)
        slot = slots[name]
        if slot.dtype != value.dtype or device_of(slot) != device_of(value):
            slots[name] = mover(device_of(value))(slot).astype(value.dtype)
        return slots[name]

    @staticmethod
    def decayed(value: Any, grad: Any, weight_decay: float) -> Any:
        """The gradient of the loss with half the squared weights times `weight_decay` added."""
        return grad + weight_decay * value if weight_decay else grad

    def state_dict(self) -> dict[str, Any]:
        """The arrays of the state as ``"parameter:name"``; `steps` is apart."""
        return {f"{p}:{n}": a for p, slots in self.state.items() for n, a in slots.items()}

    def load_state_dict(self, state: dict[str, Any], steps: int) -> None:
        """Take copies of what `state_dict` gave, onto the device of the model.

        Raises
        ------
        ValueError
            If an array belongs to no parameter, has another shape or dtype, or is of another
            optimiser, or one is missing; nothing is changed.
        """
        values = {p.name: p.value for p in self.model.parameters()}
        loaded: dict[str, dict[str, Any]] = {}
        for key, array in state.items():
            name, _, slot = key.rpartition(":")
            value = values.get(name)
            if value is None or (array.shape, array.dtype) != (value.shape, value.dtype):
                raise ValueError(
                    f"state of the optimiser: {key}, {array.dtype} {array.shape}, fits no parameter"
                )
            loaded.setdefault(name, {})[slot] = mover(device_of(value))(array).copy()
        needed = {*self.slots}
        if any({*slots} != needed for slots in loaded.values()) or (
            steps and needed and not loaded
        ):
            theirs = {slot for slots in loaded.values() for slot in slots}
            raise ValueError(
                "state of the optimiser is of another one: it holds "
                f"{', '.join(sorted(theirs)) or 'nothing'}; {type(self).__name__} needs "
                f"{', '.join(sorted(needed)) or 'nothing'}"
            )
        self.state, self.steps = loaded, steps


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
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum}: allowed are 0 to less than 1")
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
            velocity = self.slot(parameter, "momentum")
            velocity *= self.momentum
            velocity += grad
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
        if not all(0 <= beta < 1 for beta in (first, second)):
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
        mean, square = self.slot(parameter, "mean"), self.slot(parameter, "square")
        mean *= first
        mean += (1 - first) * grad
        square *= second
        square += (1 - second) * (grad * grad)
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
            if not 0 <= rate < 1:
                raise ValueError(f"{name}={rate}: allowed are 0 to less than 1")
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
        square = self.slot(parameter, "square")
        square *= self.alpha
        square += (1 - self.alpha) * (grad * grad)
        change = grad / (library(value).sqrt(square) + self.eps)
        if self.momentum:
            velocity = self.slot(parameter, "momentum")
            velocity *= self.momentum
            velocity += change
            change = velocity
        value -= rates.lr * change


def _checked(groups: Groups, model: Layer) -> dict[str, dict[str, float]]:
    names = [p.name for p in model.parameters()]
    if not isinstance(groups, Mapping) or not all(isinstance(g, Mapping) for g in groups.values()):
        raise TypeError(f'groups={groups!r}; allowed: such as {{"head": {{"lr": 0.1}}}}')
    for pattern, own in groups.items():
        if unknown := own.keys() - {"lr", "weight_decay"}:
            raise ValueError(f"groups[{pattern!r}] has {min(unknown)}; allowed: lr, weight_decay")
        _check_rates(**own)
        if not any(_matches(pattern, name) for name in names):
            raise ValueError(
                f"groups[{pattern!r}] is of no parameter; allowed: paths of layers and patterns of "
                f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
            )
    return {p: {name: float(rate) for name, rate in own.items()} for p, own in groups.items()}


def _check_apart(parameters: list[Parameter]) -> None:
    """Parameters that lie over one another would race in the one kernel that moves them."""
    whole = [p for p in parameters if p.value.flags.c_contiguous and p.value.size]
    spans = sorted((*span(p.value), p.name) for p in whole)
    for (_, end, name), (begin, _, other) in pairwise(spans):
        if begin < end:
            raise ValueError(
                f"{name} and {other} share memory; allowed: parameters apart, or one and the same "
                "array in both layers"
            )


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)


def _check_rates(lr: float = 1.0, weight_decay: float = 0.0) -> None:
    if not lr > 0:
        raise ValueError(f"lr={lr}: allowed are positive numbers")
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay={weight_decay}: allowed are numbers from 0")


def _checked_eps(eps: float) -> float:
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps={eps}: allowed are numbers from 0")
    return float(eps)


def check_scale(scale: Any) -> None:
    if scale is not None and not isinstance(scale, LossScale):
        raise TypeError(
            f"scale is of type {type(scale).__name__}; allowed: a pycnn.nn.LossScale, whose number "
            "the loss was multiplied by"
        )


def checked_norm(name: str, norm: float | None) -> float:
    """The largest norm that gradients may have; infinity for None."""
    if norm is None:
        return math.inf
    if isinstance(norm, (str, bool)):
        raise TypeError(f"{name}={norm!r} is of type {type(norm).__name__}; allowed: a number")
    if not norm > 0:
        raise ValueError(f"{name}={norm}: allowed are positive numbers")
    return float(norm)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop,
}  # fmt: skip


def clip_grad_norm(model: Layer, max_norm: float) -> float:
    """Scale all gradients so that their common Euclidean norm is at most `max_norm`.

    Returns
    -------
    float
        The norm before. Gradients that are not finite stay as they are.
    """
    checked_norm("max_norm", max_norm)
    grads = [grad for p in model.parameters() if p.trainable and (grad := p.grad) is not None]
    total = float(sum(float((g.astype("float64") ** 2).sum()) for g in grads)) ** 0.5
    if max_norm < total < float("inf"):
        for grad in grads:
            wide = widened(grad)
            grad[...] = wide * wide.dtype.type(max_norm / total)
    return total


def clip_grad_value(model: Layer, max_value: float) -> None:
    """Limit every element of the gradients to -`max_value` ... `max_value`."""
    if not max_value > 0:
        raise ValueError(f"max_value={max_value}: allowed are positive numbers")
    for parameter in model.parameters():
        if (grad := parameter.grad) is not None:
            grad.clip(-max_value, max_value, out=grad)
