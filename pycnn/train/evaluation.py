"""Loss and accuracy of a classifier, and what is asked of a model and a loss before."""

from pycnn.data import DataSet, batches
from pycnn.nn.activation import Softmax
from pycnn.nn.arrays import device_of, mover, placer, to_numpy
from pycnn.nn.classifier import last_layer
from pycnn.nn.layer import Layer
from pycnn.nn.loss import CrossEntropyLoss, Loss
from pycnn.nn.observe import evaluating
from pycnn.runtime.faults import synchronize
from pycnn.tape import grad

#: What training works in: steps are too small for 16 bits.
DTYPES = ("float32", "float64")


def evaluate(
    model: Layer, data: DataSet, part: str = "test", loss: Loss | None = None, batch: int = 64
) -> tuple[float, float]:
    """Mean loss and accuracy (0 to 1) of a model on a part of a data set, in evaluation mode.

    Every layer is left in the mode it was in.

    Raises
    ------
    ValueError
        If there are no such images, or the loss takes no classes.
    """
    loss = CrossEntropyLoss() if loss is None else loss
    check_loss(loss, model)
    if not len(data.part(part)):
        raise ValueError(f"{data.name} has no images in {part!r}")
    value = model.parameters()[0].value
    place, move = placer(value), mover(device_of(value))
    total, correct, examples = 0.0, 0, 0
    with evaluating(model):
        for images, labels in batches(data, part, batch, seed=0, epoch=0):
            scores = model(place(images))
            total += float(loss(scores, move(labels))) * weight(loss, len(images))
            correct += int((to_numpy(scores).argmax(axis=1) == labels).sum())
            examples += len(images)
    synchronize()
    return total / examples, correct / examples


def weight(loss: Loss, examples: int) -> int:
    """What a batch's loss counts in the sum over examples."""
    return 1 if loss.settings.get("reduction") == "sum" else examples


def check_loss(loss: Loss, model: Layer) -> None:
    name = type(loss).__name__
    if not isinstance(loss, Loss) or not loss.takes_classes:
        raise TypeError(
            f"loss is of type {name}; allowed: CrossEntropyLoss, NLLLoss, or a Loss of your own "
            "with takes_classes = True: the targets are classes"
        )
    if loss.settings.get("reduction") == "none":
        raise ValueError(f"loss {name} has reduction='none'; allowed are 'mean', 'sum'")
    if isinstance(last_layer(model), Softmax):
        raise ValueError(
            f"the model ends in Softmax; {name} takes "
            f"{'scores' if isinstance(loss, CrossEntropyLoss) else 'LogSoftmax'}"
        )


def check_dtype(model: Layer) -> None:
    arrays = [array for array in model.state_dict().values() if array.dtype.kind not in "biu"]
    dtypes = sorted({array.dtype.name for array in arrays})
    if len(dtypes) > 1 or dtypes[0] not in DTYPES:
        raise ValueError(
            f"the model is {' and '.join(dtypes)}; allowed for training: {' or '.join(DTYPES)}. "
            "Train so, and convert afterwards, by model.to"
        )


def check_precision(precision: str | None, model: Layer) -> None:
    grad(precision)  # refuses what it does not have
    name = model.parameters()[0].value.dtype.name
    if precision is not None and name != "float32":
        raise ValueError(f"precision={precision!r} for a model in {name}; allowed: in float32")
