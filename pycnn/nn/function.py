"""Layers that are one operation and learn nothing: their arguments are its settings."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pycnn
from pycnn.define.public import SYNONYMS
from pycnn.nn.arguments import arguments_text, fixed
from pycnn.nn.layer import Layer


class Function(Layer):
    """One operation whose settings never change.

    ``class Tanh(OfInput, operation="tanh")`` takes the arguments of `pycnn.tanh` that are no
    arrays, by the same names, in the same order and with the same defaults; and ``dim`` for
    ``axis``, ``keepdim`` for ``keepdims``. The classes derived from this one say what the gradient
    needs to be told.
    """

    operation: ClassVar[Callable[..., Any]]
    backward_operation: ClassVar[Callable[..., Any]]
    #: Settings of the operation that are not for the caller to choose.
    without: ClassVar[tuple[str, ...]] = ()
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, operation: str = "", **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if not operation:
            return
        function = getattr(pycnn, operation)
        cls.operation = staticmethod(function)
        if f"{operation}_backward" in pycnn.__all__:
            cls.backward_operation = staticmethod(getattr(pycnn, f"{operation}_backward"))
        known = {*function.definition.required, *function.definition.defaults} - {*cls.without}
        parameters = inspect.signature(function).parameters.values()
        cls.__signature__ = inspect.Signature([p for p in parameters if p.name in known])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        signature = inspect.signature(type(self))
        for theirs, ours in SYNONYMS.items():
            if theirs in kwargs and ours in {*signature.parameters} - {*kwargs}:
                kwargs[ours] = kwargs.pop(theirs)
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}{signature}: {error}") from None
        bound.apply_defaults()
        self.settings: dict[str, Any] = {n: fixed(value) for n, value in bound.arguments.items()}

    def back(self, dy: Any, *kept: Any) -> Any:
        """The gradient, told the settings that it has in common with the operation."""
        backward: Any = type(self).backward_operation
        own = {*backward.definition.required, *backward.definition.defaults}
        return backward(dy, *kept, **{n: v for n, v in self.settings.items() if n in own})

    def describe(self) -> str:
        return arguments_text(self, self.settings)


class OfInput(Function):
    """Its gradient needs x."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return type(self).operation(x, **self.settings), x

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return self.back(dy, kept), {}


class OfOutput(Function):
    """Its gradient needs y."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        y = type(self).operation(x, **self.settings)
        return y, y

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return self.back(dy, kept), {}


class OfBoth(Function):
    """Its gradient needs x and y."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        y = type(self).operation(x, **self.settings)
        return y, (x, y)

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return self.back(dy, *kept), {}


class OfShape(Function):
    """Its gradient needs the shape of x alone."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return type(self).operation(x, **self.settings), x.shape

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return self.back(dy, kept), {}


class OfIndices(Function):
    """Its gradient needs where each maximum was."""

    without = ("return_indices",)

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        if not keep:
            return type(self).operation(x, **self.settings), None
        y, indices = type(self).operation(x, **self.settings, return_indices=True)
        return y, (indices, x.shape)

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return self.back(dy, *kept), {}
