"""How many threads the CPU path and NumPy's BLAS use, on a machine that is busy or is not."""

import numpy as np
import pytest

import pycnn
from pycnn.cli import main
from pycnn.define.registry import OPERATIONS
from pycnn.reference.cpu import _blas, _threads


class Blas:
    """Stands in for OpenBLAS: remembers how many threads it has."""

    def __init__(self, threads):
        self.threads = threads
        self.get_threads = lambda: self.threads

    def set_threads(self, threads):
        self.threads = threads


@pytest.fixture
def blas(monkeypatch):
    """An OpenBLAS of four threads on a machine of four cores."""
    for name in (*_blas.NAMED, "PYCNN_CPU_THREADS"):
        monkeypatch.delenv(name, raising=False)
    stand_in = Blas(4)
    monkeypatch.setattr(_blas, "library", lambda: stand_in)
    monkeypatch.setattr(_blas, "cores", lambda: 4)
    monkeypatch.setattr(_blas.os, "cpu_count", lambda: 4)
    _blas.free_cores.cache_clear()
    yield stand_in
    _blas.free_cores.cache_clear()


def others(monkeypatch, *counts):
    """So many threads of other programs run, beside one of ours, from look to look."""
    looks = iter([(1 + count, 1) for count in counts] * _blas.SAMPLES)
    monkeypatch.setattr(_blas, "running", lambda: next(looks))


@pytest.mark.parametrize(("counts", "free"), [((0,), 4), ((1,), 3), ((9,), 1), ((9, 0, 9), 4)])
def test_a_busy_machine_leaves_fewer_cores(blas, monkeypatch, counts, free):
    others(monkeypatch, *counts)
    assert _blas.free_cores() == free
    assert _threads.thread_count() == free


def test_where_the_system_does_not_say_all_cores_are_free(blas, monkeypatch):
    def silent():
        raise OSError("no /proc")

    monkeypatch.setattr(_blas, "running", silent)
    assert _blas.free_cores() == 4


def test_a_call_limits_blas_to_the_free_cores_and_gives_it_back(blas, monkeypatch):
    others(monkeypatch, 2)
    seen = []
    with _blas.considerate():
        seen.append(blas.threads)
    assert (seen, blas.threads) == ([2], 4)


def test_an_operation_of_the_cpu_path_is_considerate(blas, monkeypatch):
    others(monkeypatch, 3)
    definition = OPERATIONS["relu"]
    seen, compute = [], definition.cpu

    def cpu(*args):
        seen.append(blas.threads)
        return compute(*args)

    monkeypatch.setattr(definition, "cpu", cpu)
    pycnn.relu(np.ones(4, np.float32))
    assert seen == [1]
    assert blas.threads == 4


@pytest.mark.parametrize("threads", ["1", "3"])
def test_blocks_side_by_side_leave_blas_one_thread_each(blas, monkeypatch, threads):
    monkeypatch.setenv("PYCNN_CPU_THREADS", threads)
    assert _threads.each(lambda item: blas.threads, range(4)) == [1] * 4
    assert blas.threads == 4


def test_of_several_limits_the_least_counts(blas):
    with _blas.limited(3):
        with _blas.limited(1):
            assert blas.threads == 1
        assert blas.threads == 3
        with _blas.limited(9):
            assert blas.threads == 3
    assert blas.threads == 4


@pytest.mark.parametrize("name", _blas.NAMED)
def test_what_the_environment_says_of_blas_stays(blas, monkeypatch, name):
    monkeypatch.setenv(name, "4")
    others(monkeypatch, 3)
    with _blas.limited(1):
        assert blas.threads == 4
    assert _blas.free_cores() == 4
    with _blas.considerate():
        assert blas.threads == 4


def test_threads_of_the_command_line_hold_for_the_command_alone(
    blas, monkeypatch, capsys, tmp_path
):
    seen = []

    def predictor_of(name):
        seen.append(_threads.thread_count())
        raise ValueError("enough")

    monkeypatch.setattr("pycnn.train.predict_command.predictor_of", predictor_of)
    (tmp_path / "x.png").write_bytes(b"")
    others(monkeypatch, 2)
    main(["predict", "it", str(tmp_path / "x.png"), "--threads", "3"])
    assert seen == [3]
    capsys.readouterr()
    main(["predict", "it", str(tmp_path / "x.png")])
    assert seen == [3, 2]
    assert "busy: 2 of 4 cores are used; --threads 4 uses all" in capsys.readouterr().err


def test_the_library_of_numpy_is_found_where_it_is_openblas():
    config = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    if "openblas" not in config:
        pytest.skip(f"NumPy's BLAS is {config}")
    found = _blas.library()
    assert found is not None
    before = found.get_threads()
    found.set_threads(1)
    assert found.get_threads() == 1
    found.set_threads(before)


def test_a_refused_number_of_threads_leaves_numpy_as_it_was(monkeypatch):
    monkeypatch.setenv("PYCNN_CPU_THREADS", "many")
    with pytest.raises(ValueError, match="PYCNN_CPU_THREADS"):
        pycnn.softmax(np.ones((2, 3), np.float32))
    monkeypatch.delenv("PYCNN_CPU_THREADS")
    with np.errstate(all="raise"):
        assert np.isnan(pycnn.softmax(np.full((2, 3), np.inf, np.float32))).all()
        with pytest.raises(FloatingPointError):
            np.ones(1) / np.zeros(1)
