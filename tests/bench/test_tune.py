"""`pycnn tune`: checked before it is timed, kept by machine, taken by `auto`, and said so."""

import json
import warnings

import numpy as np
import pytest

import pycnn
from pycnn.bench import tune
from pycnn.bench.measure import Sample
from pycnn.bench.tune import OPERATION, Task, Tuner
from pycnn.cli import main
from pycnn.define import cache
from pycnn.plan import conv as plans
from pycnn.reference.cpu import conv as cpu
from pycnn.runtime import measured
from pycnn.runtime.measured import Measured
from pycnn.runtime.target import Target, planned_for

WORD = "n1c4h6w6k8r3s3p1"
GPU = Target("sm_80", 132, "a GPU of tests; CUDA 13000")


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A data base of one's own, read when it is asked for."""
    path = tmp_path / "tuned.json"
    monkeypatch.setenv("PYCNN_TUNED", str(path))
    measured.forget()
    yield path
    measured.forget()
    cache.clear()


class Clock:
    """Says that the n-th thing that is timed takes n milliseconds, and one of them next to none."""

    def __init__(self, fastest):
        self.fastest, self.timed = fastest, []

    def sample(self, call, times, before=None):
        if call not in self.timed:
            self.timed.append(call)
        place = self.timed.index(call)
        return Sample(*[1e-6 if place == self.fastest else 1e-3 * (place + 1)] * 2)


def task(direction="forward", layout="NCHW"):
    return Task("layer", OPERATION.parse(WORD), direction, "float32", layout)


class Emulated(Tuner):
    """Kernels as on a GPU, run by nobody: every algorithm gives what the oracle says, but some."""

    def __init__(self, clock, wrong=()):
        super().__init__("cuda", GPU, clock)
        self.wrong, self.ran = wrong, []

    def put(self, array):
        return array

    def _by(self, result, plan, task, arrays):
        def run():
            self.ran.append(plan.algo)
            (found,) = (
                c.expected for c in OPERATION.checks(task.case, task.direction, arrays)
                if c.output == result
            )  # fmt: skip
            if task.layout == "NHWC" and result != "dweight":
                found = found.transpose(0, 2, 3, 1)
            return (found + (plan.algo in self.wrong)).astype(np.float32)

        return run


def test_what_is_wrong_is_not_timed_and_not_kept():
    clock = Clock(fastest=0)
    tuner = Emulated(clock, wrong=("direct", "im2col"))
    (found,) = tuner.tune(task(), {}, 0.01)
    assert {*found.failed} == {"direct", "im2col"}
    assert "off by 1" in found.failed["direct"]
    assert not {"direct", "im2col"} & {*found.times_us}
    assert tuner.ran.count("direct") == 1
    assert len(clock.timed) == len(found.times_us) > 1


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_gradients_are_tuned_one_by_one(layout):
    found = [*Emulated(Clock(0)).tune(task("backward", layout), {}, 0.01)]
    assert [each.result for each in found] == ["dx", "dweight"]
    assert not any(each.failed for each in found)
    assert found[0].key != found[1].key


def test_auto_takes_what_was_measured_on_this_very_machine_and_says_so(file):
    tuner = Emulated(Clock(fastest=2))
    (found,) = tuner.tune(task(), {}, 0.01)
    best = [*found.times_us][2]
    assert best != found.before
    measured.add(file, found.as_base(tuner.machine))

    shapes = (1, 4, 6, 6), (8, 4, 3, 3)
    with planned_for(GPU):
        explained = pycnn.explain("conv2d", *shapes, padding=1)
    taken = explained.results[0].taken
    assert (taken.algo, taken.measured_us) == (best, found.times_us[best])
    assert "measured on this GPU" in taken.reason
    for other in (
        GPU._replace(gpu="another GPU; CUDA 13000"),
        GPU._replace(gpu="a GPU of tests; CUDA 13010"),
        GPU._replace(gpu=""),
    ):
        with planned_for(other):
            assert pycnn.explain("conv2d", *shapes, padding=1).results[0].taken.algo != best
    with planned_for(GPU):  # another problem
        other = pycnn.explain("conv2d", *shapes, padding=2).results[0].taken
    assert other.measured_us is None


def test_a_measured_algorithm_that_no_longer_fits_is_passed_over(file):
    tuner = Emulated(Clock(fastest=0))
    (found,) = tuner.tune(task(), {}, 0.01)
    base = {tuner.machine: {found.key: Measured({"im2col": 1.0, "direct": 2.0}, "2026-01-01")}}
    measured.add(file, base)
    x, w, y = (
        pycnn.define.views.View.contiguous(s, "float32")
        for s in ((1, 4, 6, 6), (8, 4, 3, 3), (1, 8, 6, 6))
    )
    problem = plans.Problem(x, w, y, pad_begin=(1, 1), pad_end=(1, 1))
    assert plans.key_of(problem, "forward") == found.key
    with planned_for(GPU):
        assert plans.plan(problem, "forward", "auto", 2**20).algo == "im2col"
        assert plans.plan(problem, "forward", "auto", 0).algo != "im2col"


def test_what_is_known_is_not_measured_again():
    tuner = Emulated(Clock(0))
    (found,) = tuner.tune(task(), {}, 0.01)
    tuner.ran.clear()
    (again,) = tuner.tune(task(), found.as_base(tuner.machine)[tuner.machine], 0.01)
    assert again.known
    assert not tuner.ran


def test_the_machine_names_all_that_a_time_depends_on(monkeypatch):
    machine = measured.gpu_machine(GPU)
    assert machine.startswith(GPU.gpu + "; NVRTC ")
    assert measured.gpu_machine(Target("sm_80")) == ""
    monkeypatch.setattr(measured, "_hash", lambda folders: "other")
    assert measured.gpu_machine(GPU) != machine
    assert measured.cpu_machine(1) != measured.cpu_machine(2)


def test_the_cpu_path_is_tuned_where_there_is_no_gpu(file, monkeypatch, capsys):
    monkeypatch.setattr(tune, "CpuClock", lambda: Clock(fastest=1))
    words = ["tune", "--backend", "reference", "--shape", "n1c12h6w6k8r1s1", "--seconds", "0.01"]
    assert main([*words, "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "1 measured, 0 there already, 0 wrong or failed" in printed
    (problems,) = json.loads(file.read_text())["machines"].values()
    ((key, row),) = problems.items()
    assert "x (1, 12, 6, 6)" in key
    best = min(row["times_us"], key=row["times_us"].get)
    assert best != "gemm"
    monkeypatch.setenv("PYCNN_CPU_THREADS", "1")
    ran = []
    monkeypatch.setitem(cpu.METHODS, best, cpu.METHODS[best]._replace(
        forward=lambda *given: ran.append(best)
    ))  # fmt: skip
    pycnn.conv2d(np.zeros((1, 12, 6, 6), np.float32), np.zeros((8, 12, 1, 1), np.float32))
    assert ran == [best]
    method = cpu.conv_method((1, 12, 6, 6), (8, 12, 1, 1), (1, 1), ((0, 0),) * 2, (1, 1), 1)
    assert method == best
    found = pycnn.explain("conv2d", (1, 12, 6, 6), (8, 12, 1, 1)).results[-1]
    assert (found.taken.algo, "measured" in found.taken.reason) == (best, True)
    assert main([*words, "--threads", "1"]) == 0
    assert "0 measured, 1 there already" in capsys.readouterr().out


OLD, NEW = (Measured({"a": 1.0}, f"2026-01-0{day}") for day in (1, 2))


def test_data_bases_are_merged_and_the_last_measurement_counts(file, tmp_path, capsys):
    other = tmp_path / "other.json"
    measured.add(file, {"gpu": {"p": OLD, "q": OLD}})
    measured.add(other, {"gpu": {"p": NEW}, "second": {"p": OLD}})
    assert main(["tune", "--merge", str(other)]) == 0
    assert "3 problems on 2 machines" in capsys.readouterr().out
    found = measured.load(file)
    assert found == {"gpu": {"p": NEW, "q": OLD}, "second": {"p": OLD}}
    measured.add(file, {"gpu": {"p": OLD}})
    assert measured.load(file) == found


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"pycnn_tuned": 2, "machines": {}}', '{"pycnn_tuned": 1}',
        '{"pycnn_tuned": 1, "machines": {"m": {"p": {"times_us": {}, "date": "d"}}}}',
        '{"pycnn_tuned": 1, "machines": {"m": {"p": {"times_us": {"a": -1}, "date": "d"}}}}',
        '{"pycnn_tuned": 1, "machines": {"m": {"p": {"times_us": {"a": "1"}, "date": "d"}}}}',
        '{"pycnn_tuned": 1, "machines": {"m": {"p": {"times_us": {"a": 1}}}}}',
        '{"pycnn_tuned": 1, "machines": {"m": []}}',
    ],
)  # fmt: skip
def test_a_data_base_that_is_none_is_one_clear_message_and_stays(file, text, capsys):
    file.write_text(text)
    words = ["tune", "--backend", "reference", "--shape", WORD]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"{file} is no data base of pycnn tune, version 1" in said
    assert len(said.splitlines()) == 1
    assert file.read_text() == text
    x = np.zeros((1, 1, 5, 5), np.float32)
    with pytest.warns(UserWarning, match="as if nothing was tuned"):
        pycnn.conv2d(x, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pycnn.conv2d(x[:, :, 1:], x[:, :, 1:])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--backend", "emulator", "--shape", WORD], "times of the emulator mean nothing"),
        (["--backend", "reference", "--shape", WORD, "--layout", "NHWC"], "a machine with a GPU"),
        (["--backend", "reference"], "not both"),
        (["--backend", "reference", "lenet"], "lenet5"),
        (["--backend", "reference", "--shape", WORD, "--seconds", "0"], "above 0"),
        (["--merge", "/nowhere/x.json"], "no file /nowhere/x.json"),
        (["lenet5", "--merge", "x.json"], "without a suite"),
    ],
)
def test_bad_words_are_one_clear_error(file, words, said, capsys):
    assert main(["tune", *words]) == 2
    assert said in capsys.readouterr().err
    assert not file.exists()
