"""What training asks of the processes that it runs on, and one process alone."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


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

    def exchanged(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        """For every process a piece; back come those that the others have for this one, by rank.

        What is for process r has the same shape and dtype on all of them.
        """
        raise NotImplementedError

    def joined(self, piece: np.ndarray, lengths: list[int]) -> np.ndarray:
        """Pieces of one axis, of all processes behind each other; `lengths` are theirs by rank."""
        raise NotImplementedError

    def summed(self, array: Any) -> Any:
        """The sum of a CuPy array over all processes, in an order of NCCL's own."""
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

    def exchanged(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        return pieces

    def joined(self, piece: np.ndarray, lengths: list[int]) -> np.ndarray:
        return piece

    def summed(self, array: Any) -> Any:
        return array

    def one_copy(self, array: np.ndarray | None) -> np.ndarray:
        assert array is not None
        return array

    def from_first(self, value: Any) -> Any:
        return value


ALONE = Alone()
