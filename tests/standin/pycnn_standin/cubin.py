"""What a cubin says of its kernels, and the PTX that the stand-in NVRTC put behind it."""

import ctypes
from functools import cached_property
from typing import Any

#: ``kMagic`` of ``nvrtc.cpp``.
_MAGIC = b"pycnn stand-in\0"


class Image:
    """What is given to the driver as a module: an address without a size, of a cubin or of PTX."""

    def __init__(self, address: int) -> None:
        self.address = address
        self._is_cubin = ctypes.string_at(address, 4) == b"\x7fELF"

    @cached_property
    def _elf(self) -> Any:
        from pycnn.runtime.elf import Elf  # where a process starts, nothing of pycnn is loaded

        return Elf(lambda offset, size: ctypes.string_at(self.address + offset, size))

    @property
    def resources(self) -> dict[str, Any]:
        """What every entry takes of the device; of PTX nobody knows."""
        return self._elf.resources() if self._is_cubin else {}

    @property
    def ptx(self) -> str:
        """The PTX to run.

        Raises
        ------
        ValueError
            If it is a cubin that the stand-in NVRTC did not compile.
        """
        if not self._is_cubin:
            return ctypes.string_at(self.address).decode()
        end = self.address + self._elf.size
        # The file may be padded by a few bytes.
        found = ctypes.string_at(end, len(_MAGIC) + 16).find(_MAGIC)
        if found < 0:
            raise ValueError("a cubin that the stand-in NVRTC did not compile: nothing can run it")
        return ctypes.string_at(end + found + len(_MAGIC)).decode()
