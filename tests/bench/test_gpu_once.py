"""Every operation once: everything that can be launched is, and what is wrong is found."""

import re

import numpy as np
import pytest

import pycnn
from benchmarks.gpu import once
from benchmarks.gpu.problems import Selection, select
from pycnn.define.conv_int8 import INT8
from pycnn.dtypes import FLOATS
from pycnn.plan import conv, conv_int8, gemm, gemm_scaled
from pycnn.runtime import catalogue
from pycnn.runtime.backends import backends
from pycnn.runtime.extras import MissingExtra
from pycnn.runtime.target import Target, planned_for
from pycnn.testing import TESTED
from pycnn.testing.problem import Problem, every, named

#: Parts of the run that `pytest -n` can share out.
PARTS = 6

#: Launched by checks of values on a GPU and by optimisers, not by plans of operations.
UNUSED = {
    "check_integers", "check_narrow", "check_floats",
    "sgd", "sgd_momentum", "adam", "rmsprop", "rmsprop_momentum",
    "gradient_squares", "gradient_verdict",
}  # fmt: skip


@pytest.fixture
def emulator():
    status = {b.name: b for b in backends()}["emulator"]
    if not status.available:
        pytest.skip(f"the emulator, standing in for a GPU, is not available: {status.detail}")


def _relu():
    return [named("relu / matrices / float32")]


def test_every_operation_case_dtype_and_direction_is_among_them():
    there = {(p.op.name, p.case.name, p.dtype) for p in every() if not p.view}
    for tested in TESTED.values():
        op = tested.op
        for case in tested.cases:
            for dtype in op.dtypes:
                held = op.name != "pad" or dtype in FLOATS or "value" not in case.settings
                assert case.standard or not held or (op.name, case.name, dtype) in there


def test_every_variant_of_every_kernel_and_every_algorithm_is_launched():
    """Also the first ones launch every kernel, and the next ones every variant of it."""
    with planned_for(Target("sm_90a")):  # which has all instructions
        everything = select(every())
    there = {
        (file.file, entry, frozenset(variant))
        for file in catalogue.load()
        for entry in file.entries
        if entry not in UNUSED
        for variant in file.launched(entry)
    }
    seen: set = set()
    growth = []
    for problem in everything.problems:
        launched = everything.kernels[problem]
        new = {(k.file, k.entry, frozenset(k.defines)) for k in launched} - seen
        growth.append((len({k[:2] for k in new} - {k[:2] for k in seen}), len(new)))
        seen |= new
    if not everything.skipped:  # of bfloat16
        assert not there - seen, "no case launches these"
        assert not seen - there, "no line of the kernel's file names these"
    entries, variants = (np.flatnonzero(found) for found in zip(*growth, strict=True))
    assert entries[-1] + 1 == len(entries)
    assert variants[-1] + 1 == len(variants)

    tried = {(p.op.name, p.algo) for p in everything.problems}
    for op in (tested.op for tested in TESTED.values()):
        if op.name == "gemm":
            assert {(op.name, a) for a in gemm.algorithms} <= tried
        elif op.dtypes == INT8:
            assert {(op.name, a) for a in ("", *conv_int8.ALGORITHMS)} <= tried
        elif op.name in ("scaled_mm", "scaled_conv2d"):
            assert {(op.name, a) for a in ("", *gemm_scaled.ALGORITHMS)} <= tried
        elif "algo" in op.defaults:
            assert {(op.name, a) for a in ("", "direct", "im2col")} <= tried
    assert {("conv2d", a) for a in conv.names("forward")} <= tried


def test_words_name_problems_each_its_own():
    words = [str(problem) for problem in every()]
    assert len(set(words)) == len(words)
    assert str(named(words[7])) == words[7]
    with pytest.raises(ValueError, match=r"relu / matrics / float32.*allowed.*relu / matrices"):
        named("relu / matrics / float32")


@pytest.mark.parametrize("view", ["stepped", "misaligned"])
def test_views_hold_the_same_values(view):
    problem = named(f"relu / vector / float32 / {view}")
    ((_, array),) = problem.inputs().items()
    placed = problem.placed(array)
    np.testing.assert_array_equal(placed, array)
    assert placed.flags.c_contiguous == (view == "misaligned")
    assert placed.ctypes.data % 16


@pytest.mark.parametrize("part", range(PARTS))
def test_float32_is_right_on_the_emulator(emulator, capsys, part):
    """Of cases that no test of every operation has."""
    own = [p for p in every() if p.dtype == "float32" and p.case not in p.tested.cases]
    _all_right(own[part::PARTS], capsys)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.exhaustive
def test_all_of_float32_is_right_on_the_emulator(emulator, capsys, part):
    _all_right([p for p in every() if p.dtype == "float32"][part::PARTS], capsys)


def test_integers_are_right_on_the_emulator(emulator, capsys):
    _all_right([p for p in every() if p.dtype not in FLOATS], capsys)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("other", [name for name in FLOATS if name != "float32"])
@pytest.mark.exhaustive
def test_the_other_dtypes_are_right_on_the_emulator(emulator, capsys, other, part):
    _all_right([p for p in every() if p.dtype == other][part::PARTS], capsys)


def _all_right(chosen, capsys):
    chosen = [problem for problem in chosen if not problem.large]
    assert once.once("emulator", select(chosen)) == 0
    assert " 0 skipped, 0 wrong, 0 failed on emulator" in capsys.readouterr().out


def test_the_checked_build_runs_them_too(emulator, monkeypatch, capsys):
    """Some; what is true of all is tested with the operations."""
    monkeypatch.setenv("PYCNN_CHECKED", "1")
    names = ("relu", "max_pool2d", "max_pool2d_backward", "softmax")
    few = [p for p in every() if p.op.name in names and p.dtype == "float32" and not p.large]
    assert once.once("emulator", Selection(few)) == 0
    assert f"{len(few)} of {len(few)} checked" in capsys.readouterr().out


def test_a_wrong_result_is_told(emulator, monkeypatch, capsys):
    relu = pycnn.relu
    monkeypatch.setattr(pycnn, "relu", lambda x, **settings: relu(x, **settings) + 1e-3)
    assert once.once("emulator", Selection(_relu())) == 1
    said = capsys.readouterr().out
    assert "wrong: relu / matrices / float32: y is off by 0.001, allowed " in said
    assert "0 of 1 checked, 0 skipped, 1 wrong, 0 failed on emulator" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda y: y[:1], r"y is float32\[1, "),
        (lambda y: y.astype(np.float64), "y is float64"),
        (lambda y: (y, y), "2 results; expected: y"),
    ],
    ids=["shape", "dtype", "number"],
)
def test_other_outputs_are_wrong(emulator, monkeypatch, change, said):
    relu = pycnn.relu
    monkeypatch.setattr(pycnn, "relu", lambda x, **settings: change(relu(x, **settings)))
    with pycnn.use_backend("emulator"):
        status, reason = once.attempt(_relu()[0], once.Memory())
    assert status == "wrong"
    assert re.search(said, reason)


def test_wrong_integers_are_told(emulator, monkeypatch):
    problem = next(p for p in every() if p.op.name == "argmax" and p.dtype == "float32")
    argmax = pycnn.argmax
    monkeypatch.setattr(pycnn, "argmax", lambda x, *a, **settings: argmax(x, *a, **settings) + 1)
    with pycnn.use_backend("emulator"):
        assert once.attempt(problem, once.Memory())[0] == "wrong"


def test_a_failing_kernel_is_told_and_the_others_still_run(emulator, monkeypatch, capsys):
    def fail(x, **settings):
        raise RuntimeError("no such launch")

    monkeypatch.setattr(pycnn, "relu", fail)
    both = [named(f"{name} / matrices / float32") for name in ("relu", "sigmoid")]
    assert once.once("emulator", Selection(both)) == 1
    said = capsys.readouterr().out
    assert "failed: relu / matrices / float32: RuntimeError: no such launch" in said
    assert "1 of 2 checked, 0 skipped, 0 wrong, 1 failed" in said


def test_skipped_is_not_checked(emulator, monkeypatch, capsys):
    def lack(self, *generator):
        raise MissingExtra("bfloat16 needs ml_dtypes")

    monkeypatch.setattr(Problem, "inputs", lack)
    assert once.once("emulator", select(_relu())) == 1  # nothing was checked
    said = capsys.readouterr().out
    assert "0 of 1 checked, 1 skipped, 0 wrong, 0 failed" in said
    assert "skipped 1: bfloat16 needs ml_dtypes" in said


def test_what_is_too_large_for_the_emulator_is_skipped(emulator, capsys):
    large = next(p for p in every() if p.large)
    assert once.once("emulator", Selection([large, *_relu()])) == 0
    said = capsys.readouterr().out
    assert "1 of 2 checked, 1 skipped" in said
    assert "skipped 1: too large for the emulator" in said


def test_algorithms_that_do_not_fit_are_counted_apart():
    words = ("conv2d / 1x1 / float32 / gemm_1x1", "conv2d / depthwise / float32 / gemm_1x1")
    found = select(map(named, words))
    assert ([str(p) for p in found.problems], found.unfit) == ([words[0]], 1)


def test_a_case_that_auto_refuses_fails(emulator, monkeypatch):
    def refuse(self):
        raise ValueError("no")

    monkeypatch.setattr(Problem, "kernels", refuse)
    assert len(select(_relu()).problems) == 1


def test_the_command_line(emulator, capsys):
    assert (
        once.main(["--backend", "emulator", "--case", "relu / matrices / float32", "--trace"]) == 0
    )
    assert capsys.readouterr().out.startswith("@ relu / matrices / float32\n1 of 1 checked")
    with pytest.raises(SystemExit):
        once.main(["--backend", "emulator", "--case", "relu"])
    assert "allowed" in capsys.readouterr().err
