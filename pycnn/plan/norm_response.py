"""Plans of local response normalisation: kernels/norm/response.cu."""

from dataclasses import dataclass
from math import prod

from pycnn.dtypes import numpy_dtype
from pycnn.plan._norm import THREADS, channels_first, computed_in, kernel
from pycnn.plan._strided import Ints, row_major, strided
from pycnn.plan.conv_problem import Unsupported
from pycnn.runtime.plan import Argument, ArraySpec, Buffer, Dim3, Launch, Plan
from pycnn.runtime.structs import struct
from pycnn.shapes import ceil_div

#: Shared memory that every architecture gives a block without being asked.
SHARED_BYTES = 48 * 1024

#: Threads that fill a GPU, and the fewest channels of a thread: the ends of its windows are read
#: by two.
ENOUGH_THREADS = 2**17
FEWEST_CHANNELS = 64

#: Channels times pixels that a block of response_rows works on.
TILE = 1024


@dataclass(frozen=True)
class Window:
    """The arguments of `pycnn.local_response_norm`."""

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0
    layout: str = "NCHW"


def response(
    op: str, shape: Ints, inputs: dict[str, Ints], output: str, dtype: str, window: Window
) -> Plan:
    """Plan of `pycnn.local_response_norm` and its gradient.

    Parameters
    ----------
    op : str
    shape : tuple of int
        Of all arrays.
    inputs : dict of str to tuple of int
        Element strides of each, in the order of the kernel's arguments.
    output : str
    dtype : str
    window : Window

    Raises
    ------
    Unsupported
        If the window does not fit into shared memory.

    Examples
    --------
    >>> strides = {"x": (48, 16, 4, 1)}
    >>> response("local_response_norm", (2, 3, 4, 4), strides, "y", "float32", Window(5)).algo
    'planes'
    """
    spec = ArraySpec(shape, numpy_dtype(dtype))
    count = prod(shape)
    extents = channels_first(shape, window.layout)
    strides = [channels_first(s, window.layout) for s in (*inputs.values(), row_major(shape))]
    backward = len(inputs) == 2
    choose = _rows if window.layout == "NHWC" else _planes
    name = choose.__name__.removeprefix("_")
    launches: tuple[Launch, ...] = ()
    if count:
        pixels = count // extents[1]
        number = computed_in(dtype).itemsize
        # Beyond the channels that there are a window holds zeros, however far it reaches.
        before, after = (min(n, extents[1] - 1) for n in (window.size // 2, (window.size - 1) // 2))
        size = before + after + 1
        tile, rows, grid, block, shared = choose(extents[1], pixels, size, number, backward)
        pixel_axes = (extents[0], *extents[2:])
        parameters = struct(
            "norm/response.cu", f"Response<{len(strides)}>",
            pixels=pixels, channels=extents[1],
            size=size, tile=tile, rows=rows, before=before, after=after,
            channel=[s[1] for s in strides],
            share=window.alpha / window.size, beta=window.beta, k=window.k,
            pixel=strided(pixel_axes, [(s[0], *s[2:]) for s in strides]),
        )  # fmt: skip
        entry = f"response_{'backward_' * backward}{name}"
        arguments: tuple[Argument, ...] = (*map(Buffer, inputs), Buffer(output), parameters)
        launch = Launch(kernel("response", entry, dtype), grid, block, arguments, shared=shared)
        launches = (launch,)
    return Plan(op, name, launches, {output: spec})


Choice = tuple[int, int, Dim3, Dim3, int]


def _planes(channels: int, pixels: int, size: int, number: int, backward: bool) -> Choice:
    """Tile, rows, grid, block and shared bytes of a thread for each pixel."""
    rings = 3 if backward else 1
    threads = THREADS
    while threads > 32 and rings * size * threads * number > SHARED_BYTES:
        threads //= 2
    shared = rings * size * threads * number
    _check(size, shared)
    tiles = min(ceil_div(ENOUGH_THREADS, pixels), max(channels // FEWEST_CHANNELS, 1), 65535)
    tile = ceil_div(channels, tiles)
    return (
        tile,
        1,
        (ceil_div(pixels, threads), ceil_div(channels, tile), 1),
        (threads, 1, 1),
        shared,
    )


def _rows(channels: int, pixels: int, size: int, number: int, backward: bool) -> Choice:
    """The same, of a tile in shared memory."""
    arrays, margin = (3, 2 * (size - 1)) if backward else (1, size - 1)
    tile = min(channels, TILE)
    rows = max(TILE // tile, 1)
    while arrays * rows * (tile + margin) * number > SHARED_BYTES and rows > 1:
        rows -= 1
    shared = arrays * rows * (tile + margin) * number
    _check(size, shared)
    grid = (ceil_div(pixels, rows), ceil_div(channels, tile), 1)
    return tile, rows, grid, (THREADS, 1, 1), shared


def _check(size: int, shared: int) -> None:
    if shared > SHARED_BYTES:
        raise Unsupported(
            f"a window of size={size} channels needs {shared} bytes of shared memory; allowed: "
            f"{SHARED_BYTES} (the reference backend has no such limit)"
        )
