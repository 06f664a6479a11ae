"""Tensor maps of a plan, encoded: by the driver for a GPU, by the emulator's own for itself."""

from typing import Any

import numpy as np

from pycnn import emulator
from pycnn.dtypes import numpy_dtype
from pycnn.runtime.plan import ALIGNED, TensorMap

#: Bytes of a map.
SIZE = 128


class _OnGpu:
    """What the encoder asks of an array."""

    def __init__(self, described: TensorMap, address: int) -> None:
        self.shape, self.strides = described.shape, _strides(described)
        self.dtype = _dtype(described)
        self.__cuda_array_interface__ = {"data": (address, False)}


class _InMemory:
    """A view of memory that an array keeps alive, which `numpy.asarray` takes."""

    def __init__(self, described: TensorMap, array: np.ndarray) -> None:
        interface, offset = array.__array_interface__, described.array.offset
        size = _dtype(described).itemsize
        self.base = array
        self.__array_interface__ = {
            "version": 3, "typestr": f"<u{size}", "data": (interface["data"][0] + offset, False),
            "shape": described.shape, "strides": _strides(described),
        }  # fmt: skip


def bytes_of(described: TensorMap, address: int) -> bytes:
    """The map of an array on a GPU that begins at `address`, by the driver.

    Raises
    ------
    ValueError
        If the driver refuses it, or would; says what is allowed.
    """
    if address % ALIGNED and described.optional:
        return bytes(SIZE)
    return _encoded(described, _OnGpu(described, address)).data


def map_of(described: TensorMap, array: np.ndarray) -> emulator.TensorMap:
    """The emulator's map of an array in memory; raises as `bytes_of`."""
    view = np.asarray(_InMemory(described, array)).view(_dtype(described))
    if view.ctypes.data % ALIGNED and described.optional:
        return emulator.TensorMap(bytes(SIZE), view)
    return _encoded(described, view)


def _dtype(described: TensorMap) -> np.dtype:
    """Of the array; TF32 is what float32 is rounded to on the way."""
    return numpy_dtype("float32" if described.dtype == "tf32" else described.dtype)


def _strides(described: TensorMap) -> tuple[int, ...]:
    size = _dtype(described).itemsize
    return tuple(stride * size for stride in described.strides)


def _encoded(described: TensorMap, array: Any) -> emulator.TensorMap:
    common: dict[str, Any] = {"swizzle": described.swizzle, "dtype": described.dtype}
    try:
        if described.corners is None:
            return emulator.tensor_map(array, described.box, **common)
        pixels, channels = described.box
        return emulator.tensor_map_im2col(
            array, *described.corners, channels, pixels,
            element_strides=(1, *described.steps, 1), **common,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(f"tensor map of {described.array.name}: {error}") from None
