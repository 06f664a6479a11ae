"""`pycnn.explain`: what a call would be computed by, and why, with nothing computed.

All of it is asked of what makes the plans: the choices of the definition (`pycnn.plan.choice`), the
plans themselves, and for a GPU by name the model of `pycnn.predict`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

import pycnn
from pycnn.define.call import Call
from pycnn.define.operation import Operation
from pycnn.define.views import View
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan._chunks import in_brief
from pycnn.plan.choice import Candidate, Choice
from pycnn.runtime.active import active_backend
from pycnn.runtime.plan import Launch, Plan, Transform
from pycnn.runtime.target import ANY, Target, planned_for, target, target_here
from pycnn.runtime.text import did_you_mean


@dataclass(frozen=True)
class Way:
    """An algorithm for one result.

    Attributes
    ----------
    algo : str
    taken : bool
        Whether ``auto`` takes it.
    fits : bool
    reason : str
        Why it stands where it stands, or what is in the way where it does not fit.
    by_name : bool
        Whether ``auto`` never takes it.
    score : float, optional
        By which ``auto`` orders those without an estimate, the highest first; None where it goes
        by a rule.
    estimated_us : float, optional
        By which ``auto`` orders those that have it, before all others: predicted for what it is
        planned for, from the plan alone (docs/model.md).
    workspace_bytes : int
    kernels : tuple of str
        What is launched, in order; of chunks of images that are alike it is told once, with how
        often.
    measured_us : float, optional
        By ``pycnn tune``, on this machine.
    predicted_us : float, optional
        Predicted, not measured; of the GPU that was named.
    bound : str
        What the longest launch is predicted to be bound by.
    """

    algo: str
    taken: bool
    fits: bool
    reason: str
    by_name: bool = False
    score: float | None = None
    estimated_us: float | None = None
    workspace_bytes: int = 0
    kernels: tuple[str, ...] = ()
    measured_us: float | None = None
    predicted_us: float | None = None
    bound: str = ""


@dataclass(frozen=True)
class Result:
    """One result of a call and the ways to it, in the order in which ``auto`` tries them.

    Attributes
    ----------
    name : str
    ways : tuple of Way
    """

    name: str
    ways: tuple[Way, ...]

    @property
    def taken(self) -> Way | None:
        """What ``auto`` takes."""
        return next((way for way in self.ways if way.taken), None)


@dataclass(frozen=True)
class Explanation:
    """What `explain` found; prints as a text.

    Attributes
    ----------
    op : str
    dtype : str
    shapes : mapping of str to tuple of int
    place : str
        What it is planned for.
    results : tuple of Result
    predicted_on : str
        The GPU that times are predicted for; empty where none are.
    """

    op: str
    dtype: str
    shapes: Mapping[str, tuple[int, ...]]
    place: str
    results: tuple[Result, ...]
    predicted_on: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values that `json` can write."""
        return asdict(self)

    def __str__(self) -> str:
        shapes = ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())
        lines = [f"{self.op} {self.dtype}, {shapes}; for {self.place}"]
        if self.predicted_on:
            lines.append(f"times are PREDICTED for {self.predicted_on}, nothing of it measured")
        for result in self.results:
            taken = result.taken
            lines.append(f"{result.name}: auto takes {taken.algo if taken else 'nothing'}")
            ways = sorted(result.ways, key=lambda way: (not way.taken, not way.fits, way.by_name))
            lines += [f"  {line}" for way in ways for line in _said(way)]
        return "\n".join(lines)


def _said(way: Way) -> list[str]:
    facts = [] if way.fits else ["refused"]
    if way.by_name:
        facts.append("by name alone")
    if way.estimated_us is not None:
        facts.append(f"estimated {way.estimated_us:.1f} us")
    elif way.score is not None and not way.by_name and way.fits:
        facts.append(f"score {way.score:g}")
    if way.measured_us is not None:
        facts.append(f"measured {way.measured_us:.1f} us")
    if way.predicted_us is not None:
        facts.append(f"predicted {way.predicted_us:.1f} us, bound by {way.bound}")
    if way.workspace_bytes:
        facts.append(f"workspace {way.workspace_bytes} bytes")
    mark = "*" if way.taken else " "
    told = f"{mark} {way.algo}" + (f" ({'; '.join(facts)})" if facts else "")
    kernels = [f"    {kernel}" for kernel in way.kernels] if way.taken else []
    return [f"{told}: {way.reason}" if way.reason else told, *kernels]


def explain(
    op: str | Callable[..., Any],
    *operands: Any,
    gpu: str | None = None,
    dtype: Any = "float32",
    **settings: Any,
) -> Explanation:
    """Which algorithms compute a call, which of them ``auto`` takes, and why.

    Nothing is computed. Operations without a choice are explained as well: by what they launch.

    Parameters
    ----------
    op : str or function
        An operation, such as ``"conv2d"`` or `pycnn.conv2d`.
    *operands : array, or shape
        Its arrays, in order; or their shapes, of contiguous arrays.
    gpu : str, optional
        Plan for this GPU, such as ``"h200"``, and predict times for it (docs/model.md), which takes
        seconds where it was not done before. Default: the GPU here, or what the emulator stands
        for, without times.
    dtype : dtype, default float32
        Of operands that are given by shape, where they may have any.
    **settings
        The other arguments of the operation; other arrays by name.

    Returns
    -------
    Explanation
        Prints as a text. Field ``results``: of each result ``name`` and ``ways``, with ``algo``,
        ``taken``, ``fits``, ``reason``, ``score``, ``estimated_us``, ``workspace_bytes``,
        ``kernels``, ``measured_us``, ``predicted_us`` and ``bound``; and a method ``as_json``.

    Raises
    ------
    TypeError, ValueError
        As the operation; or if there is no such operation or GPU.

    Examples
    --------
    >>> import pycnn
    >>> found = pycnn.explain("conv2d", (1, 3, 8, 8), (5, 3, 3, 3), padding=1)
    >>> found.results[0].taken.algo
    'direct'
    >>> str(found).splitlines()[1]
    'y: auto takes direct'
    """
    definition = _definition(op)
    arrays, others = _arrays(definition, operands, settings, dtype)
    ours = all(a is None or isinstance(a, np.ndarray) for a in arrays.values())
    on_cpu = ours and active_backend() == "reference"
    return explained(definition, definition.describe(arrays, **others), gpu, on_cpu)


def explained(definition: Operation, call: Call, gpu: str | None, on_cpu: bool) -> Explanation:
    """The same of a call that passed validation.

    Parameters
    ----------
    definition : Operation
    call : Call
    gpu : str or None
        As for `explain`.
    on_cpu : bool
        Whether the CPU path would compute it here.
    """
    planned, place = _place(gpu)
    predict = predictor(gpu, call)
    with planned_for(planned), in_brief():
        choices = definition.choices(call)
        results = tuple(_result(choice, predict) for choice in choices)
        if not choices:
            results = (_only(definition, call, predict),)
    if gpu is None and on_cpu:
        results += _on_cpu(definition, call)
    predicted = "" if gpu is None else place
    return Explanation(definition.name, call.dtype, call.shapes, place, results, predicted)


def _definition(op: str | Callable[..., Any]) -> Operation:
    found = getattr(op, "definition", None)
    if isinstance(op, str):
        found = getattr(getattr(pycnn, op, None), "definition", None)
    if not isinstance(found, Operation):
        near = did_you_mean(op, dir(pycnn)) if isinstance(op, str) else ""
        raise ValueError(f"op={op!r}; allowed: an operation of pycnn, or its name{near}")
    return found


def _arrays(
    definition: Operation, given: Sequence[Any], settings: Mapping[str, Any], dtype: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Operands by name, those given by shape without memory; and the other arguments."""
    if definition.takes_list:
        listed = [_array(one, None, dtype) for one in (given[0] if given else ())]
        return definition.listed(listed), dict(settings)
    names = [operand.name for operand in definition.operands]
    if len(given) > len(names):
        raise TypeError(f"{len(given)} operands of {definition.name}; allowed: {', '.join(names)}")
    both = {*names[: len(given)]} & settings.keys()
    if both:
        raise TypeError(f"{', '.join(sorted(both))} given twice; allowed: once")
    values = dict(zip(names, given, strict=False)) | {
        name: settings[name] for name in names if name in settings
    }
    lacking = [o.name for o in definition.operands if not o.optional and o.name not in values]
    if lacking:
        raise TypeError(
            f"{definition.name} without {', '.join(lacking)}; allowed: arrays or shapes"
        )
    arrays = {
        o.name: _array(values.get(o.name), o.dtypes[0] if o.dtypes else None, dtype)
        for o in definition.operands
    }
    return arrays, {name: value for name, value in settings.items() if name not in names}


def _array(value: Any, own: str | None, dtype: Any) -> Any:
    """An array as it is; for a shape one of which there is a single element in memory."""
    if value is None or hasattr(value, "shape"):
        return value
    if not isinstance(value, (tuple, list)) or not all(
        isinstance(n, int | np.integer) and n >= 0 for n in value
    ):
        raise TypeError(f"operand {value!r}; allowed: an array, or a shape, a tuple of int")
    name = own or (dtype if dtype in FLOATS else np.dtype(dtype).name)
    return unread(tuple(value), numpy_dtype(name))


def unread(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """What looks like a contiguous array of any size, none of whose elements may be read."""
    steps, step = [], dtype.itemsize
    for extent in reversed(shape):
        steps.append(step)
        step *= max(extent, 1)
    return as_strided(np.zeros(1, dtype), shape, steps[::-1], writeable=False)


def _place(gpu: str | None) -> tuple[Target, str]:
    """What it is planned for, and that in words."""
    if gpu is not None:
        from pycnn.predict import gpus

        known = gpus.gpu(gpu)
        return Target(known.arch, known.sms), known.name
    found = target() if target() != ANY else target_here()
    if found == ANY:
        return found, "any GPU"
    return found, f"{found.arch} with {found.processors} multiprocessors"


#: Time and bound of a plan, or why there are none.
Predictor = Callable[[Plan], tuple[float | None, str]]


def predictor(gpu: str | None, call: Call) -> Predictor:
    """Predicts plans of a call on a GPU by name; nothing, without one."""
    if gpu is None:
        return lambda plan: (None, "")
    from pycnn.emulator import KernelTimeoutError
    from pycnn.predict import gpus, plans
    from pycnn.runtime.errors import CompileError

    known = gpus.gpu(gpu)

    def predict(plan: Plan) -> tuple[float | None, str]:
        arrays = {name: _with_memory(view) for name, view in call.views.items()}
        try:
            found = plans.of_plans([plan], arrays, known)
        except (CompileError, KernelTimeoutError, ValueError) as error:
            return None, str(error).partition("\n")[0].partition(";")[0]
        return (None, found.skipped[0]) if found.skipped else (found.time_us, found.bound)

    return predict


def _with_memory(view: View) -> np.ndarray:
    """An array of such a view on memory that nobody has written to."""
    from pycnn.predict.sample import aligned

    dtype = numpy_dtype(view.dtype)
    if 0 in view.shape:
        return aligned(view.shape, dtype)
    reach = [(extent - 1) * step for extent, step in zip(view.shape, view.strides, strict=True)]
    first = -sum(r for r in reach if r < 0)
    room = aligned((first + sum(r for r in reach if r > 0) + 1,), dtype)
    steps = [step * dtype.itemsize for step in view.strides]
    return as_strided(room[first:], view.shape, steps)


def _result(choice: Choice, predict: Predictor) -> Result:
    taken = choice.plan("auto").algo
    return Result(
        choice.result, tuple(_way(choice, c, taken, predict) for c in choice.candidates())
    )


def _way(choice: Choice, candidate: Candidate, taken: str, predict: Predictor) -> Way:
    way = Way(
        candidate.name,
        taken=candidate.name == taken,
        fits=candidate.fits,
        reason=candidate.reason,
        by_name=candidate.by_name,
        score=candidate.score,
        estimated_us=candidate.estimated_us,
        workspace_bytes=candidate.workspace_bytes,
        measured_us=candidate.measured_us,
    )
    return _planned(way, choice.plan(candidate.name), predict) if candidate.fits else way


def _planned(way: Way, plan: Plan, predict: Predictor) -> Way:
    kernels = tuple(_step(step) for step in plan.launches)
    time, bound = predict(plan)
    if time is None and bound:
        reason = f"{way.reason}; not predicted: {bound}".removeprefix("; ")
        return replace(way, kernels=kernels, reason=reason)
    return replace(way, kernels=kernels, predicted_us=time, bound=bound)


def _step(step: Launch | Transform) -> str:
    if not isinstance(step, Launch):
        return f"{step.kind} by the library"
    return f"{step.kernel}, {step.times} times" if step.times > 1 else str(step.kernel)


def _only(definition: Operation, call: Call, predict: Predictor) -> Result:
    """Of an operation that is computed in one way."""
    plans = definition.plan(call)
    plans = (plans,) if isinstance(plans, Plan) else plans
    name = ", ".join(call.outputs)
    ways = []
    for plan in plans:
        only = Way(plan.algo, taken=True, fits=True, reason="there is no other")
        ways.append(_planned(only, plan, predict))
    return Result(name, tuple(ways))


def _on_cpu(definition: Operation, call: Call) -> tuple[Result, ...]:
    """The methods of the CPU path, which computes NumPy arrays here; its own choice first."""
    found = definition.cpu_methods(call)
    ways = tuple(
        Way(c.name, i == 0, c.fits, c.reason, c.by_name, measured_us=c.measured_us)
        for i, c in enumerate(found)
    )
    return (Result(f"{', '.join(call.outputs)} on the CPU path", ways),) if ways else ()
