"""What kernels found wrong on a GPU, and waiting for it.

A kernel that finds an array with values that are not allowed cannot raise an exception, and waiting
for its verdict would stop a training step at every loss. So it writes to two words in the memory of
the host (`Slot`), which are looked at later: before the same check runs again, by `synchronize`,
and when the process ends.
"""

import atexit
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from pycnn.runtime.backends import backends

#: What a slot holds until something is found: struct Found of kernels/check/values.cu.
NOTHING = (2**64 - 1, 0)

_slots: list["Slot"] = []


class Slot:
    """Two words for one check, as long as the process lives: a captured graph may write to them.

    Parameters
    ----------
    message : callable
        From what a kernel wrote in the first word to what an exception says.
    """

    def __init__(self, message: Callable[[int], str]) -> None:
        import cupy

        self._cupy = cupy
        self._message = message
        self._memory = cupy.cuda.alloc_pinned_memory(16)
        self._words = np.frombuffer(self._memory, np.uint64, 2)
        self._words[:] = NOTHING
        self._arrays: dict[int, Any] = {}
        if not _slots:
            atexit.register(_report_at_exit)
        _slots.append(self)

    def array(self) -> Any:
        """The words as an array on the current device."""
        device = self._cupy.cuda.runtime.getDevice()
        if device not in self._arrays:
            cuda, memory = self._cupy.cuda, self._memory
            owned = cuda.UnownedMemory(memory.ptr, 16, memory, device_id=device)
            pointer = cuda.MemoryPointer(owned, 0)
            self._arrays[device] = self._cupy.ndarray(2, np.uint64, memptr=pointer)
        return self._arrays[device]

    @property
    def written(self) -> bool:
        """Whether a kernel has written by now."""
        return bool(self._words[1])

    @property
    def devices(self) -> set[int]:
        """Where kernels may still write."""
        return set(self._arrays)

    def taken(self) -> str | None:
        """What was found, once."""
        if not self.written:
            return None
        least = int(self._words[0])
        self._words[:] = NOTHING
        return self._message(least)


def synchronize() -> None:
    """Wait until the GPU has done all it was given, and raise what it found wrong.

    Values of CuPy arrays, such as the class indices of a loss, are checked on the GPU while it
    works (``PYCNN_CHECK_VALUES``), and no operation waits for the outcome. It is raised by the next
    call of that operation that comes after it, and at the latest by this function; a process that
    ends without either says on stderr what is left. Without CuPy there is nothing to wait for.

    Raises
    ------
    ValueError
        If an array held values that are not allowed: what NumPy arrays give at the call, with the
        operation's name before it. It is raised once.

    Examples
    --------
    >>> import pycnn
    >>> pycnn.synchronize()
    """
    if "cupy" not in sys.modules or not backends()[0].available:
        return
    cuda = sys.modules["cupy"].cuda
    for device in {cuda.runtime.getDevice()}.union(*(slot.devices for slot in _slots)):
        with cuda.Device(device):
            cuda.runtime.deviceSynchronize()
    wrong = [message for slot in _slots if (message := slot.taken()) is not None]
    if wrong:
        raise ValueError("; ".join(wrong))


def _report_at_exit() -> None:
    """Say what nobody waited for: an exception would reach nobody any more."""
    try:
        synchronize()
    except Exception as error:  # a device that is lost as well
        print(f"pycnn: found on the GPU, and not raised before the end: {error}", file=sys.stderr)
