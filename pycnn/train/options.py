"""The options of ``pycnn train``: what they may be, and what a checkpoint answers."""

import argparse
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pycnn import data
from pycnn.define.validate import integer
from pycnn.models import arguments as of_model, command_line
from pycnn.nn.optim import OPTIMIZERS
from pycnn.runtime.extras import import_extra
from pycnn.runtime.options import add_force, add_threads, check_output, positive
from pycnn.train.checkpoint import Checkpoint, model_of

SCHEDULES = ("constant", "step", "cosine", "plateau")

#: Options that the checkpoint of ``--resume`` answers, and what they are without it.
DEFAULTS: dict[str, Any] = {"batch": 64, "optimizer": "adam", "lr": 1e-3, "width": 1.0, "seed": 0}

OUTPUTS = {"log": (".csv", ".json"), "plot": (".png", ".svg", ".pdf"), "output": ()}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add them, of ``pycnn train``."""
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


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: HEIGHT,WIDTH") from None
    return height, width


def check_options(arguments: argparse.Namespace) -> None:
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
        optimizer_settings(arguments, optimizer)
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


def settle(arguments: argparse.Namespace, checkpoint: Checkpoint | None) -> None:
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


def optimizer_settings(arguments: argparse.Namespace, optimizer: str) -> dict[str, Any]:
    """What is said of it; refuses what it does not have."""
    settings = {"momentum": arguments.momentum, "nesterov": arguments.nesterov or None,
                "weight_decay": arguments.weight_decay}  # fmt: skip
    settings = {name: value for name, value in settings.items() if value is not None}
    for name in settings:
        having = [n for n, kind in OPTIMIZERS.items() if name in inspect.signature(kind).parameters]
        if optimizer not in having:
            raise ValueError(f"--{name}: {optimizer} has none; allowed: {', '.join(having)}")
    return settings
