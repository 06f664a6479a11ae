"""Whoever wants to know what operations run: `pycnn.nn.compile`."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Protocol


class Recorder(Protocol):
    """Is told of every operation that has run."""

    def note(
        self,
        operation: Any,
        cached: Any,
        arrays: Mapping[str, Any],
        out: Any,
        results: Mapping[str, Any],
    ) -> None:
        """An `Operation`, its `CachedCall`, and what `Operation.run` got and computed.

        What it raises is raised by the call.
        """


RECORDER: ContextVar[Recorder | None] = ContextVar("pycnn_recorder", default=None)
