"""Messages between server and page: a line of JSON and arrays, as they lie in memory.

A message is the length of its header (uint32), the header, which is JSON, and the arrays, each
begun at a multiple of four bytes; all little endian. Under "arrays" the header says of each its
name, dtype and shape. ``page/wire.js`` is the other side.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

#: What a page may send or get, so that nothing else is asked of NumPy or of the page.
DTYPES = ("float32", "uint8")


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> bytes:
    """A message.

    Examples
    --------
    >>> message = pack({"type": "frame"}, {"x": np.arange(3, dtype=np.uint8)})
    >>> unpack(message)
    ({'type': 'frame'}, {'x': array([0, 1, 2], dtype=uint8)})
    """
    arrays = arrays or {}
    listed = [
        {"name": name, "dtype": array.dtype.name, "shape": array.shape}
        for name, array in arrays.items()
    ]
    text = _aligned(json.dumps({**header, "arrays": listed}, allow_nan=False).encode())
    parts: list[Any] = [len(text).to_bytes(4, "little"), text]
    for array in arrays.values():
        parts += [np.ascontiguousarray(array).reshape(-1).view(np.uint8), bytes(-array.nbytes % 4)]
    return b"".join(parts)


def unpack(message: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header, without "arrays", and arrays by name, which are read-only.

    Raises
    ------
    ValueError
        If it is none, whatever is wrong with it.
    """
    try:
        length = int.from_bytes(message[:4], "little")
        header = json.loads(message[4 : 4 + length])
        arrays, at = {}, 4 + length
        for entry in header.pop("arrays"):
            shape = tuple(map(int, entry["shape"]))
            if entry["dtype"] not in DTYPES or min(shape, default=0) < 0:
                raise ValueError("an array of another kind")
            count = math.prod(shape)
            arrays[str(entry["name"])] = np.frombuffer(message, entry["dtype"], count, at).reshape(
                shape
            )
            size = count * np.dtype(entry["dtype"]).itemsize
            at += size + -size % 4
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"a message that is none: {error}") from None
    return header, arrays


def _aligned(text: bytes) -> bytes:
    return text + b" " * (-len(text) % 4)
