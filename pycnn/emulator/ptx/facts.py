"""What the runtime has to know of an entry beside its code; kept with it in the cache.

An entry has thousands of instructions that a report may name, and a process many entries: so
each of them is a row of numbers, and what several share is there once.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from pycnn.emulator.ptx.compile import Program
from pycnn.emulator.ptx.places import demangled, inlined, place_of
from pycnn.emulator.ptx.syntax import Module


class Named(NamedTuple):
    """An instruction: what a report says of it."""

    opcode: str
    file: str
    line: int
    ptx_line: int
    inlined: list[str]  # where to, outwards


@dataclass(frozen=True)
class Facts:
    """
    Attributes
    ----------
    words : list of str
        Opcodes and files.
    chains : list of list of str
        Where instructions were inlined to.
    shared : list of (name, file, line, bytes, offset)
        Static shared variables.
    dynamic : str
        Name of the dynamic one.
    shared_bytes : int
    written : list of int
        Parameters through which the entry writes.
    sites : array (count, 5) of int32
        Of every instruction: opcode and file among the words, line, line of the PTX, and which
        chain.
    """

    words: list[str]
    chains: list[list[str]]
    shared: list[tuple[str, str, int, int, int]]
    dynamic: str
    shared_bytes: int
    written: list[int]
    sites: Any

    @classmethod
    def of(cls, module: Module, program: Program) -> "Facts":
        """Those of an entry that was just translated."""
        words: dict[str, int] = {}
        chains: dict[tuple[str, ...], int] = {}
        sites = []
        for site in program.sites:
            file, line = place_of(module, site.place, site.line)
            what, where = (words.setdefault(word, len(words)) for word in (site.opcode, file))
            chain = chains.setdefault(tuple(inlined(module, site.place)), len(chains))
            sites.append((what, where, line, site.line, chain))
        layout = program.layout
        shared = [
            (demangled(variable.name), module.name, variable.line, variable.size, offset)
            for variable, offset in layout.shared
        ]
        table = np.array(sites, np.int32).reshape(-1, 5)
        listed = [list(chain) for chain in chains]
        return cls(
            list(words), listed, shared, demangled(layout.dynamic), layout.shared_bytes,
            program.written, table,
        )  # fmt: skip

    def packed(self, code: bytes) -> bytes:
        """In one piece with the code: a line of JSON, the table, the code."""
        header = asdict(self) | {"sites": len(self.sites)}
        return json.dumps(header).encode() + b"\n" + self.sites.tobytes() + code

    @classmethod
    def unpacked(cls, data: bytes) -> tuple["Facts", bytes]:
        """The facts and the code of what `packed` made."""
        line, _, rest = data.partition(b"\n")
        header = json.loads(line)
        count = 5 * header.pop("sites")
        sites = np.frombuffer(rest, np.int32, count).reshape(-1, 5).copy()
        return cls(**header, sites=sites), rest[sites.nbytes :]

    def __len__(self) -> int:
        return len(self.sites)

    def named(self, number: int) -> Named:
        """The instruction that the code calls by a number, from 1 on."""
        what, file, line, ptx_line, chain = self.sites[number - 1].tolist()
        return Named(self.words[what], self.words[file], line, ptx_line, self.chains[chain])

    def at(self, file: str, line: int) -> Named | None:
        """The first instruction of a line."""
        if file not in self.words:
            return None
        there = (self.sites[:, 1] == self.words.index(file)) & (self.sites[:, 2] == line)
        return self.named(int(there.argmax()) + 1) if there.any() else None
