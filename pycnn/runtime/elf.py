"""A cubin as the ELF file it is: what its kernels use, read with no tool.

Half of what ``pycnn.runtime.cubin`` knows (no spills), but neither ``cuobjdump`` nor the compiler's
log is needed.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

#: Kind of a section that lies in no file: SHT_NOBITS, such as shared memory.
_NO_BITS = 8

#: Attributes of ``.nv.info`` (cuobjdump calls them EIATTR_REGCOUNT, EIATTR_FRAME_SIZE and
#: EIATTR_MAX_THREADS), and the format that carries a size (EIFMT_SVAL).
_REGISTERS, _FRAME, _MAX_THREADS, _SIZED = 0x2F, 0x11, 0x05, 0x04

#: Bytes that the system takes of a block's shared memory from sm_90 on, which ptxas counts in.
_RESERVED = 1024


@dataclass(frozen=True)
class Section:
    """One section of the file."""

    name: str
    kind: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset + (0 if self.kind == _NO_BITS else self.size)


@dataclass(frozen=True)
class Resources:
    """What one entry uses; all but registers and threads in bytes.

    Attributes
    ----------
    registers, local : int
        Of a thread; `local` is its stack.
    shared, constant : int
        Static shared memory of a block, and constants that the module itself has.
    threads : int or None
        Largest block that the kernel says it takes, if it does.
    """

    registers: int
    local: int
    shared: int
    constant: int
    threads: int | None


class Elf:
    """A cubin.

    Parameters
    ----------
    read : callable
        ``read(offset, size)`` gives bytes of it.

    Raises
    ------
    ValueError
        If it is no ELF file of 64 bits.
    """

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self.header = read(0, 64)
        if self.header[:5] != b"\x7fELF\x02":
            raise ValueError("no cubin: a file of 64-bit ELF is wanted")

    @cached_property
    def sections(self) -> dict[str, Section]:
        """Every section by its name."""
        (table,) = struct.unpack_from("<Q", self.header, 40)
        entry_size, count, names_index = struct.unpack_from("<HHH", self.header, 58)
        rows = [
            struct.unpack("<IIQQQQIIQQ", self._read(table + i * entry_size, 64))
            for i in range(count)
        ]
        names = self._read(rows[names_index][4], rows[names_index][5])
        named = [
            Section(_text(names, name), kind, offset, size)
            for name, kind, _, _, offset, size, *_ in rows
        ]
        return {section.name: section for section in named}

    @cached_property
    def size(self) -> int:
        """Bytes of the file."""
        programs, table = struct.unpack_from("<QQ", self.header, 32)
        program_size, program_count, entry_size, count = struct.unpack_from(
            "<HHHH", self.header, 54
        )
        ends = [section.end for section in self.sections.values()]
        return max(*ends, programs + program_size * program_count, table + entry_size * count)

    def resources(self) -> dict[str, Resources]:
        """What every entry uses."""
        counts: dict[int, dict[str, int]] = {_REGISTERS: {}, _FRAME: {}}
        for attribute, value in self._info(".nv.info"):
            if attribute in counts:
                symbol, count = struct.unpack("<II", value)
                counts[attribute][self._symbol(symbol)] = count
        constant = self._size(".nv.constant3")
        entries = [n.removeprefix(".nv.info.") for n in self.sections if n.startswith(".nv.info.")]
        return {
            e: Resources(counts[_REGISTERS].get(e, 0), counts[_FRAME].get(e, 0), self._shared(e),
                         constant, self._threads(e))
            for e in entries
        }  # fmt: skip

    def _size(self, name: str) -> int:
        section = self.sections.get(name)
        return section.size if section else 0

    def _shared(self, entry: str) -> int:
        size = self._size(f".nv.shared.{entry}")
        return size - _RESERVED if size and self._arch >= 90 else size

    @property
    def _arch(self) -> int:
        """Compute capability, where the flags have it: in the lowest byte, or the one above."""
        (flags,) = struct.unpack_from("<I", self.header, 48)
        return flags >> 8 & 255 if self.header[8] >= 8 else flags & 255

    def _threads(self, entry: str) -> int | None:
        for attribute, value in self._info(f".nv.info.{entry}"):
            if attribute == _MAX_THREADS:
                return prod(struct.unpack("<III", value))
        return None

    def _info(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Attributes of a section ``.nv.info`` and their values."""
        data = self._bytes(name)
        while data:
            form, attribute, size = struct.unpack_from("<BBH", data)
            length = size if form == _SIZED else 0
            yield attribute, data[4 : 4 + length]
            data = data[4 + length :]

    def _symbol(self, index: int) -> str:
        (name,) = struct.unpack_from("<I", self._bytes(".symtab"), 24 * index)
        return _text(self._bytes(".strtab"), name)

    def _bytes(self, name: str) -> bytes:
        section = self.sections.get(name)
        return self._read(section.offset, section.size) if section else b""


def resources(cubin: bytes) -> dict[str, Resources]:
    """What every entry of a cubin uses.

    Raises
    ------
    ValueError
        If it is no cubin.
    """
    return Elf(lambda offset, size: cubin[offset : offset + size]).resources()


def _text(names: bytes, at: int) -> str:
    return names[at : names.index(b"\0", at)].decode()
