"""Write the generated tables of the documentation: ``make docs``, or ``--check`` to compare.

A table stands between ``<!-- generated:NAME -->`` and ``<!-- end:NAME -->`` in any Markdown file
of the repository, and is never typed. `TABLES` says what makes it.
"""

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from pycnn import config, conv2d_algorithms, nn
from pycnn.bench.suites import SUITES
from pycnn.define import table
from pycnn.define.trace import tracing
from pycnn.models import MODELS, create, multiply_adds
from pycnn.predict import scaling as scale
from pycnn.predict.model import ADVICE
from pycnn.runtime import catalogue

ROOT = Path(__file__).resolve().parent.parent

RESULTS = ROOT / "benchmarks" / "results" / "cpu"


def results() -> str:
    """The headline figures, from the files under `RESULTS`; one row a figure."""
    speed, calls, path = (
        json.loads((RESULTS / f"{name}.json").read_text())
        for name in ("emulator_speed", "call_overhead", "cpu_path")
    )
    found = speed["results"]
    rows = [
        ("Emulator, `direct` 3x3 convolution, 64 to 64 channels, 56x56",
         f"{found['conv2d direct']['gflops']:.1f} GFLOP/s", "emulator_speed"),
        ("Emulator, best GEMM rung, 1536x1536x1536",
         f"{found['best gemm']['gflops']:.1f} GFLOP/s", "emulator_speed"),
        ("Emulator, launch of one block",
         f"{found['launch of 1 block']['time_us']:.0f} us", "emulator_speed"),
    ]  # fmt: skip
    rows += [
        (f"`{r['call']}` before the launch, repeated", f"{r['time_us']:.1f} us", "call_overhead")
        for r in calls["results"]
        if r["call"] in ("conv2d", "conv2d_backward")
    ]
    how = f"{' or '.join(path['layouts'])}; {path['clock']}"
    rows += [
        (f"CPU path over PyTorch's CPU convolution ({how}), ResNet-50, batch {batch}",
         f"{mean:.2f} of its speed", "cpu_path")
        for batch, mean in path["geometric_mean"].items()
    ]  # fmt: skip
    training = json.loads((RESULTS / "train_speed.json").read_text())
    rows += [
        (f"Training `{r['network']}` over PyTorch's CPU speed, batch {r['batch']}, one thread each",
         f"{r['ratio']:.2f} of its speed ({1e3 * r['batch'] / r['pycnn_ms']:.0f} images/s), "
         f"{r['pycnn_peak_mib'] / r['torch_peak_mib']:.2f} of its memory", "train_speed")
        for r in training["results"]
    ]  # fmt: skip
    folder = RESULTS.relative_to(ROOT)
    head = [
        f"Two cores, float32, no GPU; files are in `{folder}/`.",
        "",
        "| What | Measured | File | On |",
        "|---|---|---|---|",
    ]
    on = {name: _machine(name) for _, _, name in rows}
    return "\n".join(head + [f"| {a} | {b} | `{c}.json` | {on[c]} |" for a, b, c in rows])


def foretold() -> str:
    """What is predicted of an H200, in a line each, from the files in ``predicted/``."""
    folder = RESULTS.parent / "predicted"
    file = "before_after.json"
    layers = json.loads((folder / file).read_text())["rows"]
    moved = json.loads((folder / "bandwidth.json").read_text())["rows"]
    lines = [
        "| Predicted for an H200, nothing measured | Share of the limit | Before | File |",
        "|---|---:|---:|---|",
    ]
    for mode in ("bfloat16", "float32"):
        rows = [r for r in layers if r["mode"] == mode and r["batch"] in (32, 256)]

        def share(side: str, what: str, of: list[dict] = rows) -> str:
            return f"{_geometric([r['limit_us'] / r[side][what] for r in of]):.2f}"

        words = f"Convolutions of ResNet-50 and VGG-16, {mode}, batch 32 and 256: "
        before = share("before", "predicted_us")
        lines += [
            f"| {words}a call | {share('after', 'predicted_us')} | {before} | `{file}` |",
            f"| {words}its busiest unit | {share('after', 'bound_us')} | | `{file}` |",
        ]
    rows = [r for r in moved if r["dtype"] == "bfloat16" and "h200" in r["shares"]]
    lines += [
        f"| {len(rows)} operations that memory bounds, bfloat16 | "
        f"{_geometric([r['shares']['h200'] for r in rows]):.2f} | "
        f"{_geometric([r['before']['h200'] for r in rows]):.2f} | `bandwidth.json` |"
    ]
    return "\n".join(lines)


def _geometric(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def _machine(name: str) -> str:
    """What a file was measured on, and when."""
    about = json.loads((RESULTS / f"{name}.json").read_text())["environment"]
    return f"{about['cpu']['model'].removesuffix(' Processor')}, {about['date'][:10]}"


def models() -> str:
    """What each network takes and costs, counted on placeholders; auxiliary heads left out."""
    lines = [
        "| Name | Input | Parameters | Multiply-adds | Paper |",
        "|---|---|---:|---:|---|",
    ]
    for name, entry in MODELS.items():
        with tracing():
            model = create(name)
        parameters = model.parameter_count - sum(tap.parameter_count for tap in nn.taps(model))
        shape = "x".join(map(str, entry.input_shape))
        millions = multiply_adds(model, entry.input_shape) / 1e6
        lines.append(f"| `{name}` | {shape} | {parameters:,} | {millions:,.1f} M | {entry.paper} |")
    return "\n".join(lines)


def accuracy() -> str:
    """Published accuracy; the chart beside the table is of the same figures."""
    _root_first()
    found: str = import_module("docs.pictures.accuracy").table()
    return found


def _root_first() -> None:
    """Scripts are modules of folders beside this one."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))


def regret() -> str:
    """What `auto` loses against the best predicted choices (benchmarks/regret.py)."""
    path = RESULTS.parent / "predicted" / "regret.json"
    found = json.loads(path.read_text())["regrets"]
    batches = sorted({r["batch"] for r in found})
    lines = [
        f"`{path.relative_to(ROOT)}`.",
        "",
        f"| GPU | dtype | Network | {' | '.join(f'Batch {b}' for b in batches)} |",
        "|---|---|---|" + "---:|" * len(batches),
    ]
    by_batch: dict[tuple[str, ...], dict[int, str]] = {}
    for r in found:
        row = by_batch.setdefault((r["gpu"], r["dtype"], r["network"]), {})
        row[r["batch"]] = f"{r['auto_us'] / 1e3:.3g} ms, {r['regret']:.1%}"
    lines += [
        f"| {' | '.join(names)} | {' | '.join(row.get(b, '') for b in batches)} |"
        for names, row in by_batch.items()
    ]
    return "\n".join(lines)


def scaling() -> str:
    """What scaling.md predicts, of forward passes that `regret` has."""
    found = json.loads((RESULTS.parent / "predicted" / "regret.json").read_text())["regrets"]
    forward = {
        r["network"]: r["auto_us"] * 1e-6 for r in found
        if (r["gpu"], r["dtype"], r["batch"]) == ("h200", "bfloat16", 32)
    }  # fmt: skip
    counts = (8, 64, 1024)
    lines = [
        "| Network | Gradients | Step of one GPU | Sum over 8, 64, 1024 GPUs | Efficiency, after | "
        "meanwhile |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name in ("resnet50", "vgg16", "googlenet"):
        with tracing():
            parameters = create(name).parameter_count
        steps = [scale.step(forward[name], parameters, n) for n in counts]
        alone = scale.step(forward[name], parameters, 1)
        cells = [
            ", ".join(f"{step.reduce * 1e3:.2f}" for step in steps) + " ms",
            *(", ".join(f"{alone.compute / getattr(step, way):.0%}" for step in steps)
              for way in ("after", "meanwhile")),
        ]  # fmt: skip
        size = f"{4 * parameters / 1e6:.0f} MB"
        lines.append(f"| {name} | {size} | {alone.compute * 1e3:.2f} ms | {' | '.join(cells)} |")
    return "\n".join(lines)


#: Shares that benchmarks/scaling.py has measured, and what they are called.
SCALING_COLUMNS = {
    "adding_share": "Adding up",
    "sending_share": "Sending",
    "waiting_share": "Waiting",
    "hidden": "Summed meanwhile",
}


def scaling_here() -> str:
    """What scaling.md says was measured (benchmarks/scaling.py)."""
    path = RESULTS / "scaling.json"
    rows = json.loads(path.read_text())["rows"]
    shown = {name: words for name, words in SCALING_COLUMNS.items() if name in rows[0]}
    lines = [
        f"`{path.relative_to(ROOT)}`.",
        "",
        "| Network | Scaling | Processes | Images each | Images/s | Over one | "
        + " | ".join(shown.values()) + " |",
        "|---|---|---:|---:|---:|---:|" + "---:|" * len(shown),
    ]  # fmt: skip
    lines += [
        f"| {r['model']} | {r['scaling']} | {r['processes']} | {r['images_per_process']} | "
        f"{r['images_per_s']:.0f} | {r['speedup']:.2f} | "
        + " | ".join("-" if r[name] is None else f"{r[name]:.1%}" for name in shown) + " |"
        for r in rows
    ]  # fmt: skip
    return "\n".join(lines)


def bandwidth() -> str:
    """Predicted shares of the speed of memory on an H200 (benchmarks/bandwidth.py)."""
    path = RESULTS.parent / "predicted" / "bandwidth.json"
    rows = [r for r in json.loads(path.read_text())["rows"] if "h200" in r["shares"]]
    rows.sort(key=lambda r: (r["dtype"], r["operation"], r["layout"]))
    lines = [
        f"`{path.relative_to(ROOT)}`.",
        "",
        "| operation | layout | dtype | kernels | before | now | a copy | bound by |",
        "|---|---|---|---|---:|---:|---:|---|",
    ]
    lines += [
        f"| `{r['operation']}` | {r['layout']} | {r['dtype']} | {r['algo']} ({r['launches']}) | "
        f"{r['before']['h200']:.2f} | {r['shares']['h200']:.2f} | {r['copy']['h200']:.2f} | "
        f"{r['bound']} |"
        for r in rows
    ]

    def reached(of: list[dict], of_copy: bool = False) -> str:
        shares = [r["shares"]["h200"] / (r["copy"]["h200"] if of_copy else 1) for r in of]
        mean = _geometric(shares)
        high = sum(share >= 0.85 for share in shares)
        return f"{high} of {len(of)} have 0.85 or more, geometric mean {mean:.2f}"

    short = [r for r in rows if r["limit_us"]["h200"] < SHORT_US * r["launches"]]
    long = [r for r in rows if r not in short]
    lines += [
        "",
        f"{reached(rows)}; of a copy of as many bytes {reached(rows, of_copy=True)}. Launches "
        f"whose bytes take less than {SHORT_US:g} us each fill and drain the GPU for a good part "
        f"of that: of the others {reached(long)}; of these {reached(short)}.",
    ]
    return "\n".join(lines)


#: Time by the limit below which a launch is over before memory is busy.
SHORT_US = 4.0

#: Of the page of limits: the GPUs that are shown where all kernels have them.
GPUS = ("h200", "h100", "h100_pcie", "a100", "l4", "rtx4090", "a6000", "rtx5090", "t4")

#: What stands for the bound of a share there.
LETTERS = {
    "memory": "M", "latency": "L", "issue": "I", "registers": "R", "load/store": "S",
    "shared banks": "B", "L1": "1", "L2": "2", "fma": "F", "alu": "A", "mufu": "U", "fp64": "D",
    "tensor": "T", "waves": "W",
}  # fmt: skip


def _limits() -> dict[str, dict]:
    """Rows of benchmarks/limits.py by kernel."""
    path = RESULTS.parent / "predicted" / "limits.json"
    return json.loads(path.read_text())["rows"]


def _kernel(name: str) -> str:
    """Without its folder, and its types as they are called elsewhere."""
    entry, _, macros = name.partition("[")
    words = macros.rstrip("]").replace("__nv_bfloat16", "bfloat16").replace("=float,", "=float32,")
    words = re.sub(r"=float$", "=float32", words).replace("SCALAR=", "")
    return f"`{entry.partition('/')[2]}` {words}".strip()


def _shown(rows: dict[str, dict]) -> list[str]:
    return [gpu for gpu in GPUS if all(gpu in row["gpus"] for row in rows.values())]


def _share(found: list | str) -> str:
    """Share of the limit and the letter of its bound."""
    return "-" if isinstance(found, str) else f"{found[1]:.2f} {LETTERS[found[2]]}"


def limits() -> str:
    """How far every kernel is predicted to be from its limit, by folder of kernels."""
    rows = _limits()
    shown = _shown(rows)
    everywhere = set.intersection(*(set(row["gpus"]) for row in rows.values()))
    models = Counter(row.get("model", "") for row in rows.values())
    older = len(rows) - max(models.values())
    met = {found[2] for row in rows.values() for found in row["gpus"].values()
           if not isinstance(found, str)}  # fmt: skip
    letters = ", ".join(f"{letter} {bound}" for bound, letter in LETTERS.items() if bound in met)
    lines = [
        f"{len(rows)} kernels; on {len(everywhere)} GPUs all of them"
        + f", {older} of them by another version of the model than most" * bool(older)
        + ". `benchmarks/results/predicted/limits.json` has every GPU, times, layers and grids. "
        f"Behind a share what bounds the kernel: {letters}.",
    ]
    for folder in sorted({name.partition("/")[0] for name in rows}):
        of = {name: row for name, row in rows.items() if name.startswith(folder + "/")}
        lines += [
            "", f"### {folder}: {len(of)}", "",
            f"| Kernel | {' | '.join(shown)} |",
            "|---|" + "---:|" * len(shown),
        ]  # fmt: skip
        for name, row in of.items():
            shares = " | ".join(_share(row["gpus"][gpu]) for gpu in shown)
            lines.append(f"| {_kernel(name)} | {shares} |")
    return "\n".join(lines)


def absent() -> str:
    """Which kernels have no prediction for which GPUs, and why."""
    why: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for name, row in _limits().items():
        said: dict[str, list[str]] = {}
        for gpu, found in row["gpus"].items():
            if isinstance(found, str):
                said.setdefault(re.sub(r" for sm_\w+", "", found).rstrip(":"), []).append(gpu)
        for reason, on in said.items():
            if reason.endswith("does not compile"):
                reason = "has instructions that these GPUs have not"
            why.setdefault((reason, tuple(on)), set()).add(_kernel(name).split("`")[1])
    lines = ["| Why | GPUs | Kernels |", "|---|---|---|"]
    lines += [
        f"| {reason} | {', '.join(on)} | {', '.join(f'`{kernel}`' for kernel in sorted(of))} |"
        for (reason, on), of in sorted(why.items())
    ]
    return "\n".join(lines)


def below() -> str:
    """Those below their goal on an H200, by why."""
    rows, found = _limits(), {}
    for name, row in rows.items():
        on = row["gpus"]["h200"]
        if not isinstance(on, str) and on[1] < (0.7 if row["dtype"] == "float32" else 0.85):
            short = on[0] * on[1] < SHORT_US
            found.setdefault("short" if short else on[2], []).append(f"{_kernel(name)} {on[1]:.2f}")
    why = {
        "short": f"the limit is below {SHORT_US:g} us: over before the memory is busy; only larger "
        "layers or fusion would bring it nearer",
        **ADVICE,
    }
    lines = [
        "| Why | What that means, or what would help | Kernels and their shares |",
        "|---|---|---|",
    ]
    lines += [
        f"| {reason}: {len(of)} | {why[reason]} | "
        f"{'; '.join(of) if reason != 'short' else 'in the tables below'} |"  # by far the most
        for reason, of in sorted(found.items(), key=lambda pair: -len(pair[1]))
    ]
    return "\n".join(lines)


def _ladder() -> tuple[dict, dict[str, dict]]:
    """The report on the GEMM rungs, and its records by name."""
    report = json.loads((RESULTS / "gemm_versions.json").read_text())
    names = (f"{r['algo']} {r['tile']}" if r["tile"] else r["algo"] for r in report["results"])
    return report, dict(zip(names, report["results"], strict=True))


def ladder_traffic() -> str:
    """What the emulator counts for each rung."""
    report, rungs = _ladder()
    size = report["size"]
    lines = [
        f"M = N = K = {size}, float32. `{RESULTS.relative_to(ROOT)}/gemm_versions.json`.",
        "",
        "| Rung | Load requests | Sectors each | Bytes moved / necessary | Shared loads per "
        "multiply-add | Bank conflicts | Barriers a block |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| `{name}` | {r['load_requests']} | {r['sectors_per_load']:.1f} "
        f"| {r['bytes_moved'] / r['bytes_necessary']:.1f} "
        f"| {r['shared_loads_per_multiply_add']:.3g} "
        f"| {r['bank_conflicts']} | {r['barriers_per_block']:.0f} |"
        for name, r in rungs.items()
    ]
    return "\n".join(lines)


def ladder_code() -> str:
    """What the machine code of each rung looks like."""
    report, rungs = _ladder()
    nvrtc = report["environment"]["versions"]["nvidia-cuda-nvrtc"]
    lines = [
        f"{report['arch']}, float32, neither operand transposed, NVRTC {nvrtc}.",
        "",
        "| Rung | Registers | Spilled bytes | Occupancy | Widest load, global | shared | Inner "
        "loop: FFMA of instructions | Share |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| `{name}` | {r['registers']} | {r['spill_bytes']} | {r['occupancy']:.0%} "
        f"| {r['global_load_bits']} bit "
        f"| {str(r['shared_load_bits']) + ' bit' if r['shared_load_bits'] else '-'} "
        f"| {r['loop_ffma']} of {r['loop_instructions']} "
        f"| {r['loop_ffma'] / r['loop_instructions']:.0%} |"
        for name, r in rungs.items()
    ]
    return "\n".join(lines)


def excerpt(file: str, first: str, last: str) -> str:
    """Lines of a source file, from the one that begins with `first` to one that begins `last`."""
    lines = (ROOT / file).read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(first))
    stop = next(i for i in range(start, len(lines)) if lines[i].strip().startswith(last))
    margin = len(lines[start]) - len(lines[start].lstrip())
    shown = [x if x.startswith("#") else x[margin:] for x in lines[start : stop + 1]]
    return "\n".join(["```cpp", f"// {file}", *shown, "```"])


def winograd_error(direction: str) -> str:
    """Error of Winograd and direct convolution, the larger one of the kinds of data."""
    found = json.loads((RESULTS / "winograd_error.json").read_text())["results"]
    found = [r for r in found if r["direction"] == direction]
    names = list(dict.fromkeys(r["algorithm"] for r in found))
    worst: dict[tuple, dict[str, float]] = {}
    for r in found:
        layer = (r["images"], r["channels"], r["extent"], r["allowed"], r["dtype"])
        errors = worst.setdefault(layer, {})
        errors[r["algorithm"]] = max(errors.get(r["algorithm"], 0.0), r["error"])
    lines = [
        f"| Images | Channels | Extent | dtype | {' | '.join(f'`{n}`' for n in names)} | allowed |",
        "|---:|---:|---:|---|" + "---:|" * (len(names) + 1),
    ]
    lines += [
        f"| {images} | {channels} | {extent} | {dtype} "
        f"| {' | '.join(f'{errors[n]:.1f}' for n in names)} | {allowed:.0f} |"
        for (images, channels, extent, allowed, dtype), errors in worst.items()
    ]
    return "\n".join(lines)


def winograd_points() -> str:
    """Error of F(4x4, 3x3) for the customary interpolation points and for those chosen."""
    found = json.loads((RESULTS / "winograd_error.json").read_text())["points"]
    lines = ["| Channels | Customary points | Chosen points |", "|---:|---:|---:|"]
    lines += [f"| {r['channels']} | {r['customary']} | {r['chosen']} |" for r in found]
    return "\n".join(lines)


def first_convolution() -> str:
    """The kernel of the example, whose closing brace is not the first one."""
    shown = excerpt("examples/first_convolution.py", 'extern "C"', "y[(k * P + p)")
    return shown.removesuffix("```") + "}\n```"


def conv_choices() -> str:
    """What `auto` takes for the convolutions of three networks, and why."""
    directions = "forward", "backward_input", "backward_weight"
    names = " | ".join(f"`{direction}`" for direction in directions)
    lines = [f"| Network | Layer | {names} |", "|---|---|---|---|---|"]
    reasons: dict[str, None] = {}
    for suite in ("resnet50", "vgg16", "mobilenet"):
        for case in dict.fromkeys(layer.case for layer in SUITES[suite].layers("conv2d", 32)):
            shapes = case.x_shape, case.w_shape, case.stride, case.padding, case.dilation
            taken = []
            for direction in directions:
                candidates = conv2d_algorithms(*shapes, case.groups, direction=direction)
                taken.append(next(candidate for candidate in candidates if candidate.fits))
            reasons |= {f"* `{c.name}`: {c.reason.rpartition('terms: ')[2]}": None for c in taken}
            lines.append(f"| {suite} | `{case}` | {' | '.join(f'`{c.name}`' for c in taken)} |")
    return "\n".join([*lines, "", "Why, as `conv2d_algorithms` says it:", "", *reasons])


def onnx() -> str:
    """The operators of ONNX and its tests; another release of onnx has others: then as it was."""
    from pycnn.testing import onnx_suite

    page = (ROOT / "docs/onnx.md").read_text()
    before = page.partition("<!-- generated:onnx -->\n")[2].partition("\n\n<!-- end:onnx -->")[0]
    version = f"onnx {onnx_suite.package().__version__}: "
    if before.startswith("onnx ") and not before.startswith(version):
        return before
    return onnx_suite.as_markdown()


#: Where the idea of each rung stands: the lines from one beginning to the other.
RUNGS = {
    "1_naive": ("const int i", "for (index_t"),
    "2_coalesced": ("const int i", "for (index_t"),
    "3_shared_tile": ("acc_t acc", "}"),
    "4_register_tile": ("const int thr_m", "for (int j = 0; j < THR_N; ++j) acc"),
    "5_vectorised": ("for (index_t", "}"),
    "6_double_buffered": ("copy_a.load(p.k)", "stage = 1 - stage"),
}

#: What the next three share.
TENSOR_CORES = "kernels/include/pycnn/gemm_tensor_core.cuh"


#: Of the last one, which convolution shares.
def predicted(script: str) -> str:
    """The table of a script under ``benchmarks/``, of the predictions that it wrote."""
    document = json.loads((RESULTS.parent / "predicted" / f"{script}.json").read_text())
    _root_first()
    found: str = import_module(f"benchmarks.{script}").table(document)
    return found


def without_wgmma() -> str:
    """Means of an A100, whose tensor cores are reached by ``mma.sync`` alone."""
    document = json.loads((RESULTS.parent / "predicted" / "before_after_a100.json").read_text())
    _root_first()
    found: str = import_module("benchmarks.before_after").summary(document)
    return found


HOPPER = "kernels/include/pycnn/gemm_wgmma.cuh"

TABLES: dict[str, Callable[[], str]] = {
    "environment": config.table,
    "kernels": catalogue.table,
    "operations": table.as_markdown,
    "onnx": onnx,
    "results": results,
    "foretold": foretold,
    "regret": regret,
    "scaling": scaling,
    "scaling-here": scaling_here,
    "bandwidth": bandwidth,
    "limits": limits,
    "absent": absent,
    "below": below,
    "models": models,
    "accuracy": accuracy,
    "conv-choices": conv_choices,
    "first-convolution": first_convolution,
    "ladder-traffic": ladder_traffic,
    "ladder-code": ladder_code,
    "winograd-error": partial(winograd_error, "forward"),
    "winograd-weight-error": partial(winograd_error, "backward_weight"),
    "winograd-points": winograd_points,
    "before-after": partial(predicted, "before_after"),
    "without-wgmma": without_wgmma,
    "triton": partial(predicted, "triton_facts"),
    **{rung: partial(excerpt, f"kernels/gemm/{rung}.cu", *ends) for rung, ends in RUNGS.items()},
    "7_tensor_core": partial(excerpt, TENSOR_CORES, "for (int stage", "stage = stage =="),
    "10_wgmma": partial(excerpt, HOPPER, "for (int k_tile = 0; k_tile < k_tiles", "wgmma_wait<0>"),
}

_BLOCK = re.compile(r"(<!-- generated:(\S+) -->\n).*?(<!-- end:\2 -->)", re.DOTALL)


def regenerated(text: str) -> str:
    """`text` with every table between markers made anew; a `KeyError` names an unknown one."""
    return _BLOCK.sub(lambda m: f"{m[1]}\n{TABLES[m[2]]()}\n\n{m[3]}", text)


def pages() -> list[Path]:
    """Every Markdown file that may hold a table."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def main() -> int:
    stale = [page for page in pages() if regenerated(page.read_text()) != page.read_text()]
    for page in stale:
        if "--check" in sys.argv[1:]:
            print(f"{page.relative_to(ROOT)}: a generated table is out of date; run `make docs`")
        else:
            page.write_text(regenerated(page.read_text()))
            print(f"{page.relative_to(ROOT)}: written")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
