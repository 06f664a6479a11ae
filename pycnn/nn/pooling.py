"""Pooling as layers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pycnn
from pycnn.nn.layer import Layer

Extent = int | Sequence[int]


#: What `repr` leaves out.
_DEFAULTS = {
    "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "count_include_pad": True,
    "layout": "NCHW",
}  # fmt: skip


class _Pooling(Layer):
    """Calls one operation with settings that never change."""

    operation: ClassVar[Callable[..., Any]]
    backward_operation: ClassVar[Callable[..., Any]]

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def describe(self) -> str:
        words = []
        for i, (name, value) in enumerate(self.settings.items()):
            if i == 0 or name not in _DEFAULTS or value != _DEFAULTS[name]:
                words.append(str(value) if i == 0 else f"{name}={value!r}")
        return ", ".join(words)


class _ByShape(_Pooling):
    """Its gradient needs the shape of x alone."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        return type(self).operation(x, **self.settings), x.shape

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return type(self).backward_operation(dy, kept, **self.settings), {}


class _ByIndices(_Pooling):
    """Its gradient needs where each maximum was."""

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        if not keep:
            return type(self).operation(x, **self.settings), None
        y, indices = type(self).operation(x, **self.settings, return_indices=True)
        return y, (indices, x.shape)

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return type(self).backward_operation(dy, *kept, **self.settings), {}


class _Max(_ByIndices):
    def __init__(
        self,
        kernel_size: Extent,
        stride: Extent | None = None,
        padding: Any = 0,
        dilation: Extent = 1,
        ceil_mode: bool = False,
        *,
        layout: str = "NCHW",
    ) -> None:
        super().__init__(
            kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation,
            ceil_mode=ceil_mode, layout=layout,
        )  # fmt: skip


class MaxPool1d(_Max):
    """Maximum over windows of one axis; arguments as `pycnn.max_pool1d`."""

    operation = staticmethod(pycnn.max_pool1d)
    backward_operation = staticmethod(pycnn.max_pool1d_backward)


class MaxPool2d(_Max):
    """Maximum over windows; arguments as `pycnn.max_pool2d`.

    Examples
    --------
    >>> from pycnn import nn
    >>> nn.MaxPool2d(3, stride=2).output_shape((64, 109, 109))
    (64, 54, 54)
    """

    operation = staticmethod(pycnn.max_pool2d)
    backward_operation = staticmethod(pycnn.max_pool2d_backward)


class MaxPool3d(_Max):
    """Maximum over windows of three axes; arguments as `pycnn.max_pool3d`."""

    operation = staticmethod(pycnn.max_pool3d)
    backward_operation = staticmethod(pycnn.max_pool3d_backward)


class _Average(_ByShape):
    def __init__(
        self,
        kernel_size: Extent,
        stride: Extent | None = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        *,
        dilation: Extent = 1,
        layout: str = "NCHW",
    ) -> None:
        super().__init__(
            kernel_size=kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode,
            count_include_pad=count_include_pad, dilation=dilation, layout=layout,
        )  # fmt: skip


class AvgPool1d(_Average):
    """Mean over windows of one axis; arguments as `pycnn.avg_pool1d`."""

    operation = staticmethod(pycnn.avg_pool1d)
    backward_operation = staticmethod(pycnn.avg_pool1d_backward)


class AvgPool2d(_Average):
    """Mean over windows; arguments as `pycnn.avg_pool2d`."""

    operation = staticmethod(pycnn.avg_pool2d)
    backward_operation = staticmethod(pycnn.avg_pool2d_backward)


class AvgPool3d(_Average):
    """Mean over windows of three axes; arguments as `pycnn.avg_pool3d`."""

    operation = staticmethod(pycnn.avg_pool3d)
    backward_operation = staticmethod(pycnn.avg_pool3d_backward)


class _Total(_ByShape):
    def __init__(
        self,
        kernel_size: Extent,
        stride: Extent | None = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        *,
        dilation: Extent = 1,
        layout: str = "NCHW",
    ) -> None:
        super().__init__(
            kernel_size=kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode,
            dilation=dilation, layout=layout,
        )  # fmt: skip


class SumPool1d(_Total):
    """Sum over windows of one axis; arguments as `pycnn.sum_pool1d`."""

    operation = staticmethod(pycnn.sum_pool1d)
    backward_operation = staticmethod(pycnn.sum_pool1d_backward)


class SumPool2d(_Total):
    """Sum over windows; arguments as `pycnn.sum_pool2d`."""

    operation = staticmethod(pycnn.sum_pool2d)
    backward_operation = staticmethod(pycnn.sum_pool2d_backward)


class SumPool3d(_Total):
    """Sum over windows of three axes; arguments as `pycnn.sum_pool3d`."""

    operation = staticmethod(pycnn.sum_pool3d)
    backward_operation = staticmethod(pycnn.sum_pool3d_backward)


class _Lp(_Pooling):
    def __init__(
        self,
        norm_type: float,
        kernel_size: Extent,
        stride: Extent | None = None,
        ceil_mode: bool = False,
        *,
        padding: Any = 0,
        dilation: Extent = 1,
        layout: str = "NCHW",
    ) -> None:
        super().__init__(
            norm_type=norm_type, kernel_size=kernel_size, stride=stride, ceil_mode=ceil_mode,
            padding=padding, dilation=dilation, layout=layout,
        )  # fmt: skip

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        y = type(self).operation(x, **self.settings)
        return y, (x, y)

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return type(self).backward_operation(dy, *kept, **self.settings), {}


class LPPool1d(_Lp):
    """p-norm over windows of one axis; arguments as `pycnn.lp_pool1d`."""

    operation = staticmethod(pycnn.lp_pool1d)
    backward_operation = staticmethod(pycnn.lp_pool1d_backward)


class LPPool2d(_Lp):
    """p-norm over windows; arguments as `pycnn.lp_pool2d`."""

    operation = staticmethod(pycnn.lp_pool2d)
    backward_operation = staticmethod(pycnn.lp_pool2d_backward)


class LPPool3d(_Lp):
    """p-norm over windows of three axes; arguments as `pycnn.lp_pool3d`."""

    operation = staticmethod(pycnn.lp_pool3d)
    backward_operation = staticmethod(pycnn.lp_pool3d_backward)


class _AdaptiveAverage(_ByShape):
    def __init__(self, output_size: Any, *, layout: str = "NCHW") -> None:
        super().__init__(output_size=output_size, layout=layout)

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return type(self).backward_operation(dy, kept, layout=self.settings["layout"]), {}


class AdaptiveAvgPool1d(_AdaptiveAverage):
    """Means that give a chosen extent; arguments as `pycnn.adaptive_avg_pool1d`."""

    operation = staticmethod(pycnn.adaptive_avg_pool1d)
    backward_operation = staticmethod(pycnn.adaptive_avg_pool1d_backward)


class AdaptiveAvgPool2d(_AdaptiveAverage):
    """Means that give chosen extents; arguments as `pycnn.adaptive_avg_pool2d`."""

    operation = staticmethod(pycnn.adaptive_avg_pool2d)
    backward_operation = staticmethod(pycnn.adaptive_avg_pool2d_backward)


class AdaptiveAvgPool3d(_AdaptiveAverage):
    """Means that give chosen extents of three axes; as `pycnn.adaptive_avg_pool3d`."""

    operation = staticmethod(pycnn.adaptive_avg_pool3d)
    backward_operation = staticmethod(pycnn.adaptive_avg_pool3d_backward)


class _AdaptiveMax(_ByIndices):
    def __init__(self, output_size: Any, *, layout: str = "NCHW") -> None:
        super().__init__(output_size=output_size, layout=layout)

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        return type(self).backward_operation(dy, *kept, layout=self.settings["layout"]), {}


class AdaptiveMaxPool1d(_AdaptiveMax):
    """Maxima that give a chosen extent; arguments as `pycnn.adaptive_max_pool1d`."""

    operation = staticmethod(pycnn.adaptive_max_pool1d)
    backward_operation = staticmethod(pycnn.adaptive_max_pool1d_backward)


class AdaptiveMaxPool2d(_AdaptiveMax):
    """Maxima that give chosen extents; arguments as `pycnn.adaptive_max_pool2d`."""

    operation = staticmethod(pycnn.adaptive_max_pool2d)
    backward_operation = staticmethod(pycnn.adaptive_max_pool2d_backward)


class AdaptiveMaxPool3d(_AdaptiveMax):
    """Maxima that give chosen extents of three axes; as `pycnn.adaptive_max_pool3d`."""

    operation = staticmethod(pycnn.adaptive_max_pool3d)
    backward_operation = staticmethod(pycnn.adaptive_max_pool3d_backward)


class GlobalAvgPool(_ByShape):
    """Mean of each channel, one element an axis; as `pycnn.global_avg_pool`."""

    operation = staticmethod(pycnn.global_avg_pool)
    backward_operation = staticmethod(pycnn.global_avg_pool_backward)

    def __init__(self, *, layout: str = "NCHW") -> None:
        super().__init__(layout=layout)

    def describe(self) -> str:
        return ""


class GlobalMaxPool(_ByIndices):
    """Maximum of each channel, one element an axis; as `pycnn.global_max_pool`."""

    operation = staticmethod(pycnn.global_max_pool)
    backward_operation = staticmethod(pycnn.global_max_pool_backward)

    def __init__(self, *, layout: str = "NCHW") -> None:
        super().__init__(layout=layout)

    def describe(self) -> str:
        return ""


class _Unpool(Layer):
    """Puts values back where a max-pooling layer found its maxima."""

    operation: ClassVar[Callable[..., Any]]
    backward_operation: ClassVar[Callable[..., Any]]

    def __init__(self, pool: _Max) -> None:
        super().__init__()
        if not isinstance(pool, _Max):
            raise TypeError(f"pool is of type {type(pool).__name__}; allowed: a MaxPool layer")
        self.pool = pool

    def compute(self, x: Any, keep: bool) -> tuple[Any, Any]:
        if self.pool._kept is None:
            raise ValueError("the pooling layer has kept no indices; call forward on it first")
        ((indices, shape),) = self.pool._kept
        used = {k: self.pool.settings[k] for k in ("kernel_size", "stride", "padding", "layout")}
        layout = used["layout"]
        extents = shape[2:] if layout == "NCHW" else shape[1:-1]
        y = type(self).operation(x, indices, **used, output_size=extents)
        return y, (indices, layout)

    def gradient(self, dy: Any, kept: Any, needs_dx: bool) -> tuple[Any, Mapping[str, Any]]:
        indices, layout = kept
        return type(self).backward_operation(dy, indices, layout=layout), {}


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
