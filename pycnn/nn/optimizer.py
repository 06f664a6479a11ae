"""What optimisers share: rates, state, and a step over all parameters."""

from itertools import pairwise
from typing import Any, ClassVar

from pycnn.define.out import span
from pycnn.nn.arrays import device_of, library, mover, to_numpy
from pycnn.nn.clip import checked_norm, clip_grad_norm
from pycnn.nn.fused_step import Form, Group, grouped, move
from pycnn.nn.layer import Layer
from pycnn.nn.loss_scale import LossScale, check_scale, counts_as_kernel
from pycnn.nn.module import Parameter, gradients_of
from pycnn.nn.rates import Groups, Rates, check_rates, checked_groups, matches
from pycnn.plan.optim import Verdict


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
        check_rates(lr=lr, weight_decay=weight_decay)
        self.model, self.lr, self.weight_decay = model, float(lr), float(weight_decay)
        self.groups = None if groups is None else checked_groups(groups, model)
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
        self._check_dtypes(self.model.parameters())
        groups, apart = grouped(self.form(), gradients_of(self.model))
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
            if matches(pattern, name):
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
        held = [{*slots} for slots in loaded.values()] or [set()] * bool(steps)
        if wrong := [slots for slots in held if slots != {*self.slots}]:
            theirs, needed = (", ".join(sorted(s)) or "nothing" for s in (wrong[0], self.slots))
            raise ValueError(
                f"state of the optimiser is of another one: it holds {theirs}; "
                f"{type(self).__name__} needs {needed}"
            )
        self.state, self.steps = loaded, steps


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
