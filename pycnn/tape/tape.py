"""The tape: what was computed, in order, and the way back."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np

import pycnn
from pycnn.define.pullback import pullback_of
from pycnn.define.record import base
from pycnn.dtypes import numpy_dtype
from pycnn.reference.cpu._common import aloud, quietly
from pycnn.runtime.context import held
from pycnn.tape.rules import Way
from pycnn.tape.variable import Variable, plain

#: Arrays that `pycnn.add_n` takes at once.
MOST = 8

#: Elements of an array by which a write into it is noticed.
FEW = 64

#: Of a layer and a key: told of what has become final.
Ready = Callable[[Any, str], None]

#: Instead of a gradient: the result of a step does not depend on this operand.
UNUSED = object()


#: From gradients of the results, and the operands that need one, to theirs by name.
Pull = Callable[[list[Any], tuple[str, ...]], Mapping[str, Any]]


class _Node(NamedTuple):
    """One step: slots of operands and results, the forms of several, the way back, and by whom."""

    name: str
    operands: Mapping[str, int]
    results: tuple[int, ...]
    forms: tuple[Any, ...]
    pull: Pull
    place: Any


#: Of all its fields: a namedtuple's own way takes a function of Python's.
_node = partial(tuple.__new__, _Node)

_recording: ContextVar["Tape | None"] = ContextVar("pycnn_tape", default=None)

#: The innermost tape that layers put their parameters on, or None.
recording = _recording.get


def not_recording() -> AbstractContextManager[None]:
    """Layers inside put nothing on the tape that records."""
    return held(_recording, None)


class Tape:
    """Follows arrays through operations, and computes gradients.

    ``with pycnn.grad() as tape:`` layers that are called inside put their parameters on it; `watch`
    puts an array there. Outside, it goes on to follow what is on it already.

    A tape is used once: on its way back it drops what forward has kept, step by step. That is kept
    as it is, without copies; where inputs or weights in NumPy arrays have been written into since,
    the way back is an error, as far as a few of their elements show it (of an array on a GPU none).
    `Layer.forward`, which has a tape of its own, is refused inside.

    Parameters
    ----------
    precision : {"float16", "bfloat16"}, optional
        Layers compute in it: parameters and inputs in float32 are converted once, and gradients of
        parameters come back in float32. Normalisations, softmax and losses stay in float32. With
        float16 the loss has to be scaled, see `pycnn.nn.LossScale`.

    Raises
    ------
    ValueError
        If `precision` is none of these.

    References
    ----------
    A. Griewank, A. Walther, "Evaluating derivatives", 2008, chapter 3 (reverse mode).
    P. Micikevicius et al., "Mixed precision training", 2018 (`precision`).

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> from pycnn import nn
    >>> layer = nn.Linear(3, 2)
    >>> with pycnn.grad() as tape:
    ...     loss = pycnn.sum(pycnn.relu(layer(np.ones((1, 3), np.float32))))
    >>> tape.backward(loss)
    >>> layer.grads["weight"].shape
    (2, 3)
    """

    def __init__(self, precision: str | None = None) -> None:
        if precision not in (None, "float16", "bfloat16"):
            raise ValueError(f"precision={precision!r}: allowed are float16, bfloat16, None")
        #: What layers compute in, or None: what they get.
        self.precision = None if precision is None else numpy_dtype(precision)
        self._converted: dict[int, Variable] = {}
        self._nodes: list[_Node] = []
        #: Slots of what came from outside; of such arrays that are kept, a few elements.
        self._given: set[int] = set()
        self._marks: dict[int, tuple[str, Any, bytes, Any]] = {}
        self._slots = 0
        self._parameters: dict[int, tuple[Variable, list[tuple[Any, str]]]] = {}
        self._entered: list[Token[Tape | None]] = []
        self._used = False
        #: The layer that computes now and the outermost around it, for errors on the way back.
        self.place: Any = None

    def __enter__(self) -> Self:
        self._entered.append(_recording.set(self))
        return self

    def __exit__(self, *exc: object) -> None:
        _recording.reset(self._entered.pop())

    # --- forward ------------------------------------------------------------------------

    def watch(self, array: Any) -> Variable:
        """`array`, to be followed from here on.

        Raises
        ------
        TypeError
            If it is no array of floating-point numbers.
        """
        if isinstance(array, Variable):
            self._check_own("the array", array)
            return array
        kind = getattr(getattr(array, "dtype", None), "kind", None)
        if kind not in ("f", "V"):  # V: bfloat16
            what = f"of dtype {array.dtype}" if kind else f"of type {type(array).__name__}"
            raise TypeError(f"what is to be watched is {what}; allowed: a floating-point array")
        return self._from_outside(np.asarray(array) if isinstance(array, np.generic) else array)

    def parameter(self, layer: Any, key: str, array: Any, stored: bool = False) -> Variable:
        """A parameter of a layer; one array is one variable, however many layers share it.

        In the precision of the tape, unless it is wanted as it is `stored`.
        """
        known = self._parameters.get(id(array))
        if known is None:
            known = self._parameters[id(array)] = self._from_outside(array), []
        variable, owners = known
        if (layer, key) not in owners:
            owners.append((layer, key))
        if stored or self.precision is None or layer.full_precision:
            return variable
        if array.dtype.name != "float32":
            raise ValueError(
                f"{key} is {array.dtype.name}; allowed on a tape in {self.precision.name}: "
                "float32, which stays what is trained"
            )
        if variable.slot not in self._converted:
            self._converted[variable.slot] = self.convert(variable, self.precision)
        return self._converted[variable.slot]

    @staticmethod
    def convert(array: Any, dtype: Any) -> Any:
        """`array` in `dtype`, if it is in another one that networks compute in; else itself."""
        kind = getattr(array, "dtype", None)
        if kind is None or kind == dtype or kind.name not in ("float16", "bfloat16", "float32"):
            return array
        return array.astype(dtype)

    def record(self, operation: Any, arrays: Mapping[str, Any], out: Any, settings: Any) -> Any:
        """Run an operation of which some operands are on this tape."""
        if out is not None:
            raise TypeError(f"{operation.name} with out; allowed on a tape: without")
        slots, values = {}, {}
        for name, array in arrays.items():
            values[name] = array
            if array.__class__ is Variable:
                slots[name], values[name] = array.slot, array.value
                if array.tape is not self:
                    self._check_own(name, array)
        rule = pullback_of(operation)
        run = rule.run(settings)
        call = operation.prepared(values, None, run)
        if call is None:  # of another library, whose arrays are seen anew each time
            returned, way = operation.run(values, None, **run), Way(operation, values, run)
        else:
            returned = operation.returned(call, operation.computed(call, values))
            way = call.memo.get("way")
            if way is None:
                way = call.memo["way"] = Way(operation, values, run)
        for name in way.looks_at:
            if name not in slots or slots[name] in self._given:
                self.mark(f"{name} of {operation.name}", values[name])
        results = returned if isinstance(returned, tuple) else (returned,)
        kept = {}
        for name, by, place in way.keeps:
            kept[name] = values.get(by) if place < 0 else results[place]
        pull, count = partial(way.pull, kept), 1 if rule.single else len(results)
        made = self._step(operation.name, slots, results[:count], pull)
        if returned is not results or run is not settings:  # the indices, for which nobody asked
            return made[0]
        return *made, *results[count:]

    def add(self, name: str, operands: Mapping[str, Variable], value: Any, pull: Pull) -> Variable:
        """The one result of a step that is no operation; `pull` takes its gradient alone."""
        for key, variable in operands.items():
            self._check_own(key, variable)
        value = np.asarray(value) if isinstance(value, np.generic) else value
        (made,) = self._step(name, {n: v.slot for n, v in operands.items()}, (value,), pull)
        return made

    def _step(
        self, name: str, operands: Mapping[str, int], values: Sequence[Any], pull: Pull
    ) -> list[Variable]:
        made = [*map(self._new, values)]
        forms: tuple[Any, ...] = ()
        results: tuple[int, ...] = (made[0].slot,)
        if len(made) > 1:
            forms = tuple([(value.shape, value.dtype, type(value)) for value in values])
            results = tuple([one.slot for one in made])
        self._nodes.append(_node((name, operands, results, forms, pull, self.place)))
        return made

    def _new(self, array: Any) -> Variable:
        if self._used:
            raise ValueError("the tape is used up; allowed: a new one for every way back")
        self._slots += 1
        return Variable(array, self, self._slots)

    def _from_outside(self, array: Any) -> Variable:
        variable = self._new(array)
        self._given.add(variable.slot)
        return variable

    def mark(self, name: str, array: Any) -> None:
        """Have the way back refuse to begin where `array` has been written into until then."""
        if isinstance(array, np.ndarray) and id(array) not in self._marks:
            self._marks[id(array)] = name, array, _some_of(array), self.place

    def _check_marks(self) -> None:
        for name, array, before, place in self._marks.values():
            if _some_of(array) != before:
                error = ValueError(
                    f"{name} was written into since, and its gradient would be wrong; allowed: "
                    "after the way back, or into a copy"
                )
                raise error if place is None else place[1].located(error, place[0])

    def _check_own(self, name: str, variable: Variable) -> None:
        if variable.tape is not self:
            raise ValueError(f"{name} is on another tape; allowed: arrays on one tape")

    # --- back ---------------------------------------------------------------------------

    def gradient(self, y: Variable, sources: Sequence[Any], dy: Any = None) -> list[Any]:
        """Gradients of `y` for `sources`.

        Parameters
        ----------
        y : Variable
            On this tape.
        sources : sequence of Variable or nn.Parameter
            Watched arrays, and parameters of layers, that `y` is computed from.
        dy : array, optional
            Gradient for `y`, of its shape; left out, `y` must be one number.

        Returns
        -------
        list of array or None
            One of each; None where `y` does not depend on it.

        Raises
        ------
        TypeError, ValueError
            If `y` is not on this tape, `dy` has another shape, the tape is used up, or a step on
            the way has no gradient.
        """
        if not isinstance(sources, (list, tuple)) or hasattr(sources, "_fields"):
            raise TypeError(
                f"sources is of type {type(sources).__name__}; allowed: a list of watched arrays "
                "and parameters"
            )
        slots = [self._slot(source) for source in sources]
        grads = self._back(y, dy, {*slots} - {None})
        return [None if slot is None else grads.get(slot) for slot in slots]

    def backward(self, y: Variable, dy: Any = None, ready: Ready | None = None) -> None:
        """Add the gradients of `y` for all parameters to the `grads` of their layers.

        Parameters
        ----------
        y : Variable
            On this tape.
        dy : array, optional
            Gradient for `y`, of its shape; left out, `y` must be one number.
        ready : callable, optional
            ``ready(layer, key)`` is called while the way back goes on, as soon as the gradient of
            a parameter is in ``layer.grads[key]`` and all its uses are in it: those used last
            first. Not called for parameters that `y` does not depend on.

        Raises
        ------
        TypeError, ValueError
            As of `gradient`.
        """
        self.gradients_into_layers(y, dy, [], ready)

    def gradients_into_layers(
        self, y: Any, dy: Any, sources: Iterable[Variable], ready: Ready | None = None
    ) -> list[Any]:
        """As `backward`, and as `gradient` of the sources in one go, which go without `ready`."""
        wanted = [source.slot for source in sources]
        parameters = {v.slot: owners[0] for v, owners in self._parameters.values()}
        handed = {id(base(dy))}

        def hand(slot: int, grad: Any) -> None:
            """In memory of its own: clipping writes into it."""
            (layer, key), where = parameters[slot], id(base(grad))
            layer.add_grad(key, grad.copy() if where in handed else grad)
            handed.add(where)
            if ready is not None:
                ready(layer, key)

        targets = {*wanted, *parameters}
        if ready is not None:
            self._back(y, dy, targets, hand)
            return []
        grads = self._back(y, dy, targets)
        handed |= {id(base(grads[slot])) for slot in wanted if slot in grads}
        for slot in parameters:
            if slot in grads:
                hand(slot, grads[slot])
        return [grads.get(slot) for slot in wanted]

    def _slot(self, source: Any) -> int | None:
        if isinstance(source, Variable):
            self._check_own("a source", source)
            return source.slot
        if not hasattr(source, "value"):
            raise TypeError(
                f"a source is of type {type(source).__name__}; allowed: what watch returned, and "
                "parameters of layers"
            )
        known = self._parameters.get(id(source.value))
        return None if known is None else known[0].slot

    def _back(
        self, y: Any, dy: Any, targets: set[Any], hand: Callable[[int, Any], None] | None = None
    ) -> dict[int, Any]:
        """Gradients by slot, of the targets; those that `hand` takes as soon as they are final."""
        if not isinstance(y, Variable):
            raise TypeError(
                f"y is of type {type(y).__name__}, and on no tape; allowed: what was computed from "
                "watched arrays, or by layers inside `with pycnn.grad() as tape`"
            )
        self._check_own("y", y)
        if self._used:
            raise ValueError("the tape is used up; allowed: a new one for every way back")
        start = _start(y, dy)
        self._check_marks()
        self._used = True
        for known in (self._marks, self._parameters, self._converted):
            known.clear()  # variables hold their tape: it goes at once if it does not hold them
        needed = set(targets)
        for node in self._nodes:
            if not needed.isdisjoint(node.operands.values()):
                needed.update(node.results)
        parts: dict[int, list[Any]] = {y.slot: [start]}
        kept: dict[int, Any] = {}
        ends = {} if hand is None else self._first_uses(targets)
        with quietly(np.geterr()):
            while self._nodes:
                node = self._nodes.pop()  # and with it what it has kept
                if not parts.keys().isdisjoint(node.results):
                    dys = [self._total(parts, slot, targets, kept) for slot in node.results]
                    self._through(node, dys, needed, parts)
                for slot in ends.get(len(self._nodes), ()):
                    if slot in parts and hand is not None:
                        with aloud():
                            hand(slot, self._total(parts, slot, (), kept))
        for slot in targets & parts.keys():
            total = self._total(parts, slot, (), kept)
            if hand is None:
                kept[slot] = total
            else:  # y is a parameter itself
                hand(slot, total)
        return kept

    def _first_uses(self, targets: set[Any]) -> dict[int, list[int]]:
        """By numbers of nodes, the targets that no earlier one uses."""
        seen: set[int] = set()
        first: dict[int, list[int]] = {}
        for number, node in enumerate(self._nodes):
            fresh = targets.intersection(node.operands.values()) - seen
            if fresh:
                first[number] = sorted(fresh)
                seen |= fresh
        return first

    @staticmethod
    def _through(
        node: _Node, dys: list[Any], needed: set[Any], parts: dict[int, list[Any]]
    ) -> None:
        """One step of the way back: gradients of its results go on, into `parts`, to operands."""
        wanted = tuple([name for name, slot in node.operands.items() if slot in needed])
        if not wanted:
            return
        if node.forms:
            dys = [_zeros(*s) if d is None else d for d, s in zip(dys, node.forms, strict=True)]
        try:
            grads = node.pull(dys, wanted)
            for name in wanted:
                if grads.get(name) is None:
                    raise ValueError(f"{node.name} has no gradient for {name}")
        except (TypeError, ValueError) as error:
            if node.place is None:
                raise
            root, layer = node.place
            raise layer.located(error, root) from error
        for name in wanted:
            grad, slot = grads[name], node.operands[name]
            if isinstance(grad, np.generic):
                grad = np.asarray(grad)
            came = parts.get(slot)
            if grad is UNUSED:
                continue
            if came is None:
                parts[slot] = [grad]
                continue
            came.append(grad)
            if len(came) == MOST:
                came[:] = [pycnn.add_n(came[::-1])]

    @staticmethod
    def _total(parts: dict[int, list[Any]], slot: int, targets: Any, kept: dict[int, Any]) -> Any:
        """The gradient of a result: the sum of what came from all its uses, the first one first."""
        came = parts.pop(slot, None)
        if came is None:
            return None
        total = came[0] if len(came) == 1 else pycnn.add_n(came[::-1])
        if slot in targets:
            kept[slot] = total
        return total


def _start(y: Variable, dy: Any) -> Any:
    if dy is None:
        if y.size != 1:
            raise ValueError(f"y has shape {y.shape}; allowed without dy: one number")
        dy = _zeros(y.value.shape, y.dtype, type(y.value))
        dy[...] = 1
        return dy
    dy = plain(dy)
    shape = getattr(dy, "shape", None)
    if shape != y.value.shape:
        raise ValueError(f"dy has shape {shape}; allowed: that of the result, {y.shape}")
    if dy.dtype != y.dtype:
        raise TypeError(f"dy has dtype {dy.dtype}; allowed: that of the result, {y.dtype}")
    return dy


def _some_of(array: np.ndarray) -> bytes:
    """A few elements of an array: all of them, if there are no more."""
    step = array.size // FEW | 1
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    return flat[::step].tobytes()


def _zeros(shape: Any, dtype: Any, kind: Callable[..., Any]) -> Any:
    zeros = kind(shape, dtype)
    zeros[...] = 0
    return zeros
