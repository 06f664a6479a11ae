"""A run as a picture: a roofline for each device, and the time of every layer as bars."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.bench.ceilings import Ceiling
from pycnn.bench.environment import busy
from pycnn.bench.record import TIMED, Record, Run
from pycnn.bench.table import winners
from pycnn.runtime.extras import import_extra
from pycnn.runtime.files import replacing

#: Backends in the order they are drawn, with the device they run on, colour and marker.
LOOKS = {
    "reference": ("cpu", "#0072b2", "o"),
    "torch": ("cpu", "#d55e00", "s"),
    "onnxruntime": ("cpu", "#009e73", "D"),
    "cuda": ("cuda", "#56b4e9", "o"),
    "cudnn": ("cuda", "#cc79a7", "s"),
    "cudnn-tf32": ("cuda", "#e69f00", "D"),
}
NAMES = {"reference": "pycnn, CPU", "torch": "PyTorch, CPU", "onnxruntime": "ONNX Runtime, CPU",
         "cuda": "pycnn, GPU", "cudnn": "cuDNN, GPU", "cudnn-tf32": "cuDNN, GPU, TF32"}  # fmt: skip

DEVICES = {"cpu": "CPU", "cuda": "GPU"}

GREY = "#5f6368"

SUFFIXES = (".png", ".svg", ".pdf")


def require() -> None:
    """Raise `MissingExtra` now if there is nothing to draw with."""
    import_extra("matplotlib", "viz", "--plot")


def draw(run: Run, title: str, path: Path) -> bool:
    """Draw `run` into the file `path`; returns False, drawing nothing, if it has no time.

    The title says so if records are missing. The points and bars are the fastest algorithm of each
    backend on each layer.
    """
    figure_module = import_extra("matplotlib.figure", "viz", "--plot")
    timed = [r for r in run.records if r.status == TIMED]
    if not timed:
        return False
    if busy(run.environment):
        title += f" (BUSY MACHINE: {busy(run.environment)})"
    if run.unfinished:
        title += f" (PARTIAL: {run.unfinished})"
    rooflines = [c for c in run.ceilings if c.known and any(_on(r, c) for r in timed)]
    rows, columns = 1 + -(-len(rooflines) // 2), min(2, max(1, len(rooflines)))
    figure = figure_module.Figure(figsize=(13, 4.8 * rows), layout="constrained")
    figure.suptitle(title, fontsize=14, fontweight="bold", x=0.01, ha="left")
    grid = figure.add_gridspec(rows, columns)
    for i, ceiling in enumerate(rooflines):
        alone = i == len(rooflines) - 1 and i % 2 == 0
        place = grid[i // 2, :] if alone else grid[i // 2, i % 2]
        _roofline(figure.add_subplot(place), [r for r in timed if _on(r, ceiling)], ceiling)
    _bars(figure.add_subplot(grid[-1, :]), timed)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)
    return True


def _on(record: Record, ceiling: Ceiling) -> bool:
    own = record.precision or record.dtype
    return LOOKS[record.backend][0] == ceiling.device and own == ceiling.dtype


def _best(records: Sequence[Record], backend: str) -> dict[tuple[str, ...], Record]:
    return winners([r for r in records if r.backend == backend])


def _roofline(axes: Any, records: Sequence[Record], ceiling: Ceiling) -> None:
    """Achieved GFLOP/s over FLOPs per byte, below what the machine allows."""
    gflops, gbytes_per_s = ceiling.limits()
    ridge = gflops / gbytes_per_s
    intensities = [ridge, *(r.flops / r.bytes for r in records)]
    span = np.geomspace(min(intensities) / 2, max(intensities) * 2, 200)
    roof = [ceiling.attainable_gflops(i) for i in span]
    axes.plot(span, roof, color="black", linewidth=1.6, zorder=2)
    axes.fill_between(span, roof, color=GREY, alpha=0.08, linewidth=0)
    note = {"color": GREY, "fontsize": 9, "textcoords": "offset points"}
    axes.annotate(
        f"{gflops:,.0f} GFLOP/s, matrix product", (span[-1], gflops),
        xytext=(-4, 5), ha="right", **note,
    )  # fmt: skip
    axes.annotate(
        f"{gbytes_per_s:,.0f} GB/s, copy", (span[0], roof[0]),
        xytext=(8, -12), **note,
    )  # fmt: skip
    for backend, (_, colour, marker) in LOOKS.items():
        best = list(_best(records, backend).values())
        if best:
            axes.scatter(
                [r.flops / r.bytes for r in best], [r.gflops for r in best], s=42, color=colour,
                marker=marker, edgecolor="white", linewidth=0.7, label=NAMES[backend], zorder=3,
            )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte", ylabel="GFLOP/s")
    axes.set_xlim(span[0], span[-1])
    axes.set_title(f"Roofline of the {DEVICES[ceiling.device]}, {ceiling.dtype}", loc="left")
    axes.legend(frameon=False, fontsize=9, ncols=len(LOOKS), loc="lower right",
                bbox_to_anchor=(1, 1))  # fmt: skip
    _finish(axes, "both")


def _bars(axes: Any, records: Sequence[Record]) -> None:
    """Time of each problem, a bar for each backend, whiskers over the middle half of samples."""
    problems = list(dict.fromkeys(r.problem for r in records))
    backends = [b for b in LOOKS if any(r.backend == b for r in records)]
    width = 0.8 / len(backends)
    for i, backend in enumerate(backends):
        best = _best(records, backend)
        places = [x for x, problem in enumerate(problems) if problem in best]
        shown = [best[problems[x]] for x in places]
        times = np.array([r.time_ms for r in shown], float)
        ends = np.array([(r.time_ms_p25, r.time_ms_p75) for r in shown], float)
        axes.bar(
            np.array(places) + (i - (len(backends) - 1) / 2) * width, times, width * 0.92,
            yerr=np.abs(ends.reshape(-1, 2).T - times), color=LOOKS[backend][1],
            label=NAMES[backend], error_kw={"elinewidth": 0.8, "ecolor": "#202124"},
        )  # fmt: skip
    labels = _labels(problems)
    axes.set_xticks(range(len(problems)), labels, rotation=35, ha="right", fontsize=8,
                    rotation_mode="anchor")  # fmt: skip
    axes.set(yscale="log", ylabel="milliseconds", xlim=(-0.6, len(problems) - 0.4))
    low, high = axes.get_ylim()
    axes.set_ylim(10 ** np.floor(np.log10(low)), high)  # bars start at a power of ten
    axes.set_title("Time of each layer, the best algorithm of each backend", loc="left")
    axes.legend(frameon=False, fontsize=9, ncols=len(backends), loc="lower right",
                bbox_to_anchor=(1, 1))  # fmt: skip
    _finish(axes, "y")


def _labels(problems: Sequence[tuple[str, ...]]) -> list[str]:
    """Layer and shape; direction and precision in place of the shape where a run has several."""
    varying = [i for i in (3, 5) if len({problem[i] for problem in problems}) > 1]
    return ["  ".join(problem[i] for i in (1, *(varying or [4]))) for problem in problems]


def _finish(axes: Any, grid: str) -> None:
    """Plain numbers on logarithmic axes, a quiet grid, no box."""
    for axis in [axes.yaxis] if grid == "y" else [axes.xaxis, axes.yaxis]:
        axis.set_major_formatter(lambda value, place: f"{value:,g}")
        axis.set_minor_formatter(lambda value, place: "")
    axes.grid(axis=grid, which="major", color=GREY, alpha=0.2)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
