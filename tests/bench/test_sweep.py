"""`pycnn sweep`: cases shared among workers, of which one is killed."""

import functools
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from bench_fakes import Double, Fake, right

from pycnn.bench import sweep
from pycnn.bench.cases import MapCase
from pycnn.bench.run import Benchmark
from pycnn.bench.suites import Layer
from pycnn.cli import main
from pycnn.runtime import workers
from pycnn.runtime.extras import install


def _deadly(mark: Path, i: int) -> tuple[int, str]:
    """The fourth case kills the worker that begins it first."""
    if i == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return i * i, os.environ["PYCNN_CPU_THREADS"]


def test_a_lost_worker_loses_nothing(client, tmp_path):
    mark = tmp_path / "killed"
    parts = dict(workers.shared(client, functools.partial(_deadly, mark), 6))
    assert parts == {i: (i * i, "1") for i in range(6)}
    assert mark.exists()


class Mortal:
    """A client whose worker dies so many times."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths

    def submit(self, task, i, pure):
        self.deaths -= 1
        if self.deaths >= 0:
            return SimpleNamespace(result=lambda: (_ for _ in ()).throw(KeyError("worker gone")))
        return SimpleNamespace(result=lambda: task(i))


def test_a_case_that_costs_every_worker_fails_and_no_other():
    assert workers.alone(Mortal(1), str, 5, KeyError) == "5"
    said = workers.alone(Mortal(2), str, 5, KeyError)
    assert said == "the worker was lost each time: 'worker gone'"
    layer = Layer("layer", MapCase(2, 3, 5, 7))
    two = (Fake(right, "quick"), Fake(right, "slow"))
    part = sweep.lost(Benchmark("shape", Double(), layer, "forward", "float32", two), said)
    assert [(r["algorithm"], r["status"], r["reason"]) for r in part["results"]] == [
        ("quick", "failed", said), ("slow", "failed", said),
    ]  # fmt: skip


def test_the_file_is_that_of_a_bench(client, tmp_path, capsys):
    words = ["lenet5", "--op", "relu", "--quick", "--backend", "reference", "--against", "none"]
    one, many = tmp_path / "one.json", tmp_path / "many.json"
    assert main(["bench", *words, "--json", str(one)]) == 0
    address = client.scheduler.address
    assert main(["sweep", *words, "--json", str(many), "--scheduler", address]) == 0
    capsys.readouterr()
    bench, swept = (json.loads(path.read_text()) for path in (one, many))

    def untimed(record):
        return {k: v for k, v in record.items() if not isinstance(v, float) and k != "repeats"}

    assert [*map(untimed, swept["results"])] == [*map(untimed, bench["results"])]
    assert all(r["status"] == "timed" for r in swept["results"])
    assert swept["complete"]
    assert [c["device"] for c in swept["ceilings"]] == ["cpu"]
    assert sum(swept["environment"]["workers"].values()) == len(swept["results"])
    assert main(["compare", str(one), str(many), "--threshold", "900"]) == 0


def test_two_timings_at_once_are_refused():
    with pytest.raises(ValueError, match="has 2 threads; allowed: 1"):
        sweep.require_one_at_a_time({"a": 1, "b": 2}, {"a": "x", "b": "y"}, False)
    with pytest.raises(ValueError, match="the same GPU"):
        sweep.require_one_at_a_time({"a": 1, "b": 1}, {"a": "x", "b": "x"}, True)
    with pytest.raises(ValueError, match="no worker"):
        sweep.require_one_at_a_time({}, {}, False)
    with pytest.raises(ValueError, match="--workers 3; allowed: up to 2"):
        workers.of_workers(3, ["0", "1"], 8)
    sweep.require_one_at_a_time({"a": 1, "b": 1}, {"a": "x", "b": "x"}, False)


def test_options_that_exclude_each_other(capsys):
    pytest.importorskip("distributed", reason=f"distributed is not installed; {install('sweep')}")
    words = ["sweep", "lenet5", "--workers", "2", "--scheduler", "tcp://nowhere:1"]
    assert main(words) == 2
    assert "allowed: one of them" in capsys.readouterr().err
