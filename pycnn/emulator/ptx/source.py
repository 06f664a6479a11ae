"""CUDA C++ by way of PTX: NVRTC compiles it, the emulator runs what comes out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycnn.emulator.host import Source
from pycnn.emulator.ptx.module import PtxKernel, PtxModule
from pycnn.runtime import cache, nvrtc, sources


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
    options = [_spelled(option) for option in options]
    for option in options:
        if option.startswith("-arch="):
            arch = option.partition("=")[2].replace("compute_", "sm_")
    options = [option for option in options if not option.startswith("-arch=")]
    cuda = nvrtc.cuda_include_dirs()
    given = [Path(option[2:]) for option in options if option.startswith("-I")]
    folders = [*given, *sources.include_dirs(), *cuda]  # as `compile_ptx` has them searched
    name = source.name
    text = sources.read(Path(name)) if source.text is None else source.text

    def build(path: Path) -> None:
        compiled = nvrtc.compile_ptx(text, name, arch, options, expressions)
        path.write_text(json.dumps({"names": compiled.names, "ptx": compiled.text}))

    beside = Path(name).parent if source.text is None else None
    read = sources.plain_hash(text, beside, folders, cuda)
    if read is None:  # what it includes only the compiler knows: nothing is kept of it
        compiled = nvrtc.compile_ptx(text, name, arch, options, expressions)
        kept: dict[str, Any] = {"names": compiled.names, "ptx": compiled.text}
    else:
        key = cache.key(
            "ptx-of", nvrtc.version(), read, name, arch, *options, "expressions", *expressions
        )
        kept = json.loads(cache.get_or_build(key, ".json", build).read_text())
    origin = name if source.text is not None else None
    module = PtxModule(kept["ptx"], checked=checked, origin=origin, **settings)
    return PtxSource(module, kept["names"])


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
