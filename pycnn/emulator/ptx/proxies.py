"""Fences between proxies: the ways by which threads and asynchronous units reach memory."""

from typing import Any

from pycnn.emulator.ptx.emit import Emitter
from pycnn.emulator.ptx.syntax import Instruction

Modifiers = dict[str, Any]


def fence(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``fence.proxy.async``: asynchronous units may use what the thread knows."""
    e.runtime("proxy_fence", "void")


def init_fence(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``fence.mbarrier_init``: the cluster may use the barriers that the thread has initialised."""
    e.runtime("init_fence", "void")


def other_fence(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``fence.proxy.alias``, ``.tensormap``: there is one view of memory, all of it coherent."""
    e.runtime("fence", "void")
