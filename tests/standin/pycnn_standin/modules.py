"""Modules and launches of the stand-in driver: PTX, which pycnn's emulator runs.

``PYCNN_STANDIN_CHECKED=1`` runs every kernel in the checked build: CuPy's own kernels, too.
"""

import ctypes
import os
import re
import sys
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from pycnn_standin.cubin import Image

SUCCESS, INVALID_VALUE, NOT_SUPPORTED = 0, 1, 801
ILLEGAL_ADDRESS, OUT_OF_RESOURCES, LAUNCH_FAILED = 700, 701, 719

#: Shared memory of a block: without asking for more, and at most.
DEFAULT_SHARED, LARGEST_SHARED = 48 * 1024, 227 * 1024
REGISTERS_OF_A_BLOCK = 65536


#: A parameter that becomes an address of global memory: PTX does not say which are pointers.
_LOADED = re.compile(r"ld\.param\.[ub]64\s+(%\w+),\s*\[(\w+)\]")
_GLOBAL = re.compile(r"cvta\.to\.global\.u64\s+%\w+,\s*(%\w+)")


class Module:
    """A loaded image, as its PTX."""

    def __init__(self, image: Image) -> None:
        from pycnn.emulator import PtxModule

        self.resources = image.resources
        checked = os.environ.get("PYCNN_STANDIN_CHECKED") == "1"
        # CuPy's reductions have all lanes write what they have in common.
        self.text = image.ptx
        self.ptx = PtxModule(self.text, checked=checked, same_value_races=False)


class Function:
    """A kernel of a module, and what its machine code takes of the device."""

    def __init__(self, module: Module, name: str) -> None:
        from pycnn.runtime.elf import Resources

        self.kernel = module.ptx.get_function(name)
        _, _, text = module.text.partition(f".entry {name}(")
        body = text.partition("\n}\n")[0]
        addresses = set(_GLOBAL.findall(body))
        self.pointers = {name for register, name in _LOADED.findall(body) if register in addresses}
        self.resources = module.resources.get(name, Resources(0, 0, 0, 0, None))
        self.threads = self.resources.threads or 1024
        self.dynamic_limit = DEFAULT_SHARED - self.resources.shared

    def launch(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        shared: int,
        memory: Any,
        cooperative: bool,
        device_of: Callable[[int], int],
    ) -> int:
        threads = prod(block)
        if shared > self.dynamic_limit or threads > self.threads:
            return INVALID_VALUE
        if self.resources.registers * threads > REGISTERS_OF_A_BLOCK:
            return OUT_OF_RESOURCES
        arguments: list[object] = []
        for i, parameter in enumerate(self.kernel.parameters):
            raw = ctypes.string_at(memory[i], parameter.size)
            if parameter.name in self.pointers and not parameter.is_array:
                address = int.from_bytes(raw, "little")
                if address and device_of(address) < 0:
                    print(f"stand-in: argument {i} of {self.kernel.name} points to no memory of a "
                          f"device: {address:#x}", file=sys.stderr)  # fmt: skip
                    return ILLEGAL_ADDRESS
                arguments.append(address)
            else:
                arguments.append(np.void(raw))
        self.kernel.max_dynamic_shared_size_bytes = LARGEST_SHARED
        self.kernel(
            grid, block, arguments, shared_mem=shared, enable_cooperative_groups=cooperative
        )
        return SUCCESS
