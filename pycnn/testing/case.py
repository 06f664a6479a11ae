"""One problem of an operation: shapes of its arrays, and the settings it is called with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Case:
    """A row of the table of cases, from which tests and benchmarks are made.

    Attributes
    ----------
    name : str
        Short, unique within an operation; part of the test's name.
    shapes : mapping of str to tuple of int
        Shape of every array that goes in, by the operand's name; optional ones may be absent.
    settings : mapping of str to object
        Every other argument that differs from its default.
    standard : bool
        The layer on which memory traffic is counted and the bench measures: a real one, of a size
        that the emulator finishes in seconds. Such a case is not tested in every dtype and view.
    """

    name: str
    shapes: Mapping[str, Shape]
    settings: Mapping[str, Any] = field(default_factory=dict)
    standard: bool = False

    def __str__(self) -> str:
        return self.name
