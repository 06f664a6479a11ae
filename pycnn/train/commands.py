"""The command ``pycnn train``."""

import argparse
import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import Any

from pycnn.runtime.extras import import_extra
from pycnn.runtime.files import complete, in_progress
from pycnn.runtime.options import check_output
from pycnn.train import history as log, predict_command, sweep
from pycnn.train.checkpoint import load, model_of
from pycnn.train.diverged import Diverged
from pycnn.train.interrupt import Interrupted
from pycnn.train.made import load_data, made
from pycnn.train.options import add_options, check_options, settle
from pycnn.train.parallel import Communicator, one_copy, processes
from pycnn.train.parallel.communicator import ALONE
from pycnn.train.state import StepInfo
from pycnn.train.trainer import Trainer


def add_parsers(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``train`` and ``predict``."""
    parser = subparsers.add_parser("train", help="train a network on real data")
    add_options(parser)
    parser.set_defaults(run=partial(_train, parser))
    predict_command.add_parser(subparsers)


def _train(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """On all processes that were launched together; the first one writes and says what is done."""
    comm = processes()
    with comm.together():
        if arguments.vary:
            if comm.size > 1:
                raise ValueError("--vary has workers of its own; allowed: without mpiexec")
            return sweep.sweep(parser, arguments, _check_one, _train_one)
        for name in ("workers", "scheduler"):
            if getattr(arguments, name):
                raise ValueError(f"--{name}: allowed with --vary")
        return _train_on(comm, arguments)


def _check_one(arguments: argparse.Namespace) -> None:
    """Of a sweep: whether it could begin."""
    check_options(arguments)
    settle(arguments, None)
    made(ALONE, arguments, None, sweep.of_this_process(load_data, arguments), None)


def _train_one(arguments: argparse.Namespace) -> dict[str, Any]:
    """Of a sweep, on a worker."""
    settle(arguments, None)
    return sweep.trained(made, load_data, arguments)


def _train_on(comm: Communicator, arguments: argparse.Namespace) -> int:
    check_options(arguments)
    rich = import_extra("rich.progress", "train", "pycnn train")
    checkpoint = load(arguments.resume) if arguments.resume else None
    if checkpoint and (theirs := model_of(checkpoint, arguments.resume)[0]) != arguments.model:
        raise ValueError(f"model={arguments.model!r}: {arguments.resume} holds a {theirs}")
    settle(arguments, checkpoint)
    dataset = one_copy(lambda: load_data(arguments), comm)
    output = arguments.output or arguments.resume
    if output is None:
        output = Path(f"{arguments.model}-{dataset.name}.safetensors")
        check_output(output, "--output", force=arguments.force)
    goes_on = arguments.resume is not None and output.resolve() == arguments.resume.resolve()
    written_to = output if goes_on else in_progress(output)
    trainer = made(comm, arguments, checkpoint, dataset, written_to)
    if comm.rank:
        with contextlib.suppress(Interrupted, Diverged):  # which the first one says
            trainer.fit(arguments.epochs)
        return 0
    print(
        f"{arguments.model}: {trainer.model.parameter_count:,} parameters; {dataset.name}: "
        f"{len(dataset.train)} images to train with, {len(dataset.test)} to test with"
    )
    log_to = arguments.log
    if log_to is not None and checkpoint is None:
        log_to = in_progress(log_to)
    began = trainer.state.epoch
    try:
        _fit(trainer, arguments, rich, log_to)
    except Interrupted as interrupted:
        kept = f"; {output} is as it was" if written_to != output else ""
        print(f"pycnn: {interrupted}{kept}", file=sys.stderr)
        return 130
    except Diverged as diverged:
        print(f"pycnn: error: {diverged}; the last checkpoint stays", file=sys.stderr)
        return 1
    if trainer.state.epoch == began:  # the checkpoint had all epochs
        trainer.save()
    complete(written_to, output)
    if log_to is not None and log_to.exists():
        complete(log_to, arguments.log)
    print(f"saved {output}")
    return 0


def _fit(trainer: Trainer, arguments: argparse.Namespace, rich: Any, log_to: Path | None) -> None:
    columns = (
        rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn(),
        rich.TextColumn("{task.fields[figures]}"), rich.TimeRemainingColumn(),
    )  # fmt: skip
    with rich.Progress(*columns, transient=True) as bar:
        task = bar.add_task("", total=trainer.steps, figures="")
        shown = len(trainer.state.history)

        def report() -> None:
            nonlocal shown
            rows = trainer.state.history
            for row in rows[shown:]:
                bar.console.print(str(row), highlight=False, soft_wrap=True)
                if log_to is not None:
                    log.write(rows, log_to)
                if arguments.plot is not None:
                    log.draw(rows, f"{arguments.model} on {trainer.data.name}", arguments.plot)
            shown = len(rows)

        def show(info: StepInfo) -> None:
            report()
            bar.update(
                task, completed=info.step, description=f"epoch {info.epoch}",
                figures=f"loss {info.loss:.4f}{log.figures(info.metrics, '  ')}  "
                        f"{info.images_per_s:.0f} images/s",
            )  # fmt: skip

        trainer.fit(arguments.epochs, show)
        report()
