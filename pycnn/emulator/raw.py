"""`RawKernel` and `RawModule` of CuPy, run on this machine's processor."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pycnn import config
from pycnn.emulator import host
from pycnn.emulator.arrays import host_arguments
from pycnn.emulator.attributes import OnGpu
from pycnn.emulator.launching import Settings
from pycnn.emulator.native import SourceKernel, SourceModule
from pycnn.emulator.ptx import PtxKernel, PtxModule
from pycnn.emulator.ptx.source import PtxSource, ptx_source, resources
from pycnn.emulator.signature import pointees, warn_of
from pycnn.runtime.elf import Resources
from pycnn.runtime.route import resolved


class RawModule:
    """CUDA C++ compiled for this machine's processor: a drop-in for ``cupy.RawModule``.

    Parameters
    ----------
    code : str, optional
        CUDA C++ source. Either this or `path`.
    path : str, optional
        File with the source, or with PTX if its name ends with ``.ptx``. Machine code, which
        CuPy's takes too, cannot run here.
    options : sequence of str, default ()
        Options of NVRTC; with ``via="source"``, macros and include folders are used.
    name_expressions : sequence of str, optional
        Instantiations of templated kernels, such as ``"scale<float>"``.
    translate_cucomplex : bool, default False
        Taken for CuPy's sake: ``cuComplex.h`` is here as it is.
    enable_cooperative_groups : bool, default False
        Launch such that the whole grid can synchronise (``via="ptx"`` only).
    backend, jitify
        ``"nvrtc"`` and False; anything else is refused.
    checked : bool, default False
        The checked build: slow, and it reports races, accesses out of bounds, uninitialised
        reads, misaligned accesses and asynchronous copies used too early, and counts traffic.
    schedule : str, optional
        Order of threads and blocks: ``"forward"``, ``"reverse"`` or ``"random:SEED"``. Default:
        ``PYCNN_SCHEDULE``.
    via : {"source", "ptx"}, optional
        What runs: the PTX that NVRTC makes of the source, which needs ``pycnn[emulator]`` and no
        C++ compiler, or the source itself, compiled by the host's. Default:
        ``PYCNN_EMULATOR_VIA``.
    arch : str, optional
        With ``via="ptx"``, the architecture that NVRTC compiles for, such as ``"sm_90a"``.
        Default: ``PYCNN_EMULATOR_ARCH``.
    timeout : float, optional
        Seconds after which a launch ends with `KernelTimeoutError`, which says where its threads
        are; not counted are those in which other processes keep it from the processors. Default:
        ``PYCNN_EMULATOR_TIMEOUT``; 0 for no limit.
    max_steps : int, default 0
        Memory accesses of all threads after which a checked launch ends with
        `KernelTimeoutError`, at the same place each time; 0 for no limit.
    same_value_races : bool, optional
        Whether the checked build also reports threads that write, unordered, the value that is
        there already (``if (found) *flag = 1``). Default: ``PYCNN_SAME_VALUE_RACES``.

    Raises
    ------
    ValueError
        If neither or both of `code` and `path` are given, or a setting is not allowed.

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
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
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
        if backend != "nvrtc":
            raise ValueError(f"backend={backend!r}; allowed: nvrtc")
        if jitify:
            raise ValueError("jitify=True; allowed: False, NVRTC has CUDA's headers without it")
        self.code = code
        self.file_path = path
        self.backend = backend
        self.enable_cooperative_groups = enable_cooperative_groups
        self.options = tuple(options)
        self.name_expressions = tuple(name_expressions or ())
        self._translate_cucomplex = translate_cucomplex
        self._settings = Settings(checked, schedule, timeout, max_steps, same_value_races).check()
        self._of_ptx = path is not None and Path(path).suffix == ".ptx"
        if path is not None and Path(path).suffix in (".cubin", ".fatbin"):
            raise ValueError(f"path={os.fspath(path)!r} is machine code; allowed: .cu and .ptx")
        if self._of_ptx and via not in (None, "ptx"):
            raise ValueError(f"via={via!r}; allowed: ptx")
        self.via = "ptx" if self._of_ptx else resolved(via)
        for name, wanted in (
            ("arch", arch is not None),
            ("enable_cooperative_groups", enable_cooperative_groups),
        ):
            if wanted and self.via != "ptx":
                value = arch if name == "arch" else True
                raise ValueError(f"{name}={value!r} goes with via='ptx' only")
        if self._of_ptx and (self.name_expressions or self.options or arch):
            raise ValueError("options, arch and name_expressions go with a source, not with PTX")
        self.arch = arch or config.get("PYCNN_EMULATOR_ARCH")
        self._given_arch = arch
        name = "kernel.cu" if path is None else str(Path(path).resolve())
        self._source = host.Source(name, code)

    def __reduce__(self) -> Any:
        """By what it was made of, as CuPy's: values of variables stay behind."""
        own: dict[str, Any] = {
            "path": self.file_path, "options": self.options, "backend": self.backend,
            "translate_cucomplex": self._translate_cucomplex,
            "enable_cooperative_groups": self.enable_cooperative_groups,
            "name_expressions": self.name_expressions, "via": self.via, "arch": self._given_arch,
            **self._settings._asdict(),
        }  # fmt: skip
        return functools.partial(RawModule, self.code, **own), ()

    @property
    def checked(self) -> bool:
        return self._settings.checked

    @property
    def library_path(self) -> Path:
        """The compiled library in the disk cache, with ``via="source"``."""
        return self._compiled.library_path  # type: ignore[union-attr]

    @functools.cached_property
    def _compiled(self) -> SourceModule | PtxSource:
        if self.via == "source":
            return SourceModule(self._source, self.options, self.name_expressions, self._settings)
        settings = self._settings._asdict()
        if self._of_ptx:
            return PtxSource(PtxModule(str(self.file_path), **settings), {})
        return ptx_source(self._source, self.arch, self.options, self.name_expressions, **settings)

    def compile(self, log_stream: Any = None) -> None:
        """Compile now rather than at the first use."""
        _ = self.kernel_names

    @property
    def module(self) -> Any:
        """What was compiled."""
        return self._compiled

    @property
    def kernel_names(self) -> tuple[str, ...]:
        """Kernels that `get_function` knows: those that are no templates, and the expressions."""
        return self._compiled.kernel_names

    def get_function(self, name: str) -> "RawKernel":
        """The kernel `name`, or the instantiation if it is one of the name expressions.

        Raises
        ------
        ValueError
            If there is none of that name; lists those there are.
        """
        kernel = _kernel_of(self, name)
        _ = kernel.kernel
        return kernel

    def get_global(self, name: str) -> np.ndarray:
        """Memory of a ``__constant__`` or ``__device__`` variable, as bytes.

        CuPy returns a pointer; here it is an array of uint8, to view as another type.
        """
        return self._compiled.get_global(name)

    @functools.cached_property
    def _resources(self) -> tuple[str, dict[str, Resources]]:
        if self._of_ptx:
            raise ValueError("what it uses on a GPU is known of a source only, not of PTX")
        return resources(self._source, self.arch, self.options, self.name_expressions)


def _kernel_of(module: RawModule, name: str, most_dynamic: int = 48 * 1024) -> "RawKernel":
    kernel = RawKernel.__new__(RawKernel)
    kernel._bind(module, name)
    kernel.max_dynamic_shared_size_bytes = most_dynamic
    return kernel


class RawKernel(OnGpu):
    """One kernel run on this machine's processor: a drop-in for ``cupy.RawKernel``.

    Arrays are NumPy's, PyTorch's on the CPU, or whatever speaks DLPack, in memory of this process.
    Their types and strides are the caller's affair, as in CuPy; the checked build warns, once for
    a kernel, of an array that does not fit the kernel's pointer. Unlike there, the number of
    arguments and the size of each scalar are checked.

    Parameters
    ----------
    code : str
        CUDA C++ source.
    name : str
        Name of the kernel in it.
    options, backend, translate_cucomplex, enable_cooperative_groups, jitify
        As in CuPy, see :class:`RawModule`.
    checked, schedule, via, arch, timeout, max_steps, same_value_races
        Which build runs, and how: see :class:`RawModule`.

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
        module = RawModule(
            code,
            options=options,
            backend=backend,
            translate_cucomplex=translate_cucomplex,
            enable_cooperative_groups=enable_cooperative_groups,
            name_expressions=(name,) if "<" in name else (),
            jitify=jitify,
            checked=checked,
            schedule=schedule,
            via=via,
            arch=arch,
            timeout=timeout,
            max_steps=max_steps,
            same_value_races=same_value_races,
        )
        self._bind(module, name)

    def _bind(self, module: RawModule, name: str) -> None:
        self._module = module
        self.name = name
        self._may_warn = module.checked

    def __reduce__(self) -> Any:
        return _kernel_of, (self._module, self.name, self.max_dynamic_shared_size_bytes)

    @property
    def code(self) -> str | None:
        return self._module.code

    @property
    def file_path(self) -> str | os.PathLike[str] | None:
        return self._module.file_path

    @property
    def options(self) -> tuple[str, ...]:
        return self._module.options

    @property
    def backend(self) -> str:
        return self._module.backend

    @property
    def enable_cooperative_groups(self) -> bool:
        return self._module.enable_cooperative_groups

    @property
    def checked(self) -> bool:
        return self._module.checked

    @functools.cached_property
    def kernel(self) -> SourceKernel | PtxKernel:
        """What was compiled; its call is a launch, too."""
        names = self._module.kernel_names
        if self.name not in names:
            there = ", ".join(names) or "none"
            raise ValueError(f"name={self.name!r}: no such kernel; there are: {there}")
        return self._module._compiled.get_function(self.name)

    def compile(self, log_stream: Any = None) -> None:
        """Compile now rather than at the first launch."""
        _ = self.kernel

    def _uses(self) -> tuple[str, Resources]:
        arch, known = self._module._resources
        if self.name not in known:
            raise ValueError(f"name={self.name!r}: no such kernel; there are: {', '.join(known)}")
        return arch, known[self.name]

    def __call__(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        *,
        shared_mem: int = 0,
        stream: Any = None,
        enable_cooperative_groups: bool | None = None,
        cluster: Sequence[int] | None = None,
    ) -> None:
        """Launch, and return when it has finished.

        Parameters
        ----------
        grid, block : sequence of one to three ints
            Blocks of the grid and threads of a block.
        args : sequence
            Arrays for pointers (or a `Pointer`, an address, None), NumPy scalars, Python
            ints for integers of any size, Python floats for doubles, structured scalars for
            structs.
        shared_mem : int, default 0
            Bytes of dynamic shared memory; over 48 KiB, `max_dynamic_shared_size_bytes` must be
            raised first, as on a GPU.
        enable_cooperative_groups : bool, optional
            Launch such that the whole grid can synchronise. Default: what the kernel was made with.
        cluster : sequence of one to three ints, optional
            Blocks of a cluster (``via="ptx"`` only). Default: what the kernel requires.

        Raises
        ------
        ValueError, TypeError
            If grid, block, shared memory or arguments are outside what CUDA allows.
        KernelError
            A subclass of it for each defect found; see `pycnn.emulator.errors`.
        MemoryError
            If there is no memory for the launch, or no thread.
        """
        kernel = self.kernel
        arguments = host_arguments(args)
        if self._may_warn:
            self._may_warn = not warn_of(self.name, arguments, self._pointees)
        kernel.max_dynamic_shared_size_bytes = self._max_dynamic
        if enable_cooperative_groups is None:
            enable_cooperative_groups = self._module.enable_cooperative_groups
        try:
            kernel(
                grid, block, arguments, shared_mem=shared_mem,
                enable_cooperative_groups=enable_cooperative_groups, cluster=cluster,
            )  # fmt: skip
        finally:
            self.counters = kernel.counters

    @functools.cached_property
    def _pointees(self) -> list[np.dtype | None]:
        """Types that the kernel's pointers point to, as far as its source says so plainly."""
        source = self._module._source
        text = source.text if source.text is not None else Path(source.name).read_text()
        return pointees(text, self.name)
