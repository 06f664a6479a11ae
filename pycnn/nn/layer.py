"""The base of all layers: parameters, gradients, modes, names, and where they lie."""

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from pycnn.define.trace import is_tracing, placeholder, tracing
from pycnn.dtypes import FLOATING, numpy_dtype
from pycnn.nn.arrays import device_of, library, mover, to_numpy
from pycnn.nn.errors import LayerError, said_by
from pycnn.tape import Tape, Variable, plain, recording

FLOAT32 = np.dtype(np.float32)

Observer = Callable[["Layer", Any, Any], None]

OBSERVERS: ContextVar[tuple[Observer, ...]] = ContextVar("pycnn_observers", default=())


class Parameter(NamedTuple):
    """A parameter by its full name: the layer that owns it, and its key there.

    `shared` are other layers, and their keys, that hold the same array.
    """

    name: str
    layer: "Layer"
    key: str
    shared: tuple[tuple["Layer", str], ...] = ()

    @property
    def value(self) -> Any:
        """The array."""
        return self.layer.params[self.key]

    @property
    def trainable(self) -> bool:
        """Whether its gradient is computed: one of the layers that hold it is trainable."""
        return self.layer.trainable or any(layer.trainable for layer, _ in self.shared)

    @property
    def grad(self) -> Any:
        """Its gradient, or None where no backward pass has made one.

        Of an array that layers share it is the sum, which is gathered in the first of them.
        """
        for layer, key in self.shared:
            apart = layer.grads is not self.layer.grads or key != self.key
            if apart and key in layer.grads:
                self.layer.add_grad(self.key, layer.grads.pop(key))
        return self.layer.grads.get(self.key)


class _Pass:
    """What the last `forward` kept, or None, and how many came since `backward`."""

    __slots__ = ("count", "kept")

    def __init__(self) -> None:
        self.forget()

    def __reduce__(self) -> Any:
        return _Pass, ()  # a copy of a layer has kept nothing

    def forget(self) -> None:
        self.kept: tuple[Tape, list[Any], Any] | None = None
        self.count = 0


class Layer:
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
        What `pycnn.models.create` made it with, so that a checkpoint can say so.
    """

    elementwise: ClassVar[bool] = False
    full_precision: ClassVar[bool] = False

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.grads: dict[str, Any] = {}
        self.buffers: dict[str, Any] = {}
        self.children: dict[str, Layer] = {}
        self.training = self.trainable = True
        self.recipe: dict[str, Any] | None = None
        self._pass = _Pass()

    def __setattr__(self, name: str, value: Any) -> None:
        if not isinstance(value, Layer):
            if isinstance(value, list | tuple | dict):
                _check_no_layers(name, value)
            if name not in self.__dict__ and not hasattr(type(self), name):
                self.__dict__.get("children", {}).pop(name, None)
            super().__setattr__(name, value)
        elif "children" not in self.__dict__:
            raise TypeError(f"{type(self).__name__}: call super().__init__() before self.{name}")
        elif name in self.__dict__ or hasattr(type(self), name):
            raise ValueError(f"self.{name} is a layer; allowed: a name that is not taken")
        elif any(one is self for _, one in value.named_layers()):
            raise ValueError(f"self.{name} is a layer around this one; allowed: no circle")
        else:
            self.children[name] = value

    def __getattr__(self, name: str) -> Any:
        children = self.__dict__.get("children", {})
        if name in children:
            return children[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

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
        raise NotImplementedError

    def compute_onto(self, x: Any, residual: Any) -> Any:
        """As `compute`, `residual` added before the activation; of what `fuse` adds sums to."""
        raise NotImplementedError

    def describe(self) -> str:
        """Arguments, for `repr`."""
        return ""

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
            raise error.inside(self) from error.__cause__
        except (TypeError, ValueError) as error:
            raise said_by(self, error) from error
        finally:
            if tape is not None:
                tape.place = around
        for observer in OBSERVERS.get():
            observer(self, plain(inputs[0]), plain(y))
        return y

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
        self._pass.kept = tape, watched, y
        self._pass.count += 1
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
        if self._pass.kept is None:
            raise LayerError("", self, "backward without a forward before it")
        if self._pass.count > 1:
            raise LayerError(
                "", self, f"backward after {self._pass.count} forward passes; allowed: one, whose "
                "input it keeps. Call the layer, layer(x), for a pass without backward, or "
                "zero_grad() to forget the others",
            )  # fmt: skip
        tape, inputs, y = self._pass.kept
        self._pass.forget()
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
        path = next(path for path, layer in root.named_layers() if layer is self)
        said = said_by(self, error)
        return type(said)(path, self, said.reason)

    def add_grad(self, key: str, grad: Any) -> None:
        """Add to the gradient of one of this layer's parameters."""
        if key in self.grads:
            self.grads[key] = self.grads[key] + grad
        else:
            self.grads[key] = grad

    def forget(self) -> None:
        """Drop what `forward` kept for a `backward` that will not come, here and inside."""
        for _, layer in self.named_layers():
            layer._pass.forget()

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
        if array is None:
            return None
        if is_tracing():
            return placeholder(array.shape, array.dtype)
        tape = recording()
        if tape is None or not self.trainable or key not in self.params:
            return array
        return tape.parameter(self, key, array)

    def named_layers(self) -> Iterator[tuple[str, "Layer"]]:
        """(path, layer) of this layer, whose path is empty, and all inside it."""
        yield "", self
        for name, child in self.children.items():
            for path, layer in child.named_layers():
                yield (f"{name}.{path}" if path else name), layer

    def parameters(self) -> list[Parameter]:
        """All parameters, those of inner layers too, in a fixed order; a shared array once."""
        owners: dict[int, list[tuple[str, Layer, str]]] = {}
        for path, layer in self.named_layers():
            for key, array in layer.params.items():
                name = f"{path}.{key}" if path else key
                owners.setdefault(id(array), []).append((name, layer, key))
        return [
            Parameter(*first, tuple((layer, key) for _, layer, key in others))
            for first, *others in owners.values()
        ]

    @property
    def parameter_count(self) -> int:
        """Numbers that are learnt."""
        return sum(p.value.size for p in self.parameters())

    def zero_grad(self) -> None:
        """Forget all gradients, and all forward passes but the last."""
        for _, layer in self.named_layers():
            layer.grads.clear()
            layer._pass.count = min(layer._pass.count, 1)

    def state_dict(self) -> dict[str, Any]:
        """Parameters and buffers by full name; the arrays themselves, no copies.

        Training and `load_state_dict` write into them.

        Raises
        ------
        ValueError
            If two have one name.
        """
        state: dict[str, Any] = {}
        for name, arrays, key in self._named_arrays():
            if name in state:
                raise ValueError(f"two arrays are called {name}; allowed: names of their own")
            state[name] = arrays[key]
        return state

    def _named_arrays(self) -> Iterator[tuple[str, dict[str, Any], str]]:
        """Full name of every parameter and buffer, the dictionary that holds it, its key there."""
        for path, layer in self.named_layers():
            for arrays in (layer.params, layer.buffers):
                for key in arrays:
                    yield f"{path}.{key}" if path else key, arrays, key

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Copy all arrays of `state` into this layer's own.

        Raises
        ------
        ValueError
            If a name is missing or unknown, a shape or dtype is another, or an array that layers
            share has two values; nothing is changed.
        """
        own = self.state_dict()
        missing = [name for name in own if name not in state]
        unknown = [name for name in state if name not in own]
        if missing or unknown:
            raise ValueError(
                f"state is of another model: {len(missing)} arrays missing{_some(missing)}, "
                f"{len(unknown)} unknown{_some(unknown)}"
            )
        first: dict[int, str] = {}
        for name, array in own.items():
            theirs = state[name]
            if theirs.shape != array.shape or theirs.dtype != array.dtype:
                raise ValueError(
                    f"state[{name!r}] is {theirs.dtype} of shape {theirs.shape}; "
                    f"allowed: {array.dtype} of shape {array.shape}"
                )
            shared = first.setdefault(id(array), name)
            if shared != name and not (to_numpy(theirs) == to_numpy(state[shared])).all():
                raise ValueError(f"{name} and {shared} are one array here; state has two values")
        copies = {name: mover(device_of(own[name]))(state[name]).copy() for name in own}
        for name, arrays, key in self._named_arrays():
            copy = copies[name]  # made first: state may hold this layer's own arrays
            if isinstance(copy, np.ndarray) and not arrays[key].flags.writeable:
                arrays[key] = copy  # the model was made while shapes were traced
            else:
                arrays[key][...] = copy
        return self

    # --- modes --------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Training mode here and in all layers inside (``train(False)`` is `eval`)."""
        for _, layer in self.named_layers():
            layer.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation mode: dropout passes on, batch normalisation uses running statistics."""
        return self.train(False)

    def to(self, target: str) -> Self:
        """Move all arrays to a device, ``"cuda"`` or ``"cpu"``, or convert them to a dtype.

        Raises
        ------
        ValueError
            If `target` is none of these.
        MissingExtra
            If it is ``"cuda"`` and CuPy is not installed.
        """
        if target in FLOATING:
            convert = _caster(target)
        elif target in ("cpu", "cuda"):
            convert = mover(target)
        else:
            raise ValueError(f"target={target!r}: allowed are cpu, cuda, {', '.join(FLOATING)}")
        converted: dict[int, tuple[Any, Any]] = {}  # by identity, with what holds on to it
        for _, layer in self.named_layers():
            for arrays in (layer.params, layer.grads, layer.buffers):
                for key, array in arrays.items():
                    if id(array) not in converted:
                        converted[id(array)] = array, convert(array)
                    arrays[key] = converted[id(array)][1]
        return self

    def freeze(self) -> Self:
        """Compute no gradients of parameters, here and in all layers inside: they stay as they are.

        Batch normalisation that is in training mode goes on to follow its statistics; `eval` stops
        that too.

        Examples
        --------
        >>> from pycnn import nn
        >>> model = nn.Sequential(body=nn.Linear(4, 3), head=nn.Linear(3, 2))
        >>> _ = model.at("body").freeze()
        >>> [p.name for p in model.parameters() if p.trainable]
        ['head.weight', 'head.bias']
        """
        return self._set_trainable(False)

    def unfreeze(self) -> Self:
        """The contrary of `freeze`."""
        return self._set_trainable(True)

    def _set_trainable(self, trainable: bool) -> Self:
        for _, layer in self.named_layers():
            layer.trainable = trainable
            if not trainable:
                layer.grads.clear()
        return self

    def reseed(self, seed: int, step: int = 0) -> Self:
        """Make what is random in training (dropout) a function of `seed` and `step` alone."""
        for number, (_, layer) in enumerate(self.named_layers()):
            layer.set_seed((seed * 1_000_003 + number) % 2**63, step)
        return self

    def set_seed(self, seed: int, step: int) -> None:
        """Take the seed of this one layer; most have nothing random."""

    # --- text ---------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.describe()})"


def _is_floating(array: Any) -> bool:
    dtype = getattr(array, "dtype", None)
    return isinstance(array, Variable) or (dtype is not None and dtype.name in FLOATING)


def _or_zeros(grad: Any, x: Any) -> Any:
    """The gradient; zeros where the result does not depend on x."""
    return library(x).zeros_like(x) if grad is None else grad


def _check_no_layers(name: str, value: Any) -> None:
    """Layers in a list would have no parameters, and no word would be said."""
    values = value.values() if isinstance(value, dict) else value
    if name != "children" and any(isinstance(one, Layer) for one in values):
        raise TypeError(
            f"self.{name} holds layers in a {type(value).__name__}, where nothing finds them; "
            "allowed: nn.Sequential, or entries of self.children"
        )


def _some(names: list[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


def _caster(dtype: str) -> Callable[[Any], Any]:
    kind = numpy_dtype(dtype)
    return lambda array: array if array.dtype.kind in "iu" else array.astype(kind)
