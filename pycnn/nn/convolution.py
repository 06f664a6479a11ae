"""Convolutions, transposed ones among them, and the dense layer, as layers."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pycnn
from pycnn.define.validate import integer, per_axis
from pycnn.nn.arguments import arguments_text, fixed
from pycnn.nn.function import OfOperation
from pycnn.nn.init import Initialiser, constant, weights
from pycnn.nn.layer import Layer


def positive(**counts: int) -> tuple[int, ...]:
    """Them as ints; what is no positive one is refused."""
    return tuple(integer(name, count, 1) for name, count in counts.items())


class _Weighted(Layer):
    """Multiplies with weights, adds a bias, and applies an activation that `fuse` may set."""

    activation: str | None = None

    def _add_weights(
        self, shape: tuple[int, ...], outputs: int, bias: bool, init: Any, dtype: str
    ) -> None:
        self.params["weight"] = weights(shape, init, dtype)
        if bias:
            self.params["bias"] = constant((outputs,), 0.0, dtype)

    def _bias(self) -> Any:
        return self["bias"] if "bias" in self.params else None


class Linear(_Weighted):
    """Dense layer: ``y = x @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool, default True
    init : str or function, default "he_normal"
        Of the weights, see `pycnn.nn.init`; bias begins at zero.
    dtype : str, default "float32"

    Examples
    --------
    >>> from pycnn import nn
    >>> nn.Linear(400, 120).parameter_count
    48120
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: str | Initialiser = "he_normal",
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features = positive(
            in_features=in_features, out_features=out_features
        )
        self.rank: int | None = None  # that x must have; `fuse` sets it
        self._add_weights((out_features, in_features), out_features, bias, init, dtype)

    def compute(self, x: Any) -> Any:
        if self.rank not in (None, len(x.shape)):
            raise ValueError(
                f"x has shape {tuple(x.shape)}; allowed: (N, {self.in_features}), a BatchNorm "
                "over axis 1 was fused into this layer"
            )
        return pycnn.linear(x, self["weight"], self._bias(), activation=self.activation)


class _Convolution(OfOperation, _Weighted):
    """What convolutions of one, two and three axes share, transposed or not."""

    transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        bias: bool,
        init: str | Initialiser,
        dtype: str,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, groups = positive(
            in_channels=in_channels, out_channels=out_channels, groups=settings["groups"]
        )
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % groups:
                raise ValueError(f"{name}={getattr(self, name)} is no multiple of groups={groups}")
        self.axes = type(self).operation.definition.spatial
        self.kernel_size = per_axis("kernel_size", kernel_size, 1, self.axes)
        self.settings = {name: fixed(value) for name, value in settings.items()}
        self.algo = "auto"
        ends = self.out_channels, self.in_channels
        first, second = ends[::-1] if self.transposed else ends
        shape = (first, second // groups, *self.kernel_size)
        self._add_weights(shape, self.out_channels, bias, init, dtype)

    def compute(self, x: Any) -> Any:
        return self.compute_onto(x, None)

    def compute_onto(self, x: Any, residual: Any) -> Any:
        return type(self).operation(
            x, self["weight"], self._bias(), **self.settings, residual=residual,
            activation=self.activation, algo=self.algo,
        )  # fmt: skip

    def describe(self) -> str:
        first, *others = self.kernel_size
        return arguments_text(self, kernel_size=self.kernel_size if {*others} - {first} else first)


class _Forward(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: Any = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        layout: str = "NCHW",
        init: str | Initialiser = "he_normal",
        dtype: str = "float32",
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, bias, init, dtype,
            stride=stride, padding=padding, dilation=dilation, groups=groups,
            padding_mode=padding_mode, layout=layout,
        )  # fmt: skip


class Conv2d(_Forward, operation="conv2d"):
    """Two-dimensional convolution; arguments as those of `pycnn.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Multiples of `groups`.
    kernel_size : int or (vertical, horizontal)
    stride, padding, dilation, groups, padding_mode, layout
        As `pycnn.conv2d` takes them, "same" among them.
    bias : bool, default True
    init : str or function, default "he_normal"
        Of the weights, see `pycnn.nn.init`; bias begins at zero.
    dtype : str, default "float32"

    Attributes
    ----------
    algo : str
        "auto", or the algorithm to use on `emulator` and `cuda`.

    Examples
    --------
    >>> from pycnn import nn
    >>> nn.Conv2d(3, 10, 3).parameter_count
    280
    """


class Conv1d(_Forward, operation="conv1d"):
    """One-dimensional convolution; see `Conv2d`."""


class Conv3d(_Forward, operation="conv3d"):
    """Three-dimensional convolution; see `Conv2d`."""


class _Transposed(_Convolution):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: Any = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Sequence[int] = 1,
        *,
        layout: str = "NCHW",
        init: str | Initialiser = "he_normal",
        dtype: str = "float32",
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, bias, init, dtype,
            stride=stride, padding=padding, output_padding=output_padding,
            groups=groups, dilation=dilation, layout=layout,
        )  # fmt: skip


class ConvTranspose2d(_Transposed, operation="conv_transpose2d"):
    """Transposed two-dimensional convolution; arguments as `pycnn.conv_transpose2d`; see `Conv2d`.

    Examples
    --------
    >>> from pycnn import nn
    >>> nn.ConvTranspose2d(100, 64, 4, stride=2, padding=1).output_shape((100, 7, 7))
    (64, 14, 14)
    """


class ConvTranspose1d(_Transposed, operation="conv_transpose1d"):
    """Transposed one-dimensional convolution; see `ConvTranspose2d`."""


class ConvTranspose3d(_Transposed, operation="conv_transpose3d"):
    """Transposed three-dimensional convolution; see `ConvTranspose2d`."""
