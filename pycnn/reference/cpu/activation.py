"""Activations and their gradients on the CPU.

Every function writes its result into `out`, which may be one of its arrays: it is written last.
Settings come in the order of the public function's arguments. `pycnn.reference.cpu._elementwise`
calls them block by block, or a compiled loop of that name.
"""

from typing import Any

import numpy as np

from pycnn.reference.cpu._normal import normal_cdf

Array = np.ndarray

#: Constants of selu: Klambauer et al., Self-normalizing neural networks, 2017.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805

ROOT, CUBIC = 2 * np.sqrt(2 / np.pi), 0.044715  # of gelu by tanh


def relu(x: Array, out: Any) -> None:
    np.maximum(x, 0, out=out)


def relu_backward(dy: Array, x: Array, out: Any) -> None:
    _zero_where(x <= 0, dy, out)


def _zero_where(mask: Array, dy: Array, out: Any) -> None:
    """dy, and 0 where the mask is set; by its bits.

    `np.where` branches for every element, and each second branch is mispredicted; a product with
    the mask would make NaN of infinities.
    """
    bits = np.dtype(f"i{dy.dtype.itemsize}")
    kept = (mask.view(np.int8) - np.int8(1)).astype(bits)  # -1, which is all bits, or 0
    np.bitwise_and(dy.view(bits), kept, out=out.view(bits))


def relu6(x: Array, out: Any) -> None:
    clip(x, 0.0, 6.0, out)


def relu6_backward(dy: Array, x: Array, out: Any) -> None:
    hardtanh_backward(dy, x, 0.0, 6.0, out)


def clip(x: Array, low: float, high: float, out: Any) -> None:
    np.minimum(np.maximum(x, low), high, out=out)


def clip_backward(dy: Array, x: Array, low: float, high: float, out: Any) -> None:
    _zero_where(~((x >= low) & (x <= high)), dy, out)


def hardtanh(x: Array, low: float, high: float, out: Any) -> None:
    clip(x, low, high, out)


def hardtanh_backward(dy: Array, x: Array, low: float, high: float, out: Any) -> None:
    _zero_where((x <= low) | (x >= high), dy, out)


def leaky_relu(x: Array, slope: float, out: Any) -> None:
    _put(out, np.where(x > 0, x, x * slope))


def leaky_relu_backward(dy: Array, x: Array, slope: float, out: Any) -> None:
    _put(out, np.where(x > 0, dy, dy * slope))


def elu(x: Array, alpha: float, out: Any) -> None:
    _put(out, np.where(x > 0, x, alpha * np.expm1(x)))


def elu_backward(dy: Array, x: Array, alpha: float, out: Any) -> None:
    _put(out, np.where(x <= 0, dy * (alpha * np.exp(x)), dy))


def selu(x: Array, out: Any) -> None:
    elu(x, SELU_ALPHA, out)
    np.multiply(out, SELU_SCALE, out=out)


def selu_backward(dy: Array, x: Array, out: Any) -> None:
    elu_backward(dy, x, SELU_ALPHA, out)
    np.multiply(out, SELU_SCALE, out=out)


def celu(x: Array, alpha: float, out: Any) -> None:
    _put(out, np.where(x > 0, x, alpha * np.expm1(x / alpha)))


def celu_backward(dy: Array, x: Array, alpha: float, out: Any) -> None:
    _put(out, np.where(x <= 0, dy * np.exp(x / alpha), dy))


def sigmoid(x: Array, out: Any) -> None:
    np.copyto(out, logistic(x))


def sigmoid_backward(dy: Array, x: Array, out: Any) -> None:
    np.multiply(dy, _logistic_slope(x), out=out)


def hardsigmoid(x: Array, out: Any) -> None:
    np.multiply(np.minimum(np.maximum(x + 3, 0), 6), 1 / 6, out=out)


def hardsigmoid_backward(dy: Array, x: Array, out: Any) -> None:
    _put(out, np.where(np.abs(x) < 3, dy * (1 / 6), 0))


def tanh(x: Array, out: Any) -> None:
    np.tanh(x, out=out)


def tanh_backward(dy: Array, x: Array, out: Any) -> None:
    np.multiply(dy, 4 * _logistic_slope(2 * x), out=out)


def softplus(x: Array, beta: float, threshold: float, out: Any) -> None:
    t = x * beta
    soft = (np.maximum(t, 0) + np.log1p(np.exp(-np.abs(t)))) / beta
    _put(out, np.where(t > threshold, x, soft))


def softplus_backward(dy: Array, x: Array, beta: float, threshold: float, out: Any) -> None:
    t = x * beta
    _put(out, np.where(t > threshold, dy, dy * logistic(t)))


def softsign(x: Array, out: Any) -> None:
    np.divide(x, 1 + np.abs(x), out=out)


def softsign_backward(dy: Array, x: Array, out: Any) -> None:
    r = 1 / (1 + np.abs(x))
    np.multiply(dy, r * r + 0 * x, out=out)  # 0 * x: NaN at infinities, where y is NaN


def gelu(x: Array, approximate: str, out: Any) -> None:
    if approximate == "tanh":
        np.multiply(x, logistic(ROOT * (x + CUBIC * x * x * x)), out=out)
    else:
        np.multiply(x, normal_cdf(x), out=out)


def gelu_backward(dy: Array, x: Array, approximate: str, out: Any) -> None:
    if approximate == "tanh":
        u = ROOT * (x + CUBIC * x * x * x)
        gate = logistic(u)
        near = np.minimum(np.abs(x), 64)  # its square is finite; beyond, the slope is 0
        slope = _logistic_slope(u) * (ROOT * (1 + 3 * CUBIC * near * near))
    else:
        gate = normal_cdf(x)
        slope = np.exp(-x * x / 2) * (1 / np.sqrt(2 * np.pi))
    np.multiply(dy, gate + x * slope, out=out)


def silu(x: Array, out: Any) -> None:
    np.multiply(x, logistic(x), out=out)


def silu_backward(dy: Array, x: Array, out: Any) -> None:
    np.multiply(dy, logistic(x) + x * _logistic_slope(x), out=out)


def hardswish(x: Array, out: Any) -> None:
    np.multiply(x, np.minimum(np.maximum(x + 3, 0), 6) * (1 / 6), out=out)


def hardswish_backward(dy: Array, x: Array, out: Any) -> None:
    slope = np.where(x < 3, x * (1 / 3) + 0.5, 1)
    _zero_where(x <= -3, dy * slope.astype(x.dtype, copy=False), out)


def mish(x: Array, out: Any) -> None:
    np.multiply(x, _mish_gate(x)[0], out=out)


def mish_backward(dy: Array, x: Array, out: Any) -> None:
    gate, complement = _mish_gate(x)
    np.multiply(dy, gate + x * complement * logistic(x), out=out)


def _put(out: Any, value: Array) -> None:
    np.copyto(out, value, casting="same_kind")


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)), from exp(-|x|): keeps its digits as far down as there are numbers."""
    e = np.exp(-np.abs(x))
    return np.where(x > 0, x.dtype.type(1), e) / (1 + e)


def _logistic_slope(x: Array) -> Array:
    """s(x) (1 - s(x)) of s(x) = 1 / (1 + exp(-x)), without the cancellation."""
    e = np.exp(-np.abs(x))
    return e / ((1 + e) * (1 + e))


def _mish_gate(x: Array) -> tuple[Array, Array]:
    """t = tanh(log(1 + exp(x))) and 1 - t^2; see kernels/activation/mish.cu."""
    e = np.exp(-np.abs(x))
    above = np.where(x > 0, 1 + 2 * e, e * (e + 2))
    rest = np.where(x > 0, 2 * e * e, 2)
    below = above + rest
    return above / below, rest * (above + below) / (below * below)
