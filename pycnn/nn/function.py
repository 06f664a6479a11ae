"""Layers that are one operation and learn nothing: their arguments are its settings."""

import inspect
from typing import Any, ClassVar

import pycnn
from pycnn.define.public import SYNONYMS
from pycnn.nn.arguments import bound, fixed
from pycnn.nn.layer import Layer


class OfOperation:
    """Computes by one operation of pycnn: ``class Tanh(..., operation="tanh")``."""

    operation: ClassVar[Any]

    def __init_subclass__(cls, operation: str = "", **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if operation:
            cls.operation = staticmethod(getattr(pycnn, operation))


class Function(OfOperation, Layer):
    """One operation whose settings never change.

    ``class Tanh(Function, operation="tanh")`` takes the arguments of `pycnn.tanh` that are no
    arrays, by the same names, in the same order and with the same defaults; and ``dim`` for
    ``axis``, ``keepdim`` for ``keepdims``.
    """

    #: Settings of the operation that are not for the caller to choose.
    without: ClassVar[tuple[str, ...]] = ()
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, operation: str = "", **rest: Any) -> None:
        super().__init_subclass__(operation, **rest)
        if operation:
            own = cls.operation.definition
            known = {*own.required, *own.defaults} - {*cls.without}
            parameters = inspect.signature(cls.operation).parameters.values()
            cls.__signature__ = inspect.Signature([p for p in parameters if p.name in known])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        names = inspect.signature(type(self)).parameters
        for theirs, ours in SYNONYMS.items():
            if theirs in kwargs and ours in {*names} - {*kwargs}:
                kwargs[ours] = kwargs.pop(theirs)
        settings = bound(type(self), args, kwargs)
        self.settings: dict[str, Any] = {name: fixed(value) for name, value in settings.items()}

    def compute(self, x: Any) -> Any:
        return type(self).operation(x, **self.settings)
