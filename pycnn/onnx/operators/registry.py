"""The table of operators: by domain, type and the opset since which a function holds.

A function takes a node's inputs by position, None where one is left out, and its attributes by
name; it returns an array, or a tuple of as many as the node has outputs, or more. Two keywords are
not attributes: `outputs` is the number of a node's outputs, `scope` runs the bodies of If, Loop and
Scan.
"""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)

#: Of ONNX's own operators; there may also be written ``ai.onnx`` for it.
ONNX = ""

#: Modules beside this one, whose import fills the table.
_FAMILIES = (
    "activation",
    "arithmetic",
    "casting",
    "constant",
    "control",
    "convolution",
    "detection",
    "elementwise",
    "indexing",
    "normalisation",
    "padding",
    "pooling",
    "product",
    "quantised",
    "randomness",
    "recurrent",
    "reduction",
    "sampling",
    "sequence",
    "shaping",
    "signal",
    "softmax",
)


@dataclass(frozen=True)
class Operator:
    """A function for a type of nodes.

    Attributes
    ----------
    type, domain : str
    since : int
        The first opset whose nodes it computes.
    function : callable
    kernels : bool
        Whether it calls operations of pycnn, and so runs the kernels of the backend; others are
        NumPy's functions, or CuPy's.
    keywords : frozenset of str
        Attributes, and which of ``outputs`` and ``scope`` it takes.
    """

    type: str
    domain: str
    since: int
    function: Function
    kernels: bool
    keywords: frozenset[str]


_TABLE: dict[tuple[str, str], list[Operator]] = {}


def operator(
    *types: str, since: int = 1, domain: str = ONNX, kernels: bool = False
) -> Callable[[F], F]:
    """Register the decorated function for operator types."""

    def register(function: F) -> F:
        parameters = inspect.signature(function).parameters.values()
        keywords = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        for name in types:
            found = Operator(name, domain, since, function, kernels, keywords)
            versions = _TABLE.setdefault((domain, name), [])
            versions.append(found)
            versions.sort(key=lambda one: -one.since)
        return function

    return register


def table() -> dict[tuple[str, str], list[Operator]]:
    """Every operator by (domain, type), its newest version first."""
    for family in _FAMILIES:
        importlib.import_module(f"pycnn.onnx.operators.{family}")
    return _TABLE


def find(domain: str, type: str, opset: int) -> Operator | None:
    """The operator that computes nodes of `type` in a model of `opset`, or None."""
    domain = ONNX if domain == "ai.onnx" else domain
    versions = table().get((domain, type), [])
    return next((one for one in versions if one.since <= opset), None)
