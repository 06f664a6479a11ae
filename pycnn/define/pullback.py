"""How the gradient of an operation is found from its definition, for arrays of whatever library.

A definition says by the operands of ``NAME_backward`` what its gradient needs: gradients of
results, what went into forward, what came out of it. Where there is no such operation, the gradient
is made of others, or there is none. `pycnn.tape` and `pycnn.torch` keep what is named here, each in
its own way, and hand it back with the functions of their library.
"""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from pycnn.define.registry import OPERATIONS

Arrays = Mapping[str, Any]
Settings = Mapping[str, Any]

#: The public function of a name, in the library of the arrays.
Functions = Callable[[str], Callable[..., Any]]

#: Operands and settings that are computed behind the sum that the gradient is for.
_FUSED = ("scale", "shift", "activation", "relu")

#: Operands that are statistics: no gradient goes there.
_STATISTICS = ("running_mean", "running_var")

#: What may stand in for an operand: positive where x is, and the next layer mostly keeps it too.
_INSTEAD = {"relu": {"x": "y"}}


class Back(NamedTuple):
    """What a gradient is computed of.

    Attributes
    ----------
    f : callable
        Gives the function of a name.
    dys : sequence of array
        Gradients of the results.
    kept : mapping of str to array
        By the names of `Pullback.keeps`.
    shapes : mapping of str to tuple of int
        Of the operands that are there.
    settings : mapping
        Those of forward.
    needed : collection of str
        Operands whose gradients are asked for.
    """

    f: Functions
    dys: Sequence[Any]
    kept: Arrays
    shapes: Mapping[str, tuple[int, ...]]
    settings: Settings
    needed: Collection[str]


class Pullback:
    """Of one operation; this one has no gradient.

    Attributes
    ----------
    results : tuple of str
        Names of what forward returns.
    single : bool
        Whether the first result alone has a gradient.
    """

    results: Sequence[str] = ()
    single = True

    def __init__(self, operation: Any) -> None:
        self.operation = operation
        own = {o.name for o in operation.operands} | {*operation.defaults}
        self._fused = [n for n in _FUSED if n in own]

    def run(self, settings: Settings) -> Settings:
        """The settings that forward is to be run with, so that all that is kept is there."""
        return settings

    def keeps(self, settings: Settings) -> Mapping[str, str]:
        """What the gradient looks at, and the operand or result of forward that is kept for it."""
        return {}

    def refusal(self, arrays: Arrays, settings: Settings) -> str:
        """Why this call has no gradient; empty where it has one."""
        return f": {self.operation.no_gradient or 'that of a gradient is not computed'}"

    def pull(self, back: Back) -> Arrays:
        """Gradients of operands by name, of those that are needed at least."""
        raise NotImplementedError

    def _behind(self, arrays: Arrays, settings: Settings) -> str:
        """Which part of the epilogue is set, and has no gradient."""
        for name in self._fused:
            default = None if name in arrays else self.operation.defaults[name]
            if arrays.get(name) is not None or settings.get(name, default) != default:
                return f": {name} is fused behind the sum, for inference only"
        return ""


class ByGradient(Pullback):
    """By the operation ``NAME_backward``."""

    def __init__(self, operation: Any, gradient: Any) -> None:
        super().__init__(operation)
        self.gradient = gradient
        ((self.dy, first),) = gradient.upstream.items()
        self.results = operation.results or (first, "indices")
        self.named = [o.name for o in gradient.operands]
        instead = _INSTEAD.get(operation.name, {})
        self._keeps = {n: instead.get(n, n) for n in self.named if n != self.dy}
        own_order = [o.name for o in operation.operands if o.name not in _STATISTICS]
        self._made = [n.removeprefix("d") for n in gradient.results] or own_order
        self._finds = "indices" in self._keeps and "return_indices" in operation.defaults
        own = {*operation.required, *operation.defaults}
        told = (*gradient.required, *gradient.defaults)
        self._same = [n for n in told if n in own]
        self._others = [n for n in told if n not in own]

    def run(self, settings: Settings) -> Settings:
        found = not self._finds or settings["return_indices"]
        return settings if found else {**settings, "return_indices": True}

    def keeps(self, settings: Settings) -> Mapping[str, str]:
        if settings.get("use_input_stats"):  # the running ones change, and no gradient needs them
            return {n: kept for n, kept in self._keeps.items() if n not in _STATISTICS}
        return self._keeps

    def refusal(self, arrays: Arrays, settings: Settings) -> str:
        return self._behind(arrays, settings)

    def told(self, back: Back) -> Settings:
        """All settings of the gradient, in order; of `back` it looks at no array."""
        gradient = self.gradient
        told = {**dict.fromkeys(gradient.required), **gradient.defaults}
        told |= {n: back.settings[n] for n in self._same}
        for name in self._others:
            value = _setting(name, back)
            if value is not _UNKNOWN:
                told[name] = value
        return told

    def grads(self, made: Any, dy: Any) -> Arrays:
        """What the gradient returned, by the names of forward's operands."""
        made = made if isinstance(made, (tuple, list)) else (made,)
        return {"residual": dy, **dict(zip(self._made, made, strict=False))}

    def pull(self, back: Back) -> Arrays:
        operands = {**dict.fromkeys(self.named), **back.kept, self.dy: back.dys[0]}
        made = back.f(self.gradient.name)(**operands, **self.told(back))
        return self.grads(made, back.dys[0])


_UNKNOWN = object()


def _setting(name: str, back: Back) -> Any:
    """One that forward has not: a shape of its operands, or what to compute."""
    shapes = back.shapes
    if name == "needs":
        return tuple(n in back.needed for n in ("x", "weight", "bias"))
    if name == "input_size":
        return shapes["x"][1:-1] if back.settings["layout"] == "NHWC" else shapes["x"][2:]
    return shapes.get("x" if name == "shape" else name.removesuffix("_shape"), _UNKNOWN)


class Composed(Pullback):
    """By other operations: a function of `Back`, which looks at `operands`."""

    single = False

    def __init__(
        self, operation: Any, made: Callable[[Back], Arrays], operands: tuple[str, ...] = ()
    ) -> None:
        super().__init__(operation)
        self._made, self._keeps = made, {name: name for name in operands}

    def keeps(self, settings: Settings) -> Mapping[str, str]:
        return self._keeps

    def refusal(self, arrays: Arrays, settings: Settings) -> str:
        return self._behind(arrays, settings)

    def pull(self, back: Back) -> Arrays:
        return self._made(back)


@functools.cache
def pullback_of(operation: Any) -> Pullback:
    """The one of an operation."""
    name = operation.name
    if name in _COMPOSED:
        return Composed(operation, *_COMPOSED[name])
    gradient = OPERATIONS.get(f"{name}_backward")
    return Pullback(operation) if gradient is None else ByGradient(operation, gradient)


# --- made of other operations ---------------------------------------------------------------------


def _turned(matrices: Any) -> Any:
    return matrices.swapaxes(-1, -2)


def _gemm(back: Back) -> Arrays:
    (dy,), s = back.dys, back.settings
    turned = {"a": s["transpose_a"], "b": s["transpose_b"]}
    rows, columns = (_turned(back.kept[n]) if turn else back.kept[n] for n, turn in turned.items())
    grads = {}
    if "a" in back.needed:
        grads["a"] = back.f("gemm")(dy, _turned(columns))
    if "b" in back.needed:
        grads["b"] = back.f("gemm")(_turned(rows), dy)
    grads = {n: _turned(grad) if turned[n] else grad for n, grad in grads.items()}
    if "bias" in back.needed:
        grads["bias"] = _summed_to(back, back.shapes["bias"], dy)
    return grads


def _matmul(back: Back) -> Arrays:
    (dy,), a, b = back.dys, back.kept["a"], back.kept["b"]
    rows, columns = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    dy = dy[..., None] if b.ndim == 1 else dy
    dy = dy[..., None, :] if a.ndim == 1 else dy
    grads = {}
    if "a" in back.needed:
        da = back.f("matmul")(dy, _turned(columns))
        grads["a"] = _summed_to(back, rows.shape, da).reshape(a.shape)
    if "b" in back.needed:
        db = back.f("matmul")(_turned(rows), dy)
        grads["b"] = _summed_to(back, columns.shape, db).reshape(b.shape)
    return grads


def _summed_to(back: Back, shape: tuple[int, ...], dy: Any) -> Any:
    """The sum over the axes along which an array of `shape` was broadcast to that of `dy`."""
    if tuple(dy.shape) == tuple(shape):
        return dy
    ahead = dy.ndim - len(shape)
    along = [i for i in range(dy.ndim) if i < ahead or (shape[i - ahead] == 1 != dy.shape[i])]
    return back.f("sum")(dy, tuple(along)).reshape(tuple(shape))


def _add(back: Back) -> Arrays:
    (dy,), a, b, alpha = back.dys, back.shapes["a"], back.shapes["b"], back.settings["alpha"]
    if a == b and alpha == 1:
        return {"a": dy, "b": dy}
    return dict(zip("ab", back.f("add_backward")(dy, a, b, alpha=alpha), strict=True))


def _add_n(back: Back) -> Arrays:
    return {name: _summed_to(back, shape, back.dys[0]) for name, shape in back.shapes.items()}


def _concat(back: Back) -> Arrays:
    axis = back.settings["axis"]
    extents = [shape[axis] for shape in back.shapes.values()]
    return dict(zip(back.shapes, back.f("split")(back.dys[0], extents, axis), strict=True))


def _split(back: Back) -> Arrays:
    return {"x": back.f("concat")(back.dys, back.settings["axis"])}


def _permute(back: Back) -> Arrays:
    rank, axes = len(back.shapes["x"]), back.settings["axes"]
    order = [a % rank for a in axes] if axes is not None else list(reversed(range(rank)))
    return {"x": back.f("permute")(back.dys[0], [order.index(i) for i in range(rank)])}


def _channel_shuffle(back: Back) -> Arrays:
    s = back.settings
    groups = back.shapes["x"][1 if s["layout"] == "NCHW" else -1] // s["groups"]
    return {"x": back.f("channel_shuffle")(back.dys[0], groups, layout=s["layout"])}


def _reverse(name: str) -> Callable[[Back], Arrays]:
    """By an operation that takes the same settings, if by another name."""

    def made(back: Back) -> Arrays:
        extent, *order = (v for n, v in back.settings.items() if n != "layout")
        return {"x": back.f(name)(back.dys[0], extent, *order, layout=back.settings["layout"])}

    return made


def _unfold(back: Back) -> Arrays:
    return {"x": back.f("fold")(back.dys[0], back.shapes["x"][-2:], **back.settings)}


def _fold(back: Back) -> Arrays:
    settings = {n: v for n, v in back.settings.items() if n != "output_size"}
    return {"x": back.f("unfold")(back.dys[0], **settings)}


#: Gradients that are no operation of their own, or need none; and the operands that they look at.
_COMPOSED: dict[str, tuple[Any, ...]] = {
    "add": (_add,),
    "add_n": (_add_n,),
    "channel_shuffle": (_channel_shuffle,),
    "concat": (_concat,),
    "depth_to_space": (_reverse("space_to_depth"),),
    "fold": (_fold,),
    "gemm": (_gemm, ("a", "b")),
    "matmul": (_matmul, ("a", "b")),
    "permute": (_permute,),
    "pixel_shuffle": (_reverse("pixel_unshuffle"),),
    "pixel_unshuffle": (_reverse("pixel_shuffle"),),
    "space_to_depth": (_reverse("depth_to_space"),),
    "split": (_split,),
    "unfold": (_unfold,),
}
