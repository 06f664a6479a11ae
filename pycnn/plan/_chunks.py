"""How many images at a time, within a limit on workspace."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import wraps

from pycnn.plan.conv_algorithm import Planner
from pycnn.plan.conv_problem import Problem, Unsupported, bytes_of
from pycnn.plan.estimate import estimate
from pycnn.runtime.context import held
from pycnn.runtime.plan import BRIEF, TIMES, Plan
from pycnn.shapes import ceil_div

#: Workspace that is tried first, in bytes, then twice as much and so on: of less, images of a chunk
#: fill no GPU; this much stays in the L2 cache of a large one until the next kernel reads it.
LEAST = 32 * 2**20

#: What a larger workspace leaves of the time, to be worth it; and what is taken where no estimate
#: says so.
WORTH, UNKNOWN = 0.9, 4 * LEAST


def images_at_a_time(n: int, each: int, fixed: int, limit: int) -> int:
    """Images in a chunk, so that chunks are about equal.

    Parameters
    ----------
    n : int
        Images in all, at least 1.
    each, fixed : int
        Bytes of workspace an image takes, and those that do not depend on the images.
    limit : int
        Bytes that must not be exceeded.

    Raises
    ------
    Unsupported
        If the limit does not allow a single image.

    Examples
    --------
    >>> images_at_a_time(10, each=4, fixed=6, limit=40)
    5
    """
    if fixed + each > limit:
        raise Unsupported(
            f"a single image needs {fixed + each} bytes of workspace; allowed: {limit}"
        )
    most = max(1, (limit - fixed) // max(each, 1))
    return ceil_div(n, ceil_div(n, min(n, most)))


def in_chunks(planner: Planner) -> Planner:
    """A planner that takes no more of the limit than is worth it.

    Chunks of few images leave tiles of matrix products empty, and launch more; workspace that
    takes more room than the L2 cache goes through memory. What is taken is the least workspace
    within `WORTH` of the fastest, by estimates.
    """

    @wraps(planner)
    def plan(problem: Problem, limit: int) -> Plan:
        size, brief = _enough(planner, problem, limit)
        return brief if BRIEF.get() else planner(problem, size)

    return plan


def _enough(planner: Planner, problem: Problem, limit: int) -> tuple[int, Plan]:
    """Of a workspace limit, the part that a plan is to take, and that plan in brief."""
    with in_brief():
        whole = planner(problem, limit)
        plans: dict[int, Plan] = {}
        size = LEAST
        while size < min(limit, whole.workspace_bytes):
            with suppress(Unsupported):
                plans[size] = planner(problem, size)
            size *= 2
    if not plans:
        return limit, whole
    plans[limit] = whole
    found = {size: estimate(plan, bytes_of(problem)) for size, plan in plans.items()}
    times = {size: known.time_us for size, known in found.items() if known}
    if len(times) < len(plans):
        enough = next(size for size in plans if size >= min(limit, UNKNOWN))
    else:
        enough = next(size for size in plans if times[size] * WORTH <= min(times.values()))
    return enough, plans[enough]


@contextmanager
def in_brief() -> Iterator[None]:
    """Plans made inside have the launches of chunks that are alike once, with how often.

    They are made in no time whatever the number of images, to be estimated and told, not to be run.
    """
    with held(BRIEF, True):
        yield


def chunks(n: int, images: int) -> Iterator[tuple[int, int]]:
    """First image and number of images of every chunk.

    In brief those between the first, which may begin a sum, and the last one are the second.
    """
    between = ceil_div(n, images) - 2
    if not BRIEF.get() or between < 2:
        for first in range(0, n, images):
            yield first, min(images, n - first)
        return
    last = (between + 1) * images
    for first, times in ((0, 1), (images, between), (last, 1)):
        with held(TIMES, times):
            yield first, min(images, n - first)
