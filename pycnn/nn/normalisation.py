"""Normalisations as layers."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pycnn
from pycnn.define.trace import is_tracing
from pycnn.define.validate import number
from pycnn.nn.convolution import positive
from pycnn.nn.function import Function
from pycnn.nn.init import constant
from pycnn.nn.layer import Layer
from pycnn.nn.statistics import gathered


class _Affine(Layer):
    """Has a factor and a summand a channel, unless told otherwise."""

    full_precision = True

    def _add_affine(self, shape: tuple[int, ...], affine: bool, dtype: str) -> None:
        if affine:
            self.params["weight"] = constant(shape, 1.0, dtype)
            self.params["bias"] = constant(shape, 0.0, dtype)

    def _affine(self) -> tuple[Any, Any]:
        return (self["weight"], self["bias"]) if self.params else (None, None)

    def _add_running(self, shape: tuple[int, ...], dtype: str) -> None:
        self.buffers["running_mean"] = constant(shape, 0.0, dtype)
        self.buffers["running_var"] = constant(shape, 1.0, dtype)


class _BatchNorm(_Affine):
    """Normalises, and applies the rectified linear unit where `fuse_norms` says so."""

    ranks: ClassVar[tuple[int, ...]]
    activation: str | None = None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        *,
        layout: str = "NCHW",
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        (num_features,) = positive(num_features=num_features)
        self.num_features, self.eps, self.layout = num_features, eps, layout
        self.momentum = number("momentum", momentum, 0, 1)
        self._add_affine((num_features,), affine, dtype)
        self._add_running((num_features,), dtype)

    def compute(self, x: Any) -> Any:
        return self.compute_onto(x, None)

    def compute_onto(self, x: Any, residual: Any) -> Any:
        if x.ndim not in self.ranks:
            allowed = " or ".join(map(str, self.ranks))
            raise ValueError(f"x has shape {x.shape}; allowed: {allowed} axes")
        mean, var = self["running_mean"], self["running_var"]
        weight, bias = self._affine()
        operands = (x, mean, var, weight, bias)
        settings: dict[str, Any] = {"eps": self.eps, "layout": self.layout}
        if not self.training or is_tracing():
            return self._followed(pycnn.batch_norm(*operands, **settings), residual)
        apart = gathered.get()
        together = None if apart is None else apart.together
        momentum = self.momentum if apart is None else 1.0  # which makes the new ones the batch's
        fused = self.activation is not None and together is None
        if together is not None:
            y, *new = together(x, weight, bias, **settings)
        elif fused:
            settings |= {"momentum": momentum, "residual": residual}
            y, _, _, *new = pycnn.batch_norm_relu_train(*operands, **settings)
        else:
            y, _, _, *new = pycnn.batch_norm_train(*operands, momentum=momentum, **settings)
        y = y if fused else self._followed(y, residual)
        if apart is None:
            mean[...], var[...] = new  # in place: a state_dict taken before sees them
        else:
            apart.append((self, *new))
        return y

    def _followed(self, y: Any, residual: Any) -> Any:
        """By the sum and the activation, one by one."""
        y = y if residual is None else pycnn.add(y, residual)
        return y if self.activation is None else pycnn.relu(y)


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, W); see `BatchNorm2d`."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W).

    In training each channel gets the mean and variance of the batch taken off, and running ones
    move towards them by `momentum`; in evaluation the running ones are used.

    Parameters
    ----------
    num_features : int
        Channels.
    eps, momentum, layout
        As `pycnn.batch_norm`.
    affine : bool, default True
        Whether a weight, at first one, and a bias, at first zero, are learnt.
    dtype : str, default "float32"

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch normalization", 2015, algorithms 1 and 2.

    Examples
    --------
    >>> from pycnn import nn
    >>> nn.BatchNorm2d(64).parameter_count
    128
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W); see `BatchNorm2d`."""

    ranks = (5,)


class LayerNorm(_Affine):
    """Over the last axes of each example; arguments as `pycnn.layer_norm`."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        axes = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        self.normalized_shape = tuple(map(int, axes))
        self.eps = eps
        self._add_affine(self.normalized_shape, affine, dtype)

    def compute(self, x: Any) -> Any:
        return pycnn.layer_norm(x, self.normalized_shape, *self._affine(), self.eps)


class GroupNorm(_Affine):
    """Over groups of channels of each example; arguments as `pycnn.group_norm`."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        layout: str = "NCHW",
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        num_groups, num_channels = positive(num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ValueError(f"num_channels={num_channels} is no multiple of {num_groups} groups")
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.layout = eps, layout
        self._add_affine((num_channels,), affine, dtype)

    def compute(self, x: Any) -> Any:
        weight, bias = self._affine()
        return pycnn.group_norm(x, self.num_groups, weight, bias, self.eps, layout=self.layout)


class InstanceNorm(_Affine):
    """Over each channel of each example; see `pycnn.instance_norm`.

    Parameters
    ----------
    num_features : int
        Channels.
    eps, momentum, layout
        As `pycnn.instance_norm`.
    affine : bool, default False
        Whether a weight, at first one, and a bias, at first zero, are learnt.
    track_running_stats : bool, default False
        Whether running statistics are kept, by which x is normalised in evaluation.
    dtype : str, default "float32"
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        layout: str = "NCHW",
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        (num_features,) = positive(num_features=num_features)
        self.num_features, self.eps, self.layout = num_features, eps, layout
        self.momentum, self.track_running_stats = momentum, track_running_stats
        self._add_affine((num_features,), affine, dtype)
        if track_running_stats:
            self._add_running((num_features,), dtype)

    def compute(self, x: Any) -> Any:
        mean, var = [self[name] for name in self.buffers] or (None, None)
        own = not self.track_running_stats or (self.training and not is_tracing())
        return pycnn.instance_norm(
            x, mean, var, *self._affine(), own, self.momentum, self.eps, layout=self.layout
        )


class LocalResponseNorm(Function, operation="local_response_norm"):
    """Over neighbouring channels; arguments as `pycnn.local_response_norm`.

    References
    ----------
    A. Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", 2012,
    section 3.3.
    """

    full_precision = True
