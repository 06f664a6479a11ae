"""A whole step of training, planned once: on a GPU one CUDA graph."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pycnn.define.trace import RECORDER
from pycnn.define.validate import check_like
from pycnn.nn.arrays import library
from pycnn.nn.clip import checked_norm
from pycnn.nn.combine import taps
from pycnn.nn.fused_step import Group, grouped, move
from pycnn.nn.layer import Layer
from pycnn.nn.loss_scale import LossScale, check_scale, counts_as_kernel
from pycnn.nn.module import gradients_of
from pycnn.nn.optimizer import Optimizer
from pycnn.runtime.backends import executor
from pycnn.runtime.context import held
from pycnn.runtime.plan import Transform
from pycnn.tape import grad, plain
from pycnn.train.checks import check_optimizer, check_precision
from pycnn.train.gradients import converted
from pycnn.train.graph_numbers import GraphNumbers
from pycnn.train.steps import moved


class CompiledStep:
    """Forward, loss, backward and the optimiser's step for batches of one shape.

    On a GPU all of it is one CUDA graph, launched by one call that waits for nothing: batches are
    copied to where the first one lay, and nothing is planned or allocated any more. It is captured
    from a run of the layers, after one that leaves no trace; what could not be captured is refused:
    dropout, whose mask would be the same in every step, Fourier transforms of the library, an
    optimiser of your own, and what waits for the GPU. NumPy arrays are computed as without it.

    Parameters
    ----------
    model : Layer
        In the modes that it is to be trained in.
    loss : callable
        ``loss(result, target)``, one number.
    optimizer : Optimizer
        Of `model`. Its rates may change from step to step; of a graph nothing else may, such as its
        momentum, the modes of layers and what is frozen.
    inputs, target : array or tuple of array
        A batch: its values do not matter, shapes, dtypes and device do.
    scale : LossScale, optional
        With `precision` float16: the loss is multiplied, and steps that overflow leave themselves
        out, on the GPU; `settle` says what it has come to, and goes before steps without the graph.
    clip_norm : float, optional
        How long all gradients may be together.
    precision : {"float16", "bfloat16"}, optional
        What layers compute in, see `pycnn.grad`.

    Attributes
    ----------
    graph : bool
        Whether a call is one CUDA graph.

    Raises
    ------
    ValueError, TypeError
        If something cannot be captured, says what; the model is as before then.

    References
    ----------
    NVIDIA, "CUDA C++ programming guide", chapter CUDA graphs, stream capture.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn, train
    >>> x = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
    >>> model = nn.Linear(1, 1)
    >>> step = train.CompiledStep(model, nn.MSELoss(), nn.SGD(model, 0.5), x, 3 * x)
    >>> for _ in range(50):
    ...     loss, y = step(x, 3 * x)
    >>> bool(loss < 1e-6), step.graph
    (True, False)
    """

    def __init__(
        self,
        model: Layer,
        loss: Callable[[Any, Any], Any],
        optimizer: Optimizer,
        inputs: Any,
        target: Any,
        *,
        scale: LossScale | None = None,
        clip_norm: float | None = None,
        precision: str | None = None,
    ) -> None:
        check_optimizer(optimizer, model)
        check_precision(precision, model)
        checked_norm("clip_norm", clip_norm)
        check_scale(scale)
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.scale, self.clip_norm, self.precision = scale, clip_norm, precision
        self._inputs = [_copied("inputs", array) for array in _listed(inputs)]
        self._target = [_copied("target", array) for array in _listed(target)]
        self._several = isinstance(target, tuple)
        self._library = library(self._inputs[0])
        self._results: tuple[Any, Any] = (None, None)
        self._group: Group | None = None
        self._graph: Any = None
        self._numbers = GraphNumbers(self._library, optimizer, scale, clip_norm)
        if self._library is not np:
            self._capture()

    @property
    def graph(self) -> bool:
        return self._graph is not None

    def __call__(self, inputs: Any, target: Any) -> tuple[Any, Any]:
        """The loss, and the model's result, before the step; the next call overwrites them.

        Raises
        ------
        TypeError, ValueError
            If an array has another shape, dtype or library than the first batch; of a graph, if the
            model or the optimiser hold other arrays, or are set otherwise, than when it was made.
        """
        own = [*self._inputs, *self._target]
        given = [*_listed(inputs), *_listed(target)]
        if len(own) != len(given):
            raise ValueError(f"{len(given)} arrays; allowed: {len(own)}, as in the first batch")
        for number, (mine, array) in enumerate(zip(own, given, strict=True)):
            check_like(f"array {number}", array, mine, "the step was compiled")
        if self._graph is None:
            for mine, array in zip(own, given, strict=True):
                mine[...] = array
            self._forward_and_back(1.0 if self.scale is None else self.scale.scale)
            moved(self.optimizer, self.scale, self.clip_norm)
            return self._results
        self._check_as_captured()
        self._numbers.begin()
        for mine, array in zip(own, given, strict=True):
            mine[...] = array
        if self.scale is None:
            self.optimizer.steps += 1
        assert self._group is not None
        self._numbers.send_rates(self._group)
        self._graph.launch()
        self._numbers.launched()
        return self._results

    def settle(self) -> None:
        """Take over the scale, and the number of steps, that the GPU has counted; waits for it.

        Raises
        ------
        ValueError
            As of `LossScale.unscaled`.
        """
        self._numbers.settle()

    # --- what is captured ---------------------------------------------------------------

    def _forward_and_back(self, factor: Any) -> None:
        self.model.zero_grad()
        target = tuple(self._target) if self._several else self._target[0]
        with grad(self.precision) as tape:
            outputs = converted(self.model(*self._inputs), self.precision)
            own = together = self.loss(outputs, target)
            for tap in taps(self.model):
                if tap.training:
                    together = together + tap.weight * self.loss(tap.output, target)
        dy = None
        if self.scale is not None:
            dy = self._library.empty(together.shape, together.dtype)
            dy[...] = factor
        tape.backward(together, dy)
        self._results = plain(own), plain(outputs)

    def _all(self) -> None:
        """The step, with whatever changes from one to the next in memory of the GPU."""
        numbers = self._numbers
        self._forward_and_back(1.0 if numbers.state is None else numbers.state[0])
        groups, apart = grouped(self.optimizer.form(), gradients_of(self.model))
        if len(groups) != 1 or apart:
            what = f"{apart[0][0].name} is" if apart else "parameters of several dtypes are"
            raise ValueError(
                f"{what} not moved by one kernel, and a step is captured with one; allowed: an "
                "optimiser of pycnn.nn, and contiguous parameters of one dtype"
            )
        self._group = groups[0]
        if numbers.rates is None:
            numbers.send_rates(self._group)
        move(self.optimizer, self._group, numbers.verdict(), numbers.state, numbers.rates)

    def _check_as_captured(self) -> None:
        held = self._held()
        if len(held) != len(self._captured) or any(
            now is not then for now, then in zip(held, self._captured, strict=True)
        ):
            raise ValueError(
                "the model or the optimiser holds other arrays than when the step was compiled; "
                "allowed: writing into them, or compiling the step again"
            )
        if self._set() != self._as_set:
            raise ValueError(
                "the modes of layers, what is frozen, or settings of the optimiser, are not as "
                "when the step was compiled; allowed: other rates, or compiling the step again"
            )

    def _set(self) -> tuple[Any, ...]:
        """What is fixed in a graph."""
        form = self.optimizer.form()
        modes = [(layer.training, layer.trainable) for _, layer in self.model.named_layers()]
        return form and (form.entry, form.constants, form.betas), modes, self._numbers.verdict()

    def _held(self) -> list[Any]:
        """All arrays that a step reads and writes, and that are there before it."""
        arrays = [a for _, layer in self.model.named_layers()
                  for own in (layer.params, layer.buffers) for a in own.values()]  # fmt: skip
        return arrays + [a for slots in self.optimizer.state.values() for a in slots.values()]

    def _capture(self) -> None:
        cupy, optimizer = self._library, self.optimizer
        if self.scale is not None and not counts_as_kernel(self.scale):
            raise ValueError(
                f"scale is a {type(self.scale).__name__} that unscales by itself; allowed in a "
                "step that is captured: a LossScale, whose counting the GPU does"
            )
        for parameter in self.model.parameters():
            for name in optimizer.slots if parameter.trainable else ():
                optimizer.slot(parameter, name)
        self._captured, self._as_set = self._held(), self._set()
        kept = [array.copy() for array in self._captured]
        state = self._numbers.state
        before = None if state is None else state.copy()
        self._pool = cupy.cuda.MemoryPool()  # whose memory nothing else is given, later
        optimizer.steps += 1  # of no step Adam's bias is not corrected
        try:
            with held(RECORDER, _refuse), cupy.cuda.using_allocator(self._pool.malloc):
                self._all()
        finally:
            optimizer.steps -= 1
            for array, values in zip(self._captured, kept, strict=True):
                array[...] = values
            if state is not None:
                state[...] = before
        try:
            with cupy.cuda.using_allocator(self._pool.malloc):
                by: Any = executor("cuda")
                self._graph = by.captured([self._all])
        except RuntimeError as error:  # of CUDA, or of CuPy, which looks first
            raise ValueError(
                f"the step cannot be captured, for something in it waits for the GPU or copies "
                f"from or to it ({error}); allowed: operations of pycnn and CuPy on its arrays"
            ) from error


def _refuse(operation: Any, call: Any, *rest: Any) -> None:
    """What would not be the same in a graph."""
    if operation.name.startswith("dropout"):
        raise ValueError(
            f"{operation.name} in a step that is captured: its mask would be the same in every "
            "step; allowed: p=0, or the layers in evaluation mode"
        )
    if any(isinstance(launch, Transform) for plan in call.plans for launch in plan.launches):
        raise ValueError(f"{operation.name} by Fourier transforms of the library, in a step that "
                         "is captured; allowed: another algorithm")  # fmt: skip


def _listed(arrays: Any) -> tuple[Any, ...]:
    return arrays if isinstance(arrays, tuple) else (arrays,)


def _copied(name: str, array: Any) -> Any:
    if not hasattr(array, "dtype") or not hasattr(array, "shape"):
        raise TypeError(f"{name} is of type {type(array).__name__}; allowed: an array")
    return array.copy(order="C")
