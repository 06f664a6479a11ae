"""A kernel as its compiler left it: PTX, machine code that names its lines, and what it uses."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pycnn.predict import sass
from pycnn.runtime import cache, elf, nvrtc, sources

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
    listing : sass.Listing
        Machine code of the entry.
    resources : elf.Resources
    """

    entry: str
    arch: str
    ptx: str
    listing: sass.Listing
    resources: elf.Resources


def of_kernel(file: str, entry: str, defines: Sequence[tuple[str, str]], arch: str) -> Code:
    """An entry of a file under ``kernels/``.

    Raises
    ------
    CompileError, MissingExtra
        As `pycnn.runtime.nvrtc.compile_text`.
    """
    path = sources.kernel_path(file)
    return of_text(path.read_text(), path, entry, arch, [f"-D{n}={v}" for n, v in sorted(defines)])


def closure(text: str, beside: Path) -> str | None:
    """Hash over a text and all it includes; None where only the compiler knows what that is."""
    cuda = nvrtc.cuda_include_dirs()
    found: str | None = sources.plain_hash(text, beside, (*sources.include_dirs(), *cuda), cuda)
    return found


def of_text(
    text: str, name: Path | str, entry: str, arch: str, options: Sequence[str] = ()
) -> Code:
    """An entry of CUDA C++, by its name or, of a template, by its expression.

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
    lowered = kept["names"].get(entry, entry)
    if lowered not in kept["used"]:
        raise ValueError(f"entry={entry!r}: {name} has {', '.join(kept['used']) or 'none'}")
    return Code(lowered, arch, kept["ptx"], sass.listings(kept["sass"])[lowered],
                elf.Resources(**kept["used"][lowered]))  # fmt: skip
