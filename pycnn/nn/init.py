"""Where weights begin: initialisers, and the generator they draw from."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from pycnn.define.trace import is_tracing, placeholder
from pycnn.dtypes import numpy_dtype
from pycnn.runtime.context import held
from pycnn.runtime.random import values

Shape = tuple[int, ...]
Initialiser = Callable[[Shape, np.random.Generator], np.ndarray]

_generator: ContextVar[np.random.Generator | None] = ContextVar("pycnn_generator", default=None)


def generator() -> np.random.Generator:
    """What layers that are being made draw from: that of `seeded`, or one of the process."""
    return _generator.get() or values()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Layers made inside begin with weights that depend on `seed` alone.

    Examples
    --------
    >>> from pycnn import nn
    >>> def one():
    ...     with nn.seeded(7):
    ...         return nn.Linear(2, 2)
    >>> bool((one().params["weight"] == one().params["weight"]).all())
    True
    """
    with held(_generator, np.random.default_rng(seed)):
        yield


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of weights (K, C, *taps): inputs of an output, outputs of an input.

    Examples
    --------
    >>> fans((64, 3, 7, 7))
    (147, 3136)
    """
    if len(shape) < 2:
        raise ValueError(f"shape={shape}: fans need two axes at least")
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def _of_variance(gain: float, fan: Callable[[int, int], int]) -> tuple[Initialiser, Initialiser]:
    """Normal and uniform of variance `gain` / `fan`."""

    return (
        lambda shape, rng: _normal(shape, math.sqrt(gain / fan(*fans(shape))), rng),
        lambda shape, rng: _uniform(shape, math.sqrt(3 * gain / fan(*fans(shape))), rng),
    )


#: For ReLU: K. He et al., "Delving deep into rectifiers", 2015, section 2.2.
he_normal, he_uniform = _of_variance(2, lambda fan_in, fan_out: fan_in)

#: For tanh, Glorot's: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep
#: feedforward neural networks", 2010, equation 16.
xavier_normal, xavier_uniform = _of_variance(2, lambda fan_in, fan_out: fan_in + fan_out)

#: For SELU and scaled tanh: Y. LeCun et al., "Efficient BackProp", 1998, section 4.6.
lecun_normal, lecun_uniform = _of_variance(1, lambda fan_in, fan_out: fan_in)


def orthogonal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Orthonormal rows (or columns, if there are fewer) of the weights as a matrix (K, rest).

    References
    ----------
    A. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", 2014, section 3.
    """
    fans(shape)
    rows, columns = shape[0], math.prod(shape[1:])
    drawn = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q *= np.sign(np.diag(r))  # makes the distribution uniform
    return (q if rows >= columns else q.T).reshape(shape).astype(np.float32)


def normal(std: float = 0.01) -> Initialiser:
    """Normal of the given deviation."""
    return lambda shape, rng: _normal(shape, std, rng)


def zeros(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """All zero."""
    return np.zeros(shape, np.float32)


def _normal(shape: Shape, std: float, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(shape, np.float32) * np.float32(std)


def _uniform(shape: Shape, bound: float, rng: np.random.Generator) -> np.ndarray:
    return (rng.random(shape, np.float32) * 2 - 1) * np.float32(bound)


INITIALISERS: dict[str, Initialiser] = {
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "xavier_normal": xavier_normal,
    "xavier_uniform": xavier_uniform,
    "lecun_normal": lecun_normal,
    "lecun_uniform": lecun_uniform,
    "orthogonal": orthogonal,
    "zeros": zeros,
}


def initialiser(init: str | Initialiser) -> Initialiser:
    """An initialiser by its name, or itself.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if callable(init):
        return init
    if init not in INITIALISERS:
        raise ValueError(f"init={init!r}: allowed are {', '.join(INITIALISERS)}, or a function")
    return INITIALISERS[init]


def weights(shape: Shape, init: str | Initialiser, dtype: str) -> Any:
    """New weights from the generator in force; while shapes are traced, a placeholder."""
    draw = initialiser(init)
    kind = numpy_dtype(dtype)
    if is_tracing():
        return placeholder(shape, kind)
    return np.asarray(draw(shape, generator())).astype(kind, copy=False)


def constant(shape: Shape, value: float, dtype: str) -> Any:
    """The same value everywhere; while shapes are traced, a placeholder."""
    if is_tracing():
        return placeholder(shape, numpy_dtype(dtype))
    return np.full(shape, value, numpy_dtype(dtype))
