"""Convolutions, transposed ones among them, and the dense layer, as layers."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pycnn
from pycnn.define.validate import integer, per_axis
from pycnn.nn.arguments import arguments_text, fixed
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

    def describe(self, **known: Any) -> str:
        text = arguments_text(self, **known)
        return text if self.activation is None else f"{text}, activation={self.activation!r}"


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


class _Convolution(_Weighted):
    """What convolutions of one, two and three axes share, transposed or not."""

    axes: ClassVar[int]
    transposed: ClassVar[bool] = False
    operation: ClassVar[Callable[..., Any]]

    def _prepare(
        self,
        channels: tuple[int, int],
        kernel_size: int | Sequence[int],
        settings: dict[str, Any],
        bias: bool,
        init: str | Initialiser,
        dtype: str,
    ) -> None:
        inputs, outputs = channels
        inputs, outputs, groups = positive(
            in_channels=inputs, out_channels=outputs, groups=settings["groups"]
        )
        for name, count in (("in_channels", inputs), ("out_channels", outputs)):
            if count % groups:
                raise ValueError(f"{name}={count} is no multiple of groups={groups}")
        self.in_channels, self.out_channels = inputs, outputs
        self.kernel_size = per_axis("kernel_size", kernel_size, 1, self.axes)
        self.settings = {name: fixed(value) for name, value in settings.items()}
        self.algo = "auto"
        if self.transposed:
            shape = (inputs, outputs // groups, *self.kernel_size)
        else:
            shape = (outputs, inputs // groups, *self.kernel_size)
        self._add_weights(shape, outputs, bias, init, dtype)

    def compute(self, x: Any) -> Any:
        return self.compute_onto(x, None)

    def compute_onto(self, x: Any, residual: Any) -> Any:
        return type(self).operation(
            x, self["weight"], self._bias(), **self.settings, residual=residual,
            activation=self.activation, algo=self._algorithm(),
        )  # fmt: skip

    def _algorithm(self) -> str:
        return self.algo

    def describe(self, **known: Any) -> str:
        if len(set(self.kernel_size)) == 1:
            known["kernel_size"] = self.kernel_size[0]
        algo = "" if self.algo == "auto" else f", algo={self.algo!r}"
        return super().describe(**known) + algo


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
        super().__init__()
        settings = {
            "stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
            "padding_mode": padding_mode, "layout": layout,
        }  # fmt: skip
        self._prepare((in_channels, out_channels), kernel_size, settings, bias, init, dtype)


class Conv2d(_Forward):
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

    axes = 2
    operation = staticmethod(pycnn.conv2d)


class Conv1d(_Forward):
    """One-dimensional convolution; see `Conv2d`."""

    axes = 1
    operation = staticmethod(pycnn.conv1d)


class Conv3d(_Forward):
    """Three-dimensional convolution; see `Conv2d`."""

    axes = 3
    operation = staticmethod(pycnn.conv3d)


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
        super().__init__()
        settings = {
            "stride": stride, "padding": padding, "output_padding": output_padding,
            "groups": groups, "dilation": dilation, "layout": layout,
        }  # fmt: skip
        self._prepare((in_channels, out_channels), kernel_size, settings, bias, init, dtype)


class ConvTranspose2d(_Transposed):
    """Transposed two-dimensional convolution; arguments as `pycnn.conv_transpose2d`; see `Conv2d`.

    Examples
    --------
    >>> from pycnn import nn
    >>> nn.ConvTranspose2d(100, 64, 4, stride=2, padding=1).output_shape((100, 7, 7))
    (64, 14, 14)
    """

    axes = 2
    operation = staticmethod(pycnn.conv_transpose2d)


class ConvTranspose1d(_Transposed):
    """Transposed one-dimensional convolution; see `ConvTranspose2d`."""

    axes = 1
    operation = staticmethod(pycnn.conv_transpose1d)


class ConvTranspose3d(_Transposed):
    """Transposed three-dimensional convolution; see `ConvTranspose2d`."""

    axes = 3
    operation = staticmethod(pycnn.conv_transpose3d)
