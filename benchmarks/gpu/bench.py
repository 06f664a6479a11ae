"""Stage ``bench``: the suites, against cuDNN where PyTorch with CUDA is installed."""

import re
import sys
import time
from pathlib import Path

from benchmarks.gpu.limited import INTERRUPTED, ROOT, limited
from pycnn.bench import record, summary
from pycnn.bench.environment import gpu
from pycnn.bench.peers import missing

#: Seconds that the stage may last.
LIMIT = 180

#: Name of a result, and the command that gives it (``--against cudnn`` is added where possible).
BENCHES = (
    ("resnet50", "resnet50 --batch 1,32 --direction all --backend cuda"),
    ("resnet50_cpu", "resnet50 --backend reference,cuda"),
    ("vgg16", "vgg16 --batch 32 --backend cuda"),
    ("alexnet", "alexnet --backend cuda"),
    ("googlenet", "googlenet --backend cuda"),
    ("mobilenet_v1", "mobilenet_v1 --batch 1,32 --direction all --backend cuda"),
    ("soumith", "soumith --backend cuda"),
    ("max_pool2d", "vgg16 --op max_pool2d --batch 32 --direction all --backend cuda"),
    ("relu", "resnet50 --op relu --batch 32 --direction all --backend cuda"),
    ("softmax", "resnet50 --op softmax --batch 1024 --direction all --backend cuda"),
    ("cross_entropy", "resnet50 --op cross_entropy --batch 1024 --direction all --backend cuda"),
    ("gemm", "vgg16 --op gemm --batch 128 --backend cuda"),
    ("standard", "standard --op all --direction all --dtype float32,float16 --backend cuda"),
)


def bench() -> bool:
    """The suites, as long as there is time; then what they show, in a few lines."""
    folder = ROOT / "benchmarks" / "results" / _slug(gpu()["name"])
    folder.mkdir(parents=True, exist_ok=True)
    against = ["--against", "cudnn"]
    if missing("cudnn"):
        print(f"without a comparison with cuDNN: {missing('cudnn')}")
        against = []
    end = time.monotonic() + LIMIT
    good = True
    for name, line in BENCHES:
        left = end - time.monotonic()
        if left < 5:
            print(f"no time left for {name}")
            continue
        path = folder / f"{name}.json"
        command = [sys.executable, "-m", "pycnn", "bench", *line.split(), *against]
        status = limited([*command, "--quick", "--json", str(path)], left)
        good &= status in (0, INTERRUPTED)
    for name, _ in BENCHES:
        _summarise(folder / f"{name}.json")
    return good


def _summarise(path: Path) -> None:
    if not path.exists():
        return
    _, records = record.read(path)
    print(f"-- {path.stem}: {path.relative_to(ROOT)}")
    print("\n".join(summary.summarise(records, record.read_ceilings(path))))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
