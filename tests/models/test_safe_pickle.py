"""Arrays out of pickles; everything else stays out."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

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
