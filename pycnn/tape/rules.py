"""The gradient of an operation: by its own ``NAME_backward``, or made of other operations.

A definition says by its operands what its gradient needs: gradients of results, what went into
forward, what came out of it. Everything else is dropped as soon as forward is done.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import pycnn

Arrays = Mapping[str, Any]

#: From gradients of the results, and the operands that need one, to theirs by name.
Pull = Callable[[list[Any], Collection[str]], Mapping[str, Any]]

#: Operands and settings of a convolution that are computed behind the sum its gradient is for.
_FUSED = ("scale", "shift", "activation", "relu")

_BEHIND = "{} is fused behind the sum, for inference only"

#: Of those that are made of other operations, what looks at its operands.
_PRODUCTS = ("gemm", "matmul")

#: Operands that are statistics: no gradient goes there.
_STATISTICS = ("running_mean", "running_var")

#: What may stand in for an operand: positive where x is, and the next layer mostly keeps it too.
_INSTEAD = {"relu": {"x": "y"}}


class Differentiated(NamedTuple):
    """What an operation returned, how many of that have a gradient, and how to pull it back.

    `keeps` names the operands that the way back looks at.
    """

    returned: Any
    differentiable: int
    pull: Pull
    keeps: Collection[str] = ()


def differentiate(operation: Any, arrays: Arrays, settings: Mapping[str, Any]) -> Differentiated:
    """Run an operation on plain arrays, and keep what its gradient needs."""
    rule = _rules.get(operation)
    if rule is None:
        rule = _rules[operation] = _rule_of(operation)
    return rule(arrays, settings)


#: What `differentiate` does with each operation that it has met.
_rules: dict[Any, Callable[[Arrays, Mapping[str, Any]], Differentiated]] = {}


def _rule_of(operation: Any) -> Callable[[Arrays, Mapping[str, Any]], Differentiated]:
    name, backward = operation.name, f"{operation.name}_backward"
    if name not in _COMPOSED and backward in pycnn.__all__:
        return _ByGradient(operation, getattr(pycnn, backward).definition)
    why = operation.no_gradient or "that of a gradient is not computed"

    def rule(arrays: Arrays, settings: Mapping[str, Any]) -> Differentiated:
        returned = operation.run(arrays, None, **settings)
        count = len(returned) if isinstance(returned, tuple) else 1
        made = _COMPOSED[name](arrays, settings) if name in _COMPOSED else _refusing(name, why)
        return Differentiated(returned, count, made, ("a", "b") if name in _PRODUCTS else ())

    return rule


class _ByGradient:
    """By the operation ``NAME_backward``, whose operands say what it needs."""

    def __init__(self, operation: Any, gradient: Any) -> None:
        self._operation, self._gradient = operation, gradient
        ((self._dy, first),) = gradient.upstream.items()
        self._outputs = operation.results or (first, "indices")
        self._named = [o.name for o in gradient.operands]
        self._wanted = [n for n in self._named if n != self._dy]
        self._learnt = [o.name for o in operation.operands if o.name not in _STATISTICS]
        self._finds = "indices" in self._wanted and "return_indices" in operation.defaults
        own = {o.name for o in operation.operands} | {*operation.defaults}
        self._fused = [n for n in _FUSED if n in own]
        self._instead = _INSTEAD.get(operation.name, {})
        settings = {*operation.required, *operation.defaults}
        told = (*gradient.required, *gradient.defaults)
        self._same = [n for n in told if n in settings]
        self._others = [n for n in told if n not in settings]

    def __call__(self, arrays: Arrays, settings: Mapping[str, Any]) -> Differentiated:
        finds = self._finds and not settings["return_indices"]
        run = {**settings, "return_indices": True} if finds else settings
        returned = self._operation.run(arrays, None, **run)
        results = returned if isinstance(returned, tuple) else (returned,)
        for name in self._fused:
            if _is_set(self._operation, name, arrays, settings):
                refusing = _refusing(self._operation.name, _BEHIND.format(name))
                return Differentiated(returned, 1, refusing)
        everything = {**arrays, **dict(zip(self._outputs, results, strict=False))}
        wanted = self._wanted
        if settings.get("use_input_stats"):  # the running ones change, and no gradient needs them
            wanted = [n for n in wanted if n not in _STATISTICS]
        kept = {n: everything[self._instead.get(n, n)] for n in wanted}
        shapes = {n: a.shape for n, a in arrays.items() if a is not None}

        def pull(dys: list[Any], needed: Collection[str]) -> Mapping[str, Any]:
            return self._pull(dys[0], kept, shapes, settings, needed)

        keeps = [n for n in wanted if self._instead.get(n, n) in arrays]
        return Differentiated(returned[0] if finds else returned, 1, pull, keeps)

    def _pull(
        self, dy: Any, kept: Arrays, shapes: Mapping[str, Any], settings: Mapping[str, Any],
        needed: Collection[str],
    ) -> Mapping[str, Any]:  # fmt: skip
        gradient = self._gradient
        told = {**gradient.defaults, **{n: settings[n] for n in self._same}}
        for name in self._others:
            value = _setting(name, settings, shapes, needed)
            if value is not _UNKNOWN:
                told[name] = value
        given = {**kept, self._dy: dy}
        back = gradient.run({n: given.get(n) for n in self._named}, None, **told)
        back = back if isinstance(back, tuple) else (back,)
        if gradient.results:
            grads = {n.removeprefix("d"): g for n, g in zip(gradient.results, back, strict=True)}
        else:
            grads = dict(zip(self._learnt, back, strict=False))
        if "residual" in needed:
            grads["residual"] = dy
        return grads


_UNKNOWN = object()


def _setting(
    name: str, settings: Mapping[str, Any], shapes: Mapping[str, Any], needed: Collection[str]
) -> Any:
    """One that forward has not: a shape of its operands, or what to compute."""
    if name == "needs":
        return tuple(n in needed for n in ("x", "weight", "bias"))
    if name == "input_size":
        return shapes["x"][1:-1] if settings["layout"] == "NHWC" else shapes["x"][2:]
    if name == "shapes":
        return list(shapes.values())
    return shapes.get("x" if name == "shape" else name.removesuffix("_shape"), _UNKNOWN)


def _is_set(operation: Any, name: str, arrays: Arrays, settings: Mapping[str, Any]) -> bool:
    if name in arrays:
        return arrays[name] is not None
    return name in settings and settings[name] != operation.defaults[name]


def _refusing(name: str, why: str) -> Pull:
    def pull(dys: list[Any], needed: Collection[str]) -> Mapping[str, Any]:
        raise ValueError(f"{name} has no gradient: {why}")

    return pull


# --- made of other operations ---------------------------------------------------------------------


def _gemm(arrays: Arrays, settings: Mapping[str, Any]) -> Pull:
    if settings["relu"]:
        return _refusing("gemm", _BEHIND.format("relu"))
    a, b, bias = (arrays[n] for n in ("a", "b", "bias"))
    turned = settings["transpose_a"], settings["transpose_b"]
    rows, columns = (m.T if t else m for m, t in zip((a, b), turned, strict=True))

    def pull(dys: list[Any], needed: Collection[str]) -> Mapping[str, Any]:
        (dy,) = dys
        grads = {}
        if "a" in needed:
            grads["a"] = pycnn.gemm(dy, columns.T)
        if "b" in needed:
            grads["b"] = pycnn.gemm(rows.T, dy)
        if "bias" in needed:
            grads["bias"] = _summed_to(bias.shape, dy)
        for name, turn in zip("ab", turned, strict=True):
            if turn and name in grads:
                grads[name] = grads[name].T
        return grads

    return pull


def _matmul(arrays: Arrays, settings: Mapping[str, Any]) -> Pull:
    a, b = arrays["a"], arrays["b"]
    rows, columns = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)

    def pull(dys: list[Any], needed: Collection[str]) -> Mapping[str, Any]:
        (dy,) = dys
        dy = dy[..., None] if b.ndim == 1 else dy
        dy = dy[..., None, :] if a.ndim == 1 else dy
        grads = {}
        if "a" in needed:
            da = pycnn.matmul(dy, columns.swapaxes(-1, -2))
            grads["a"] = _summed_to(rows.shape, da).reshape(a.shape)
        if "b" in needed:
            db = pycnn.matmul(rows.swapaxes(-1, -2), dy)
            grads["b"] = _summed_to(columns.shape, db).reshape(b.shape)
        return grads

    return pull


def _summed_to(shape: tuple[int, ...], dy: Any) -> Any:
    """The sum over the axes along which an array of `shape` was broadcast to that of `dy`."""
    if dy.shape == tuple(shape):
        return dy
    ahead = dy.ndim - len(shape)
    along = [i for i in range(dy.ndim) if i < ahead or (shape[i - ahead] == 1 != dy.shape[i])]
    return pycnn.sum(dy, tuple(along)).reshape(shape)


def _add(arrays: Arrays, settings: Mapping[str, Any]) -> Pull:
    a, b, alpha = arrays["a"].shape, arrays["b"].shape, settings["alpha"]

    def pull(dys: list[Any], needed: Collection[str]) -> Mapping[str, Any]:
        (dy,) = dys
        if a == b and alpha == 1:
            return {"a": dy, "b": dy}
        return dict(zip("ab", pycnn.add_backward(dy, a, b, alpha=alpha), strict=True))

    return pull


def _add_n(arrays: Arrays, settings: Mapping[str, Any]) -> Pull:
    shapes = {name: array.shape for name, array in arrays.items()}

    def pull(dys: list[Any], needed: Collection[str]) -> Mapping[str, Any]:
        return {name: _summed_to(shape, dys[0]) for name, shape in shapes.items()}

    return pull


def _concat(arrays: Arrays, settings: Mapping[str, Any]) -> Pull:
    axis = settings["axis"]
    sizes = {name: array.shape[axis] for name, array in arrays.items()}

    def pull(dys: list[Any], needed: Collection[str]) -> Mapping[str, Any]:
        return dict(zip(sizes, pycnn.split(dys[0], list(sizes.values()), axis), strict=True))

    return pull


def _split(arrays: Arrays, settings: Mapping[str, Any]) -> Pull:
    def pull(dys: list[Any], needed: Collection[str]) -> Mapping[str, Any]:
        return {"x": pycnn.concat(dys, settings["axis"])}

    return pull


def _permute(arrays: Arrays, settings: Mapping[str, Any]) -> Pull:
    rank, axes = arrays["x"].ndim, settings["axes"]
    order = [a % rank for a in axes] if axes is not None else list(reversed(range(rank)))
    return _one(lambda dy: pycnn.permute(dy, [order.index(i) for i in range(rank)]))


def _channel_shuffle(arrays: Arrays, settings: Mapping[str, Any]) -> Pull:
    layout = settings["layout"]
    channels = arrays["x"].shape[1 if layout == "NCHW" else -1]
    return _one(lambda dy: pycnn.channel_shuffle(dy, channels // settings["groups"], layout=layout))


def _reverse(name: str) -> Callable[[Arrays, Mapping[str, Any]], Pull]:
    """By an operation that takes the same settings, if by another name."""

    def rule(arrays: Arrays, settings: Mapping[str, Any]) -> Pull:
        extent, *order = (v for n, v in settings.items() if n != "layout")
        inverse = getattr(pycnn, name)
        return _one(lambda dy: inverse(dy, extent, *order, layout=settings["layout"]))

    return rule


def _unfold(arrays: Arrays, settings: Mapping[str, Any]) -> Pull:
    extents = arrays["x"].shape[-2:]
    return _one(lambda dy: pycnn.fold(dy, extents, **settings))


def _fold(arrays: Arrays, settings: Mapping[str, Any]) -> Pull:
    rest = {n: v for n, v in settings.items() if n != "output_size"}
    return _one(lambda dy: pycnn.unfold(dy, **rest))


def _one(function: Callable[[Any], Any]) -> Pull:
    """Of one operand x and one result."""
    return lambda dys, needed: {"x": function(dys[0])}


_COMPOSED: dict[str, Callable[[Arrays, Mapping[str, Any]], Pull]] = {
    "add": _add,
    "add_n": _add_n,
    "channel_shuffle": _channel_shuffle,
    "concat": _concat,
    "depth_to_space": _reverse("space_to_depth"),
    "fold": _fold,
    "gemm": _gemm,
    "matmul": _matmul,
    "permute": _permute,
    "pixel_shuffle": _reverse("pixel_unshuffle"),
    "pixel_unshuffle": _reverse("pixel_shuffle"),
    "space_to_depth": _reverse("depth_to_space"),
    "split": _split,
    "unfold": _unfold,
}
