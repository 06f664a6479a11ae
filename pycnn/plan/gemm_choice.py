"""The versions of the matrix product as `pycnn.plan.choice` has them."""

from collections.abc import Callable
from dataclasses import dataclass

from pycnn.plan.choice import Candidate
from pycnn.plan.gemm import AUTOMATIC, VERSIONS, chosen, gemm_launch
from pycnn.plan.gemm_problem import Gemm
from pycnn.runtime.plan import Buffer, Plan

#: What is special about versions that "auto" leaves to who asks for them.
OTHERS = {"tf32": "rounds float32 to TF32", "tf32x3": "three products of TF32"}
OTHERS["wgmma_tf32"] = OTHERS["tf32"]


@dataclass(frozen=True)
class Multiplying:
    """A product, and how it is planned by a version's name."""

    result: str
    problem: Gemm
    by: Callable[[str], Plan]

    @property
    def key(self) -> str:
        return key_of(self.problem)

    def candidates(self) -> list[Candidate]:
        return candidates(self.problem)

    def plan(self, algo: str) -> Plan:
        return self.by(algo)


def key_of(problem: Gemm) -> str:
    """Names a product, but for what happens to the sums at the end.

    Examples
    --------
    >>> key_of(Gemm(2, 3, 4, "float32", a=(0, 0, 4, 1), b=(0, 0, 3, 1), c=(0, 0, 3, 1)))
    'gemm float32 m 2 n 3 k 4 a 0,0,4,1 b 0,0,3,1 c 0,0,3,1 batch 1,1'
    """
    size = f"m {problem.m} n {problem.n} k {problem.k}"
    arrays = {"a": problem.a, "b": problem.b, "c": problem.c, "batch": problem.batch}
    said = [f"{name} {','.join(map(str, numbers))}" for name, numbers in arrays.items()]
    return f"gemm {problem.dtype} {size} {' '.join(said)}"


def candidates(problem: Gemm) -> list[Candidate]:
    """Every version: the one that "auto" takes, the others that it knows, then those by name."""
    taken, why = chosen(problem)
    order = [taken, *(name for name in reversed(AUTOMATIC) if name != taken)]
    order += [name for name in reversed(VERSIONS) if name not in order]
    return [_candidate(problem, name, taken, why) for name in order]


def _candidate(problem: Gemm, name: str, taken: str, why: str) -> Candidate:
    by_name = name not in AUTOMATIC
    dtypes = VERSIONS[name].dtypes
    if problem.dtype not in dtypes:
        reason = f"dtype {problem.dtype}; allowed: {', '.join(dtypes)}"
        return Candidate(name, 0, False, reason, by_name=by_name)
    try:
        gemm_launch(problem, Buffer("a"), Buffer("b"), Buffer("c"), name)
    except ValueError as error:
        return Candidate(name, 0, False, str(error), by_name=by_name)
    if name == taken:
        return Candidate(name, 0, True, why, by_name=by_name)
    reason = OTHERS.get(name, "an earlier step") if by_name else f"behind {taken}: {why}"
    return Candidate(name, 0, True, reason, by_name=by_name)
