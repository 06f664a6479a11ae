"""The emulator sees the same kernels as NVRTC and the documentation: those of the catalogue."""

import pytest

from pycnn.emulator import RawModule
from pycnn.runtime import catalogue, sources


@pytest.mark.parametrize("file", catalogue.load(), ids=lambda f: f.file)
def test_the_entries_of_every_file_are_those_listed(file):
    # The default variant, which needs no macros; of kernels for one architecture, which are for
    # 16-bit types, the first that is compiled.
    first = tuple(f"-D{name}={value}" for name, value in file.variants[0])
    own = {"via": "ptx", "arch": file.arch, "options": first} if file.arch else {}
    module = RawModule(path=sources.kernel_path(file.file), **own)
    module.compile()
    assert sorted(module.kernel_names) == sorted(file.entries)
