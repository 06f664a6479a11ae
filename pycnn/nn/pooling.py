"""Pooling as layers."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pycnn
from pycnn.nn.function import OfBoth, OfIndices, OfShape
from pycnn.nn.layer import Layer


class _MaxPool(OfIndices):
    """Over windows: what an unpooling layer can follow."""


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


class AvgPool1d(OfShape, operation="avg_pool1d"):
    """Mean over windows of one axis; arguments as `pycnn.avg_pool1d`."""


class AvgPool2d(OfShape, operation="avg_pool2d"):
    """Mean over windows; arguments as `pycnn.avg_pool2d`."""


class AvgPool3d(OfShape, operation="avg_pool3d"):
    """Mean over windows of three axes; arguments as `pycnn.avg_pool3d`."""


class SumPool1d(OfShape, operation="sum_pool1d"):
    """Sum over windows of one axis; arguments as `pycnn.sum_pool1d`."""


class SumPool2d(OfShape, operation="sum_pool2d"):
    """Sum over windows; arguments as `pycnn.sum_pool2d`."""


class SumPool3d(OfShape, operation="sum_pool3d"):
    """Sum over windows of three axes; arguments as `pycnn.sum_pool3d`."""


class LPPool1d(OfBoth, operation="lp_pool1d"):
    """p-norm over windows of one axis; arguments as `pycnn.lp_pool1d`."""


class LPPool2d(OfBoth, operation="lp_pool2d"):
    """p-norm over windows; arguments as `pycnn.lp_pool2d`."""


class LPPool3d(OfBoth, operation="lp_pool3d"):
    """p-norm over windows of three axes; arguments as `pycnn.lp_pool3d`."""


class AdaptiveAvgPool1d(OfShape, operation="adaptive_avg_pool1d"):
    """Means that give a chosen extent; arguments as `pycnn.adaptive_avg_pool1d`."""


class AdaptiveAvgPool2d(OfShape, operation="adaptive_avg_pool2d"):
    """Means that give chosen extents; arguments as `pycnn.adaptive_avg_pool2d`."""


class AdaptiveAvgPool3d(OfShape, operation="adaptive_avg_pool3d"):
    """Means that give chosen extents of three axes; as `pycnn.adaptive_avg_pool3d`."""


class AdaptiveMaxPool1d(OfIndices, operation="adaptive_max_pool1d"):
    """Maxima that give a chosen extent; arguments as `pycnn.adaptive_max_pool1d`."""


class AdaptiveMaxPool2d(OfIndices, operation="adaptive_max_pool2d"):
    """Maxima that give chosen extents; arguments as `pycnn.adaptive_max_pool2d`."""


class AdaptiveMaxPool3d(OfIndices, operation="adaptive_max_pool3d"):
    """Maxima that give chosen extents of three axes; as `pycnn.adaptive_max_pool3d`."""


class GlobalAvgPool(OfShape, operation="global_avg_pool"):
    """Mean of each channel, one element an axis; as `pycnn.global_avg_pool`."""


class GlobalMaxPool(OfIndices, operation="global_max_pool"):
    """Maximum of each channel, one element an axis; as `pycnn.global_max_pool`."""


class _Unpool(Layer):
    """Puts values back where a max-pooling layer found its maxima."""

    operation: ClassVar[Callable[..., Any]]
    backward_operation: ClassVar[Callable[..., Any]]

    def __init__(self, pool: _MaxPool) -> None:
        super().__init__()
        if not isinstance(pool, _MaxPool):
            raise TypeError(f"pool is of type {type(pool).__name__}; allowed: a MaxPool layer")
        self.__dict__["pool"] = pool  # which stands elsewhere: it is no child

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        if self.pool._pass.kept is None:
            raise ValueError("the pooling layer has kept no indices; call forward on it first")
        ((indices, shape),) = self.pool._pass.kept
        used = {k: self.pool.settings[k] for k in ("kernel_size", "stride", "padding", "layout")}
        layout = used["layout"]
        extents = shape[2:] if layout == "NCHW" else shape[1:-1]
        y = type(self).operation(x, indices, **used, output_size=extents)
        return y, (indices, layout)

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        indices, layout = kept
        return type(self).backward_operation(dy, indices, layout=layout), {}

    def describe(self) -> str:
        return repr(self.pool)


class MaxUnpool1d(_Unpool):
    """`pycnn.max_unpool1d` with the indices that the given `MaxPool1d` last kept."""

    operation = staticmethod(pycnn.max_unpool1d)
    backward_operation = staticmethod(pycnn.max_unpool1d_backward)


class MaxUnpool2d(_Unpool):
    """`pycnn.max_unpool2d` with the indices that the given `MaxPool2d` last kept."""

    operation = staticmethod(pycnn.max_unpool2d)
    backward_operation = staticmethod(pycnn.max_unpool2d_backward)


class MaxUnpool3d(_Unpool):
    """`pycnn.max_unpool3d` with the indices that the given `MaxPool3d` last kept."""

    operation = staticmethod(pycnn.max_unpool3d)
    backward_operation = staticmethod(pycnn.max_unpool3d_backward)
