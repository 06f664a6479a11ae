"""`RawKernel` and `RawModule` of CuPy, run on this machine's processor."""

import ctypes
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pycnn import config
from pycnn.emulator import errors, host
from pycnn.emulator.arrays import host_arguments
from pycnn.emulator.counting import Counters, note
from pycnn.emulator.guarded import Guarded
from pycnn.emulator.launching import (
    CORES,
    check_blocks,
    check_limits,
    check_shared,
    launch_shape,
    parse_schedule,
    runtime,
    time_limit,
)
from pycnn.emulator.ptx import PtxKernel
from pycnn.emulator.ptx.source import PtxSource, ptx_source


@functools.lru_cache(maxsize=4096)
def _load(library: Path) -> Any:
    try:
        return runtime().Library(str(library))
    except RuntimeError as error:
        raise OSError(
            f"the compiled kernel {library} cannot be loaded ({error}); "
            "PYCNN_CACHE_DIR must be a folder from which programs may run (not mounted noexec)"
        ) from error


class RawModule:
    """CUDA C++ compiled for this machine's processor: a drop-in for ``cupy.RawModule``.

    Parameters
    ----------
    code : str, optional
        CUDA C++ source. Either this or `path`.
    path : str, optional
        File with the source (CuPy's takes a binary here).
    options : sequence of str, default ()
        Options of NVRTC; macros and include folders are used.
    name_expressions : sequence of str, optional
        Instantiations of templated kernels, such as ``"scale<float>"``.
    checked : bool, default False
        The checked build: slow, and it reports races, accesses out of bounds, uninitialised
        reads, misaligned accesses and asynchronous copies used too early, and counts traffic.
    schedule : str, optional
        Order of threads and blocks: ``"forward"``, ``"reverse"`` or ``"random:SEED"``. Default:
        ``PYCNN_SCHEDULE``.
    via : {"source", "ptx"}, optional
        What runs: the source, compiled by the host's C++ compiler, or the PTX that NVRTC makes of
        it, which needs ``pycnn[ptx]`` and no C++ compiler. Default: ``PYCNN_EMULATOR_VIA``.
    arch : str, optional
        With ``via="ptx"``, the architecture that NVRTC compiles for, such as ``"sm_90a"``.
        Default: ``PYCNN_EMULATOR_ARCH``.
    timeout : float, optional
        Seconds after which a launch ends with `KernelTimeoutError`, which says where its threads
        are. Default: ``PYCNN_EMULATOR_TIMEOUT``; 0 for no limit.
    max_steps : int, default 0
        Memory accesses of all threads after which a checked launch ends with
        `KernelTimeoutError`, at the same place each time; 0 for no limit.
    same_value_races : bool, optional
        Whether the checked build also reports threads that write, unordered, the value that is
        there already (``if (found) *flag = 1``). Default: ``PYCNN_SAME_VALUE_RACES``.

    Raises
    ------
    ValueError
        If neither or both of `code` and `path` are given, or a limit is not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> module = RawModule(code='''
    ... template <typename T> __global__ void scale(T* x, T factor) {
    ...     x[threadIdx.x] *= factor;
    ... }''', name_expressions=["scale<float>"])
    >>> x = np.arange(4, dtype=np.float32)
    >>> module.get_function("scale<float>")((1,), (4,), (x, np.float32(3)))
    >>> x
    array([0., 3., 6., 9.], dtype=float32)
    """

    def __init__(
        self,
        code: str | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        options: Sequence[str] = (),
        backend: str = "nvrtc",
        name_expressions: Sequence[str] | None = None,
        jitify: bool = False,
        checked: bool = False,
        schedule: str | None = None,
        via: str | None = None,
        arch: str | None = None,
        timeout: float | None = None,
        max_steps: int = 0,
        same_value_races: bool | None = None,
    ) -> None:
        if (code is None) == (path is None):
            raise ValueError("code and path: exactly one of the two is allowed")
        check_limits(timeout, max_steps, checked)
        self.code = code
        self.file_path = path
        self.options = tuple(options)
        self.name_expressions = tuple(name_expressions or ())
        self.checked = checked
        self.schedule = schedule
        parse_schedule(schedule)
        self.via = config.get("PYCNN_EMULATOR_VIA") if via is None else via
        if self.via not in ("source", "ptx"):
            raise ValueError(f"via={via!r}; allowed: source, ptx")
        if arch is not None and self.via != "ptx":
            raise ValueError(f"arch={arch!r} goes with via='ptx' only")
        self.arch = arch or config.get("PYCNN_EMULATOR_ARCH")
        self.timeout = timeout
        self.max_steps = max_steps
        self._same_value_races = same_value_races
        name = "kernel.cu" if path is None else str(Path(path).resolve())
        self._source = host.Source(name, code)

    @property
    def same_value_races(self) -> bool:
        """Whether unordered writes of the same value are reported, too."""
        if self._same_value_races is None:
            return bool(config.get("PYCNN_SAME_VALUE_RACES"))
        return self._same_value_races

    @functools.cached_property
    def library_path(self) -> Path:
        """The compiled library in the disk cache."""
        return host.build(self._source, self.options, self.name_expressions, self.checked)

    @functools.cached_property
    def _library(self) -> Any:
        runtime()
        return _load(self.library_path)

    @functools.cached_property
    def _ptx(self) -> PtxSource:
        """The PTX of the source, with ``via="ptx"``."""
        return ptx_source(
            self._source,
            self.arch,
            self.options,
            self.name_expressions,
            self.checked,
            schedule=self.schedule,
            timeout=self.timeout,
            max_steps=self.max_steps,
            same_value_races=self.same_value_races,
        )

    def compile(self, log_stream: Any = None) -> None:
        """Compile now rather than at the first use."""
        _ = self._ptx if self.via == "ptx" else self._library

    @property
    def kernel_names(self) -> tuple[str, ...]:
        """Kernels that `get_function` knows: those that are no templates, and the expressions."""
        return self._ptx.kernel_names if self.via == "ptx" else tuple(self._library.names)

    def get_function(self, name: str) -> "RawKernel":
        """The kernel `name`, or the instantiation if it is one of the name expressions.

        Raises
        ------
        ValueError
            If there is none of that name; lists those there are.
        """
        kernel = RawKernel.__new__(RawKernel)
        kernel._bind(self, name)
        kernel._resolve()
        return kernel

    def get_global(self, name: str) -> np.ndarray:
        """Memory of a ``__constant__`` or ``__device__`` variable, as bytes.

        CuPy returns a pointer; here it is an array of uint8, to view as another type.
        """
        if self.via == "ptx":
            return self._ptx.module.get_global(name)
        address, size = self._library.variable(name)
        if not address:
            raise ValueError(f"name={name!r}: the module has no global variable of that name")
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


class RawKernel:
    """One kernel run on this machine's processor: a drop-in for ``cupy.RawKernel``.

    Arrays are NumPy's. They are not checked against the kernel's pointer types, and strides are
    ignored, as in CuPy. Unlike there, the number of arguments and the size of each scalar are
    checked.

    Parameters
    ----------
    code : str
        CUDA C++ source.
    name : str
        Name of the kernel in it.
    options : sequence of str, default ()
        Options of NVRTC; macros and include folders are used.
    checked : bool, default False
        The checked build, see :class:`RawModule`.
    schedule, timeout, max_steps, same_value_races
        Order of threads and blocks, limits of a launch, and what counts as a race: see
        :class:`RawModule`.
    via, arch : str, optional
        What runs, see :class:`RawModule`.

    Attributes
    ----------
    counters : Counters or None
        Memory traffic of the last launch, if it was checked.

    Examples
    --------
    >>> import numpy as np
    >>> add = RawKernel('''
    ... extern "C" __global__ void add(const float* a, const float* b, float* c) {
    ...     int i = blockIdx.x * blockDim.x + threadIdx.x;
    ...     c[i] = a[i] + b[i];
    ... }''', "add")
    >>> a = np.arange(8, dtype=np.float32); c = np.empty_like(a)
    >>> add((2,), (4,), (a, a, c))
    >>> c
    array([ 0.,  2.,  4.,  6.,  8., 10., 12., 14.], dtype=float32)
    """

    def __init__(
        self,
        code: str,
        name: str,
        options: Sequence[str] = (),
        backend: str = "nvrtc",
        *,
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        jitify: bool = False,
        checked: bool = False,
        schedule: str | None = None,
        via: str | None = None,
        arch: str | None = None,
        timeout: float | None = None,
        max_steps: int = 0,
        same_value_races: bool | None = None,
    ) -> None:
        expressions = (name,) if "<" in name else ()
        module = RawModule(
            code,
            options=options,
            name_expressions=expressions,
            checked=checked,
            schedule=schedule,
            via=via,
            arch=arch,
            timeout=timeout,
            max_steps=max_steps,
            same_value_races=same_value_races,
        )
        self._bind(module, name)
        self.enable_cooperative_groups = enable_cooperative_groups

    def _bind(self, module: RawModule, name: str) -> None:
        self._module = module
        self.name = name
        self.max_dynamic_shared_size_bytes = 48 * 1024
        self.counters: Counters | None = None
        self.enable_cooperative_groups = False
        self._index: int | None = None
        self._ptx: PtxKernel | None = None

    @property
    def code(self) -> str | None:
        return self._module.code

    @property
    def options(self) -> tuple[str, ...]:
        return self._module.options

    @property
    def checked(self) -> bool:
        return self._module.checked

    def compile(self, log_stream: Any = None) -> None:
        """Compile now rather than at the first launch."""
        self._resolve()

    def _resolve(self) -> int:
        if self._index is None:
            names = self._module.kernel_names
            if self.name not in names:
                there = ", ".join(names) or "none"
                raise ValueError(f"name={self.name!r}: no such kernel; there are: {there}")
            self._index = names.index(self.name)
            if self._module.via == "ptx":
                self._ptx = self._module._ptx.get_function(self.name)
        return self._index

    def __call__(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        *,
        shared_mem: int = 0,
        stream: Any = None,
        enable_cooperative_groups: bool = False,
    ) -> None:
        """Launch, and return when it has finished.

        Parameters
        ----------
        grid, block : sequence of one to three ints
            Blocks of the grid and threads of a block.
        args : sequence
            NumPy arrays for pointers (or a `Pointer`, an address, None), NumPy scalars, Python
            ints for integers of any size, Python floats for doubles, structured scalars for
            structs.
        shared_mem : int, default 0
            Bytes of dynamic shared memory; over 48 KiB, `max_dynamic_shared_size_bytes` must be
            raised first, as on a GPU.

        Raises
        ------
        ValueError, TypeError
            If grid, block, shared memory or arguments are outside what CUDA allows.
        KernelError
            A subclass of it for each defect found; see `pycnn.emulator.errors`.
        MemoryError
            If there is no memory for the launch, or no thread.
        """
        index = self._resolve()
        if self._ptx is not None:
            self._ptx.max_dynamic_shared_size_bytes = self.max_dynamic_shared_size_bytes
            try:
                self._ptx(
                    grid,
                    block,
                    args,
                    shared_mem=shared_mem,
                    enable_cooperative_groups=(
                        self.enable_cooperative_groups or enable_cooperative_groups
                    ),
                )
            finally:
                self.counters = self._ptx.counters
            return
        grid3, block3 = launch_shape(tuple(grid), tuple(block))
        check_shared(shared_mem, self.max_dynamic_shared_size_bytes)
        if self._module.checked:
            check_blocks(grid3)
        order, seed = parse_schedule(self._module.schedule)
        module = self._module
        library = module._library
        arguments = tuple(host_arguments(args))
        guarded = None
        if module.checked:
            library.check_arguments(index, arguments)
            guarded = Guarded(arguments)
            arguments = guarded.arguments
        report, counters = library.launch(
            index,
            grid3,
            block3,
            shared_mem,
            arguments,
            config.get("PYCNN_EMULATOR_THREADS") or CORES,
            order,
            seed,
            module.checked,
            time_limit(module.timeout),
            module.max_steps,
            guarded.ranges if guarded else [],
            guarded.numbers if guarded else [],
            module.checked and module.same_value_races,
        )
        self.counters = Counters(**counters) if counters else None
        note(self.name, self.counters)
        if guarded:
            guarded.write_back()
        if report is not None:
            raise errors.from_report(report, self.name, block3, self._locate)

    def _locate(self, position: dict[str, Any]) -> tuple[str, int]:
        if position["file"]:
            return position["file"], position["line"]
        if position["offset"] is None:
            return "", 0
        file, line = host.locate(self._module.library_path, position["offset"])
        source = self._module._source
        in_text = source.text is not None and Path(file).name == source.name
        return (source.name if in_text else file), line
