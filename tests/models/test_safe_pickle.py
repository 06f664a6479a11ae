"""Arrays out of pickles; everything else stays out."""

import contextlib
import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pycnn.models import safe_pickle
from pycnn.models.safe_pickle import PickleRefused, read_arrays


def written(path: Path, data: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(data, protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("dtype", ["float32", ">f8", "int64", "uint8", "bool"])
def test_arrays_come_back_as_they_were(tmp_path, dtype, protocol):
    whole = np.arange(24).reshape(2, 3, 4).astype(dtype)
    data = {"a": [whole, whole.T], "b": (np.asfortranarray(whole), np.zeros((0, 2), dtype)), "n": 3}
    found = read_arrays(written(tmp_path / "arrays.pkl", data, protocol))
    pairs = zip([*data["a"], *data["b"]], [*found["a"], *found["b"]], strict=True)
    for expected, array in pairs:
        assert type(array) is np.ndarray
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)
    assert found["n"] == 3


class Runs:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path, protocol):
    harm = tmp_path / "harm"
    path = written(tmp_path / "weights.pkl", {"conv1": Runs(os.mkdir, str(harm))}, protocol)
    with pytest.raises(PickleRefused, match=r"weights\.pkl: holds posix\.mkdir; allowed are NumPy"):
        read_arrays(path)
    assert not harm.exists()
    pickle.loads(path.read_bytes())
    assert harm.exists()  # it would have


@pytest.mark.parametrize(
    "bad",
    [Runs(eval, "1"), Runs(np.load, "x.npy"), np.float64, Path("x"), Runs(getattr, "a", "upper")],
    ids=["eval", "numpy.load", "type", "path", "getattr"],
)
def test_whatever_is_no_array_is_refused(tmp_path, bad):
    with pytest.raises(PickleRefused, match="allowed are NumPy arrays only"):
        read_arrays(written(tmp_path / "bad.pkl", [bad]))


@pytest.mark.parametrize(
    "array", [np.array([{}], object), np.zeros(2, [("a", "i4")]), np.array(["text"])]
)
def test_arrays_of_anything_but_numbers_are_refused(tmp_path, array):
    with pytest.raises(PickleRefused, match="allowed are numbers"):
        read_arrays(written(tmp_path / "objects.pkl", array))


def test_an_array_of_a_length_that_its_data_do_not_have_is_refused(tmp_path):
    path = written(tmp_path / "short.pkl", np.zeros(8), protocol=3)
    bytes_of_shape = path.read_bytes().replace(b"K\x08\x85", b"K\x09\x85")
    assert bytes_of_shape != path.read_bytes()
    path.write_bytes(bytes_of_shape)
    with pytest.raises(PickleRefused, match=r"short\.pkl: damaged"):
        read_arrays(path)


@pytest.mark.parametrize("keep", [0, 1, 40, -1])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = written(tmp_path / "cut.pkl", {"a": np.zeros(100)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(PickleRefused, match=r"cut\.pkl: damaged"):
        read_arrays(path)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "none.pkl")


def _doubled(times: int) -> bytes:
    """A tuple of the same tuple twice, and so on: a few bytes a level, twice the size each."""
    return b"\x80\x02)" + b"q\0h\0\x86" * times + b"."


STRANGE = {
    "tuples that double": (_doubled(60), "holds more than its size"),
    "lists that double": (b"\x80\x02(]" + b"q\0]h\0ah\0a" * 60 + b"t.", "holds more"),
    "a list of itself": (b"\x80\x02]q\0h\0a.", "holds more than its size, or lists nested over"),
    "deep lists": (b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".", "nested over 50 deep"),
    "a far place in the memo": (b"\x80\x02Nr\xff\xff\xff\x07.", None),
    "numbers as names": (b"\x80\x02}K\x01K\x02s.", "holds a dictionary without names"),
    "a function changed": (
        b"\x80\x02cnumpy._core.multiarray\n_reconstruct\n}X\x05\0\0\0valueK\x01sb.", "damaged",
    ),
    "a function changed by a tuple": (
        b"\x80\x02cnumpy._core.multiarray\n_reconstruct\n)b.", "changes something",
    ),
    "a class as result": (b"\x80\x02cnumpy\nndarray\n.", "holds object; allowed"),
    "a class called": (b"\x80\x02cnumpy\nndarray\n(K\x05t\x52.", "calls something"),
    "an array of nothing": (
        b"\x80\x02cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x85\x52.",
        "an array has no contents",
    ),
    "an object by an instruction": (b"\x80\x02(cos\nsystem\nX\x04\0\0\0trueo.", "holds os.system"),
    "an instance": (b"(S\'true\'\nios\nsystem\n.", "holds STRING"),
    "an extension": (b"\x80\x02\x82\x01.", "holds EXT1"),
    "a persistent object": (b"\x80\x02X\x01\0\0\0aQ.", "holds BINPERSID"),
    "control characters": (b"\x80\x02c\x1b[31m\nred\n.", r"holds \?\[31m.red; allowed"),
    "a dtype of many": (
        b"\x80\x02cnumpy\ndtype\nX\x09\0\0\x009999999i4K\0K\1\x87\x52.", "holds _Dtype; allowed",
    ),
    "instructions without end": (b"\x80\x02" + b"N" * 1_000_001 + b".", "over 1000000"),
    "a length beyond the file": (b"\x80\x02B\xff\xff\xff\x7fabc.", "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_a_pickle_made_to_do_harm_does_none(tmp_path, name):
    """In a second and a few megabytes."""
    data, message = STRANGE[name]
    path = tmp_path / "strange.pkl"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        if message is None:
            assert read_arrays(path) is None
        else:
            with pytest.raises(PickleRefused, match=rf"strange\.pkl: .*{message}") as said:
                read_arrays(path)
            assert str(said.value).isprintable()
        assert tracemalloc.get_traced_memory()[1] < 30e6 + 20 * len(data)
    finally:
        tracemalloc.stop()


def test_no_state_of_the_module_changes(tmp_path):
    before = {name: repr(value) for name, value in vars(safe_pickle).items()}
    for data, _ in STRANGE.values():
        path = tmp_path / "strange.pkl"
        path.write_bytes(data)
        with contextlib.suppress(PickleRefused):
            read_arrays(path)
    assert {name: repr(value) for name, value in vars(safe_pickle).items()} == before
    assert not vars(safe_pickle._Array)["value"]
