"""onnx's own tests, by its own runner, on the CPU path and on the checked emulator."""

import random
import re

import pytest

import pycnn
from pycnn.testing import onnx_suite

pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")


def _passes(names, folder):
    outcome = onnx_suite.run(names, folder)
    assert not outcome.failed, "\n".join(f"{n}: {why}" for n, why in outcome.failed.items())
    assert len(outcome.passed) == len(names) > 0


def _kept():
    return [name for name in onnx_suite.wanted() if not onnx_suite.excluded(name)]


def _of_kernels():
    """Those that run kernels; whole networks have their own test."""
    return [
        name
        for name in _kept()
        if onnx_suite.runs_kernels(name) and onnx_suite.cases()[name].kind != "real"
    ]


@pytest.mark.slow
def test_on_the_cpu_path(tmp_path):
    _passes(_kept(), tmp_path)


@pytest.mark.slow
def test_a_share_on_the_checked_emulator(tmp_path):
    with pycnn.use_backend("emulator", checked=True):
        _passes(random.Random(15).sample(_of_kernels(), 40), tmp_path)


@pytest.mark.exhaustive
def test_on_the_checked_emulator(tmp_path):
    with pycnn.use_backend("emulator", checked=True):
        _passes(_of_kernels(), tmp_path)


@pytest.mark.exhaustive
def test_squeezenet_on_the_emulator(tmp_path):
    """Left out on the CPU path; kernels compute every channel alike."""
    with pycnn.use_backend("emulator"):
        _passes(["test_squeezenet"], tmp_path)


@pytest.mark.slow
def test_what_is_left_out():
    """Every exclusion leaves something out, and together they are few."""
    names = onnx_suite.wanted()
    assert len(names) > 1000
    assert sum(onnx_suite.excluded(name) is not None for name in names) <= 0.02 * len(names)
    for what in onnx_suite.EXCLUDED:
        assert any(re.fullmatch(what, name) for name in names), what
    models = [onnx_suite.model_of(case) for case in onnx_suite.cases().values()]
    listed = {name for names in onnx_suite.ABSENT.values() for name in names}
    assert set().union(*map(onnx_suite.absent, models)) == listed
