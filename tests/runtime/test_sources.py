"""Where kernels are found, and that a hash changes exactly when something included changes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pycnn.runtime import nvrtc, sources

Write = Callable[[str, str], Path]


def test_the_real_kernels_are_found() -> None:
    assert (sources.kernel_dir() / "include" / "pycnn" / "kernel.cuh").is_file()
    assert sources.emulator_include_dir().is_dir()
    assert len(sources.kernel_files()) > 5


def test_a_missing_kernel_lists_those_that_exist(write_kernel: Write) -> None:
    write_kernel("pool/max.cu", "")
    write_kernel("conv/direct.cu", "")
    with pytest.raises(FileNotFoundError, match=r"'pool/min.cu'.*conv/direct.cu, pool/max.cu$"):
        sources.kernel_path("pool/min.cu")


def test_a_broken_installation_names_the_places_searched(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither .*/a or .*/b; reinstall"):
        sources._locate("kernels", tmp_path / "a", tmp_path / "b")


def test_the_closure_follows_quotes_angles_and_headers_of_headers(write_kernel: Write) -> None:
    kernel = write_kernel("f/k.cu", '#include <lib/a.cuh>\n  #  include "beside.cuh"\n')
    beside = write_kernel("f/beside.cuh", "#include <cuda_fp16.h>\n")
    a = write_kernel("include/lib/a.cuh", '#include "b.cuh"\n')
    b = write_kernel("include/lib/b.cuh", "#include <lib/a.cuh>\n")  # a circle
    assert sources.closure(kernel) == (kernel, a, b, beside)


def test_a_quoted_header_beside_wins_over_one_in_the_folders(write_kernel: Write) -> None:
    kernel = write_kernel("f/k.cu", '#include "x.cuh"\n')
    beside = write_kernel("f/x.cuh", "")
    write_kernel("include/x.cuh", "")
    assert sources.closure(kernel) == (kernel, beside)


def test_the_hash_changes_with_a_header_of_a_header_only(write_kernel: Write) -> None:
    kernel = write_kernel("f/k.cu", "#include <a.cuh>\n")
    write_kernel("include/a.cuh", "#include <b.cuh>\n")
    write_kernel("include/b.cuh", "int x;")
    write_kernel("include/unused.cuh", "int y;")
    before = sources.source_hash(kernel)
    write_kernel("include/unused.cuh", "int y, z;")
    assert sources.source_hash(kernel) == before
    write_kernel("include/b.cuh", "long x;")
    changed = sources.source_hash(kernel)
    assert changed != before
    write_kernel("include/b.cuh", "int x;")
    assert sources.source_hash(kernel) == before


def test_the_hash_does_not_depend_on_the_folder(write_kernel: Write, tmp_path: Path) -> None:
    kernel = write_kernel("f/k.cu", "#include <a.cuh>\n")
    write_kernel("include/a.cuh", "int a;")
    moved = tmp_path / "moved"
    (tmp_path / "kernels").rename(moved)
    there = sources.source_hash(moved / "f" / "k.cu", (moved / "include",))
    moved.rename(tmp_path / "kernels")
    assert there == sources.source_hash(kernel)


def test_the_hash_of_a_text_covers_the_text_and_its_headers(write_kernel: Write) -> None:
    write_kernel("include/a.cuh", "int a;")
    text = "#include <a.cuh>\nint k;"
    before = sources.plain_hash(text)
    assert before is not None
    assert sources.plain_hash(text + " ") != before
    write_kernel("include/a.cuh", "long a;")
    assert sources.plain_hash(text) != before


@pytest.mark.parametrize(
    "text",
    [
        '#define H "a.cuh"\n#include H',
        '# include /**/ "a.cuh"',
        '/* */ #include "a.cuh"',
        '#/*\n*/include "a.cuh"',
        '#inc\\\nlude "a.cuh"',
        '#inc\\ \nlude "a.cuh"',
        '%:include "a.cuh"',
        "#include <cmath>",
        '#include "deep.cuh"',
        "#if __has_include(<b.cuh>)\n#endif",
        "#include_next <a.cuh>",
        "const char* now = __TIME__;",
    ],
)
def test_what_only_a_compiler_can_follow_is_left_to_it(write_kernel: Write, text: str) -> None:
    write_kernel("include/a.cuh", "int a;")
    write_kernel("include/deep.cuh", "#include <stddef.h>")
    assert sources.plain_hash(text) is None


@pytest.mark.parametrize("text", ["int include, count_include_pad;", "// include <a.cuh>", ""])
def test_a_word_is_no_directive(write_kernel: Write, text: str) -> None:
    assert sources.plain_hash(text) is not None


@pytest.mark.parametrize("file", sources.kernel_files())
def test_all_that_our_own_kernels_read_is_known_without_a_compiler(file: str) -> None:
    path = sources.kernel_path(file)
    folders = sources.include_dirs(emulator=True)
    assert sources.plain_hash(sources.read(path), path.parent, folders) is not None


@pytest.mark.parametrize("file", sources.kernel_files())
def test_all_that_nvrtc_reads_of_our_own_kernels_is_known(file: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="NVRTC is not installed (extra compile)")
    path, cuda = sources.kernel_path(file), nvrtc.cuda_include_dirs()
    folders = (*sources.include_dirs(), *cuda)
    assert sources.plain_hash(sources.read(path), path.parent, folders, cuda) is not None


def test_headers_of_a_compiler_are_hashed_and_need_not_be_plain(
    write_kernel: Write, tmp_path: Path
) -> None:
    write_kernel("include/a.cuh", "#if 0\n#include <elsewhere.h>\n#endif")
    assert sources.plain_hash("#include <a.cuh>") is None
    before = sources.plain_hash("#include <a.cuh>", compilers=sources.include_dirs())
    write_kernel("include/a.cuh", "#if 1\n#include <elsewhere.h>\n#endif")
    assert before != sources.plain_hash("#include <a.cuh>", compilers=sources.include_dirs())
    assert before is not None


def test_bytes_that_are_no_text_are_hashed_too(write_kernel: Write, tmp_path: Path) -> None:
    kernel = write_kernel("f/k.cu", "")
    hashes = set()
    for byte in (b"\xe9", b"\xe8"):
        kernel.write_bytes(b"// caf" + byte)
        hashes.add(sources.plain_hash(sources.read(kernel)))
    assert len(hashes) == 2
