"""``pycnn explain``: which algorithms a layer has, which one ``auto`` takes, and why."""

import argparse
from pathlib import Path

from pycnn.runtime.options import add_force, check_output


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "explain",
        help="which algorithms a layer has, which of them auto takes, and why",
        description="Every algorithm of a layer: whether it fits and what is in the way if not, "
        "what auto orders them by, and what it takes. Nothing is computed.",
    )
    add = parser.add_argument
    add("op", metavar="OP", help="an operation of the bench, such as conv2d")
    add("--shape", metavar="WORD", required=True, help="a layer, such as n1c64h56w56k64r3s3p1")
    add("--direction", default="forward", metavar="NAME", help="forward (default) or backward")
    add("--dtype", default="float32", metavar="NAME", help="default: float32")
    add("--layout", default="NCHW", metavar="NAME", help="NCHW (default); of conv2d also NHWC")
    add("--gpu", metavar="NAME", help="plan for a GPU, such as h200, and predict times for it")
    add("--json", type=Path, metavar="FILE", help="write it to FILE")
    add_force(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from pycnn.bench.calls import described
    from pycnn.bench.operations import OPERATIONS
    from pycnn.define.explain import explained
    from pycnn.runtime.active import active_backend
    from pycnn.runtime.files import write_json
    from pycnn.runtime.text import did_you_mean

    if arguments.op not in OPERATIONS:
        near = did_you_mean(arguments.op, list(OPERATIONS))
        raise ValueError(f"op={arguments.op!r}; allowed: {', '.join(OPERATIONS)}{near}")
    if arguments.json:
        check_output(arguments.json, "--json", force=arguments.force)
    op = OPERATIONS[arguments.op]
    how = (arguments.direction, arguments.dtype, arguments.layout)
    definition, call = described(op, op.parse(arguments.shape), *how)
    found = explained(definition, call, arguments.gpu, active_backend() == "reference")
    print(found)
    if arguments.json:
        write_json(arguments.json, found.as_json())
        print(f"results: {arguments.json}")
    return 0
