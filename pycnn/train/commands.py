"""The command ``pycnn train``."""

import argparse
import contextlib
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pycnn import data, models, nn
from pycnn.define.validate import integer
from pycnn.models import arguments as of_model, command_line
from pycnn.nn.optim import OPTIMIZERS, Optimizer
from pycnn.nn.schedule import Constant, Cosine, Plateau, Schedule, Step, Warmup
from pycnn.runtime.extras import import_extra
from pycnn.runtime.files import complete, in_progress
from pycnn.runtime.options import add_force, add_threads, check_output, is_path, positive
from pycnn.runtime.text import did_you_mean
from pycnn.train import history as log, predict_command, sweep
from pycnn.train.checkpoint import Checkpoint, load, model_of
from pycnn.train.diverged import Diverged
from pycnn.train.interrupt import Interrupted
from pycnn.train.parallel import Communicator, one_copy, processes
from pycnn.train.parallel.communicator import ALONE
from pycnn.train.state import StepInfo
from pycnn.train.trainer import Trainer

SCHEDULES = ("constant", "step", "cosine", "plateau")


def add_parsers(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``train`` and ``predict``."""
    _add_train(subparsers)
    predict_command.add_parser(subparsers)


def _add_train(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("train", help="train a network on real data")
    add = parser.add_argument
    add("model", help="a name of pycnn.models, such as lenet5")
    add(
        "--data", required=True, help="a name of pycnn.data, such as mnist5k, or a folder of images"
    )
    add("--data-path", help="folder of a data set that no package brings, such as mnist")
    add("--size", type=_size, help="resize the images of a folder: HEIGHT,WIDTH")
    add("--channels", type=int, choices=(1, 3), help="read the images of a folder as grey or RGB")
    add("--epochs", type=int, default=10, help="in all, those resumed counted (default 10)")
    add("--batch", type=int, help="images of a step (default 64)")
    add("--optimizer", choices=OPTIMIZERS, help="default adam")
    add("--lr", type=float, help="learning rate (default 0.001)")
    add("--momentum", type=float, help="of sgd (default 0.9) and rmsprop (default 0)")
    add("--nesterov", action="store_true", help="for sgd")
    add("--weight-decay", type=float, help="of the optimizer (default 0.01 for adamw, else 0)")
    add("--schedule", choices=SCHEDULES, default="constant")
    add("--warmup", type=float, default=0.0, metavar="EPOCHS")
    add("--clip-norm", type=float, help="largest norm of all gradients together")
    add("--accumulate", type=positive, metavar="PARTS",
        help="compute the gradients of a batch in PARTS, one in memory at a time "
             "(default: as many as processes)")  # fmt: skip
    add("--scale-lr", type=positive, metavar="IMAGES",
        help="the rate is for steps of IMAGES: multiply it by batch / IMAGES")  # fmt: skip
    add("--sync-batch-norm", action="store_true",
        help="batch normalisation over the parts of all processes")  # fmt: skip
    add("--precision", choices=("float16", "bfloat16"),
        help="what layers compute in; weights stay in float32")  # fmt: skip
    add("--patience", type=positive, metavar="EPOCHS",
        help="stop when the test loss has not fallen for EPOCHS")  # fmt: skip
    add("--width", type=float, help="factor of the model's channels (default 1)")
    command_line.add_own(parser)
    add("--flip", action="store_true", help="augmentation: mirror half of the images")
    add("--crop", type=int, default=0, metavar="PIXELS", help="augmentation: shift by up to PIXELS")
    add("--label-smoothing", type=float, default=0.0, metavar="SHARE",
        help="share of a target that all classes get evenly (default 0)")  # fmt: skip
    add("--mixup", type=float, metavar="ALPHA",
        help="augmentation: mix images, and their classes, by a beta distribution")  # fmt: skip
    add("--seed", type=int, help="default 0")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--graph", action="store_true", help="with --device cuda: every step one CUDA graph")
    add("-o", "--output", type=Path, help="checkpoint (default MODEL-DATA.safetensors)")
    add(
        "--resume",
        type=Path,
        metavar="CHECKPOINT",
        help="go on where it stopped, bit for bit; "
        "batch, optimizer, rate, width and seed are then the checkpoint's",
    )
    add("--change", action="append", default=[], metavar="SETTING",
        help="with --resume: a setting, such as lr, that is meant to be another now")  # fmt: skip
    add_force(parser)
    add("--log", type=Path, help="figures of every epoch, .csv or .json")
    add("--plot", type=Path, help="learning curves, .png or .svg")
    add_threads(parser)
    add("--vary", action="append", default=[], metavar="OPTION=VALUES",
        help="train once for every combination of such values, by commas, on Dask workers; "
             "--output is a folder then, and --resume, too")  # fmt: skip
    add("--workers", type=positive, metavar="N",
        help="with --vary: start N workers here (default: one a core, or one a GPU)")  # fmt: skip
    add("--scheduler", metavar="ADDRESS",
        help="with --vary: use a cluster's workers instead, such as tcp://host:8786")  # fmt: skip
    parser.set_defaults(run=partial(_train, parser))


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: HEIGHT,WIDTH") from None
    return height, width


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
    _check_options(arguments)
    _settle(arguments, None)
    made(ALONE, arguments, None, sweep.of_this_process(load_data, arguments), None)


def _train_one(arguments: argparse.Namespace) -> dict[str, Any]:
    """Of a sweep, on a worker."""
    _settle(arguments, None)
    return sweep.trained(made, load_data, arguments)


def _train_on(comm: Communicator, arguments: argparse.Namespace) -> int:
    _check_options(arguments)
    rich = import_extra("rich.progress", "train", "pycnn train")
    checkpoint = load(arguments.resume) if arguments.resume else None
    if checkpoint and (theirs := model_of(checkpoint, arguments.resume)[0]) != arguments.model:
        raise ValueError(f"model={arguments.model!r}: {arguments.resume} holds a {theirs}")
    _settle(arguments, checkpoint)
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


def made(
    comm: Communicator, arguments: argparse.Namespace, checkpoint: Checkpoint | None,
    dataset: data.DataSet, written_to: Path | None,
) -> Trainer:  # fmt: skip
    """The trainer that a settled command line asks for, as far as a checkpoint of it is."""
    model = models.create(
        arguments.model, classes=len(dataset.classes), input_shape=dataset.images.shape[1:],
        width=arguments.width, seed=arguments.seed, **arguments.own,
    )  # fmt: skip
    if arguments.device == "cuda":
        comm.take_gpu()
        model.to("cuda")
    optimizer = _optimizer(arguments, model)
    trainer = Trainer(
        model, dataset, optimizer, _schedule(arguments, optimizer), batch=arguments.batch,
        seed=arguments.seed, transform=_transform(arguments), clip_norm=arguments.clip_norm,
        precision=arguments.precision, accumulate=arguments.accumulate,
        patience=arguments.patience, checkpoint=written_to, mix=_mix(arguments, dataset),
        loss=nn.CrossEntropyLoss(label_smoothing=arguments.label_smoothing), comm=comm,
        sync_batch_norm=arguments.sync_batch_norm, graph=arguments.graph,
    )  # fmt: skip
    if checkpoint:
        trainer.resume(checkpoint, arguments.change)
    return trainer


#: Options that the checkpoint of ``--resume`` answers, and what they are without it.
DEFAULTS: dict[str, Any] = {"batch": 64, "optimizer": "adam", "lr": 1e-3, "width": 1.0, "seed": 0}

OUTPUTS = {"log": (".csv", ".json"), "plot": (".png", ".svg", ".pdf"), "output": ()}


def _check_options(arguments: argparse.Namespace) -> None:
    """Refuse what would be ignored or fail at the end, before anything is read."""
    for name, suffixes in OUTPUTS.items():
        if getattr(arguments, name) is not None:
            force = _may_replace(arguments, name)
            check_output(getattr(arguments, name), f"--{name}", suffixes, force)
    integer("epochs", arguments.epochs, 1)
    if arguments.scale_lr and arguments.resume and arguments.lr is None:
        raise ValueError("--scale-lr: the checkpoint has the rate; allowed with --lr")
    if arguments.change and not arguments.resume:
        raise ValueError("--change: nothing to change; allowed with --resume")
    if not 0 <= arguments.label_smoothing <= 1:
        raise ValueError(f"--label-smoothing {arguments.label_smoothing:g}: allowed are 0 to 1")
    if arguments.plot is not None:
        import_extra("matplotlib", "train", "--plot")
    optimizer = arguments.optimizer or (None if arguments.resume else DEFAULTS["optimizer"])
    if optimizer:
        _optimizer_settings(arguments, optimizer)
    if arguments.warmup and not 0 < arguments.warmup < arguments.epochs:
        raise ValueError(
            f"--warmup {arguments.warmup:g}: allowed are less than the {arguments.epochs} epochs"
        )
    if arguments.data in data.DATA_SETS:
        for option in ("size", "channels"):
            if getattr(arguments, option):
                raise ValueError(
                    f"--{option}: {arguments.data} has one; allowed with a folder of images"
                )
    elif arguments.data_path:
        raise ValueError(f"--data-path: {arguments.data} is a folder of images itself")


def _may_replace(arguments: argparse.Namespace, name: str) -> bool:
    """Whether an output may be there: a plot is soon drawn again, a checkpoint that goes on grows.

    The log of a resumed run begins with what the checkpoint knows.
    """
    resumed: Path | None = arguments.resume
    if name == "output" and arguments.output and resumed:
        return arguments.force or arguments.output.resolve() == resumed.resolve()
    return bool(arguments.force or name == "plot" or (name == "log" and resumed))


def _settle(arguments: argparse.Namespace, checkpoint: Checkpoint | None) -> None:
    """Options not given are as the checkpoint says, which `Trainer.resume` compares with the rest.

    Without a checkpoint they are as `DEFAULTS` says.
    """
    known: dict[str, Any] = {**DEFAULTS, "accumulate": None}
    arguments.own = of_model.read(arguments.model, arguments.own)
    if checkpoint is not None:
        settings = checkpoint.about.get("training", {}).get("settings", {})
        known |= {name: settings[name] for name in ("batch", "seed", "lr") if name in settings}
        theirs = [n for n, kind in OPTIMIZERS.items() if kind.__name__ == settings.get("optimizer")]
        known |= {"optimizer": theirs[0]} if theirs else {}
        known["accumulate"] = settings.get("accumulate") or 1
        made_with = model_of(checkpoint, arguments.resume)[1]
        known["width"] = made_with.get("width", 1.0)
        if arguments.width not in (None, known["width"]):
            raise ValueError(
                f"--width {arguments.width:g}: the checkpoint was made with {known['width']:g}"
            )
        arguments.own = _own_of(arguments, made_with)
    for name, value in known.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if arguments.scale_lr:
        arguments.lr *= arguments.batch / arguments.scale_lr


def _own_of(arguments: argparse.Namespace, made_with: Mapping[str, Any]) -> dict[str, Any]:
    """What the checkpoint says of ``--arg``; refuses what differs from it."""
    has = of_model.own(arguments.model)
    theirs = {name: made_with.get(name, one.default) for name, one in has.items()}
    for name, value in arguments.own.items():
        if value != theirs[name]:
            raise ValueError(
                f"--arg {name}={of_model.text(value)}: the checkpoint was made with "
                f"{of_model.text(theirs[name])}"
            )
    return {name: value for name, value in theirs.items() if name in made_with}


def load_data(arguments: argparse.Namespace) -> data.DataSet:
    """The data set by its name, or from a folder of images."""
    if arguments.data in data.DATA_SETS:
        return data.load(arguments.data, path=arguments.data_path)
    if Path(arguments.data).is_dir():
        try:
            return data.folder(arguments.data, size=arguments.size, channels=arguments.channels)
        except ValueError as error:
            hint = "; here: --size HEIGHT,WIDTH, --channels 1 or 3" * ("size=" in str(error))
            raise ValueError(f"{error}{hint}") from None
    if is_path(arguments.data):
        raise FileNotFoundError(f"--data {arguments.data}: no such folder")
    near = did_you_mean(arguments.data, data.DATA_SETS)
    raise ValueError(
        f"data={arguments.data!r}: allowed are {', '.join(data.DATA_SETS)}, or a folder of images"
        f"{near}"
    )


def _optimizer(arguments: argparse.Namespace, model: nn.Layer) -> Optimizer:
    settings = _optimizer_settings(arguments, arguments.optimizer)
    if arguments.optimizer == "sgd":
        settings.setdefault("momentum", 0.9)
    return OPTIMIZERS[arguments.optimizer](model, lr=arguments.lr, **settings)


def _optimizer_settings(arguments: argparse.Namespace, optimizer: str) -> dict[str, Any]:
    """What is said of it; refuses what it does not have."""
    settings = {"momentum": arguments.momentum, "nesterov": arguments.nesterov or None,
                "weight_decay": arguments.weight_decay}  # fmt: skip
    settings = {name: value for name, value in settings.items() if value is not None}
    for name in settings:
        having = [n for n, kind in OPTIMIZERS.items() if name in inspect.signature(kind).parameters]
        if optimizer not in having:
            raise ValueError(f"--{name}: {optimizer} has none; allowed: {', '.join(having)}")
    return settings


def _schedule(arguments: argparse.Namespace, optimizer: Optimizer) -> Schedule:
    schedules: dict[str, Callable[[], Schedule]] = {
        "constant": lambda: Constant(optimizer),
        "step": lambda: Step(optimizer, every=max(1, arguments.epochs // 3)),
        "cosine": lambda: Cosine(optimizer, arguments.epochs),
        "plateau": lambda: Plateau(optimizer, patience=3),
    }
    schedule = schedules[arguments.schedule]()
    return Warmup(schedule, arguments.warmup) if arguments.warmup > 0 else schedule


def _transform(arguments: argparse.Namespace) -> Callable[..., Any] | None:
    steps: list[data.Transform] = []
    if arguments.flip:
        steps.append(data.augment.HorizontalFlip())
    if arguments.crop:
        steps.append(data.augment.RandomCrop(arguments.crop))
    return data.augment.Compose(*steps) if steps else None


def _mix(arguments: argparse.Namespace, dataset: data.DataSet) -> data.Mix | None:
    if arguments.mixup is None:
        return None
    return data.augment.Mixup(len(dataset.classes), arguments.mixup)


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
