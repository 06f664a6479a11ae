"""What layers hold: parameters, buffers, layers inside; their names, modes, and where they lie."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from pycnn.define.trace import is_tracing, placeholder
from pycnn.dtypes import FLOATING, numpy_dtype
from pycnn.nn.arrays import device_of, mover, to_numpy


class Parameter(NamedTuple):
    """A parameter by its full name: the layer that owns it, and its key there.

    `shared` are other layers, and their keys, that hold the same array.
    """

    name: str
    layer: "Module"
    key: str
    shared: tuple[tuple["Module", str], ...] = ()

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


class Module:
    """The part of a `Layer` that computes nothing."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.grads: dict[str, Any] = {}
        self.buffers: dict[str, Any] = {}
        self.children: dict[str, Any] = {}
        self.training = self.trainable = True

    def __setattr__(self, name: str, value: Any) -> None:
        if not isinstance(value, Module):
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

    def named_layers(self) -> Iterator[tuple[str, Any]]:
        """(path, layer) of this layer, whose path is empty, and all inside it."""
        yield "", self
        for name, child in self.children.items():
            for path, layer in child.named_layers():
                yield join(name, path), layer

    def parameters(self) -> list[Parameter]:
        """All parameters, those of inner layers too, in a fixed order; a shared array once."""
        owners: dict[int, list[tuple[str, Module, str]]] = {}
        for path, layer in self.named_layers():
            for key, array in layer.params.items():
                owners.setdefault(id(array), []).append((join(path, key), layer, key))
        return [
            Parameter(*first, tuple((layer, key) for _, layer, key in others))
            for first, *others in owners.values()
        ]

    @property
    def parameter_count(self) -> int:
        """Numbers that are learnt."""
        return sum(p.value.size for p in self.parameters())

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
                    yield join(path, key), arrays, key

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
        for _, layer in self.named_layers():
            layer.trainable = False
            layer.grads.clear()
        return self

    def unfreeze(self) -> Self:
        """The contrary of `freeze`."""
        for _, layer in self.named_layers():
            layer.trainable = True
        return self

    def reseed(self, seed: int, step: int = 0) -> Self:
        """Make what is random in training (dropout) a function of `seed` and `step` alone."""
        for number, (_, layer) in enumerate(self.named_layers()):
            layer.set_seed((seed * 1_000_003 + number) % 2**63, step)
        return self

    def set_seed(self, seed: int, step: int) -> None:
        """Take the seed of this one layer; most have nothing random."""

    def add_grad(self, key: str, grad: Any) -> None:
        """Add to the gradient of one of this layer's parameters."""
        self.grads[key] = self.grads[key] + grad if key in self.grads else grad


def join(path: str, name: str) -> str:
    """The path of what is called `name` in the layer at `path`; of a layer itself, both empty."""
    return f"{path}.{name}" if path and name else path or name


def gradients_of(model: Module) -> list[tuple[Parameter, Any]]:
    """The parameters that are trained and have a gradient, with it."""
    return [(p, g) for p in model.parameters() if p.trainable and (g := p.grad) is not None]


def _check_no_layers(name: str, value: Any) -> None:
    """Layers in a list would have no parameters, and no word would be said."""
    values = value.values() if isinstance(value, dict) else value
    if name != "children" and any(isinstance(one, Module) for one in values):
        raise TypeError(
            f"self.{name} holds layers in a {type(value).__name__}, where nothing finds them; "
            "allowed: nn.Sequential, or entries of self.children"
        )


def _some(names: list[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


def _caster(dtype: str) -> Callable[[Any], Any]:
    kind = numpy_dtype(dtype)

    def cast(array: Any) -> Any:
        if array.dtype.kind in "iu":
            return array
        return placeholder(array.shape, kind) if is_tracing() else array.astype(kind)

    return cast
