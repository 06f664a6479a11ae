"""Functions whose gradient is written by hand."""

import functools
from collections.abc import Callable
from typing import Any

from pycnn.tape.variable import Variable, plain


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a function of arrays bring its own gradient.

    Parameters
    ----------
    function : callable
        Takes arrays, and keyword arguments that have no gradient, and returns ``y, pull``:
        ``pull(dy)`` gives the gradient of the one positional argument, or a tuple of one each,
        None where there is none. It gets plain arrays, so that NumPy may compute with them.

    Returns
    -------
    callable
        Gives y: on the tape where an argument is on one, and a plain array else.

    Raises
    ------
    TypeError
        When it is called, if `function` does not return a pair.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> @pycnn.custom_gradient
    ... def cube(x):
    ...     return x**3, lambda dy: 3 * x**2 * dy
    >>> with pycnn.grad() as tape:
    ...     x = tape.watch(np.array([2.0]))
    ...     y = cube(x)
    >>> tape.gradient(y, [x])
    [array([12.])]
    >>> cube(np.array([2.0]))
    array([8.])
    """

    @functools.wraps(function)
    def wrapped(*arrays: Any, **settings: Any) -> Any:
        made = function(*map(plain, arrays), **settings)
        if not (isinstance(made, tuple) and len(made) == 2 and callable(made[1])):
            raise TypeError(f"{function.__name__} returned no pair; allowed: (y, function of dy)")
        y, pull = made
        operands = {str(i): a for i, a in enumerate(arrays) if isinstance(a, Variable)}
        if not operands:
            return y

        def by_place(dys: list[Any], needed: Any) -> dict[str, Any]:
            grads = pull(dys[0])
            grads = grads if isinstance(grads, tuple) else (grads,)
            if len(grads) != len(arrays):
                raise ValueError(
                    f"{function.__name__} gave {len(grads)} gradients; allowed: {len(arrays)}, one "
                    "an argument"
                )
            return {str(i): grad for i, grad in enumerate(grads)}

        tape = next(iter(operands.values())).tape
        return tape.add(function.__name__, operands, y, by_place)

    return wrapped
