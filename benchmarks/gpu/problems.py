"""Which problems are run on a GPU, and in which order."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from pycnn.runtime.extras import MissingExtra
from pycnn.runtime.plan import Kernel
from pycnn.testing.problem import Problem


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
            if not problem.algo:
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
    known, problems = set(seen), []
    for problem, launched in kernels.items():
        new = set(map(of, launched)) - known
        if new:
            problems.append(problem)
            known |= new
    return problems
