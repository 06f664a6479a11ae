"""Memory of a module's variables."""

import numpy as np

from pycnn.emulator.ptx.errors import PtxError
from pycnn.emulator.ptx.layout import GRID_BARRIER, GRID_BARRIER_SIZE, GRID_POINTER, Layout
from pycnn.emulator.ptx.syntax import Module


class Globals:
    """Memory of a module's variables, with their initial values."""

    def __init__(self, module: Module) -> None:
        layout = Layout(module)
        self._variables = layout.globals
        self._memory = np.zeros(layout.global_size + 512, np.uint8)
        start = -self._memory.__array_interface__["data"][0] % 512
        self._block = self._memory[start : start + layout.global_size]
        self._cooperates = False
        self.lent: list[tuple[int, int, bool, str, int]] = []
        self.address = int(self._block.__array_interface__["data"][0])
        by_name = {variable.name: offset for variable, offset in self._variables}
        for variable, offset in self._variables:
            if variable.data:
                data = np.frombuffer(variable.data, np.uint8)
                self._block[offset : offset + len(data)] = data
            for at, width, name, addend in variable.relocations:
                if name not in by_name or width != 8:
                    raise PtxError(
                        f"the initial value of {variable.name} holds the address of {name}; "
                        "allowed: 64-bit addresses of variables in .global and .const",
                        name=module.name, line=variable.line,
                    )  # fmt: skip
                value = self.address + by_name[name] + addend
                self._block[offset + at : offset + at + 8].view(np.uint64)[0] = value

    def cooperate(self, whole_grid: bool) -> None:
        """Give the grid a new barrier, or none."""
        if not whole_grid and not self._cooperates:
            return  # as it was
        self._cooperates = whole_grid
        self._block[GRID_BARRIER : GRID_BARRIER + GRID_BARRIER_SIZE] = 0
        address = self.address + GRID_BARRIER if whole_grid else 0
        self._block[GRID_POINTER : GRID_POINTER + 8].view(np.uint64)[0] = address

    def of(self, name: str) -> np.ndarray:
        for variable, offset in self._variables:
            if variable.name == name:
                return self._block[offset : offset + variable.size]
        raise ValueError(f"name={name!r}: the module has no global variable of that name")

    @property
    def ranges(self) -> list[tuple[int, int, bool, str, int]]:
        barrier = self.address + GRID_BARRIER, GRID_BARRIER_SIZE, True, "the barrier of the grid", 0
        return [
            barrier,
            *self.lent,
            *(
                (self.address + offset, v.size, True, f".global {v.name}", 0)
                for v, offset in self._variables
                if v.size and v.space == "global"
            ),
        ]

    @property
    def constants(self) -> list[tuple[int, int, str]]:
        """The like of variables in ``.const``, which a cache of their own reads."""
        return [
            (self.address + offset, v.size, f".const {v.name}")
            for v, offset in self._variables
            if v.size and v.space == "const"
        ]
