"""A differential fuzzer of every operation: random calls, held to the oracle and to PyTorch.

``make fuzz SECONDS=60``, or ``python -m pycnn.testing.fuzz``, which see.

Operations, their settings and defaults are read from the definitions. A call begins as a case of
`pycnn.testing`, whose extents and settings are then changed at random; its arrays get strides,
dtypes and special values. What validation refuses must be refused alike on every backend, and by
ValueError or TypeError; all else must give the right shapes, dtypes and numbers, without a warning
and without an error of NumPy's, which all are turned on. Every call is a function of one number,
which is printed with a failure and runs it again.
"""

import argparse
import contextlib
import re
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

import pycnn
from pycnn.define.call import Call
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.runtime.backends import stand_in_executor
from pycnn.testing import TESTED
from pycnn.testing.case import Case, Shape
from pycnn.testing.problem import holds
from pycnn.testing.tested import Tested
from pycnn.testing.tolerance import compare, tolerance

#: Seed of what is drawn unless another one is asked for.
SEED = 20261128

BACKENDS = ("reference", "emulator", "checked")

#: Elements of all arrays of a call together: enough for several blocks and tails.
MOST = 2**14

#: How an array lies in memory.
VIEWS = ("contiguous", "transposed", "stepped", "reversed", "misaligned", "broadcast")

#: Operations in which one element of a large value leaves the others right: full range.
RANGED = ("activation", "norm", "softmax", "topk", "movement")

#: Beyond it the squares of float64, and the oracle with them, overflow.
WIDEST = 1e150

#: Bytes of address space that `main` lives in.
MEMORY = 2**34

#: A call that takes longer hangs, as far as a user can tell.
PATIENCE = 60

INTEGERS = (0, 1, 2, 3, 5, -1, -2, 7, 2**31 - 1, 2**31, 2**40, 2**63, 2**64, -(2**31))
NUMBERS = (0.0, -0.0, 1.0, 0.5, -0.5, 2.0, 1e-3, 1e30, -1e-30, np.inf, np.nan)


class Fault(Exception):
    """What a call did, and should not."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A call.

    Attributes
    ----------
    tested : Tested
    case : Case
        As changed at random; of a gradient, that of the operation it belongs to.
    dtype : str
    seed : tuple of int
        Of its values.
    """

    tested: Tested
    case: Case
    dtype: str
    seed: tuple[int, ...]

    def __str__(self) -> str:
        shapes = ", ".join(f"{name} {shape}" for name, shape in self.case.shapes.items())
        settings = ", ".join(f"{k}={v!r}" for k, v in self.tested.settings(self.case).items())
        return f"{self.tested.op.name}({shapes}; {settings}) {self.dtype}"


def draw(seed: int, number: int, names: Sequence[str] = (), dtypes: Sequence[str] = ()) -> Drawn:
    """Call `number` of a seed, of one of the operations and dtypes given."""
    rng = np.random.default_rng((seed, number))
    tested = TESTED[_one(rng, names or tuple(TESTED))]
    small = [case for case in tested.cases if not case.standard]
    base = _one(rng, small)
    owner = tested.forward if isinstance(tested.op, Gradient) else tested  # type: ignore[attr-defined]
    shapes, settings = dict(base.shapes), dict(base.settings)
    if rng.random() < 0.8:
        shapes = _other_shapes(rng, owner, shapes)
    if rng.random() < 0.6:
        settings = _other_settings(rng, owner, settings)
    allowed = [d for d in tested.op.dtypes if not dtypes or d in dtypes] or tested.op.dtypes
    dtype = _one(rng, allowed)
    case = replace(base, name=f"{base.name}, changed", shapes=shapes, settings=settings)
    return Drawn(tested, case if holds(dtype, case) else base, dtype, (seed, number, 1))


def _one(rng: np.random.Generator, values: Sequence[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def _other_shapes(
    rng: np.random.Generator, tested: Tested, shapes: dict[str, Shape]
) -> dict[str, Shape]:
    """Equal extents stay equal, since most often they are one and the same axis."""
    free = all(not o.ranks for o in tested.op.operands)
    if free and len(set(shapes.values())) == 1 and rng.random() < 0.7:
        rank = int(rng.integers(6))
        shape = tuple(int(_one(rng, (0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 16, 33))) for _ in range(rank))
        return dict.fromkeys(shapes, shape)
    extents = sorted({extent for shape in shapes.values() for extent in shape})
    changed = {}
    for extent in extents:
        if rng.random() < 0.4:
            near = (extent - 1, extent + 1, 2 * extent, extent // 2, extent + 2)
            new = _one(rng, (*near, *near, 1, 2, 3, 4, 8, 0))
            changed[extent] = max(0, min(int(new), 1024))
    return {name: tuple(changed.get(e, e) for e in shape) for name, shape in shapes.items()}


def _other_settings(
    rng: np.random.Generator, tested: Tested, settings: dict[str, Any]
) -> dict[str, Any]:
    """Some of them changed: to what other cases have, or to a neighbour or an extreme."""
    known = [*tested.op.required, *tested.op.defaults]
    if not known:
        return settings
    for name in rng.choice(known, int(rng.integers(1, 3))):
        if name in tested.op.required and name not in settings:
            continue
        now = settings.get(name, tested.op.defaults.get(name))
        others = [case.settings[name] for case in tested.cases if name in case.settings]
        pool = [*others, tested.op.defaults.get(name, now), _near(rng, now), _near(rng, now)]
        settings[str(name)] = _one(rng, pool)
    return settings


def _near(rng: np.random.Generator, value: Any) -> Any:
    """Another value of the kind of `value`."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return int(_one(rng, (value - 1, value + 1, 2 * value, *INTEGERS)))
    if isinstance(value, float):
        return float(_one(rng, (2 * value, -value, value + 1, *NUMBERS)))
    if isinstance(value, (tuple, list)) and value:
        if rng.random() < 0.2:
            return value[0]
        at = int(rng.integers(len(value)))
        return tuple(_near(rng, v) if i == at else v for i, v in enumerate(value))
    return value


def lay_out(array: np.ndarray, kind: str) -> np.ndarray:
    """`array` with the same values and other strides; with "broadcast" as it is."""
    if array.ndim == 0 or kind in ("contiguous", "broadcast"):
        return array
    if kind == "transposed":
        return np.ascontiguousarray(array.T).T
    if kind == "reversed":
        flip = (slice(None, None, -1),) * array.ndim
        return np.ascontiguousarray(array[flip])[flip]
    if kind == "misaligned":  # one element behind a boundary of 16 bytes
        base = np.zeros(array.size + 1, array.dtype)
        base[1:] = array.ravel()
        return base[1:].reshape(array.shape)
    base = np.zeros([2 * extent + 1 for extent in array.shape], array.dtype)
    base[(slice(1, None, 2),) * array.ndim] = array
    return base[(slice(1, None, 2),) * array.ndim]


def _full_range(op: Operation) -> bool:
    """Whether finite values of any size have results that rounding alone is in the way of."""
    return op.family in RANGED and not (op.family == "norm" and isinstance(op, Gradient))


def specials(dtype: str, op: Operation) -> tuple[float, ...]:
    """Values that everyday data lacks; large ones as far as sums of products stay finite."""
    kind = FLOATS[dtype]
    if _full_range(op):
        large = {"float16": 6e4, "bfloat16": 3e38, "float32": 3e38, "float64": WIDEST}[dtype]
    else:
        large = {"float16": 100.0, "bfloat16": 1e9, "float32": 1e9, "float64": 1e100}[dtype]
    # Large ones of one sign: of two, which nearly cancel, no sum keeps a digit.
    return (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, kind.tiny, -kind.tiny / 4, large)


def fill(drawn: Drawn) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], bool]:
    """Inputs of forward for PyTorch, the arrays of the call, and whether some value is special."""
    rng, tested = np.random.default_rng(drawn.seed), drawn.tested
    if isinstance(tested.op, Gradient):
        forward, operands = tested.draw_both(drawn.case, rng, drawn.dtype)  # type: ignore[attr-defined]
    else:
        forward = operands = tested.draw(drawn.case, rng, drawn.dtype)
    produced = {name for name in operands if name not in forward and name not in _upstream(tested)}
    limited = _limited(drawn, operands)
    special = rng.random() < 0.25 and drawn.dtype in FLOATS and not produced
    if _full_range(tested.op) and not produced and rng.random() < 0.2:
        special = True
        power = 10.0 ** rng.integers(-3, 4)
        for array in operands.values():
            if array.dtype.name == drawn.dtype and array.dtype.name in FLOATS and not limited:
                array[...] = (array.astype(np.float64) * power).astype(array.dtype)
    placed = {}
    for name, array in operands.items():
        kind = _one(rng, VIEWS) if rng.random() < 0.6 else "contiguous"
        if special and array.dtype.name == drawn.dtype and array.size and name not in limited:
            chosen = specials(drawn.dtype, tested.op)
            if tested.op.family == "norm" and name != "x":
                chosen = chosen[:-1]  # large parameters have large results
            count = int(rng.integers(1, 1 + min(array.size, 4)))
            array.reshape(-1)[rng.integers(0, array.size, count)] = rng.choice(chosen, count)
        updated = name.startswith("running_")
        if kind == "broadcast" and array.ndim and array.size and not (produced or updated):
            axis = int(rng.integers(array.ndim))
            array = np.broadcast_to(np.take(array, [0], axis), array.shape)
            if name in forward:
                forward[name] = array.copy()
        placed[name] = lay_out(array, kind)
        if name in forward and special:
            forward[name] = np.array(array)
    return forward, placed, special


def _limited(drawn: Drawn, operands: Mapping[str, np.ndarray]) -> set[str]:
    """Arrays that may not hold every value, such as probabilities."""
    op = drawn.tested.op
    try:
        return set(op.allowed(op.describe(operands, **drawn.tested.settings(drawn.case))))
    except (ValueError, TypeError):
        return set()


def _upstream(tested: Tested) -> Mapping[str, str]:
    return tested.op.upstream if isinstance(tested.op, Gradient) else {}


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """Warnings are errors, NumPy raises what it can, and a call ends some time."""

    def late(*_: Any) -> None:
        raise Fault(f"not done after {PATIENCE} seconds")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        with warnings.catch_warnings(), np.errstate(all="raise"):
            warnings.simplefilter("error")
            yield
    finally:
        signal.alarm(0)


class _Nothing:
    """An executor that is not reached: what is refused is refused before."""

    name = "emulator"

    def run(self, plan: Any, arrays: Any, out: Any = None) -> dict[str, Any]:
        raise Fault("launched in spite of bad input")


def check(drawn: Drawn, backend: str, torch: bool = False) -> str:
    """Run a call; "right", "refused", or why it was not tried.

    Raises
    ------
    Fault
        If it is neither.
    """
    tested = drawn.tested
    owner = tested.forward if isinstance(tested.op, Gradient) else tested  # type: ignore[attr-defined]
    if sum(map(prod, drawn.case.shapes.values())) > MOST:
        return "too large"
    if drawn.case.settings.get("seed", 0) is None:
        return "not drawn"  # the next random numbers, other ones each time
    placeholders = owner.placeholders(drawn.case, drawn.dtype)
    with strict():
        call = _described(owner, placeholders, owner.settings(drawn.case))
        if call is None:
            _same_refusal(owner, placeholders, owner.settings(drawn.case))
            return "refused"
        if sum(prod(s.shape) for s in call.outputs.values()) > MOST:
            return "too large"
    # Oracles make the padding, and count windows one by one.
    huge = re.search(r"\b\d{7,}\b", repr(drawn.case.settings)) is not None
    if huge and isinstance(tested.op, Gradient):
        return "not drawn"
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            forward, operands, special = fill(drawn)
        except Exception:  # a generator of indices that belong together has its own limits
            return "not drawn"
    settings = tested.settings(drawn.case)
    with strict():
        call = _described(tested, operands, settings)
        if call is None:
            _same_refusal(tested, operands, settings)
            return "refused"
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = {} if huge else tested.oracle(settings, operands)
            terms = 1 if huge else tested.terms(settings, operands)
        except Exception as error:
            if all(array.size for array in operands.values()):
                raise Fault(f"the oracle: {type(error).__name__}: {error}") from error
            expected, terms = (
                {},
                1,
            )  # an oracle need not know of nothing
        if not _sensible(settings):
            expected = {}
    with strict():
        before = {name: array.copy() for name, array in operands.items()}
        with pycnn.use_backend(
            backend.replace("checked", "emulator"), checked=backend == "checked"
        ):
            try:
                results = tested.invoke(getattr(pycnn, tested.op.name), operands, settings)
            except Fault:
                raise
            except Exception as error:
                if isinstance(error, ValueError) and special and tested.op.allowed(call):
                    return "refused"  # a value that the operation does not take
                raise Fault(f"{type(error).__name__}: {error}") from error
    updated = [n for n, new in tested.op.updates.items() if new in call.outputs]
    results += tuple(operands[name].copy() for name in updated)
    for name, array in operands.items():
        if name not in updated and array.tobytes() != before[name].tobytes():
            raise Fault(f"{name} was changed")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        largest = _largest(drawn, operands, special)
        lengths = dict.fromkeys(expected, terms) if isinstance(terms, int) else terms
        _compare(drawn, call, results, expected, lengths, "the oracle", special, largest)
        if (
            torch
            and all(a.size for a in operands.values())
            and _has_peer(drawn, forward, operands, special)
        ):
            peers = _by_torch(tested, drawn.case, forward, operands)
            kept = {n: a for n, a in peers.items() if n in expected}
            _compare(drawn, call, results, kept, lengths, "PyTorch", special, largest)
    return "right"


def _described(tested: Tested, arrays: Mapping[str, Any], settings: Any) -> Call | None:
    """The call, or None if validation refuses it."""
    try:
        described: Call = tested.op.describe(arrays, **settings)
    except (ValueError, TypeError) as error:
        if "allowed" not in str(error) and "called without" not in str(error):
            raise Fault(f"says not what is allowed: {type(error).__name__}: {error}") from error
        return None
    except Fault:
        raise
    except Exception as error:
        raise Fault(f"validation: {type(error).__name__}: {error}") from error
    return described


def _same_refusal(tested: Tested, arrays: Mapping[str, Any], settings: Any) -> None:
    """Every backend says the same."""
    said = set()
    for backend in ("reference", "emulator"):
        with pycnn.use_backend(backend), stand_in_executor("emulator", _Nothing()):
            try:
                tested.invoke(getattr(pycnn, tested.op.name), arrays, settings)
                said.add("nothing")
            except (ValueError, TypeError) as error:
                said.add(f"{type(error).__name__}: {error}")
    if len(said) > 1 or "nothing" in said:
        raise Fault(f"refused differently: {said}")


def _has_peer(drawn: Drawn, forward: Arrays, operands: Arrays, special: bool) -> bool:
    """Whether PyTorch, which computes in float64, is asked for the same.

    It does not know of forward's results as they were rounded, and of a gradient at NaN it makes
    one thing in vectors and another one in the rest.
    """
    if not isinstance(drawn.tested.op, Gradient):
        return True
    if {*drawn.tested.forward.settings(drawn.case)} - {*drawn.tested.settings(drawn.case)}:  # type: ignore[attr-defined]
        return False  # what the gradient has no setting for, such as a fused activation
    rounded = any(n not in forward and n not in drawn.tested.op.upstream for n in operands)
    return not rounded and not (special and drawn.tested.op.family == "activation")


def _by_torch(
    tested: Tested,
    case: Case,
    forward: Mapping[str, np.ndarray],
    operands: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """PyTorch's answer in float64, as far as it has one."""
    import torch

    def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        wide = {n: a.astype(np.float64) if a.dtype.name in FLOATS else a for n, a in arrays.items()}
        return {n: torch.from_numpy(np.array(a, order="C")) for n, a in wide.items()}

    try:
        if isinstance(tested.op, Gradient):
            upstream = tensors({name: operands[name] for name in tested.op.upstream})
            settings = tested.forward.settings(case)  # type: ignore[attr-defined]
            results = tested.torch_gradients(tensors(forward), upstream, settings)  # type: ignore[attr-defined]
        else:
            results = tested.torch(tensors(operands), tested.settings(case))
    except Exception:  # NoPeer, and it takes fewer shapes, settings and dtypes
        return {}
    return {name: np.asarray(tensor.detach().numpy()) for name, tensor in results.items()}


def _compare(
    drawn: Drawn,
    call: Call,
    results: Sequence[np.ndarray],
    expected: Mapping[str, np.ndarray],
    terms: Mapping[str, int],
    judge: str,
    special: bool,
    largest: float,
) -> None:
    """Results are what was announced, and within what rounding explains of `wanted`."""
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
            if not np.array_equal(actual, want):
                raise Fault(f"{name} differs from {judge}{_where(actual, want)}")
            continue
        got = actual.astype(np.float64)
        want = want.astype(np.float64)
        want = want.astype(numpy_dtype(FLOATS[spec.dtype.name].accumulate)).astype(np.float64)
        if special:
            got, want = _excused(drawn, got, want, judge)
        length = max(1, terms.get(name, 1))
        error, allowed = compare(got.astype(spec.dtype), want, spec.dtype.name, length)
        precision = FLOATS[spec.dtype.name].accumulate
        floor = max(tolerance(precision, length, largest), FLOATS[precision].tiny)
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


def _sensible(settings: Mapping[str, Any]) -> bool:
    """Whether numbers can be compared: infinite settings and denominators of 0 are anything."""
    small = all(abs(v) < 1e6 for v in settings.values() if isinstance(v, float))
    return small and settings.get("k", 1) > 0 and settings.get("beta", 1) > 0


def _largest(drawn: Drawn, operands: Mapping[str, np.ndarray], special: bool) -> float:
    """Magnitude whose rounding may be left where terms of the result cancel.

    That of what comes in where values are special; else that of the result is, but for gradients
    of activations and for losses, which may be nearly 0 in every element.
    """
    floating = [
        a.astype(np.float64) for a in operands.values() if a.dtype.name in FLOATS and a.size
    ]
    op = drawn.tested.op
    gradient = isinstance(op, Gradient)
    cancel = op.family in ("loss", "activation", "norm")
    wide = _full_range(op) and not gradient
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
    weighted = "pos_weight" in drawn.case.shapes  # an infinite target times it has no sign
    if drawn.tested.op.family in ("conv", "gemm", "resize") or weighted:
        # Infinities of both signs may cancel within a tile, a transform spreads a NaN, and so does
        # a weight of 0; but padding may or may not be multiplied by a filter's.
        spread = ~np.isfinite(got) | ~np.isfinite(want)
        return np.where(spread, 0, got), np.where(spread, 0, want)
    if judge == "PyTorch" or drawn.tested.op.family == "norm":
        # Of infinities the order of sums makes one, or NaN.
        neither = ~np.isfinite(want) & (~np.isfinite(got) | (judge == "PyTorch"))
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


@dataclass
class Tally:
    """What came of the calls."""

    outcomes: Counter[str]
    faults: list[str]


def run(
    numbers: Iterator[int] | range,
    backend: str,
    *,
    seed: int = SEED,
    names: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    torch: bool = False,
    until: float = np.inf,
    say: Callable[[str], None] = print,
) -> Tally:
    """Check calls by their numbers, until a time; says every fault as a command that reruns it."""
    tally = Tally(Counter(), [])
    for number in numbers:
        if time.monotonic() > until:
            break
        drawn = draw(seed, number, names, dtypes)
        try:
            tally.outcomes[check(drawn, backend, torch)] += 1
        except Fault as fault:
            tally.outcomes["fault"] += 1
            chosen = "".join(f" --op {name}" for name in names)
            chosen += "".join(f" --dtype {dtype}" for dtype in dtypes)
            line = (
                f"python -m pycnn.testing.fuzz --backend {backend} --seed {seed}{chosen} "
                f"--first {number} --cases 1  # {drawn}: {fault}"
            )
            tally.faults.append(line)
            say(line)
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if there was a fault."""
    parser = argparse.ArgumentParser(prog="python -m pycnn.testing.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="stop after so many")
    parser.add_argument("--cases", type=int, default=2**62, help="or after so many calls")
    parser.add_argument("--backend", choices=BACKENDS, default="reference")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--first", type=int, default=0, help="number of the first call")
    parser.add_argument("--op", action="append", default=[], choices=TESTED, metavar="NAME")
    parser.add_argument("--dtype", action="append", default=[], help="only these")
    parser.add_argument("--oracle", action="store_true", help="leave PyTorch out")
    chosen = parser.parse_args(arguments)
    with contextlib.suppress(ImportError):  # a call that asks for more is a fault, not the system's
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    torch = False
    if not chosen.oracle:
        with contextlib.suppress(ImportError):
            import torch as _  # noqa: F401

            torch = True
    numbers = range(chosen.first, chosen.first + chosen.cases)
    tally = run(
        numbers,
        chosen.backend,
        seed=chosen.seed,
        names=chosen.op,
        dtypes=chosen.dtype,
        torch=torch,
        until=time.monotonic() + chosen.seconds,
        say=lambda line: print(line, flush=True),
    )
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in tally.outcomes.most_common())
    judges = "the oracle and PyTorch" if torch else "the oracle; PyTorch is not here"
    print(f"{chosen.backend}: {tally.outcomes.total()} calls: {outcomes}; held to {judges}")
    return bool(tally.faults)


if __name__ == "__main__":
    sys.exit(main())
