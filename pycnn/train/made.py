"""The trainer that a command line asks for."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pycnn import data, models, nn
from pycnn.nn.optim import OPTIMIZERS
from pycnn.nn.optimizer import Optimizer
from pycnn.nn.schedule import Constant, Cosine, Plateau, Schedule, Step, Warmup
from pycnn.runtime.options import is_path
from pycnn.runtime.text import did_you_mean
from pycnn.train.checkpoint import Checkpoint
from pycnn.train.options import optimizer_settings
from pycnn.train.parallel import Communicator
from pycnn.train.trainer import Trainer


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
    optimizer = optimizer_of(arguments, model)
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


def optimizer_of(arguments: argparse.Namespace, model: nn.Layer) -> Optimizer:
    settings = optimizer_settings(arguments, arguments.optimizer)
    if arguments.optimizer == "sgd":
        settings.setdefault("momentum", 0.9)
    return OPTIMIZERS[arguments.optimizer](model, lr=arguments.lr, **settings)


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
