"""The commands ``pycnn train`` and ``pycnn predict``."""

import argparse
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pycnn import data, models, nn
from pycnn.nn.optim import OPTIMIZERS, Optimizer
from pycnn.nn.schedule import Constant, Cosine, Plateau, Schedule, Step, Warmup
from pycnn.runtime.extras import import_extra
from pycnn.runtime.text import aligned
from pycnn.train import history as log
from pycnn.train.checkpoint import load, model_of
from pycnn.train.diverged import Diverged
from pycnn.train.interrupt import Interrupted
from pycnn.train.predict import Predictor
from pycnn.train.trainer import StepInfo, Trainer

SCHEDULES = ("constant", "step", "cosine", "plateau")


def add_parsers(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``train`` and ``predict``."""
    _add_train(subparsers)
    _add_predict(subparsers)


def _add_train(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("train", help="train a network on real data")
    add = parser.add_argument
    add("model", help="a name of pycnn.models, such as lenet5")
    add(
        "--data", required=True, help="a name of pycnn.data, such as mnist5k, or a folder of images"
    )
    add("--data-path", help="folder of a data set that no package brings, such as mnist")
    add("--size", type=_size, help="resize the images of a folder: HEIGHT,WIDTH")
    add("--epochs", type=int, default=10, help="in all, those resumed counted (default 10)")
    add("--batch", type=int, default=64, help="images of a step (default 64)")
    add("--optimizer", choices=OPTIMIZERS, default="adam")
    add("--lr", type=float, default=1e-3, help="learning rate (default 0.001)")
    add("--momentum", type=float, help="of sgd (default 0.9) and rmsprop (default 0)")
    add("--nesterov", action="store_true", help="for sgd")
    add("--weight-decay", type=float, help="of the optimizer (default 0.01 for adamw, else 0)")
    add("--schedule", choices=SCHEDULES, default="constant")
    add("--warmup", type=float, default=0.0, metavar="EPOCHS")
    add("--clip-norm", type=float, help="largest norm of all gradients together")
    add("--width", type=float, default=1.0, help="factor of the model's channels")
    add("--flip", action="store_true", help="augmentation: mirror half of the images")
    add("--crop", type=int, default=0, metavar="PIXELS", help="augmentation: shift by up to PIXELS")
    add("--seed", type=int, default=0)
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("-o", "--output", type=Path, help="checkpoint (default MODEL-DATA.safetensors)")
    add("--resume", type=Path, metavar="CHECKPOINT", help="go on where it stopped, bit for bit")
    add("--log", type=Path, help="figures of every epoch, .csv or .json")
    add("--plot", type=Path, help="learning curves, .png or .svg")
    parser.set_defaults(run=_train)


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: HEIGHT,WIDTH") from None
    return height, width


def _train(arguments: argparse.Namespace) -> int:
    for path in (arguments.log, arguments.plot, arguments.output):
        if path is not None and not path.resolve().parent.is_dir():
            raise FileNotFoundError(f"{path}: no folder {path.parent}")
    if arguments.log is not None and arguments.log.suffix not in (".csv", ".json"):
        raise ValueError(f"--log {arguments.log}: allowed are the suffixes .csv and .json")
    rich = import_extra("rich.progress", "train", "pycnn train")
    checkpoint = load(arguments.resume) if arguments.resume else None
    dataset = load_data(arguments)
    if checkpoint and (theirs := model_of(checkpoint, arguments.resume)[0]) != arguments.model:
        raise ValueError(f"model={arguments.model!r}: {arguments.resume} holds a {theirs}")
    model = models.create(
        arguments.model, classes=len(dataset.classes), input_shape=dataset.images.shape[1:],
        width=arguments.width, seed=arguments.seed,
    )  # fmt: skip
    if arguments.device == "cuda":
        model.to("cuda")
    optimizer = _optimizer(arguments, model)
    output = arguments.output or arguments.resume
    output = output or Path(f"{arguments.model}-{dataset.name}.safetensors")
    trainer = Trainer(
        model, dataset, optimizer, _schedule(arguments, optimizer), batch=arguments.batch,
        seed=arguments.seed, transform=_transform(arguments), clip_norm=arguments.clip_norm,
        checkpoint=output,
    )  # fmt: skip
    if checkpoint:
        trainer.resume(checkpoint)
    print(
        f"{arguments.model}: {model.parameter_count:,} parameters; {dataset.name}: "
        f"{len(dataset.train)} images to train with, {len(dataset.test)} to test with"
    )
    try:
        _fit(trainer, arguments, rich)
    except Interrupted as interrupted:
        print(f"pycnn: {interrupted}", file=sys.stderr)
        return 130
    except Diverged as diverged:
        print(f"pycnn: error: {diverged}; the last checkpoint stays", file=sys.stderr)
        return 1
    print(f"saved {output}")
    return 0


def load_data(arguments: argparse.Namespace) -> data.DataSet:
    """The data set by its name, or from a folder of images."""
    if arguments.data in data.DATA_SETS:
        if arguments.size is not None:
            raise ValueError(f"--size: {arguments.data} has one; allowed with a folder of images")
        return data.load(arguments.data, path=arguments.data_path)
    if Path(arguments.data).is_dir():
        if arguments.data_path is not None:
            raise ValueError(f"--data-path: {arguments.data} is a folder of images itself")
        return data.folder(arguments.data, size=arguments.size)
    raise ValueError(
        f"data={arguments.data!r}: allowed are {', '.join(data.DATA_SETS)}, or a folder of images"
    )


def _optimizer(arguments: argparse.Namespace, model: nn.Layer) -> Optimizer:
    kind = OPTIMIZERS[arguments.optimizer]
    settings = {"momentum": arguments.momentum, "nesterov": arguments.nesterov or None,
                "weight_decay": arguments.weight_decay}  # fmt: skip
    settings = {name: value for name, value in settings.items() if value is not None}
    for name in settings:
        if name not in inspect.signature(kind).parameters:
            raise ValueError(f"--{name}: {arguments.optimizer} has none")
    if arguments.optimizer == "sgd":
        settings.setdefault("momentum", 0.9)
    return kind(model, lr=arguments.lr, **settings)


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


def _fit(trainer: Trainer, arguments: argparse.Namespace, rich: Any) -> None:
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
                if arguments.log is not None:
                    log.write(rows, arguments.log)
                if arguments.plot is not None:
                    log.draw(rows, f"{arguments.model} on {trainer.data.name}", arguments.plot)
            shown = len(rows)

        def show(info: StepInfo) -> None:
            report()
            bar.update(
                task, completed=info.step, description=f"epoch {info.epoch}",
                figures=f"loss {info.loss:.4f}  accuracy {info.accuracy:.2%}  "
                        f"{info.images_per_s:.0f} images/s",
            )  # fmt: skip

        trainer.fit(arguments.epochs, show)
        report()


def _add_predict(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("predict", help="the classes of image files")
    add = parser.add_argument
    add("model", help="a checkpoint, or a trained network that a package brings: "
                      + ", ".join(models.PRETRAINED))  # fmt: skip
    add("images", nargs="+", type=Path, metavar="IMAGE")
    add("--top", type=int, default=5, help="how many classes (default 5)")
    add("--invert", action="store_true", help="dark on light becomes light on dark, as in MNIST")
    add("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_predict)


def _predict(arguments: argparse.Namespace) -> int:
    if arguments.top < 1:
        raise ValueError(f"--top {arguments.top}: allowed are 1 and more")
    predictor = predictor_of(arguments.model)
    classes = {
        str(path): predictor.top(path, arguments.top, arguments.invert) for path in arguments.images
    }
    if arguments.json:
        print(json.dumps(classes, indent=1))
        return 0
    for path, best in classes.items():
        print(path)
        rows = [("", f"{probability:7.2%}", name) for name, probability in best]
        print(*aligned(rows), sep="\n")
    return 0


def predictor_of(name: str) -> Predictor:
    """From a checkpoint file, or a trained network by its name.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if name in models.PRETRAINED:
        return Predictor.pretrained(name)
    if not Path(name).is_file():
        raise ValueError(
            f"model={name!r}: no such checkpoint; allowed are a file that pycnn train wrote, "
            f"{', '.join(models.PRETRAINED)}"
        )
    return Predictor.from_checkpoint(name)
