"""``make gpu``: everything a machine with a GPU has to show, from the checkout, with no network.

    python3 -m benchmarks.gpu all

runs three stages, each of which can be run alone: ``test`` (the test suite on ``cuda``),
``sanitize`` (every kernel once under compute-sanitizer, where that is installed) and ``bench`` (the
suites, against cuDNN where PyTorch with CUDA is installed). Results are written to
``benchmarks/results/<gpu>/*.json``. All of it ends within ten minutes: a stage that reaches its
limit keeps what it has, and says so.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pycnn
from pycnn.bench import record, summary
from pycnn.bench.contestants import of_pycnn
from pycnn.bench.environment import gpu
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.peers import missing
from pycnn.bench.run import FULL, plan_rounds, run
from pycnn.bench.suites import Layer

ROOT = Path(__file__).resolve().parents[1]

#: Seconds that a stage may last.
LIMITS = {"test": 300, "sanitize": 100, "bench": 180}

#: Ragged problems on which every kernel runs once under the sanitizer, where they are not the
#: small cases of a definition.
RAGGED = {
    "conv2d": ("n2c6h13w17k10r3s3p1", "n3c6h11w9k4r3s2p1x0x2x1u2x1d1x2g2", "n2c5h7w9k11r1s1"),
    "max_pool2d": ("n2c3h13w17r3s2p1x0u2e1",),
    "avg_pool2d": ("n2c3h13w17r3s2p1x0u2e1",),
    "relu": ("n3c5h7w11",),
    "softmax": ("n7c1003", "n3c10"),
    "cross_entropy": ("n7c1003", "n3c10"),
    "gemm": ("m37n53k71", "m131n129k67"),
}

#: How many of those, and in which dtypes.
CASES, DTYPES = 3, ("float32", "float16")

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run a stage; the exit status is 0 only if nothing failed."""
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.gpu", description=__doc__)
    parser.add_argument("stage", choices=(*STAGES, "all", "once"))
    stage = parser.parse_args(argv).stage
    status = {b.name: b for b in pycnn.backends()}["cuda"]
    if not status.available:
        print(f"make gpu needs a GPU that CuPy can use: {status.detail}", file=sys.stderr)
        return 1
    if stage == "once":
        return once()
    begin = time.monotonic()
    outcomes = {}
    for name in STAGES if stage == "all" else (stage,):
        print(f"== {name}", flush=True)
        outcomes[name] = STAGES[name]()
    passed = ", ".join(f"{name} {'passed' if ok else 'FAILED'}" for name, ok in outcomes.items())
    print(f"== {passed} in {time.monotonic() - begin:.0f} s")
    return 0 if all(outcomes.values()) else 1


def test() -> bool:
    """The test suite, on ``cuda`` alone."""
    command = [sys.executable, "-m", "pytest", "-q", "-k", "cuda", "tests"]
    return _limited(command, LIMITS["test"], PYCNN_TEST_BACKENDS="cuda") == 0


def sanitize() -> bool:
    """Every kernel once on ragged problems, watched for bad accesses and for races."""
    tool = shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path="/usr/local/cuda/bin"
    )
    if tool is None:
        print("skipped: compute-sanitizer is not installed (it comes with the CUDA toolkit)")
        return True
    good = True
    for check in ("memcheck", "racecheck"):
        command = [tool, "--tool", check, "--error-exitcode", "3", sys.executable]
        command += ["-m", "benchmarks.gpu", "once"]
        status = _limited(command, LIMITS["sanitize"] // 2)
        print(f"{check}: {'no finding' if status == 0 else f'exit status {status}'}", flush=True)
        good &= status == 0
    return good


def once(backend: str = "cuda") -> int:
    """Every algorithm of every operation once, compared with the oracle, not timed."""
    good = True
    for name, operation in OPERATIONS.items():
        words = RAGGED.get(name) or operation.small_cases()[:CASES]

        def contestants(case, direction, dtype, operation=operation):
            found = of_pycnn(backend, operation, case, direction, dtype)
            for contestant in found:
                contestant.device = None  # checked only
            return found

        layers = [Layer(word, operation.parse(word)) for word in words]
        for layer in layers:
            directions = operation.directions_of(layer.case)
            rounds = plan_rounds("ragged", operation, [layer], directions, DTYPES, contestants)
            for found, _ in run(rounds, FULL, {}):
                right = found.status in (record.CHECKED, record.SKIPPED)
                good &= right
                if not right:
                    print(f"{found.status}: {found.key}: {found.reason}")
    return 0 if good else 1


def bench() -> bool:
    """The suites, as long as there is time; then what they show, in a few lines."""
    folder = ROOT / "benchmarks" / "results" / _slug(gpu()["name"])
    folder.mkdir(parents=True, exist_ok=True)
    against = ["--against", "cudnn"]
    if missing("cudnn"):
        print(f"without a comparison with cuDNN: {missing('cudnn')}")
        against = []
    end = time.monotonic() + LIMITS["bench"]
    good = True
    for name, line in BENCHES:
        left = end - time.monotonic()
        if left < 5:
            print(f"no time left for {name}")
            continue
        path = folder / f"{name}.json"
        command = [sys.executable, "-m", "pycnn", "bench", *line.split(), *against]
        status = _limited([*command, "--quick", "--json", str(path)], left)
        good &= status in (0, INTERRUPTED)
    for name, _ in BENCHES:
        _summarise(folder / f"{name}.json")
    return good


#: Exit status of a command that was stopped and kept what it had.
INTERRUPTED = 130


def _limited(command: list[str], seconds: float, **variables: str) -> int:
    """Run a command from the root of the checkout; interrupt it when its time is over."""
    print("$ " + " ".join(command), flush=True)
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **variables}, preexec_fn=_heed_interrupts
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        print(f"stopped after {seconds:.0f} s", flush=True)
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _heed_interrupts() -> None:
    """A shell's background jobs ignore interrupts, and so would what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _summarise(path: Path) -> None:
    if not path.exists():
        return
    _, records = record.read(path)
    print(f"-- {path.stem}: {path.relative_to(ROOT)}")
    print("\n".join(summary.summarise(records, record.read_ceilings(path))))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


STAGES: dict[str, Callable[[], bool]] = {"test": test, "sanitize": sanitize, "bench": bench}

if __name__ == "__main__":
    sys.exit(main())
