"""Functions whose gradient is written by hand."""

import functools
from collections.abc import Callable
from typing import Any

from pycnn.reference.cpu._common import aloud
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
        When it is called, if `function` does not return such a pair, or an array on a tape came
        to it by another way than as an argument.
    ValueError
        On the way back, if a gradient does not have the shape and dtype of its argument.

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
        name = function.__name__
        operands = {str(i): a for i, a in enumerate(arrays) if isinstance(a, Variable)}
        others = [a for a in arrays if not isinstance(a, Variable)] + [*settings.values()]
        if any(_holds_variable(one) for one in others):
            raise TypeError(
                f"{name} was given an array on a tape in a list or by keyword, where its gradient "
                "would be lost; allowed: as an argument of its own"
            )
        made = function(*map(plain, arrays), **settings)
        if not (isinstance(made, tuple) and len(made) == 2 and callable(made[1])):
            raise TypeError(f"{name} returned no pair; allowed: (y, function of dy)")
        y, pull = made
        if isinstance(y, Variable):
            raise TypeError(
                f"{name} computed with an array on a tape that is no argument; allowed: arguments"
            )
        if not operands:
            return y
        if not hasattr(y, "shape"):
            raise TypeError(f"{name} returned y of type {type(y).__name__}; allowed: an array")

        def by_place(dys: list[Any], needed: Any) -> dict[str, Any]:
            with aloud():
                grads = pull(dys[0].copy())  # others may need the same array: this one is its own
            grads = grads if isinstance(grads, tuple) else (grads,)
            if len(grads) != len(arrays):
                raise ValueError(
                    f"{name} gave {len(grads)} gradients; allowed: {len(arrays)}, one an argument"
                )
            for i in needed:
                _check_form(name, int(i), grads[int(i)], forms[i])
            return {str(i): grad for i, grad in enumerate(grads)}

        forms = {i: (a.shape, a.dtype) for i, a in operands.items()}
        tape = next(iter(operands.values())).tape
        return tape.add(name, operands, y, by_place)

    return wrapped


def _holds_variable(value: Any) -> bool:
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, (list, tuple)):
        return any(_holds_variable(one) for one in value)
    return isinstance(value, Variable)


def _check_form(name: str, i: int, grad: Any, form: tuple[Any, Any]) -> None:
    if grad is None:
        return  # the tape says so
    shape, dtype = getattr(grad, "shape", None), getattr(grad, "dtype", None)
    if (shape, dtype) != form:
        is_ = f"{dtype} of shape {shape}" if shape is not None else type(grad).__name__
        raise ValueError(
            f"{name} gave {is_} as the gradient of argument {i}; allowed: {form[1]} of shape "
            f"{form[0]}, as the argument is"
        )
