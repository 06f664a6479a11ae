"""One case that can be run anywhere: an operation, case, dtype, algorithm and view, as a string.

A failed test names it, and ``pycnn bench --case`` and ``python3 -m benchmarks.gpu.once --case`` run
it again: ``conv2d / reflect / bfloat16 / im2col``.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from pycnn.define.conv_int8 import INT8
from pycnn.define.conv_scaled import SCALED_CONV2D
from pycnn.define.gemm_scaled import SCALED_MM
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.plan import conv, conv_int8, gemm, gemm_scaled
from pycnn.runtime.plan import Kernel, Launch, Plan
from pycnn.testing import TESTED, ragged
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
    algo: str = ""  # empty for the default
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

    def inputs(
        self, generator: type[np.random.Generator] = np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Random inputs, contiguous."""
        drawn = self.tested.draw(self.case, generator(np.random.PCG64(SEED)), self.dtype)
        if self.view == UNSIGNED:
            for name in ("weight", "weight_zero_point", "b", "b_zero_point"):
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
        arrays = _lying(self.tested, self.case, self.dtype, self.view)
        plans = self.op.plan(self.op.describe(arrays, **self.settings))
        plans = (plans,) if isinstance(plans, Plan) else plans
        launches = [launch for plan in plans for launch in plan.launches]
        return tuple(x.kernel for x in launches if isinstance(x, Launch))


class _Zeros(np.random.Generator):
    """Draws what takes no time, where only shapes and dtypes are of interest."""

    def standard_normal(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        return np.zeros(() if size is None else size)


@lru_cache(maxsize=1)
def _lying(tested: Tested, case: Case, dtype: str, view: str) -> dict[str, Any]:
    """What `Problem.kernels` looks at, not at values; kept for the next algorithm."""
    problem = Problem(tested, case, dtype, view=view)
    return {name: problem.placed(array) for name, array in problem.inputs(_Zeros).items()}


def every() -> Iterator[Problem]:
    """All that kernels are run on once; some of them have algorithms that do not fit."""
    for tested in TESTED.values():
        yield from _of(tested, [case for case in cases_of(tested) if not case.standard])


def cases_of(tested: Tested) -> tuple[Case, ...]:
    """Those of an operation, and those that reach kernels and variants that they do not."""
    return (*tested.cases, *_ours(tested, ragged.CASES))


def named(word: str) -> Problem:
    """The problem that prints as `word`.

    Raises
    ------
    ValueError
        If there is no such problem.
    """
    tested = TESTED.get(word.partition(" / ")[0])
    problems = every() if tested is None else _of(tested, cases_of(tested))
    known = {str(problem): problem for problem in problems}
    if word not in known:
        near = difflib.get_close_matches(word, known, n=3, cutoff=0)
        raise ValueError(f"case {word!r}; allowed: {', '.join(map(repr, near))} and others")
    return known[word]


def _of(tested: Tested, cases: Sequence[Case]) -> Iterator[Problem]:
    for dtype in tested.op.dtypes:
        for case in cases:
            if holds(dtype, case):
                for algo in algorithms_of(tested.op):
                    yield Problem(tested, case, dtype, algo)
        for case in (tested.typical, *_ours(tested, ragged.VIEWED)):
            for view in VIEWS if tested.op.dtypes != INT8 else (*VIEWS, UNSIGNED):
                yield Problem(tested, case, dtype, view=view)
        for case, algo in _ours(tested, ragged.LARGE):
            for view in (CONTIGUOUS, UNSIGNED) if tested.op.dtypes == INT8 else (CONTIGUOUS,):
                yield Problem(tested, case, dtype, algo, view=view, large=True)


def holds(dtype: str, case: Case) -> bool:
    """Whether what a case fills in is a value of the dtype: integers hold no -1.5."""
    value = case.settings.get("value", 0)
    if dtype in FLOATS:
        return True
    with np.errstate(invalid="ignore"):
        return bool(np.asarray(value).astype(numpy_dtype(dtype)) == value)


def _ours(tested: Tested, cases: Mapping[str, tuple[T, ...]]) -> tuple[T, ...]:
    """A gradient has the cases of what it belongs to."""
    return cases.get((tested.forward if isinstance(tested, TestedGradient) else tested).op.name, ())


def algorithms_of(op: Any) -> Sequence[str]:
    """Those that the argument `algo` may ask for, and more; without a name the default, first."""
    if "algo" not in op.defaults:
        return ("",)
    if op.dtypes == INT8:
        return ("", *conv_int8.ALGORITHMS)
    if op in (SCALED_MM, SCALED_CONV2D):
        return ("", *gemm_scaled.ALGORITHMS)
    return ("", *(gemm.algorithms if op.family == "gemm" else conv.ALGORITHMS))
