"""What a layer raises: which one it is, and why it cannot."""

from typing import Any


class LayerError(ValueError):
    """A layer cannot take its input; says which layer, and why."""

    def __init__(self, path: str, layer: Any, reason: str) -> None:
        self.path, self.layer, self.reason = path, layer, reason
        self._outermost = layer
        at = f"layer {path}, " if path else ""
        super().__init__(f"{at}{layer!r}: {reason}")

    def __reduce__(self) -> Any:
        return type(self), (self.path, self.layer, self.reason)

    def inside(self, around: Any) -> "LayerError":
        """The same error, seen from the layer around the one that it came out of."""
        names = [name for name, child in around.children.items() if child is self._outermost]
        path = ".".join(filter(None, [*names[:1], self.path]))
        return self._again(path, self.reason, around)

    def with_batch(self, shape: tuple[int, ...]) -> "LayerError":
        """The same of an input that would do, had it a batch around it."""
        reason = f"{self.reason}; an input of shape {shape} has no batch here, which x[None] has"
        return self._again(self.path, reason, self._outermost)

    def _again(self, path: str, reason: str, outermost: Any) -> "LayerError":
        error = type(self)(path, self.layer, reason)
        error._outermost = outermost
        return error


class LayerTypeError(LayerError, TypeError):
    """The same, where the reason is a type or a dtype."""


def noted(layer: Any, error: Any) -> None:
    """Have another kind of error say, in a note, in which layer it was raised."""
    at = getattr(error, "_pycnn_layer", None)
    notes = getattr(error, "__notes__", []) if at is None else error.__notes__[:-1]
    error._pycnn_layer = at = LayerError("", layer, "") if at is None else at.inside(layer)
    error.__notes__ = [*notes, f"in layer {at.path or 'itself'}, {at.layer!r}"]


def said_by(layer: Any, error: TypeError | ValueError) -> LayerError:
    """What an operation refuses, with the layer that called it."""
    kind = LayerTypeError if isinstance(error, TypeError) else LayerError
    return kind("", layer, str(error))
