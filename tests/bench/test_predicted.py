"""`pycnn bench --gpu`: the table of predicted times, mostly on predictions that are made up."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bench_fakes import Double, Fake, right

import pycnn
from pycnn.bench import predicted
from pycnn.bench.cases import MapCase
from pycnn.bench.record import Record
from pycnn.bench.run import Benchmark
from pycnn.bench.suites import Layer
from pycnn.cli import main
from pycnn.emulator import KernelTimeoutError
from pycnn.predict import gpus, keep, plans, sample
from pycnn.predict.model import Prediction
from pycnn.predict.plans import OfPlan
from pycnn.predict.traffic import Footprint
from pycnn.runtime.occupancy import Occupancy
from pycnn.runtime.plan import Buffer, Kernel, Launch, Plan

GPU = gpus.gpu("h200")


def prediction(us: float, bound: str = "memory") -> Prediction:
    return Prediction(
        "k", "h200", us, 1.5, bound, {bound: us, "issue": us / 2, "L1": us / 4},
        Occupancy(2, 16, 0.25, "registers"), 64, 0, (8, 1, 1), (256, 1, 1), 8, 0.1, {"FFMA": 1.0},
        [], Footprint(1.0, 1.0, 1.0, 1.0),
    )  # fmt: skip


def guess(name: str, times: dict[str, float], auto: str, count: int = 1) -> predicted.Guess:
    layer = Layer(name, MapCase(2, 3, 5, 7), count)
    benchmark = Benchmark("shape", Double(), layer, "forward", "float32", (Fake(right),))
    found = {algo: OfPlan(algo, [prediction(us)], []) for algo, us in times.items()}
    return predicted.Guess(benchmark, found, {"fft": "rfft2 by the library"}, auto, 5.0)


def measured(name: str, ms: float) -> Record:
    return Record(
        suite="shape", layer=name, op="double", direction="forward", shape="n2", dtype="float32",
        backend="reference", algorithm="auto", status="timed", time_ms=ms, count=1, layout="NCHW",
    )  # fmt: skip


def test_the_table_says_what_is_predicted_and_fits_a_terminal() -> None:
    made = [
        guess("a layer with a name that is far too long for its column", {"direct": 8.5}, "direct"),
        guess("two", {"winograd_f2": 18.5, "implicit_gemm_mma": 38.5}, "implicit_gemm_mma", 3),
    ]
    lines = predicted.lines(
        "conv2d", GPU, made, [measured(g.benchmark.layer.name, 12.0) for g in made]
    )
    assert all(len(line) <= 80 for line in lines)
    text = "\n".join(lines)
    assert "NVIDIA H200 PREDICTED" in text
    rows = {line.split()[0]: line.split() for line in lines}
    # 18.5 us and the launch; 5 us would be the limit; the next takes twice as long.
    assert rows["two"][1:] == [
        "x3", "winograd_f2*", "20", "us", "25%", "memory", "2.00x", "12", "ms",
    ]  # fmt: skip
    joined = " ".join(text.split())
    # 10 + 3 x 20 us against 10 + 3 x 40 us by auto, and 4 x 12 ms here; 2 copies of 840 bytes.
    assert "at batch 2, predicted on NVIDIA H200: 70 us; by auto's choices 130 us, 86%" in joined
    assert "with input and result copied 90 us; measured here 48 ms: 686 times" in joined
    assert "533 times with the copies" in joined
    assert "not predicted: fft (rfft2 by the library)" in joined
    assert "what would pay most in two: memory: fewer bytes" in joined


def test_every_algorithm_of_a_layer_is_shown_if_asked_for() -> None:
    made = [
        guess("a", {"one": 8.5, "two": 18.5, "three": 38.5}, "two"),
        guess("b", {"one": 8.5}, ""),
    ]
    text = predicted.lines("conv2d", GPU, made, [measured("a", 12.0)], every=True)
    rows = [line.split() for line in text]
    start = next(i for i, row in enumerate(rows) if row[:1] == ["a"])
    assert rows[start : start + 4] == [
        ["a", "one*", "10", "us", "50%", "memory", "2.00x", "12", "ms"],
        ["two", "20", "us", "25%", "memory", "2.00x"],
        ["three", "40", "us", "12%", "memory", "4.00x"],
        ["b", "one*", "10", "us", "50%", "memory"],
    ]
    assert len(text) == len(predicted.lines("conv2d", GPU, made, [measured("a", 12.0)])) + 2
    assert all(len(line) <= 80 for line in text)


def test_the_batch_at_which_it_turns() -> None:
    def at(batch: int, us: float) -> list[predicted.Guess]:
        layers = [Layer(f"{n} x{batch}", MapCase(batch, 3, 5, 7)) for n in "ab"]
        of = [Benchmark("shape", Double(), layer, "forward", "float32", ()) for layer in layers]
        return [
            predicted.Guess(b, {"x": OfPlan("x", [prediction(us)], [])}, {}, "x", 5.0) for b in of
        ]

    made = [*at(1, 8.5), *at(4, 18.5), *at(16, 28.5)]  # 20, 40 and 60 us, 20 more with the copies
    here = [
        measured(g.benchmark.layer.name, ms)
        for g, ms in zip(made, [0.005, 0.005, 0.025, 0.025, 0.1, 0.1], strict=True)
    ]  # 10, 50 and 200 us
    text = " ".join(" ".join(predicted.lines("double", GPU, made, here)).split())
    assert (
        "of the batches 1, 4, 16 the GPU is the faster one without the copies from batch 4 on, "
        "with the copies from batch 16 on" in text
    )
    never = [replace(r, time_ms=0.001) for r in here]
    assert "without the copies at none, with the copies at none" in " ".join(
        " ".join(predicted.lines("double", GPU, made, never)).split()
    )
    written = predicted.as_json(GPU, made, here)
    assert [w["batch"] for w in written["whole"]] == [1, 4, 16]
    assert written["layers"][0]["algorithms"][0]["launches"][0]["bound"] == "memory"
    assert json.loads(json.dumps(written))["gpu"] == "h200"


def test_without_predictions_there_is_no_sum() -> None:
    lines = predicted.lines("conv2d", GPU, [guess("a", {}, "x"), guess("b", {"y": 1}, "y")], [])
    assert any(line.split()[:2] == ["a", "none"] for line in lines)
    assert not any("all layers" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [("--gpu h20", "allowed: h200, h100"), ("--gpu t4 --prepare", "without --prepare"),
     ("--gpu t4 --dtype float32,float16", "allowed: --direction forward --dtype float16 or"),
     ("--gpu t4 --backend emulator", "allowed: --backend reference, or without it"),
     ("--gpu=", "gpu=''; allowed: h200"),
     ("--gpu t4 --algo nothing", "allowed: direct, depthwise")],
)  # fmt: skip
def test_one_error_before_anything_runs(
    words: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicted, "guesses", lambda *about: pytest.fail("something ran"))
    assert main(["bench", "--shape", "n1c4h5w5k4r3s3", *words.split()]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not captured.out


def test_a_layer_is_predicted_by_its_kernels_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    pytest.importorskip("llvmlite")
    pytest.importorskip("cuda.bindings")
    from pycnn.bench.operations import OPERATIONS

    op = OPERATIONS["conv2d"]
    layer = Layer("layer", op.parse("n1c4h9w9k4r3s3p1"))
    benchmark = Benchmark("shape", op, layer, "forward", "float32", ())
    made = predicted.guess(benchmark, ["direct", "fft"], GPU)
    assert list(made.found) == ["direct"]
    assert "by the library" in made.refused["fft"]
    assert made.auto not in ("", "auto")
    assert made.limit_us == pytest.approx(
        (4 * 81 * 2 + 4 * 4 * 9) * 4 / GPU.dram_achieved_gbps / 1e3
    )
    direct = made.found["direct"]
    assert direct.time_us > direct.launches[0].launch_us
    # Once more: nothing is run, and what was kept is what was predicted.
    monkeypatch.setattr(plans, "predict", lambda *about: pytest.fail("it was not kept"))
    assert predicted.guess(benchmark, ["direct"], GPU).found["direct"] == direct


def test_a_kernel_that_hangs_has_no_prediction_and_others_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pycnn.bench.operations import OPERATIONS

    def of_call(call: object, gpu: gpus.Gpu) -> OfPlan:
        if not asked:
            asked.append(gpu)
            raise KernelTimeoutError(
                "not done", kernel="k", file="k.cu", line=3, block=(0, 0, 0), thread=(0, 0, 0)
            )
        return OfPlan("im2col", [prediction(5.0)], [])

    asked: list[gpus.Gpu] = []
    monkeypatch.setattr(plans, "of_call", of_call)
    op = OPERATIONS["conv2d"]
    layer = Layer("layer", op.parse("n1c4h9w9k4r3s3p1"))
    made = predicted.guess(
        Benchmark("shape", op, layer, "forward", "float32", ()), ["direct", "im2col"], GPU
    )
    assert made.refused == {"direct": "k.cu:3: not done"}
    assert list(made.found) == ["im2col"]


def test_what_a_prediction_is_kept_by(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("PYCNN_CACHE_DIR", str(tmp_path))
    kernel = Kernel("activation/relu.cu", "relu", (("SCALAR", "float"),))
    launch = Launch(kernel, (1, 1, 1), (32, 1, 1), (Buffer("x"), np.int64(3)))
    asked: list[float] = []

    def keeping(
        launch: Launch, shapes: list[str], gpu: gpus.Gpu = GPU, most: int = 4, digest: str = "a"
    ) -> float:
        def make() -> Prediction:
            asked.append(0.0)
            return prediction(float(len(asked)))

        return keep.kept(launch, digest, shapes, gpu, most, make).time_us

    first = keeping(launch, ["x float32 (3,)"])
    assert keeping(launch, ["x float32 (3,)"]) == first
    others = [
        keeping(replace(launch, grid=(2, 1, 1)), ["x float32 (3,)"]),
        keeping(replace(launch, args=(Buffer("x"), np.int64(4))), ["x float32 (3,)"]),
        keeping(launch, ["x float32 (4,)"]),
        keeping(launch, ["x float32 (3,)"], gpus.gpu("a100")),
        keeping(launch, ["x float32 (3,)"], most=8),
        keeping(launch, ["x float32 (3,)"], digest="b"),
    ]
    assert len({first, *others}) == 7
    renamed = replace(launch, kernel=replace(kernel, file="elsewhere.cu"))  # the same machine code
    assert keeping(renamed, ["x float32 (3,)"]) == first


def test_a_prediction_is_kept_by_where_arrays_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sectors of a request depend on it."""
    asked: list[list[str]] = []
    monkeypatch.setattr(plans.keep, "kept", lambda one, own, shapes, *rest: asked.append(shapes))
    monkeypatch.setattr(plans.code, "of_kernel", lambda *about: SimpleNamespace(digest="a"))
    kernel = Kernel("activation/relu.cu", "relu", (("SCALAR", "float"),))
    launch = Launch(kernel, (1, 1, 1), (32, 1, 1), (Buffer("x"), np.int64(3)))
    room = sample.aligned((1024,), np.float32)
    for begin in (0, 64, 1):  # 64 numbers are as far apart as allocations
        plans.of_launch(launch, {"x": room[begin : begin + 3]}, GPU)
    assert asked[0] == asked[1] != asked[2]


def test_comments_leave_predictions_and_constants_do_not(tmp_path: Path) -> None:
    module = tmp_path / "model.py"

    def digest(text: str) -> str:
        module.write_text(text)
        return keep.of_sources([module])

    first = digest('"""Says."""\nROOM = 4\n\n\ndef f(x):\n    return x * ROOM\n')
    assert digest(
        '"""Says more."""\n#: Of it.\nROOM = 4\n"""Too."""\n\ndef f(x):\n    "This."\n'
        "    return (x * ROOM)  # that\n"
    ) == first  # fmt: skip
    assert digest("ROOM = 5\n\n\ndef f(x):\n    return x * ROOM\n") != first
    assert digest("ROOM = 4\n\n\ndef f(x):\n    return ROOM + x\n") != first
    assert digest("ROOM = 4\n\n\ndef f(x):\n    return ROOM, 'x'\n") != first


def test_plans_are_seen_and_nothing_is_computed() -> None:
    x = np.full((2, 3), -1, np.float32)
    seen = plans.planned(lambda: pycnn.relu(x))
    assert [plan.op for plan, _ in seen] == ["relu"]
    assert seen[0][1]["x"] is x


def test_launches_that_begin_at_another_image_are_predicted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def made(launch: Launch, *about: object) -> Prediction:
        asked.append(launch)
        return prediction(float(len(asked)))

    monkeypatch.setattr(plans, "of_launch", made)
    kernel = Kernel("activation/relu.cu", "relu", (("SCALAR", "float"),))
    launches = tuple(
        Launch(kernel, (grid, 1, 1), (32, 1, 1), (Buffer("x", offset), np.int64(count)))
        for grid, offset, count in ((1, 0, 3), (1, 512, 3), (1, 4, 3), (2, 0, 3), (1, 0, 4))
    )
    plan = Plan("relu", "auto", launches, {})
    found = plans.of_plans([plan], {"x": np.zeros(4, np.float32)}, GPU)
    assert [p.time_us for p in found.launches] == [1.0, 1.0, 2.0, 3.0, 4.0]
    assert asked == [launches[0], *launches[2:]]


def test_plans_are_for_the_gpu_that_is_asked_about() -> None:
    x, w = np.zeros((8, 56, 56, 64), np.float16), np.zeros((256, 64, 1, 1), np.float16)
    blocks = {}
    for name in ("h200", "h100_pcie"):
        with plans.planned_on(gpus.gpu(name)):
            call = partial(pycnn.conv2d, x, w, layout="NHWC", algo="implicit_gemm_wgmma")
            ((plan, _),) = plans.planned(call)
        blocks[name] = max(launch.grid[0] for launch in plan.launches)
    assert blocks == {"h200": 132, "h100_pcie": 114}


def test_from_the_command_to_a_comparison(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("llvmlite")
    pytest.importorskip("cuda.bindings")
    old, new = (tmp_path / f"{name}.json" for name in ("old", "new"))
    layer_of = ["--shape", "n1c4h9w9k4r3s3p1", "--algo", "direct"]
    assert main(["bench", *layer_of, "--quick", "--gpu", "h200", "--json", str(old)]) == 0
    said = capsys.readouterr().out
    assert all(len(line) <= 80 for line in said.splitlines() if str(tmp_path) not in line)
    assert "NVIDIA H200 PREDICTED" in said
    data = json.loads(old.read_text())
    assert data["complete"]
    (layer,) = data["predicted"]["layers"]
    assert layer["algorithms"][0]["algorithm"] == "direct"
    layer["algorithms"][0]["time_us"] /= 2
    new.write_text(json.dumps(data))
    assert main(["compare", str(old), str(new)]) == 0
    said = capsys.readouterr().out
    assert "predicted on h200, " in said
    assert "1 changed by over 1%" in said
    layer["algorithms"][0]["time_us"] = "soon"
    new.write_text(json.dumps(data))
    assert main(["compare", str(old), str(new)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "`predicted` is not what `--gpu` writes" in captured.err
