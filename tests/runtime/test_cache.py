"""The disk cache: whole entries or none, whatever happens."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pycnn.runtime import cache

KEY = cache.key("a test")


def write(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def test_an_entry_is_built_once(cache_dir: Path) -> None:
    built = []

    def build(path: Path) -> None:
        built.append(path)
        path.write_text("result")

    first = cache.get_or_build(KEY, ".txt", build)
    second = cache.get_or_build(KEY, ".txt", build)
    assert first == second
    assert first.read_text() == "result"
    assert first.suffix == ".txt"
    assert cache_dir in first.parents
    assert len(built) == 1


def test_only_a_whole_entry_is_found(cache_dir: Path) -> None:
    assert cache.find(KEY, ".txt") is None
    path = cache.get_or_build(KEY, ".txt", write("result"))
    assert cache.find(KEY, ".txt") == path
    assert cache.find(KEY, ".cubin") is None
    path.write_text("damaged")
    assert cache.find(KEY, ".txt") is None


def test_parts_of_a_key_do_not_run_together() -> None:
    keys = {cache.key("ab", "c"), cache.key("a", "bc"), cache.key("abc"), cache.key("abc", "")}
    assert len(keys) == 4


def test_a_failed_build_leaves_nothing(cache_dir: Path) -> None:
    def build(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("the compiler stopped")

    with pytest.raises(RuntimeError, match="the compiler stopped"):
        cache.get_or_build(KEY, ".txt", build)
    assert list(cache_dir.iterdir()) == []
    assert cache.get_or_build(KEY, ".txt", write("whole")).read_text() == "whole"


@pytest.mark.parametrize("damage", ["file", "checksum", "no file", "no checksum"])
def test_a_damaged_entry_is_built_again(cache_dir: Path, damage: str) -> None:
    path = cache.get_or_build(KEY, ".txt", write("right"))
    if damage == "file":
        path.write_text("wrong!")
    elif damage == "checksum":
        (path.parent / "sha256").write_text("0" * 64)
        os.utime(path, ns=(1, 1))  # a new process would not remember this version of the file
    elif damage == "no file":
        path.unlink()
    else:
        (path.parent / "sha256").unlink()
        os.utime(path, ns=(1, 1))
    assert cache.get_or_build(KEY, ".txt", write("again")).read_text() == "again"
    assert [p.name for p in cache_dir.iterdir()] == [KEY]
    assert sorted(p.name for p in path.parent.iterdir()) == ["kernel.txt", "sha256"]


def test_without_locks_two_processes_build_at_once(cache_dir: Path, tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from pycnn.runtime import cache
cache.HAS_FILE_LOCKS = False
mine, other = Path(sys.argv[1]), Path(sys.argv[2])
def build(path):
    mine.touch()  # both processes are inside their build before either ends it
    deadline = time.monotonic() + 60
    while not other.exists():
        assert time.monotonic() < deadline, "the other process never began to build"
        time.sleep(0.001)
    path.write_text("the same\\n" * 10000)
print(cache.get_or_build(cache.key("both"), ".txt", build))
"""
    signs = [str(tmp_path / "first"), str(tmp_path / "second")]
    processes = [
        subprocess.Popen([sys.executable, "-c", program, *order], stdout=subprocess.PIPE, text=True)
        for order in (signs, signs[::-1])
    ]
    paths = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(paths) == 1
    assert Path(paths.pop()).read_text() == "the same\n" * 10000
    assert [p.name for p in cache_dir.iterdir()] == [cache.key("both")]


def test_clear_removes_entries_and_abandoned_builds_and_nothing_else(cache_dir: Path) -> None:
    cache.get_or_build(KEY, ".txt", write("text"))
    cache.get_or_build(cache.key("another"), ".txt", write("more text"))
    foreign = cache_dir / "notes.txt"
    foreign.write_text("not ours")
    abandoned, running = cache_dir / ".building-old", cache_dir / ".building-now"
    for folder in (abandoned, running):
        folder.mkdir()
    lock = cache_dir / ".building-old.lock"
    lock.touch()
    for left in (abandoned, lock):
        os.utime(left, (time.time() - 1e5,) * 2)
    assert cache.usage() == (2, len("text") + len("more text") + 2 * 64)
    assert cache.clear() == 2
    assert sorted(cache_dir.iterdir()) == sorted([foreign, running])
    assert cache.usage() == (0, 0)


def test_an_empty_cache_has_no_size_and_can_be_cleared(cache_dir: Path) -> None:
    assert cache.usage() == (0, 0)
    assert cache.clear() == 0


def test_a_folder_that_cannot_be_written_names_the_variable(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionError, match=r"cache folder .*; set PYCNN_CACHE_DIR"):
        cache.get_or_build(KEY, ".txt", write("text"))


def test_of_several_processes_one_builds(cache_dir: Path, tmp_path: Path) -> None:
    program = """
import sys, time
from pycnn.runtime import cache
def build(path):
    with open(sys.argv[1], "a") as log:
        log.write("built\\n")
    time.sleep(0.5)
    path.write_text("done")
assert cache.get_or_build(cache.key("slow"), ".txt", build).read_text() == "done"
"""
    log = tmp_path / "log"
    command = [sys.executable, "-c", program, str(log)]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 4
    assert log.read_text() == "built\n"
    assert [p.name for p in cache_dir.iterdir()] == [cache.key("slow")]
