"""What training asks of the processes that it runs on, and one process alone."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


class Pending:
    """What is under way between processes.

    Parameters
    ----------
    value : object
        What it will be.
    """

    def __init__(self, value: Any) -> None:
        self._value = value

    def done(self) -> bool:
        """Whether it is there; to ask is what moves it on."""
        return True

    def result(self) -> Any:
        """What it is, once it is there."""
        return self._value


class Communicator:
    """The processes of a training, which all run the same program.

    Attributes
    ----------
    rank, size : int
        Which of them this is, and how many they are.
    """

    rank: int
    size: int

    def everyones(self, value: Any) -> list[Any]:
        """A small value of each process, by rank; all of them wait for each other."""
        raise NotImplementedError

    def rows(self, row: np.ndarray) -> Pending:
        """Numbers of each process, as many from each: (size, n), by rank.

        Like all that is pending, it is begun by all processes in the same order, and arrays that
        are given stay as they are until it is there.
        """
        raise NotImplementedError

    def exchanged(self, pieces: list[np.ndarray]) -> Pending:
        """For every process a piece; back come those that the others have for this one, by rank.

        What is for process r has the same shape and dtype on all of them.
        """
        raise NotImplementedError

    def joined(self, whole: np.ndarray, lengths: list[int]) -> Pending:
        """`whole`, of one axis, where each has filled in its own stretch: all are then there.

        The stretches lie behind each other by rank; `lengths` are theirs.
        """
        raise NotImplementedError

    def summed(self, array: Any) -> Pending:
        """The sum of a CuPy array over all processes, in an order of NCCL's own, in its memory."""
        raise NotImplementedError

    def take_gpu(self) -> None:
        """Have each process of a machine use another GPU."""

    def one_copy(self, array: np.ndarray | None) -> np.ndarray:
        """An array of the first process of a machine, in memory that all its processes read."""
        raise NotImplementedError

    def from_first(self, value: Any) -> Any:
        """What the first process of the machine has."""
        raise NotImplementedError

    @property
    def makes_copies(self) -> bool:
        """Whether this process is the first of its machine, the one that reads data."""
        raise NotImplementedError

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What ends one process with an error ends all of them, and is said once."""
        yield

    def require_same(self, what: Mapping[str, object]) -> None:
        """Refuse to begin unless all processes have the same.

        Raises
        ------
        ValueError
            On all of them; names what differs, and between which.
        """
        mine = {name: str(value) for name, value in what.items()}
        all_of_them = self.everyones(mine)
        first = all_of_them[0]
        for rank, theirs in enumerate(all_of_them):
            for name in first:
                if theirs.get(name) != first[name]:
                    raise ValueError(
                        f"{name} of process {rank} is {theirs.get(name)}, of process 0 "
                        f"{first[name]}; allowed: the same on all {self.size}"
                    )


class Alone(Communicator):
    """One process.

    Examples
    --------
    >>> Alone().everyones("a")
    ['a']
    """

    rank, size = 0, 1
    makes_copies = True

    def everyones(self, value: Any) -> list[Any]:
        return [value]

    def rows(self, row: np.ndarray) -> Pending:
        return Pending(row[None])

    def exchanged(self, pieces: list[np.ndarray]) -> Pending:
        return Pending(pieces)

    def joined(self, whole: np.ndarray, lengths: list[int]) -> Pending:
        return Pending(whole)

    def summed(self, array: Any) -> Pending:
        return Pending(array)

    def one_copy(self, array: np.ndarray | None) -> np.ndarray:
        assert array is not None
        return array

    def from_first(self, value: Any) -> Any:
        return value


ALONE = Alone()
