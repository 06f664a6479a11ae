"""Which algorithms a convolution has."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycnn import config
from pycnn.define.conv_geometry import geometry, shape
from pycnn.define.conv_layout import Layout
from pycnn.define.public import Extent
from pycnn.define.validate import choice, integer
from pycnn.define.views import View
from pycnn.dtypes import FLOATS
from pycnn.plan import conv as plans
from pycnn.plan.choice import Candidate
from pycnn.plan.conv_problem import Problem
from pycnn.runtime.target import planned_for, target_here


def conv2d_algorithms(
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    stride: Extent = 1,
    padding: Any = 0,
    dilation: Extent = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    layout: str = "NCHW",
    dtype: Any = "float32",
    direction: str = "forward",
    workspace_limit: int | None = None,
) -> list[Candidate]:
    """The algorithms of a convolution of contiguous arrays, and what each needs.

    Parameters
    ----------
    x_shape, w_shape : sequence of int
        Shapes of input and weight, as for `conv2d`.
    stride, padding, dilation, groups, padding_mode, layout
        As for `conv2d`.
    dtype : dtype, default float32
        Any floating dtype.
    direction : str, default "forward"
        "forward", "backward_input", "backward_weight"; or "backward" for algorithms that offer
        both gradients.
    workspace_limit : int, optional
        Largest workspace in bytes; by default ``PYCNN_WORKSPACE_LIMIT``.

    Returns
    -------
    list of Candidate
        Fields ``name``, ``workspace_bytes``, ``fits`` and ``reason``. ``algo="auto"`` takes the
        first one that fits, and its reason says why it stands there; of those that do not fit, the
        reason says what is in the way.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.

    Examples
    --------
    >>> import pycnn
    >>> found = pycnn.conv2d_algorithms((1, 3, 8, 8), (5, 3, 3, 3), workspace_limit=1000)
    >>> reasons = {a.name: a.reason for a in found if not a.fits}
    >>> reasons["im2col"]
    'a single image needs 3888 bytes of workspace; allowed: 1000'
    >>> reasons["depthwise"]
    '3 channels and 5 filters a group; allowed: 1 and 1'
    """
    x_axes = "(N, C, H, W) or (C, H, W)" if layout != "NHWC" else "(N, H, W, C) or (H, W, C)"
    arrangement = Layout.of(layout, 2, len(shape("x_shape", x_shape, (3, 4), x_axes)))
    x = arrangement.extents(tuple(x_shape))
    weight = shape("w_shape", w_shape, (4,), "(K, C/G, R, S)")
    settings = (stride, padding, dilation, groups, padding_mode)
    windows, out = geometry(("x_shape", x), ("w_shape", weight), *settings)
    name = choice("dtype", dtype if dtype in FLOATS else np.dtype(dtype).name, tuple(FLOATS))
    allowed = ("forward", "backward_input", "backward_weight")
    choice("direction", direction, (*allowed, "backward"))
    limit = config.get("PYCNN_WORKSPACE_LIMIT")
    if workspace_limit is not None:
        limit = integer("workspace_limit", workspace_limit, 0)
    y = (x[0], weight[0], *out)
    views = (
        arrangement.contiguous(x, name),
        View.contiguous(weight, name),
        arrangement.contiguous(y, name),
    )
    problem = Problem(*views, **windows)
    with planned_for(target_here()):
        if direction != "backward":
            return plans.algorithms(problem, direction, limit)
        of_input, of_weight = (plans.algorithms(problem, d, limit) for d in allowed[1:])
    return [a.together(b) for a in of_input for b in of_weight if a.name == b.name]
