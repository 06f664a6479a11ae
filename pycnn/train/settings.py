"""What decides a training, so that a resumption can be told what it must not change."""

import hashlib
import json
import zlib
from typing import Any

import numpy as np

import pycnn
from pycnn.data import Arrays, DataSet
from pycnn.data.arrays import form_of
from pycnn.nn.arrays import to_numpy
from pycnn.nn.layer import Layer
from pycnn.nn.loss import Loss
from pycnn.train.training import Training

#: Differences that are named, at most.
MOST = 5


def settings_of(trainer: Training) -> dict[str, Any]:
    """All settings by name, as JSON has them."""
    model, optimizer, schedule = trainer.model, trainer.optimizer, trainer.schedule
    loss = trainer.loss
    settings = {
        "model": model.recipe,
        "dtype": model.parameters()[0].value.dtype.name,
        **{f"layer {path}": _layer_text(layer) for path, layer in model.named_layers() if path},
        "layers in evaluation mode": _frozen(model),
        "frozen layers": [p for p, one in model.named_layers() if not one.trainable] or None,
        **_of_data(trainer.data),
        "batch": trainer.batch,
        "seed": trainer.seed,
        "transform": trainer.transform,
        "mix": trainer.mix,
        "clip_norm": trainer.clip_norm,
        "precision": trainer.precision,
        "accumulate": trainer.accumulate if trainer.accumulate > 1 else None,
        "sync_batch_norm": trainer.sync_batch_norm or None,
        "by_step": trainer.by_step or None,
        "patience": trainer.patience,
        "metrics": trainer.metrics,
        "hooks": trainer.hooks or None,
        "loss": type(loss).__name__ if isinstance(loss, Loss) else loss,
        **{f"loss.{name}": value for name, value in getattr(loss, "settings", {}).items()},
        "optimizer": type(optimizer).__name__,
        **{f"optimizer.{name}": value for name, value in optimizer.settings().items()},
        "lr": schedule.base,
        "schedule": type(schedule).__name__,
        **{f"schedule.{name}": value for name, value in schedule.settings().items()},
    }
    plain: dict[str, Any] = json.loads(json.dumps(settings, default=_plain))
    return plain


def identity(trainer: Training) -> dict[str, str]:
    """What must be the same on all processes that train together."""
    arrays = {**trainer.model.state_dict(), **trainer.optimizer.state_dict()}
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(to_numpy(array)).tobytes())
    order = hashlib.sha256(trainer.data.train.tobytes() + trainer.data.test.tobytes())
    values = 0
    for array in _arrays_of(trainer.data):
        values = zlib.crc32(np.ascontiguousarray(array).data, values)
    return {
        "pycnn": pycnn.__version__,
        "numpy": np.__version__,
        **{name: repr(value) for name, value in settings_of(trainer).items()},
        "the order of the data": order.hexdigest()[:12],
        "the data": f"{values:08x}",
        "the state of model and optimizer": digest.hexdigest()[:12],
        "steps": str(trainer.optimizer.steps),
    }


def _arrays_of(data: DataSet | Arrays) -> list[np.ndarray]:
    if isinstance(data, DataSet):
        return [data.images, data.labels]
    both = (data.inputs, data.target)
    return [one for some in both for one in (some if isinstance(some, tuple) else (some,))]


def _of_data(data: DataSet | Arrays) -> dict[str, Any]:
    counts = {
        "data": data.name, "training images": len(data.train), "test images": len(data.test),
    }  # fmt: skip
    if isinstance(data, Arrays):
        return {**counts, "inputs": form_of(data.inputs), "target": form_of(data.target)}
    return {
        **counts, "input_shape": data.shape, "classes": data.classes, "mean": data.mean,
        "std": data.std,
    }  # fmt: skip


def changed(mine: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What differs; of an optimiser, loss or schedule of another kind not its settings too."""
    names = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
    return [name for name in names if name.partition(".")[0] not in names or "." not in name]


def differences(mine: dict[str, Any], theirs: dict[str, Any], names: list[str]) -> list[str]:
    """Those of `names` in words."""
    listed = [
        f"{name}={mine.get(name)!r}: the checkpoint was made with {theirs.get(name)!r}"
        for name in names[:MOST]
    ]
    return listed + ([f"and {len(names) - MOST} more"] if len(names) > MOST else [])


def _layer_text(layer: Layer) -> str:
    """A layer with its settings; of one with layers inside without those."""
    if not layer.children:
        return repr(layer)
    numbers = {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, int | float | str) and name not in ("training", "trainable")
    }
    return f"{type(layer).__name__} {numbers or ''}".rstrip()


def _frozen(model: Layer) -> list[str]:
    return [path for path, layer in model.named_layers() if model.training and not layer.training]


def _plain(value: Any) -> Any:
    """Arrays as lists, numbers of NumPy as Python's; functions and the like by what they say, or by
    their name."""
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "tolist"):
        return to_numpy(value).tolist()
    text = repr(value)
    if " at 0x" not in text:
        return text
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
