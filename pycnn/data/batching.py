"""Batches of a data set: shuffled, augmented, normalised, prepared ahead."""

from collections.abc import Callable, Iterator

import numpy as np

from pycnn.data.dataset import DataSet
from pycnn.data.order import shuffled
from pycnn.data.prefetch import prefetched
from pycnn.define.validate import boolean, integer

Batch = tuple[np.ndarray, np.ndarray]
Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def batches(
    dataset: DataSet,
    part: str,
    size: int,
    *,
    seed: int,
    epoch: int,
    transform: Transform | None = None,
    prefetch: int = 2,
    drop_last: bool = False,
) -> Iterator[Batch]:
    """The images of one epoch in batches, shuffled anew for every epoch.

    What is yielded is a function of `seed` and `epoch` alone, bit for bit, whatever `prefetch` is.

    Parameters
    ----------
    dataset : DataSet
    part : str
        ``"train"`` or ``"test"``.
    size : int
        Images in a batch; the last has what is left.
    seed, epoch : int
        From 0; each pair has an order of its own.
    transform : callable, optional
        ``transform(images, rng)``: given a batch, uint8 (N, C, H, W), and a generator seeded for
        this batch, returns as many images: uint8, which are then normalised, or float32, which
        are taken as they are. `pycnn.data.augment` has some.
    prefetch : int, default 2
        Batches that a thread prepares ahead; 0: no thread. The thread ends with the iterator.
    drop_last : bool, default False
        Leave out the last batch if it is smaller.

    Yields
    ------
    images : numpy.ndarray
        float32, (N, C, H, W), of mean 0 and deviation 1 per channel.
    labels : numpy.ndarray
        int64, (N,).

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
    key = (integer("seed", seed, 0, None), integer("epoch", epoch, 0, None))
    order = indices[shuffled(len(indices), key)]
    count = len(order) // size if boolean("drop_last", drop_last) else -(-len(order) // size)

    def batch(number: int) -> Batch:
        chosen = order[number * size : (number + 1) * size]
        images = dataset.images[chosen]
        if transform is not None:
            seeds = np.random.SeedSequence(key, spawn_key=(number,))
            images = _transformed(transform, images, np.random.default_rng(seeds))
        if images.dtype == np.uint8:
            images = dataset.normalised(images)
        return images, dataset.labels[chosen]

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
