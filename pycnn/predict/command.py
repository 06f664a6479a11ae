"""``pycnn profile``: a kernel taken apart, with no GPU."""

import argparse
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pycnn.emulator.command import extents
from pycnn.emulator.errors import KernelError, KernelTimeoutError
from pycnn.emulator.specs import SPECS, argument
from pycnn.runtime.errors import CompileError
from pycnn.runtime.options import add_force, check_output


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "profile",
        help="what a kernel does, line by line, and what it would take on a GPU that is not here",
        description="Runs a few blocks of each launch in the emulator and reads the machine code. "
        "Times are predicted, never measured (docs/model.md). Of a file .cu or .ptx the launch is "
        "checked as well, all of it up to 65536 threads, else the blocks that are run: exit code 1 "
        "if a defect is found.",
        epilog=SPECS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "what",
        metavar="WHAT",
        help="an operation of the bench, such as conv2d; a file .cu, .ptx; or a script .py that "
        "launches kernels of Triton's",
    )
    add("--gpu", default="h200", metavar="NAME", help="which GPU (default h200)")
    add("--shape", metavar="WORD", help="of an operation, such as n1c64h56w56k64r3s3p1")
    add("--algo", metavar="LIST", help="of an operation (default auto); several, by commas, are "
        "explained beside each other")  # fmt: skip
    add("--dtype", metavar="NAME", help="of an operation (default float32)")
    add("--direction", metavar="NAME", help="of an operation: forward (default) or backward")
    add("--kernel", metavar="NAME", help="of a file; default: the only one; f<float> of a template")
    add("--grid", type=extents, metavar="X[,Y[,Z]]", help="of a file: blocks (default 1)")
    add("--block", type=extents, metavar="X[,Y[,Z]]", help="of a file: threads (default 1)")
    add("--arg", action="append", default=[], metavar="[NAME=]SPEC", dest="args",
        help="of a file: an argument, in order; see below")  # fmt: skip
    add("--shared", type=int, metavar="BYTES", help="of a file: dynamic shared memory")
    add("--define", action="append", default=[], metavar="NAME[=VALUE]", help="macro of a .cu file")
    add("--include", action="append", default=[], metavar="FOLDER", help="headers of a .cu file")
    add("--blocks", type=int, default=8, metavar="N", help="blocks that are run (default 8)")
    add("--timeout", type=float, metavar="SECONDS",
        help="of a file: processor time until a launch is taken to hang (default 60)")  # fmt: skip
    add("--lines", type=int, default=20, metavar="N", help="lines that are shown (default 20)")
    add("--json", type=Path, metavar="FILE", help="write it all to FILE")
    add("--html", type=Path, metavar="FILE.html",
        help="write one page: source, PTX and machine code side by side")  # fmt: skip
    add_force(parser)
    parser.set_defaults(run=_run)


#: What a compiler of kernels alone does not take.
_HOST = re.compile(r"<<<|\bmain\s*\(")

OF_OPERATION = ("shape", "algo", "dtype", "direction")
OF_FILE = ("kernel", "grid", "block", "args", "shared", "define", "include", "timeout")


def _run(arguments: argparse.Namespace) -> int:
    from pycnn.bench import environment
    from pycnn.bench.ceilings import at_hand
    from pycnn.predict import beside, gpus, html, profile
    from pycnn.runtime.files import replacing, write_json

    gpu = gpus.gpu(arguments.gpu)
    suffix = Path(arguments.what).suffix
    is_file, is_script = suffix in (".cu", ".ptx"), suffix == ".py"
    others = (*OF_OPERATION, *OF_FILE) if is_script else OF_OPERATION if is_file else OF_FILE
    for name in others:
        if getattr(arguments, name):
            option = "arg" if name == "args" else name
            kind = "an operation" if name in OF_OPERATION else "a file .cu or .ptx"
            raise ValueError(f"--{option} is of {kind}; allowed with {arguments.what}: without it")
    for name in ("blocks", "lines"):
        if getattr(arguments, name) < 1:
            raise ValueError(f"--{name} {getattr(arguments, name)}; allowed: from 1 on")
    if arguments.json:
        check_output(arguments.json, "--json", force=arguments.force)
    if arguments.html:
        check_output(arguments.html, "--html", (".html",), force=arguments.force)
    gpu, of_memory = at_hand(gpu, environment.gpu())
    make = _of_script if is_script else _of_file if is_file else _of_operation
    try:
        found = list(make(arguments, gpu))
    except KernelTimeoutError as error:
        hung = str(error).partition("\n")[0]
        raise ValueError(
            f"{hung}; with fewer --blocks, or a smaller problem, less is run"
            f"{'; --timeout allows more' * is_file}"
        ) from None
    except KernelError as error:
        print(f"no prediction, {type(error).__name__}\n{error}", file=sys.stderr)
        return 1
    for line in of_memory:
        print(line)
    by_algo: dict[str, list[profile.Profile]] = {}
    for one in found:
        by_algo.setdefault(one.algo, []).append(one)
        print("\n".join(profile.text(one, most=arguments.lines)))
    if len(by_algo) > 1:
        print("\n".join(beside.text(by_algo, gpu)))
    if arguments.json:
        write_json(arguments.json, {"launches": [one.as_json() for one in found]})
        print(f"results: {arguments.json}")
    if arguments.html:
        with replacing(arguments.html) as new:
            new.write_text(html.page(arguments.what, found))
        print(f"page: {arguments.html}")
    return int(any(one.check and one.check.error for one in found))


def _of_file(arguments: argparse.Namespace, gpu: Any) -> Iterator[Any]:
    from pycnn.predict import code, sample
    from pycnn.predict.checked import check
    from pycnn.predict.profile import profile

    path = Path(arguments.what)
    kernel = arguments.kernel or ""
    if path.suffix == ".ptx":
        for option in ("define", "include"):
            if getattr(arguments, option):
                raise ValueError(f"--{option} goes with a .cu file; {path} is compiled already")
        compiled = code.of_ptx(path.read_text(), path, kernel, gpu.arch)
    else:
        options = [f"-D{macro}" for macro in arguments.define]
        options += [f"-I{folder}" for folder in arguments.include]
        source = path.read_text()
        try:
            compiled = code.of_text(source, path, kernel, gpu.arch, options)
        except CompileError as error:
            if not _HOST.search(source):
                raise
            raise ValueError(
                f"{error}\n{path} has code for the host; allowed: a file of kernels alone"
            ) from None
    parsed = [argument(text) for text in arguments.args]
    values = [_aligned(a.value) if isinstance(a.value, np.ndarray) else a.value for a in parsed]
    arrays = {
        a.name or str(i): v
        for i, (a, v) in enumerate(zip(parsed, values, strict=True))
        if isinstance(v, np.ndarray)
    }
    grid, block = (_three(e) for e in (arguments.grid, arguments.block))
    shared = arguments.shared or 0
    limit = 60.0 if arguments.timeout is None else arguments.timeout
    limits: dict[str, Any] = {"shared": shared, "most": arguments.blocks, "timeout": limit}
    checked = partial(check, compiled, grid, block, [a.value for a in parsed],
                      _emulate(arguments, gpu.arch), **limits)  # fmt: skip
    try:
        run = sample.run(compiled.ptx, compiled.entry, grid, block, values, arrays, **limits)
    except KernelTimeoutError:
        raise
    except KernelError as error:
        raise checked(sampled=0).error or error from None
    found = checked(sampled=len(run.samples))
    yield replace(profile(compiled, run, gpu, shared, str(path)), check=found)


def _emulate(arguments: argparse.Namespace, arch: str) -> str:
    """The command that checks all blocks of a launch of a file."""
    words = ["pycnn", "emulate", arguments.what, "--checked"]
    if not arguments.what.endswith(".ptx"):
        words += ["--arch", arch]
    for option in ("grid", "block"):
        if extent := getattr(arguments, option):
            words += [f"--{option}", ",".join(map(str, extent))]
    for option in ("kernel", "shared"):
        if value := getattr(arguments, option):
            words += [f"--{option}", str(value)]
    for option in ("arg", "define", "include"):
        for value in getattr(arguments, "args" if option == "arg" else option):
            words += [f"--{option}", value]
    return shlex.join(words)


def _of_script(arguments: argparse.Namespace, gpu: Any) -> Iterator[Any]:
    from pycnn.predict.triton import profiles
    from pycnn.runtime.files import require_file

    path = Path(arguments.what)
    require_file(path, "script")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    return profiles(path, gpu, arguments.blocks)


def _of_operation(arguments: argparse.Namespace, gpu: Any) -> Iterator[Any]:
    from pycnn.bench.operations import OPERATIONS
    from pycnn.dtypes import numpy_dtype
    from pycnn.predict import code, plans, sample
    from pycnn.predict.profile import launched, profile
    from pycnn.runtime import sources
    from pycnn.runtime.text import did_you_mean

    if arguments.what not in OPERATIONS:
        near = did_you_mean(arguments.what, list(OPERATIONS))
        raise ValueError(
            f"{arguments.what!r}; allowed: {', '.join(OPERATIONS)}, *.cu, *.ptx, *.py{near}"
        )
    if not arguments.shape:
        raise ValueError("--shape is wanted, such as n1c64h56w56k64r3s3p1")
    op = OPERATIONS[arguments.what]
    case, direction = op.parse(arguments.shape), arguments.direction or "forward"
    dtype = arguments.dtype or "float32"
    algos = list(dict.fromkeys((arguments.algo or "auto").split(",")))
    for name, value, allowed in (
        ("direction", direction, op.directions), ("dtype", dtype, op.dtypes_of(direction)),
    ):  # fmt: skip
        if value not in allowed:
            raise ValueError(f"--{name} {value!r}; allowed: {', '.join(allowed)}")
    arrays = {
        name: sample.aligned(shape, numpy_dtype(kind or dtype))
        for name, (shape, kind) in op.input_specs(case, direction).items()
    }
    with plans.planned_on(gpu):
        planned = [
            (algo, *one)
            for algo in algos
            for one in plans.planned(partial(op.run, case, direction, arrays, algo))
        ]
    for algo, plan, own in planned:
        for launch, bound in launched(plan, own):
            kernel = launch.kernel
            compiled = code.of_kernel(kernel, gpu.arch)
            run = plans.sampled(compiled, launch, bound, arguments.blocks)
            found = profile(
                compiled, run, gpu, launch.shared, str(sources.kernel_path(kernel.file))
            )
            yield replace(found, times=launch.times, algo=algo)


def _aligned(array: np.ndarray) -> np.ndarray:
    from pycnn.predict import sample

    found = sample.guarded(array.shape, array.dtype)
    found[...] = array
    return found


def _three(extent: tuple[int, ...] | None) -> tuple[int, int, int]:
    x, y, z = (*(extent or (1,)), 1, 1)[:3]
    return x, y, z
