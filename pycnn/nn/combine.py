"""Layers made of layers: one after the other, side by side, and taps for auxiliary heads."""

from collections.abc import Mapping, Sequence
from typing import Any

import pycnn
from pycnn.nn.errors import LayerError
from pycnn.nn.layer import Layer


class Combined(Layer):
    """Base of layers that contain layers."""

    def __init__(self, *layers: Layer, **named: Layer) -> None:
        super().__init__()
        for name, layer in (*((str(i), one) for i, one in enumerate(layers)), *named.items()):
            self._add(name, layer)
        _check_apart(self)

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

    def run_child(self, name: str, x: Any, keep: bool, residual: Any = None) -> Any:
        """Forward through one layer inside; an error says which."""
        try:
            return self.children[name].run(x, keep, residual)
        except LayerError as error:
            raise error.inside(name) from error.__cause__

    def backward_child(self, name: str, dy: Any, needs_dx: bool) -> Any:
        """Backward through one layer inside; an error says which."""
        try:
            return self.children[name].backward(dy, needs_dx)
        except LayerError as error:
            raise error.inside(name) from error.__cause__

    def describe(self) -> str:
        return ", ".join(f"{name}={layer!r}" for name, layer in self.children.items())


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

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        for name in self.children:
            x = self.run_child(name, x, keep)
        return x, ()

    def compute_onto(self, x: Any, keep: bool, residual: Any) -> tuple[Any, Any]:
        *names, last = self.children
        for name in names:
            x = self.run_child(name, x, keep)
        return self.run_child(last, x, keep, residual), ()

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        names = list(self.children)
        stop = 0 if needs_dx else self._first_with_parameters()
        for i in range(len(names) - 1, stop - 1, -1):
            dy = self.backward_child(names[i], dy, needs_dx or i > stop)
        for name in names[:stop]:
            self.children[name].forget()
        return dy if needs_dx else None, {}

    def _first_with_parameters(self) -> int:
        for i, layer in enumerate(self.children.values()):
            if layer.parameters():
                return i
        return len(self.children)


class Identity(Layer):
    """Its input: the short branch of a residual block."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return x, ()

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return dy, {}


class _Branches(Combined):
    """Layers that take the same input; the gradient for it is the sum of theirs."""

    def outputs(self, x: Any, keep: bool) -> list[Any]:
        return [self.run_child(name, x, keep) for name in self.children]

    def gather(self, gradients: Sequence[Any], needs_dx: bool) -> Any:
        grads = [
            self.backward_child(name, dy, needs_dx)
            for name, dy in zip(self.children, gradients, strict=True)
        ]
        if not needs_dx:
            return None
        return grads[0] if len(grads) == 1 else pycnn.add_n(grads)


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

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        if self.adds is not None:
            others = [self.run_child(n, x, keep) for n in self.children if n != self.adds]
            return self.run_child(self.adds, x, keep, _added(others)), ()
        first, *rest = self.outputs(x, keep)
        _check_same_shape(self, [first, *rest])
        if not rest:
            return first, ()
        return pycnn.add(_added(rest), first, alpha=self.scale), ()

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        scaled = dy
        if self.scale != 1.0 and len(self.children) > 1:
            scaled = pycnn.add_backward(dy, dy.shape, dy.shape, alpha=self.scale)[1]
        return self.gather([scaled, *[dy] * (len(self.children) - 1)], needs_dx), {}

    def describe(self) -> str:
        scale = "" if self.scale == 1.0 else f", scale={self.scale}"
        return super().describe() + scale


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

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        a, b = self.outputs(x, keep)
        return pycnn.mul(a, b), (a, b) if keep else ()

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return self.gather(pycnn.mul_backward(dy, *kept), needs_dx), {}


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

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        ys = self.outputs(x, keep)
        return pycnn.concat(ys, self.axis), [y.shape[self.axis] for y in ys]

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return self.gather(pycnn.split(dy, kept, self.axis), needs_dx), {}

    def describe(self) -> str:
        axis = "" if self.axis == 1 else f", axis={self.axis}"
        return super().describe() + axis


class Tap(Layer):
    """Passes its input on, and in training feeds it to an auxiliary head too.

    After `forward`, `output` holds what the head made of it; set `gradient_of_output` before
    `backward`, which adds the head's gradient to that of the network. In evaluation mode the head
    is not run.

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
        self.children["head"] = head
        self.weight = weight
        self.output: Any = None
        self.gradient_of_output: Any = None

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        self.output = None
        if self.training:
            try:
                self.output = self.children["head"].run(x, keep)
            except LayerError as error:
                raise error.inside("head") from error.__cause__
        return x, self.training

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        mine, self.gradient_of_output = self.gradient_of_output, None
        if not kept or mine is None:
            self.children["head"].forget()
            return dy, {}
        try:
            dx = self.children["head"].backward(mine, needs_dx)
        except LayerError as error:
            raise error.inside("head") from error.__cause__
        return (pycnn.add(dy, dx) if needs_dx else None), {}

    def describe(self) -> str:
        return f"{self.children['head']!r}, weight={self.weight}"


def taps(model: Layer) -> list[Tap]:
    """All taps of a model, in order."""
    return [layer for _, layer in model.named_layers() if isinstance(layer, Tap)]


def _added(ys: list[Any]) -> Any:
    return ys[0] if len(ys) == 1 else pycnn.add_n(ys)


def _check_same_shape(layer: Layer, ys: Sequence[Any]) -> None:
    if len({y.shape for y in ys}) > 1:
        listed = ", ".join(f"{n} {y.shape}" for n, y in zip(layer.children, ys, strict=True))
        raise ValueError(f"branches give different shapes: {listed}")


def _check_apart(layer: Layer) -> None:
    """A layer keeps one input for its gradient, so it can stand in one place only."""
    places: dict[int, str] = {}
    for path, one in layer.named_layers():
        if id(one) in places:
            raise ValueError(
                f"the same layer stands at {places[id(one)]} and at {path}; allowed: once"
            )
        places[id(one)] = path
