"""In which order ``auto`` tries the algorithms of convolution.

What `pycnn tune` measured to be the fastest on this very GPU comes first. Then those that no rule
(`Algorithm.score`) puts far behind, by their time on the GPU at hand as `pycnn.plan.estimate`
predicts it; then the others by rule. Where the time of the first by rule is not known, or all are
so short that the plans are not worth it, they go by rule.
"""

from collections.abc import Iterable
from math import prod
from operator import attrgetter
from typing import NamedTuple

from pycnn.plan._chunks import in_brief
from pycnn.plan.conv_algorithm import Algorithm
from pycnn.plan.conv_problem import Problem, Unsupported, bytes_of
from pycnn.plan.estimate import LITTLE, Estimate, estimate
from pycnn.runtime.measured import Measured

#: Score from which on an algorithm is not far behind.
CONTENDS = 30


class Place(NamedTuple):
    """An algorithm in the order.

    Attributes
    ----------
    algorithm : Algorithm
    score : int
        By rule.
    reason : str
    estimate : Estimate or None
        Of those that are not far behind, if there are several.
    """

    algorithm: Algorithm
    score: int
    reason: str
    estimate: Estimate | None = None


def in_order(
    algorithms: Iterable[Algorithm],
    problem: Problem,
    direction: str,
    limit: int,
    measured: Measured | None,
) -> list[Place]:
    """The algorithms of a direction, the preferred one first.

    Parameters
    ----------
    algorithms : iterable of Algorithm
    problem : Problem
    direction : str
    limit : int
        Largest workspace in bytes.
    measured : Measured or None
        Of this very problem.
    """
    places = [
        Place(algorithm, *algorithm.score(problem, direction))
        for algorithm in algorithms
        if direction in algorithm.planners
    ]
    places.sort(key=attrgetter("score"), reverse=True)
    near = len([place for place in places if place.score >= CONTENDS])
    places[:near] = _by_time(places[:near], problem, direction, limit)
    if measured:
        places.sort(key=lambda place: place.algorithm.name != measured.algo)
    return places


def _by_time(places: list[Place], problem: Problem, direction: str, limit: int) -> list[Place]:
    """The fastest first; as they are where there is no choice, or a time is not known."""
    if len(places) < 2 or prod(problem.y.shape) * problem.channels * problem.taps < LITTLE:
        return places
    bytes_ = bytes_of(problem)
    timed: list[Place] = []
    others: list[Place] = []
    for place in places:
        try:
            with in_brief():
                plan = place.algorithm.plan(problem, direction, limit)
        except Unsupported:
            others.append(place)
            continue
        found = estimate(plan, bytes_)
        if found is None and not timed:
            return places  # it would be taken by rule
        if found is None:
            others.append(place)
        else:
            timed.append(place._replace(estimate=found))
    timed.sort(key=lambda place: place.estimate.time_us if place.estimate else 0.0)
    return [*timed, *others]
