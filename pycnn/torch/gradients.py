"""What PyTorch's autograd does with an operation: keep what its gradient needs, and ask for it.

How the gradient is found the definition says (`pycnn.define.pullback`). Where there is none, a call
that would need it is refused.
"""

from collections.abc import Mapping
from typing import Any

from pycnn.define.pullback import Back, Pullback, pullback_of
from pycnn.torch.schema import Setting


class Rule:
    """How autograd keeps and uses what one operation's gradient needs.

    Parameters
    ----------
    registered : Registered
        The operation.
    """

    def __init__(self, registered: Any) -> None:
        self.op, self._taken_apart = registered.op, registered.taken_apart
        self.names = [a.name if isinstance(a, Setting) else a for a in registered.arguments]
        self.tensors = [a for a in registered.arguments if isinstance(a, str)]
        self._pullback = pullback_of(self.op)

    def setup_context(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """As `torch.library` calls it after forward, with what went through the dispatcher."""
        tensors, settings = self._taken_apart(inputs)
        self.keep(ctx, self.names, tensors, settings, output)

    def keep(
        self, ctx: Any, places: list[str], tensors: Mapping[str, Any], settings: Any, output: Any
    ) -> None:
        """Keep what backward needs of what went in, by name, and came out.

        `places` has the name of each argument that autograd asks a gradient for.
        """
        ctx.places, rule = places, self._pullback
        outputs = output if isinstance(output, (list, tuple)) else (output,)
        ctx.refused = rule.refusal(tensors, settings)
        if ctx.refused:
            if type(rule) is not Pullback and any(ctx.needs_input_grad):  # else on the way back
                raise NotImplementedError(f"pycnn::{self.op.name} has no gradient{ctx.refused}")
            return
        ctx.set_materialize_grads(False)
        if rule.single and len(outputs) > 1:
            ctx.mark_non_differentiable(*(o for o in outputs[1:] if o is not None))
        ctx.settings = settings
        ctx.shapes = {n: t.shape for n, t in tensors.items() if t is not None}
        everything = {**tensors, **dict(zip(rule.results, outputs, strict=False))}
        ctx.kept = rule.keeps(settings)
        ctx.again = not everything.keys() >= {*ctx.kept.values()}
        if ctx.again:  # indices that were not asked for: forward is run once more
            ctx.saved, kept = [*tensors], [*tensors.values()]
        else:
            ctx.saved = [*ctx.kept]
            kept = [everything[name] for name in ctx.kept.values()]
        ctx.save_for_backward(*kept)

    def backward(self, ctx: Any, *grads: Any) -> Any:
        """Gradients at the places of what they belong to."""
        from pycnn.torch.register import functions

        if ctx.refused:
            raise NotImplementedError(f"pycnn::{self.op.name} has no gradient{ctx.refused}")
        first = grads[0][0] if isinstance(grads[0], (list, tuple)) else grads[0]
        if first is None:
            return self._handed(ctx, {})
        kept = dict(zip(ctx.saved, ctx.saved_tensors, strict=True))
        rule = self._pullback
        if ctx.again:
            outputs = functions[self.op.name](**kept, **rule.run(ctx.settings))
            everything = {**kept, **dict(zip(rule.results, outputs, strict=False))}
            kept = {name: everything[by] for name, by in ctx.kept.items()}
        needed = self._needed(ctx)
        shapes = {n: tuple(shape) for n, shape in ctx.shapes.items()}
        back = Back(functions.__getitem__, [first], kept, shapes, ctx.settings, needed)
        made = rule.pull(back)
        for name in needed:
            if made.get(name) is None:
                raise NotImplementedError(
                    f"pycnn::{self.op.name} has no gradient for {name}; allowed: {name}.detach()"
                )
        return self._handed(ctx, made)

    def _needed(self, ctx: Any) -> list[str]:
        """Operands that autograd wants a gradient for."""
        if self.op.takes_list:
            return [*ctx.shapes]
        asked = zip(ctx.places, ctx.needs_input_grad, strict=False)
        return [name for name, needs in asked if needs and name in ctx.shapes]

    def _handed(self, ctx: Any, made: Mapping[str, Any]) -> tuple[Any, ...]:
        """One for each argument, without the defaults at the end that were not handed over."""
        given: list[Any] = []
        for name, needs in zip(ctx.places, ctx.needs_input_grad, strict=False):
            if self.op.takes_list and name in self.tensors:
                given.append([made.get(one) for one in ctx.shapes])
            else:
                given.append(made.get(name) if needs else None)
        return tuple(given)
