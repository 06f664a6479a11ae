"""What `pycnn.explain` says is what planning does, and nothing else."""

import json
from collections import Counter

import numpy as np
import pytest

import pycnn
from pycnn.bench.calls import described
from pycnn.bench.operations import OPERATIONS
from pycnn.cli import main
from pycnn.define.views import View
from pycnn.emulator import KernelTimeoutError
from pycnn.plan import conv
from pycnn.plan._chunks import in_brief
from pycnn.plan.conv_problem import Problem
from pycnn.plan.estimate import estimate
from pycnn.plan.gemm import VERSIONS
from pycnn.predict import plans as predict_plans
from pycnn.runtime.backends import stand_in_executor
from pycnn.runtime.plan import Launch
from pycnn.runtime.target import Target, planned_for

LAYER = {"padding": 1, "layout": "NHWC", "dtype": "bfloat16"}
SHAPES = (1, 56, 56, 64), (64, 64, 3, 3)


def ways(explanation, result=0):
    return {way.algo: way for way in explanation.results[result].ways}


@pytest.mark.parametrize("arch", ["", "sm_80", "sm_90a"])
def test_what_is_said_to_be_taken_is_what_is_planned(arch):
    with planned_for(Target(arch)):
        for shapes, settings in (
            (SHAPES, {"padding": 1, "layout": "NHWC"}),
            (((2, 8, 9, 9), (8, 1, 3, 3)), {"groups": 8}),
            (((2, 3, 9, 9), (4, 3, 1, 1)), {"stride": 2}),
        ):
            for dtype in ("float32", "bfloat16"):
                arrays = dict(zip(("x", "weight"), shapes, strict=True))
                found = pycnn.explain("conv2d", *shapes, dtype=dtype, **settings)
                definition = pycnn.conv2d.definition
                placed = {
                    n: np.empty(s, pycnn.dtypes.numpy_dtype(dtype)) for n, s in arrays.items()
                }
                call = definition.describe(placed, **settings)
                taken = found.results[0].taken
                assert taken.algo == definition.plan(call).algo
                kernels = [str(x.kernel) for x in definition.plan(call).launches]
                assert list(taken.kernels) == kernels


def test_every_algorithm_is_there_and_the_refused_say_why():
    found = ways(pycnn.explain("conv2d", *SHAPES, gpu=None, **LAYER))
    assert {*conv.names("forward")} == {*found}
    assert found["depthwise"].reason == "64 channels and 64 filters a group; allowed: 1 and 1"
    assert not found["depthwise"].fits
    assert not found["depthwise"].kernels
    assert found["implicit_gemm_tf32"].by_name
    assert {*VERSIONS} == {*ways(pycnn.explain("gemm", (64, 64), (64, 64)))}


def test_any_number_of_images_is_explained_by_as_many_launches():
    """Of chunks of images the first, one of those between, with how often, and the last."""
    few, many = (
        ways(pycnn.explain("conv2d", (n, 7, 48, 48), (9, 7, 3, 3), padding=1))
        for n in (3000, 2**24 + 5)
    )
    for name in ("im2col", "fft", "winograd_f2", "winograd_f4"):
        assert len(few[name].kernels) == len(many[name].kernels) < 24
        assert any(kernel.endswith(" times") for kernel in many[name].kernels)


@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        ("conv2d", [(0, 3, 9, 8), (5, 3, 3, 3)]),
        ("conv2d_backward", [(0, 5, 7, 6), (0, 3, 9, 8), (5, 3, 3, 3)]),
        ("conv1d", [(0, 3, 9), (5, 3, 3)]),
        ("conv_transpose2d", [(0, 3, 9, 8), (3, 5, 3, 3)]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_images_are_explained(op, shapes):
    for result in pycnn.explain(op, *shapes, gpu=None).results:
        if "on the CPU" not in result.name:
            assert [(way.algo, way.taken) for way in result.ways] == [("direct", True)]


def test_a_plan_in_brief_launches_what_the_plan_does():
    shapes = (700, 7, 24, 26), (9, 7, 3, 3), (700, 9, 24, 26)
    problem = Problem(*(View.contiguous(s, "float32") for s in shapes), pad_begin=(1, 1))
    seen, estimated = set(), 0
    for direction in ("forward", "backward_input", "backward_weight"):
        for name in conv.names(direction):
            for limit in (2**28, 2**24):
                try:
                    full = conv.plan(problem, direction, name, limit)
                except ValueError:
                    continue
                with in_brief():
                    brief = conv.plan(problem, direction, name, limit)
                assert brief.allocated == full.allocated
                assert _counted(brief) == _counted(full), (direction, name)
                assert {s.times for s in full.launches if isinstance(s, Launch)} == {1}
                with planned_for(Target("sm_90a", 132)):
                    short, whole = (estimate(plan, {"x": 2**24}) for plan in (brief, full))
                assert (short is None) == (whole is None)
                if short and whole:
                    assert short.time_us == pytest.approx(whole.time_us)
                    assert short.bound == whole.bound
                    estimated += 1
                if len(brief.launches) < len(full.launches):
                    seen.add((direction, name))
    assert {name for _, name in seen} >= {"im2col", "fft", "winograd_f2", "winograd_f4"}
    assert estimated > 5


def test_no_call_runs_what_was_planned_in_brief():
    x, weight = np.zeros((6000, 3, 24, 24), np.float32), np.zeros((5, 3, 3, 3), np.float32)

    def call():
        return pycnn.conv2d(x, weight, algo="im2col")

    ((brief, _),) = predict_plans.planned(call)
    seen = predict_plans._Seen()
    with pycnn.use_backend("emulator"), stand_in_executor("emulator", seen):
        call()
    ((full, _),) = seen.plans
    assert {step.times for step in full.launches} == {1}
    assert _counted(brief) == _counted(full)
    assert len(brief.launches) < len(full.launches)


def _counted(plan):
    """Launches by kernel and grid."""
    counts = Counter()
    for step in plan.launches:
        if isinstance(step, Launch):
            counts[step.kernel, step.grid] += step.times
    return counts


def test_an_architecture_decides():
    for arch, fits in (("sm_80", False), ("sm_90a", True)):
        with planned_for(Target(arch)):
            definition, call = described(
                OPERATIONS["conv2d"],
                OPERATIONS["conv2d"].parse("n1c64h56w56k64r3s3p1"),
                "forward",
                "bfloat16",
                "NHWC",
            )
            candidates = {c.name: c for c in definition.choices(call)[0].candidates()}
            assert candidates["implicit_gemm_wgmma"].fits == fits
            if not fits:
                assert candidates["implicit_gemm_wgmma"].reason == (
                    "architecture sm_80; allowed: sm_90a"
                )


def test_gradients_are_chosen_one_by_one():
    found = pycnn.explain("conv2d_backward", (1, 4, 6, 6), (1, 2, 6, 6), (4, 2, 3, 3), padding=1)
    assert [result.name for result in found.results] == ["dx", "dweight", "dbias"]
    assert {*ways(found, 1)} == {*conv.names("backward_weight")}
    transposed = pycnn.explain("conv_transpose2d", (1, 4, 6, 6), (4, 2, 3, 3))
    assert {*ways(transposed)} == {*conv.names("backward_input")}


def test_operations_without_a_choice_say_what_they_launch():
    (only,) = pycnn.explain("relu", (4, 5)).results[0].ways
    assert only.taken
    assert only.kernels == ("activation/relu.cu:relu[SCALAR=float]",)
    listed = pycnn.explain("concat", [(2, 3), (4, 3)])
    assert listed.results[0].taken


def test_arrays_are_explained_as_they_lie():
    x = np.zeros((1, 8, 8, 16), np.float32).transpose(0, 3, 1, 2)
    refused = ways(pycnn.explain(pycnn.conv2d, np.ascontiguousarray(x), (8, 16, 3, 3)))
    assert not refused["implicit_gemm_tf32"].fits
    assert ways(pycnn.explain(pycnn.conv2d, x, (8, 16, 3, 3)))["implicit_gemm_tf32"].fits


def test_the_cpu_path_is_explained_where_it_computes():
    shapes = (1, 16, 9, 9), (8, 16, 1, 1)
    on_cpu = pycnn.explain("conv2d", *shapes).results[-1]
    assert (on_cpu.name, on_cpu.taken.algo) == ("y on the CPU path", "gemm")
    with pycnn.use_backend("emulator"):
        assert len(pycnn.explain("conv2d", *shapes).results) == 1


def test_text_and_json_say_the_same():
    found = pycnn.explain("conv2d", *SHAPES, **LAYER)
    data = json.loads(json.dumps(found.as_json()))
    assert [w["algo"] for w in data["results"][0]["ways"]] == [*ways(found)]
    text = str(found)
    assert f"y: auto takes {found.results[0].taken.algo}" in text
    assert all(way.algo in text and way.reason in text for way in found.results[0].ways)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: pycnn.explain("conv2"), "conv2d"),
        (lambda: pycnn.explain("conv2d", (1, 2, 3, 3)), "without weight"),
        (lambda: pycnn.explain("conv2d", (1, 2, 3, 3), "w"), "allowed: an array, or a shape"),
        (lambda: pycnn.explain("conv2d", *SHAPES, strid=1), "strid"),
        (lambda: pycnn.explain("conv2d", *SHAPES, layout="NHWC", gpu="h20"), "h200"),
        (lambda: pycnn.explain("relu", (1,), (2,)), "2 operands of relu"),
        (lambda: pycnn.explain("relu", (1,), x=(2,)), "given twice"),
    ],
)
def test_bad_questions_are_one_clear_error(call, said):
    with pytest.raises((TypeError, ValueError), match=said):
        call()


def test_the_command_line(capsys, tmp_path):
    path = tmp_path / "found.json"
    words = ["explain", "conv2d", "--shape", "n1c8h8w8k8r3s3p1", "--layout", "NHWC"]
    assert main([*words, "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    data = json.loads(path.read_text())
    taken = [w["algo"] for w in data["results"][0]["ways"] if w["taken"]]
    assert f"y: auto takes {taken[0]}" in printed
    assert main([*words, "--direction", "sideways"]) == 2
    assert "allowed for conv2d: forward, backward" in capsys.readouterr().err
    assert main(["explain", "conv2", "--shape", "n1"]) == 2
    assert main([*words, "--json", str(path)]) == 2  # it is there


def test_a_sampled_run_that_takes_too_long_is_no_prediction(monkeypatch):
    def late(*given):
        where = {"kernel": "relu", "file": "relu.cu", "line": 1, "block": None, "thread": None}
        raise KernelTimeoutError("relu.cu:1: not done after 60 s; threads wait", **where)

    monkeypatch.setattr(predict_plans, "of_plans", late)
    found = pycnn.explain("relu", (4, 5), gpu="l4").results[0].taken
    assert (found.predicted_us, found.bound) == (None, "")
    assert found.reason.endswith("not done after 60 s")
    assert "not predicted: " in found.reason


def test_times_are_predicted_for_a_gpu_that_is_named():
    pytest.importorskip("llvmlite", reason="predictions run PTX: extra emulator")
    found = pycnn.explain("relu", (1, 64, 8, 8), gpu="l4")
    taken = found.results[0].taken
    assert found.predicted_on
    assert taken.predicted_us > 0
    assert taken.bound
    assert "PREDICTED" in str(found)
