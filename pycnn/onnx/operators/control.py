"""Bodies that run under a condition, or again and again."""

from typing import Any

import numpy as np

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.operators.arrays import integers, normal_axis, scalar
from pycnn.onnx.operators.registry import operator

#: Times that a body may run: more would be a loop that does not end.
MOST_TRIPS = 2**20


@operator("If")
def if_else(condition: Any, *, then_branch: Any, else_branch: Any, scope: Any) -> Any:
    return tuple(scope.run(then_branch if scalar(condition) else else_branch))


@operator("Loop")
def loop(
    trips: Any = None, condition: Any = None, *carried: Any, body: Any, scope: Any, outputs: int
) -> Any:
    count = None if trips is None else scalar(trips)
    going = True if condition is None else bool(scalar(condition))
    values = list(carried)
    stacked: list[list[Any]] = [[] for _ in range(len(body.outputs) - 1 - len(values))]
    done = 0
    while going and (count is None or done < count):
        if done >= MOST_TRIPS:
            raise OnnxError(f"a loop of more than {MOST_TRIPS} rounds")
        result = scope.run(body, np.array(done, np.int64), np.array(going), *values)
        going = bool(scalar(result[0]))
        values = result[1 : 1 + len(values)]
        for part, new in zip(stacked, result[1 + len(values) :], strict=True):
            part.append(new)
        done += 1
    values_out = body.graph.outputs[1 + len(values) :]
    return (*values, *(_stack(p, 0, v) for p, v in zip(stacked, values_out, strict=True)))


def _stack(parts: list[Any], axis: int, value: Any) -> Any:
    if parts:
        return np.stack(parts, axis)
    shape = [e if isinstance(e, int) else 0 for e in value.shape or ()]
    return np.zeros((0, *shape), value.dtype or np.float32)


@operator("Scan", since=9)
def scan(
    *inputs: Any,
    body: Any,
    scope: Any,
    num_scan_inputs: int,
    scan_input_axes: list[int] | None = None,
    scan_input_directions: list[int] | None = None,
    scan_output_axes: list[int] | None = None,
    scan_output_directions: list[int] | None = None,
) -> Any:
    split = len(inputs) - num_scan_inputs
    state, scanned = list(inputs[:split]), inputs[split:]
    axes = [
        normal_axis(a, x.ndim)
        for a, x in zip(scan_input_axes or [0] * len(scanned), scanned, strict=True)
    ]
    back = scan_input_directions or [0] * len(scanned)
    slices = [
        np.flip(np.moveaxis(x, a, 0), 0) if d else np.moveaxis(x, a, 0)
        for x, a, d in zip(scanned, axes, back, strict=True)
    ]
    if len({len(x) for x in slices}) > 1:
        raise OnnxError(f"scans of different lengths {[len(x) for x in slices]}")
    parts: list[list[Any]] = [[] for _ in body.outputs[split:]]
    for step in range(len(slices[0])):
        result = scope.run(body, *state, *(np.asarray(x[step]) for x in slices))
        state = result[:split]
        for part, new in zip(parts, result[split:], strict=True):
            part.append(new)
    out_axes = scan_output_axes or [0] * len(parts)
    out_back = scan_output_directions or [0] * len(parts)
    stacked = [
        _stack(p[::-1] if d else p, normal_axis(a, p[0].ndim + 1) if p else 0, v)
        for p, a, d, v in zip(parts, out_axes, out_back, body.graph.outputs[split:], strict=True)
    ]
    return (*state, *stacked)


@operator("Scan", since=8)
def scan_batch(
    lengths: Any,
    *inputs: Any,
    body: Any,
    scope: Any,
    num_scan_inputs: int,
    directions: list[int] | None = None,
) -> Any:
    """Of a batch, each member by itself; a shorter one is padded with zeros behind."""
    batch = len(inputs[0])
    longest = inputs[-1].shape[1]
    counts = [longest] * batch if lengths is None else integers(lengths)
    split = len(inputs) - num_scan_inputs
    results = []
    for i, count in enumerate(counts):
        one = [x[i] if j < split else x[i, :count] for j, x in enumerate(inputs)]
        made = scan(*one, body=body, scope=scope, num_scan_inputs=num_scan_inputs,
                    scan_input_directions=directions)  # fmt: skip
        tail = [(0, longest - count)]
        results.append(
            [v if j < split else np.pad(v, tail + [(0, 0)] * (v.ndim - 1))
             for j, v in enumerate(made)]
        )  # fmt: skip
    return tuple(np.stack(parts) for parts in zip(*results, strict=True))
