"""Files are written whole or not at all, and take the place of another with care."""

import argparse
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycnn.runtime import files
from pycnn.runtime.options import check_output, with_json

ROOT = Path(__file__).parents[2]
AS_ROOT = os.geteuid() == 0


@pytest.fixture(params=[0o022, 0o077, 0o002], ids="umask {:03o}".format)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_the_permissions_that_the_user_gives_new_files(
    tmp_path: Path, umask: int
) -> None:
    files.write_json(tmp_path / "a.json", [1])
    assert mode(tmp_path / "a.json") == 0o666 & ~umask


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    path.chmod(0o640)
    files.write_json(path, [1])
    assert mode(path) == 0o640
    assert path.read_text() == "[\n 1\n]\n"


def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    if not AS_ROOT:
        pytest.skip("only root can give away a file")
    path = tmp_path / "a.json"
    path.write_text("old")
    os.chown(path, 12345, 54321)
    files.write_json(path, [1])
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "a.json"
    link.symlink_to(elsewhere / "b.json")
    for number in (1, 2):  # dangling at first
        files.write_json(link, [number])
        assert link.is_symlink()
        assert (elsewhere / "b.json").read_text() == f"[\n {number}\n]\n"
    assert os.listdir(elsewhere) == ["b.json"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    before = os.stat(path).st_mode
    with pytest.raises((IsADirectoryError, ValueError), match=r"a\.json is a (folder|device)"):
        files.write_json(path, [1])
    assert os.stat(path).st_mode == before
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_file_that_may_not_be_written_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    path.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda p, kind: not (Path(p) == path and kind & os.W_OK))
    with pytest.raises(PermissionError, match=r"a\.json is there and may not be written to"):
        files.write_json(path, [1])
    with pytest.raises(PermissionError, match=r"a\.json is there and may not be written to"):
        check_output(path, "--json", force=True)
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], ids=errno.errorcode.get
)
def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def save() -> None:
        with files.replacing(path) as new:
            new.write_text("half")
            raise OSError(number, os.strerror(number))

    with pytest.raises(OSError, match=r"a\.json cannot be written \(.*\); what was there") as said:
        save()
    assert "\n" not in str(said.value)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_limit_on_the_size_of_files_is_one_line_too(tmp_path: Path) -> None:
    """The system's own refusal, of a process that may write no more than a kilobyte."""
    program = """
import resource, sys
from pycnn.runtime import files
resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
try:
    files.write_json(sys.argv[1], list(range(10000)))
except OSError as error:
    print(error)
"""
    path = tmp_path / "a.json"
    path.write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert "a.json cannot be written (File too large); what was there is as it was" in done.stdout
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_both_the_file_and_its_name_are_on_disk_when_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flushed, replace = tmp_path / "a.json", [], Path.replace
    fsync = os.fsync

    def note(handle: int) -> None:
        flushed.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def order(new: Path, target: Path) -> Path:
        assert flushed == [new]
        return replace(new, target)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc, which says what a handle is of")
    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "replace", order)
    files.write_json(path, [1])
    assert flushed[1:] == [tmp_path]


def test_what_a_killed_process_left_is_swept_and_what_another_writes_is_not(
    tmp_path: Path,
) -> None:
    program = """
import os, signal, sys
from pycnn.runtime import files
with files.replacing(sys.argv[1]) as new:
    new.write_text("half")
    print(new.name, flush=True)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.readline()
    new.write_text("whole")
"""
    path = tmp_path / "a[1].json"
    path.write_text("old")
    command = [sys.executable, "-c", program, str(path)]
    subprocess.run([*command, "die"], capture_output=True, check=False)
    (left,) = {*tmp_path.iterdir()} - {path}
    assert left.read_text() == "half"
    with subprocess.Popen(
        [*command, "live"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as living:
        assert living.stdout
        theirs = living.stdout.readline().strip()
        assert {p.name for p in tmp_path.iterdir()} == {path.name, theirs}
        files.write_json(path, [1])
        assert {p.name for p in tmp_path.iterdir()} == {path.name, theirs}
        living.communicate("go on\n")
    assert living.returncode == 0
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_text() == "whole"


def test_a_run_keeps_what_it_has_beside_what_it_will_replace(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    assert files.in_progress(path) == path
    files.complete(path, path)
    path.write_text("old")
    path.chmod(0o600)
    beside = files.in_progress(path)
    assert beside == tmp_path / "best.unfinished.json"
    beside.write_text("new")
    files.complete(beside, path)
    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert os.listdir(tmp_path) == ["best.json"]


def test_beside_a_link_is_beside_what_it_leads_to(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.json").write_text("old")
    link = tmp_path / "a.json"
    link.symlink_to(elsewhere / "b.json")
    beside = files.in_progress(link)
    assert beside.parent == elsewhere
    beside.write_text("new")
    files.complete(beside, link)
    assert link.is_symlink()
    assert (elsewhere / "b.json").read_text() == "new"


def test_a_file_that_is_there_needs_force(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    check_output(path, "--json", force=False)
    path.write_text("old")
    with pytest.raises(FileExistsError, match=r"--json .*a\.json: it is there; .* --force to"):
        check_output(path, "--json", force=False)
    check_output(path, "--json", force=True)


def test_scripts_keep_what_is_there_unless_they_are_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the work whose result would replace it."""
    path = tmp_path / "kept.json"
    path.write_text("{}")

    def parsed(*words: str) -> Path:
        file: Path = with_json(argparse.ArgumentParser(), ["--json", str(path), *words]).json
        return file

    assert parsed("--force") == path
    with pytest.raises(SystemExit):
        parsed()
    assert "it is there; give another name, or --force" in capsys.readouterr().err


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_no_script_writes_results_unasked(script: Path) -> None:
    text = script.read_text()
    assert "write_json" not in text or "with_json" in text
