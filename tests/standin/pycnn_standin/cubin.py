"""What a cubin says of its kernels, and the source that the stand-in NVRTC put behind it."""

import ctypes
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

#: ``kMagic`` of ``nvrtc.cpp``.
_MAGIC = b"pycnn stand-in\0"


#: Kind of a section that lies in no file: SHT_NOBITS, such as shared memory.
_NO_BITS = 8

#: Attributes of ``.nv.info`` (cuobjdump calls them EIATTR_REGCOUNT and EIATTR_MAX_THREADS), and the
#: format that carries a size (EIFMT_SVAL).
_REGISTERS, _MAX_THREADS, _SIZED = 0x2F, 0x05, 0x04

#: Bytes that the system takes of a block's shared memory on sm_90, which ptxas counts in.
_RESERVED = 1024


@dataclass(frozen=True)
class Section:
    """One section of the ELF file."""

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
    """Of one entry: static shared memory in bytes, registers of a thread, threads of a block."""

    shared: int
    registers: int
    threads: int


@dataclass(frozen=True)
class Cubin:
    """A cubin in memory, as it is given to the driver: an address without a size."""

    address: int

    @cached_property
    def sections(self) -> dict[str, Section]:
        """Every section by its name.

        Raises
        ------
        ValueError
            If there is no ELF file of 64 bits at the address.
        """
        header = ctypes.string_at(self.address, 64)
        if header[:5] != b"\x7fELF\x02":
            raise ValueError("the stand-in driver loads cubins only, and this is none")
        (table,) = struct.unpack_from("<Q", header, 40)
        entry_size, count, names_index = struct.unpack_from("<HHH", header, 58)
        at = self.address + table
        rows = [
            struct.unpack("<IIQQQQIIQQ", ctypes.string_at(at + i * entry_size, 64))
            for i in range(count)
        ]
        names = self.address + rows[names_index][4]
        found = [
            Section(ctypes.string_at(names + name).decode(), kind, offset, size)
            for name, kind, _, _, offset, size, *_ in rows
        ]
        return {section.name: section for section in found}

    def resources(self) -> dict[str, "Resources"]:
        """What every entry takes of the device."""
        registers = {
            self._symbol(symbol): count
            for attribute, value in self._info(".nv.info")
            if attribute == _REGISTERS
            for symbol, count in [struct.unpack("<II", value)]
        }
        entries = [n.removeprefix(".text.") for n in self.sections if n.startswith(".text.")]
        return {e: Resources(self._shared(e), registers[e], self._threads(e)) for e in entries}

    def _shared(self, entry: str) -> int:
        section = self.sections.get(f".nv.shared.{entry}")
        return section.size - _RESERVED if section else 0

    def _threads(self, entry: str) -> int:
        for attribute, value in self._info(f".nv.info.{entry}"):
            if attribute == _MAX_THREADS:
                return prod(struct.unpack("<III", value))
        return 1024

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
        return ctypes.string_at(self.address + self.sections[".strtab"].offset + name).decode()

    def _bytes(self, name: str) -> bytes:
        section = self.sections.get(name)
        return ctypes.string_at(self.address + section.offset, section.size) if section else b""

    @cached_property
    def end(self) -> int:
        """Address of the first byte behind the file."""
        header = ctypes.string_at(self.address, 64)
        programs, table = struct.unpack_from("<QQ", header, 32)
        program_size, program_count, entry_size, count = struct.unpack_from("<HHHH", header, 54)
        ends = [section.end for section in self.sections.values()]
        ends += [programs + program_size * program_count, table + entry_size * count]
        return self.address + max(ends)

    @cached_property
    def _trailer(self) -> tuple[str, str, str]:
        at = self.end
        # The file may be padded by a few bytes.
        found = ctypes.string_at(at, len(_MAGIC) + 16).find(_MAGIC)
        if found < 0:
            raise ValueError("a cubin that the stand-in NVRTC did not compile: nothing can run it")
        at += found + len(_MAGIC)
        parts = []
        for _ in range(3):
            part = ctypes.string_at(at)
            parts.append(part.decode())
            at += len(part) + 1
        return parts[0], parts[1], parts[2]

    @property
    def options(self) -> tuple[str, ...]:
        """Options of NVRTC that it was compiled with."""
        return tuple(self._trailer[0].splitlines())

    @property
    def expressions(self) -> dict[str, str]:
        """Name expressions by the name of the entry that each became."""
        lines = self._trailer[1].splitlines()
        return {name: text for name, _, text in (line.partition(" ") for line in lines)}

    @property
    def source(self) -> str:
        """The source it was compiled from."""
        return self._trailer[2]
