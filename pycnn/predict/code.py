"""A kernel as its compiler left it: PTX, machine code that names its lines, and what it uses."""

import functools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pycnn.predict import sass
from pycnn.runtime import cache, elf, nvrtc, sources
from pycnn.runtime.errors import CompileError
from pycnn.runtime.extras import MissingExtra, import_extra
from pycnn.runtime.plan import Kernel

#: Counts the changes of what is kept in the cache.
_FORMAT = "1"


@dataclass(frozen=True)
class Code:
    """One entry for one architecture.

    Attributes
    ----------
    entry, arch : str
    ptx : str
        Of the whole module.
    disassembly : str
        Of the whole module, as `sass.disassemble` prints it.
    resources : elf.Resources
    """

    entry: str
    arch: str
    ptx: str
    disassembly: str
    resources: elf.Resources

    @functools.cached_property
    def listing(self) -> sass.Listing:
        """Machine code of the entry."""
        return sass.listings(self.disassembly)[self.entry]

    @functools.cached_property
    def digest(self) -> str:
        """Of what runs, the encoded instructions, whatever comments, names and lines there are."""
        encoded = sass.encodings(self.disassembly, self.entry)
        return cache.key("machine code", self.arch, self.entry, repr(self.resources), *encoded)


@functools.lru_cache(maxsize=64)
def of_kernel(kernel: Kernel, arch: str) -> Code:
    """An entry of a file under ``kernels/``.

    Raises
    ------
    CompileError, MissingExtra
        As `pycnn.runtime.nvrtc.compile_text`.
    """
    path = sources.kernel_path(kernel.file)
    macros = [f"-D{name}={value}" for name, value in sorted(kernel.defines)]
    return of_text(path.read_text(), path, kernel.entry, arch, macros)


def closure(text: str, beside: Path) -> str | None:
    """Hash over a text and all it includes; None where only the compiler knows what that is."""
    cuda = nvrtc.cuda_include_dirs()
    found: str | None = sources.plain_hash(text, beside, (*sources.include_dirs(), *cuda), cuda)
    return found


def of_text(
    text: str, name: Path | str, entry: str, arch: str, options: Sequence[str] = ()
) -> Code:
    """An entry of CUDA C++, by its name or, of a template, by its expression; "" for the only one.

    Raises
    ------
    ValueError
        If there is no such entry; lists those there are.
    """
    expressions = (entry,) if "<" in entry else ()
    read = closure(text, Path(name).parent)

    def make() -> dict[str, Any]:
        made = nvrtc.compile_both(text, name, arch, options, expressions)
        return {
            "ptx": made.ptx.text, "names": made.ptx.names, "sass": sass.disassemble(made.cubin),
            "used": {k: asdict(v) for k, v in elf.resources(made.cubin).items()},
        }  # fmt: skip

    if read is None:
        kept = make()
    else:
        key = cache.key(
            "code", _FORMAT, nvrtc.version(), read, str(name), arch, *options, *expressions
        )

        def build(target: Path) -> None:
            target.write_text(json.dumps(make()))

        kept = json.loads(cache.get_or_build(key, ".json", build).read_text())
    return _code(kept, name, entry, arch)


def of_ptx(text: str, name: Path | str, entry: str, arch: str) -> Code:
    """An entry of PTX, which ``ptxas`` makes machine code of; "" for the only one.

    Raises
    ------
    MissingExtra
        If the tool is not installed.
    CompileError
        If it refuses the text.
    ValueError
        If there is no such entry; lists those there are.
    """
    pathfinder = import_extra("cuda.pathfinder", "compile", "finding ptxas")
    tool = (
        _of_triton(arch) or pathfinder.find_nvidia_binary_utility("ptxas") or shutil.which("ptxas")
    )
    if tool is None:
        raise MissingExtra("machine code of PTX needs ptxas, of NVIDIA's CUDA toolkit")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(text)
        command = [str(tool), "-lineinfo", f"-arch={arch}", str(source), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CompileError(str(name), arch, done.stderr.strip().replace(str(source), str(name)))
        cubin = target.read_bytes()
    used = {k: asdict(v) for k, v in elf.resources(cubin).items()}
    made = {"ptx": text, "names": {}, "sass": sass.disassemble(cubin), "used": used}
    return _code(made, name, entry, arch)


def _of_triton(arch: str) -> str | None:
    """The tool that Triton would take, if it is in use: no older one reads its PTX."""
    compiler = sys.modules.get("triton.backends.nvidia.compiler")
    number = int("".join(filter(str.isdigit, arch)))
    return str(compiler.get_ptxas(number).path) if compiler else None


def _code(made: dict[str, Any], name: Path | str, entry: str, arch: str) -> Code:
    used = made["used"]
    lowered = next(iter(used)) if not entry and len(used) == 1 else made["names"].get(entry, entry)
    if lowered not in used:
        asked = f"kernel {entry!r}" if entry else "which kernel is wanted"
        raise ValueError(f"{asked}: {name} has {', '.join(used) or 'none'}")
    return Code(lowered, arch, made["ptx"], made["sass"], elf.Resources(**used[lowered]))
