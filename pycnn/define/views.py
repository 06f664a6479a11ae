"""What planning knows of an array: shape, strides and dtype, with no array behind them."""

from dataclasses import dataclass
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
