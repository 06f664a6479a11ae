"""What must come out, kept on the disk: the same values, found only by what they depend on."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from bench_fakes import Fake

from pycnn.bench import expected, prepare
from pycnn.bench.cases import ConvCase, GemmCase, MapCase, PoolCase, RowsCase
from pycnn.bench.grammar import parse
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.run import QUICK, Benchmark, run
from pycnn.bench.suites import Layer
from pycnn.cli import main
from pycnn.runtime import cache
from pycnn.testing import TESTED

pytestmark = pytest.mark.usefixtures("cache_dir")

#: Some compared whole, some in parts; of every kind of operation.
CASES = {
    "conv2d": parse(ConvCase, "n5c6h9w11k9r3s2p1x0x1x1u2x1d1x2g3"),
    "max_pool2d": parse(PoolCase, "n4c3h9w11r3s2p1x0u2e1"),
    "relu": MapCase(4, 3, 5, 7),
    "softmax": RowsCase(5, 13),
    "cross_entropy": RowsCase(5, 13),
    "gemm": GemmCase(4, 5, 7),
    "group_norm": OPERATIONS["group_norm"].standard_layers()[0][1],
}
PROBLEMS = [(name, way) for name in CASES for way in OPERATIONS[name].directions]


@pytest.fixture
def in_parts(monkeypatch):
    monkeypatch.setattr("pycnn.bench.operations.conv.ORACLE_FLOPS", 0)
    monkeypatch.setattr("pycnn.bench.operations.base.ORACLE_ELEMENTS", 0)


def _checks(name, direction):
    arrays = OPERATIONS[name].inputs(CASES[name], direction, "float32", expected.rng())
    return OPERATIONS[name].checks(CASES[name], direction, arrays)


@contextlib.contextmanager
def expected_only(monkeypatch, name, direction):
    """The oracle must not be asked."""

    def asked(*about):
        raise AssertionError("the oracle was asked")

    with monkeypatch.context() as context:
        for function in ("gemm.gemm", "conv.convolve", "conv.convolve_backward"):
            context.setattr(f"pycnn.reference.oracle.{function}", asked)
        definition = f"{name}_backward" if direction == "backward" else name
        context.setattr(TESTED[definition], "oracle", asked, raising=False)
        yield


@pytest.mark.parametrize(("name", "direction"), PROBLEMS)
def test_what_is_kept_is_what_the_oracle_says_and_it_is_not_asked_again(
    in_parts, monkeypatch, name, direction
):
    key = expected.key(name, str(CASES[name]), direction, "float32")
    with expected.collecting() as values:
        wanted = _checks(name, direction)
    expected.keep(key, values)
    with expected.recalling(key) as known, expected_only(monkeypatch, name, direction):
        found = _checks(name, direction)
    assert known
    assert len(found) == len(wanted) > 0
    for mine, its in zip(found, wanted, strict=True):
        assert (mine.output, mine.what, mine.reduction) == (its.output, its.what, its.reduction)
        assert mine.expected.dtype == np.asarray(its.expected).dtype
        assert np.array_equal(mine.expected, its.expected, equal_nan=True)


def test_nothing_is_found_where_nothing_is_kept():
    with expected.recalling(expected.key("relu", "n1", "forward", "float32")) as known:
        assert not known
        assert expected.recalled(lambda: {"y": 1}) == {"y": 1}


def test_a_damaged_entry_is_not_used():
    key = expected.key("relu", "n1", "forward", "float32")
    expected.keep(key, {"0/y": np.ones(9)})
    path = cache.find(key, expected.SUFFIX)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with expected.recalling(key) as known:
        assert not known


def test_an_entry_is_of_its_problem_its_inputs_and_the_code_that_computes_it(monkeypatch):
    about = ("conv2d", "n1", "forward", "float32")
    keys = {expected.key(*about)}
    for i in range(4):
        keys.add(expected.key(*(*about[:i], "other", *about[i + 1 :])))
    monkeypatch.setattr(expected, "SEED", 1)
    keys.add(expected.key(*about))
    monkeypatch.setattr(expected, "_source", lambda: "changed")
    keys.add(expected.key(*about))
    monkeypatch.setattr(np, "__version__", "another")
    keys.add(expected.key(*about))
    assert len(keys) == 8


def test_the_code_is_all_that_inputs_and_values_follow_from(monkeypatch):
    monkeypatch.setattr(expected, "SOURCES", ("shapes.py",))
    one = expected._source.__wrapped__()
    monkeypatch.setattr(expected, "SOURCES", ("shapes.py", "reference/oracle"))
    assert expected._source.__wrapped__() != one
    files = Path(expected.__file__).parents[1]
    monkeypatch.undo()
    assert all((files / name).exists() for name in expected.SOURCES)


def _benchmark(name, direction="forward", runners=()):
    layer = Layer(name, CASES[name])
    return Benchmark("suite", OPERATIONS[name], layer, direction, "float32", tuple(runners))


def test_a_run_uses_what_was_prepared():
    expected.keep(
        expected.key("relu", str(CASES["relu"]), "forward", "float32"),
        {"0/y": np.full(CASES["relu"].x_shape, 5.0)},  # nothing that the oracle would say
    )
    runner = Fake(lambda x: np.full_like(x, 5))
    ((record, _),) = run([_benchmark("relu", runners=[runner])], QUICK, {})
    assert record.status == "timed"


def test_problems_are_prepared_once_on_several_processes(monkeypatch):
    variables = dict(os.environ)
    benchmarks = [
        _benchmark("relu"),
        _benchmark("conv2d", "backward"),
        _benchmark("conv2d"),
        _benchmark("conv2d"),
    ]
    said = prepare.prepare(benchmarks, processes=2)
    assert said.startswith("expected values of 3 problems: 0 known before, 0 kept now, 3 computed")
    assert dict(os.environ) == variables
    assert prepare._compute(("relu", CASES["relu"], "forward", "float32"))[1] is False
    monkeypatch.setattr(prepare, "WORTH_SECONDS", -1.0)
    monkeypatch.setattr(prepare, "READ_BYTES", 1e30)
    for each in benchmarks:
        task = (each.op.name, each.layer.case, each.direction, each.dtype)
        assert prepare._compute(task)[1] is True
    said = prepare.prepare(benchmarks, processes=2)
    assert said.startswith("expected values of 3 problems: 3 known before, 0 kept now, 0 computed")


def test_the_command_prepares_where_no_gpu_is(capsys):
    words = ["bench", "--shape", "n1c2h3w4k5r1s1", "--backend", "cuda", "--against", "cudnn"]
    assert main([*words, "--prepare"]) == 0
    assert capsys.readouterr().out.startswith("expected values of 1 problems: 0 known before")
    assert main([*words, "--prepare", "--json", "x.json"]) == 2
    assert (
        "--prepare runs nothing; allowed: without --json, --plot and --gpu"
        in capsys.readouterr().err
    )
