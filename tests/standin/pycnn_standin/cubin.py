"""What a cubin says of its kernels, and the source that the stand-in NVRTC put behind it."""

import ctypes
import struct
from dataclasses import dataclass
from functools import cached_property

#: ``kMagic`` of ``nvrtc.cpp``.
_MAGIC = b"pycnn stand-in\0"


@dataclass(frozen=True)
class Section:
    """One section of the ELF file."""

    name: str
    info: int
    offset: int
    size: int


@dataclass(frozen=True)
class Cubin:
    """A cubin in memory, as it is given to the driver: an address without a size."""

    address: int

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """Every section by its header.

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
        rows = [
            struct.unpack(
                "<IIQQQQIIQQ", ctypes.string_at(self.address + table + i * entry_size, 64)
            )
            for i in range(count)
        ]
        names = self.address + rows[names_index][4]
        return tuple(
            Section(
                ctypes.string_at(names + name).decode(),
                info,
                offset,
                0 if kind == 8 else size,  # SHT_NOBITS lies in no file
            )
            for name, kind, _, _, offset, size, _, info, _, _ in rows
        )

    @cached_property
    def end(self) -> int:
        """Address of the first byte behind the file."""
        header = ctypes.string_at(self.address, 64)
        programs, table = struct.unpack_from("<QQ", header, 32)
        program_size, program_count, entry_size, count = struct.unpack_from("<HHHH", header, 54)
        ends = [s.offset + s.size for s in self.sections]
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
