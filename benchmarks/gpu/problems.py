"""Everything that kernels are run on once: each operation, case, dtype, algorithm and view."""

import difflib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from benchmarks.gpu import ragged
from pycnn.define.conv_int8 import INT8
from pycnn.dtypes import FLOATS
from pycnn.plan import conv, gemm
from pycnn.runtime.extras import MissingExtra
from pycnn.runtime.plan import Kernel, Launch, Plan
from pycnn.testing import TESTED
from pycnn.testing.case import Case
from pycnn.testing.tested import Tested, TestedGradient

#: Seed of the inputs: the same random numbers in every run.
SEED = 20261121

#: How inputs lie in memory: as they come, with gaps, and off the boundaries that vectors need.
CONTIGUOUS, STEPPED, MISALIGNED = "", "stepped", "misaligned"
VIEWS = (STEPPED, MISALIGNED)

#: Weights of 8 bits come signed; the kernels for unsigned ones are run on the same bits.
UNSIGNED = "unsigned weight"

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Problem:
    """A case of a definition in one dtype, by one algorithm; prints as the word that names it."""

    tested: Tested
    case: Case
    dtype: str
    algo: str = ""  # empty where there is no choice
    view: str = CONTIGUOUS
    large: bool = False  # too large for the emulator

    @property
    def op(self) -> Any:
        """The definition."""
        return self.tested.op

    def __str__(self) -> str:
        words = (self.op.name, self.case.name, self.dtype, self.algo, self.view)
        return " / ".join(filter(None, words))

    @property
    def settings(self) -> dict[str, Any]:
        """What the public function gets beside the arrays."""
        chosen = {"algo": self.algo} if self.algo else {}
        return {**self.tested.settings(self.case), **chosen}

    def inputs(self) -> dict[str, np.ndarray]:
        """Random inputs, contiguous."""
        drawn = self.tested.draw(self.case, np.random.default_rng(SEED), self.dtype)
        if self.view == UNSIGNED:
            for name in ("weight", "weight_zero_point"):
                if name in drawn:
                    drawn[name] = drawn[name].view(np.uint8)
        return drawn

    def placed(
        self, array: np.ndarray, put: Callable[[np.ndarray], Any] = lambda array: array
    ) -> Any:
        """An input as the problem wants it to lie, in the memory that `put` copies to."""
        if self.view not in VIEWS or array.ndim == 0:
            return put(array)
        if self.view == MISALIGNED:  # one element after a boundary
            base = np.zeros(array.size + 1, array.dtype)
            base[1:] = array.ravel()
            return put(base)[1:].reshape(array.shape)
        base = np.zeros([2 * extent + 1 for extent in array.shape], array.dtype)
        every_other = (slice(1, None, 2),) * array.ndim
        base[every_other] = array
        return put(base)[every_other]

    def kernels(self) -> tuple[Kernel, ...]:
        """What it launches.

        Raises
        ------
        ValueError
            If the algorithm is none of the operation's, or does not fit the case.
        """
        arrays = {name: self.placed(array) for name, array in self.inputs().items()}
        plans = self.op.plan(self.op.describe(arrays, **self.settings))
        plans = (plans,) if isinstance(plans, Plan) else plans
        launches = [launch for plan in plans for launch in plan.launches]
        return tuple(x.kernel for x in launches if isinstance(x, Launch))


def every() -> Iterator[Problem]:
    """All problems that can be thought of; some of them have algorithms that do not fit."""
    for tested in TESTED.values():
        op = tested.op
        small = [case for case in tested.cases if not case.standard]
        typical = next(c for c in small if all(0 not in shape for shape in c.shapes.values()))
        for dtype in op.dtypes:
            for case in filter(partial(_holds, dtype), (*small, *_ours(tested, ragged.CASES))):
                for algo in algorithms_of(tested.op):
                    yield Problem(tested, case, dtype, algo)
            for case in (typical, *_ours(tested, ragged.VIEWED)):
                for view in VIEWS if op.dtypes != INT8 else (*VIEWS, UNSIGNED):
                    yield Problem(tested, case, dtype, view=view)
            for case, algo in _ours(tested, ragged.LARGE):
                yield Problem(tested, case, dtype, algo, large=True)


def _holds(dtype: str, case: Case) -> bool:
    """Whether what a case fills in is a value of the dtype: integers hold no -1.5."""
    value = case.settings.get("value", 0)
    return dtype in FLOATS or bool(np.asarray(value).astype(dtype) == value)


def _ours(tested: Tested, cases: Mapping[str, tuple[T, ...]]) -> tuple[T, ...]:
    """A gradient has the cases of what it belongs to."""
    return cases.get((tested.forward if isinstance(tested, TestedGradient) else tested).op.name, ())


def algorithms_of(op: Any) -> Sequence[str]:
    """Those that the argument `algo` may ask for, and more; one without a name if there is none."""
    if "algo" not in op.defaults:
        return ("",)
    if op.family == "gemm":
        return ("auto", *gemm.algorithms)
    return ("auto", *conv.ALGORITHMS)


def by_word(words: Sequence[str]) -> list[Problem]:
    """The problems that words name.

    Raises
    ------
    ValueError
        If there is no such problem.
    """
    known = {str(problem): problem for problem in every()}
    unknown = next((word for word in words if word not in known), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, known, n=3, cutoff=0)
        raise ValueError(f"case {unknown!r}; allowed: {', '.join(map(repr, near))} and others")
    return [known[word] for word in words]


@dataclass(frozen=True)
class Selection:
    """Problems to run.

    Attributes
    ----------
    problems : list of Problem
        In an order in which the first ones launch every kernel, and then every variant of it.
    kernels : dict of Problem to tuple of Kernel
        What each of them launches.
    skipped : Counter of str
        How many cannot be tried here, by the reason.
    unfit : int
        How many ask for an algorithm that is not for them.
    """

    problems: list[Problem]
    kernels: dict[Problem, tuple[Kernel, ...]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    unfit: int = 0


def select(problems: Iterable[Problem]) -> Selection:
    """Those of `problems` that can be run, in order."""
    kernels: dict[Problem, tuple[Kernel, ...]] = {}
    skipped: Counter[str] = Counter()
    unfit = 0
    for problem in problems:
        try:
            kernels[problem] = problem.kernels()
        except MissingExtra as missing:
            skipped[str(missing)] += 1
        except ValueError:
            if problem.algo in ("", "auto"):
                kernels[problem] = ()  # it is no matter of choice, and fails when it is run
            else:
                unfit += 1
    entries = _new(kernels, lambda kernel: (kernel.file, kernel.entry))
    seen = {kernel for problem in entries for kernel in kernels[problem]}
    others = {p: launched for p, launched in kernels.items() if p not in set(entries)}
    variants = _new(others, lambda kernel: kernel, seen)
    rest = [problem for problem in others if problem not in set(variants)]
    return Selection([*entries, *variants, *rest], kernels, skipped, unfit)


def _new(
    kernels: Mapping[Problem, tuple[Kernel, ...]],
    of: Callable[[Kernel], Hashable],
    seen: Iterable[Hashable] = (),
) -> list[Problem]:
    """Those that launch what the ones before them have not."""
    known, found = set(seen), []
    for problem, launched in kernels.items():
        new = set(map(of, launched)) - known
        if new:
            found.append(problem)
            known |= new
    return found
