"""A kernel is compiled again exactly when something that its compiler reads has changed."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pycnn.emulator import RawModule, host
from pycnn.runtime import cache, sources
from pycnn.runtime.errors import CompileError

KERNEL = 'extern "C" __global__ void k(float* x) { *x = VALUE; }\n'
Put = Callable[[str], object]


@pytest.fixture(autouse=True)
def own_cache(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (*host.SEARCHED, *host.SETTINGS):
        monkeypatch.delenv(name, raising=False)
    return cache_dir


def value(code: str | None = None, **settings: object) -> float:
    """What the kernel writes; a module of its own, so that it is looked up anew."""
    x = np.zeros(1, np.float32)
    RawModule(code, **settings).get_function("k")((1,), (1,), (x,))  # type: ignore[arg-type]
    return float(x[0])


def changing(folder: Path) -> Put:
    """Writes a header of the same size and, as far as the clock goes, of the same time."""
    header = folder / "val.h"

    def put(number: str) -> None:
        header.write_text(f"#define VALUE {number}\n")
        os.utime(header, (1, 1))

    return put


SPELLINGS = {
    "plain": '#include "val.h"\n',
    "in angles": "#include <val.h>\n",
    "of a macro": '#define H "val.h"\n#include H\n',
    "after a comment": '# include /**/ "val.h"\n',
    "continued": '#inc\\\nlude "val.h"\n',
    "behind a comment": '/* */ #include "val.h"\n',
    "if it is there": '#if __has_include("val.h")\n#include "val.h"\n#endif\n',
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_header_that_changed_is_read_again_however_it_is_included(
    tmp_path: Path, spelling: str
) -> None:
    put = changing(tmp_path)
    code, options = SPELLINGS[spelling] + KERNEL, (f"-I{tmp_path}",)
    put("1")
    assert value(code, options=options) == 1
    put("2")
    assert value(code, options=options) == 2


def test_so_are_headers_beside_a_file(tmp_path: Path) -> None:
    put = changing(tmp_path)
    kernel = tmp_path / "k.cu"
    kernel.write_text(SPELLINGS["of a macro"] + KERNEL)
    for number in ("1", "2"):
        put(number)
        assert value(path=kernel) == float(number)


@pytest.mark.parametrize("variable", ["CPATH", "CPLUS_INCLUDE_PATH"])
def test_so_are_headers_that_the_environment_leads_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    put = changing(tmp_path)
    monkeypatch.setenv(variable, str(tmp_path))
    for number in ("1", "2"):
        put(number)
        assert value(SPELLINGS["in angles"] + KERNEL) == float(number)


def test_another_folder_of_the_environment_is_another_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in ("1", "2"):
        folder = tmp_path / number
        folder.mkdir()
        changing(folder)(number)
        monkeypatch.setenv("CPATH", str(folder))
        assert value(SPELLINGS["in angles"] + KERNEL) == float(number)


def test_a_header_of_the_user_named_like_ours_is_the_one_read(tmp_path: Path) -> None:
    folder = tmp_path / "pycnn"
    folder.mkdir()
    code, options = "#include <pycnn/map.cuh>\n" + KERNEL, (f"-I{tmp_path}",)
    for number in ("1", "2"):
        (folder / "map.cuh").write_text(f"#define VALUE {number}\n")
        assert value(code, options=options) == float(number)


def test_a_new_header_that_comes_first_is_the_one_read(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    code, options = SPELLINGS["in angles"] + KERNEL, (f"-I{first}", f"-I{second}")
    changing(second)("2")
    assert value(code, options=options) == 2
    changing(first)("1")
    assert value(code, options=options) == 1


def test_options_of_the_compiler_command_count(monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = host.compiler().command
    for number in ("1", "2"):
        monkeypatch.setenv("PYCNN_CXX", f"{command} -DVALUE={number}")
        assert value(KERNEL) == float(number)


def test_what_did_not_change_is_not_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    changing(tmp_path)("1")
    options = (f"-I{tmp_path}",)
    for code in (SPELLINGS["of a macro"] + KERNEL, KERNEL.replace("VALUE", "1")):
        value(code, options=options)
    entries = sorted(own_cache.iterdir())
    assert len(entries) == 2
    monkeypatch.setattr(cache, "_build", pytest.fail)
    for code in (SPELLINGS["of a macro"] + KERNEL, KERNEL.replace("VALUE", "1")):
        value(code, options=options)


def test_a_source_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    kernel = tmp_path / "k.cu"
    kernel.write_text(KERNEL.replace("VALUE", "1"))
    preprocessed = host._preprocessed

    def meddle(*arguments: object) -> str:
        kernel.write_text(KERNEL.replace("VALUE", "2.0"))
        return preprocessed(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(host, "_preprocessed", meddle)
    with pytest.raises(CompileError, match="changed while it was read; try again"):
        value(path=kernel)
    assert list(own_cache.iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setenv("PYCNN_CACHE_DIR", str(own_cache))
    assert value(path=kernel) == 2


def test_a_source_need_not_be_utf_8(tmp_path: Path) -> None:
    kernel = tmp_path / "k.cu"
    kernel.write_bytes(b"// caf\xe9\n" + KERNEL.replace("VALUE", "1").encode())
    assert value(path=kernel) == 1
    kernel.write_bytes(b"// caf\xe9\n" + KERNEL.replace("VALUE", "one").encode())
    with pytest.raises(CompileError, match="one"):
        value(path=kernel)


def test_a_header_of_the_system_is_part_of_every_key() -> None:
    compiler, nothing = host.compiler(), host.Source("none", "")
    text = host._preprocessed(compiler, host._flags(compiler, checked=False), nothing)
    included = {line.split('"')[1] for line in text.splitlines() if line.startswith("# ")}
    ours = tuple(map(str, sources.include_dirs(emulator=True)))
    assert any(Path(file).is_file() and not file.startswith(ours) for file in included)
