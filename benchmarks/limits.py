"""How far from the limit every kernel is predicted to be, on every GPU of the data file.

    python benchmarks/limits.py [--gpu NAME ...] [--dtype NAME ...] [--only WORD ...] [--again]
        [--seconds N] [--of-any-model] [--json benchmarks/results/predicted/limits.json --force]

The operations of `bandwidth.py` and some convolutions of ResNet-50 at batch 32, with channels first
and last, then the standard layers of all operations, are planned for a GPU with Hopper's
instructions and for one without; so are steps of optimisers over a dense layer of 4096 features,
and what looks for values that are not allowed. Of each kernel, with its macros, the launch met
first stands for it; entries that none of these launch are met in the small ragged problems of the
tests. It is compiled once for each architecture, run once by a few blocks where PTX is the same,
and predicted for each GPU. The limit is the longer of two times: that of its necessary bytes at the
speed of a copy with as many reads to a write, and that of its multiply-adds at the peak of their
pipe; the share is the limit over the predicted time.
The file is written after every kernel, and one in it whose machine code is as it was, by the same
model, and that has the GPUs asked for is not done again without ``--again``: a run can be stopped
and goes on. Where even the sources are as they were nothing is compiled to know that. Several runs
may take parts of the kernels, each with a file of its own; ``--join FILE ...`` puts them in.
"""

import argparse
import functools
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import pycnn
from benchmarks import bandwidth
from pycnn import nn
from pycnn.bench.calls import described
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.suites import SUITES
from pycnn.dtypes import numpy_dtype
from pycnn.emulator import KernelError
from pycnn.plan import check
from pycnn.plan._chunks import in_brief
from pycnn.predict import code, gpus, keep, plans, sample
from pycnn.predict.gpus import Gpu
from pycnn.predict.model import Prediction, predict
from pycnn.predict.profile import launched
from pycnn.runtime import cache, nvrtc, sources
from pycnn.runtime.errors import CompileError
from pycnn.runtime.faults import NOTHING
from pycnn.runtime.files import write_json
from pycnn.runtime.options import positive, with_json
from pycnn.runtime.plan import Launch
from pycnn.runtime.target import Target, planned_for
from pycnn.testing.problem import every

FILE = Path(__file__).parent / "results" / "predicted" / "limits.json"
DTYPES, BATCH, BLOCKS = ("float32", "bfloat16"), 32, 4

#: Layers of convolution that its algorithms are shown on: 3x3, 1x1, the first one, depthwise.
CONVOLUTIONS = (
    "n32c64h56w56k64r3s3p1", "n32c256h56w56k64r1s1", "n32c3h224w224k64r7s7p3u2",
    "n32c128h56w56k128r3s3p1g128",
)  # fmt: skip

#: What a kernel is meant to reach.
GOALS = {"float32": 0.7}
OTHERS = 0.85


def layers(name: str) -> list[Any]:
    """Cases of an operation."""
    op = OPERATIONS[name]
    if name == "conv2d":
        return [op.parse(word) for word in CONVOLUTIONS]
    own = [case for _, case in op.standard_layers()]
    return own or [layer.case for layer in SUITES["resnet50"].layers(name, BATCH)][:1]


def launches(gpu: Gpu, dtype: str) -> Iterator[tuple[str, Launch, dict[str, Any]]]:
    """What operations launch on a GPU: words, launch, arrays by name."""
    for large in bandwidth.cases(dtype):
        with plans.planned_on(gpu):
            planned = plans.planned(large.call)
        for plan, own in planned:
            for launch, bound in launched(plan, own):
                yield f"{large.name} {large.layout}".strip(), launch, bound
    for name in dict.fromkeys(("conv2d", *OPERATIONS)):
        op = OPERATIONS[name]
        for case in layers(name):
            for direction in op.directions_of(case):
                if dtype in op.dtypes_of(direction):
                    yield from _of(name, case, direction, dtype, gpu)
    yield from _channels_last(gpu, dtype)
    if dtype == "bfloat16" and gpu.arch == "sm_90a":
        yield from _of_8_bits(gpu)
    if dtype == "float32":
        yield from beside_operations()


def _of(
    name: str, case: Any, direction: str, dtype: str, gpu: Gpu
) -> Iterator[tuple[str, Launch, dict[str, Any]]]:
    op = OPERATIONS[name]
    arrays = {
        n: sample.aligned(shape, numpy_dtype(own or dtype))
        for n, (shape, own) in op.input_specs(case, direction).items()
    }
    with plans.planned_on(gpu):
        offered = [a.name for a in op.algorithms(case, direction, dtype) if a.fits]
        for algo in dict.fromkeys(("auto", *offered)):
            try:
                planned = plans.planned(lambda a=algo: op.run(case, direction, arrays, a))  # type: ignore[misc]
            except ValueError:  # an operation without a choice has no algorithm of that name
                continue
            for plan, own in planned:
                for launch, bound in launched(plan, own):
                    yield f"{name} {direction} {case}", launch, bound


def _channels_last(gpu: Gpu, dtype: str) -> Iterator[tuple[str, Launch, dict[str, Any]]]:
    """Of convolutions, by every algorithm."""
    op = OPERATIONS["conv2d"]
    for case in layers("conv2d"):
        for direction in op.directions_of(case):
            with planned_for(Target(gpu.arch, gpu.sms)), in_brief():
                definition, call = described(op, case, direction, dtype, "NHWC")
                arrays = {n: sample.aligned(v.shape, numpy_dtype(v.dtype))
                          for n, v in call.views.items()}  # fmt: skip
                for choice in definition.choices(call):
                    for algo in [c.name for c in choice.candidates() if c.fits]:
                        for launch, bound in launched(choice.plan(algo), arrays):
                            yield f"conv2d {direction} {case} NHWC", launch, bound


def _of_8_bits(gpu: Gpu) -> Iterator[tuple[str, Launch, dict[str, Any]]]:
    """By ``wgmma``: products, and convolutions of 3x3, channels last.

    Rows must be spaced as those of the ragged problems are not.
    """
    m, n, k = 4096, 4096, 512
    one = np.ones((), np.float32)
    a8, b8 = (sample.aligned((rows, k), numpy_dtype("float8_e4m3fn")) for rows in (m, n))
    a, b = (sample.aligned((rows, k), np.int8) for rows in (m, n))
    none, zero = {"a_zero_point": None, "b_zero_point": None}, np.zeros((), np.int8)
    scales = {"a_scale": one, "b_scale": one, "y_scale": one, "y_zero_point": zero}
    (x8, w8), (x, w) = (
        [sample.aligned((rows, side, side, 256), numpy_dtype(dtype))
         for rows, side in ((BATCH, 14), (256, 3))]
        for dtype in ("float8_e4m3fn", "int8")
    )  # fmt: skip
    w8, w = (weight.transpose(0, 3, 1, 2) for weight in (w8, w))
    of_x = {"x_scale": one, "x_zero_point": None, "weight_scale": one, "weight_zero_point": None}
    of_y = {"y_scale": one, "y_zero_point": zero}
    how: dict[str, Any] = {"padding": 1, "layout": "NHWC"}
    for name, call in (
        ("scaled_mm", partial(pycnn.scaled_mm, a8, b8.T, one, one)),
        ("matmul_integer", partial(pycnn.matmul_integer, a, b.T, **none)),
        ("qlinear_matmul", partial(pycnn.qlinear_matmul, a=a, b=b.T, **none, **scales)),
        ("scaled_conv2d", partial(pycnn.scaled_conv2d, x8, w8, one, one, **how)),
        ("conv2d_integer", partial(pycnn.conv2d_integer, x, w, **how)),
        ("qlinear_conv2d", partial(pycnn.qlinear_conv2d, x=x, weight=w, **of_x, **of_y, **how)),
    ):
        size = "256@14 to 256" if "conv" in name else f"{m}x{n}x{k}"
        with plans.planned_on(gpu):
            for plan, own in plans.planned(partial(call, algo="wgmma")):
                for launch, bound in launched(plan, own):
                    yield f"{name} {size}", launch, bound


#: One for each entry; clipped, gradients are looked at all together before the step.
OPTIMIZERS = {
    "SGD": nn.SGD,
    "SGD with momentum": partial(nn.SGD, momentum=0.9),
    "AdamW": nn.AdamW,
    "RMSprop": nn.RMSprop,
    "RMSprop with momentum": partial(nn.RMSprop, momentum=0.9),
}


def beside_operations() -> Iterator[tuple[str, Launch, dict[str, Any]]]:
    """Steps of optimisers, and looks at values: the same on every GPU."""
    # One large array: of a table of many the model counts those alone that the middle block moves.
    model = nn.Linear(4096, 4096)
    for arrays in (model.params, model.grads):
        arrays.update({n: sample.aligned(a.shape, a.dtype) for n, a in model.params.items()})
    for name, make in OPTIMIZERS.items():
        optimizer = make(model, 0.1)
        for clip in (None, 1.0):
            for plan, own in plans.planned(partial(optimizer.step, clip_norm=clip)):
                placed = {n: _aligned(a) for n, a in own.items() if a is not None}
                for launch, bound in launched(plan, placed):
                    yield f"step of {name}, 4096x4096", launch, bound
    shape = BATCH, 224, 224
    for dtype in check.ENTRIES:
        x, fault = sample.aligned(shape, np.dtype(dtype)), _aligned(np.array(NOTHING, np.uint64))
        plan = check.values((x.size,), (1,), dtype, 0, 999)
        for launch, bound in launched(plan, {"x": x, "fault": fault}):
            yield f"look at values {shape}", launch, bound


def ragged(gpu: Gpu, met: set[str]) -> Iterator[tuple[str, str, Launch, dict[str, Any]]]:
    """Of entries that none of `met` is: dtype, words, launch and arrays of the first problem."""
    entries = {name.partition("[")[0] for name in met}
    for problem in every():
        with np.errstate(all="ignore"):
            inputs = problem.inputs()
        # That a quantised convolution has no zero points must be said.
        absent = {o.name: None for o in problem.op.operands if o.optional and "zero" in o.name}
        arrays = absent | {name: problem.placed(a, _aligned) for name, a in inputs.items()}
        try:
            with plans.planned_on(gpu):
                planned = plans.planned(lambda p=problem, a=arrays: p.tested.invoke(  # type: ignore[misc]
                    getattr(pycnn, p.op.name), a, p.settings))  # fmt: skip
        except (ValueError, NotImplementedError):  # an algorithm that does not fit
            continue
        for plan, own in planned:
            for launch, bound in launched(plan, own):
                entry = str(launch.kernel).partition("[")[0]
                if entry not in entries:
                    entries.add(entry)
                    yield problem.dtype, str(problem), launch, bound


def _aligned(array: np.ndarray) -> np.ndarray:
    if array.ctypes.data % sample.ALIGNMENT == 0:
        return array
    found = sample.aligned(array.shape, array.dtype)
    found[...] = array
    return found


def limit_us(found: Prediction, gpu: Gpu) -> float:
    """The least time of a launch's necessary bytes and executed multiply-adds."""
    moved = found.bytes.necessary / gpu.memory_gbps(found.bytes.written) / 1e3
    scalar = 64 * found.mix.get("FFMA", 0.0) / gpu.peak_tflops("float32") / 1e6
    tensor = found.busy["tensor"]
    if any(name in found.mix for name in ("HMMA", "IMMA")):
        tensor *= gpu.mma_sync_share
    return max(moved, scalar, tensor)


#: What figures depend on beside the kernel: modules of `pycnn.predict`, and its data.
MODEL = ("counts", "gpus", "instrument", "model", "pipes", "queue", "registers", "sample", "sass",
         "traffic")  # fmt: skip

#: Of a row, what may differ where its figures are the same.
NO_MATTER = {"gpus", "sources"}


@functools.cache
def model() -> str:
    """Of the model: another one predicts otherwise."""
    folder = Path(gpus.__file__).parent
    code_ = keep.of_sources(folder / f"{name}.py" for name in MODEL)
    return cache.key("model", code_, (folder / "gpus.json").read_text())[:12]


def about(launch: Launch, arch: str, old: dict[str, Any]) -> dict[str, str]:
    """What a row was made from; compiled only where sources differ from those of the old one."""
    own = cache.key("limits", nvrtc.version(), closure_of(launch), arch)[:12]
    if own == old.get("sources"):
        return {"from": old["from"], "sources": own, "model": model()}
    compiled = code.of_kernel(launch.kernel, arch)
    return {"from": compiled.digest[:12], "sources": own, "model": model()}


def closure_of(launch: Launch) -> str:
    """Of the source of its kernel with all it includes."""
    path = sources.kernel_path(launch.kernel.file)
    return code.closure(path.read_text(), path.parent) or ""


def predicted(launch: Launch, bound: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Time in microseconds, share and bound, by GPU."""
    found: dict[str, Any] = {}
    runs: plans.Runs = {}
    for name in names:
        gpu = gpus.gpu(name)
        try:
            compiled = code.of_kernel(launch.kernel, gpu.arch)
            run = plans.sampled(compiled, launch, bound, BLOCKS, runs)
            made = predict(compiled, run, gpu, launch.shared)
        except (CompileError, KernelError, ValueError) as error:
            said = str(error).replace(f"{sources.kernel_dir()}/", "")
            found[name] = said.partition("\n")[0].partition(";")[0][:100]
            continue
        share = float(limit_us(made, gpu) / made.time_us)
        found[name] = [float(f"{made.time_us:.4g}"), round(share, 3), made.bound]
    return found


def _joined(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """The new row, with those GPUs of the old one that it lacks if it is of the same launch."""
    same = old and all(old.get(of) == new[of] for of in new if of not in NO_MATTER)
    kept = {**(old["gpus"] if old and same else {}), **new["gpus"]}
    return {**new, "gpus": {key: kept[key] for key in gpus.names() if key in kept}}


def _all(
    dtypes: Sequence[str], met: set[str]
) -> Iterator[tuple[str, str, str, Launch, dict[str, Any]]]:
    """Type, GPU that it is planned for, words, launch and arrays; `met`: kernels seen so far."""
    planned = ("h200", "a100")  # what only Hopper has, and what others launch instead
    for dtype in dtypes:
        for first in planned:
            for words, launch, bound in launches(gpus.gpu(first), dtype):
                yield dtype, first, words, launch, bound
    if set(dtypes) == set(DTYPES):
        for first in planned:
            for dtype, words, launch, bound in ragged(gpus.gpu(first), met):
                yield dtype, first, words, launch, bound


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", nargs="+", default=DTYPES, choices=DTYPES)
    parser.add_argument("--gpu", nargs="+", default=gpus.names(), choices=gpus.names())
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD")
    parser.add_argument("--join", nargs="+", type=Path, default=[], metavar="FILE")
    parser.add_argument("--again", action="store_true", help="also kernels that have not changed")
    parser.add_argument(
        "--of-any-model", action="store_true", help="keep kernels by other versions of the model"
    )
    parser.add_argument("--seconds", type=positive, default=10**9, help="begin no kernel later")
    options = with_json(parser)
    if options.join and not options.json:
        parser.error("--join needs --json: the file that they are put into")
    end = time.monotonic() + options.seconds
    file = options.json
    rows = json.loads(file.read_text())["rows"] if file and file.exists() else {}
    for part in options.join:
        for name, row in json.loads(part.read_text())["rows"].items():
            rows[name] = _joined(rows.get(name), row)
    if options.join:
        write_json(file, {"rows": dict(sorted(rows.items()))})
        return
    met: set[str] = set()
    for dtype, first, words, launch, bound in _all(options.dtype, met):
        name = str(launch.kernel)
        if name in met:
            continue
        met.add(name)
        if not any(word in name for word in options.only) or time.monotonic() > end:
            continue
        had = rows.get(name, {})
        row = {
            **about(launch, gpus.gpu(first).arch, had), "dtype": dtype, "layer": words,
            "grid": list(launch.grid), "block": list(launch.block), "gpus": {},
        }  # fmt: skip
        if options.of_any_model and had:
            had = {"model": "", **had}
            row["model"] = had["model"]
        old = {} if options.again else _joined(had, row)["gpus"]
        missing = [key for key in options.gpu if key not in old]
        if missing:
            row["gpus"] = predicted(launch, bound, missing)
            rows[name] = _joined({**row, "gpus": old}, row)
            print(name, next(iter(row["gpus"].items())), flush=True)
        elif rows[name] != (row := {**row, "gpus": old}):  # other sources, same code
            rows[name] = row
        else:
            continue
        if file:
            write_json(file, {"rows": dict(sorted(rows.items()))})
    whole = set(options.dtype) == set(DTYPES) and options.only == [""]
    if file and whole and time.monotonic() < end:  # what nothing launches any more
        write_json(file, {"rows": {name: row for name, row in rows.items() if name in met}})


if __name__ == "__main__":
    main()
