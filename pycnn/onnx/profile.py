"""What a node took."""

from dataclasses import dataclass
from typing import Any

from pycnn.onnx.graph import Node
from pycnn.runtime.active import active_backend


@dataclass(frozen=True)
class Record:
    """A node of one call.

    Attributes
    ----------
    what, name : str
        Types of what was fused, and the node's name.
    seconds : float
        Until its result was there; those of a body are also in those of the node that runs it.
    nbytes : int
        Of its inputs and outputs, each once.
    shapes : tuple
        Of its inputs.
    by : str
        The backend whose kernels or CPU path computed it, or the array library.
    """

    what: str
    name: str
    seconds: float
    nbytes: int
    shapes: tuple[tuple[int, ...], ...]
    by: str

    def __str__(self) -> str:
        shapes = ", ".join("x".join(map(str, shape)) or "scalar" for shape in self.shapes)
        return (
            f"{self.seconds * 1e6:9.0f} us {self.nbytes:12} B  {self.by:9}  {self.what} ({shapes})"
        )


def record(node: Node, inputs: list[Any], outputs: tuple[Any, ...], seconds: float) -> Record:
    """What is told of a node that ran."""
    given = [a for a in inputs if hasattr(a, "nbytes")]
    arrays = [*given, *(a for a in outputs if hasattr(a, "nbytes"))]
    on_device = any(hasattr(a, "get") for a in arrays)
    by = "cuda" if on_device else active_backend()
    if not node.operator.kernels:
        by = "cupy" if on_device else "numpy"
    shapes = tuple(tuple(a.shape) for a in given)
    return Record(node.what, node.name, seconds, sum(a.nbytes for a in arrays), shapes, by)
