"""The data sets by name."""

from collections.abc import Callable
from pathlib import Path

from pycnn.data.dataset import DataSet
from pycnn.data.digits import digits, mnist5k
from pycnn.data.mnist import fashion_mnist, mnist
from pycnn.data.photos import photo_patches
from pycnn.define.validate import choice

_OF_PACKAGES: dict[str, Callable[[], DataSet]] = {
    "mnist5k": mnist5k,
    "digits": digits,
    "photo_patches": photo_patches,
}
_OF_FOLDERS: dict[str, Callable[..., DataSet]] = {"mnist": mnist, "fashion_mnist": fashion_mnist}

#: Name -> what loads it.
DATA_SETS: dict[str, Callable[..., DataSet]] = {**_OF_PACKAGES, **_OF_FOLDERS}


def load(name: str, path: Path | str | None = None) -> DataSet:
    """The data set of that name, from files that installed packages bring; nothing is downloaded.

    Parameters
    ----------
    name : str
        One of `DATA_SETS`; ``docs/data.md`` says what each is and what brings it.
    path : Path or str, optional
        Folder of the four idx files of ``"mnist"`` or ``"fashion_mnist"``, gzipped or not.
        Default: where their packages put them.

    Raises
    ------
    ValueError
        If there is no such data set (lists them), it takes no `path`, or a file of it is damaged.
    MissingExtra, FileNotFoundError
        If what brings it is not installed; names the package.

    Examples
    --------
    >>> import pycnn.data
    >>> pycnn.data.load("mnist5k")
    DataSet('mnist5k': 4000 to train, 1000 to test, each (1, 28, 28); 10 classes)
    """
    choice("name", name, tuple(DATA_SETS))
    if path is None:
        return DATA_SETS[name]()
    if name not in _OF_FOLDERS:
        raise ValueError(
            f"path={str(path)!r}; {name} comes from a package, and takes none; "
            f"those that take one: {', '.join(_OF_FOLDERS)}"
        )
    return DATA_SETS[name](path)
