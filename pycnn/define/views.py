"""What planning knows of an array: shape, strides and dtype, with no array behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pycnn.dtypes import dtype_name


@dataclass(frozen=True)
class View:
    """An array without its data.

    Attributes
    ----------
    shape : tuple of int
    strides : tuple of int
        In elements.
    dtype : str
        Name of the dtype.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, name: str, array: Any) -> "View":
        """Of the argument `name`; raises ValueError if its elements are not aligned."""
        size, strides = array.itemsize, array.strides
        elements = tuple([stride // size for stride in strides])
        aligned = getattr(array.flags, "aligned", True)  # CuPy's arrays have no such flag
        if not aligned or tuple(map(size.__mul__, elements)) != strides:
            raise ValueError(
                f"{name} has strides {strides} and aligned={aligned}; allowed: elements aligned to "
                f"their {size} bytes (such as in a copy)"
            )
        return cls(array.shape, elements, dtype_name(array.dtype))

    @classmethod
    def contiguous(cls, shape: Sequence[int], dtype: str, channels_last: bool = False) -> "View":
        """Contiguous, in the order of `shape` or with axis 1 innermost.

        Examples
        --------
        >>> View.contiguous((2, 3, 4, 5), "float32", channels_last=True).strides
        (60, 1, 15, 3)
        """
        order = (0, *range(2, len(shape)), 1) if channels_last else range(len(shape))
        strides, step = [1] * len(shape), 1
        for axis in reversed(order):
            strides[axis] = step
            step *= shape[axis]
        return cls(tuple(shape), tuple(strides), dtype)

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def with_rank(self, rank: int) -> "View":
        """The same with axes of extent 1 in front, up to `rank`.

        Examples
        --------
        >>> View((3, 5), (5, 1), "float32").with_rank(4).shape
        (1, 1, 3, 5)
        """
        missing = rank - len(self.shape)
        return View((1,) * missing + self.shape, (0,) * missing + self.strides, self.dtype)

    @property
    def channels_last(self) -> bool:
        """Whether neighbours in memory are channels of one pixel, as far as extents tell.

        Examples
        --------
        >>> View((2, 3, 4, 1), (12, 1, 3, 1), "float32").channels_last
        True
        """
        pixels_apart = self.strides[-1] != 1 or self.shape[-1] == 1
        return self.strides[1] == 1 and self.shape[1] > 1 and pixels_apart

    def merged(self, first: int, last: int) -> int | None:
        """The stride that walks the axes `first` to `last` as one; None if there is none.

        Examples
        --------
        >>> View((2, 3, 4, 5), (60, 20, 5, 1), "float32").merged(2, 3)
        1
        >>> View((2, 3, 4, 5), (60, 20, -5, 1), "float32").merged(2, 3) is None
        True
        """
        axes = [a for a in range(first, last + 1) if self.shape[a] > 1]
        for outer, inner in pairwise(axes):
            if self.strides[outer] != self.shape[inner] * self.strides[inner]:
                return None
        return self.strides[axes[-1]] if axes else 1
