"""``pycnn emulate``: launch a kernel of a ``.cu`` or ``.ptx`` file from the command line."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from pycnn import config
from pycnn.emulator.counting import Counters
from pycnn.emulator.errors import KernelError
from pycnn.emulator.ptx import PtxModule
from pycnn.emulator.raw import RawModule
from pycnn.emulator.specs import SPECS, Argument, argument
from pycnn.runtime.options import check_output
from pycnn.runtime.text import aligned, did_you_mean

#: Shared memory is what the launch asks for; a GPU would want to be asked first.
_ALL_SHARED = 227 * 1024


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "emulate",
        help="run a kernel of a .cu or .ptx file on this processor, and check it",
        epilog=SPECS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("file", metavar="FILE", help="CUDA C++ (.cu, compiled by NVRTC) or PTX (.ptx)")
    add("--kernel", metavar="NAME", help="default: the only one; scale<float> for a template")
    add("--grid", type=extents, default=(1,), metavar="X[,Y[,Z]]", help="blocks (default 1)")
    add("--block", type=extents, default=(1,), metavar="X[,Y[,Z]]", help="threads (default 1)")
    add("--arg", action="append", default=[], metavar="[NAME=]SPEC", dest="args",
        help="an argument, in order; see below")  # fmt: skip
    add("--shared", type=int, default=0, metavar="BYTES", help="dynamic shared memory")
    add("--checked", action="store_true", help="watch every memory access")
    add("--count", action="store_true", help="count memory traffic; implies --checked")
    add("--arch", metavar="ARCH", help="what NVRTC compiles a .cu file for, such as sm_90a")
    add("--define", action="append", default=[], metavar="NAME[=VALUE]", help="macro of a .cu file")
    add("--include", action="append", default=[], metavar="FOLDER", help="headers of a .cu file")
    add("--schedule", metavar="ORDER", help="threads and blocks: forward, reverse or random:SEED")
    add("--timeout", type=float, metavar="SECONDS", help="end the launch after that time")
    add("--save", action="append", default=[], metavar="NAME=FILE.npy",
        help="write an array when done; NAME as in --arg, or its number from 0 on")  # fmt: skip
    parser.set_defaults(run=_run)


def extents(text: str) -> tuple[int, ...]:
    """Extents of a grid or block, as a command line has them."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not 1 <= len(found) <= 3:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are one to three whole numbers, 4,2,1")
    return found


def _run(arguments: argparse.Namespace) -> int:
    parsed = [argument(text) for text in arguments.args]
    saved = [_to_save(text, parsed) for text in arguments.save]
    checked = arguments.checked or arguments.count
    module = _module(arguments, checked)
    kernel = module.get_function(_kernel_name(arguments.kernel, module.kernel_names, arguments))
    kernel.max_dynamic_shared_size_bytes = _ALL_SHARED
    before = [np.array(a.value) if isinstance(a.value, np.ndarray) else None for a in parsed]
    start = time.perf_counter()
    failure = None
    try:
        kernel(
            arguments.grid,
            arguments.block,
            [a.value for a in parsed],
            shared_mem=arguments.shared,
        )
    except KernelError as error:
        failure = error
    seconds = time.perf_counter() - start
    build = "checked" if checked else "fast"
    where = f"grid {_shape(arguments.grid)}, block {_shape(arguments.block)}, {build} build"
    if failure is not None:
        print(f"{kernel.name}: {type(failure).__name__}, {where}", file=sys.stderr)
        print(failure, file=sys.stderr)
        return 1
    silent = ", no defect found" if checked else ""
    print(f"{kernel.name}: done in {seconds:.3g} s, {where}{silent}")
    print("\n".join(_outcome(parsed, before)))
    if arguments.count and kernel.counters is not None:
        print("\n".join(_traffic(kernel.counters)))
    for operand, path in saved:
        np.save(path, operand.value)
    return 0


def _module(arguments: argparse.Namespace, checked: bool) -> Any:
    path = Path(arguments.file)
    settings: dict[str, Any] = {
        "checked": checked, "schedule": arguments.schedule, "timeout": arguments.timeout,
    }  # fmt: skip
    if path.suffix == ".ptx":
        for option in ("arch", "define", "include"):
            if getattr(arguments, option):
                raise ValueError(f"--{option} goes with a .cu file; {path} is compiled already")
        return PtxModule(path, **settings)
    if path.suffix != ".cu":
        raise ValueError(f"{path}: allowed are files .cu and .ptx")
    for folder in arguments.include:
        if not Path(folder).is_dir():
            raise NotADirectoryError(f"--include {folder}: no such folder")
    options = [f"-D{macro}" for macro in arguments.define]
    options += [f"-I{folder}" for folder in arguments.include]
    templated = "<" in (arguments.kernel or "")
    return RawModule(
        path=path, options=options, name_expressions=(arguments.kernel,) if templated else None,
        via="ptx", arch=arguments.arch or config.get("PYCNN_EMULATOR_ARCH"), **settings,
    )  # fmt: skip


def _kernel_name(name: str | None, there: Sequence[str], arguments: argparse.Namespace) -> str:
    if name is None and len(there) == 1:
        return there[0]
    if name in there:
        return str(name)
    known = ", ".join(there) or "none"
    if name is None:
        raise ValueError(f"--kernel is wanted: {arguments.file} has {known}")
    raise ValueError(
        f"--kernel {name}: {arguments.file} has {known}{did_you_mean(name, list(there))}"
    )


def _to_save(text: str, parsed: Sequence[Argument]) -> tuple[Argument, Path]:
    name, equals, file = text.partition("=")
    if not equals or not file:
        raise ValueError(f"--save {text}: allowed is NAME=FILE.npy")
    known = {str(i): a for i, a in enumerate(parsed)} | {a.name: a for a in parsed if a.name}
    if name not in known or not isinstance(known[name].value, np.ndarray):
        arrays = [n for n, a in known.items() if isinstance(a.value, np.ndarray)]
        raise ValueError(f"--save {text}: {name!r} is no array; there are: {', '.join(arrays)}")
    check_output(file, "--save", (".npy",))
    return known[name], Path(file)


def _shape(extents: Sequence[int]) -> str:
    return "x".join(map(str, extents))


def _outcome(parsed: Sequence[Argument], before: Sequence[np.ndarray | None]) -> list[str]:
    """A line for each array: whether it changed, and what it holds."""
    rows = []
    for i, (a, old) in enumerate(zip(parsed, before, strict=True)):
        if old is None or not isinstance(a.value, np.ndarray):
            continue
        new = a.value
        changed = int((new.view(np.uint8) != old.view(np.uint8)).any()) if new.size else 0
        state = "changed" if changed else "unchanged"
        rows.append((f"  {a.name or i}", f"{new.dtype}[{_shape(new.shape)}]", state, _values(new)))
    return aligned(rows) if rows else []


def _values(array: np.ndarray) -> str:
    if not array.size:
        return "empty"
    if array.dtype.kind not in "iuf":
        return ""
    wide = array.astype(float) if array.dtype.kind == "f" else array
    finite = wide[np.isfinite(wide)]
    parts = []
    if finite.size:
        parts.append(f"{finite.min():.6g} to {finite.max():.6g}, mean {finite.mean():.6g}")
    if finite.size < wide.size:
        parts.append(f"{wide.size - finite.size} not finite")
    return ", ".join(parts)


def _traffic(counters: Counters) -> list[str]:
    """The counters in lines of at most 80 characters."""
    rows = [(f"  {f.name.replace('_', ' ')}", str(getattr(counters, f.name)))
            for f in fields(counters)]  # fmt: skip
    return ["memory traffic", *aligned(rows)]
