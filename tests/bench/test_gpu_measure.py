"""The stage `bench`, with the CPU in the place of a GPU: order, time, resumption, one file."""

import json
import time

import pytest

from benchmarks.gpu import bench, measure, page
from benchmarks.gpu.result import FAILED, PARTIAL, PASSED, Result
from pycnn.bench import options, record
from pycnn.bench.ceilings import Ceiling
from pycnn.bench.run import Budget

SHORT = Budget(seconds=1e-3, emulated_flops=0)
LINE = "--shape n1c3h5w7 --op relu --direction all"


@pytest.fixture(autouse=True)
def ceilings(monkeypatch):
    """Ceilings that take no time; gives those that were asked for."""
    asked = []

    def measured(device, dtype, budget):
        asked.append((device, dtype))
        return Ceiling(device, dtype, 100.0, 10.0)

    monkeypatch.setattr(measure, "measure_ceiling", measured)
    return asked


@pytest.fixture
def benches(monkeypatch):
    few = (("relu", LINE), ("relu64", f"{LINE} --dtype float64"))
    for module in (measure, bench):
        monkeypatch.setattr(module, "BENCHES", few)
    monkeypatch.setattr(measure, "BUDGET", SHORT)
    return few


@pytest.mark.parametrize(("name", "line"), measure.BENCHES)
def test_every_bench_is_a_command_that_exists(name, line):
    arguments = measure.parse(line, "emulator", [])  # plans are the same
    if (
        set((arguments.dtype or "").split(",")) & {"float16", "bfloat16"}
        and arguments.suite != "standard"
    ):
        arguments.dtype = "float32"  # the bench of convolutions may have no 16 bits
    assert options.benchmarks(arguments)


def test_what_matters_most_comes_first():
    lines = [line for _, line in measure.BENCHES]
    assert lines[0].startswith("resnet50 --batch 1")
    assert lines[1].startswith("resnet50 --batch 32")
    order = ["bfloat16", "float16", "vgg16", "backward"]
    places = [next(i for i, line in enumerate(lines) if word in line) for word in order]
    assert places == sorted(places)
    assert len(dict(measure.BENCHES)) == len(measure.BENCHES)


def test_all_of_it(benches, ceilings, tmp_path):
    assert measure.main([str(tmp_path), "100", "--backend", "reference"]) == 0
    assert ceilings == [("cpu", "float32"), ("cpu", "float64")]  # once for both directions
    found = bench.runs(tmp_path)
    assert list(found) == ["relu", "relu64"]
    assert [len(run["results"]) for run in found.values()] == [2, 2]
    _, records = record.read(tmp_path / "relu.json")
    assert {r.status for r in records} == {"timed"}
    assert bench.result_of(found) == Result(
        PASSED, "2 of 2 benches complete, 4 algorithms on layers timed", []
    )


def test_it_stops_in_time_and_goes_on_where_it_ended(benches, tmp_path):
    """No measurement is made twice."""
    path = tmp_path / "relu.json"
    arguments = measure.parse(LINE, "reference", [])
    assert not measure.measure(path, arguments, {}, time.monotonic() - 1, SHORT)
    first = json.loads(path.read_text())
    assert (first["complete"], first["unfinished"]) == (False, "1 of 2 done")
    result = bench.result_of(bench.runs(tmp_path), 130)
    assert (result.outcome, result.finished) == (PARTIAL, False)
    assert result.what == "0 of 2 benches complete, 1 algorithms on layers timed"
    assert measure.measure(path, arguments, {}, time.monotonic() + 100, SHORT)
    second = json.loads(path.read_text())
    assert second["complete"]
    assert second["results"][0] == first["results"][0]
    assert [r["direction"] for r in second["results"]] == ["forward", "backward"]
    assert second["ceilings"] == first["ceilings"]
    before = path.stat().st_mtime_ns
    assert measure.main([str(tmp_path), "100", "--backend", "reference"]) == 0
    assert path.stat().st_mtime_ns == before


def test_without_time_nothing_is_passed(benches, tmp_path):
    assert measure.main([str(tmp_path), "-1", "--backend", "reference"]) == 130
    assert bench.result_of(bench.runs(tmp_path), 130).outcome == PARTIAL


def test_an_interrupt_keeps_what_there_is(benches, tmp_path, monkeypatch):
    whole = measure.run

    def interrupted(benchmarks, *about):
        yield next(iter(whole(benchmarks, *about)))
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "run", interrupted)
    assert measure.main([str(tmp_path), "100", "--backend", "reference"]) == 130
    assert len(json.loads((tmp_path / "relu.json").read_text())["results"]) == 1


def test_an_option_that_cannot_be_met_is_shown_and_no_failure(benches, tmp_path, monkeypatch):
    asked = (("odd", "resnet50 --dtype float128"), *benches)
    for module in (measure, bench):
        monkeypatch.setattr(module, "BENCHES", asked)
    assert measure.main([str(tmp_path), "100", "--backend", "reference"]) == 0
    result = bench.result_of(bench.runs(tmp_path))
    assert result.outcome == PASSED
    assert "1 not possible" in result.what
    assert "float128" in result.details[-1]


def test_a_ceiling_that_fails_costs_no_measurement(benches, tmp_path, monkeypatch, capsys):
    def fails(*about, **more):
        raise RuntimeError("no cuBLAS")

    monkeypatch.setattr(measure, "measure_ceiling", fails)
    assert measure.main([str(tmp_path), "100", "--backend", "reference"]) == 0
    assert capsys.readouterr().out.count("no ceiling of cpu, float32: no cuBLAS") == 1
    _, records = record.read(tmp_path / "relu.json")
    assert {(r.status, r.ceiling_share) for r in records} == {("timed", None)}


def test_after_a_lost_gpu_another_process_goes_on(benches, tmp_path, monkeypatch):
    """The kernel that lost it is not run again; whatever comes after it is."""
    statuses, commands = [measure.LOST, 0], []

    def limited(command, seconds):
        commands.append(command)
        return statuses[len(commands) - 1]

    monkeypatch.setattr(bench, "limited", limited)
    bench.bench(tmp_path)
    assert len(commands) == 2

    def broken(*about, **more):
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr("pycnn.bench.run.check", broken)
    monkeypatch.setattr(measure, "_lost", lambda backend: True)
    assert measure.main([str(tmp_path), "100", "--backend", "reference"]) == measure.LOST
    monkeypatch.undo()
    monkeypatch.setattr(measure, "BENCHES", benches)
    monkeypatch.setattr(bench, "BENCHES", benches)
    assert measure.main([str(tmp_path), "100", "--backend", "reference"]) == 0
    found = bench.runs(tmp_path)
    assert [r["status"] for r in found["relu"]["results"]] == ["failed", "timed"]
    result = bench.result_of(found)
    assert result.outcome == FAILED
    assert "illegal memory access" in result.details[0]


def test_a_process_that_dies_is_a_failure(benches, tmp_path):
    measure.main([str(tmp_path), "100", "--backend", "reference"])
    result = bench.result_of(bench.runs(tmp_path), -11)
    assert result.outcome == FAILED
    assert "status -11" in result.details[-1]


def timed(suite, shape, backend, ms, dtype="float32", algorithm="implicit_gemm", **more):
    known = record.Record(
        suite, shape, 1, "conv2d", "forward", shape, dtype, "NCHW", backend, algorithm, "timed",
        time_ms=ms, gflops=30e3, gbytes_per_s=1e3, ceiling_share=0.41, **more,
    )  # fmt: skip
    return {**record.asdict(known)}


def a_run(*results, complete=True, unfinished="", **more):
    return {
        "results": list(results), "complete": complete, "unfinished": unfinished,
        "environment": {"command": "pycnn bench it", "date": "2026-01-01"}, "schema": 1,
        "ceilings": [{"device": "cuda", "dtype": "float32", "gflops": 5e4, "gbytes_per_s": 4e3}],
        **more,
    }  # fmt: skip


ABOUT = {"gpu": "Imaginary GPU", "libraries": "CuPy", "commit": "abc", "date": "today"}


def test_the_page_shows_measured_beside_predicted():
    runs = {
        "resnet50_x32": a_run(
            timed("resnet50", "n32c64h56w56k64r3s3", "cuda", 2.0),
            timed("resnet50", "n32c64h56w56k64r3s3", "cuda", 3.0, algorithm="direct"),
            timed("resnet50", "n32c64h56w56k64r3s3", "cudnn", 1.0),
            timed("resnet50", "n32c3h9w9k9r3s3", "cuda", 1.0),
            timed("resnet50", "n32c3h9w9k9r3s3", "cudnn", 2.0),
        ),
        "vgg16": a_run(timed("vgg16", "n1c1h1w1k1r1s1", "cuda", 1.0), complete=False,
                       unfinished="1 of 9 done"),
    }  # fmt: skip
    results = {"test": Result(FAILED, "1 of 2 tests passed", ["a test: " + "long " * 40]),
               "bench": None}  # fmt: skip
    lines = page.page(ABOUT, "not throttled", results, runs)
    assert max(map(len, lines)) <= page.WIDTH
    text = "\n".join(lines)
    assert "of cuda, float32: 50.0 TFLOP/s, 4.00 TB/s" in text
    network = next(line for line in lines if line.startswith("resnet50 x32"))
    assert network.split()[-4:] == ["cudnn", "2", "1.00", "0.60"]
    layer = next(line for line in lines if line.startswith("n32c64h56w56k64r3~"))
    assert layer.split()[1:] == [
        "implicit_gemm",
        "2000",
        "41%",
        "1000",
        "0.50",
        "30.0",
        "TF",
        "23-37",
    ]
    assert "vgg16 (partial: 1 of 9 done)" in lines
    assert "not measured" in text
    assert any(line.startswith("bench") and "not run" in line for line in lines)


def test_one_file_holds_this_session_and_compare_reads_it(tmp_path):
    higher = [{"device": "cuda", "dtype": "float32", "gflops": 6e4, "gbytes_per_s": 3e3}]
    runs = {
        "one": a_run(timed("resnet50", "n1c1h1w1k1r1s1", "cuda", 2.0)),
        "two": a_run(timed("vgg16", "n1c1h1w1k1r1s1", "cuda", 2.0), ceilings=higher,
                     complete=False, unfinished="1 of 2 done"),
        "impossible": {"results": [], "complete": True, "unfinished": "no such dtype"},
    }  # fmt: skip
    found = page.merged(runs, {"test": Result(PASSED, "2 of 2"), "bench": None}, ABOUT)
    (tmp_path / "gpu.json").write_text(json.dumps(found))
    environment, records = record.read(tmp_path / "gpu.json")
    assert environment["command"] == "make gpu"
    assert [r.suite for r in records] == ["resnet50", "vgg16"]
    (ceiling,) = record.load(tmp_path / "gpu.json").ceilings
    assert (ceiling.gflops, ceiling.gbytes_per_s) == (6e4, 4e3)
    assert not found["complete"]
    assert "two: 1 of 2 done" in found["unfinished"]
    assert found["stages"]["test"]["outcome"] == PASSED
    assert [run["name"] for run in found["runs"]] == ["one", "two"]


def test_a_ceiling_that_is_not_known_is_not_nought():
    unknown = [{"device": "cuda", "dtype": "float32", "gflops": None, "gbytes_per_s": 4e3}]
    runs = {"one": a_run(timed("resnet50", "n1c1h1w1k1r1s1", "cuda", 2.0), ceilings=unknown)}
    assert "of cuda, float32: unknown TFLOP/s, 4.00 TB/s" in "\n".join(
        page.page(ABOUT, "", {}, runs)
    )


def test_nothing_measured_is_not_complete():
    assert not page.merged({}, {}, ABOUT)["complete"]
