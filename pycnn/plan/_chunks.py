"""How many images at a time, within a limit on workspace."""

from collections.abc import Iterator
from contextlib import contextmanager

from pycnn.plan.conv_problem import Unsupported
from pycnn.runtime.context import held
from pycnn.runtime.plan import BRIEF, TIMES
from pycnn.shapes import ceil_div


def images_at_a_time(n: int, each: int, fixed: int, limit: int, goal: int) -> int:
    """Images in a chunk, so that chunks are about equal.

    Parameters
    ----------
    n : int
        Images in all, at least 1.
    each, fixed : int
        Bytes of workspace an image takes, and those that do not depend on the images.
    limit, goal : int
        Bytes that must not be exceeded, and those that more than one image should not exceed.

    Raises
    ------
    Unsupported
        If the limit does not allow a single image.

    Examples
    --------
    >>> images_at_a_time(10, each=4, fixed=6, limit=40, goal=100)
    5
    """
    if fixed + each > limit:
        raise Unsupported(
            f"a single image needs {fixed + each} bytes of workspace; allowed: {limit}"
        )
    most = max(1, (min(limit, max(goal, fixed + each)) - fixed) // max(each, 1))
    return ceil_div(n, ceil_div(n, min(n, most)))


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
