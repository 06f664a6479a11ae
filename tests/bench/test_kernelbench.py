"""The suite `kernelbench`: which tasks it has, their sizes, and that each computes when smaller."""

import re
from math import prod

import pytest
from bench_fakes import Double, Fake, right

from pycnn.bench import expected, kernelbench, run
from pycnn.bench.cases import MapCase
from pycnn.bench.checking import check
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.run import QUICK, Benchmark
from pycnn.bench.suites import Layer
from pycnn.cli import main

LAYERS = [(op, layer) for op in kernelbench.ops() for layer in kernelbench.layers(op)]


def test_it_has_every_task_that_it_names():
    numbers = {int(re.match(r"\d+", layer.name)[0]) for _, layer in LAYERS}
    assert numbers == {*range(19, 33), *range(41, 51), *range(54, 88)}


@pytest.mark.parametrize(
    ("op", "name", "shape"),
    [
        ("max_pool1d", "41 max_pool1d", (64, 192, 65536 + 8 - 21)),
        ("avg_pool2d", "45 avg_pool2d", (16, 64, 186, 186)),
        ("sum", "47 sum", (128, 1, 4095)),
        ("amax", "49 amax", (128, 4095)),
        ("conv3d", "59 conv3d", (16, 64, 254, 254, 10)),
        ("conv_transpose3d", "72 conv_transpose3d", (8, 32, 24, 48, 96)),
        ("conv_transpose1d", "79 conv_transpose1d", (16, 64, 2 * 131071 - 2 + 5)),
        ("conv2d", "80", (8, 64, 508, 496)),
    ],
)
def test_sizes_of_results(op, name, shape):
    """Worked out by hand, or as PyTorch gives them."""
    (layer,) = (x for x in kernelbench.layers(op) if x.name == name)
    ((_, found),) = list(OPERATIONS[op].output_shapes(layer.case, "forward").items())[:1]
    assert found == shape


def _smallest(task):
    while smaller := task.smaller():
        task = smaller
    return task


TASKS = kernelbench.TASKS


@pytest.mark.parametrize("task", TASKS, ids=[task.name for task in TASKS])
def test_a_task_computes_what_the_oracle_says(task):
    op, small = OPERATIONS[task.op], _smallest(task)
    assert prod(small.x) < 1 << 19
    assert [len(task.x), *task.x[1:2] * bool(task.weight)] == [
        len(small.x), *small.x[1:2] * bool(small.weight),
    ]  # fmt: skip
    arrays = op.inputs(small, "forward", "float32", expected.rng())
    outputs = op.run(small, "forward", arrays, "auto")
    shapes = op.output_shapes(small, "forward")
    assert check(outputs, op.checks(small, "forward", arrays), "float32", shapes).right


def test_a_batch_of_a_task_and_entries_of_it_stand_for_all(monkeypatch):
    """Where the arrays are large, three images are compared; the weight is no image."""
    monkeypatch.setattr("pycnn.bench.operations.base.ORACLE_ELEMENTS", 10)
    op, task = OPERATIONS["conv_transpose1d"], _smallest(TASKS[-2]).with_batch(5)
    arrays = op.inputs(task, "forward", "float32", expected.rng())
    (found,) = op.checks(task, "forward", arrays)
    assert found.what == "entries 0, 2, 4 of 5"
    outputs = op.run(task, "forward", arrays, "auto")
    assert check(outputs, [found], "float32", op.output_shapes(task, "forward")).right


def test_what_does_not_fit_in_memory_is_skipped_before_it_is_made(monkeypatch):
    layer = Layer("x", MapCase(2, 3, 5, 7))
    benchmark = Benchmark("x", Double(), layer, "forward", "float32", (Fake(right),))
    monkeypatch.setattr(Double, "traffic", lambda *about: 12_000_000_000)
    monkeypatch.setattr(run, "free_memory", lambda: 35_000_000_000)
    ((record, _),) = run.run([benchmark], QUICK, {})
    assert record.status == "skipped"
    assert "arrays of 12.0 GB, 3 times over; free: 35.0 GB" in record.reason
    for known in (None, 36_000_000_000):
        monkeypatch.setattr(run, "free_memory", lambda known=known: known)
        run._require_memory(12_000_000_000)


def test_an_operation_without_a_task(capsys):
    assert main(["bench", "kernelbench", "--op", "gemm"]) == 2
    assert "suite kernelbench has no layer of gemm; these have: conv2d, relu" in (
        capsys.readouterr().err
    )
