"""Pooling as layers."""

from typing import Any

from pycnn.nn.function import Function, OfOperation
from pycnn.nn.layer import Layer


class _WithIndices(Function):
    """Finds where each maximum was, which is kept where somebody asks for it."""

    without = ("return_indices",)


class _MaxPool(_WithIndices):
    """Over windows: what an unpooling layer can follow.

    Attributes
    ----------
    found : (array, tuple of int) or None
        Where the last maxima were, and the shape of x; kept for unpooling layers.
    """

    keeps = False
    found: tuple[Any, tuple[int, ...]] | None = None

    def compute(self, x: Any) -> Any:
        if not self.keeps:
            return super().compute(x)
        y, indices = type(self).operation(x, **self.settings, return_indices=True)
        self.found = indices, x.shape
        return y


class MaxPool1d(_MaxPool, operation="max_pool1d"):
    """Maximum over windows of one axis; arguments as `pycnn.max_pool1d`."""


class MaxPool2d(_MaxPool, operation="max_pool2d"):
    """Maximum over windows; arguments as `pycnn.max_pool2d`.

    Examples
    --------
    >>> from pycnn import nn
    >>> nn.MaxPool2d(3, stride=2).output_shape((64, 109, 109))
    (64, 54, 54)
    """


class MaxPool3d(_MaxPool, operation="max_pool3d"):
    """Maximum over windows of three axes; arguments as `pycnn.max_pool3d`."""


class AvgPool1d(Function, operation="avg_pool1d"):
    """Mean over windows of one axis; arguments as `pycnn.avg_pool1d`."""


class AvgPool2d(Function, operation="avg_pool2d"):
    """Mean over windows; arguments as `pycnn.avg_pool2d`."""


class AvgPool3d(Function, operation="avg_pool3d"):
    """Mean over windows of three axes; arguments as `pycnn.avg_pool3d`."""


class SumPool1d(Function, operation="sum_pool1d"):
    """Sum over windows of one axis; arguments as `pycnn.sum_pool1d`."""


class SumPool2d(Function, operation="sum_pool2d"):
    """Sum over windows; arguments as `pycnn.sum_pool2d`."""


class SumPool3d(Function, operation="sum_pool3d"):
    """Sum over windows of three axes; arguments as `pycnn.sum_pool3d`."""


class LPPool1d(Function, operation="lp_pool1d"):
    """p-norm over windows of one axis; arguments as `pycnn.lp_pool1d`."""


class LPPool2d(Function, operation="lp_pool2d"):
    """p-norm over windows; arguments as `pycnn.lp_pool2d`."""


class LPPool3d(Function, operation="lp_pool3d"):
    """p-norm over windows of three axes; arguments as `pycnn.lp_pool3d`."""


class AdaptiveAvgPool1d(Function, operation="adaptive_avg_pool1d"):
    """Means that give a chosen extent; arguments as `pycnn.adaptive_avg_pool1d`."""


class AdaptiveAvgPool2d(Function, operation="adaptive_avg_pool2d"):
    """Means that give chosen extents; arguments as `pycnn.adaptive_avg_pool2d`."""


class AdaptiveAvgPool3d(Function, operation="adaptive_avg_pool3d"):
    """Means that give chosen extents of three axes; as `pycnn.adaptive_avg_pool3d`."""


class AdaptiveMaxPool1d(_WithIndices, operation="adaptive_max_pool1d"):
    """Maxima that give a chosen extent; arguments as `pycnn.adaptive_max_pool1d`."""


class AdaptiveMaxPool2d(_WithIndices, operation="adaptive_max_pool2d"):
    """Maxima that give chosen extents; arguments as `pycnn.adaptive_max_pool2d`."""


class AdaptiveMaxPool3d(_WithIndices, operation="adaptive_max_pool3d"):
    """Maxima that give chosen extents of three axes; as `pycnn.adaptive_max_pool3d`."""


class GlobalAvgPool(Function, operation="global_avg_pool"):
    """Mean of each channel, one element an axis; as `pycnn.global_avg_pool`."""


class GlobalMaxPool(_WithIndices, operation="global_max_pool"):
    """Maximum of each channel, one element an axis; as `pycnn.global_max_pool`."""


class _Unpool(OfOperation, Layer):
    """Puts values back where a max-pooling layer found its maxima."""

    def __init__(self, pool: _MaxPool) -> None:
        super().__init__()
        if not isinstance(pool, _MaxPool):
            raise TypeError(f"pool is of type {type(pool).__name__}; allowed: a MaxPool layer")
        self.__dict__["pool"] = pool  # which stands elsewhere: it is no child
        pool.keeps = True

    def compute(self, x: Any) -> Any:
        if self.pool.found is None:
            raise ValueError("the pooling layer has kept no indices; call it first")
        indices, shape = self.pool.found
        used = {k: self.pool.settings[k] for k in ("kernel_size", "stride", "padding", "layout")}
        extents = shape[2:] if used["layout"] == "NCHW" else shape[1:-1]
        return type(self).operation(x, indices, **used, output_size=extents)


class MaxUnpool1d(_Unpool, operation="max_unpool1d"):
    """`pycnn.max_unpool1d` with the indices that the given `MaxPool1d` last kept."""


class MaxUnpool2d(_Unpool, operation="max_unpool2d"):
    """`pycnn.max_unpool2d` with the indices that the given `MaxPool2d` last kept."""


class MaxUnpool3d(_Unpool, operation="max_unpool3d"):
    """`pycnn.max_unpool3d` with the indices that the given `MaxPool3d` last kept."""
