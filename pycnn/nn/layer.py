"""The base of all layers: what they compute, and its gradient."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ClassVar

import numpy as np

from pycnn.define.trace import is_tracing, placeholder, tracing
from pycnn.dtypes import FLOATING
from pycnn.nn.arguments import arguments_text
from pycnn.nn.arrays import library
from pycnn.nn.errors import LayerError, noted, said_by
from pycnn.nn.module import Module
from pycnn.tape import Tape, Variable, plain, recording

FLOAT32 = np.dtype(np.float32)

Observer = Callable[["Layer", Any, Any], None]

OBSERVERS: ContextVar[tuple[Observer, ...]] = ContextVar("pycnn_observers", default=())


class Layer(Module):
    """A function of arrays, with parameters.

    A class of one's own says in `compute` what it computes, with ``self["weight"]`` for the
    parameter ``self.params["weight"]``, and calls layers and functions of pycnn. ``layer(x)``
    computes. Inside ``with pycnn.grad() as tape`` the tape follows. ``layer.forward(x)`` has a tape
    of its own for ``layer.backward(dy)``, which returns the gradient for x and *adds* those of the
    parameters to `grads`.

    Attributes
    ----------
    params, grads, buffers : dict of str to array
        What is learnt, its gradients, and what is carried along (running statistics).
    children : dict of str to Layer
        Layers inside this one; ``self.conv = nn.Conv2d(...)`` is ``self.children["conv"] = ...``.
    trainable : bool
        Whether gradients of its own parameters are computed; set by `freeze` and `unfreeze`.
    training : bool
        Whether dropout drops and batch normalisation uses the batch; set by `train` and `eval`.
    elementwise : bool
        Of a class: whether every element of the result depends on that of x at its place alone, so
        that `pycnn.see` knows of a layer that computes by NumPy what it sees.
    full_precision : bool
        Of a class: whether it computes in float32 on a tape on which others compute in 16 bits.
    recipe : dict or None
        What `pycnn.models.create` made it with, and whether `fuse` was at it, so that a checkpoint
        can say so.
    """

    elementwise: ClassVar[bool] = False
    full_precision: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.recipe: dict[str, Any] | None = None
        #: How many `forward` came since `backward`, and what the last one kept.
        self._kept: tuple[int, Tape, list[Any], Any] | None = None

    def __init_subclass__(cls, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if "gradient" in cls.__dict__:
            raise TypeError(
                f"{cls.__name__} has a method gradient; allowed: compute(self, x) that returns y "
                "alone, whose gradient the tape knows, or one of pycnn.custom_gradient"
            )

    # --- what a layer defines -----------------------------------------------------------

    def compute(self, *inputs: Any) -> Any:
        """The result: by functions of pycnn, and layers inside."""
        raise NotImplementedError(f"{type(self).__name__} has no compute(self, x)")

    def compute_onto(self, x: Any, residual: Any) -> Any:
        """As `compute`, `residual` added before the activation; of what `fuse` adds sums to."""
        raise NotImplementedError

    def describe(self) -> str:
        """For `repr`: what the constructor got and the layer has kept, without defaults."""
        return arguments_text(self)

    # --- use ----------------------------------------------------------------------------

    def __call__(self, *inputs: Any) -> Any:
        """Compute."""
        return self._run(self.compute, inputs)

    def onto(self, x: Any, residual: Any) -> Any:
        """Compute, `residual` added before the activation."""
        return self._run(self.compute_onto, (x, residual))

    def _run(self, function: Callable[..., Any], inputs: tuple[Any, ...]) -> Any:
        tape = recording()
        if tape is not None:
            around = tape.place
            tape.place = (self if around is None else around[0]), self
        try:
            if tape is None or tape.precision is None or is_tracing():
                y = function(*inputs)
            else:
                y = self._converted(tape, function, inputs)
        except LayerError as error:
            raise self._looked_at(error.inside(self), inputs) from error.__cause__
        except (TypeError, ValueError) as error:
            raise self._looked_at(said_by(self, error), inputs) from error
        except Exception as error:
            noted(self, error)
            raise
        finally:
            if tape is not None:
                tape.place = around
        for observer in OBSERVERS.get():
            observer(self, plain(inputs[0]), plain(y))
        return y

    def _looked_at(self, error: LayerError, inputs: tuple[Any, ...]) -> LayerError:
        """Says so, where the input lacks no more than a batch around it."""
        x: Any = plain(inputs[0]) if len(inputs) == 1 else None
        if is_tracing() or not hasattr(x, "shape") or "x[None]" in error.reason:
            return error
        try:
            self.output_shape(x.shape, x.dtype.name)
        except Exception:
            return error
        return error.with_batch(x.shape)

    def _converted(self, tape: Tape, function: Callable[..., Any], inputs: tuple[Any, ...]) -> Any:
        """Compute in the precision of the tape, or in float32 with a result in it."""
        own = FLOAT32 if self.full_precision else tape.precision
        y = function(*(tape.convert(x, own) for x in inputs))
        return tape.convert(y, tape.precision) if self.full_precision else y

    def forward(self, *inputs: Any) -> Any:
        """Compute, and keep what `backward` needs.

        Raises
        ------
        LayerError
            Inside ``with pycnn.grad()``, whose tape would not follow: call the layer itself there.
        """
        if recording() is not None:
            raise LayerError(
                "", self, "forward inside a tape, which would not follow; allowed: layer(x)"
            )
        if is_tracing():
            return self(*inputs)
        with Tape() as tape:
            watched = [tape.watch(x) if _is_floating(x) else x for x in inputs]
            y = self(*watched)
        self._kept = (self._kept[0] if self._kept else 0) + 1, tape, watched, y
        return plain(y)

    def backward(self, dy: Any, needs_dx: bool = True) -> Any:
        """The gradient for the input of the last `forward`; adds to `grads` on its way.

        Parameters
        ----------
        dy : array
            Gradient for the result.
        needs_dx : bool, default True
            Without it, None is returned, and the first layer saves its work.

        Returns
        -------
        array or tuple of array
            A tuple where `forward` had several inputs; None of those that are not floating.

        Raises
        ------
        LayerError
            If no `forward` came before, or more than one since the last `backward` or `zero_grad`,
            of which only the last one's input is kept; or if `dy` does not have the shape of its
            result.
        """
        if self._kept is None:
            raise LayerError("", self, "backward without a forward before it")
        count, tape, inputs, y = self._kept
        if count > 1:
            raise LayerError(
                "", self, f"backward after {count} forward passes; allowed: one, whose "
                "input it keeps. Call the layer, layer(x), for a pass without backward, or "
                "zero_grad() to forget the others",
            )  # fmt: skip
        self._kept = None
        watched = [x for x in inputs if isinstance(x, Variable)] if needs_dx else []
        try:
            if not isinstance(y, Variable):  # nothing in it depends on a floating-point number
                raise ValueError("its result has no gradient")
            grads = iter(tape.gradients_into_layers(y, dy, watched))
        except LayerError:
            raise
        except (TypeError, ValueError) as error:
            raise said_by(self, error) from error
        if not needs_dx:
            return None
        found = [
            _or_zeros(next(grads), x.value) if isinstance(x, Variable) else None for x in inputs
        ]
        return found[0] if len(found) == 1 else tuple(found)

    def located(self, error: TypeError | ValueError, root: "Layer") -> LayerError:
        """What a step of this layer, inside `root`, refused on the way back."""
        path = next((path for path, layer in root.named_layers() if layer is self), "")
        said = said_by(self, error)
        return type(said)(path, self, said.reason)

    def forget(self) -> None:
        """Drop what `forward` kept for a `backward` that will not come, here and inside."""
        for _, layer in self.named_layers():
            layer._kept = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_kept": None}  # a copy has computed nothing

    def zero_grad(self) -> None:
        """Forget all gradients, and all forward passes but the last."""
        for _, layer in self.named_layers():
            layer.grads.clear()
            if layer._kept is not None:
                layer._kept = 1, *layer._kept[1:]

    def output_shape(self, input_shape: tuple[int, ...], dtype: str = "float32") -> tuple[int, ...]:
        """Shape of the result for one example of `input_shape`, with nothing computed.

        Examples
        --------
        >>> from pycnn import nn
        >>> nn.Conv2d(3, 64, 7, stride=2, padding=3).output_shape((3, 224, 224))
        (64, 112, 112)
        """
        with tracing():
            return self(placeholder((2, *input_shape), dtype)).shape[1:]

    # --- parameters ---------------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:
        """A parameter or buffer as operations take it.

        While shapes are traced, a placeholder; while a tape records, a parameter is on it.
        """
        array = self.params[key] if key in self.params else self.buffers[key]
        if is_tracing():
            return placeholder(array.shape, array.dtype)
        tape = recording()
        if tape is None or not self.trainable or key not in self.params:
            return array
        return tape.parameter(self, key, array)

    # --- text ---------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.describe()})"


def _is_floating(array: Any) -> bool:
    dtype = getattr(array, "dtype", None)
    return isinstance(array, Variable) or (dtype is not None and dtype.name in FLOATING)


def _or_zeros(grad: Any, x: Any) -> Any:
    """The gradient; zeros where the result does not depend on x."""
    return library(x).zeros_like(x) if grad is None else grad
