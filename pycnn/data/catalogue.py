"""The data sets by name."""

from collections.abc import Callable

from pycnn.data.dataset import DataSet
from pycnn.data.digits import digits, mnist5k
from pycnn.define.validate import choice

DATA_SETS: dict[str, Callable[[], DataSet]] = {
    "mnist5k": mnist5k,
    "digits": digits,
}


def load(name: str) -> DataSet:
    """The data set of that name.

    Examples
    --------
    >>> import pycnn.data
    >>> pycnn.data.load("mnist5k")
    DataSet('mnist5k': 4000 to train, 1000 to test, each (1, 28, 28); 10 classes)
    """
    return DATA_SETS[choice("name", name, tuple(DATA_SETS))]()
