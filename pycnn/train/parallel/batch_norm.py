"""Batch normalisation over the parts of a batch that several processes compute at a time."""

from typing import Any

import numpy as np

from pycnn.nn.arrays import library, to_numpy
from pycnn.tape import custom_gradient, plain
from pycnn.train.parallel.communicator import Communicator


def normalised(
    x: Any, weight: Any, bias: Any, eps: float, layout: str, others: Communicator
) -> tuple[Any, Any, Any]:
    """Batch normalisation by the statistics of all processes.

    Returns
    -------
    y : array
        Its gradient sums over all processes, too.
    mean, var : array
        Of all parts together, the variance over n - 1, as running ones have it.

    References
    ----------
    H. Zhang et al., "Context encoding for semantic segmentation", 2018, section 2.
    """
    axis = 1 if layout.startswith("NC") else x.ndim - 1
    found: dict[str, Any] = {}
    if weight is None:
        weight = library(plain(x)).ones(x.shape[axis], x.dtype)
        bias = weight * 0
    y = _normalised(x, weight, bias, eps=eps, axis=axis, others=others, found=found)
    return y, found["mean"], found["var"]


@custom_gradient
def _normalised(
    x: Any,
    weight: Any,
    bias: Any,
    *,
    eps: float,
    axis: int,
    others: Communicator,
    found: dict[str, Any],
) -> Any:
    axes = tuple(i for i in range(x.ndim) if i != axis)
    form = [-1 if i == axis else 1 for i in range(x.ndim)]

    def summed(array: Any) -> Any:
        return array.sum(axes, dtype=np.float64)

    def total(*sums: Any) -> np.ndarray:
        """Those of each process, added by rank."""
        return others.rows(np.array([to_numpy(own) for own in sums])).result().sum(axis=0)

    def like(sums: np.ndarray) -> Any:
        return library(x).asarray(sums.astype(x.dtype)).reshape(form)

    own = summed(x)
    own_count = np.full(own.shape, float(x.size // x.shape[axis]))
    sums, counts = total(own, own_count)
    count = counts.flat[0]
    mean = sums / count
    centred = x - like(mean)
    (squares,) = total(summed(centred * centred))
    var = squares / count
    scale = like(1 / np.sqrt(var + eps))
    hat = centred * scale
    found["mean"] = like(mean).ravel()
    found["var"] = like(var * count / max(1, count - 1)).ravel()

    def pull(dy: Any) -> tuple[Any, Any, Any]:
        own = summed(dy * hat), summed(dy)
        of_hat, of_dy = total(*own)
        dx = weight.reshape(form) * scale * (dy - like(of_dy / count) - hat * like(of_hat / count))
        return dx, *(sums.astype(x.dtype) for sums in own)

    return hat * weight.reshape(form) + bias.reshape(form), pull
