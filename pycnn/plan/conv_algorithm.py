"""What an algorithm of convolution is: one object, in the module that plans it.

`pycnn.plan.conv.ALGORITHMS` lists them. Everything that asks for algorithms (``algo=``, ``auto``,
`pycnn.conv2d_algorithms`, the bench, the tests) goes by that list and by what stands here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pycnn.plan._epilogue import IDENTITY
from pycnn.plan.conv_problem import Problem, Unsupported
from pycnn.runtime.plan import ArraySpec, Plan

#: Makes a plan within a workspace limit in bytes, by `planned`; raises `Unsupported`.
Planner = Callable[[Problem, int], Plan]

#: From problem and direction: how soon ``auto`` tries it, and why, in words, in which ``{sizes}``
#: stands for `in_words`.
Score = Callable[[Problem, str], tuple[int, str]]

#: Outputs a group below which most threads of a tile are idle; and outputs a group and terms of
#: their sums from which on a matrix product pays for making columns. Rules of thumb, not yet
#: measured on a GPU.
FEW, MANY, LONG = 8, 64, 256


@dataclass(frozen=True)
class Algorithm:
    """One way to compute convolutions.

    Attributes
    ----------
    name : str
    planners : mapping of str to Planner
        By direction: ``"forward"``, ``"backward_input"``, ``"backward_weight"``,
        ``"backward_bias"``; those that it has.
    score : Score
        The highest is tried first. What ``auto`` should reach only if nothing else fits has less
        than zero.
    spatial : int
        Most spatial axes that it takes.
    finishes_dx : bool
        Whether its ``"backward_input"`` can end with an epilogue, as transposed convolution does.
    by_name : bool
        Whether ``auto`` never takes it, even if nothing else fits.
    """

    name: str
    planners: Mapping[str, Planner]
    score: Score
    spatial: int = 2
    finishes_dx: bool = True
    by_name: bool = False

    def plan(
        self,
        problem: Problem,
        direction: str,
        limit: int,
        op: str | None = None,
        output: ArraySpec | None = None,
    ) -> Plan:
        """The plan of a direction that it has; parameters as those of `pycnn.plan.conv.plan`.

        Raises
        ------
        Unsupported
            If it cannot compute the problem within the limit.
        """
        if problem.spatial > self.spatial:
            raise Unsupported(f"{problem.spatial} spatial axes; allowed: {self.spatial}")
        plain = direction != "backward_input" or problem.epilogue == IDENTITY
        if not plain and not self.finishes_dx:
            raise Unsupported("an epilogue after the gradient; allowed: none")
        plan = self.planners[direction](problem, limit)
        outputs = plan.outputs if output is None else dict.fromkeys(plan.outputs, output)
        return replace(plan, op=op or plan.op, algo=self.name, outputs=outputs)


def unlimited(planner: Callable[[Problem], Plan]) -> Planner:
    """For what needs no workspace to speak of."""
    return lambda problem, limit: planner(problem)


def product(problem: Problem, direction: str) -> tuple[int, int]:
    """The convolution as a matrix product: outputs a group, and terms of each sum."""
    outputs, terms = problem.filters, problem.channels
    if direction == "backward_input":
        outputs, terms = terms, outputs
    return outputs, terms * problem.taps


def in_words(problem: Problem, direction: str) -> str:
    """The same, as reasons begin."""
    outputs, terms = product(problem, direction)
    return f"{outputs} outputs a group of {terms} terms"
