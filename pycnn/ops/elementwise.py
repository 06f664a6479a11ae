"""Sums and products with NumPy's broadcasting, and their gradients.

Called as in PyTorch and NumPy; `add_n` is TensorFlow's name for what ONNX calls Sum and PyTorch has
no function for: `sum` everywhere means a reduction over axes.
"""

from collections.abc import Sequence
from typing import Any

from pycnn.define.add_n import ADD_N, ADD_N_BACKWARD
from pycnn.define.elementwise import ADD, ADD_BACKWARD, MUL, MUL_BACKWARD
from pycnn.define.public import operation


@operation(ADD)
def add(a: Any, b: Any, *, alpha: float = 1, out: Any = None) -> Any:
    """a + `alpha` b, with broadcasting and without copies.

    Parameters
    ----------
    a, b : arrays whose shapes broadcast, one floating dtype
        Any strides.
    alpha : float, default 1
        Factor of b.
    out : array, optional
        Takes the result: contiguous, its shape and dtype. May be `a` or `b` itself.

    Returns
    -------
    array of the shape of both, broadcast

    References
    ----------
    The definition; as ``torch.add``.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.add(np.ones((2, 3)), np.array([1.0, 2.0, 3.0]), alpha=2)
    array([[3., 5., 7.],
           [3., 5., 7.]])
    """


@operation(ADD_BACKWARD)
def add_backward(
    dy: Any, a_shape: Sequence[int], b_shape: Sequence[int], *, alpha: float = 1
) -> tuple[Any, Any]:
    """Gradient of `add`: dy and `alpha` dy, summed over the axes that were broadcast.

    Parameters
    ----------
    dy : array, any floating dtype
        Gradient with respect to the result of `add`. Any strides.
    a_shape, b_shape : tuple of int
        Shapes of what was added.
    alpha : float, default 1
        As `add` was given it.

    Returns
    -------
    (da, db) : arrays of shapes `a_shape` and `b_shape`
        New ones, even where they equal dy.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> da, db = pycnn.add_backward(np.ones((2, 3)), (2, 3), (3,), alpha=2)
    >>> db
    array([4., 4., 4.])
    """


@operation(MUL)
def mul(a: Any, b: Any, *, out: Any = None) -> Any:
    """a b, with broadcasting and without copies.

    Parameters
    ----------
    a, b : arrays whose shapes broadcast, one floating dtype
        Any strides.
    out : array, optional
        Takes the result: contiguous, its shape and dtype. May be `a` or `b` itself.

    Returns
    -------
    array of the shape of both, broadcast

    References
    ----------
    The definition; as ``torch.mul``.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.mul(np.array([[1.0], [2.0]]), np.array([3.0, 4.0]))
    array([[3., 4.],
           [6., 8.]])
    """


@operation(MUL_BACKWARD)
def mul_backward(dy: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Gradient of `mul`: dy b and dy a, summed over the axes that were broadcast.

    Parameters
    ----------
    dy : array, any floating dtype
        Gradient with respect to the result of `mul`. Any strides.
    a, b : arrays of the same dtype
        What was multiplied.

    Returns
    -------
    (da, db) : arrays like a and b

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> da, db = pycnn.mul_backward(np.ones((2, 3)), np.ones((2, 3)), np.array([1.0, 2.0, 3.0]))
    >>> da[0], db
    (array([1., 2., 3.]), array([2., 2., 2.]))
    """


@operation(ADD_N)
def add_n(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """Sum of up to eight arrays, with broadcasting, in one pass: ONNX's Sum.

    Parameters
    ----------
    tensors : list or tuple of arrays whose shapes broadcast, one floating dtype
        Any strides.
    out : array, optional
        Takes the result: contiguous, its shape and dtype. May be the first tensor itself.

    Returns
    -------
    array of the shape of all, broadcast
        Rounded once to a 16-bit dtype, after the whole sum.

    Raises
    ------
    TypeError
        If an argument is of a type that is not allowed, or dtypes differ.
    ValueError
        If the shapes do not broadcast, there is no array or more than eight, or `out` cannot take
        the result as it is.

    References
    ----------
    The definition; as ``tf.math.add_n``, with broadcasting.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.add_n([np.array([1.0, 2.0]), np.array([10.0, 20.0]), np.array([100.0])])
    array([111., 122.])
    """


@operation(ADD_N_BACKWARD)
def add_n_backward(dy: Any, shapes: Sequence[Sequence[int]]) -> tuple[Any, ...]:
    """Gradient of `add_n`: dy for every tensor, summed over the axes that were broadcast.

    Parameters
    ----------
    dy : array, any floating dtype
        Gradient with respect to the result of `add_n`. Any strides.
    shapes : list or tuple of tuple of int
        Shapes of what was added.

    Returns
    -------
    tuple of arrays of these shapes
        New ones, even where they equal dy.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.add_n_backward(np.array([1.0, 2.0]), [(2,), (1,)])
    (array([1., 2.]), array([3.]))
    """
