"""The hooks of the stand-in libraries: what they have Python do."""

import ctypes
import functools
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from pycnn_standin import libraries
from pycnn_standin.cubin import Image
from pycnn_standin.modules import (
    INVALID_VALUE,
    LARGEST_SHARED,
    LAUNCH_FAILED,
    NOT_SUPPORTED,
    SUCCESS,
    Function,
    Module,
)

#: ``kInterrupted`` of ``driver.cpp``.
INTERRUPTED = -1

#: CUfunction_attribute, as far as CuPy asks for them by default.
MAX_THREADS, SHARED_SIZE, CONST_SIZE, LOCAL_SIZE, REGISTERS, MAX_DYNAMIC_SHARED = 0, 1, 2, 3, 4, 8

_int, _long, _pointer = ctypes.c_int, ctypes.c_long, ctypes.c_void_p
_dim3 = ctypes.POINTER(ctypes.c_uint)


class Hooks(ctypes.Structure):
    """``standin::Hooks``."""

    _fields_ = (
        ("load", ctypes.CFUNCTYPE(_long, _pointer)),
        ("function", ctypes.CFUNCTYPE(_long, _long, ctypes.c_char_p)),
        ("attribute", ctypes.CFUNCTYPE(_int, _long, _int)),
        ("set_attribute", ctypes.CFUNCTYPE(_int, _long, _int, _int)),
        (
            "launch",
            ctypes.CFUNCTYPE(
                _int, _long, _dim3, _dim3, ctypes.c_uint, ctypes.POINTER(_pointer), _int
            ),
        ),
        (
            "transform",
            ctypes.CFUNCTYPE(_int, ctypes.POINTER(libraries.Transform), _pointer, _pointer, _int),
        ),
        ("product", ctypes.CFUNCTYPE(_int, ctypes.POINTER(libraries.Product))),
    )


def _reported(failure: int) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """No exception leaves a hook: it is shown, and the driver returns `failure`."""

    def decorate(hook: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(hook)
        def wrapper(*args: Any) -> int:
            try:
                return hook(*args)
            except KeyboardInterrupt:
                return INTERRUPTED
            except Exception:
                traceback.print_exc()
                return failure

        return wrapper

    return decorate


class Driver:
    """The hooks, and what has been loaded; handles are numbers from 1 on."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._modules: list[Module] = []
        self._functions: list[Function] = []

    @_reported(0)
    def load(self, image: int) -> int:
        self._modules.append(Module(Image(image)))
        return len(self._modules)

    @_reported(0)
    def function(self, module: int, name: bytes) -> int:
        self._functions.append(Function(self._modules[module - 1], name.decode()))
        return len(self._functions)

    @_reported(0)
    def attribute(self, number: int, which: int) -> int:
        function = self._functions[number - 1]
        if which < 0:  # the bytes of an argument; 0 behind the last
            parameters = function.kernel.parameters[-1 - which :]
            return parameters[0].size if parameters else 0
        values = {
            MAX_THREADS: function.threads,
            SHARED_SIZE: function.resources.shared,
            CONST_SIZE: function.resources.constant,
            LOCAL_SIZE: function.resources.local,
            REGISTERS: function.resources.registers,
            MAX_DYNAMIC_SHARED: function.dynamic_limit,
        }
        return values.get(which, 0)

    @_reported(INVALID_VALUE)
    def set_attribute(self, number: int, which: int, value: int) -> int:
        function = self._functions[number - 1]
        if which != MAX_DYNAMIC_SHARED:
            return NOT_SUPPORTED
        if not 0 <= value <= LARGEST_SHARED - function.resources.shared:
            return INVALID_VALUE
        function.dynamic_limit = value
        return SUCCESS

    @_reported(LAUNCH_FAILED)
    def launch(
        self, number: int, grid: Any, block: Any, shared: int, memory: Any, cooperative: int
    ) -> int:
        return self._functions[number - 1].launch(
            tuple(grid[:3]), tuple(block[:3]), shared, memory, bool(cooperative), self._device_of
        )

    @_reported(LAUNCH_FAILED)
    def transform(self, plan: Any, source: int, target: int, direction: int) -> int:
        with np.errstate(all="ignore"):  # a GPU warns of nothing
            libraries.transform(plan.contents, source, target, direction)
        return SUCCESS

    @_reported(LAUNCH_FAILED)
    def product(self, call: Any) -> int:
        with np.errstate(all="ignore"):
            libraries.product(call.contents)
        return SUCCESS

    def _device_of(self, address: int) -> int:
        return int(self._library.standin_device_of(ctypes.c_void_p(address)))


def install(library: ctypes.CDLL) -> Hooks:
    """Give the library its hooks; they must live as long as it may call them."""
    driver = Driver(library)
    hooks = Hooks(*(kind(getattr(driver, name)) for name, kind in Hooks._fields_))
    library.standin_hooks(ctypes.byref(hooks))
    return hooks
