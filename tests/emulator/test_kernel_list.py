"""The emulator sees the same kernels as NVRTC and the documentation: those of the catalogue."""

import pytest

from pycnn.emulator import RawModule
from pycnn.runtime import catalogue, sources


@pytest.mark.parametrize("file", catalogue.load(), ids=lambda f: f.file)
def test_the_entries_of_every_file_are_those_listed(file):
    # The default variant, which needs no macros.
    own = {"via": "ptx", "arch": file.arch} if file.arch else {}
    module = RawModule(path=sources.kernel_path(file.file), **own)
    module.compile()
    assert sorted(module.kernel_names) == sorted(file.entries)
