"""Batches of a data set: shuffled, augmented, normalised, prepared ahead."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pycnn.data.arrays import Arrays
from pycnn.data.dataset import DataSet
from pycnn.data.order import shuffled
from pycnn.data.prefetch import prefetched
from pycnn.define.validate import boolean, integer

Batch = tuple[Any, Any]
Mix = Callable[[Any, Any, np.random.Generator], Batch]
Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def batches(
    dataset: DataSet | Arrays,
    part: str,
    size: int,
    *,
    seed: int,
    epoch: int,
    transform: Transform | None = None,
    mix: Mix | None = None,
    prefetch: int = 2,
    drop_last: bool = False,
) -> Iterator[Batch]:
    """The images of one epoch in batches, shuffled anew for every epoch.

    What is yielded is a function of `seed` and `epoch` alone, bit for bit, whatever `prefetch` is.

    Parameters
    ----------
    dataset : DataSet or Arrays
    part : str
        ``"train"`` or ``"test"``.
    size : int
        Images in a batch; the last has what is left.
    seed, epoch : int
        From 0; each pair has an order of its own.
    transform : callable, optional
        ``transform(images, rng)``: given a batch, uint8 (N, C, H, W), and a generator seeded for
        this batch, returns as many images: uint8, which are then normalised, or float32, which
        are taken as they are. `pycnn.data.augment` has some. Only of a `DataSet`.
    mix : callable, optional
        ``mix(inputs, target, rng)`` changes both together, after all else, such as
        `pycnn.data.augment.Mixup`, or a flip of images and masks; it returns as many of both.
    prefetch : int, default 2
        Batches that a thread prepares ahead; 0: no thread. The thread ends with the iterator.
    drop_last : bool, default False
        Leave out the last batch if it is smaller.

    Yields
    ------
    images : numpy.ndarray
        float32, (N, C, H, W), of mean 0 and deviation 1 per channel; of `Arrays` the inputs, in a
        tuple if there are several.
    labels : numpy.ndarray
        int64, (N,); of `Arrays` the target.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, before the first batch; if `transform` returns
        something else, at that batch.

    Examples
    --------
    >>> import pycnn.data
    >>> digits = pycnn.data.load("mnist5k")
    >>> images, labels = next(pycnn.data.batches(digits, "train", 64, seed=0, epoch=0))
    >>> images.shape, images.dtype, labels.shape
    ((64, 1, 28, 28), dtype('float32'), (64,))
    """
    indices = dataset.part(part)
    integer("size", size, 1)
    integer("prefetch", prefetch, 0)
    if transform is not None and not callable(transform):
        raise TypeError(f"transform={transform!r}; allowed: None, a function of (images, rng)")
    if transform is not None and not isinstance(dataset, DataSet):
        raise TypeError("transform with Arrays; allowed: mix, which changes inputs and target")
    if mix is not None and not callable(mix):
        raise TypeError(f"mix={mix!r}; allowed: None, a function of (inputs, target, rng)")
    key = (integer("seed", seed, 0, None), integer("epoch", epoch, 0, None))
    order = indices[shuffled(len(indices), key)]
    count = len(order) // size if boolean("drop_last", drop_last) else -(-len(order) // size)

    def batch(number: int) -> Batch:
        chosen = order[number * size : (number + 1) * size]
        inputs, target = dataset.take(chosen)
        if transform is not None:
            seeds = np.random.SeedSequence(key, spawn_key=(number,))
            inputs = _transformed(transform, inputs, np.random.default_rng(seeds))
        if isinstance(dataset, DataSet) and inputs.dtype == np.uint8:
            inputs = dataset.normalised(inputs)
        if mix is not None:
            seeds = np.random.SeedSequence(key, spawn_key=(number, 1))
            inputs, target = _mixed(mix, inputs, target, np.random.default_rng(seeds))
        return inputs, target

    return prefetched(batch, range(count), prefetch)


def _transformed(transform: Transform, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    result = transform(images, rng)
    if not isinstance(result, np.ndarray) or result.dtype not in (np.uint8, np.float32):
        dtype = getattr(result, "dtype", type(result).__name__)
        raise TypeError(f"transform returned {dtype}; allowed: an array of uint8 or float32")
    if result.ndim != 4 or len(result) != len(images):
        raise ValueError(
            f"transform returned the shape {result.shape}; allowed: ({len(images)}, C, H, W)"
        )
    return result


def _mixed(mix: Mix, inputs: Any, target: Any, rng: np.random.Generator) -> Batch:
    count = len(inputs[0] if isinstance(inputs, tuple) else inputs)
    made = mix(inputs, target, rng)
    if not isinstance(made, tuple) or len(made) != 2:
        raise TypeError(f"mix returned {type(made).__name__}; allowed: (inputs, target)")
    for one in made:
        for array in one if isinstance(one, tuple) else (one,):
            if not isinstance(array, np.ndarray) or len(array) != count:
                form = getattr(array, "shape", type(array).__name__)
                raise ValueError(f"mix returned {form}; allowed: arrays of {count} examples")
    return made
