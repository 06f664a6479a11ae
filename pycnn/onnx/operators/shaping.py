"""The same elements in another shape: views, wherever they can be."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import pycnn
from pycnn.dtypes import MOVABLE
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.limits import check_size
from pycnn.onnx.operators.arrays import integers, is_float, normal_axis
from pycnn.onnx.operators.registry import operator

Ints = Sequence[int] | None


@operator("Shape")
def shape(x: Any, *, start: int = 0, end: int | None = None) -> Any:
    """On the host, whatever the backend, as all that only says where elements go."""
    return np.array(x.shape[start:end], np.int64)


@operator("Size")
def size(x: Any) -> Any:
    return np.array(x.size, np.int64)


@operator("Reshape")
def reshape(x: Any, target: Any = None, *, allowzero: int = 0, shape: Ints = None) -> Any:
    """0 keeps an extent, unless `allowzero`; -1 is what remains."""
    extents = list(shape or []) if target is None else integers(target)
    if not allowzero:
        if any(e == 0 and i >= x.ndim for i, e in enumerate(extents)):
            raise OnnxError(f"shape {extents} keeps an axis that {x.shape} does not have")
        extents = [x.shape[i] if e == 0 else e for i, e in enumerate(extents)]
    return x.reshape(extents)


@operator("Flatten")
def flatten(x: Any, *, axis: int = 1) -> Any:
    if not -x.ndim <= axis <= x.ndim:
        raise OnnxError(f"axis {axis} of an array of rank {x.ndim}")
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operator("Squeeze")
def squeeze(x: Any, chosen: Any = None, *, axes: Ints = None) -> Any:
    which = axes if chosen is None else integers(chosen)
    return np.squeeze(x, None if which is None else tuple(normal_axis(a, x.ndim) for a in which))


@operator("Unsqueeze")
def unsqueeze(x: Any, chosen: Any = None, *, axes: Ints = None) -> Any:
    which = list(axes or []) if chosen is None else integers(chosen)
    return np.expand_dims(x, tuple(which))


@operator("Transpose")
def transpose(x: Any, *, perm: Ints = None) -> Any:
    return np.transpose(x, perm)


@operator("Concat", kernels=True)
def concat(*arrays: Any, axis: int = 1) -> Any:
    axis = normal_axis(axis, arrays[0].ndim)
    return pycnn.concat(arrays, axis) if is_float(*arrays) else np.concatenate(arrays, axis)


@operator("Split")
def split(
    x: Any,
    sizes: Any = None,
    *,
    outputs: int,
    axis: int = 0,
    num_outputs: int | None = None,
    split: Ints = None,
) -> Any:
    """Of parts as long as each other the last one may be shorter."""
    axis = normal_axis(axis, x.ndim)
    lengths = list(split) if split is not None else None if sizes is None else integers(sizes)
    if lengths is None:
        each = -(-x.shape[axis] // outputs)
        lengths = [max(min(each, x.shape[axis] - i * each), 0) for i in range(outputs)]
    if sum(lengths) != x.shape[axis] or min(lengths) < 0 or len(lengths) != outputs:
        raise OnnxError(f"{outputs} parts of lengths {lengths} of an extent {x.shape[axis]}")
    return tuple(np.split(x, np.cumsum(lengths)[:-1].tolist(), axis))


@operator("Expand")
def expand(x: Any, target: Any) -> Any:
    extents = np.broadcast_shapes(x.shape, tuple(integers(target)))
    check_size(extents, x.itemsize)
    return np.broadcast_to(x, extents)


@operator("Tile")
def tile(x: Any, repeats: Any, axis: Any = None) -> Any:
    """Before opset 6, a number of copies along one axis."""
    times = integers(repeats)
    if axis is not None:
        times = [times[0] if i == integers(axis)[0] else 1 for i in range(x.ndim)]
    if len(times) != x.ndim:
        raise OnnxError(f"repeats {times} of an array of rank {x.ndim}")
    check_size([e * t for e, t in zip(x.shape, times, strict=True)], x.itemsize)
    return np.tile(x, times)


def _blocks(name: str) -> Any:
    def apply(x: Any, *, blocksize: int, **mode: str) -> Any:
        if x.dtype.name not in MOVABLE:
            raise OnnxError(f"x of dtype {x.dtype}; allowed: {', '.join(MOVABLE)}")
        return getattr(pycnn, name)(x, blocksize, **mode)

    return apply


@operator("DepthToSpace", kernels=True)
def depth_to_space(x: Any, *, blocksize: int, mode: str = "DCR") -> Any:
    return _blocks("depth_to_space")(x, blocksize=blocksize, mode=mode)


@operator("SpaceToDepth", kernels=True)
def space_to_depth(x: Any, *, blocksize: int, mode: str = "DCR") -> Any:
    return _blocks("space_to_depth")(x, blocksize=blocksize, mode=mode)
