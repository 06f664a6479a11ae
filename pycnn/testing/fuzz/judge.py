"""What came out of a call, held to what was announced and to what must come out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pycnn.define.call import Call
from pycnn.define.operation import Gradient
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.testing.fuzz.draw import Drawn, full_range
from pycnn.testing.tolerance import compare, tolerance

#: Roundings of every input that a result may be off by, wherever its terms cancel.
ROUNDINGS = 8


class Fault(Exception):
    """What a call did, and should not."""


def compare_results(
    drawn: Drawn,
    call: Call,
    results: Sequence[np.ndarray],
    expected: Mapping[str, np.ndarray],
    judge: str,
    terms: Mapping[str, int],
    special: bool,
    largest: float,
    sensitivity: Callable[[str], Mapping[str, np.ndarray]],
) -> None:
    """Results are what was announced, and within what rounding explains of `expected`."""
    if judge == "PyTorch":
        largest *= _before_it_cancels(drawn)
    updating = any(name.startswith("running_") for name in call.views)  # what is not returned
    if len(results) != len(call.outputs) and not updating:
        raise Fault(f"{len(results)} results; announced: {len(call.outputs)}")
    for (name, spec), actual in zip(call.outputs.items(), results, strict=not updating):
        if type(actual) is not np.ndarray or actual.dtype != spec.dtype:
            raise Fault(f"{name} is {type(actual)} of {actual.dtype}; announced: {spec.dtype}")
        if actual.shape != spec.shape:
            raise Fault(f"{name} has shape {actual.shape}; announced: {spec.shape}")
        if name not in expected:
            continue
        want = np.asarray(expected[name])
        if want.shape != actual.shape:
            raise Fault(f"{name} has shape {actual.shape}; {judge}: {want.shape}")
        if spec.dtype.name not in FLOATS:
            if judge == "PyTorch" and drawn.tested.op.family == "topk":
                continue  # equal values come in another order
            if judge == "PyTorch" and "max_pool" in drawn.tested.op.name:
                want = np.where(actual == -1, -1, want)  # a window of padding alone: anything
            if not np.array_equal(actual, want):
                raise Fault(f"{name} differs from {judge}{_where(actual, want)}")
            continue
        got = actual.astype(np.float64)
        want = want.astype(np.float64)
        want = want.astype(numpy_dtype(FLOATS[spec.dtype.name].accumulate)).astype(np.float64)
        if special:
            got, want = _excused(drawn, got, want, judge)
        length = max(1, terms.get(name, 1), _farthest(drawn) ** 2)
        error, allowed = compare(got.astype(spec.dtype), want, spec.dtype.name, length)
        precision = FLOATS[spec.dtype.name].accumulate
        floor = max(tolerance(precision, length, largest), FLOATS[precision].tiny)
        if error > max(allowed, floor):
            moved = sensitivity(precision).get(name, np.zeros(()))
            got = np.where(np.abs(got - want) <= ROUNDINGS * moved, want, got)
            error, allowed = compare(got.astype(spec.dtype), want, spec.dtype.name, length)
        if error > max(allowed, floor):
            raise Fault(
                f"{name} is off by {error:.3g} from {judge}, allowed {allowed:.3g}"
                f"{_where(got, want)}"
            )
        single = isinstance(drawn.tested.op, Gradient) or spec.dtype.name != precision
        if drawn.tested.op.family == "activation" and not single and judge != "PyTorch":
            small = np.abs(want) < 1e-3 * np.abs(want[np.isfinite(want)]).max(initial=0.0)
            off = np.abs(got - want) > 1e-3 * np.abs(want) + 100 * np.finfo(precision).tiny
            if (small & off).any():
                raise Fault(f"{name} loses digits{_where(got[small & off], want[small & off])}")


def _farthest(drawn: Drawn) -> int:
    """Where a position in an image is computed: the largest, of which a rounding is a share."""
    if drawn.tested.op.family != "resize":
        return 0
    shape = drawn.case.shapes["x"]
    last = drawn.case.settings.get("layout") == "NHWC"
    return max(shape[1:-1] if last else shape[2:], default=0)


def _before_it_cancels(drawn: Drawn) -> float:
    """Size of the terms in PyTorch's gradient of a norm that is 0, such as that of one element."""
    op = drawn.tested.op
    if op.family != "norm" or not isinstance(op, Gradient):
        return 1.0
    eps = float({**op.defaults, **drawn.case.settings}.get("eps", 1.0))
    return 1 / eps**0.5 if eps > 0 else 1.0


def comparable(drawn: Drawn, settings: Mapping[str, Any]) -> bool:
    """Whether numbers can be compared: infinite settings and denominators of 0 are anything."""
    if drawn.tested.op.name.startswith("celu") and settings.get("alpha", 1) < 0:
        return False  # exp overflows where its product with alpha or dy would not; PyTorch's too
    small = all(abs(v) < 1e6 for v in settings.values() if isinstance(v, float))
    return small and settings.get("k", 1) > 0 and settings.get("beta", 1) > 0


def largest_magnitude(drawn: Drawn, operands: Mapping[str, np.ndarray], special: bool) -> float:
    """Magnitude whose rounding may be left where terms of the result cancel.

    That of what comes in where values are special; else that of the result is, but for gradients
    of activations, for losses, and for slopes of a sampled x, which may be nearly 0 everywhere.
    """
    floating = [
        a.astype(np.float64) for a in operands.values() if a.dtype.name in FLOATS and a.size
    ]
    op = drawn.tested.op
    gradient = isinstance(op, Gradient)
    cancel = op.family in ("loss", "activation", "norm") or op.name == "grid_sample_backward"
    wide = full_range(op) and not gradient
    if not floating or (wide if special else not cancel):
        return 0.0
    return max(float(np.abs(a[np.isfinite(a)]).max(initial=0.0)) for a in floating)


def _excused(
    drawn: Drawn, got: np.ndarray, want: np.ndarray, judge: str
) -> tuple[np.ndarray, np.ndarray]:
    """Without what the order of a sum, or of a product, decides where values are special."""
    if drawn.tested.op.family == "activation" and isinstance(drawn.tested.op, Gradient):
        # An infinite dy meets a slope that is 0 in float32, and not in float64.
        met = np.isnan(got) & (np.isinf(want) | (want == 0))
        return np.where(met, 0, got), np.where(met, 0, want)
    if drawn.tested.op.name.startswith("lp_pool"):
        # The root of a sum below 0 is NaN, unless the sum is too small for float32: then it is 0.
        small = np.isnan(want) & (got == 0)
        want = np.where(small, 0, want)
    weighted = "pos_weight" in drawn.case.shapes  # an infinite target times it has no sign
    if drawn.tested.op.family in ("conv", "gemm", "resize") or weighted:
        # Infinities of both signs may cancel within a tile, a transform spreads a NaN, and so does
        # a weight of 0; but padding may or may not be multiplied by a filter's.
        spread = ~np.isfinite(got) | ~np.isfinite(want)
        return np.where(spread, 0, got), np.where(spread, 0, want)
    if judge == "PyTorch" or drawn.tested.op.family == "norm":
        # Of infinities the order of sums makes one, or NaN.
        neither = ~np.isfinite(want) & (~np.isfinite(got) | (judge == "PyTorch"))
        if drawn.tested.op.name == "batch_norm_relu_train":  # of minus infinity ReLU makes 0
            neither |= (want == 0) & np.isnan(got)
        return np.where(neither, 0, got), np.where(neither, 0, want)
    return got, want


def _where(got: np.ndarray, want: np.ndarray) -> str:
    """The first elements that differ most."""
    if got.size == 0:
        return ""
    with np.errstate(all="ignore"):
        apart = np.abs(got.astype(np.float64) - want.astype(np.float64))
        same = (got == want) | (np.isnan(got.astype(float)) & np.isnan(want.astype(float)))
        worst = np.argmax(np.where(same, -1, np.where(np.isnan(apart), np.inf, apart)))
    at = tuple(int(i) for i in np.unravel_index(worst, got.shape))
    return f": {got[at]!r} instead of {want[at]!r} at {at}"
