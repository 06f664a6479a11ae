"""CUDA C++ by way of PTX: NVRTC compiles it, the emulator runs what comes out."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.emulator.host import Source
from pycnn.emulator.ptx.module import PtxKernel, PtxModule
from pycnn.runtime import cache, elf, nvrtc, sources


@dataclass(frozen=True)
class PtxSource:
    """A module of PTX made from CUDA C++.

    Attributes
    ----------
    module : PtxModule
    names : dict
        Of each name expression, the name of the kernel in the PTX.
    """

    module: PtxModule
    names: dict[str, str]

    @property
    def kernel_names(self) -> tuple[str, ...]:
        """As `pycnn.emulator.RawModule` has them: an instantiation by its expression."""
        lowered = set(self.names.values())
        return (*(n for n in self.module.kernel_names if n not in lowered), *self.names)

    def get_function(self, name: str) -> PtxKernel:
        kernel = self.module.get_function(self.names.get(name, name))
        kernel.name = name
        return kernel

    def get_global(self, name: str) -> np.ndarray:
        return self.module.get_global(name)


class Request:
    """A source and all that NVRTC is told of it; what comes out is kept in the disk cache."""

    def __init__(
        self, source: Source, arch: str, options: Sequence[str], expressions: Sequence[str]
    ) -> None:
        options = [_spelled(option) for option in options]
        for option in options:
            if option.startswith("-arch="):
                arch = option.partition("=")[2].replace("compute_", "sm_")
        self.name, self.arch, self.expressions = source.name, arch, tuple(expressions)
        self.options = [option for option in options if not option.startswith("-arch=")]
        self.text = sources.read(Path(self.name)) if source.text is None else source.text
        cuda = nvrtc.cuda_include_dirs()
        own = [Path(option[2:]) for option in options if option.startswith("-I")]
        folders = [*own, *sources.include_dirs(), *cuda]  # as `compile_ptx` has them searched
        beside = Path(self.name).parent if source.text is None else None
        self._read = sources.plain_hash(self.text, beside, folders, cuda)

    def kept(self, what: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `make` returns, or what it once returned for the same request."""
        if self._read is None:  # what it includes only the compiler knows: nothing is kept of it
            return make()

        def build(path: Path) -> None:
            path.write_text(json.dumps(make()))

        key = cache.key(
            what, nvrtc.version(), self._read, self.name, self.arch, *self.options,
            "expressions", *self.expressions,
        )  # fmt: skip
        results: dict[str, Any] = json.loads(cache.get_or_build(key, ".json", build).read_text())
        return results


def ptx_source(
    source: Source,
    arch: str,
    options: Sequence[str],
    expressions: Sequence[str],
    checked: bool,
    **settings: Any,
) -> PtxSource:
    """PTX of a source, compiled by NVRTC if the cache does not have it.

    Raises
    ------
    CompileError
        If NVRTC refuses the source.
    MissingExtra
        If NVRTC is not installed.
    """
    request = Request(source, arch, options, expressions)

    def make() -> dict[str, Any]:
        compiled = nvrtc.compile_ptx(
            request.text, request.name, request.arch, request.options, expressions
        )
        return {"names": compiled.names, "ptx": compiled.text}

    kept = request.kept("ptx-of", make)
    origin = request.name if source.text is not None else None
    module = PtxModule(kept["ptx"], checked=checked, origin=origin, **settings)
    return PtxSource(module, kept["names"])


def resources(
    source: Source, arch: str, options: Sequence[str], expressions: Sequence[str]
) -> tuple[str, dict[str, elf.Resources]]:
    """What the kernels of a source use on a GPU, by name or expression, and of which architecture.

    Raises
    ------
    CompileError, MissingExtra
        As `ptx_source`.
    """
    request = Request(source, arch, options, expressions)

    def make() -> dict[str, Any]:
        compiled = nvrtc.compile_text(
            request.text, request.name, request.arch, (), request.options, expressions
        )
        used = {name: asdict(uses) for name, uses in elf.resources(compiled.cubin).items()}
        return used | {e: used[lowered] for e, lowered in compiled.names.items()}

    kept = request.kept("resources-of", make)
    return request.arch, {name: elf.Resources(**uses) for name, uses in kept.items()}


def _spelled(option: str) -> str:
    """An option as this module reads it: ``-arch=``, ``-I``, ``-D`` by their short names."""
    for long, short in (
        ("--gpu-architecture=", "-arch="),
        ("--include-path=", "-I"),
        ("--define-macro=", "-D"),
        ("--undefine-macro=", "-U"),
        ("-I ", "-I"),
    ):
        if option.startswith(long):
            return short + option[len(long) :]
    return option
