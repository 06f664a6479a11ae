"""What PyTorch's autograd does with an operation: our own gradient, called by its definition.

``NAME_backward`` says by its operands what it needs: gradients of results, what went into forward,
what came out of it. Where there is no such operation, the gradient is made of others
(`_COMPOSED`), or there is none, and a call that would need it is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from pycnn.define.operation import Gradient
from pycnn.define.registry import OPERATIONS
from pycnn.torch.schema import Setting, arguments_of

#: Operands and settings that forward computes with behind the sum that its gradient is for.
_FUSED = ("scale", "shift", "residual", "activation", "relu")

#: Operands that are statistics: no gradient goes there.
_STATISTICS = ("running_mean", "running_var")


class Rule:
    """How autograd keeps and uses what one operation's gradient needs.

    Parameters
    ----------
    registered : Registered
        The operation.
    """

    def __init__(self, registered: Any) -> None:
        self.op = registered.op
        self.filled = registered.filled
        self.arguments = registered.arguments
        self.names = [a.name if isinstance(a, Setting) else a for a in self.arguments]
        self.tensors = [a for a in self.arguments if isinstance(a, str)]

    def refused(self, ctx: Any, reason: str) -> None:
        """Raise where a gradient is wanted."""
        if any(ctx.needs_input_grad):
            raise NotImplementedError(f"pycnn::{self.op.name} has no gradient here: {reason}")

    def setup_context(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """As `torch.library` calls it after forward, with what went through the dispatcher."""
        ctx.places = self.names
        self.keep(ctx, dict(zip(self.names, self.filled(inputs), strict=True)), output)

    def keep(self, ctx: Any, given: Mapping[str, Any], output: Any) -> None:
        """Keep what backward needs of what went in, by name, and came out.

        `ctx.places` has the name of each argument that autograd asks a gradient for.
        """
        raise NotImplementedError

    def backward(self, ctx: Any, *grads: Any) -> Any:
        raise NotImplementedError

    def _handed(self, ctx: Any, gradients: Mapping[str, Any]) -> tuple[Any, ...]:
        """One for each argument, without the defaults at the end that were not handed over."""
        return tuple([gradients.get(name) for name in ctx.places[: len(ctx.needs_input_grad)]])


class NoGradient(Rule):
    """None at all: of integers, of places, and of a gradient itself."""

    def keep(self, ctx: Any, given: Mapping[str, Any], output: Any) -> None:
        pass

    def backward(self, ctx: Any, *grads: Any) -> Any:
        why = self.op.no_gradient or "that of a gradient is not computed"
        raise NotImplementedError(f"pycnn::{self.op.name} has no gradient: {why}")


class OurGradient(Rule):
    """By the operation ``NAME_backward``."""

    def __init__(self, registered: Any, gradient: Gradient) -> None:
        super().__init__(registered)
        self.gradient = gradient
        self.gradient_arguments = arguments_of(gradient)
        upstream = next(iter(gradient.upstream.values()))
        self.outputs = self.op.results or (upstream, "indices")
        self.wanted = [o.name for o in gradient.operands if o.name not in gradient.upstream]
        self.fused = [(n, self.op.defaults.get(n)) for n in _FUSED if n in self.names]
        self.learnt = [n for n in self.tensors if n not in _STATISTICS]

    def keep(self, ctx: Any, given: Mapping[str, Any], output: Any) -> None:
        outputs = output if isinstance(output, (list, tuple)) else [output]
        made = dict(zip(self.outputs, outputs, strict=False))
        for name, default in self.fused:
            if given[name] is not default and given[name] != default:
                self.refused(
                    ctx, f"{name} is fused behind the sum; allowed: an operation of its own"
                )
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(o for o in outputs[1:] if o is not None))
        ctx.given = {n: v for n, v in given.items() if n not in self.tensors}
        ctx.shapes = {n: _shape(given[n]) for n in self.tensors if given[n] is not None}
        wanted = self.wanted
        if given.get("use_input_stats"):  # the running ones change, and no gradient needs them
            wanted = [n for n in wanted if n not in _STATISTICS]
        ctx.kept = wanted
        ctx.again = [n for n in wanted if n not in given and n not in made]
        if ctx.again:  # indices that were not asked for: forward is run once more
            wanted = [*self.tensors]
            ctx.kept = wanted
        ctx.save_for_backward(*(given[n] if n in given else made[n] for n in wanted))

    def backward(self, ctx: Any, *grads: Any) -> Any:
        first = grads[0][0] if isinstance(grads[0], (list, tuple)) else grads[0]
        if first is None:
            none = [None] * len(ctx.shapes[self.tensors[0]]) if self.op.takes_list else None
            return self._handed(ctx, {self.tensors[0]: none})
        saved = dict(zip(ctx.kept, ctx.saved_tensors, strict=True))
        if ctx.again:
            settings = {**ctx.given, "return_indices": True}
            values = [saved.get(n) if n in self.tensors else settings[n] for n in self.names]
            saved = dict(zip(self.outputs, _through(self.op.name)(*values), strict=False))
        dy = next(iter(self.gradient.upstream))
        results = _through(self.gradient.name)(
            *(
                self._setting(ctx, a) if isinstance(a, Setting) else {**saved, dy: first}.get(a)
                for a in self.gradient_arguments
            )
        )
        if self.op.takes_list:
            return (list(results),)
        return self._placed(ctx, results)

    def _setting(self, ctx: Any, setting: Setting) -> Any:
        """One of the gradient's: a shape of forward's operands, which of them to compute, or the
        same as forward's."""
        name, shapes = setting.name, ctx.shapes
        if name in ctx.given:
            return ctx.given[name]
        if name == "needs":
            return [self._needed(ctx, n) for n in ("x", "weight", "bias")]
        if name == "input_size":
            channels_last = ctx.given["layout"] == "NHWC"
            return list(shapes["x"][1:-1] if channels_last else shapes["x"][2:])
        if name == "shapes":
            return setting.encode(shapes[self.tensors[0]])
        return shapes["x" if name == "shape" else name.removesuffix("_shape")]

    def _needed(self, ctx: Any, name: str) -> bool:
        place = ctx.places.index(name)
        return place < len(ctx.needs_input_grad) and bool(ctx.needs_input_grad[place])

    def _placed(self, ctx: Any, results: Sequence[Any]) -> tuple[Any, ...]:
        """Gradients at the places of the operands they belong to."""
        names = self.learnt
        if self.gradient.results:  # computed are those that are needed
            names = [n for n in ("x", "weight", "bias") if self._needed(ctx, n)]
        placed = dict(zip(names, results, strict=False))
        for name in self.tensors:
            if name not in placed and self._needed(ctx, name):
                raise NotImplementedError(
                    f"pycnn::{self.op.name} has no gradient for {name}; allowed: {name}.detach()"
                )
        return self._handed(ctx, {n: g for n, g in placed.items() if n in ctx.shapes})


class Composed(Rule):
    """By other operations: a function of (dy, inputs by name) that gives gradients by name."""

    def __init__(self, registered: Any, made: Callable[..., dict[str, Any]]) -> None:
        super().__init__(registered)
        self.made = made

    def keep(self, ctx: Any, given: Mapping[str, Any], output: Any) -> None:
        if given.get("relu"):
            self.refused(ctx, "relu is fused behind the sum; allowed: an operation of its own")
        ctx.given = {n: v for n, v in given.items() if n not in self.tensors}
        if self.op.takes_list:
            ctx.given["sizes"] = [_shape(tensor) for tensor in given["tensors"]]
        elif self.op.family == "gemm":
            ctx.save_for_backward(*(given[n] for n in self.tensors))
        else:
            ctx.given["shape"] = _shape(given["x"])

    def backward(self, ctx: Any, dy: Any) -> Any:
        gradients = self.made(dy, *ctx.saved_tensors, **ctx.given)
        return self._handed(ctx, gradients)


def rule_of(registered: Any) -> Rule:
    """What autograd does with an operation."""
    name = registered.op.name
    gradient = OPERATIONS.get(f"{name}_backward")
    if isinstance(gradient, Gradient):
        return OurGradient(registered, gradient)
    return Composed(registered, _COMPOSED[name]) if name in _COMPOSED else NoGradient(registered)


def _through(name: str) -> Any:
    return getattr(torch.ops.pycnn, name).default


def _shape(value: Any) -> Any:
    return [list(t.shape) for t in value] if isinstance(value, (list, tuple)) else list(value.shape)


def _gemm(
    dy: Any, a: Any, b: Any, bias: Any, transpose_a: bool, transpose_b: bool, **rest: Any
) -> dict[str, Any]:
    gemm = _through("gemm")
    rows, columns = (a.mT if transpose_a else a), (b.mT if transpose_b else b)
    da, db = gemm(dy, columns.mT), gemm(rows.mT, dy)
    return {
        "a": da.mT if transpose_a else da,
        "b": db.mT if transpose_b else db,
        "bias": None if bias is None else dy.sum_to_size(bias.shape),
    }


def _matmul(dy: Any, a: Any, b: Any) -> dict[str, Any]:
    matmul = _through("matmul")
    rows, columns = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    dy = dy.unsqueeze(-1) if b.ndim == 1 else dy
    dy = dy.unsqueeze(-2) if a.ndim == 1 else dy
    da = matmul(dy, columns.mT).sum_to_size(rows.shape)
    db = matmul(rows.mT, dy).sum_to_size(columns.shape)
    return {"a": da.reshape(a.shape), "b": db.reshape(b.shape)}


def _permute(dy: Any, axes: Any, **rest: Any) -> dict[str, Any]:
    rank = dy.ndim
    order = list(reversed(range(rank))) if axes is None else [axis % rank for axis in axes]
    return {"x": _through("permute")(dy, [order.index(axis) for axis in range(rank)])}


def _concat(dy: Any, axis: int, sizes: Any) -> dict[str, Any]:
    return {"tensors": list(dy.split([size[axis] for size in sizes], axis))}


def _channel_shuffle(dy: Any, groups: int, layout: str, shape: Any) -> dict[str, Any]:
    channels = shape[-1] if layout == "NHWC" else shape[1]
    return {"x": _through("channel_shuffle")(dy, channels // groups, layout)}


def _reverse(name: str) -> Callable[..., dict[str, Any]]:
    """By an operation that takes the same settings."""

    def made(dy: Any, shape: Any, **settings: Any) -> dict[str, Any]:
        return {"x": _through(name)(dy, *settings.values())}

    return made


def _unfold(dy: Any, shape: Any, **settings: Any) -> dict[str, Any]:
    return {"x": _through("fold")(dy, shape[-2:], *settings.values())}


def _fold(dy: Any, shape: Any, output_size: Any, **settings: Any) -> dict[str, Any]:
    return {"x": _through("unfold")(dy, *settings.values())}


#: Gradients that are no operation of their own.
_COMPOSED: dict[str, Callable[..., dict[str, Any]]] = {
    "gemm": _gemm,
    "matmul": _matmul,
    "permute": _permute,
    "concat": _concat,
    "channel_shuffle": _channel_shuffle,
    "pixel_shuffle": _reverse("pixel_unshuffle"),
    "pixel_unshuffle": _reverse("pixel_shuffle"),
    "depth_to_space": _reverse("space_to_depth"),
    "space_to_depth": _reverse("depth_to_space"),
    "unfold": _unfold,
    "fold": _fold,
}
