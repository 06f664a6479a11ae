"""The disk cache: whole entries or none, whatever happens."""

import errno
import os
import re
import shutil
import stat
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


def _empty(path: Path) -> None:
    shutil.rmtree(path)


FORMS: dict[str, Callable[[Path], object]] = {
    "checksum no UTF-8": lambda e: (e / "sha256").write_bytes(b"\xff" * 64),
    "checksum a folder": lambda e: ((e / "sha256").unlink(), (e / "sha256").mkdir()),
    "checksum a link": lambda e: (
        (e / "sha256").rename(e / "other"), (e / "sha256").symlink_to(e / "other"),
    ),
    "file a folder": lambda e: ((e / "kernel.txt").unlink(), (e / "kernel.txt").mkdir()),
    "file a pipe": lambda e: ((e / "kernel.txt").unlink(), os.mkfifo(e / "kernel.txt")),
    "file a link": lambda e: (
        (e / "kernel.txt").rename(e / "other"), (e / "kernel.txt").symlink_to(e / "other"),
    ),
    "file of no permissions": lambda e: (e / "kernel.txt").chmod(0o002),
    "file open to others": lambda e: (e / "kernel.txt").chmod(0o666),
    "entry open to others": lambda e: e.chmod(0o777),
    "entry a file": lambda e: (_empty(e), e.write_text("no folder")),
    "entry a link": lambda e: (e.rename(e.parent / "other"), e.symlink_to(e.parent / "other")),
    "entry a dangling link": lambda e: (_empty(e), e.symlink_to(e.parent / "nothing")),
    "entry empty": lambda e: (_empty(e), e.mkdir()),
    "entry of no permissions": lambda e: e.chmod(0),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_an_entry_of_any_other_form_is_built_again(cache_dir: Path, form: str) -> None:
    path = cache.get_or_build(KEY, ".txt", write("right"))
    FORMS[form](path.parent)
    if form == "entry of no permissions" and os.geteuid() == 0:
        pytest.skip("root may do everything")
    assert cache.find(KEY, ".txt") is None
    assert cache.get_or_build(KEY, ".txt", write("again")).read_text() == "again"
    assert cache.find(KEY, ".txt") == path
    assert sorted(p.name for p in path.parent.iterdir()) == ["kernel.txt", "sha256"]
    assert not [p.name for p in cache_dir.iterdir() if p.name.startswith(".")]


def test_the_folder_and_what_it_holds_are_ours_alone(
    cache_dir: Path, request: pytest.FixtureRequest
) -> None:
    before = os.umask(0)
    request.addfinalizer(lambda: os.umask(before))
    path = cache.get_or_build(KEY, ".txt", write("text"))
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (cache_dir, path.parent, path)]
    assert modes == [0o700, 0o700, 0o600]


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_is_refused(cache_dir: Path, mode: int) -> None:
    path = cache.get_or_build(KEY, ".txt", write("text"))
    cache_dir.chmod(mode)
    refused = rf"cache folder .* can be written by other users \(mode {mode:04o}\).*chmod 700 "
    with pytest.raises(PermissionError, match=refused):
        cache.get_or_build(KEY, ".txt", write("text"))
    with pytest.raises(PermissionError, match=refused):
        cache.find(KEY, ".txt")
    assert re.match(f"the {refused}", cache.problem())
    assert cache.clear() == 1  # what its message says to do
    cache_dir.chmod(0o700)
    assert cache.get_or_build(KEY, ".txt", write("text")) == path


def test_a_folder_of_another_user_is_refused(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.get_or_build(KEY, ".txt", write("text"))
    os.chown(cache_dir, 12345, -1) if os.geteuid() == 0 else monkeypatch.setattr(
        os, "geteuid", lambda: 12345
    )
    for use in (
        lambda: cache.get_or_build(KEY, ".txt", write("text")),
        lambda: cache.find(KEY, ".txt"),
        cache.clear,
    ):
        with pytest.raises(PermissionError, match=r"belongs to another user \(uid \d+\).*PYCNN_CA"):
            use()
    assert "belongs to another user" in cache.problem()


def test_an_entry_of_another_user_is_not_used(cache_dir: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a file of another user")
    path = cache.get_or_build(KEY, ".txt", write("theirs"))
    os.chown(path, 12345, -1)
    assert cache.find(KEY, ".txt") is None
    assert cache.get_or_build(KEY, ".txt", write("ours")).read_text() == "ours"


def test_a_lock_that_is_a_link_touches_nothing_else(cache_dir: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("all my work")
    cache_dir.mkdir(mode=0o700)
    (cache_dir / f".building-{KEY}.lock").symlink_to(precious)
    with pytest.raises(OSError, match=r"cache folder .* cannot be written .*PYCNN_CACHE_DIR"):
        cache.get_or_build(KEY, ".txt", write("text"))
    assert precious.read_text() == "all my work"


def test_a_lock_that_holds_something_is_not_truncated(cache_dir: Path) -> None:
    cache_dir.mkdir(mode=0o700)
    other = cache_dir / "linked"
    other.write_text("all my work")
    os.link(other, cache_dir / f".building-{KEY}.lock")
    cache.get_or_build(KEY, ".txt", write("text"))
    assert other.read_text() == "all my work"


def test_what_a_build_leaves_beside_its_file_is_thrown_away(cache_dir: Path) -> None:
    def build(path: Path) -> None:
        (path.parent / "kernel.o").write_text("on the way")
        path.write_text("result")

    path = cache.get_or_build(KEY, ".txt", build)
    assert sorted(p.name for p in path.parent.iterdir()) == ["kernel.txt", "sha256"]


def test_a_build_sweeps_what_killed_ones_left(cache_dir: Path) -> None:
    cache_dir.mkdir(mode=0o700)
    left, running = cache_dir / ".building-killed", cache_dir / ".building-running"
    for folder in (left, running):
        folder.mkdir()
        (folder / "kernel.cpp").write_text("half")
    os.utime(left, (time.time() - 1e5,) * 2)
    cache.get_or_build(KEY, ".txt", write("text"))
    assert sorted(p.name for p in cache_dir.iterdir()) == sorted([KEY, running.name])


FULL = {
    errno.ENOSPC: "No space left on device",
    errno.EDQUOT: "Disk quota exceeded",
    errno.EROFS: "Read-only file system",
}


@pytest.mark.parametrize("number", FULL)
def test_a_full_disk_is_said_in_one_line(cache_dir: Path, number: int) -> None:
    def build(path: Path) -> None:
        raise OSError(number, FULL[number])

    with pytest.raises(OSError, match=rf"cannot be written \({FULL[number]}\); set PYCNN") as said:
        cache.get_or_build(KEY, ".txt", build)
    assert str(said.value).count("\n") == 0
    assert list(cache_dir.iterdir()) == []


def test_what_a_build_misses_is_not_blamed_on_the_cache(cache_dir: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No such file .*nothing\.cu"):
        cache.get_or_build(KEY, ".txt", lambda path: Path("/nothing.cu").read_text())


def test_an_entry_is_found_where_nothing_can_be_written(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cache.get_or_build(KEY, ".txt", write("text"))

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert cache.get_or_build(KEY, ".txt", write("again")) == path
    monkeypatch.undo()
    assert path.read_text() == "text"


@pytest.mark.parametrize("place", ["file", "below a file", "dangling"])
def test_a_cache_that_is_no_folder_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    path = tmp_path / "cache"
    path.symlink_to(tmp_path / "nothing") if place == "dangling" else path.write_text("a file")
    path = path / "below" if place == "below a file" else path
    monkeypatch.setenv("PYCNN_CACHE_DIR", str(path))
    with pytest.raises(OSError, match=r"cache folder .*; set PYCNN_CACHE_DIR"):
        cache.get_or_build(KEY, ".txt", write("text"))
    assert "PYCNN_CACHE_DIR" in cache.problem()
    assert cache.usage() == (0, 0)


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
