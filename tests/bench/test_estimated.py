"""What `pycnn bench` says of a GPU that is not here: by arithmetic, with no compiler."""

import json

import pytest
from bench_fakes import Double, Fake, right

from pycnn.bench import estimated, main
from pycnn.bench.cases import MapCase
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.record import Record
from pycnn.bench.run import Benchmark
from pycnn.bench.suites import SUITES, Layer
from pycnn.cli import main as command
from pycnn.plan import estimate
from pycnn.predict import gpus
from pycnn.runtime import nvrtc

GPU = gpus.gpu("h200")
LAYER = "n1c16h9w11k24r3s3p1"


def benchmarks(dtype: str = "float32", *runners: Fake, batch: int = 1) -> list[Benchmark]:
    layers = SUITES["resnet50"].layers("conv2d", batch)
    of = runners or (Fake(right),)
    return [Benchmark("s", OPERATIONS["conv2d"], layer, "forward", dtype, of) for layer in layers]


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with the extra `bench` alone."""
    monkeypatch.setattr(main, "route", lambda: ("source", "llvmlite is not there"))
    for name in ("compile_kernel", "compile_text", "version"):
        monkeypatch.setattr(nvrtc, name, lambda *about: pytest.fail("something was compiled"))


@pytest.mark.parametrize("gpu", ["h200", "a100", "rtx4090"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_each_layer_has_a_winner_and_a_reason_in_80_columns(
    gpu: str, dtype: str, no_compiler: None
) -> None:
    own = gpus.gpu(gpu)
    made = estimated.guesses(benchmarks(dtype), own)
    assert len(made) == 23
    lines = estimated.lines(own, made, [])
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("conv") and " us" in line for line in lines) == 23
    text = " ".join(" ".join(lines).split())
    assert f"{own.name}, {dtype}" in text
    assert "PREDICTED by arithmetic, nothing measured" in text
    assert ("channels last" in text) == (dtype == "bfloat16")
    assert "latency: no unit is busy" in text  # a bound that occurs is explained
    assert f"all layers at batch 1, predicted on {own.name}" in text
    for g in made:
        times = [of.time_us for of in g.found.values()]
        assert times == sorted(times)
        assert times[0] > g.limit_us


def test_the_winner_is_what_auto_takes() -> None:
    made = estimated.guesses(benchmarks(batch=32), GPU)
    assert [g.auto for g in made] == [next(iter(g.found)) for g in made]


def test_a_network_against_this_machine() -> None:
    made = estimated.guesses(benchmarks(), GPU)[:2]
    here = [
        Record(
            suite="s", layer=g.benchmark.layer.name, op="conv2d", direction="forward", shape="n1",
            dtype="float32", backend="reference", algorithm="auto", status="timed", time_ms=2.0,
            count=g.benchmark.layer.count, layout="NCHW",
        )
        for g in made
    ]  # fmt: skip
    text = " ".join(" ".join(estimated.lines(GPU, made, here)).split())
    assert "measured here 4 ms" in text
    assert "with input and result copied" in text
    assert "judged by batch 1, the GPU is the faster one without the copies from batch 1 on" in text


def test_what_auto_takes_by_a_rule_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    known = estimate.cost_of
    monkeypatch.setattr(
        estimate, "cost_of", lambda k, a: None if "direct" in k.file else known(k, a)
    )
    op = OPERATIONS["conv2d"]
    layer = Layer("few", op.parse("n1c3h9w11k6r5s5"))
    few = Benchmark("s", op, layer, "forward", "float32", (Fake(right),))
    text = " ".join(estimated.lines(GPU, estimated.guesses([few], GPU), []))
    assert "implicit_gemm*" in text
    assert "*: auto takes another" in " ".join(text.split())
    made = estimated.guesses(benchmarks(batch=32), GPU)
    assert "auto takes another" not in " ".join(estimated.lines(GPU, made, []))


def test_nothing_is_said_beside_a_gpu_or_of_what_has_no_estimate() -> None:
    assert not estimated.guesses(benchmarks("float32", Fake(right, device="cuda")), GPU)
    assert not estimated.guesses(benchmarks("float32", Fake(right, device=None)), GPU)
    assert not estimated.guesses(benchmarks("float64"), GPU)
    other = Benchmark(
        "s", Double(), Layer("a", MapCase(2, 3, 5, 7)), "forward", "float32", (Fake(right),)
    )
    assert not estimated.guesses([other], GPU)
    assert not estimated.lines(GPU, [], [])


@pytest.mark.parametrize(
    ("words", "said"),
    [("--gpu h20", "allowed: h200, h100"), ("--gpu t4", "gpu='t4' has no estimates; allowed: h200"),
     ("--gpu a100 --prepare", "allowed: without --json, --plot and --gpu"),
     ("--gpu a100 --dtype float64", "--gpu estimates conv2d forward in")],
)  # fmt: skip
def test_one_error_before_anything_runs(
    words: str, said: str, no_compiler: None, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(main, "run", lambda *about: pytest.fail("something ran"))
    assert command(["bench", "--shape", LAYER, "--backend=reference", *words.split()]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not captured.out


def test_from_the_command_to_a_file_that_is_compared(
    tmp_path, no_compiler: None, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = (tmp_path / f"{name}.json" for name in ("old", "new"))
    words = ["bench", "--shape", "n1c64h56w56k64r3s3p1", "--backend", "reference", "--against",
             "none", "--quick"]  # fmt: skip
    assert command([*words, "--json", str(old)]) == 0
    assert "NVIDIA H200, float32: PREDICTED" in capsys.readouterr().out
    assert command([*words, "--gpu", "a100", "--json", str(new)]) == 0
    assert "NVIDIA A100" in capsys.readouterr().out
    data = json.loads(old.read_text())
    assert data["predicted"]["by"] == "estimates"
    (layer,) = data["predicted"]["layers"]
    layer["algorithms"][0]["time_us"] /= 2
    new.write_text(json.dumps(data))
    assert command(["compare", str(old), str(new)]) == 0
    assert "predicted on h200 by estimates, " in capsys.readouterr().out
