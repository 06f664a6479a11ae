"""What a kernel is asked for beside launching it, by the names that CuPy has for it."""

from typing import Any

from pycnn.emulator.counting import Counters
from pycnn.emulator.launching import runtime
from pycnn.runtime.elf import Resources
from pycnn.runtime.occupancy import REGISTER_UNIT, REGISTERS, WARP


class Launchable:
    """What every kernel has.

    Attributes
    ----------
    name : str
        Of the kernel, as it was asked for.
    counters : Counters or None
        Memory traffic of the last launch, if it was checked.
    """

    name: str
    counters: Counters | None = None
    _max_dynamic = 48 * 1024
    _carveout = -1

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """Bytes of dynamic shared memory that a launch may ask for; may be raised."""
        return self._max_dynamic

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        limit = runtime().SHARED_LIMIT
        if not 0 <= size <= limit:
            raise ValueError(f"max_dynamic_shared_size_bytes={size}; allowed: 0 to {limit}")
        self._max_dynamic = int(size)

    @property
    def preferred_shared_memory_carveout(self) -> int:
        """Percentage of the L1 cache to be shared memory, -1 for the default: without effect."""
        return self._carveout

    @preferred_shared_memory_carveout.setter
    def preferred_shared_memory_carveout(self, percentage: int) -> None:
        if not -1 <= percentage <= 100:
            raise ValueError(
                f"preferred_shared_memory_carveout={percentage}; allowed: -1 to 100 (percent)"
            )
        self._carveout = int(percentage)


class OnGpu(Launchable):
    """What a kernel would use on a GPU, of the machine code that NVRTC makes of its source."""

    def _uses(self) -> tuple[str, Resources]:
        """Architecture and resources."""
        raise NotImplementedError

    @property
    def num_regs(self) -> int:
        """Registers of a thread."""
        return self._uses()[1].registers

    @property
    def shared_size_bytes(self) -> int:
        """Bytes of static shared memory of a block."""
        return self._uses()[1].shared

    @property
    def local_size_bytes(self) -> int:
        """Bytes of a thread's stack: local arrays, and registers that were spilt."""
        return self._uses()[1].local

    @property
    def const_size_bytes(self) -> int:
        """Bytes of the ``__constant__`` variables that the module has."""
        return self._uses()[1].constant

    @property
    def max_threads_per_block(self) -> int:
        """Largest block: what ``__launch_bounds__`` says, and what the registers allow."""
        uses = self._uses()[1]
        of_a_warp = -(-max(uses.registers, 1) * WARP // REGISTER_UNIT) * REGISTER_UNIT
        return min(uses.threads or 1024, 1024, REGISTERS // of_a_warp * WARP)

    @property
    def binary_version(self) -> int:
        """Architecture of the machine code: ten times the major version, and the minor."""
        return int(self._uses()[0].removeprefix("sm_").rstrip("af"))

    @property
    def ptx_version(self) -> int:
        """Architecture of the PTX, as `binary_version`."""
        return self.binary_version

    @property
    def cache_mode_ca(self) -> int:
        """Whether ``-Xptxas --dlcm=ca`` was set: 0, as NVRTC has no such option."""
        return 0

    @property
    def attributes(self) -> dict[str, Any]:
        """All of these by name."""
        return {name: getattr(self, name) for name in _NAMES}


_NAMES = (
    "max_threads_per_block", "shared_size_bytes", "const_size_bytes", "local_size_bytes",
    "num_regs", "ptx_version", "binary_version", "cache_mode_ca", "max_dynamic_shared_size_bytes",
    "preferred_shared_memory_carveout",
)  # fmt: skip
