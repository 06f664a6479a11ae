"""Every barrier, fence and wait of the kernels, and the first problem that misses it.

python tests/mutation/barriers.py FILE   run the problems of its lines until one is reported
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pycnn
from benchmarks.gpu.once import attempt, memory_of
from benchmarks.gpu.problems import select
from pycnn import config
from pycnn.emulator import KernelError
from pycnn.runtime import catalogue, target
from pycnn.runtime.sources import closure, kernel_dir, kernel_files, kernel_path
from pycnn.runtime.target import Target, planned_for
from pycnn.testing.problem import every, named

#: A statement that only orders: it can be taken out, and the rest still compiles.
_WAIT = re.compile(
    r"(?:__sync(?:threads|warp)|__threadfence\w*|(?:\w+::)?\w*(?:wait|fence)\w*(?:<[^;<>]*>)?"
    r"|[\w.]+\.sync|cluster_sync)"
    r"\([^;()]*\);"
    r'|asm volatile\("[\w.]*(?:wait|fence|bar\.)[^"]*"[^;]*\);'
    r"|__syncthreads_or(?=\()"
)

#: Those of 16 bits, whose tiles come later, are tried last.
DTYPES = ("float32", "int8", "float16")

#: Problems that are tried for a barrier, variants of kernels first.
TRIED = 80


@dataclass(frozen=True)
class Barrier:
    """One statement, by its place in a file of the kernels."""

    file: str
    line: int
    begin: int
    end: int
    statement: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def removed_from(self, text: str) -> str:
        """`text` with an empty statement instead; of a vote each thread's own remains."""
        instead = ";" if self.statement.endswith(";") else "(bool)"
        return text[: self.begin] + instead + text[self.end :]


def barriers() -> Iterator[Barrier]:
    """All that stand in code."""
    root = kernel_dir()
    for path in sorted(root.rglob("*.cu*")):
        text = path.read_text()
        for match in _WAIT.finditer(text):
            before = text[: match.start()]
            if "//" not in before[before.rfind("\n") + 1 :]:
                file = path.relative_to(root).as_posix()
                yield Barrier(file, before.count("\n") + 1, *match.span(), match[0])


#: What plans are made for here, so that kernels of this architecture alone are chosen, too. It has
#: so few multiprocessors that these kernels get wide tiles, and several of them a block.
HOPPER = Target("sm_90a", 3)


@cache
def problems() -> dict[str, list[str]]:
    """For every file of the kernels the problems that run what is in it."""
    with planned_for(HOPPER):
        selection = select(p for p in every() if p.dtype in DTYPES and not p.large)
    files = {
        file: [path.relative_to(kernel_dir()).as_posix() for path in closure(kernel_path(file))]
        for file in kernel_files()
    }
    of = defaultdict(list)
    for problem in selection.problems:
        launched = {kernel.file for kernel in selection.kernels[problem]}
        for file in {part for kernel in launched for part in files[kernel]}:
            of[file].append(problem)
    return {
        file: list(map(str, sorted(of[file], key=lambda p: p.dtype == "float16"))) for file in of
    }


def only_arch(file: str) -> str | None:
    """The one architecture of all kernels that include a file, if it is one."""
    with_it = [
        kernel.arch
        for kernel in catalogue.load()
        if kernel_dir() / file in closure(kernel_path(kernel.file))
    ]
    return with_it[0] if len(set(with_it)) == 1 else None


def first_report(words: list[str]) -> str:
    """What the checked emulator reports, of the first problem of which it reports something."""
    with pycnn.use_backend("emulator", checked=True):
        for word in words:
            _, reason = attempt(named(word), memory_of("emulator"), compared=False)
            if reason.startswith(tuple(kind.__name__ for kind in _kinds(KernelError))):
                return f"{word}: {reason}"
    return ""


def _kinds(error: type) -> Iterator[type]:
    yield error
    for kind in error.__subclasses__():
        yield from _kinds(kind)


if __name__ == "__main__":
    if config.get("PYCNN_EMULATOR_ARCH") == HOPPER.arch:
        target.target_of_backend = lambda _: HOPPER
    print(first_report(Path(sys.argv[1]).read_text().splitlines()))
