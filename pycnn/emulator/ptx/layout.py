"""Where the variables of a module lie."""

from pycnn.emulator.ptx.errors import PtxError
from pycnn.emulator.ptx.syntax import Module, Variable

#: Bytes kept free behind each variable, so that one does not run into the next.
GAP = 64
#: Static shared memory begins here in a block's memory, behind all dynamic: `kDynamicSpan`.
STATIC = 256 * 1024
STATIC_LIMIT = 227 * 1024
#: First of them there: the lower 18 bits of their addresses, all that wgmma's descriptors have, are
#: not those of dynamic shared memory, where the two are small enough.
SHARED_START = 208 * 1024
#: Before the global variables: the address that %envreg1 and 2 hold, and what is there, the barrier
#: of the grid in a cooperative launch.
GRID_POINTER, GRID_BARRIER, GRID_BARRIER_SIZE = 0, 64, 64


class Layout:
    """Offsets of the variables: global ones in one block of memory, shared ones in the block's."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._global: dict[Variable, int] = {}
        self._shared: dict[Variable, int] = {}
        self.global_size = GRID_BARRIER + GRID_BARRIER_SIZE
        self._shared_end = SHARED_START
        for variable in module.variables.values():
            if variable.space in ("global", "const") and not variable.extern:
                align = max(variable.align, 16)
                start = -(-self.global_size // align) * align
                self._global[variable] = start
                self.global_size = start + variable.size + GAP
        self.dynamic = ""  # name of the dynamic shared array, if one is used

    @property
    def globals(self) -> list[tuple[Variable, int]]:
        return list(self._global.items())

    @property
    def shared(self) -> list[tuple[Variable, int]]:
        """The static shared variables that were asked for."""
        return list(self._shared.items())

    @property
    def shared_bytes(self) -> int:
        return sum(variable.size for variable in self._shared)

    def global_offset(self, variable: Variable) -> int:
        if variable not in self._global:
            raise PtxError(
                f"{variable.name} is declared but not defined here",
                name=self._module.name, line=variable.line,
            )  # fmt: skip
        return self._global[variable]

    def shared_offset(self, variable: Variable) -> int:
        if variable.extern or (variable.is_array and variable.size == 0):
            self.dynamic = self.dynamic or variable.name
            return 0
        known = self._shared.get(variable)
        if known is None:
            align = max(variable.align, 16)
            known = -(-self._shared_end // align) * align
            self._shared[variable] = known
            self._shared_end = known + variable.size + GAP
            if self.shared_bytes > STATIC_LIMIT:
                raise PtxError(
                    f"{self.shared_bytes} bytes of static shared memory; allowed: {STATIC_LIMIT}",
                    name=self._module.name, line=variable.line,
                )  # fmt: skip
        return STATIC + known
