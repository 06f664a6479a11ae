"""CUDA C++ by way of the host's C++ compiler: `via="source"` of `RawKernel` and `RawModule`."""

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pycnn import config
from pycnn.emulator import errors, host
from pycnn.emulator.attributes import Launchable
from pycnn.emulator.counting import Counters, note
from pycnn.emulator.guarded import Guarded, followed
from pycnn.emulator.launching import (
    CORES,
    Settings,
    check_blocks,
    check_shared,
    launch_shape,
    parse_schedule,
    runtime,
    time_limit,
)


@functools.lru_cache(maxsize=4096)
def _load(library: Path) -> Any:
    try:
        return runtime().Library(str(library))
    except RuntimeError as error:
        raise OSError(
            f"the compiled kernel {library} cannot be loaded ({error}); "
            "PYCNN_CACHE_DIR must be a folder from which programs may run (not mounted noexec)"
        ) from error


class SourceModule:
    """A source compiled for this machine's processor."""

    def __init__(
        self,
        source: host.Source,
        options: Sequence[str],
        expressions: Sequence[str],
        settings: Settings,
    ) -> None:
        self.source, self.settings = source, settings
        self._options, self._expressions = tuple(options), tuple(expressions)

    @functools.cached_property
    def library_path(self) -> Path:
        """The compiled library in the disk cache."""
        return host.build(self.source, self._options, self._expressions, self.settings.checked)

    @functools.cached_property
    def library(self) -> Any:
        runtime()
        return _load(self.library_path)

    @property
    def kernel_names(self) -> tuple[str, ...]:
        return tuple(self.library.names)

    def get_function(self, name: str) -> "SourceKernel":
        return SourceKernel(self, name)

    def get_global(self, name: str) -> np.ndarray:
        address, size = self.library.variable(name)
        if not address:
            raise ValueError(f"name={name!r}: the module has no global variable of that name")
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


class SourceKernel(Launchable):
    """One kernel of a `SourceModule`; called as `pycnn.emulator.RawKernel` is."""

    def __init__(self, module: SourceModule, name: str) -> None:
        self._module, self.name = module, name
        self._index = module.kernel_names.index(name)

    def __call__(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        *,
        shared_mem: int = 0,
        enable_cooperative_groups: bool = False,
        cluster: Sequence[int] | None = None,
    ) -> None:
        """Launch, and return when it has finished."""
        if enable_cooperative_groups:
            raise ValueError("enable_cooperative_groups=True goes with via='ptx' only")
        if cluster is not None:
            raise ValueError(f"cluster={tuple(cluster)} goes with via='ptx' only")
        settings, library = self._module.settings, self._module.library
        grid3, block3 = launch_shape(tuple(grid), tuple(block))
        check_shared(shared_mem, self.max_dynamic_shared_size_bytes)
        order, seed = parse_schedule(settings.schedule)
        plain, described = followed(args)
        arguments = tuple(plain)
        guarded = None
        if settings.checked:
            check_blocks(grid3)
            library.check_arguments(self._index, arguments)
            guarded = Guarded([*arguments, *described])
            arguments = guarded.arguments[: len(arguments)]
        report, counters = library.launch(
            self._index,
            grid3,
            block3,
            shared_mem,
            arguments,
            config.get("PYCNN_EMULATOR_THREADS") or CORES,
            order,
            seed,
            settings.checked,
            time_limit(settings.timeout),
            settings.max_steps,
            guarded.ranges if guarded else [],
            guarded.numbers if guarded else [],
            settings.checked and settings.reports_same_value_races,
        )
        self.counters = Counters(**counters) if counters else None
        note(self.name, self.counters)
        if guarded:
            guarded.write_back(self.name)
        if report is not None:
            raise errors.from_report(report, self.name, block3, self._locate)

    def _locate(self, position: dict[str, Any]) -> tuple[str, int]:
        if position["file"]:
            return position["file"], position["line"]
        if position["offset"] is None:
            return "", 0
        file, line = host.locate(self._module.library_path, position["offset"])
        source = self._module.source
        in_text = source.text is not None and Path(file).name == source.name
        return (source.name if in_text else file), line
