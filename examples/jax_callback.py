"""A convolution of pycnn's inside a jitted function of JAX, with its gradient.

    pip install jax
    python examples/jax_callback.py

`jax.pure_callback` calls out of a compiled function; `jax.custom_vjp` says what its gradient is.
Exit status 0: values and gradients are those of JAX's own convolution, within the tolerance.
"""

import sys

try:
    import jax
except ImportError:
    print("this example needs JAX; install it with: pip install jax", file=sys.stderr)
    sys.exit(2)

from typing import Any

import jax.numpy as jnp
import numpy as np

import pycnn

#: Largest difference, in float32, relative to the largest element.
TOLERANCE = 1e-5


@jax.custom_vjp
def conv2d(x: Any, weight: Any) -> Any:
    """`pycnn.conv2d` with a border of one pixel, for 3x3 filters."""
    shape = jax.ShapeDtypeStruct((x.shape[0], weight.shape[0], *x.shape[2:]), x.dtype)
    return jax.pure_callback(
        lambda x, weight: pycnn.conv2d(np.asarray(x), np.asarray(weight), padding=1),
        shape, x, weight,
    )  # fmt: skip


def _forward(x: Any, weight: Any) -> tuple[Any, tuple[Any, Any]]:
    return conv2d(x, weight), (x, weight)


def _backward(kept: tuple[Any, Any], dy: Any) -> tuple[Any, ...]:
    shapes = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in kept)

    def gradients(*arrays: Any) -> tuple[Any, ...]:
        dy, x, weight = map(np.asarray, arrays)
        return pycnn.conv2d_backward(dy, x, weight, padding=1, needs=(True, True, False))[:2]

    return tuple(jax.pure_callback(gradients, shapes, dy, *kept))


conv2d.defvjp(_forward, _backward)


def own(x: Any, weight: Any) -> Any:
    """JAX's."""
    return jax.lax.conv_general_dilated(x, weight, (1, 1), ((1, 1), (1, 1)))


def main() -> int:
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, 3, 8, 9), np.float32))
    weight = jnp.asarray(rng.standard_normal((4, 3, 3, 3), np.float32))
    results = []
    for convolution in (conv2d, own):

        def cost(x: Any, weight: Any, convolution: Any = convolution) -> Any:
            return jnp.sum(jnp.sin(convolution(x, weight)))

        results.append(jax.jit(jax.value_and_grad(cost, (0, 1)))(x, weight))
    (value, ours), (wanted, theirs) = results
    pairs = [(value, wanted), *zip(ours, theirs, strict=True)]
    worst = max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs)
    print(f"value and 2 gradients within {worst:.1e} of JAX's; allowed: {TOLERANCE:.0e}")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
