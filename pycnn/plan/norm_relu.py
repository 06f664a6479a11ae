"""Plans of batch norm with a sum and the rectified linear unit behind it, and of the gradients."""

from math import prod

from pycnn.plan import _norm, norm_batch
from pycnn.plan._norm import kernel
from pycnn.plan._strided import row_major
from pycnn.plan.norm_batch import PAIR, Channels, Specs, Views
from pycnn.runtime.plan import Argument, Buffer, Launch, Plan

FILE = "relu"


def forward(views: Views, dtype: str, channels: Channels, outputs: Specs, momentum: float) -> Plan:
    """Plan of `pycnn.batch_norm_relu_train`; arguments as of `norm_batch.own_statistics`.

    ``residual`` is among the views where there is one.
    """
    op, x = "batch_norm_relu_train", views["x"]
    if not prod(x.shape):
        return Plan(op, "nothing", (), outputs)
    launches, workspace = norm_batch.moments(views, dtype, channels, outputs, momentum)
    more = views.get("residual", x)
    operands = [x.strides, more.strides, row_major(x.shape)]
    w = norm_batch.walked(x.shape, operands, dtype, channels, reduced=False)
    statistics = ("mean", "rstd", "rest")
    arguments: tuple[Argument, ...] = (
        *(Buffer("x"), norm_batch.optional(views, "residual")),
        *norm_batch.buffers(statistics),
        *(norm_batch.optional(views, "weight"), norm_batch.optional(views, "bias"), Buffer("y")),
        *(w.parameters, norm_batch.parameters(views, dtype, channels, statistics)),
    )
    last = Launch(kernel(FILE, f"norm_relu_{w.name}", dtype), w.grid, w.block, arguments)
    return Plan(op, w.name, (*launches, last), outputs, workspace)


def backward(views: Views, dtype: str, channels: Channels, outputs: Specs) -> Plan:
    """Plan of `pycnn.batch_norm_relu_train_backward`: first ``dresidual``, from it the others."""
    op, x = "batch_norm_relu_train_backward", views["x"]
    own = row_major(x.shape)
    operands = [*(views[name].strides for name in ("dy", "x", "y")), own]
    w = norm_batch.walked(x.shape, operands, dtype, channels)
    there = bool(prod(x.shape))
    merged = norm_batch.merge_sums(views, dtype, channels, outputs, w, means=there)
    sums = {"sums": _norm.partial(w, PAIR, dtype)}
    if not there:  # the sums of nothing are zero all the same
        return Plan(op, w.name, (merged,), outputs, sums)
    statistics = ("mean", "rstd", None)
    arguments: tuple[Argument, ...] = (
        *(Buffer(name) for name in ("dy", "x", "y", "mean", "rstd", "dresidual", "sums")),
        *(w.parameters, norm_batch.parameters(views, dtype, channels, statistics)),
    )
    entry = kernel(FILE, f"masked_sums_{w.name}", dtype)
    masked = Launch(entry, w.grid, w.block, arguments)
    last, means = norm_batch.gradient(
        views, dtype, channels, outputs, statistics, w, "dresidual", [own, x.strides, own]
    )
    return Plan(op, w.name, (masked, merged, *last), outputs, sums | means)
