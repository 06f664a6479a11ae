"""Trainings that differ in settings, shared among Dask workers (``pycnn train --vary``).

Each is the training that the command would be with these settings and one thread, so that it comes
out the same wherever it runs. What a lost worker has begun goes on, on another, from the checkpoint
after its last epoch; so does what an interrupted sweep has begun, when it is resumed.
"""

import argparse
import itertools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pycnn
from pycnn.data import DataSet
from pycnn.runtime import terminal
from pycnn.runtime.extras import import_extra
from pycnn.runtime.files import complete, write_json
from pycnn.runtime.workers import client_of, shared, worker
from pycnn.train.checkpoint import load
from pycnn.train.diverged import Diverged
from pycnn.train.parallel import Communicator
from pycnn.train.parallel.communicator import ALONE
from pycnn.train.trainer import Trainer

#: Options that may be varied.
OPTIONS = (
    "accumulate", "batch", "clip-norm", "crop", "label-smoothing", "lr", "mixup", "momentum",
    "optimizer", "precision", "scale-lr", "schedule", "seed", "warmup", "weight-decay", "width",
)  # fmt: skip

#: What is of the whole sweep, and no setting of a training.
_OF_SWEEP = ("vary", "workers", "scheduler", "output", "resume", "force", "run", "change")

#: The file of a sweep's folder that has its results.
RESULTS = "sweep.json"

#: What makes a trainer of a command line: see `pycnn.train.made`.
Made = Callable[[Communicator, argparse.Namespace, Any, DataSet, Path], Trainer]


class Trial(NamedTuple):
    """One training: its settings as they were written, and the command line with them."""

    settings: dict[str, str]
    arguments: argparse.Namespace

    @property
    def name(self) -> str:
        """Of its checkpoint, without a suffix."""
        return ",".join(f"{name}={value}" for name, value in self.settings.items())


def varied(texts: Sequence[str]) -> dict[str, list[str]]:
    """Options and their values, as ``--vary`` has them.

    Raises
    ------
    ValueError
        If an option cannot be varied, comes twice, or a value is empty or comes twice.

    Examples
    --------
    >>> varied(["lr=0.1,0.01", "optimizer=sgd"])
    {'lr': ['0.1', '0.01'], 'optimizer': ['sgd']}
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name, _, listed = text.partition("=")
        values = [value.strip() for value in listed.split(",")]
        if name not in OPTIONS or name in found:
            raise ValueError(f"--vary {text}: allowed are, once each, {', '.join(OPTIONS)}")
        if not all(values) or len({*values}) < len(values):
            raise ValueError(f"--vary {text}: allowed: {name}=VALUE,VALUE, each value once")
        found[name] = values
    return found


def trials(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, folder: Path
) -> list[Trial]:
    """Every combination of what is varied; the last option varies fastest."""
    lists = varied(arguments.vary)
    for name in lists:
        dest = name.replace("-", "_")
        if getattr(arguments, dest) != parser.get_default(dest):
            raise ValueError(f"--{name} and --vary {name}: allowed: one of them")
    found = []
    for values in itertools.product(*lists.values()):
        settings = dict(zip(lists, values, strict=True))
        words = [f"--{name}={value}" for name, value in settings.items()]
        read = parser.parse_args([arguments.model, "--data", arguments.data, *words])
        own = {name.replace("-", "_") for name in settings}
        of_trial = {**vars(arguments), **{n: v for n, v in vars(read).items() if n in own}}
        for name in _OF_SWEEP:
            of_trial[name] = None
        trial = Trial(settings, argparse.Namespace(**of_trial))
        trial.arguments.change = []
        trial.arguments.force = True
        trial.arguments.threads = arguments.threads or 1
        trial.arguments.output = folder.resolve() / f"{trial.name}.safetensors"
        found.append(trial)
    return found


def sweep(
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    check: Callable[[argparse.Namespace], None],
    train: Callable[[argparse.Namespace], dict[str, Any]],
) -> int:
    """Run what the command line asks for; its exit status.

    Parameters
    ----------
    parser : ArgumentParser
        Of ``pycnn train``.
    arguments : Namespace
    check : callable
        Refuses arguments of a training with which it could not begin.
    train : callable
        Makes one training of its arguments, on a worker; see `trained`.
    """
    import_extra("distributed", "sweep", "pycnn train --vary")
    for name in ("log", "plot", "change"):
        if getattr(arguments, name):
            raise ValueError(f"--{name} with --vary; allowed: without, {RESULTS} has all figures")
    folder = arguments.resume or arguments.output
    if folder is None:
        raise ValueError("--vary: nowhere to write to; needed: -o FOLDER, or --resume FOLDER")
    planned = trials(parser, arguments, folder)
    for trial in planned:
        try:
            check(argparse.Namespace(**{**vars(trial.arguments), "output": None}))
        except ValueError as error:
            raise ValueError(f"{trial.name}: {error}") from error
    document = {
        "pycnn": pycnn.__version__,
        "of": _fixed(arguments),
        "varied": varied(arguments.vary),
    }
    known = _known(folder, document, resumed=arguments.resume is not None, force=arguments.force)
    if arguments.resume is None:  # with --force: what another sweep has begun is none of these
        for trial in planned:
            unfinished(trial.arguments.output).unlink(missing_ok=True)
    left = [i for i, trial in enumerate(planned) if trial.name not in known]
    found = {i: known[trial.name] for i, trial in enumerate(planned) if i not in left}

    def keep() -> None:
        trainings = [found[i] for i in sorted(found)]
        whole = {**document, "complete": len(found) == len(planned), "trainings": trainings}
        write_json(folder / RESULTS, whole)

    gpu = arguments.device == "cuda"
    try:
        with (
            client_of(arguments.scheduler, arguments.workers, gpu=gpu) as client,
            terminal.progress(len(left)) as (announce, advance),
        ):
            folder.mkdir(exist_ok=True)
            keep()
            task = partial(_nth, [planned[i] for i in left], train)
            for number, part in shared(client, task, len(left)):
                trial = planned[left[number]]
                lost = {"status": "failed", "reason": part} if isinstance(part, str) else part
                found[left[number]] = {"settings": trial.settings, **lost}
                keep()
                announce(f"{trial.name}: {_said(found[left[number]])}")
                advance()
    except KeyboardInterrupt:
        if not (folder / RESULTS).is_file():
            raise
        print(
            f"pycnn: interrupted: {len(found)} of {len(planned)} trainings done; go on with "
            f"--resume {folder} in the place of --output", file=sys.stderr,
        )  # fmt: skip
        return 130
    _show(planned, found, folder)
    return int(any(one["status"] != "trained" for one in found.values()))


def _nth(planned: Sequence[Trial], train: Callable[..., dict[str, Any]], i: int) -> dict[str, Any]:
    return {**train(planned[i].arguments), "worker": worker()}


def trained(
    made: Made, read: Callable[[argparse.Namespace], DataSet], arguments: argparse.Namespace
) -> dict[str, Any]:
    """The figures of one training, on the worker that this is; begun ones go on.

    One that diverges is a failure of its own.
    """
    os.environ["PYCNN_CPU_THREADS"] = str(arguments.threads)
    output: Path = arguments.output
    written = unfinished(output)
    checkpoint = load(written) if written.exists() else None
    try:
        trainer = made(ALONE, arguments, checkpoint, of_this_process(read, arguments), written)
        rows = trainer.fit(arguments.epochs)
    except Diverged as error:
        return {"status": "failed", "reason": str(error)}
    complete(written, output)
    epochs = [asdict(row) for row in rows]
    return {"status": "trained", "epochs": epochs, "checkpoint": output.name}


def unfinished(output: Path) -> Path:
    """Where a training keeps what it has until it is done."""
    return output.with_name(f"{output.stem}.unfinished{output.suffix}")


def of_this_process(
    read: Callable[[argparse.Namespace], DataSet], arguments: argparse.Namespace
) -> DataSet:
    """The data, read once by a process that has many trainings."""
    key = tuple(getattr(arguments, name) for name in ("data", "data_path", "size", "channels"))
    if key not in _READ:
        _READ[key] = read(arguments)
    return _READ[key]


_READ: dict[tuple[Any, ...], DataSet] = {}


def _fixed(arguments: argparse.Namespace) -> dict[str, Any]:
    """All that the trainings have in common, as JSON has it."""
    told = {n: v for n, v in vars(arguments).items() if n not in _OF_SWEEP and v is not None}
    told["threads"] = arguments.threads or 1
    fixed: dict[str, Any] = json.loads(json.dumps(told, default=str))
    return fixed


def _known(
    folder: Path, document: Mapping[str, Any], *, resumed: bool, force: bool
) -> dict[str, dict[str, Any]]:
    """Trainings that a folder has already, by name; refuses one that is of another sweep."""
    file = folder / RESULTS
    if not resumed:
        if folder.exists() and not force and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(f"{folder} is there; allowed: --resume {folder}, or --force")
        return {}
    if not file.is_file():
        raise FileNotFoundError(f"--resume {folder}: no {RESULTS} in it")
    try:
        theirs = json.loads(file.read_text())
        known = {
            Trial(one["settings"], argparse.Namespace()).name: one
            for one in theirs["trainings"]
            if one["status"] == "trained"
        }
        of = theirs["of"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is no record of a sweep: {error}") from error
    for name in {**document["of"], **of}:
        if of.get(name) != document["of"].get(name):
            raise ValueError(
                f"{name}={document['of'].get(name)!r}: {file} has {of.get(name)!r}; allowed with "
                "--resume: the same, and more values to vary"
            )
    return known


def _said(one: Mapping[str, Any]) -> str:
    if one["status"] != "trained":
        return str(one["reason"])
    last = one["epochs"][-1]
    figures = "".join(f", {name} {value:.2%}" for name, value in last["test_metrics"].items())
    return f"test loss {last['test_loss']:.4f}{figures}"


def _show(planned: Sequence[Trial], found: Mapping[int, Mapping[str, Any]], folder: Path) -> None:
    """All trainings, the one with the smallest test loss first."""

    def last(i: int) -> float:
        one = found[i]
        return one["epochs"][-1]["test_loss"] if one["status"] == "trained" else float("inf")

    names = [*planned[0].settings]
    rows = [
        terminal.Row((*planned[i].settings.values(), _said(found[i])))
        for i in sorted(found, key=lambda i: (last(i), i))
    ]
    title = f"{len(found)} trainings in {folder}, by the test loss after the last epoch"
    terminal.show(terminal.Table(title, (*names, "after the last epoch"), tuple(rows)))
