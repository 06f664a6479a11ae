"""The dtypes that kernels are compiled for, by name, and what computing in each of them means.

bfloat16 and the floats of 8 bits are no dtypes of NumPy's own: they come from ml_dtypes, the extra
``bf16``. An array of such a dtype proves that it is installed, so nothing here imports it before
one has to be made.
"""

import functools
from dataclasses import dataclass

import numpy as np

from pycnn.runtime.extras import import_extra


@dataclass(frozen=True)
class Float:
    """A floating dtype.

    Attributes
    ----------
    name : str
    scalar : str
        Value of the macro SCALAR in kernels.
    accumulate : str
        dtype in which sums and functions are computed.
    eps : float
        Distance from 1 to the next larger value.
    tiny : float
        Smallest positive normal value.
    itemsize : int
    """

    name: str
    scalar: str
    accumulate: str
    eps: float
    tiny: float
    itemsize: int

    @property
    def is_half(self) -> bool:
        """Whether sums are kept in a wider dtype."""
        return self.accumulate != self.name


FLOATS = {
    f.name: f
    for f in (
        Float("float16", "__half", "float32", 2.0**-10, 2.0**-14, 2),
        Float("bfloat16", "__nv_bfloat16", "float32", 2.0**-7, 2.0**-126, 2),
        Float("float32", "float", "float32", 2.0**-23, 2.0**-126, 4),
        Float("float64", "double", "float64", 2.0**-52, 2.0**-1022, 8),
    )
}

#: Names, as definitions list them.
FLOATING = tuple(FLOATS)

#: Of what only moves elements: no arithmetic, so that integers may be moved as well.
MOVABLE = (*FLOATING, "int64", "int32", "int16", "int8", "uint8", "bool")

#: 8-bit integers that stand for real numbers, with their types in C++.
QUANTISED = {"int8": "signed char", "uint8": "unsigned char"}

_SIZES = {FLOATS[name].itemsize if name in FLOATS else np.dtype(name).itemsize for name in MOVABLE}

#: Floats of 8 bits, with PTX's names of them: operands of products, with scales of their own.
FLOAT8 = {"float8_e4m3fn": "e4m3", "float8_e5m2": "e5m2"}

#: What the words in a kernel's ``variant`` lines stand for.
VARIANTS = {
    "floating": tuple(f.scalar for f in FLOATS.values()),
    "halves": tuple(f.scalar for f in FLOATS.values() if f.is_half),
    "native": tuple(f.scalar for f in FLOATS.values() if f.name != "bfloat16"),  # to NumPy
    "single": tuple(f.scalar for f in FLOATS.values() if f.itemsize == 4),
    "doubles": tuple(f.scalar for f in FLOATS.values() if f.itemsize == 8),
    "quantised": tuple(QUANTISED.values()),
    "itemsizes": tuple(map(str, sorted(_SIZES))),
}


@functools.cache
def numpy_dtype(name: str) -> np.dtype:
    """The NumPy dtype called `name`.

    Raises
    ------
    MissingExtra
        If it is bfloat16, or has 8 bits, and ml_dtypes is not installed.

    Examples
    --------
    >>> numpy_dtype("float32")
    dtype('float32')
    """
    if name == "bfloat16" or name in FLOAT8:
        types = import_extra("ml_dtypes", "bf16", f"{name} in NumPy arrays")
        return np.dtype(getattr(types, name))
    return np.dtype(name)


@functools.cache
def dtype_name(dtype: np.dtype) -> str:
    """The name of a dtype, which NumPy makes anew at every access, by seven calls.

    Examples
    --------
    >>> dtype_name(np.dtype("<f4"))
    'float32'
    """
    return dtype.name


def accumulator(dtype: np.dtype) -> np.dtype:
    """The dtype in which sums over elements of a floating `dtype` are kept.

    Examples
    --------
    >>> accumulator(np.dtype("float16")), accumulator(np.dtype("float64"))
    (dtype('float32'), dtype('float64'))
    """
    return np.dtype(FLOATS[dtype.name].accumulate)
