"""The command ``pycnn``. Each sub-command is defined where its work is done."""

import argparse
import contextlib
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import NoReturn

import pycnn
from pycnn import config
from pycnn.bench import commands as bench, tune_command as tune
from pycnn.define import explain_command as explain, table
from pycnn.emulator import command as emulate
from pycnn.live import command as live
from pycnn.onnx import command as onnx
from pycnn.predict import command as profile
from pycnn.reference.cpu import _blas
from pycnn.runtime import cache, info, kernel_table
from pycnn.runtime.backends import BackendUnavailable
from pycnn.runtime.errors import CompileError
from pycnn.runtime.extras import MissingExtra
from pycnn.runtime.files import in_words
from pycnn.runtime.launcher import is_first
from pycnn.runtime.text import did_you_mean
from pycnn.see import costs, diagram, visualisation
from pycnn.train import commands as train

#: Errors that the user can do something about: one line and exit status 2, no traceback.
EXPECTED = (
    ValueError, TypeError, OSError, MemoryError, CompileError, MissingExtra, BackendUnavailable,
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        Exit status: 0; 1 if what was checked is wrong; 2 for bad input or a missing dependency;
        130 if interrupted.

    Examples
    --------
    >>> main(["cache", "path"]) == 0  # doctest: +ELLIPSIS
    /...
    True
    """
    arguments = _parser().parse_args(argv)
    verbose = False
    try:
        verbose = config.get("PYCNN_VERBOSE")
        with _threads(arguments):
            status: int = arguments.run(arguments)
        return status
    except KeyboardInterrupt:
        if is_first():
            print("pycnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, `head` for one, has left
        sys.stderr.close()
        return 1
    except EXPECTED as error:
        if verbose:
            traceback.print_exc()
        said = in_words(error) if isinstance(error, OSError) else error
        print(f"pycnn: error: {said}", file=sys.stderr)
        return 2


@contextlib.contextmanager
def _threads(arguments: argparse.Namespace) -> Iterator[None]:
    """``--threads`` in effect, for the commands that compute; without it, say if cores are busy."""
    name, threads = "PYCNN_CPU_THREADS", getattr(arguments, "threads", 0)
    _blas.when_busy = _say_busy if threads is None else None
    if not threads:
        yield
        return
    before = os.environ.get(name)
    os.environ[name] = str(threads)
    try:
        yield
    finally:
        del os.environ[name]
        os.environ.update({} if before is None else {name: before})


def _say_busy(free: int, cores: int) -> None:
    print(f"pycnn: the machine is busy: {free} of {cores} cores are used; "
          f"--threads {cores} uses all", file=sys.stderr)  # fmt: skip


class Parser(argparse.ArgumentParser):
    """Says which choice is near the one that is none."""

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)$", message)
        near = did_you_mean(wrong[1], re.findall(r"[\w-]+", wrong[2])) if wrong else ""
        super().error(message + near)


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(prog="pycnn", description=pycnn.__doc__)
    parser.add_argument("--version", action="version", version=f"pycnn {pycnn.__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    train.add_parsers(subparsers)
    costs.add_parser(subparsers)
    diagram.add_parser(subparsers)
    visualisation.add_parser(subparsers)
    live.add_parser(subparsers)
    onnx.add_parser(subparsers)
    bench.add_parsers(subparsers)
    explain.add_parser(subparsers)
    tune.add_parser(subparsers)
    table.add_parser(subparsers)
    kernel_table.add_parser(subparsers)
    emulate.add_parser(subparsers)
    profile.add_parser(subparsers)
    info.add_parser(subparsers)
    _add_cache_parser(subparsers)
    return parser


def _add_cache_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("cache", help="size or folder of the compiled kernels, or clear")
    parser.add_argument("action", nargs="?", choices=("size", "path", "clear"), default="size")
    parser.set_defaults(run=_cache)


def _cache(arguments: argparse.Namespace) -> int:
    if arguments.action == "path":
        print(cache.directory())
    elif arguments.action == "clear":
        print(f"removed {cache.clear()} entries from {cache.directory()}")
    else:
        entries, size = cache.usage()
        print(f"{entries} entries, {size / 2**20:.1f} MiB in {cache.directory()}")
    return 0
