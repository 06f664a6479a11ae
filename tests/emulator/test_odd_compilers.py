"""Whatever PYCNN_CXX names: it works, or one line says why not."""

import os
from pathlib import Path

import pytest

from pycnn import cli
from pycnn.emulator import RawModule, host
from pycnn.runtime.errors import CompileError

pytestmark = pytest.mark.usefixtures("cache_dir")

KERNEL = 'extern "C" __global__ void k(float* x) { *x = 1; }\n'


def script(folder: Path, text: str) -> Path:
    path = folder / "odd-c++"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("/bin/false", "exits with 1 when asked for its --version; set it to g"),
        ("/bin/true", "says nothing when asked|wrote no file"),  # GNU's has a version
        ("c++ '", "is no command: No closing quotation"),
        ("no-such-compiler", "is not on the PATH; install one"),
        ("/", "is not on the PATH"),
        ("''", "is not on the PATH"),
    ],
)
def test_a_command_that_is_no_compiler(
    command: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYCNN_CXX", command)
    with pytest.raises((OSError, ValueError, CompileError), match=message) as said:
        RawModule(KERNEL).compile()
    assert repr(command) in str(said.value) or command == "/bin/true"
    assert cli.main(["info"]) == 0
    assert "compiler" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kill -9 $$", "ends by signal 9 when asked for its --version"),
        ("printf '\\377\\376'; exit 3", "exits with 3 when asked"),
        ("printf '   '", "says nothing when asked"),
    ],
)
def test_a_compiler_that_does_not_say_its_version(
    tmp_path: Path, text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYCNN_CXX", str(script(tmp_path, text)))
    with pytest.raises(OSError, match=message) as said:
        host.compiler()
    assert "\n" not in str(said.value)


VERSION = 'if [ "$1" = --version ]; then echo odd 1.0; exit 0; fi\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exit 0", "the compiler wrote no file"),
        ("exit 7", "the compiler exits with 7"),
        ("kill -9 $$", "the compiler ends by signal 9"),
        ("printf 'caf\\351' >&2; exit 1", "caf\N{REPLACEMENT CHARACTER}"),
        ("cat; exit 1", "the compiler exits with 1"),  # waits for input that never ends
    ],
)
def test_a_compiler_that_does_not_compile(
    tmp_path: Path, text: str, message: str, monkeypatch: pytest.MonkeyPatch, cache_dir: Path
) -> None:
    monkeypatch.setenv("PYCNN_CXX", str(script(tmp_path, VERSION + text)))
    with pytest.raises(CompileError, match=message):
        RawModule(KERNEL).compile()
    assert not cache_dir.exists() or list(cache_dir.iterdir()) == []


def test_a_full_disk_is_not_taken_for_a_wrong_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = VERSION + "echo 'error writing to /tmp/x.s: No space left on device' >&2; exit 1"
    monkeypatch.setenv("PYCNN_CXX", str(script(tmp_path, full)))
    with pytest.raises(OSError, match="No space left on device"):
        RawModule(KERNEL).compile()


def test_a_compiler_that_is_replaced_compiles_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_dir: Path
) -> None:
    (command,) = host.compiler().command
    path = script(tmp_path, f'exec {command} "$@"')
    monkeypatch.setenv("PYCNN_CXX", str(path))
    RawModule(KERNEL).compile()
    script(tmp_path, f'exec {command} -DANOTHER "$@"')
    host._compiler.cache_clear()  # another process
    RawModule(KERNEL).compile()
    assert len([p for p in cache_dir.iterdir() if not p.name.startswith(".")]) == 2


def test_no_temporary_file_outlives_a_compilation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_dir: Path
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    RawModule(KERNEL).compile()
    with pytest.raises(CompileError):
        RawModule(KERNEL.replace("1", "one")).compile()
    assert list(temporary.iterdir()) == []
    (entry,) = cache_dir.iterdir()
    assert sorted(os.listdir(entry)) == ["kernel.so", "sha256"]
