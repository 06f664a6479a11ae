"""Random calls are run, by their numbers."""

import contextlib
import re
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

import pycnn
from pycnn.define.call import Call
from pycnn.define.operation import Arrays, Gradient
from pycnn.dtypes import FLOATS
from pycnn.runtime.backends import stand_in_executor
from pycnn.testing.case import Case
from pycnn.testing.fuzz.condition import sensitivity
from pycnn.testing.fuzz.draw import SEED, Drawn, draw, fill
from pycnn.testing.fuzz.judge import Fault, comparable, compare_results, largest_magnitude
from pycnn.testing.tested import Tested

#: Elements of all arrays of a call together: enough for several blocks and tails.
MOST = 2**14

#: Calls of one operation and dtype in a row where kernels are compiled, which takes far longer than
#: to run them.
TOGETHER = 20

#: A call that takes longer hangs, as far as a user can tell: seconds of the processor's, and, since
#: others may use it too, more of them on the wall.
PATIENCE, WALL_PATIENCE = 60, 900


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """Warnings are errors, NumPy raises what it can, and a call ends some time."""

    def late(*_: Any) -> None:
        raise Fault(f"not done after {PATIENCE} seconds")

    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGPROF, late)
    signal.alarm(WALL_PATIENCE)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        with warnings.catch_warnings(), np.errstate(all="raise"):
            warnings.simplefilter("error")
            yield
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)


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
    views = owner.placeholders(drawn.case, drawn.dtype)
    placeholders = {n: np.array(a, order="C") for n, a in views.items()}  # that can be updated
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
            expected, terms = {}, 1  # an oracle need not know of nothing
        if not comparable(drawn, settings):
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
        largest = largest_magnitude(drawn, operands, special)
        lengths = dict.fromkeys(expected, terms) if isinstance(terms, int) else terms
        judging = lengths, special, largest, partial(sensitivity, tested, settings, before)
        compare_results(drawn, call, results, expected, "the oracle", *judging)
        if (
            torch
            and all(a.size for a in operands.values())
            and _has_peer(drawn, forward, operands, special)
        ):
            peers = _by_torch(tested, drawn.case, forward, before)
            kept = {n: a for n, a in peers.items() if n in expected}
            compare_results(drawn, call, results, kept, "PyTorch", *judging)
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
        drawn = draw(seed, number, names, dtypes, TOGETHER if backend != "reference" else 1)
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
