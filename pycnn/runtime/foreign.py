"""Arrays of other libraries: seen as NumPy's or CuPy's without a copy, and results given back.

An array comes in by DLPack (``__dlpack__``), or on a GPU by ``__cuda_array_interface__``. What is
in the memory of this process goes on as a NumPy array, what is on a GPU as a CuPy array. Results
go back by the library's own ``from_dlpack``; where it has none, they stay NumPy's or CuPy's. No
library is imported here: an array that comes in proves that its own is loaded.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pycnn.dtypes import FLOAT8, numpy_dtype
from pycnn.runtime.extras import import_extra

#: Of DLPack's devices: the memory of this process, pinned or not, and that of NVIDIA's GPUs.
_HOST, _CUDA = (1, 3), (2, 13)

#: From NumPy 2.1 on an exporter can be told that it must not copy.
_NO_COPY: dict[str, Any] = {"copy": False} if np.lib.NumpyVersion(np.__version__) >= "2.1.0" else {}

Arrays = Mapping[str, Any]


def among(*arrays: Any) -> bool:
    """Whether one is no array of NumPy's or CuPy's, but can be seen as one: `call` does it."""
    for array in arrays:
        if array is None or isinstance(array, np.ndarray):
            continue
        speaks = hasattr(array, "__dlpack__") or hasattr(array, "__cuda_array_interface__")
        if speaks and _owner(array) != "cupy":
            return True
    return False


def call(function: Callable[[dict[str, Any], Any], Any], arrays: Arrays, out: Any) -> Any:
    """What `function` makes of the arrays and `out` as NumPy or CuPy sees them, given back.

    Raises
    ------
    TypeError
        If they are of more than one library, or one cannot be seen without a copy.
    """
    library = _library_of({**arrays, "out": out})
    with library.stream(arrays):
        ours = {n: None if a is None else library.seen(n, a) for n, a in arrays.items()}
        target = None if out is None else library.seen("out", out)
        results = function(ours, target)
        if isinstance(results, tuple):
            return tuple(None if r is None else library.given(r) for r in results)
        return out if out is not None and results is target else library.given(results)


class Library:
    """Any library: what its arrays say of themselves is enough.

    Parameters
    ----------
    name : str
        As error messages call it.
    from_dlpack : callable or None
        Makes its arrays.
    """

    def __init__(self, name: str, from_dlpack: Callable[[Any], Any] | None = None) -> None:
        self.name = name
        self._from_dlpack = from_dlpack

    def stream(self, arrays: Arrays) -> contextlib.AbstractContextManager[Any]:
        """What is current while kernels are launched: CuPy's stream, as DLPack hands it on."""
        return contextlib.nullcontext()

    def seen(self, name: str, array: Any) -> Any:
        """As an array of NumPy's or CuPy's on the same memory."""
        try:
            if not hasattr(array, "__dlpack_device__"):
                return _cupy().asarray(array)  # what has __cuda_array_interface__ is not copied
            device = int(array.__dlpack_device__()[0])
            if device in _HOST:
                return np.from_dlpack(array, **_NO_COPY)
            if device in _CUDA:
                return _cupy().from_dlpack(array)
        except (BufferError, RuntimeError, ValueError) as error:
            raise TypeError(
                f"{name} is an array of {self.name} that cannot be seen without a copy: {error}"
            ) from error
        raise TypeError(
            f"{name} is on a device of type {device} (DLPack); allowed: CPU and NVIDIA GPU"
        )

    def given(self, result: Any) -> Any:
        """A result of ours as an array of this library, on the same memory."""
        return result if self._from_dlpack is None else self._from_dlpack(result)


class Torch(Library):
    """PyTorch, with dtypes of ml_dtypes where DLPack of NumPy has none, gradients, and streams."""

    def __init__(self) -> None:
        super().__init__("torch")
        torch = self._torch = sys.modules["torch"]
        self._strided = torch.strided  # looked up at every call
        self._by_bits = {torch.bfloat16: (torch.int16, "bfloat16")}
        self._by_bits |= {getattr(torch, name): (torch.uint8, name) for name in FLOAT8}
        self._from_numpy = torch.from_numpy

    def stream(self, arrays: Arrays) -> contextlib.AbstractContextManager[Any]:
        """The current one of PyTorch on the device of the arrays, in place of CuPy's."""
        for tensor in arrays.values():
            if tensor is not None and tensor.is_cuda:
                return self._current(tensor.device.index)
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def _current(self, device: int) -> Any:
        cuda, pointer = _cupy().cuda, self._torch.cuda.current_stream(device).cuda_stream
        with cuda.Device(device), cuda.ExternalStream(pointer, device):
            yield

    def seen(self, name: str, array: Any) -> Any:
        torch = self._torch
        if array.requires_grad:
            if torch.is_grad_enabled():
                raise TypeError(
                    f"{name} requires a gradient, which would be lost here; allowed: the function "
                    "of the same name in pycnn.torch, torch.no_grad(), or a detached tensor"
                )
            array = array.detach()
        return self.memory(name, array)

    def memory(self, name: str, tensor: Any) -> Any:
        """As `seen`, of a tensor that requires no gradient."""
        if (own := self._by_bits.get(tensor.dtype)) is not None:
            bits = self._bits(name, _told(name, tensor).view(own[0]))
            return bits.view(numpy_dtype(own[1]))
        return self._bits(name, tensor)

    def _bits(self, name: str, tensor: Any) -> Any:
        if tensor.is_cpu and tensor.layout is self._strided:
            try:
                return tensor.numpy()  # what DLPack gives as well, ten times as fast
            except RuntimeError:
                return _told(name, tensor).numpy()
        return super().seen(name, _told(name, tensor))

    def given(self, result: Any) -> Any:
        back = self._from_numpy if isinstance(result, np.ndarray) else self._torch.from_dlpack
        if result.dtype.kind == "V":  # bfloat16; its name takes microseconds
            return back(result.view(np.int16)).view(self._torch.bfloat16)
        return back(result)


def _told(name: str, tensor: Any) -> Any:
    """The tensor, unless it is a view whose elements stand in memory with the other sign."""
    if tensor.is_neg():
        raise TypeError(f"{name} has its negative bit set; allowed: x.resolve_neg()")
    return tensor


def _library_of(arrays: Arrays) -> Library:
    """The one library that all of them are of."""
    owners = {name: _owner(array) for name, array in arrays.items() if array is not None}
    if len(set(owners.values())) > 1:
        listed = ", ".join(f"{name} is of {owner}" for name, owner in owners.items())
        raise TypeError(f"arrays of different libraries: {listed}; allowed: all of one library")
    (owner,) = set(owners.values())
    if owner == "torch":
        return pytorch()
    array = next(array for array in arrays.values() if array is not None)
    space = getattr(array, "__array_namespace__", None)
    module = sys.modules.get(owner) if space is None else space()
    return Library(owner, getattr(module, "from_dlpack", None))


@functools.cache
def pytorch() -> Torch:
    """PyTorch, which is loaded."""
    return Torch()


def _owner(array: Any) -> str:
    """Name of the library that an array is of: the package that defines its type."""
    for kind in type(array).__mro__:  # a class of the user's may derive from a tensor
        root = kind.__module__.partition(".")[0]
        if root in ("torch", "numpy", "cupy"):
            return root
    return type(array).__module__.partition(".")[0]


def _cupy() -> Any:
    return import_extra("cupy", "cuda13", "an array on a GPU (extra cuda12 for CUDA 12)")
