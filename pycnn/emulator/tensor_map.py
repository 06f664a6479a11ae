"""Tensor maps: what ``cp.async.bulk.tensor`` knows of a tensor, made on the host.

For an array of NumPy they are the emulator's own; for one on a GPU the driver makes them
(``cuTensorMapEncodeTiled``, ``cuTensorMapEncodeIm2col``). The rules are the driver's in both cases.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn.runtime.extras import import_extra

_MAGIC = 0x50414D524F534E54
_ADDRESS_UNIT = 16
_MOST_STRIDE = 1 << 40
_MOST_BOX, _MOST_PIXELS, _MOST_STEP = 256, 1024, 8
_SWIZZLES = {0: 0, 32: 1, 64: 2, 128: 3}
#: As CUtensorMapDataType numbers them.
_TYPES = {
    "uint8": 0, "uint16": 1, "uint32": 2, "int32": 3, "uint64": 4, "int64": 5, "float16": 6,
    "float32": 7, "float64": 8, "bfloat16": 9, "float32_ftz": 10, "tf32": 11, "tf32_ftz": 12,
}  # fmt: skip
_ALIKE = {"int8": "uint8", "bool": "uint8", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8",
          "int16": "uint16"}  # fmt: skip
#: Bounds of the corners of an im2col box, by the rank of the tensor.
_CORNERS = {3: (-(1 << 15), (1 << 15) - 1), 4: (-128, 127), 5: (-16, 15)}


@dataclass(frozen=True, eq=False)
class TensorMap:
    """A tensor map, to be passed as an argument of 128 bytes (``__grid_constant__ CUtensorMap``).

    Attributes
    ----------
    data : bytes
        The 128 bytes.
    array : array
        What it describes, and keeps alive.
    """

    data: bytes
    array: Any

    @property
    def scalar(self) -> np.void:
        """The bytes as a NumPy scalar; an array of them is maps in global memory."""
        return np.frombuffer(self.data, "V128")[0]


@dataclass(frozen=True)
class _Fields:
    """What both kinds have; extents, strides and steps innermost first, as the driver has them."""

    array: Any
    address: int
    type: int
    extents: tuple[int, ...]
    strides: tuple[int, ...]
    steps: tuple[int, ...]
    swizzle: int
    nan: bool


def tensor_map(
    array: Any,
    box: Sequence[int],
    *,
    element_strides: Sequence[int] | None = None,
    swizzle: int = 0,
    fill: str = "zeros",
    dtype: str | None = None,
) -> TensorMap:
    """Describe a tensor of which tiles are copied.

    Parameters
    ----------
    array : array of NumPy, or on a GPU
        Of one to five axes, the last of which is contiguous.
    box : sequence of int
        Extents of a tile, in the order of the array's axes.
    element_strides : sequence of int, optional
        Steps of elements within the box, in the order of the axes; 1 for the last.
    swizzle : {0, 32, 64, 128}, default 0
        Bytes within which chunks of 16 bytes change places in shared memory.
    fill : {"zeros", "nan"}, default "zeros"
        What elements beyond the tensor are.
    dtype : str, optional
        Type of the elements where it is not the array's: ``"tf32"``, ``"bfloat16"``, ...

    Raises
    ------
    ValueError
        If the driver would refuse it; says what is allowed.

    Examples
    --------
    >>> tensor_map(np.zeros((64, 128), np.float16), (8, 64), swizzle=128).data[:8]
    b'TNSORMAP'
    """
    fields = _common(array, element_strides, swizzle, fill, dtype, 1)
    sizes = _of_axes("box", box, len(fields.extents), 1, _MOST_BOX)[::-1]
    _check_inner(sizes[0], _item(fields), swizzle, "box")
    if _on_gpu(array):
        return _of_driver("Tiled", fields, [sizes])
    return _own(fields, box=sizes)


def tensor_map_im2col(
    array: Any,
    lower: Sequence[int],
    upper: Sequence[int],
    channels: int,
    pixels: int,
    *,
    element_strides: Sequence[int] | None = None,
    swizzle: int = 0,
    fill: str = "zeros",
    dtype: str | None = None,
) -> TensorMap:
    """Describe a tensor of images (N, [D, [H,]] W, C) of which columns of pixels are copied.

    Parameters
    ----------
    array, swizzle, fill, dtype
        As of `tensor_map`; three to five axes.
    lower, upper : sequence of int
        Corners of the box of base pixels, against the first and the last pixel of an image, in
        the order of the axes.
    channels, pixels : int
        How many a copy takes: at most 256 and 1024.
    element_strides : sequence of int, optional
        In the order of the axes: steps of base pixels; 1 for the first and last.

    Raises
    ------
    ValueError
        If the driver would refuse it; says what is allowed.
    """
    fields = _common(array, element_strides, swizzle, fill, dtype, 3)
    rank = len(fields.extents)
    low = _of_axes("lower", lower, rank - 2, *_CORNERS[rank])[::-1]
    high = _of_axes("upper", upper, rank - 2, *_CORNERS[rank])[::-1]
    (channels,) = _of_axes("channels", (channels,), 1, 1, _MOST_BOX)
    (pixels,) = _of_axes("pixels", (pixels,), 1, 1, _MOST_PIXELS)
    _check_inner(channels, _item(fields), swizzle, "channels")
    if _on_gpu(array):
        return _of_driver("Im2col", fields, [low, high, channels, pixels])
    return _own(fields, box=(channels, pixels), corners=(low, high))


def _common(
    array: Any, steps: Sequence[int] | None, swizzle: int, fill: str, dtype: str | None, least: int
) -> _Fields:
    if swizzle not in _SWIZZLES:
        raise ValueError(f"swizzle={swizzle}; allowed: {', '.join(map(str, _SWIZZLES))}")
    if fill not in ("zeros", "nan"):
        raise ValueError(f"fill={fill!r}; allowed: zeros, nan")
    name = str(array.dtype) if dtype is None else dtype
    name = _ALIKE.get(name, name)
    if name not in _TYPES:
        raise ValueError(f"dtype={name!r}; allowed: {', '.join((*_TYPES, *_ALIKE))}")
    item = _item_of(name)
    if item != array.dtype.itemsize:
        raise ValueError(f"dtype={name!r} has {item} bytes, the array's {array.dtype.itemsize}")
    if fill == "nan" and _TYPES[name] < _TYPES["float16"]:
        raise ValueError(f"fill='nan' goes with floating types, not with {name}")
    rank = len(array.shape)
    if not least <= rank <= 5:
        raise ValueError(f"an array of {rank} axes; allowed: {least} to 5")
    if not all(1 <= extent <= 1 << 32 for extent in array.shape):
        raise ValueError(f"an array of shape {array.shape}; allowed: extents from 1 to 2**32")
    strides = _strides(array)
    if strides[-1] != item and array.shape[-1] > 1:
        raise ValueError("the last axis of the array must be contiguous")
    if any(s % _ADDRESS_UNIT or not 0 <= s < _MOST_STRIDE for s in strides[:-1]):
        raise ValueError(
            f"strides of {strides[:-1]} bytes; allowed: multiples of {_ADDRESS_UNIT} below 2**40"
        )
    address = _address(array)
    if address % _ADDRESS_UNIT:
        raise ValueError(f"the array begins {address % _ADDRESS_UNIT} bytes past a multiple of 16")
    sizes = _of_axes("element_strides", steps or (1,) * rank, rank, 1, _MOST_STEP)
    return _Fields(array, address, _TYPES[name], tuple(array.shape[::-1]), strides[-2::-1],
                   sizes[::-1], swizzle, fill == "nan")  # fmt: skip


def _of_axes(
    name: str, values: Sequence[int], count: int, least: int, most: int
) -> tuple[int, ...]:
    if len(values) != count or not all(least <= v <= most for v in values):
        raise ValueError(
            f"{name}={tuple(values)}; allowed: {count} {'int' if count == 1 else 'ints'} "
            f"from {least} to {most}"
        )
    return tuple(int(v) for v in values)


def _check_inner(count: int, item: int, swizzle: int, name: str) -> None:
    size = count * item
    if size % 16:
        raise ValueError(f"{name}: {size} bytes of the last axis; allowed: multiples of 16")
    if swizzle and size > swizzle:
        raise ValueError(
            f"{name}: {size} bytes of the last axis; allowed: {swizzle} with swizzle={swizzle}"
        )


def _item_of(name: str) -> int:
    return {"bfloat16": 2, "float32_ftz": 4, "tf32": 4, "tf32_ftz": 4}.get(name) or int(
        np.dtype(name).itemsize
    )


def _item(fields: _Fields) -> int:
    return int(fields.array.dtype.itemsize)


def _on_gpu(array: Any) -> bool:
    return hasattr(array, "__cuda_array_interface__")


def _address(array: Any) -> int:
    interface = array.__cuda_array_interface__ if _on_gpu(array) else array.__array_interface__
    return int(interface["data"][0])


def _strides(array: Any) -> tuple[int, ...]:
    return tuple(int(s) for s in array.strides)


def _own(
    fields: _Fields,
    box: tuple[int, ...],
    corners: tuple[tuple[int, ...], tuple[int, ...]] | None = None,
) -> TensorMap:
    """The bytes as emulator/tensor_map.h reads them."""

    def filled(values: Sequence[int], count: int) -> list[int]:
        return [*values, *([0] * (count - len(values)))]

    low, high = corners or ((), ())
    data = struct.pack(
        "<QQ8B5I4x4Q5H5Bx3h3h20x",
        _MAGIC, fields.address, len(fields.extents), fields.type, 0, _SWIZZLES[fields.swizzle],
        fields.nan, corners is not None, 0, 0, *filled([n - 1 for n in fields.extents], 5),
        *filled(fields.strides, 4), *filled(box, 5), *filled(fields.steps, 5), *filled(low, 3),
        *filled(high, 3),
    )  # fmt: skip
    return TensorMap(data, fields.array)


def _of_driver(kind: str, fields: _Fields, numbers: list[Any]) -> TensorMap:
    """What the driver makes of it."""
    driver = import_extra("cuda.bindings.driver", "compile", "tensor maps of arrays on a GPU")

    def words(type: Any, values: Sequence[int]) -> list[Any]:
        return [type(v) for v in values]

    own = [words(driver.cuuint32_t, n) if kind == "Tiled" else n for n in numbers]
    error, encoded = getattr(driver, f"cuTensorMapEncode{kind}")(
        driver.CUtensorMapDataType(fields.type), len(fields.extents), fields.address,
        words(driver.cuuint64_t, fields.extents), words(driver.cuuint64_t, fields.strides), *own,
        words(driver.cuuint32_t, fields.steps), driver.CUtensorMapInterleave(0),
        driver.CUtensorMapSwizzle(_SWIZZLES[fields.swizzle]), driver.CUtensorMapL2promotion(0),
        driver.CUtensorMapFloatOOBfill(int(fields.nan)),
    )  # fmt: skip
    if int(error):
        raise ValueError(f"the driver refuses the tensor map: {error}")
    data = b"".join(int(word).to_bytes(8, "little") for word in encoded.opaque)
    return TensorMap(data, fields.array)
