"""``pycnn bench``, ``pycnn sweep`` and ``pycnn compare``."""

import argparse
from pathlib import Path

from pycnn.models.command_line import add_own
from pycnn.runtime.options import add_force, add_threads, positive

#: Repeated here, and compared by a test, so that ``pycnn --help`` imports no measuring code.
SUITE_NAMES = ("lenet5", "alexnet", "vgg16", "googlenet", "resnet50", "mobilenet", "soumith")


def add_parsers(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``bench``, ``sweep`` and ``compare``; what they need is imported when they run."""
    _add_bench(subparsers)
    _add_sweep(subparsers)
    _add_compare(subparsers)


def _add_bench(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "bench",
        help="check and time every algorithm on every backend, layer by layer",
        description="For each layer, every algorithm on every backend present: checked against "
        "the float64 oracle, then timed. The emulator checks a smaller layer and gives no time.",
    )
    _add_cases(parser)
    parser.add_argument(
        "--gpu", metavar="NAME",
        help="predict times on a GPU that is not here (docs/model.md), beside the CPU path timed "
        "here: by a run of each kernel with the extra `emulator`, else by the estimates that a run "
        "without --gpu prints for h200",
    )  # fmt: skip
    parser.add_argument(
        "--prepare", action="store_true",
        help="compute what must come out, on all cores, keep it in the cache for later runs, and "
        "run nothing",
    )  # fmt: skip
    add_threads(parser)
    parser.set_defaults(run=_bench)


def _add_cases(parser: argparse.ArgumentParser) -> None:
    """What is run, and how it is shown and written."""
    parser.add_argument(
        "suite", nargs="?", metavar="SUITE",
        help=f"a network: {', '.join(SUITE_NAMES)}, another name of pycnn.models, or FILE.onnx; "
        "standard: the operation's own layers; kernelbench: the tasks of KernelBench's level 1",
    )  # fmt: skip
    add_own(parser)
    parser.add_argument(
        "--shape", metavar="WORD",
        help="one layer instead of a suite, such as n1c64h56w56k64r3s3p1 "
        "(p padding, u stride, d dilation, g groups)",
    )  # fmt: skip
    parser.add_argument(
        "--case", metavar="WORDS",
        help="one case of the tests instead, of any operation, as the name of a test has it: "
        "'conv2d / reflect / float32', and perhaps ' / im2col'; it says op, direction and dtype",
    )  # fmt: skip
    parser.add_argument(
        "--op", help="operation (default: conv2d); all, with the suites standard and kernelbench"
    )
    parser.add_argument("--direction", help="forward (default), backward, all")
    parser.add_argument(
        "--algo", metavar="LIST",
        help="algorithms of the kernels or methods of the CPU path, by commas (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--dtype", metavar="LIST",
        help="float32, float64, float16, bfloat16, by commas (default: float32; and on the "
        "emulator 16 bits for one layer of each kind)",
    )  # fmt: skip
    parser.add_argument(
        "--batch", metavar="LIST", help="batch sizes by commas (default: that of the suite)"
    )
    parser.add_argument(
        "--backend", metavar="LIST",
        help="reference, emulator, cuda, by commas (default: those present)",
    )  # fmt: skip
    parser.add_argument(
        "--against", metavar="LIST",
        help="peers: torch, onnxruntime, cudnn, by commas, or none (default: those installed)",
    )  # fmt: skip
    parser.add_argument(
        "--all",
        action="store_true",
        help="show every record, not one line a layer; with --gpu every algorithm",
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer repeats, smaller emulated layers"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    add_force(parser)
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.png", help="draw a roofline and a bar chart"
    )


def _add_sweep(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "sweep",
        help="bench over several GPUs or machines: cases shared among Dask workers",
        description="The cases of a bench, shared among Dask workers of one thread each and merged "
        "to the file that `pycnn bench` would write. What a lost worker had not finished, another "
        "does.",
    )
    _add_cases(parser)
    parser.add_argument(
        "--workers", type=positive, metavar="N",
        help="start N workers here (default: one a GPU, or one a core where kernels run on none)",
    )  # fmt: skip
    parser.add_argument(
        "--scheduler", metavar="ADDRESS",
        help="use the workers of a cluster instead, such as tcp://host:8786",
    )  # fmt: skip
    parser.set_defaults(run=_sweep)


def _add_compare(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "compare", help="what became faster or slower between two runs, beyond the noise"
    )
    parser.add_argument("old", type=Path, metavar="OLD.json")
    parser.add_argument("new", type=Path, metavar="NEW.json")
    parser.add_argument(
        "--threshold", type=float, default=10.0, metavar="PERCENT",
        help="least difference of the medians that counts (default: 10)",
    )  # fmt: skip
    parser.add_argument(
        "--fail-on-slower", action="store_true",
        help="exit with status 1 if anything became slower or wrong",
    )  # fmt: skip
    parser.add_argument(
        "--all", action="store_true", help="every layer alone, and what only one run has"
    )
    parser.set_defaults(run=_compare)


def _bench(arguments: argparse.Namespace) -> int:
    from pycnn.bench.main import bench

    return bench(arguments)


def _sweep(arguments: argparse.Namespace) -> int:
    from pycnn.bench.sweep import sweep

    return sweep(arguments)


def _compare(arguments: argparse.Namespace) -> int:
    from pycnn.bench import compare, record
    from pycnn.runtime import terminal

    if not 0 <= arguments.threshold < 1000:
        raise ValueError(f"--threshold {arguments.threshold}; allowed: a percentage from 0 on")
    old, new = record.load(arguments.old), record.load(arguments.new)
    changes = compare.compare_runs(old.records, new.records, arguments.threshold / 100)
    for line in compare.differences(old, new) + compare.noises(old.records, new.records):
        print(line)
    if arguments.all:
        table = compare.table(changes)
        if table.rows:
            terminal.show(table)
    else:
        for line in compare.brief(changes):
            print(line)
    print(compare.counted(changes))
    for line in compare.predictions(old, new):
        print(line)
    return 1 if arguments.fail_on_slower and compare.failures(changes) else 0
