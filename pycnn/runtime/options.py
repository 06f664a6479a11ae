"""Options of the command line that several commands share, and the checks of their values."""

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pycnn.runtime.files import require_replaceable, write_json


def add_threads(parser: argparse.ArgumentParser) -> None:
    """``--threads``, which `pycnn.cli.main` puts into effect."""
    parser.add_argument(
        "--threads", type=positive, metavar="N",
        help="threads of the CPU path and its BLAS (default: the cores that no other program uses)",
    )  # fmt: skip


def positive(text: str) -> int:
    """A whole number from 1 on, as argparse's `type`."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed is a whole number from 1 on")
    return int(text)


def is_path(name: str) -> bool:
    """Whether a word that could be a name or a file is meant as a file.

    Examples
    --------
    >>> is_path("runs/lenet5"), is_path("m.safetensors"), is_path("lenet5")
    (True, True, False)
    """
    return "/" in name or os.sep in name or bool(Path(name).suffix)


def add_force(parser: argparse.ArgumentParser) -> None:
    """``--force``, for `check_output`."""
    parser.add_argument(
        "--force", action="store_true",
        help="replace results that are there, once the new ones are complete",
    )  # fmt: skip


def with_json(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None
) -> argparse.Namespace:
    """The arguments of a script that has ``--json``, once it is known that its file can be written.

    The parser ends the program where it cannot.
    """
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    add_force(parser)
    options = parser.parse_args(arguments)
    if options.json:
        try:
            check_output(options.json, "--json", force=options.force)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    return options


def print_and_write_json(report: Any, file: Path | None) -> None:
    """Show what a script found, and keep it in the file of its ``--json`` if that was given."""
    print(json.dumps(report, indent=2))
    if file:
        write_json(file, report)


def check_output(
    path: Path | str, option: str, suffixes: Iterable[str] = (), force: bool = True
) -> None:
    """Refuse a file that could not be written, before the work whose result it is to hold.

    Raises
    ------
    ValueError
        If its name does not end with one of `suffixes`.
    OSError
        If its folder does not exist or takes no files, or it is a folder, may not be written to,
        or is there without `force`.
    """
    path, suffixes = Path(path), tuple(suffixes)
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"{option} {path}: allowed are the suffixes {' and '.join(suffixes)}")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{option} {path}: no folder {folder}")
    if path.is_dir():
        raise IsADirectoryError(f"{option} {path}: it is a folder")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{option} {path}: the folder {folder} takes no files")
    require_replaceable(path)
    if path.exists() and not force:
        raise FileExistsError(
            f"{option} {path}: it is there; give another name, or --force to replace it"
        )
