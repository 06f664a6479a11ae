"""Fourier transforms."""

import math
from typing import Any

import numpy as np

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.limits import check_size
from pycnn.onnx.operators.arrays import normal_axis, scalar
from pycnn.onnx.operators.casting import dtype_of
from pycnn.onnx.operators.registry import operator


def _complex(x: Any) -> Any:
    """Of a last axis of one or two: real, or real and imaginary."""
    if x.shape[-1] == 1:
        return x[..., 0] + 0j
    if x.shape[-1] != 2:
        raise OnnxError(f"a last axis of {x.shape[-1]}; allowed: 1, 2")
    return x[..., 0] + 1j * x[..., 1]


def _pair(z: Any, dtype: Any) -> Any:
    return np.stack([z.real, z.imag], -1).astype(dtype)


@operator("DFT", since=20)
def dft(
    x: Any, length: Any = None, axis: Any = None, *, inverse: int = 0, onesided: int = 0
) -> Any:
    return _dft(x, length, -2 if axis is None else scalar(axis), inverse, onesided)


@operator("DFT", since=17)
def dft_17(
    x: Any, length: Any = None, *, axis: int = 1, inverse: int = 0, onesided: int = 0
) -> Any:
    return _dft(x, length, axis, inverse, onesided)


def _dft(x: Any, length: Any, axis: int, inverse: int, onesided: int) -> Any:
    along = normal_axis(axis, x.ndim)
    if along == x.ndim - 1:
        raise OnnxError("the axis of real and imaginary parts")
    whole = x.shape[along] if not (onesided and inverse) else 2 * (x.shape[along] - 1)
    n = whole if length is None else scalar(length)
    check_size([x.size // max(x.shape[along], 1), n], 16)
    if onesided and inverse:
        return np.fft.irfft(_complex(x), n, along)[..., None].astype(x.dtype)
    z = (np.fft.ifft if inverse else np.fft.fft)(_complex(x), n, along)
    if onesided:
        z = np.take(z, np.arange(n // 2 + 1), along)
    return _pair(z, x.dtype)


@operator("STFT")
def stft(
    x: Any, frame_step: Any, window: Any = None, frame_length: Any = None, *, onesided: int = 1
) -> Any:
    step = scalar(frame_step)
    length = scalar(frame_length) if frame_length is not None else len(window)
    signal = _complex(x) if x.ndim == 3 else x
    if step < 1 or not 1 <= length <= signal.shape[1]:
        raise OnnxError(f"frames of length {length} every {step} of {signal.shape[1]} samples")
    count = 1 + (signal.shape[1] - length) // step
    places = np.arange(count)[:, None] * step + np.arange(length)
    frames = signal[:, places] * (1 if window is None else window)
    z = np.fft.fft(frames, axis=-1)
    return _pair(z[..., : length // 2 + 1] if onesided else z, x.dtype)


@operator("MelWeightMatrix")
def mel_weight_matrix(
    bands: Any, length: Any, rate: Any, lowest: Any, highest: Any, *, output_datatype: int = 1
) -> Any:
    """Triangles over the bins of a spectrum, their corners equally far apart on the mel scale."""
    count, bins = scalar(bands), scalar(length) // 2 + 1
    check_size([bins, count], 8)
    low, high = (2595 * math.log10(1 + scalar(f) / 700) for f in (lowest, highest))
    mel = low + np.arange(count + 2) * ((high - low) / (count + 2))
    corners = np.floor((scalar(length) + 1) * 700 * (10 ** (mel / 2595) - 1) / scalar(rate))
    corners = corners.astype(np.int64)
    matrix = np.zeros((bins, count))
    for band, (left, middle, right) in enumerate(
        zip(corners, corners[1:], corners[2:], strict=False)
    ):
        if left == middle:
            matrix[middle, band] = 1
        else:
            rising = np.arange(left, middle + 1)
            matrix[rising, band] = (rising - left) / (middle - left)
        if middle < right:
            falling = np.arange(middle, right)
            matrix[falling, band] = (right - falling) / (right - middle)
    return matrix.astype(dtype_of(output_datatype))
