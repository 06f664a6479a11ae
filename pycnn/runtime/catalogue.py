"""The kernels there are: read from the header comments of ``kernels/**/*.cu``.

Machine-read lines of a header::

    // pool/max_pool2d.cu: maximum over sliding windows, and its gradient as a gather.
    // entry max_pool2d_forward      maximum of every window, optionally with its index
    // variant SCALAR = floating
    // variant TILE = 64, 128
    // variant TILE_M TILE_N = 128 64, 192 128    together
    // only max_pool2d_forward TILE = 64    of the variants, those that plans launch it in
    // arch sm_90a            only where no other architecture has its instructions
    // spill REASON                  only where local memory is wanted; excuses it in the gate

Variants are the cross product of all ``variant`` lines, in which a word of
`pycnn.dtypes.VARIANTS` stands for all its values. The ``entry`` lines and the definitions
``extern "C" __global__`` must be the same set. The block size, for the occupancy, is not here:
every entry states it to the compiler as ``__launch_bounds__``, and the gate reads it from the
cubin.
"""

import functools
import itertools
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from pycnn.dtypes import VARIANTS
from pycnn.runtime import sources

Variant = tuple[tuple[str, str], ...]

_ENTRY = re.compile(r"^// entry (\w+) +(\S.*)$", re.MULTILINE)
_VARIANT = re.compile(r"^// variant (\w+(?: \w+)*) = (\S.*)$", re.MULTILINE)
_ONLY = re.compile(r"^// only (\w+) (\w+) = (\S.*)$", re.MULTILINE)
_SPILL = re.compile(r"^// spill (\S.*)$", re.MULTILINE)
_ARCH = re.compile(r"^// arch (sm_\d+[af]?)$", re.MULTILINE)
_MACHINE_READ = re.compile(r"^// *(entry|variant|only|spill|arch)\b.*$", re.MULTILINE)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_GLOBAL = re.compile(r"\b__global__\b([^;{]*)")
_BOUNDS = re.compile(r"\b__(?:launch_bounds|cluster_dims)__\s*\((?:[^()]|\([^()]*\))*\)")


@dataclass(frozen=True)
class KernelFile:
    """One ``.cu`` file.

    Attributes
    ----------
    file : str
        Relative to ``kernels/``.
    purpose : str
        What the first line of the header says after the name.
    entries : dict of str to str
        Purpose of each entry point.
    variants : tuple
        Sets of macros to compile it with; at least one, which may be empty.
    spill : str or None
        The reason why a spill is accepted.
    arch : str or None
        The one architecture that has its instructions.
    only : tuple of (str, str, tuple of str)
        Entries that plans launch with some values of a macro alone, the macro, and the values.
    """

    file: str
    purpose: str
    entries: dict[str, str] = field(hash=False)
    variants: tuple[Variant, ...]
    spill: str | None
    arch: str | None = None
    only: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def launched(self, entry: str) -> list[Variant]:
        """Variants in which plans launch an entry."""
        wanted = [(macro, values) for name, macro, values in self.only if name == entry]
        return [v for v in self.variants if all(dict(v)[m] in values for m, values in wanted)]

    def runs_on(self, arch: str) -> bool:
        """Whether it compiles for an architecture."""
        return self.arch in (None, arch)


def parse(file: str, text: str) -> KernelFile:
    """Read the header of a kernel file.

    Parameters
    ----------
    file : str
        Name relative to ``kernels/``.
    text : str
        The whole file.

    Raises
    ------
    ValueError
        If the header is not of the form above, or disagrees with the definitions; names the file
        and what is wrong.
    """
    header = text[: re.search(r"^(?!//)", text, re.MULTILINE).start()]  # type: ignore[union-attr]
    first = re.match(rf"// {re.escape(file)}: (\S.*)\n", header)
    if first is None:
        raise ValueError(f"{file}: the first line must be '// {file}: PURPOSE'")
    understood = {
        m[0] for p in (_ENTRY, _VARIANT, _ONLY, _SPILL, _ARCH) for m in p.finditer(header)
    }
    for line in _MACHINE_READ.finditer(header):
        if line[0] not in understood:
            raise ValueError(
                f"{file}: {line[0]!r} is not of the form '// entry NAME PURPOSE', "
                f"'// variant NAME = VALUE, VALUE', '// only ENTRY NAME = VALUE', "
                f"'// arch sm_NUMBER' or '// spill REASON'"
            )
    entries = dict(_ENTRY.findall(header))
    _compare(file, list(entries), _definitions(file, text))
    macros = [
        [macro for word in values.split(",") for macro in _together(file, names.split(), word)]
        for names, values in _VARIANT.findall(header)
    ]
    spill, arch = _SPILL.search(header), _ARCH.search(header)
    variants = tuple(tuple(itertools.chain(*chosen)) for chosen in itertools.product(*macros))
    return KernelFile(
        file, first[1], entries, variants, spill and spill[1], arch and arch[1],
        _only(file, entries, variants[0], header),
    )  # fmt: skip


def _only(
    file: str, entries: Collection[str], variant: Variant, header: str
) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """What the ``only`` lines say."""
    found = []
    for entry, macro, values in _ONLY.findall(header):
        if entry not in entries or macro not in dict(variant):
            raise ValueError(f"{file}: '// only {entry} {macro}' names no entry, or no variant")
        found.append((entry, macro, tuple(value.strip() for value in values.split(","))))
    return tuple(found)


def _together(file: str, names: list[str], word: str) -> list[Variant]:
    """Values of macros that go together; of one whose word stands for several, each."""
    values = word.split()
    if len(values) != len(names):
        raise ValueError(f"{file}: {word.strip()!r} is not a value of each of {', '.join(names)}")
    each = [VARIANTS.get(value, (value,)) for value in values]
    return [tuple(zip(names, chosen, strict=True)) for chosen in itertools.product(*each)]


def _definitions(file: str, text: str) -> list[str]:
    """Names of the ``__global__`` functions, which must all be ``extern "C"``."""
    code = _COMMENT.sub(" ", text)
    names = []
    for match in _GLOBAL.finditer(code):
        signature = _BOUNDS.sub(" ", match[1])
        name = re.match(r"\s*void\s+(\w+)\s*\(", signature)
        if name is None or not re.search(r'extern\s*"C"\s*$', code[: match.start()]):
            wrong = " ".join(("__global__" + match[1]).split())[:80]
            raise ValueError(f'{file}: write extern "C" __global__ void NAME(...), not {wrong!r}')
        names.append(name[1])
    return names


def _compare(file: str, listed: list[str], defined: list[str]) -> None:
    """The header's entries and the definitions, each once."""
    twice = [name for name, count in Counter(defined).items() if count > 1]
    problems = {
        "more than one definition of": twice,
        "no '// entry' line for": sorted(set(defined) - set(listed)),
        "an '// entry' line but no definition of": sorted(set(listed) - set(defined)),
    }
    for problem, names in problems.items():
        if names:
            raise ValueError(f"{file}: {problem} {', '.join(names)}")
    if not listed:
        raise ValueError(f"{file}: no '// entry' line and no definition of an entry")


def load() -> tuple[KernelFile, ...]:
    """Every kernel file, sorted by name.

    Raises
    ------
    ValueError
        If a header is wrong, or two files define an entry of the same name.

    Examples
    --------
    >>> [kernel.file for kernel in load()] == list(sources.kernel_files())
    True
    """
    files = tuple(_load(name, sources.source_hash(sources.kernel_path(name)))
                  for name in sources.kernel_files())  # fmt: skip
    owners: dict[str, str] = {}
    for kernel in files:
        for entry in kernel.entries:
            if entry in owners:
                raise ValueError(f"entry {entry} is defined in {owners[entry]} and {kernel.file}")
            owners[entry] = kernel.file
    return files


@functools.lru_cache(maxsize=1024)
def _load(file: str, version: str) -> KernelFile:
    return parse(file, sources.kernel_path(file).read_text())


def table() -> str:
    """All entries as a Markdown table, as it stands in `docs/kernels.md`."""
    rows = [
        f"| `{entry}` | `{kernel.file}` | {purpose} |"
        for kernel in load()
        for entry, purpose in kernel.entries.items()
    ]
    return "\n".join(["| Entry | File | Purpose |", "|---|---|---|", *rows])
