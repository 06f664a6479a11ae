"""Plans of batch, group and instance norm: statistics, their merging, and the normalisation.

Batch norm in training reads x twice: a statistic is spread over the whole tensor. Its gradient
reads dy and x twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from pycnn.define.views import View
from pycnn.dtypes import numpy_dtype
from pycnn.plan import _norm
from pycnn.plan._norm import (
    Walk,
    block_each,
    channels_first,
    computed_in,
    is_wide,
    kernel,
    walk,
    warp_each,
)
from pycnn.plan._strided import Ints, row_major
from pycnn.runtime.plan import Argument, ArraySpec, Buffer, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

Views = Mapping[str, View]
Specs = dict[str, ArraySpec]

#: Names of the means, of what they are spread by (None: both in one array), and of what rounding
#: took from the means.
Statistics = tuple[str, str | None, str | None]

RUNNING = ("running_mean", "running_var")

#: Vectors of x beyond which a block works out what its channels are computed with.
MOST_FEW = 2**20

#: Numbers of a partial result.
MOMENTS, PAIR = 4, 2


@dataclass(frozen=True)
class Channels:
    """Which elements share a mean and a standard deviation.

    Attributes
    ----------
    layout : str
        ``"NCHW"`` or ``"NHWC"``, of whatever rank.
    per_image : bool
        Whether every image has its own; else they are of all images together.
    group : int
        Neighbouring channels that share one.
    eps : float
    """

    layout: str
    per_image: bool = False
    group: int = 1
    eps: float = 1e-5

    @property
    def of_batch(self) -> bool:
        """Whether every channel has one of its own: batch norm."""
        return not self.per_image and self.group == 1


def fixed_statistics(views: Views, dtype: str, channels: Channels, op: str = "batch_norm") -> Plan:
    """Plan of `pycnn.batch_norm`: x, running_mean, running_var, weight and bias to ``y``.

    Examples
    --------
    >>> x, c = View((2, 3, 5, 7), (105, 35, 7, 1), "float32"), View((3,), (1,), "float32")
    >>> views = {"x": x, "running_mean": c, "running_var": c}
    >>> fixed_statistics(views, "float32", Channels("NCHW")).algo
    'planes'
    """
    x = views["x"]
    outputs = {"y": ArraySpec(x.shape, numpy_dtype(dtype))}
    launches: tuple[Launch, ...] = ()
    w = None
    if prod(x.shape):
        w = _few(x, dtype, channels) or walked(
            x.shape, [x.strides, row_major(x.shape)], dtype, channels, reduced=False
        )
        launches = (_apply(views, dtype, channels, w, "running_mean", "running_var", None),)
    return _plan(op, w, launches, outputs, {})


def _few(x: View, dtype: str, channels: Channels) -> Walk | None:
    """Few contiguous rows of whole vectors, of channels or maps that are none: four a thread."""
    number, *rest = channels_first(x.shape, channels.layout)[1:]
    width = _norm.VECTOR_BYTES // numpy_dtype(dtype).itemsize
    spread = prod(rest) if channels.layout == "NCHW" else 1
    columns = number * spread
    whole = columns % width == 0 and x.strides == row_major(x.shape)
    maps = spread == 1 or (spread > width and spread % width)
    if not (whole and maps and channels.of_batch and prod(x.shape) <= MOST_FEW * width):
        return None
    rows, vectors = prod(x.shape) // columns, columns // width
    groups = ceil_div(rows, _norm.ROWS)
    parameters = struct(
        "norm/apply.cu", "Vectors", vectors=vectors, spread=spread, rows=rows, groups=groups
    )
    grid, block = (ceil_div(groups * vectors, _norm.THREADS), 1, 1), (_norm.THREADS, 1, 1)
    return Walk("few", grid, block, parameters, number, 1)


def own_statistics(
    op: str, views: Views, dtype: str, channels: Channels, outputs: Specs, momentum: float = 0.0
) -> Plan:
    """Plan of normalisation by the statistics of x itself.

    Parameters
    ----------
    op : str
    views : mapping of str to View
        ``x``, and ``weight``, ``bias``, ``running_mean``, ``running_var`` as far as given.
    dtype : str
    channels : Channels
    outputs : dict of str to ArraySpec
        ``y``, and ``mean``, ``rstd``, ``new_running_mean``, ``new_running_var`` if wanted.
    momentum : float, default 0.0
        Share of this batch in the new running statistics.
    """
    x = views["x"]
    if not prod(x.shape):
        return _plan(op, None, (), outputs, {})
    launches, workspace = moments(views, dtype, channels, outputs, momentum)
    w = walked(x.shape, [x.strides, row_major(x.shape)], dtype, channels, reduced=False)
    launches += (_apply(views, dtype, channels, w, "mean", "rstd", "rest"),)
    return _plan(op, w, launches, outputs, workspace)


def moments(
    views: Views, dtype: str, channels: Channels, outputs: Specs, momentum: float = 0.0
) -> tuple[tuple[Launch, ...], Specs]:
    """The statistics of x as ``mean``, ``rest`` and ``rstd``: launches and workspace."""
    x = views["x"]
    shape, strides = x.shape, x.strides
    if channels.layout == "NCHW" and channels.per_image and strides == row_major(shape):
        # A group without gaps is one long channel: fewer sets, and nothing to merge.
        n, c = shape[:2]
        shape = (n, c // channels.group, channels.group * prod(shape[2:]))
        strides, channels = row_major(shape), replace(channels, group=1)
    w = walked(shape, [strides], dtype, channels)
    statistics = w.sets // channels.group
    spec = ArraySpec((statistics,), computed_in(dtype))
    workspace = {n: spec for n in ("mean", "rest", "rstd") if n not in outputs}
    workspace["parts"] = _norm.partial(w, MOMENTS, dtype)
    running = {n: n in views for n in RUNNING}
    mean, variance = (views.get(n) for n in running)
    merge = struct(
        "norm/moments.cu", "MergeParams",
        statistics=statistics,
        parts=channels.group * w.segments,
        mean=_norm.step(mean), variance=_norm.step(variance),
        mean_wide=is_wide(mean, dtype), variance_wide=is_wide(variance, dtype),
        eps=channels.eps, momentum=momentum,
    )  # fmt: skip
    arguments = (
        Buffer("parts"),
        *(Buffer(n) if there else None for n, there in running.items()),
        *(Buffer(n) for n in ("mean", "rest", "rstd")),
        *(Buffer(f"new_{n}") if there else None for n, there in running.items()),
        merge,
    )
    entry = kernel("moments", f"moments_{w.name}", dtype)
    of_segments = Launch(entry, w.grid, w.block, (Buffer("x"), Buffer("parts"), w.parameters))
    grid, block = block_each(statistics, channels.group * w.segments)
    merged = Launch(kernel("moments", "moments_merge", dtype), grid, block, arguments)
    return (of_segments, merged), workspace


def own_statistics_of_images(
    op: str, views: Views, dtype: str, channels: Channels, outputs: Specs, momentum: float
) -> Plan:
    """Plan of `own_statistics` of every image, whose means go into the running ones."""
    x = views["x"]
    own = {name: view for name, view in views.items() if name not in RUNNING}
    plan = own_statistics(op, own, dtype, channels, {"y": outputs["y"]})
    w = walked(x.shape, [x.strides], dtype, channels)
    number = channels_first(x.shape, channels.layout)[1]
    mean, variance = (views[name] for name in RUNNING)
    params = struct(
        "norm/running.cu", "RunningParams",
        channels=number, images=w.sets // number, segments=w.segments,
        mean=_norm.step(mean), variance=_norm.step(variance),
        mean_wide=is_wide(mean, dtype), variance_wide=is_wide(variance, dtype),
        momentum=momentum,
    )  # fmt: skip
    buffers = [Buffer(n) for n in ("parts", *RUNNING, *(f"new_{n}" for n in RUNNING))]
    arguments: tuple[Argument, ...] = (*buffers, params)
    grid, block = warp_each(number)
    running = Launch(kernel("running", "running_images", dtype), grid, block, arguments)
    return replace(plan, launches=(*plan.launches, running), outputs=outputs)


def fixed_statistics_backward(
    views: Views, dtype: str, channels: Channels, outputs: Specs, op: str = "batch_norm_backward"
) -> Plan:
    """Plan of `pycnn.batch_norm_backward`: ``dx`` comes with the sums, in one pass."""
    statistics = ("running_mean", "running_var", None)
    launches, workspace, w = sums(views, dtype, channels, outputs, statistics, dx=True)
    return _plan(op, w, launches, outputs, workspace)


def own_statistics_backward(
    op: str, views: Views, dtype: str, channels: Channels, outputs: Specs
) -> Plan:
    """Plan of the gradients where the statistics are those of x.

    They are operands, ``mean`` and ``rstd``, or computed again.
    """
    x = views["x"]
    launches: tuple[Launch, ...] = ()
    workspace: Specs = {}
    rest = None
    elements = prod(x.shape)
    if elements and "mean" not in views:
        launches, workspace = moments(views, dtype, channels, {})
        rest = "rest"
    statistics = ("mean", "rstd", rest)
    summed, more, w = sums(views, dtype, channels, outputs, statistics, means=bool(elements))
    if not elements:  # the sums of nothing are zero all the same
        return _plan(op, w, summed, outputs, more)
    operands = [views["dy"].strides, x.strides, row_major(x.shape)]
    last, means = gradient(views, dtype, channels, outputs, statistics, w, "dy", operands)
    workspace |= more | means
    return _plan(op, w, (*launches, *summed, *last), outputs, workspace)


def gradient(
    views: Views, dtype: str, channels: Channels, outputs: Specs, statistics: Statistics, w: Walk,
    dy: str, operands: list[Ints],
) -> tuple[tuple[Launch, ...], Specs]:  # fmt: skip
    """``dx`` from `dy` and its sums, which the walk `w` has left: launches and workspace.

    `operands` are the strides of dy, x and dx. Means of batch norm come from `merge_sums`.
    """
    count = w.sets // channels.group
    workspace = {"means": ArraySpec((count, PAIR), computed_in(dtype))}
    means: tuple[Launch, ...] = ()
    if not channels.of_batch:
        grid, block = block_each(count, channels.group * w.segments)
        params = _sums_params(views, dtype, channels, outputs, w)
        arguments = (Buffer("sums"), optional(views, "weight"), Buffer("means"), params)
        means = (Launch(kernel("gradient", "gradient_means", dtype), grid, block, arguments),)
    w = walked(views["x"].shape, operands, dtype, channels, reduced=False)
    gradient = Launch(
        kernel("gradient", f"gradient_{w.name}", dtype),
        w.grid,
        w.block,
        (
            *(Buffer(dy), Buffer("x"), *buffers(statistics), optional(views, "weight")),
            *(Buffer("means"), Buffer("dx"), w.parameters),
            parameters(views, dtype, channels, statistics),
        ),
    )
    return (*means, gradient), workspace


def sums(
    views: Views,
    dtype: str,
    channels: Channels,
    outputs: Specs,
    statistics: Statistics,
    *,
    dx: bool = False,
    means: bool = False,
) -> tuple[tuple[Launch, ...], Specs, Walk]:
    """``dweight`` and ``dbias``, and ``dx`` of given statistics or ``means`` if asked for."""
    x = views["x"]
    operands = [views["dy"].strides, x.strides, row_major(x.shape)]
    w = walked(x.shape, operands, dtype, channels)
    name = "fixed" if dx else "sums"
    of_segments = Launch(
        kernel("gradient", f"gradient_{name}_{w.name}", dtype),
        w.grid,
        w.block,
        (
            *(Buffer("dy"), Buffer("x"), *buffers(statistics), optional(views, "weight")),
            *((Buffer("dx"),) if dx else ()),
            *(Buffer("sums"), w.parameters, parameters(views, dtype, channels, statistics)),
        ),
    )
    merged = merge_sums(views, dtype, channels, outputs, w, means=means)
    workspace = {"sums": _norm.partial(w, PAIR, dtype)}
    launches = (of_segments, merged) if prod(x.shape) else (merged,)
    return launches, workspace, w


def merge_sums(
    views: Views, dtype: str, channels: Channels, outputs: Specs, w: Walk, *, means: bool = False
) -> Launch:
    """``dweight`` and ``dbias`` from the sums of segments, and the ``means`` of batch norm."""
    params = _sums_params(views, dtype, channels, outputs, w)
    parts = int(params["images"]) * w.segments
    grid, block = block_each(int(params["channels"]), parts)
    arguments = (
        *(Buffer("sums"), optional(views, "weight"), Buffer("dweight"), Buffer("dbias")),
        *(Buffer("means") if means and channels.of_batch else None, params),
    )
    return Launch(kernel("gradient", "gradient_parameters", dtype), grid, block, arguments)


def _sums_params(views: Views, dtype: str, channels: Channels, outputs: Specs, w: Walk) -> np.void:
    shape = views["x"].shape
    number = channels_first(shape, channels.layout)[1]
    statistics = w.sets // channels.group
    narrow = numpy_dtype(dtype)
    return struct(
        "norm/gradient.cu",
        "SumsParams",
        channels=number,
        images=w.sets // max(number, 1) if prod(shape) else 0,
        group=channels.group,
        segments=w.segments,
        statistics=statistics,
        weight=_norm.step(views.get("weight")),
        count=prod(shape) / max(statistics, 1),
        weight_wide=is_wide(views.get("weight"), dtype),
        **{f"{name}_wide": outputs[name].dtype != narrow for name in ("dweight", "dbias")},
    )


def walked(
    shape: tuple[int, ...],
    operands: list,
    dtype: str,
    channels: Channels,
    *,
    reduced: bool = True,
) -> Walk:
    each = channels.per_image
    return walk(shape, operands, dtype, channels.layout, per_image=each, reduced=reduced)


def _apply(
    views: Views,
    dtype: str,
    channels: Channels,
    w: Walk,
    mean: str,
    spread: str,
    rest: str | None,
) -> Launch:
    statistics = (mean, spread, rest)
    arguments = (
        *(Buffer("x"), *buffers(statistics)),
        *(optional(views, "weight"), optional(views, "bias"), Buffer("y")),
        *(w.parameters, parameters(views, dtype, channels, statistics)),
    )
    return Launch(kernel("apply", f"norm_{w.name}", dtype), w.grid, w.block, arguments)


def parameters(views: Views, dtype: str, channels: Channels, statistics: Statistics) -> np.void:
    mean, spread, _ = statistics
    number = channels_first(views["x"].shape, channels.layout)[1]
    return _norm.parameters(
        views,
        dtype,
        number,
        channels.group,
        mean=mean,
        spread=spread or "rstd",
        packed=spread is None,
        eps=channels.eps,
    )


def buffers(names: Statistics) -> tuple[Argument, Argument, Argument]:
    mean, spread, rest = names
    return Buffer(mean), Buffer(rest) if rest else None, Buffer(spread) if spread else None


def optional(views: Views, name: str) -> Buffer | None:
    return Buffer(name) if name in views else None


def _plan(
    op: str, w: Walk | None, launches: tuple[Launch, ...], outputs: Specs, workspace: Specs
) -> Plan:
    algo = w.name if w else "nothing"
    return Plan(op, algo, launches, outputs, workspace if launches else {})
