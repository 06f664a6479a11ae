"""Arrays of other libraries, as NumPy sees the memory they have in this process."""

import ctypes
from typing import Any

import numpy as np

from pycnn.emulator.guarded import Following, Pointer
from pycnn.emulator.tensor_map import TensorMap

#: What goes to a kernel as it is; the usual ones are asked for first, as a launch is to be short.
_PLAIN = (
    np.ndarray, np.generic, int, float, bool, Pointer, TensorMap, Following, type(None),
)  # fmt: skip
_USUAL = frozenset((*_PLAIN, np.int32, np.int64, np.float32, np.float64))


def host_arguments(arguments: Any) -> list[Any]:
    """Arguments of a launch, with NumPy arrays in place of the arrays of other libraries.

    Taken is what has memory of this process: tensors of PyTorch's CPU build, whatever speaks
    DLPack or NumPy's array interface.

    Raises
    ------
    TypeError
        If an array is on a GPU.
    """
    return [
        a if type(a) in _USUAL or isinstance(a, _PLAIN) else _host(i, a)
        for i, a in enumerate(arguments)
    ]


def refuse_objects(arguments: Any) -> None:
    """Raise `TypeError` at an array of Python objects, whose references no kernel may touch."""
    for index, argument in enumerate(arguments):
        array = argument.array if isinstance(argument, Pointer) else argument
        if isinstance(array, np.ndarray) and array.dtype.hasobject:
            raise TypeError(f"argument {index} is an array of Python objects")


def _host(index: int, argument: Any) -> Any:
    if hasattr(argument, "__cuda_array_interface__"):
        raise TypeError(
            f"argument {index} is a {_kind(argument)} on a GPU; "
            "allowed in the emulator: arrays in memory of this process"
        )
    if hasattr(argument, "data_ptr") and hasattr(argument, "element_size"):
        return _of_tensor(index, argument)
    if hasattr(argument, "__dlpack__"):
        try:
            return np.from_dlpack(argument)
        except (BufferError, RuntimeError, TypeError) as error:
            raise TypeError(
                f"argument {index} is a {_kind(argument)} that NumPy cannot see ({error}); "
                "allowed in the emulator: arrays in memory of this process"
            ) from error
    if hasattr(argument, "__array_interface__"):
        return np.asarray(argument)
    return argument  # the kernel's own parameters decide


def _kind(argument: Any) -> str:
    return f"{type(argument).__module__}.{type(argument).__qualname__}"


def _of_tensor(index: int, tensor: Any) -> np.ndarray:
    """The memory of a tensor of PyTorch, whose types NumPy has not all of."""
    if tensor.device.type != "cpu":
        raise TypeError(
            f"argument {index} is a tensor on {tensor.device}; allowed in the emulator: cpu"
        )
    if tensor.is_neg() or tensor.is_conj():  # memory holds other values than the tensor has
        raise TypeError(
            f"argument {index} has its negative or conjugate bit set; "
            "allowed: x.resolve_neg().resolve_conj()"
        )
    size, shape = tensor.element_size(), tuple(tensor.shape)
    dtype = _dtype(str(tensor.dtype).removeprefix("torch."), size)
    if 0 in shape:
        return np.empty(shape, dtype)
    strides = tuple(size * stride for stride in tensor.stride())
    extent = size + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    memory = (ctypes.c_uint8 * extent).from_address(tensor.data_ptr())
    return np.ndarray(shape, dtype, memory, strides=strides)


def _dtype(name: str, size: int) -> np.dtype:
    """NumPy's type of that name, or bytes where it has none."""
    try:
        dtype = np.dtype(name)
    except TypeError:  # bfloat16, float8_e4m3fn ...
        try:
            import ml_dtypes

            dtype = np.dtype(getattr(ml_dtypes, name))
        except (ImportError, AttributeError):
            return np.dtype(f"V{size}")
    return dtype if dtype.itemsize == size else np.dtype(f"V{size}")
