"""What a computation would do, without doing it: shapes, operations, memory.

Inside `tracing`, every operation on NumPy arrays validates its arguments and returns placeholders
of the right shape and dtype that take no memory, so that a network of any size is walked through in
milliseconds. `placeholder` makes the arrays to begin with.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from pycnn.define.call import Call
from pycnn.dtypes import numpy_dtype
from pycnn.runtime.backends import shapes_only
from pycnn.runtime.context import held


class Traced(NamedTuple):
    """One operation that would have run."""

    operation: Any  # an Operation, which imports this module
    call: Call

    @property
    def flops(self) -> int:
        """Floating-point operations; a multiply-add is two."""
        return int(self.operation.flops(self.call))


#: Is told of every operation that has run, as `Operation.run` does; what it raises the call raises.
RECORDER: ContextVar[Callable[..., None] | None] = ContextVar("pycnn_recorder", default=None)

_log: ContextVar[list[Traced] | None] = ContextVar("pycnn_trace", default=None)


@contextmanager
def tracing() -> Iterator[list[Traced]]:
    """Compute nothing inside; the list fills with the operations, in order.

    Examples
    --------
    >>> import pycnn
    >>> from pycnn.define.trace import placeholder, tracing
    >>> with tracing() as log:
    ...     y = pycnn.conv2d(placeholder((8, 3, 224, 224)), placeholder((64, 3, 7, 7)), stride=2)
    >>> y.shape, log[0].operation.name, log[0].flops
    ((8, 64, 109, 109), 'conv2d', 1788423168)
    """
    log: list[Traced] = []
    with held(_log, log), shapes_only():
        yield log


def note(operation: Any, call: Call) -> None:
    """Add to the log of the innermost `tracing`."""
    log = _log.get()
    if log is not None:
        log.append(Traced(operation, call))


def is_tracing() -> bool:
    """Whether results are placeholders."""
    return _log.get() is not None


def placeholder(shape: tuple[int, ...], dtype: Any = "float32") -> np.ndarray:
    """A read-only array of zeros that takes no memory, whatever its shape."""
    kind = numpy_dtype(dtype) if isinstance(dtype, str) else np.dtype(dtype)
    return np.broadcast_to(np.zeros((), kind), shape)


def placeholders(call: Call) -> dict[str, np.ndarray]:
    """What a call would compute."""
    return {name: placeholder(spec.shape, spec.dtype) for name, spec in call.outputs.items()}


#: Classes of arrays that follow what is computed from them: of a tape, once there is one.
FOLLOWED: set[Any] = set()


def follower_of(operands: Iterable[Any]) -> Callable[..., Any] | None:
    """What runs an operation for the first operand that follows its own computation, if one does.

    It gets the operation, the arrays by name, `out` and the settings by name.
    """
    for array in operands:
        if array.__class__ in FOLLOWED:
            return array.__pycnn_operation__
    return None
