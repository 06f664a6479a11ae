"""`pycnn bench` from the command line, on runners that need no kernels."""

import argparse
import contextlib
import json
import sys
from types import SimpleNamespace

import pytest
from bench_fakes import Double, Fake, right, wrong_in_one_place

from pycnn.bench import main as bench_main, options as bench_options
from pycnn.bench.ceilings import Ceiling
from pycnn.bench.commands import add_parsers
from pycnn.bench.operations import OPERATIONS
from pycnn.cli import main

SHAPE = ["bench", "--shape", "n2c3h5w7", "--op", "double"]


@pytest.fixture
def runners(monkeypatch):
    """The operation `double`, run by the runners that a test puts into this list."""
    found = []
    monkeypatch.setattr(bench_options, "OPERATIONS", {**OPERATIONS, "double": Double()})
    monkeypatch.setattr(bench_options, "of_pycnn", lambda *about: found)
    monkeypatch.setattr(bench_options, "_backends", lambda asked: ["reference"])
    monkeypatch.setattr(bench_options, "_peers", lambda text: [])
    monkeypatch.setattr(
        bench_main, "measure_ceiling", lambda device, dtype, budget: Ceiling(device, dtype, 1, 1)
    )
    return found


def _interrupt(x):
    raise KeyboardInterrupt


def test_a_run_is_shown_and_written(runners, tmp_path, capsys):
    runners += [Fake(right, "quick"), Fake(right, backend="emulator", device=None)]
    path = tmp_path / "run.json"
    assert main([*SHAPE, "--json", str(path), "--all"]) == 0
    shown = capsys.readouterr().out
    assert "quick *" in shown
    assert "right, no finding" in shown
    written = json.loads(path.read_text())
    assert written.keys() == {
        "schema", "complete", "unfinished", "environment", "ceilings", "results",
    }  # fmt: skip
    assert (written["complete"], written["unfinished"]) == (True, "")
    assert [r["status"] for r in written["results"]] == ["timed", "checked"]
    assert written["ceilings"] == [
        {"device": "cpu", "dtype": "float32", "gflops": 1, "gbytes_per_s": 1, "note": ""}
    ]


def test_environment_says_what_a_time_depends_on(runners, tmp_path):
    runners += [Fake(right)]
    path = tmp_path / "run.json"
    main([*SHAPE, "--quick", "--json", str(path)])
    environment = json.loads(path.read_text())["environment"]
    assert environment["cpu"]["cores"] >= 1
    assert environment["cpu"]["model"]
    assert environment["versions"]["numpy"]
    assert environment.keys() >= {"date", "commit", "gpu", "python", "system", "pycnn"}
    assert environment["command"] == (
        "pycnn bench --shape n2c3h5w7 --op double --direction forward --quick"
    )


def test_a_wrong_kernel_is_shown_and_fails_the_command(runners, capsys):
    runners += [Fake(right), Fake(wrong_in_one_place, "broken")]
    assert main(SHAPE) == 1
    shown = capsys.readouterr().out
    assert "WRONG" in shown
    assert "broken" in shown


@pytest.mark.parametrize(("backend", "status"), [("torch", 0), ("reference", 1)])
def test_a_peer_that_is_wrong_or_fails_is_shown_but_is_no_failure_of_ours(
    runners, capsys, backend, status
):
    def failing(x):
        raise RuntimeError("no such launch")

    runners += [Fake(wrong_in_one_place, "coarse", backend), Fake(failing, "frail", backend)]
    assert main(SHAPE) == status
    shown = " ".join(capsys.readouterr().out.split())
    assert f"WRONG: layer forward float32 {backend} coarse" in shown
    assert f"FAILED: layer forward float32 {backend} frail: RuntimeError: no such launch" in shown


def test_an_interrupt_keeps_what_there_is(runners, tmp_path, capsys):
    runners += [Fake(right), Fake(_interrupt), Fake(right)]
    path = tmp_path / "run.json"
    assert main([*SHAPE, "--json", str(path)]) == 130
    written = json.loads(path.read_text())
    assert len(written["results"]) == 1
    assert (written["complete"], written["unfinished"]) == (False, "interrupted: 1 of 3 done")
    output = capsys.readouterr()
    assert "PARTIAL: interrupted: 1 of 3 done; no totals" in output.out
    assert f"interrupted: 1 of 3 done and kept in {path}" in output.err
    assert "double forward, float32, on n2c3h5w7" in output.out


OLD = '{"schema": 2, "complete": true, "results": [{}]}'


def test_results_that_are_there_are_kept_without_force(runners, tmp_path, capsys):
    def measured(x):
        pytest.fail("something was measured before the file was looked at")

    runners += [Fake(measured)]
    path = tmp_path / "run.json"
    path.write_text(OLD)
    assert main([*SHAPE, "--json", str(path)]) == 2
    said = capsys.readouterr().err
    assert f"--json {path}: it is there; give another name, or --force to replace it" in said
    assert path.read_text() == OLD


def test_old_results_stay_until_the_new_ones_are_complete(runners, monkeypatch, tmp_path):
    runners += [Fake(right)]
    path, beside = tmp_path / "run.json", tmp_path / "run.unfinished.json"
    path.write_text(OLD)

    def killed(device, dtype, budget):
        raise SystemExit(137)

    with monkeypatch.context() as patch:
        patch.setattr(bench_main, "measure_ceiling", killed)
        with pytest.raises(SystemExit):
            main([*SHAPE, "--force", "--json", str(path)])
    assert path.read_text() == OLD
    written = json.loads(beside.read_text())
    assert (written["complete"], written["results"]) == (False, [])
    assert written["unfinished"] == "0 of 1 done when this was written"
    assert main([*SHAPE, "--force", "--json", str(path)]) == 0
    assert json.loads(path.read_text())["complete"]
    assert not beside.exists()


def test_an_interrupted_run_keeps_old_and_new_results(runners, tmp_path, capsys):
    runners += [Fake(right), Fake(_interrupt)]
    path, beside = tmp_path / "run.json", tmp_path / "run.unfinished.json"
    path.write_text(OLD)
    assert main([*SHAPE, "--force", "--json", str(path)]) == 130
    output = capsys.readouterr()
    assert f"interrupted: 1 of 2 done and kept in {beside}" in output.err
    assert f"results: {beside}" in output.out
    assert path.read_text() == OLD
    assert len(json.loads(beside.read_text())["results"]) == 1


def test_a_run_that_is_killed_leaves_a_file_that_says_so(runners, tmp_path):
    def killed(x):
        raise SystemExit(137)

    runners += [Fake(right), Fake(killed)]
    path = tmp_path / "run.json"
    with pytest.raises(SystemExit):
        main([*SHAPE, "--json", str(path)])
    written = json.loads(path.read_text())
    assert (written["complete"], len(written["results"])) == (False, 1)
    assert written["unfinished"] == "1 of 2 done when this was written"


def test_the_ceiling_of_a_coarse_runner_is_its_own(runners, monkeypatch, tmp_path):
    coarse = Fake(right, backend="cudnn-tf32")
    coarse.precision = "tf32"
    runners += [Fake(right), coarse]
    monkeypatch.setattr(
        bench_main, "measure_ceiling", lambda device, dtype, budget: Ceiling(device, dtype, 1, 1)
    )
    path = tmp_path / "run.json"
    main([*SHAPE, "--json", str(path)])
    written = json.loads(path.read_text())
    assert [c["dtype"] for c in written["ceilings"]] == ["float32", "tf32"]
    assert [r["precision"] for r in written["results"]] == ["", "tf32"]


def test_the_clocks_of_the_gpu_are_written_where_it_is_used(runners, monkeypatch, tmp_path):
    seen = []

    @contextlib.contextmanager
    def sampling(bus):
        seen.append(bus)
        yield SimpleNamespace(as_json=lambda: {"samples": 1}) if bus else None

    about = {"name": "G", "pci_bus": "0000:19:00.0"}
    monkeypatch.setattr(bench_main.clocks, "sampling", sampling)
    monkeypatch.setattr("pycnn.bench.environment.gpu", lambda: dict(about))
    path = tmp_path / "run.json"
    runners += [Fake(right)]
    main([*SHAPE, "--json", str(path)])
    assert json.loads(path.read_text())["environment"]["gpu"] == about
    runners[:] = [Fake(right, backend="cuda", device="cuda")]
    main([*SHAPE, "--force", "--json", str(path)])
    assert json.loads(path.read_text())["environment"]["gpu"]["sampled"] == {"samples": 1}
    assert seen == [None, "0000:19:00.0"]


@pytest.mark.parametrize(("load", "busy"), [(0.5, False), (1000.0, True)])
def test_a_busy_machine_is_pointed_out(runners, monkeypatch, capsys, load, busy):
    runners += [Fake(right)]
    monkeypatch.setattr("os.getloadavg", lambda: (load, load, load))
    main([*SHAPE, "--all"])
    assert ("this machine is busy" in capsys.readouterr().err) == busy
    main(SHAPE)
    assert ("BUSY MACHINE (load 1000.0" in capsys.readouterr().out) == busy


def test_a_suite_runs_at_each_batch(monkeypatch, runners, tmp_path):
    runners += [Fake(right)]
    path = tmp_path / "run.json"
    monkeypatch.setattr(bench_options, "OPERATIONS", {"relu": _named("relu")})
    assert main(["bench", "lenet5", "--op", "relu", "--batch", "1,3", "--json", str(path)]) == 0
    shapes = [r["shape"] for r in json.loads(path.read_text())["results"]]
    maps = ("c6h28w28", "c16h10w10", "c120h1w1")
    assert shapes == [f"n{n}{rest}" for n in (1, 3) for rest in maps]


@pytest.mark.parametrize(
    ("word", "algorithm"),
    [
        ("softmax_backward / rows / float16", "auto"),
        ("conv2d / 1x1 / float32 / im2col", "im2col"),
        ("conv2d / sum in parts, NCHW / float32", "auto"),  # of those beside the definition's own
    ],
)
def test_a_case_of_the_tests_runs_again(monkeypatch, tmp_path, word, algorithm):
    """By its name, which the command in the file has too."""
    name, case, dtype = word.split(" / ")[:3]
    path = tmp_path / "run.json"
    arguments = ["bench", "--case", word, "--backend", "reference", "--against", "none", "--quick"]
    assert main([*arguments, "--json", str(path)]) == 0
    written = json.loads(path.read_text())
    (record,) = written["results"]
    direction = "backward" if name.endswith("_backward") else "forward"
    said = (name.removesuffix("_backward"), direction, case, dtype)
    assert (record["op"], record["direction"], record["shape"], record["dtype"]) == said
    asked = f"pycnn bench --case '{word}' --backend reference --against none --quick"
    assert written["environment"]["command"] == asked

    monkeypatch.setattr(bench_options, "_backends", lambda asked: ["emulator"])
    monkeypatch.setattr(bench_options, "_peers", lambda text: [])
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers())
    (found,) = bench_options.benchmarks(parser.parse_args(["bench", "--case", word]))
    assert [c.algorithm for c in found.runners] == [algorithm]


def _named(name):
    operation = Double()
    operation.name = name
    return operation


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "name a suite (lenet5, alexnet"),
        ([], "soumith, kernelbench, standard, lenet5_32, "),
        (["resnet50", "--shape", "n1c1h1w1k1r1s1"], "not both"),
        (["resnet99"], "suite 'resnet99'; allowed: lenet5, alexnet, vgg16"),
        (["resnet50", "--op", "conv4d"], "--op 'conv4d'; allowed: conv2d, max_pool2d"),
        (["resnet50", "--backend", "tpu"], "--backend 'tpu'; allowed: reference, emulator, cuda"),
        (["resnet50", "--against", "mxnet"], "'mxnet'; allowed: torch, onnxruntime, cudnn"),
        (["resnet50", "--dtype", "int8"], "--dtype 'int8'; allowed: float16, bfloat16, float32"),
        (["resnet50", "--direction", "up"], "'up'; allowed: forward, backward, all"),
        (["resnet50", "--batch", "0"], "--batch '0'; allowed: whole numbers from 1 on"),
        (["resnet50", "--batch", "1,x"], "--batch 'x'; allowed"),
        (["resnet50", "--algo", "cufft"], "--algo 'cufft'; allowed: "),
        (["soumith", "--op", "softmax"], "no layer of softmax; these have: lenet5"),
        (["resnet50", "--op", "gemm", "--direction", "backward"], "gemm has only forward"),
        (["--shape", "n1c64"], "without h, w, k, r, s"),
        (["--case", "relu / vector"], "allowed: 'relu / vector / float"),
        (["--case", "relu / vector / float32 / stepped"], "allowed: without 'stepped'"),
        (["--case", "relu / vector / float32", "--dtype", "float64"], "allowed: without dtype"),
        (["lenet5", "--json", "/nowhere/x.json"], "no folder /nowhere"),
        (["lenet5", "--plot", "/nowhere/x.png"], "no folder /nowhere"),
    ],
)
def test_a_bad_option_lists_what_exists(options, complaint, capsys):
    assert main(["bench", *options]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert len(error.strip().splitlines()) == 1


def test_a_picture_needs_matplotlib_and_says_so_before_the_run(runners, monkeypatch, capsys):
    runners += [Fake(right)]
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([*SHAPE, "--plot", "run.png"]) == 2
    assert "[viz]'" in capsys.readouterr().err
    assert runners[0].calls == 0


def test_a_missing_peer_is_named_with_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(
        bench_options, "missing", lambda peer: f"{peer} needs a package; pip install"
    )
    assert main(["bench", "lenet5", "--against", "torch"]) == 2
    assert "torch needs a package" in capsys.readouterr().err
