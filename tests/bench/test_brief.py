"""One line a layer in 80 columns, and who takes part where nobody says it."""

import argparse
from dataclasses import replace

import numpy as np
import pytest

from pycnn.bench import brief, compare, options, peers, plot, summary
from pycnn.bench.cases import ConvCase
from pycnn.bench.commands import add_parsers
from pycnn.bench.grammar import parse
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.record import Record, Run
from pycnn.cli import main
from pycnn.reference.cpu import conv as cpu

BUSY = {"cpu": {"cores": 2, "load": 8.0}}


def record(backend="reference", time_ms=2.0, layer="conv1", status="timed", **other):
    names = ("time_ms", "time_ms_min", "time_ms_max", "time_ms_p25", "time_ms_p75")
    about = {
        "suite": "vgg16", "layer": layer, "count": 1, "op": "conv2d", "direction": "forward",
        "shape": layer, "dtype": "float32", "layout": "NCHW", "algorithm": "auto",
        "flops": 8_000_000, "bytes": 1_000_000, **dict.fromkeys(names, time_ms),
    }  # fmt: skip
    return Record(backend=backend, status=status, **{**about, **other})


def emulated(algorithm, status="checked", **other):
    return record("emulator", None, status=status, algorithm=algorithm, **other)


def lines(*records, environment=None):
    return brief.lines("conv2d on vgg16", Run(environment or {}, [], list(records)))


def row(shown, layer):
    (line,) = [line for line in shown if line.startswith(layer)]
    return line


def test_a_layer_is_one_line():
    shown = lines(
        record(chosen="im2col", ceiling_share=0.4, bound="compute", count=3),
        record(algorithm="winograd", time_ms=1.0, ceiling_share=0.8, bound="compute", count=3),
        record("torch", 1.5, layout="NHWC", count=3),
        emulated("direct", count=3), emulated("im2col", count=3),
        emulated("fft", "skipped", reason="no", count=3),
        emulated("implicit_gemm", "wrong", count=3),
    )  # fmt: skip
    line = row(shown, "conv1 ")
    assert line.split() == [
        "conv1", "x3", "pycnn", "winograd", "1", "ms", "\u00b10%", "80%c", "1.50x", "torch", "NHWC",
        "2/3",
    ]  # fmt: skip
    text = " ".join(" ".join(shown).split())
    for meaning in ("limit: share of", "c of a large matrix product", "over the next: time of",
                    "checked: kernels that were right"):  # fmt: skip
        assert meaning in text
    for absent in ("m of a large copy", "~: disturbed", "h: the host"):
        assert absent not in text
    assert "1 of 7 records skipped; --all shows each" in text
    assert "WRONG: conv1 forward float32 emulator implicit_gemm" in text


def test_no_line_is_wider_than_80_columns():
    name = "conv2d, a layer whose name is longer than any terminal of eighty columns is wide"
    shown = lines(
        record(layer=name, chosen="double_buffered", count=128, direction="backward",
               ceiling_share=12.34, bound="memory", time_ms=1234.0),
        record("onnxruntime", 9999.0, layer=name, count=128, direction="backward"),
        record("cudnn-tf32", 1.0, precision="tf32", layer=name, count=128, direction="backward"),
        record(time_ms=3.0, time_ms_p25=1.0, dtype="float64"),
        *(emulated(f"a{i}", layer=name, count=128, direction="backward") for i in range(100)),
        environment=BUSY,
    )  # fmt: skip
    assert max(map(len, shown)) <= 80
    assert any("\u2026" in line for line in shown)


def test_marks_that_occur_are_explained_and_no_others():
    waits = record("cuda", 0.01, host_ms=0.5, bound="memory", ceiling_share=0.1)
    shown = lines(waits, record(layer="second", time_ms_p25=0.5, time_ms_p75=4.0))
    text = " ".join(" ".join(shown).split())
    assert "10 ush" in row(shown, "conv1")
    assert "2 ms~" in row(shown, "second")
    for meaning in ("m of a large copy", "h: the host takes longer", "~: disturbed"):
        assert meaning in text
    assert "c of a large" not in text


def test_16_bits_that_were_only_checked_are_one_line():
    halves = [emulated("direct", dtype="float16"), emulated("fft", "wrong", dtype="float16"),
              emulated("direct", dtype="bfloat16")]  # fmt: skip
    shown = lines(record(), *halves)
    assert (
        "checked on a layer of each kind too: 1/2 kernels in float16, 1/1 kernels in"
        in " ".join(shown)
    )
    assert sum(line.startswith("conv1") for line in shown) == 1
    assert sum(line.startswith("conv1") for line in lines(*halves)) == 2  # nothing else was run


def test_a_busy_machine_stands_above_the_table_and_in_the_picture(tmp_path, monkeypatch):
    assert not any("BUSY" in line for line in lines(record()))
    assert lines(record(), environment=BUSY)[1].startswith("BUSY MACHINE (load 8.0 on 2 cores)")
    figure = pytest.importorskip("matplotlib.figure", reason="pip install -e '.[viz]'")
    titles = []
    monkeypatch.setattr(figure.Figure, "suptitle", lambda self, text, **looks: titles.append(text))
    plot.draw(Run(BUSY, [], [record()]), "vgg16", tmp_path / "run.png")
    assert titles == ["vgg16 (BUSY MACHINE: load 8.0 on 2 cores)"]


def test_the_cpu_path_is_compared_by_its_own_choice():
    ours = [record(chosen="im2col"), record(algorithm="winograd", time_ms=0.5)]
    text = " ".join(summary.summarise([*ours, record("torch", 1.0)], []))
    assert "reference forward runs at 0.50x the speed of torch" in text


@pytest.mark.parametrize(
    "disturbed",
    [
        record("torch", 124.28),  # 62.14 times as long as ours
        record("torch", 3.0, time_ms_min=1.0),
        record("torch", 3.0, time_ms_p25=2.0, time_ms_p75=4.0),
    ],
)
def test_a_disturbed_peer_is_left_out_and_said(disturbed):
    steady = [record(layer="conv2"), record("torch", 1.0, layer="conv2")]
    (line,) = summary.against([record(), disturbed, *steady])
    assert line.startswith(
        "reference forward runs at 0.50x the speed of torch (geometric mean of 1"
    )
    assert line.endswith("1 left out, as disturbed)")
    (line,) = summary.against([record(), disturbed])
    assert line == "reference forward beside torch: no ratio; 1 left out, as disturbed"


def _benchmarks(*words):
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers())
    return options.benchmarks(parser.parse_args(["bench", *words]))


WORD = "n1c8h12w12k8r3s3p1"
ON_CPU = ("--shape", WORD, "--backend", "reference", "--against", "none")


def test_methods_of_the_cpu_path_take_part_and_can_be_chosen():
    (benchmark,) = _benchmarks(*ON_CPU)
    names = [c.algorithm for c in benchmark.runners]
    assert names[0] == "auto"
    applying = {*cpu.METHODS} - {"gemm"}  # which is for filters of 1x1
    assert {*names[1:], benchmark.runners[0].chosen} == applying
    own = benchmark.runners[0].chosen
    for name in applying:
        (benchmark,) = _benchmarks(*ON_CPU, "--algo", name)
        assert [c.algorithm for c in benchmark.runners] == ["auto" if name == own else name]
    (benchmark,) = _benchmarks(*ON_CPU, "--dtype", "float64")
    assert "winograd" not in [c.algorithm for c in benchmark.runners]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_method_of_the_cpu_path_is_right(dtype):
    op, case = OPERATIONS["conv2d"], parse(ConvCase, WORD)
    arrays = op.inputs(case, "forward", dtype, np.random.default_rng(0))
    wanted = op.run(case, "forward", arrays, "auto")["y"]
    for algorithm in op.cpu_algorithms(case, "forward", dtype):
        y = op.run_cpu(case, "forward", arrays, algorithm.name)["y"]
        assert y.dtype == wanted.dtype
        np.testing.assert_allclose(y, wanted, atol=2e-2 if dtype == "float16" else 1e-4)


def test_an_algorithm_that_the_backend_has_not_is_refused(capsys):
    assert main(["bench", *ON_CPU, "--algo", "implicit_gemm"]) == 2
    assert "--algo 'implicit_gemm'; allowed: auto, " in capsys.readouterr().err


def test_beside_kernels_the_cpu_path_stays_with_its_own_choice():
    both = ("--shape", WORD, "--backend", "reference,emulator", "--against", "none")
    float32, *_ = _benchmarks(*both, "--algo", "implicit_gemm")
    assert [(c.backend, c.algorithm) for c in float32.runners] == [
        ("reference", "auto"), ("emulator", "implicit_gemm"),
    ]  # fmt: skip
    float32, *_ = _benchmarks(*both, "--algo", "winograd,implicit_gemm")
    assert [(c.backend, c.algorithm) for c in float32.runners] == [
        ("reference", "winograd"), ("emulator", "implicit_gemm"),
    ]  # fmt: skip


def test_16_bits_are_checked_in_the_emulator_unless_dtypes_are_named():
    everywhere = ("resnet50", "--against", "none")
    timed = [b for b in _benchmarks(*everywhere) if b.dtype == "float32"]
    halves = [b for b in _benchmarks(*everywhere) if b.dtype != "float32"]
    assert {b.dtype for b in halves} == {"float16", "bfloat16"}
    assert {c.backend for b in halves for c in b.runners} == {"emulator"}
    kinds = {(b.layer.case.r, b.layer.case.stride) for b in timed}
    assert [(b.layer.case.r, b.layer.case.stride) for b in halves] == [
        *dict.fromkeys((b.layer.case.r, b.layer.case.stride) for b in timed)
    ] * 2
    assert len(halves) == 2 * len(kinds)
    assert len({b.dtype for b in _benchmarks(*everywhere, "--dtype", "float32")}) == 1


def test_peers_that_are_installed_take_part(monkeypatch):
    present = {"torch"}
    monkeypatch.setattr(options, "missing", lambda peer: "" if peer in present else "not here")
    here = ("--shape", WORD, "--backend", "reference", "--dtype", "float32")
    (benchmark,) = _benchmarks(*here)
    of_torch = [c for c in benchmark.runners if c.backend == "torch"]
    assert [c.layout for c in of_torch] == ["NCHW", "NHWC"]
    assert {c.backend for c in benchmark.runners} == {"reference", "torch"}
    (benchmark,) = _benchmarks(*here, "--against", "none")
    assert {c.backend for c in benchmark.runners} == {"reference"}
    with pytest.raises(ValueError, match="--against cudnn: not here"):
        _benchmarks(*here, "--against", "cudnn")
    with pytest.raises(ValueError, match="--against none: allowed alone"):
        _benchmarks(*here, "--against", "torch,none")


def test_a_peer_has_the_threads_that_the_cpu_path_has(monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed; pip install torch")
    monkeypatch.setenv("PYCNN_CPU_THREADS", "3")
    before = torch.get_num_threads()
    with peers.Torch("cpu", "NCHW").active():
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


def test_compare_shows_what_changed_and_counts_the_rest():
    old = [record(), record("torch", 1.0), record(layer="conv2"), record(layer="gone")]
    new = [replace(old[0], **dict.fromkeys(
        ("time_ms", "time_ms_min", "time_ms_max", "time_ms_p25", "time_ms_p75"), 1.0)),
        *old[1:3], record(layer="new")]  # fmt: skip
    changes = compare.compare_runs(old, new)
    shown = compare.brief(changes)
    assert [line.split() for line in shown] == [
        ["layer", "method", "old", "new", "new/old"],
        ["conv1", "pycnn", "auto", "2", "ms", "1", "ms", "0.50", "faster"],
    ]
    assert compare.counted(changes) == (
        "1 faster, 2 same, 1 only in the old run, 1 only in the new run"
    )
    assert compare.brief(changes[1:2]) == []


def test_a_runner_of_the_cpu_path_runs_its_method(monkeypatch):
    (benchmark,) = _benchmarks(*ON_CPU)
    case = benchmark.layer.case
    arrays = benchmark.op.inputs(case, "forward", "float32", np.random.default_rng(0))
    methods, conv2d = [], cpu.conv2d

    def recorded(*args, method=None, **others):
        methods.append(method)
        return conv2d(*args, method=method, **others)

    monkeypatch.setattr(cpu, "conv2d", recorded)
    for runner in benchmark.runners:
        with runner.active():
            runner.prepare(benchmark.op, case, "forward", arrays)()
    assert [m for m in methods if m] == [r.algorithm for r in benchmark.runners[1:]]
