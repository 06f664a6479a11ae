"""Operations noted as they run, to be run again on memory that was planned once.

A `Recorder` is told of every operation of a run and keeps where in memory its arrays lie: in an
input, in what is the same in every run, or in the result of an earlier operation. `Static` gives
all of them places in one arena, which arrays share that are not needed at a time.
"""

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pycnn.define.out import address, span
from pycnn.reference.cpu._common import quietly
from pycnn.runtime.backends import executor
from pycnn.runtime.plan import Plan, Transform
from pycnn.runtime.replay import Piece, array_in, memory, place, prepared, split

Step = Callable[[], Any]


@dataclass(eq=False)
class Root:
    """Memory that arrays of a run lie in, from `begin` to `end`.

    Attributes
    ----------
    piece : Piece
        From the first to the last operation that needs it.
    constant : bool
        Whether it holds the same in every run.
    used : bool
        Whether an operation reads or writes it.
    where, offset
        Its memory in later runs, and where it begins there; None: of a constant, where it is.
    """

    begin: int
    end: int
    piece: Piece
    constant: bool
    holder: Callable[[], Any]
    used: bool = False
    where: Any = None
    offset: int = 0

    @classmethod
    def of(cls, array: Any, now: int = 0, constant: bool = False) -> "Root":
        begin, end = span(array)
        holder = (lambda: array) if constant else _weak(array)
        return cls(begin, end, Piece(end - begin, now, now), constant, holder)

    def place(self, array: Any) -> "Place":
        """Where in it an array lies."""
        given = array if self.constant else None
        return Place(
            self, address(array) - self.begin, array.shape, array.dtype, array.strides, given
        )


@dataclass(eq=False)
class Place:
    """An array of a run: what it is, and where in its root."""

    root: Root
    offset: int
    shape: tuple[int, ...]
    dtype: Any
    strides: tuple[int, ...]
    given: Any  # of a constant the array itself

    def array(self, library: Any) -> Any:
        """Its counterpart in later runs."""
        root = self.root
        if root.where is None:
            return self.given
        first = root.offset + self.offset
        return array_in(library, root.where, first, self.shape, self.dtype, self.strides)


@dataclass(eq=False)
class Ran:
    """An operation of a run, and the places of its operands and results."""

    operation: Any
    call: Any
    arrays: Mapping[str, Place | None]
    results: Mapping[str, Place]


class Recorder:
    """Notes the operations of a run; `note` is for `pycnn.define.trace.RECORDER`.

    Parameters
    ----------
    in_place : bool, default False
        Whether an operation may write into `out`: into memory that nothing else has written to.
    """

    def __init__(self, in_place: bool = False) -> None:
        self.steps: list[Ran] = []
        self.roots: list[Root] = []
        self._in_place = in_place

    def add(self, array: Any, constant: bool = False) -> Root:
        """Memory that no operation of the run makes."""
        self.roots.append(Root.of(array, len(self.steps), constant))
        return self.roots[-1]

    def place(self, name: str, array: Any) -> Place:
        """Where an array lies, which is needed now.

        Raises
        ------
        ValueError
            If no operation has made it, and it is neither an input nor a constant.
        """
        begin, end = span(array)
        root = self._root(begin, end)
        if root is None:
            raise ValueError(
                f"{name} is made by no operation of pycnn, and could not be computed again for "
                "another input; allowed in a compiled model: its input, parameters, buffers, "
                "results of operations, and views of them"
            )
        root.used, root.piece.last = True, len(self.steps)
        return root.place(array)

    def note(
        self,
        operation: Any,
        call: Any,
        arrays: Mapping[str, Any],
        out: Any,
        results: Mapping[str, Any],
    ) -> None:
        """An `Operation`, its `Call`, and what `Operation.run` got and computed."""
        refused = {
            "with out": out is not None and not self._in_place,
            "looks at values": call.checks,
            "updates its operands": any(new in results for new in operation.updates.values()),
            "has an empty result": not all(spec.nbytes for spec in call.outputs.values()),
        }
        for what, holds in refused.items():
            if holds:
                raise ValueError(f"{operation.name} {what}; not allowed in a compiled model")
        places = {
            name: None if array is None else self.place(f"{name} of {operation.name}", array)
            for name, array in arrays.items()
        }
        made = {}
        for name, array in results.items():
            if out is not None and array is out:
                whole = base(out)
                if self._root(*span(whole)) is None:
                    self.add(whole)
            else:
                self.add(array)
                if call.backend == "reference":  # kernels take no read-only arrays everywhere
                    array.flags.writeable = False  # what is written into it is not recorded
            made[name] = self.place(name, array)
        self.steps.append(Ran(operation, call, places, made))

    def _root(self, begin: int, end: int) -> Root | None:
        """The newest that is still there: memory is used again for other arrays."""
        for root in reversed(self.roots):
            if root.begin <= begin < end <= root.end and root.holder() is not None:
                return root
        return None


class Static:
    """The operations of a recorder on an arena.

    Attributes
    ----------
    once : list of callable
        To be run once, and again when the constants have changed.
    steps : list of list of callable
        What runs each operation; `run` runs all of them.
    nbytes : int
        Of the arena: inputs, all that is in between, and workspace.
    arena : array or memory
    launches : int
        Kernels that a run launches; on the backend ``reference``, operations.
    transforms : bool
        Whether there are Fourier transforms of a library, whose memory is not static.
    """

    def __init__(self, recorder: Recorder, library: Any, backend: str) -> None:
        ran, roots = recorder.steps, recorder.roots
        self._library = library
        moving = [root for root in roots if not root.constant]
        planned = [(now, one, plan) for now, one in enumerate(ran) for plan in one.call.plans]
        scratch = [_Scratch(library, *which) for which in planned]
        pieces = [root.piece for root in moving]
        pieces += [piece for some in scratch for piece in some.pieces.values()]
        self.nbytes = place(pieces)
        self.arena = memory(library, self.nbytes)
        for root in moving:
            root.where, root.offset = self.arena, root.piece.offset
        self.transforms = any(some.transforms for some in scratch)
        self.once: list[Step] = []
        self.steps: list[list[Step]] = []
        if backend == "reference":
            for one in ran:
                arrays, results = self._arrays(one.arrays), self._arrays(one.results)
                self.steps.append([one.operation.fixed_cpu(one.call, arrays, results)])
            self.launches = len(ran)
            return
        by: Any = executor(backend)
        self.steps = [[] for _ in ran]
        self.launches = 0
        for (now, one, plan), own in zip(planned, scratch, strict=True):
            results = {name: one.results[name] for name in plan.outputs}
            arrays = self._arrays(one.arrays) | self._arrays(results) | own.arrays(self.arena)
            once, rest = (None, plan) if own.transforms else split(plan, own.count)
            if once is not None and once.launches:
                self.once += by.bound(once, arrays)
            self.steps[now] += by.bound(rest, arrays)
            self.launches += len(rest.launches)

    def run_once(self) -> None:
        """What depends on constants alone."""
        for step in self.once:
            step()

    def captured(self) -> Any:
        """All operations as one CUDA graph, on a GPU."""
        by: Any = executor("cuda")
        return by.captured([step for some in self.steps for step in some])

    def run(self) -> None:
        """All operations, one after the other."""
        with quietly():
            for some in self.steps:
                for step in some:
                    step()

    def _arrays(self, places: Mapping[str, Place | None]) -> dict[str, Any]:
        return {name: p if p is None else p.array(self._library) for name, p in places.items()}


class _Scratch:
    """The workspace of a plan: what is made once, and what every call needs anew.

    Of a plan with Fourier transforms the library allocates a part, at every call.
    """

    def __init__(self, lib: Any, now: int, ran: Ran, plan: Plan) -> None:
        self._library, self._plan = lib, plan
        self.transforms = any(isinstance(launch, Transform) for launch in plan.launches)
        constant = {n for n, p in ran.arrays.items() if p is not None and p.root.constant}
        self.count, kept = (0, set()) if self.transforms else prepared(plan, constant)
        sizes = {} if self.transforms else {n: s.nbytes for n, s in plan.workspace.items()}
        self.pieces = {n: Piece(size, now, now) for n, size in sizes.items() if n not in kept}
        self._kept = {n: memory(lib, size) for n, size in sizes.items() if n in kept}

    def arrays(self, arena: Any) -> dict[str, Any]:
        places = {name: (arena, piece.offset) for name, piece in self.pieces.items()}
        places |= {name: (kept, 0) for name, kept in self._kept.items()}
        return {
            name: array_in(self._library, where, offset, spec.shape, spec.dtype)
            for name, (where, offset) in places.items()
            for spec in (self._plan.workspace[name],)
        }


def base(array: Any) -> Any:
    """The array that owns the memory of a view."""
    while (owner := getattr(array, "base", None)) is not None and hasattr(owner, "base"):
        array = owner
    return array


def _weak(array: Any) -> Callable[[], Any]:
    """The owner of an array's memory as long as it is there; what takes no weak reference is."""
    owner = base(array)
    try:
        return weakref.ref(owner)
    except TypeError:
        return partial(lambda kept: kept, owner)
