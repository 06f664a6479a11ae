"""`PtxModule`: anybody's PTX, run on this machine's processor."""

import errno
import functools
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pycnn import config
from pycnn.emulator import errors
from pycnn.emulator.arrays import host_arguments, refuse_objects
from pycnn.emulator.attributes import Launchable
from pycnn.emulator.counting import Counters, note
from pycnn.emulator.guarded import Guarded, followed
from pycnn.emulator.launching import (
    CORES,
    check_blocks,
    check_cooperative,
    check_limits,
    check_shared,
    launch_shape,
    parse_schedule,
    runtime,
    time_limit,
)
from pycnn.emulator.ptx import machine
from pycnn.emulator.ptx.compile import Program, translate
from pycnn.emulator.ptx.errors import PtxError
from pycnn.emulator.ptx.facts import Facts, Named
from pycnn.emulator.ptx.launches import check_block, cluster_shape, packer
from pycnn.emulator.ptx.parse import parse
from pycnn.emulator.ptx.syntax import Function, Variable
from pycnn.emulator.ptx.variables import Globals
from pycnn.emulator.tensor_map import TensorMap
from pycnn.runtime import cache

#: What no name of a file has, but a text that is meant to be PTX.
_OF_TEXT = (".version", "\n", "\0")

#: LLVM optimises an entry that has run for so many seconds of the processor, or is launched with so
#: many threads: most run for less time than that takes.
LONG, MANY = 1.0, 1 << 20


@functools.cache
def _generator() -> str:
    """A hash of the code generator: what it made before a change is made again."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return cache.key(*(file.read_text() for file in files))


class PtxModule:
    """PTX for any NVIDIA GPU, run on this machine's processor.

    Parameters
    ----------
    source : str or path
        The PTX text, which begins with ``.version`` or a comment, or the name of a file of it.
    checked : bool, default False
        Watch every memory access, as `pycnn.emulator.RawModule` does.
    schedule, timeout, max_steps, same_value_races
        Order of threads and blocks, limits of a launch, and what counts as a race: see
        `pycnn.emulator.RawModule`.
    origin : str, optional
        Name of the source that the PTX was made from, where that was in no file: the compiler has
        put a folder before it.

    Raises
    ------
    PtxError
        If the text is malformed; an instruction that is not there is named when its entry is asked
        for.

    Examples
    --------
    >>> module = PtxModule('''
    ... .version 8.0
    ... .target sm_80
    ... .address_size 64
    ... .visible .entry twice(.param .u64 x) {
    ...     .reg .b64 %rd<4>; .reg .f32 %f<3>; .reg .b32 %r<2>;
    ...     ld.param.u64 %rd1, [x];
    ...     mov.u32 %r1, %tid.x;
    ...     mul.wide.u32 %rd2, %r1, 4;
    ...     add.s64 %rd3, %rd1, %rd2;
    ...     ld.global.f32 %f1, [%rd3];
    ...     add.f32 %f2, %f1, %f1;
    ...     st.global.f32 [%rd3], %f2;
    ...     ret;
    ... }''')
    >>> module.kernel_names
    ('twice',)

    ``module.get_function("twice")((1,), (4,), (x,))`` doubles four elements of ``x``.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        checked: bool = False,
        schedule: str | None = None,
        timeout: float | None = None,
        max_steps: int = 0,
        same_value_races: bool | None = None,
        origin: str | None = None,
    ) -> None:
        is_text = isinstance(source, str) and (not source or any(m in source for m in _OF_TEXT))
        text = str(source) if is_text else _read(Path(source))
        name = "kernel.ptx" if is_text else os.fspath(source)
        check_limits(timeout, max_steps, checked)
        self.checked, self.schedule = checked, schedule
        self.timeout, self.max_steps = timeout, max_steps
        if same_value_races is None:
            same_value_races = config.get("PYCNN_SAME_VALUE_RACES")
        self.same_value_races = same_value_races
        parse_schedule(schedule)
        self._text, self._origin = text, origin
        self._module = parse(text, name)
        for number, file in self._module.files.items():
            if origin is not None and os.path.basename(file) == origin:
                self._module.files[number] = origin
        self._globals = Globals(self._module)
        self._kernels: dict[str, _Compiled] = {}
        self._cache_refuses = False

    @property
    def text(self) -> str:
        """The PTX."""
        return self._text

    @property
    def target(self) -> str:
        """The architecture that the text is for, such as ``"sm_90a"``."""
        return self._module.target

    @property
    def kernel_names(self) -> tuple[str, ...]:
        """The entries."""
        return tuple(f.name for f in self._module.functions.values() if f.is_entry)

    def get_function(self, name: str) -> "PtxKernel":
        """The entry `name`, compiled.

        Raises
        ------
        ValueError
            If there is none of that name; lists those there are.
        PtxError
            If it has an instruction that is not there; names the line.
        """
        function = self._module.functions.get(name)
        if function is None or not function.is_entry:
            there = ", ".join(self.kernel_names) or "none"
            raise ValueError(f"name={name!r}: no such kernel; there are: {there}")
        return PtxKernel(self, function)

    def get_global(self, name: str) -> np.ndarray:
        """Memory of a ``.global`` or ``.const`` variable, as bytes.

        Raises
        ------
        ValueError
            If there is none of that name.
        """
        return self._globals.of(name)

    def lend(self, array: np.ndarray, name: str) -> None:
        """Allow kernels of the checked build an array whose address a variable has."""
        self._globals.lent.append((int(array.ctypes.data), array.nbytes, True, name, 0))


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise PtxError("neither PTX nor the name of a file: too long for one") from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise PtxError(f"no text: {error}", name=str(path)) from error


@dataclass
class _Compiled:
    """An entry in memory."""

    kernel: Any  # of the C++ runtime
    facts: Facts
    optimised: bool
    ran: float = 0.0  # seconds of the processor


class PtxKernel(Launchable):
    """One entry of a `PtxModule`; called as `pycnn.emulator.RawKernel` is."""

    def __init__(self, module: PtxModule, function: Function) -> None:
        self._module, self._function = module, function
        self.name = function.name
        self._compiled = _compile(module, function)
        self._pack = packer(function, self._compiled.facts.written)
        self._takes_maps = any(p.is_array for p in function.parameters)

    @property
    def checked(self) -> bool:
        return self._module.checked

    @property
    def text(self) -> str:
        """The PTX of its module."""
        return self._module.text

    @property
    def required_cluster(self) -> tuple[int, int, int] | None:
        """Blocks of a cluster along each axis, where the kernel says so itself."""
        return self._function.required_cluster

    @property
    def parameters(self) -> tuple[Variable, ...]:
        """What a launch takes."""
        return tuple(self._function.parameters)

    def __call__(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        *,
        shared_mem: int = 0,
        stream: Any = None,
        enable_cooperative_groups: bool = False,
        cluster: Sequence[int] | None = None,
    ) -> None:
        """Launch, and return when it has finished.

        Parameters
        ----------
        grid, block : sequence of one to three ints
            Blocks of the grid and threads of a block.
        args : sequence
            As of `pycnn.emulator.RawKernel`. PTX does not say what a parameter of 64 bits means:
            arrays and integers both fit.
        shared_mem : int, default 0
            Bytes of dynamic shared memory.
        enable_cooperative_groups : bool, default False
            A cooperative launch, in which the whole grid can synchronise.
        cluster : sequence of one to three ints, optional
            Blocks of a cluster. Default: what the kernel requires.

        Raises
        ------
        ValueError, TypeError
            If grid, block, shared memory or arguments are outside what CUDA allows.
        KernelError
            A subclass of it for each defect found; see `pycnn.emulator.errors`.
        """
        grid3, block3 = launch_shape(tuple(grid), tuple(block))
        check_block(self._function, block3)
        cluster3 = cluster_shape(self._function, grid3, cluster)
        check_shared(shared_mem, self.max_dynamic_shared_size_bytes)
        static = self._compiled.facts.shared_bytes
        if shared_mem + static > runtime().SHARED_LIMIT:
            raise ValueError(
                f"shared_mem={shared_mem} beside {static} bytes of static shared memory; "
                f"allowed: {runtime().SHARED_LIMIT} together"
            )
        order, seed = parse_schedule(self._module.schedule)
        checked = self._module.checked
        args = host_arguments(args)
        args, described = followed(args)
        if self._takes_maps:
            described += [a.array for a in args if isinstance(a, TensorMap)]
            args = [a.scalar if isinstance(a, TensorMap) else a for a in args]
        guarded = None
        if checked:
            refuse_objects(args)
        else:
            parameters = self._pack(args)
        if checked or parameters.read_only:
            guarded = Guarded([*args, *described])
            parameters = self._pack(guarded.arguments[: len(args)])
        at = parameters.address
        ranges: list[tuple[int, int, bool, str, int]] = []
        constants = self._module._globals.constants if checked else []
        if guarded and checked:
            size = self._function.parameter_bytes
            ranges = [*guarded.ranges, *self._module._globals.ranges]
            ranges += [(at, size, True, "the parameters", 0)] if size else []
            check_blocks(grid3)
        if enable_cooperative_groups:
            check_cooperative(grid3, block3)
        self._module._globals.cooperate(enable_cooperative_groups)
        many = math.prod(grid3) * math.prod(block3) >= MANY
        if many or self._compiled.ran > LONG:
            self._optimise_if_kept()
        began = time.process_time()
        report, counters = self._compiled.kernel.launch(
            grid3, block3, cluster3, shared_mem, at, self._module._globals.address,
            config.get("PYCNN_EMULATOR_THREADS") or CORES, order, seed, checked,
            time_limit(self._module.timeout), self._module.max_steps, ranges, constants,
            guarded.numbers if guarded and checked else [], self._module.same_value_races,
        )  # fmt: skip
        self._compiled.ran += time.process_time() - began
        self.counters = Counters(**counters) if counters else None
        note(self.name, self.counters)
        if guarded:
            guarded.write_back(self.name)
        if report is not None:
            raise self._error(report, block3)

    def optimise(self) -> None:
        """Have LLVM optimise the code now, rather than once it has run for a second.

        What comes out computes the same bits and reports the same; of the NaN that an operation on
        two of them gives, which bits it has may differ.

        Raises
        ------
        OSError
            If the cache does not take it.
        """
        if not self._compiled.optimised:
            known = self._module._kernels[self._function.name]  # by another kernel of the entry
            self._compiled = (
                known if known.optimised else _loaded(self._module, self._function, optimised=True)
            )

    def _optimise_if_kept(self) -> None:
        """The same, but no launch fails that would run as it is: a cache may be full by now."""
        if not self._module._cache_refuses:
            try:
                self.optimise()
            except OSError:
                self._module._cache_refuses = True  # not asked, and nothing compiled, again

    def _error(
        self, report: dict[str, Any], block: tuple[int, int, int]
    ) -> errors.KernelError | MemoryError:
        error = errors.from_report(report, self.name, block, self._locate)
        site = self._site(report["where"])
        if site is not None and isinstance(error, errors.KernelError):
            error.trace = (
                *site.inlined,
                *([f"PTX line {site.ptx_line}"] if site.file != self._module._module.name else []),
            )
        return error

    def _site(self, position: dict[str, Any]) -> Named | None:
        """The instruction at a position."""
        facts = self._compiled.facts
        if 0 < position["pc"] <= len(facts):
            return facts.named(position["pc"])
        return facts.at(position["file"], position["line"])

    def _locate(self, position: dict[str, Any]) -> tuple[str, int]:
        if position["file"]:
            return position["file"], position["line"]
        site = self._site(position) if position["pc"] else None
        return (site.file, site.line) if site else ("", 0)


# ---- The cache ----------------------------------------------------------------------------------


def _compile(module: PtxModule, function: Function) -> _Compiled:
    """An entry in memory, compiled if the cache does not have it; optimised if it has that."""
    known = module._kernels.get(function.name)
    if known is not None:
        return known
    there = cache.find(_key(module, function, True), ".bin") is not None
    return _loaded(module, function, optimised=there)


def _key(module: PtxModule, function: Function, optimised: bool) -> str:
    return cache.key(
        "ptx", _generator(), module._text, function.name, str(module.checked), str(optimised),
        machine.fingerprint(), *runtime().PTX_FUNCTIONS,
    )  # fmt: skip


def _loaded(module: PtxModule, function: Function, *, optimised: bool) -> _Compiled:
    def build(path: Path) -> None:
        program = _translated(module, function)
        facts = Facts.of(module._module, program)
        code = machine.compile_text(program.text, module.checked, optimised)
        path.write_bytes(facts.packed(code))

    entry = cache.get_or_build(_key(module, function, optimised), ".bin", build)
    facts, code = Facts.unpacked(entry.read_bytes())
    kernel = runtime().PtxKernel(
        machine.load(code, function.name), function.name,
        facts.words, facts.sites, facts.shared, facts.dynamic,
    )  # fmt: skip
    compiled = _Compiled(kernel, facts, optimised)
    module._kernels[function.name] = compiled
    return compiled


def _translated(module: PtxModule, function: Function) -> Program:
    functions = {name: i for i, name in enumerate(runtime().PTX_FUNCTIONS)}
    return translate(module._module, function, functions, module.checked)
