"""The command ``pycnn``. Each sub-command is defined where its work is done."""

import argparse
import sys
import traceback
from collections.abc import Sequence

import pycnn
from pycnn import config
from pycnn.bench import commands as bench
from pycnn.define import table
from pycnn.runtime import cache, info, kernel_table
from pycnn.runtime.backends import BackendUnavailable
from pycnn.runtime.errors import CompileError
from pycnn.runtime.extras import MissingExtra
from pycnn.see import costs, diagram, visualisation
from pycnn.train import commands as train

#: Errors that the user can do something about: one line and exit status 2, no traceback.
EXPECTED = (ValueError, TypeError, OSError, CompileError, MissingExtra, BackendUnavailable)


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
        status: int = arguments.run(arguments)
        return status
    except KeyboardInterrupt:
        print("pycnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, `head` for one, has left
        sys.stderr.close()
        return 1
    except EXPECTED as error:
        if verbose:
            traceback.print_exc()
        print(f"pycnn: error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pycnn", description=pycnn.__doc__)
    parser.add_argument("--version", action="version", version=f"pycnn {pycnn.__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    train.add_parsers(subparsers)
    costs.add_parser(subparsers)
    diagram.add_parser(subparsers)
    visualisation.add_parser(subparsers)
    bench.add_parsers(subparsers)
    table.add_parser(subparsers)
    kernel_table.add_parser(subparsers)
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
