"""Plans of local response normalisation: kernels/norm/response.cu and response_vectors.cu."""

from dataclasses import dataclass, replace
from math import prod

from pycnn.dtypes import numpy_dtype
from pycnn.plan._norm import THREADS, VECTOR_BYTES, channels_first, computed_in, kernel
from pycnn.plan._strided import Ints, merge_axes, row_major, strided
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

#: Of kernels/norm/response_vectors.cu: threads of a block, channels of a thread of planes, and the
#: pixels that one of a gradient has at most.
VECTOR_THREADS, VECTOR_CHANNELS, PIXELS, PIXELS_BACKWARD = 128, 64, 4, 2


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
    'planes by vectors'
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
        pixel_axes = (extents[0], *extents[2:])
        of_pixels = [(s[0], *s[2:]) for s in strides]
        number = computed_in(dtype).itemsize
        # Beyond the channels that there are a window holds zeros, however far it reaches.
        before, after = (min(n, extents[1] - 1) for n in (window.size // 2, (window.size - 1) // 2))
        size = before + after + 1
        entry = f"response_{'backward_' * backward}{name}"
        common = window.alpha >= 0 and window.k >= 1e-30 and window.beta == 0.75
        vectors = None
        if common and (before, after) == (2, 2):
            whole = _whole(extents[1], pixel_axes, of_pixels, [s[1] for s in strides], spec, name)
            vectors = _vectors(extents[1], pixels, spec, whole, name, backward)
            of_kernel = kernel("response_vectors", entry.replace("_", "_vectors_", 1), dtype)
            packed = ("PACKED", str(int(bool(whole))))
            of_kernel = replace(of_kernel, defines=(*of_kernel.defines, packed))
        if not vectors:
            of_kernel = kernel("response", entry, dtype)
        tile, rows, grid, block, shared = vectors or choose(
            extents[1], pixels, size, number, backward
        )
        parameters = struct(
            "norm/response.cu", f"Response<{len(strides)}>",
            pixels=pixels, channels=extents[1],
            size=size, tile=tile, rows=rows, before=before, after=after,
            channel=[s[1] for s in strides],
            share=window.alpha / window.size, beta=window.beta, k=window.k,
            pixel=strided(pixel_axes, of_pixels),
        )  # fmt: skip
        arguments: tuple[Argument, ...] = (*map(Buffer, inputs), Buffer(output), parameters)
        launches = (Launch(of_kernel, grid, block, arguments, shared=shared),)
        name = f"{name} by vectors" if vectors else name
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


def _whole(
    channels: int, extents: Ints, pixels: list[Ints], channel: list[int], spec: ArraySpec, name: str
) -> bool | None:
    """Whether memory has whole vectors for response_vectors.cu; None if it has no neighbours."""
    width = VECTOR_BYTES // spec.dtype.itemsize
    extents, steps = merge_axes(extents, pixels)
    if name == "rows":
        ragged = any(step % width for of in steps for step in of) or channels % width
        return None if ragged or any(step != 1 for step in channel) else True
    if not extents or any(of[-1] != 1 for of in steps):
        return None
    outer = (extents[-1], *channel, *(step for of in steps for step in of[:-1]))
    return not any(step % width for step in outer)


def _vectors(
    channels: int, pixels: int, spec: ArraySpec, whole: bool | None, name: str, backward: bool
) -> Choice | None:
    """Tile, rows, grid, block and shared bytes of response_vectors.cu; None beyond its range."""
    if whole is None:
        return None
    width = VECTOR_BYTES // spec.dtype.itemsize
    if name == "rows":
        tile, tiles, threads = channels, 1, pixels * (channels // width)
    else:
        most = PIXELS_BACKWARD if backward else PIXELS
        threads = ceil_div(pixels, min(width, most) if whole else 1)
        tiles = min(ceil_div(channels, VECTOR_CHANNELS), 65535)
        tile = ceil_div(channels, tiles)
    if max(threads, channels) >= 2**31 - VECTOR_THREADS:
        return None
    grid = (ceil_div(threads, VECTOR_THREADS), tiles, 1)
    return tile, 1, grid, (VECTOR_THREADS, 1, 1), 0


def _check(size: int, shared: int) -> None:
    if shared > SHARED_BYTES:
        raise Unsupported(
            f"a window of size={size} channels needs {shared} bytes of shared memory; allowed: "
            f"{SHARED_BYTES} (the reference backend has no such limit)"
        )
