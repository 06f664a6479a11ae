"""Recurrent layers: RNN, GRU and LSTM, both directions, batches of different lengths."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import pycnn
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.operators.arrays import host
from pycnn.onnx.operators.registry import operator

Function = Callable[[Any], Any]
Names = Sequence[str] | None
Floats = Sequence[float] | None

#: By name: the function of x and its alpha and beta, and their defaults.
_ACTIVATIONS: dict[str, tuple[Callable[[Any, float, float], Any], float, float]] = {
    "relu": (lambda x, a, b: pycnn.relu(x), 0.0, 0.0),
    "tanh": (lambda x, a, b: pycnn.tanh(x), 0.0, 0.0),
    "sigmoid": (lambda x, a, b: pycnn.sigmoid(x), 0.0, 0.0),
    "softsign": (lambda x, a, b: pycnn.softsign(x), 0.0, 0.0),
    "softplus": (lambda x, a, b: pycnn.softplus(x), 0.0, 0.0),
    "elu": (lambda x, a, b: pycnn.elu(x, a), 1.0, 0.0),
    "leakyrelu": (lambda x, a, b: pycnn.leaky_relu(x, a), 0.01, 0.0),
    "affine": (lambda x, a, b: x * x.dtype.type(a) + x.dtype.type(b), 1.0, 0.0),
    "hardsigmoid": (lambda x, a, b: np.clip(x * x.dtype.type(a) + x.dtype.type(b), 0, 1), 0.2, 0.5),
    "scaledtanh": (lambda x, a, b: pycnn.tanh(x * x.dtype.type(b)) * x.dtype.type(a), 1.0, 1.0),
    "thresholdedrelu": (lambda x, a, b: np.where(x > a, x, x.dtype.type(0)), 1.0, 0.0),
}


def _functions(
    names: Names, defaults: Sequence[str], directions: int, alpha: Floats, beta: Floats,
    clip: float,
) -> list[list[Function]]:  # fmt: skip
    """Those of each direction; the alphas and betas go to the names in their order."""
    listed = list(names or list(defaults) * directions)
    if len(listed) != len(defaults) * directions:
        raise OnnxError(f"activations {listed}; allowed: {len(defaults)} a direction")
    alphas, betas = list(alpha or []), list(beta or [])
    made: list[Function] = []
    for name in listed:
        if name.lower() not in _ACTIVATIONS:
            raise OnnxError(f"activation {name!r}; allowed: {', '.join(_ACTIVATIONS)}")
        function, a, b = _ACTIVATIONS[name.lower()]
        a = alphas.pop(0) if alphas else a
        b = betas.pop(0) if betas else b
        made.append(_clipped(function, a, b, clip))
    each = len(defaults)
    return [made[i * each : (i + 1) * each] for i in range(directions)]


def _clipped(function: Any, a: float, b: float, clip: float) -> Function:
    def apply(x: Any) -> Any:
        return function(np.clip(x, -clip, clip) if clip else x, a, b)

    return apply


#: (projected input, states, recurrent weight, its bias, functions) -> states.
Cell = Callable[[Any, list[Any], Any, Any, list[Function]], list[Any]]


def _layer(
    cell: Cell,
    gates: int,
    x: Any,
    w: Any,
    r: Any,
    b: Any,
    lengths: Any,
    states: list[Any],
    direction: str,
    functions: list[list[Function]],
    layout: int,
) -> tuple[Any, list[Any]]:
    """All outputs and the last states, of every direction."""
    directions, hidden = w.shape[0], r.shape[-1]
    if direction not in ("forward", "reverse", "bidirectional"):
        raise OnnxError(f"direction {direction!r}")
    if directions != (2 if direction == "bidirectional" else 1):
        raise OnnxError(f"weights of {directions} directions for {direction!r}")
    if layout:
        x = np.swapaxes(x, 0, 1)
        states = [None if s is None else np.swapaxes(s, 0, 1) for s in states]
    steps, batch, _ = x.shape
    counts = np.full(batch, steps) if lengths is None else host(lengths)
    bias = np.zeros((directions, 2 * gates * hidden), x.dtype, like=x) if b is None else b
    zeros = np.zeros((directions, batch, hidden), x.dtype, like=x)
    begin = [zeros if s is None else s for s in states]
    outputs, lasts = [], []
    for d in range(directions):
        back = direction == "reverse" or d == 1
        of_input, of_state = bias[d, : gates * hidden], bias[d, gates * hidden :]
        projected = pycnn.linear(np.ascontiguousarray(x), w[d], of_input)
        state = [np.ascontiguousarray(s[d]) for s in begin]
        made = np.zeros((steps, batch, hidden), x.dtype, like=x)
        for step in reversed(range(steps)) if back else range(steps):
            new = cell(projected[step], state, r[d], of_state, functions[d])
            running = (step < counts)[:, None]
            state = [np.where(running, n, s) for n, s in zip(new, state, strict=True)]
            made[step] = np.where(running, state[0], x.dtype.type(0))
        outputs.append(made)
        lasts.append(state)
    y = np.stack(outputs, 1)
    ends = [np.stack(parts) for parts in zip(*lasts, strict=True)]
    if layout:
        return np.transpose(y, (2, 0, 1, 3)), [np.swapaxes(s, 0, 1) for s in ends]
    return y, ends


def _directions(w: Any) -> int:
    return int(w.shape[0])


@operator("RNN", kernels=True)
def rnn(
    x: Any,
    w: Any,
    r: Any,
    b: Any = None,
    lengths: Any = None,
    initial_h: Any = None,
    *,
    activation_alpha: Floats = None,
    activation_beta: Floats = None,
    activations: Names = None,
    clip: float = 0.0,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
) -> Any:
    def cell(projected: Any, state: list[Any], r: Any, bias: Any, f: list[Function]) -> list[Any]:
        return [f[0](projected + pycnn.linear(state[0], r, bias))]

    functions = _functions(
        activations, ["Tanh"], _directions(w), activation_alpha, activation_beta, clip
    )
    y, ends = _layer(cell, 1, x, w, r, b, lengths, [initial_h], direction, functions, layout)
    return (y, *ends)


@operator("GRU", kernels=True)
def gru(
    x: Any,
    w: Any,
    r: Any,
    b: Any = None,
    lengths: Any = None,
    initial_h: Any = None,
    *,
    activation_alpha: Floats = None,
    activation_beta: Floats = None,
    activations: Names = None,
    clip: float = 0.0,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> Any:
    """Gates update, reset, hidden; the reset acts on the state, or on its product."""

    def cell(projected: Any, state: list[Any], r: Any, bias: Any, f: list[Function]) -> list[Any]:
        h = state[0]
        n = h.shape[1]
        gates = f[0](projected[:, : 2 * n] + pycnn.linear(h, r[: 2 * n], bias[: 2 * n]))
        update, reset = gates[:, :n], gates[:, n:]
        if linear_before_reset:
            inner = reset * pycnn.linear(h, r[2 * n :], bias[2 * n :])
        else:
            inner = pycnn.linear(reset * h, r[2 * n :], bias[2 * n :])
        new = f[1](projected[:, 2 * n :] + inner)
        return [(1 - update) * new + update * h]

    functions = _functions(
        activations, ["Sigmoid", "Tanh"], _directions(w), activation_alpha, activation_beta, clip
    )
    y, ends = _layer(cell, 3, x, w, r, b, lengths, [initial_h], direction, functions, layout)
    return (y, *ends)


@operator("LSTM", kernels=True)
def lstm(
    x: Any,
    w: Any,
    r: Any,
    b: Any = None,
    lengths: Any = None,
    initial_h: Any = None,
    initial_c: Any = None,
    p: Any = None,
    *,
    activation_alpha: Floats = None,
    activation_beta: Floats = None,
    activations: Names = None,
    clip: float = 0.0,
    direction: str = "forward",
    hidden_size: int = 0,
    input_forget: int = 0,
    layout: int = 0,
) -> Any:
    """Gates input, output, forget, cell; peepholes of the first three, one weight an element."""
    peepholes = iter([] if p is None else list(p))

    def cells() -> Cell:
        peep = next(peepholes, None)

        def cell(
            projected: Any, state: list[Any], r: Any, bias: Any, f: list[Function]
        ) -> list[Any]:
            h, c = state
            n = h.shape[1]
            total = projected + pycnn.linear(h, r, bias)
            i, o, forget, g = (total[:, k * n : (k + 1) * n] for k in range(4))
            if peep is not None:
                i, forget = i + peep[:n] * c, forget + peep[2 * n :] * c
            i = f[0](i)
            forget = 1 - i if input_forget else f[0](forget)
            new = forget * c + i * f[1](g)
            if peep is not None:
                o = o + peep[n : 2 * n] * new
            return [f[0](o) * f[2](new), new]

        return cell

    functions = _functions(
        activations, ["Sigmoid", "Tanh", "Tanh"], _directions(w), activation_alpha,
        activation_beta, clip,
    )  # fmt: skip
    made = [cells() for _ in functions]
    chosen = {id(own): cell for own, cell in zip(functions, made, strict=True)}

    def of_direction(
        projected: Any, state: list[Any], r: Any, bias: Any, f: list[Function]
    ) -> list[Any]:
        return chosen[id(f)](projected, state, r, bias, f)

    states = [initial_h, initial_c]
    y, ends = _layer(of_direction, 4, x, w, r, b, lengths, states, direction, functions, layout)
    return (y, *ends)
