"""What Triton asks of a device and its driver, answered by the emulator."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pycnn.emulator.ptx import PtxError, PtxModule
from pycnn.emulator.triton.launcher import Launcher
from pycnn.runtime import elf

#: Numbers of our devices begin here: Triton keeps what it compiled by the number of the device.
_FIRST_DEVICE = 1 << 16

#: Shared memory that a block may have, by compute capability, in KiB.
_SHARED = {75: 64, 80: 163, 86: 99, 87: 163, 89: 99, 90: 227}


class Settings(NamedTuple):
    """How kernels are compiled and run; a device of Triton's for each."""

    arch: int
    checked: bool
    schedule: str | None
    timeout: float | None
    max_steps: int
    same_value_races: bool | None


class Utils:
    """What Triton calls a driver's ``utils``: the device's limits, and loading of kernels."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loads = threading.local()

    def get_device_properties(self, device: int) -> dict[str, int]:
        """Limits of the device; rates, which an emulator has none of, are those of a GPU."""
        return {
            "max_shared_mem": _SHARED[self._settings.arch] * 1024,
            "max_num_regs": 65536,
            "multiprocessor_count": 132 if self._settings.arch == 90 else 108,
            "warpSize": 32,
            "sm_clock_rate": 1_000_000,
            "mem_clock_rate": 1_000_000,
            "mem_bus_width": 5120,
        }

    def loading(
        self, module: Any, function: Any, name: str, files: dict[str, Any], hash: str
    ) -> None:
        """Hook of Triton before `load_binary`, which is not told where the PTX is."""
        self._loads.files = files

    def load_binary(
        self, name: str, binary: bytes, shared: int, device: int
    ) -> tuple[Any, Any, int, int, int]:
        """Module, kernel, registers, spills (not known) and threads of a block at most."""
        files = getattr(self._loads, "files", {})
        paths = [Path(path) for file, path in files.items() if file.endswith(".ptx")]
        if not paths:
            raise PtxError("Triton kept no PTX of it: is TRITON_STORE_BINARY_ONLY set?", name=name)
        s = self._settings
        module = PtxModule(
            paths[0], checked=s.checked, schedule=s.schedule, timeout=s.timeout,
            max_steps=s.max_steps, same_value_races=s.same_value_races,
        )  # fmt: skip
        kernel = module.get_function(name)
        kernel.max_dynamic_shared_size_bytes = max(shared, 48 * 1024)
        uses = elf.resources(binary)[name]
        return module, kernel, uses.registers, 0, uses.threads or 1024

    def unload_module(self, module: Any) -> None:
        """Nothing: what was compiled stays in memory, as it may be launched again."""

    def set_printf_fifo_size(self, size: int) -> None:
        """Nothing: `tl.device_print` prints at once."""


class Driver:
    """In place of ``triton.backends.nvidia.driver.CudaDriver``."""

    launcher_cls = Launcher

    def __init__(self, settings: Settings, device: int) -> None:
        self.settings = settings
        self.utils = Utils(settings)
        self._device = _FIRST_DEVICE + device

    @classmethod
    def is_active(cls) -> bool:
        return True

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self.settings.arch, 32)

    def get_current_device(self) -> int:
        return self._device

    def set_current_device(self, device: int) -> None:
        """Nothing: there is one."""

    def get_current_stream(self, device: int | None = None) -> int:
        return 0

    def get_device_capability(self, device: int | None = None) -> tuple[int, int]:
        return divmod(self.settings.arch, 10)

    def get_active_torch_device(self) -> Any:
        import torch

        return torch.device("cpu")

    def map_python_to_cpp_type(self, ty: str) -> str:
        from triton.backends.nvidia.driver import ty_to_cpp

        return str(ty_to_cpp(ty))

    # ---- Times, for what measures ---------------------------------------------------------------

    def get_benchmarker(self) -> Callable[..., Sequence[float] | float]:
        return run_once

    def get_device_interface(self) -> type["Clock"]:
        return Clock

    def get_empty_cache_for_benchmark(self) -> None:
        return None

    def clear_cache(self, cache: None) -> None:
        """Nothing: there is no cache to clear."""


def run_once(
    kernel_call: Callable[[], Any], *, quantiles: Sequence[float] | None = None, **options: Any
) -> Sequence[float] | float:
    """Run a configuration of ``triton.autotune``, and find it as fast as all others.

    Each is run, and checked if that is asked for; the first is taken.
    """
    kernel_call()
    return 1.0 if quantiles is None else [1.0] * len(quantiles)


class Clock:
    """What ``torch.cuda`` is to ``triton.testing.do_bench``: the emulator's time."""

    class Event:
        """A moment."""

        def __init__(self, enable_timing: bool = False) -> None:
            self._at = 0.0

        def record(self) -> None:
            self._at = time.perf_counter()

        def elapsed_time(self, end: "Clock.Event") -> float:
            """Milliseconds to another."""
            return max(1e3 * (end._at - self._at), 1e-6)

    @staticmethod
    def synchronize() -> None:
        """Nothing: a launch returns when it is done."""

    @staticmethod
    def current_device() -> int:
        return 0
