"""Layers that are one operation and learn nothing: their arguments are its settings."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import pycnn
from pycnn.define.public import SYNONYMS
from pycnn.nn.arguments import arguments_text, fixed
from pycnn.nn.layer import Layer


class Function(Layer):
    """One operation whose settings never change.

    ``class Tanh(Function, operation="tanh")`` takes the arguments of `pycnn.tanh` that are no
    arrays, by the same names, in the same order and with the same defaults; and ``dim`` for
    ``axis``, ``keepdim`` for ``keepdims``.
    """

    operation: ClassVar[Callable[..., Any]]
    #: Settings of the operation that are not for the caller to choose.
    without: ClassVar[tuple[str, ...]] = ()
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, operation: str = "", **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if not operation:
            return
        function = getattr(pycnn, operation)
        cls.operation = staticmethod(function)
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

    def compute(self, x: Any) -> Any:
        return type(self).operation(x, **self.settings)

    def describe(self) -> str:
        return arguments_text(self, self.settings)
