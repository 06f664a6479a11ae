"""Plans of operations that only move elements: one copy a piece."""

from collections.abc import Sequence

from pycnn.define.views import View
from pycnn.dtypes import numpy_dtype
from pycnn.plan._copy import Place, copy_launch
from pycnn.plan._strided import Ints, row_major
from pycnn.runtime.plan import ArraySpec, Buffer, Plan


def rearranged(op: str, x: View, shape: Ints, strides: Ints, result: Ints) -> Plan:
    """The result is x as seen by a view of it, made contiguous.

    Parameters
    ----------
    op : str
    x : View
    shape, strides : tuple of int
        Of that view; strides in elements.
    result : tuple of int
        Shape of the result: `shape`, or one with neighbouring axes merged.

    Examples
    --------
    >>> x = View((2, 3), (3, 1), "float32")
    >>> rearranged("permute", x, (3, 2), (1, 3), (3, 2)).algo
    'transpose'
    """
    spec = ArraySpec(result, numpy_dtype(x.dtype))
    target = Place(Buffer("y"), row_major(shape))
    launch = copy_launch(shape, Place(Buffer("x"), strides), target, spec.dtype.itemsize)
    algo = "copy" if launch is None else launch.kernel.entry
    launches = () if launch is None else (launch,)
    return Plan(op, algo, launches, {"y": spec})


def joined(names: Sequence[str], views: Sequence[View], axis: int) -> Plan:
    """The arrays one after the other along `axis`.

    Parameters
    ----------
    names : sequence of str
    views : sequence of View
        Of the same shape, but for `axis`.
    axis : int

    Examples
    --------
    >>> views = [View((2, 3), (3, 1), "float32"), View((2, 5), (5, 1), "float32")]
    >>> plan = joined(["a", "b"], views, 1)
    >>> plan.outputs["y"].shape, len(plan.launches)
    ((2, 8), 2)
    """
    first = views[0].shape
    shape = (*first[:axis], sum(v.shape[axis] for v in views), *first[axis + 1 :])
    spec = ArraySpec(shape, numpy_dtype(views[0].dtype))
    strides, size = row_major(shape), spec.dtype.itemsize
    launches, begin = [], 0
    for name, view in zip(names, views, strict=True):
        target = Place(Buffer("y", begin * strides[axis] * size), strides)
        launch = copy_launch(view.shape, Place(Buffer(name), view.strides), target, size)
        if launch is not None:
            launches.append(launch)
        begin += view.shape[axis]
    return Plan("concat", "copies", tuple(launches), {"y": spec})
