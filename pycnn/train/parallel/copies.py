"""Data sets of which a machine has one copy, whatever the number of its processes."""

from collections.abc import Callable
from dataclasses import fields

from pycnn.data import DataSet
from pycnn.train.parallel.communicator import Communicator


def one_copy(load: Callable[[], DataSet], comm: Communicator) -> DataSet:
    """The data set that `load` gives, read by one process of each machine.

    Its images lie in memory that all processes of the machine read; the rest is small.

    Examples
    --------
    >>> from pycnn import data, train
    >>> one_copy(lambda: data.load("digits"), train.processes())
    DataSet('digits': 1438 to train, 359 to test, each (1, 8, 8); 10 classes)
    """
    if comm.size == 1:
        return load()
    loaded = load() if comm.makes_copies else None
    others = None
    if loaded is not None:
        names = [field.name for field in fields(loaded) if field.name != "images"]
        others = {name: getattr(loaded, name) for name in names}
    images = comm.one_copy(None if loaded is None else loaded.images)
    return DataSet(images=images, **comm.from_first(others))
