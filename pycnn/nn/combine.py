"""Layers made of layers: one after the other, side by side, and taps for auxiliary heads."""

from collections.abc import Iterator, Sequence
from typing import Any

import pycnn
from pycnn.nn.arguments import arguments_text
from pycnn.nn.layer import Layer

#: Layers inside that `repr` shows.
MOST = 6


class Combined(Layer):
    """Base of layers that contain layers: given one by one, in a list, or by name."""

    def __init__(self, *layers: Any, **named: Layer) -> None:
        super().__init__()
        if len(layers) == 1 and isinstance(layers[0], list | tuple):
            (layers,) = layers
        for name, layer in (*((str(i), one) for i, one in enumerate(layers)), *named.items()):
            self._add(name, layer)

    def _add(self, name: str, layer: Layer) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(
                f"layer {name} is of type {type(layer).__name__}; allowed: pycnn.nn.Layer"
            )
        if not name or "." in name or name in self.children:
            reason = "given twice" if name in self.children else "no name"
            raise ValueError(f"layer {name!r}: {reason}; allowed: names of their own, without dots")
        self.children[name] = layer

    def __len__(self) -> int:
        return len(self.children)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.children.values())

    def at(self, path: str) -> Layer:
        """The layer inside at `path`, such as ``"features.3"``.

        Raises
        ------
        ValueError
            If there is none; lists what there is.
        """
        layers = dict(self.named_layers())
        if path not in layers:
            raise ValueError(f"path={path!r}: allowed are {', '.join(filter(None, layers))}")
        return layers[path]

    def describe(self) -> str:
        named = [f"{name}={_brief(layer)}" for name, layer in self.children.items()]
        if len(named) > MOST:
            named[MOST - 1 :] = [f"... {len(named)} layers"]
        return ", ".join(filter(None, [*named, arguments_text(self)]))


def _brief(layer: Layer) -> str:
    count = len(layer.children)
    return f"{type(layer).__name__}(... {count} layers)" if count > 1 else repr(layer)


class Sequential(Combined):
    """Layers one after the other, named by their number or by keyword.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn
    >>> model = nn.Sequential(conv=nn.Conv2d(1, 6, 5), relu=nn.ReLU(), pool=nn.MaxPool2d(2))
    >>> model.output_shape((1, 28, 28))
    (6, 12, 12)
    >>> model(np.zeros((8, 1, 3, 28), np.float32))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    pycnn.nn.errors.LayerError: layer conv, Conv2d(1, 6, 5): weight has shape (6, 1, 5, 5): ...
    """

    def __getitem__(self, index: Any) -> Any:
        """The layer at a place, those of a slice as a `Sequential`; a parameter by its name."""
        if isinstance(index, slice):
            part = Sequential(**dict(list(self.children.items())[index]))
            part.training = self.training
            return part
        if isinstance(index, int):
            return list(self.children.values())[index]
        return super().__getitem__(index)

    def compute(self, x: Any) -> Any:
        for layer in self.children.values():
            x = layer(x)
        return x

    def compute_onto(self, x: Any, residual: Any) -> Any:
        *layers, last = self.children.values()
        for layer in layers:
            x = layer(x)
        return last.onto(x, residual)


class Identity(Layer):
    """Its input: the short branch of a residual block."""

    def compute(self, x: Any) -> Any:
        return x


class _Branches(Combined):
    """Layers that take the same input."""

    def outputs(self, x: Any) -> list[Any]:
        return [layer(x) for layer in self.children.values()]


class Sum(_Branches):
    """Sum of branches: a residual block is ``Sum(Sequential(...), Identity())``.

    Parameters
    ----------
    *layers, **named : Layer
        The branches; their results have one shape.
    scale : float, default 1.0
        Factor of the first branch, the others being added as they are.

    Attributes
    ----------
    adds : str or None
        The branch whose last convolution adds the others to its own result; `fuse` sets it.

    References
    ----------
    K. He et al., "Deep residual learning for image recognition", 2016.
    C. Szegedy et al., "Inception-v4, Inception-ResNet ...", 2017, section 3.3 (`scale`).

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn
    >>> nn.Sum(nn.ReLU(), nn.Identity())(np.array([-1.0, 2.0]))
    array([-1.,  4.])
    """

    def __init__(self, *layers: Layer, scale: float = 1.0, **named: Layer) -> None:
        super().__init__(*layers, **named)
        self.scale = scale
        self.adds: str | None = None

    def compute(self, x: Any) -> Any:
        if self.adds is not None:
            others = [layer(x) for name, layer in self.children.items() if name != self.adds]
            return self.children[self.adds].onto(x, _added(others))
        first, *rest = self.outputs(x)
        _check_same_shape(self, [first, *rest])
        if not rest:
            return first
        return pycnn.add(_added(rest), first, alpha=self.scale)


class Product(_Branches):
    """Elementwise product of two branches, with broadcasting: a gate.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn
    >>> nn.Product(nn.Identity(), nn.Identity())(np.array([-1.0, 3.0]))
    array([1., 9.])
    """

    def __init__(self, *layers: Layer, **named: Layer) -> None:
        super().__init__(*layers, **named)
        if len(self) != 2:
            raise ValueError(f"Product of {len(self)} branches: allowed are 2")

    def compute(self, x: Any) -> Any:
        return pycnn.mul(*self.outputs(x))


class Concat(_Branches):
    """Branches side by side, their results joined along an axis, by default the channels.

    A dense block is a sequence of ``Concat(Identity(), Sequential(...))``.

    Parameters
    ----------
    *layers, **named : Layer
        The branches.
    axis : int, default 1
        The channels of NCHW.

    References
    ----------
    C. Szegedy et al., "Going deeper with convolutions", 2015.
    G. Huang et al., "Densely connected convolutional networks", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn
    >>> nn.Concat(nn.Identity(), nn.ReLU())(np.array([[-1.0, 2.0]]))
    array([[-1.,  2.,  0.,  2.]])
    """

    def __init__(self, *layers: Layer, axis: int = 1, **named: Layer) -> None:
        super().__init__(*layers, **named)
        self.axis = axis

    def compute(self, x: Any) -> Any:
        return pycnn.concat(self.outputs(x), self.axis)


class Tap(Layer):
    """Passes its input on, and in training feeds it to an auxiliary head too.

    `output` holds what the head made of it, on the tape that the network is on: a loss of it can
    be added to that of the network. In evaluation mode the head is not run, and it is None.

    Parameters
    ----------
    head : Layer
        Such as an auxiliary classifier.
    weight : float, default 0.3
        What a trainer multiplies the loss of the head with.

    References
    ----------
    C. Szegedy et al., "Going deeper with convolutions", 2015, section 5.
    """

    def __init__(self, head: Layer, weight: float = 0.3) -> None:
        super().__init__()
        self.head = head
        self.weight = weight
        self.output: Any = None

    def compute(self, x: Any) -> Any:
        self.output = self.head(x) if self.training else None
        return x

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "output": None}  # a copy has computed nothing


def taps(model: Layer) -> list[Tap]:
    """All taps of a model, in order, each once."""
    layers = {id(layer): layer for _, layer in model.named_layers()}
    return [layer for layer in layers.values() if isinstance(layer, Tap)]


def _added(ys: list[Any]) -> Any:
    return ys[0] if len(ys) == 1 else pycnn.add_n(ys)


def _check_same_shape(layer: Layer, ys: Sequence[Any]) -> None:
    if len({y.shape for y in ys}) > 1:
        listed = ", ".join(f"{n} {y.shape}" for n, y in zip(layer.children, ys, strict=True))
        raise ValueError(f"branches give different shapes: {listed}")
