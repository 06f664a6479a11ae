"""What a checkpoint says about a training, and how training goes on from it."""

from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pycnn.data import DataSet
from pycnn.runtime.text import printable
from pycnn.train.checkpoint import Checkpoint
from pycnn.train.history import Epoch
from pycnn.train.metadata import restored, same_form
from pycnn.train.settings import changed, differences, settings_of
from pycnn.train.state import TrainState

if TYPE_CHECKING:
    from pycnn.train.trainer import Trainer

#: Settings by which the place in an epoch is counted.
PLACE = ("batch", "data", "training images", "seed")


def of(trainer: "Trainer") -> dict[str, Any]:
    """`Checkpoint.about` of a training: what the model takes, settings, and how far it is."""
    data = trainer.data
    images = {
        "classes": list(data.classes),
        "mean": list(map(float, data.mean)),
        "std": list(map(float, data.std)),
        "input_shape": list(data.shape),
    } if isinstance(data, DataSet) else {}  # fmt: skip
    return {
        "data": data.name,
        **images,
        "training": {
            "settings": settings_of(trainer),
            "optimizer_steps": trainer.optimizer.steps,
            "lr": trainer.optimizer.lr,
            "schedule": trainer.schedule.state(),
            "state": asdict(trainer.state),
            **({} if trainer.scale is None else {"loss_scale": trainer.scale.state()}),
        },
    }


def resume(trainer: "Trainer", checkpoint: Checkpoint, change: Collection[str]) -> None:
    """See `Trainer.resume`."""
    training = checkpoint.about.get("training")
    if not training:
        raise ValueError("the checkpoint holds a model alone, and no training to resume")
    theirs = training.get("settings") if isinstance(training, dict) else None
    if not isinstance(theirs, dict):
        raise ValueError("the checkpoint does not say with which settings it was trained")
    if isinstance(change, str):
        raise TypeError(f"change={change!r}; allowed: a list of names")
    names = changed(settings_of(trainer), theirs)
    heads = {name.partition(".")[0] for name in names}
    if same := [name for name in change if name not in heads | {*names}]:
        raise ValueError(
            f"change has {same[0]}, which is the same as the checkpoint's; allowed: "
            f"{', '.join(names[:8]) or 'nothing differs'}"
        )
    allowed = {*change}
    left = [n for n in names if n not in allowed and n.partition(".")[0] not in allowed]
    if left:
        raise ValueError(printable("; ".join(differences(settings_of(trainer), theirs, left))))
    state = _state_in(trainer, training, allowed)
    if state.step and (moved := allowed.intersection(PLACE)):
        raise ValueError(
            f"change has {min(moved)}, and the checkpoint is of step {state.step} of an epoch; "
            "allowed: after the end of one"
        )
    trainer.model.load_state_dict(checkpoint.model)
    if "optimizer" not in allowed:
        steps = training["optimizer_steps"]
        trainer.optimizer.load_state_dict(checkpoint.optimizer, steps)
    if not allowed & {"lr", "schedule"}:
        trainer.optimizer.lr = training["lr"]
        trainer.schedule.load_state(training["schedule"])
    if trainer.scale is not None and "precision" not in allowed:
        trainer.scale.load_state(training["loss_scale"])
    trainer.state = state


def _state_in(trainer: "Trainer", training: dict[str, Any], allowed: Collection[str]) -> TrainState:
    """How far the training of a file was, and a look at all else that is taken from it."""
    try:
        rows = [restored(Epoch, row) for row in training["state"]["history"]]
        state = restored(TrainState, {**training["state"], "history": rows})
        own: dict[str, Any] = {"optimizer_steps": 0, "lr": 0.0}
        if not {*allowed} & {"lr", "schedule"}:
            own["schedule"] = trainer.schedule.state()
        if trainer.scale is not None and "precision" not in allowed:
            own["loss_scale"] = trainer.scale.state()
        saved = {name: training[name] for name in own}
        if not same_form(saved, own) or (state.step and state.step > trainer.steps):
            raise ValueError(printable(saved, 200))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"the checkpoint's record of its training is of another form: {error}"
        ) from error
    return state
