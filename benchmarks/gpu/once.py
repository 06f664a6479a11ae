"""Every operation once on ragged problems, compared with the oracle, not timed.

python3 -m benchmarks.gpu.once
python3 -m benchmarks.gpu.once --case 'conv2d / 1x1 / float32 / im2col'
"""

import argparse
import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import pycnn
from benchmarks.gpu.limited import INTERRUPTED
from benchmarks.gpu.problems import Selection, select
from pycnn.define.call import Call
from pycnn.dtypes import FLOATS
from pycnn.emulator import KernelError
from pycnn.plan.coarse import COARSE
from pycnn.runtime.backends import BackendUnavailable, require
from pycnn.runtime.extras import MissingExtra
from pycnn.runtime.target import planned_for, target_of_backend
from pycnn.testing.problem import Problem, every, named
from pycnn.testing.tolerance import compare

CHECKED, WRONG, FAILED, SKIPPED = "checked", "wrong", "failed", "skipped"

#: Begins the line that says which case comes next.
MARK = "@ "


class Memory(NamedTuple):
    """How arrays come to a backend and back."""

    put: Callable[[np.ndarray], Any] = lambda array: array
    get: Callable[[Any], np.ndarray] = lambda array: array


def memory_of(backend: str, *, pooled: bool = True) -> Memory:
    """The memory of a backend; without pools every array is an allocation of CUDA's own.

    CuPy's pool rounds sizes up, and keeps what is freed: a sanitizer sees neither an access beyond
    an array, into the rest of its block, nor what was left there by another one.
    """
    if backend != "cuda":
        return Memory()
    import cupy

    if not pooled:
        cupy.cuda.set_allocator(None)
        cupy.cuda.set_pinned_memory_allocator(None)
    return Memory(cupy.asarray, cupy.asnumpy)


def attempt(problem: Problem, memory: Memory, *, compared: bool = True) -> tuple[str, str]:
    """Run a problem; what became of it, and why.

    With `compared` the outputs are held against the oracle; without, it is enough that they come.
    """
    try:
        inputs = problem.inputs()
        # Copies: an operation may update its operands, and the oracle gets what they were.
        arrays = {name: problem.placed(a.copy(), memory.put) for name, a in inputs.items()}
        call = problem.op.describe(inputs, **problem.settings)
        returned = problem.tested.invoke(getattr(pycnn, problem.op.name), arrays, problem.settings)
        updated = (arrays[n] for n, new in problem.op.updates.items() if new in call.outputs)
        outputs = [memory.get(array) for array in (*returned, *updated)]  # waits for the GPU
        fault = _fault(problem, call, inputs, outputs) if compared else ""
    except KernelError as finding:  # of the emulator, about the kernel itself
        return WRONG, f"{type(finding).__name__}: {finding}"
    except MissingExtra as missing:
        return SKIPPED, str(missing)
    except Exception as error:  # one problem's failure must not end the run of the others
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return SKIPPED, f"too little memory: {error}"
        return FAILED, f"{type(error).__name__}: {error}"
    return (WRONG, fault) if fault else (CHECKED, "")


def _fault(
    problem: Problem, call: Call, inputs: dict[str, np.ndarray], outputs: Sequence[np.ndarray]
) -> str:
    """What is wrong with the outputs, if anything."""
    with np.errstate(all="ignore"):
        expected = problem.tested.oracle(problem.settings, inputs)
    terms = problem.tested.terms(problem.settings, inputs)
    if len(outputs) != len(call.outputs):
        return f"{len(outputs)} results; expected: {', '.join(call.outputs)}"
    for (name, spec), output in zip(call.outputs.items(), outputs, strict=True):
        if (output.shape, output.dtype) != (spec.shape, spec.dtype):
            return f"{name} is {output.dtype}{list(output.shape)}; expected: {spec}"
        want = np.asarray(expected[name])
        if spec.dtype.name not in FLOATS:
            if not np.array_equal(output, want):
                return f"{name} differs from the oracle, of which integers must be equal"
            continue
        length = terms if isinstance(terms, int) else terms[name]
        error, allowed = compare(
            output, want, spec.dtype.name, length, COARSE.get(problem.algo, 0.0)
        )
        if not error <= allowed:
            return f"{name} is off by {error:.3g}, allowed {allowed:.3g}"
    return ""


def once(
    backend: str = "cuda",
    selection: Selection | None = None,
    *,
    pooled: bool = True,
    compared: bool = True,
    traced: bool = False,
) -> int:
    """Run every problem once, and say how many were checked, skipped, wrong and failed.

    Parameters
    ----------
    backend : {"cuda", "emulator"}
        The emulator runs in its checked build if ``PYCNN_CHECKED`` says so.
    selection : Selection, optional
        What to run; by default everything, each kernel once first.
    pooled : bool, default True
        Whether CuPy may keep memory in its pools.
    compared : bool, default True
        Whether results are compared with the oracle.
    traced : bool, default False
        Whether every problem is named on a line of its own before it runs.

    Returns
    -------
    int
        Exit status: 0 if something was checked and nothing was wrong, 130 if interrupted.
    """
    if selection is None:
        with planned_for(target_of_backend(backend)):
            selection = select(every())
    reasons, counts = Counter(selection.skipped), Counter[str]()
    problems = selection.problems
    if backend == "emulator":
        problems = [problem for problem in problems if not problem.large]
        reasons["too large for the emulator"] += len(selection.problems) - len(problems)
    total = len(problems) + reasons.total()
    ended = ""
    try:
        memory = memory_of(backend, pooled=pooled)
        active = pycnn.use_backend(backend) if backend != "cuda" else contextlib.nullcontext()
        with active:
            for problem in problems:
                if traced:
                    print(f"{MARK}{problem}", flush=True)
                status, reason = attempt(problem, memory, compared=compared)
                counts[status] += 1
                if status == SKIPPED:
                    reasons[reason] += 1
                elif status != CHECKED:
                    print(f"{status}: {problem}: {reason}", flush=True)
                    if backend == "cuda" and (lost := _lost()):
                        ended = f"stopped, for no call to the GPU works any more ({lost}): "
                        break
    except KeyboardInterrupt:
        ended = "stopped: "
    print(
        f"{ended}{counts[CHECKED]} of {total} checked, {reasons.total()} skipped, "
        f"{counts[WRONG]} wrong, {counts[FAILED]} failed on {backend}"
        + "; results were not compared" * (not compared)
        + f"; {selection.unfit} algorithms do not fit" * bool(selection.unfit)
    )
    for reason, count in (+reasons).items():
        print(f"  skipped {count}: {reason}")
    if counts[WRONG] or counts[FAILED] or not (counts[CHECKED] or ended):
        return 1
    return INTERRUPTED if ended else 0


def _lost() -> str:
    """Why the GPU cannot be used by this process any more, as after an access out of bounds."""
    import cupy

    try:
        cupy.cuda.runtime.deviceSynchronize()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return str(error)
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of ``python3 -m benchmarks.gpu.once``."""
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.gpu.once", description=__doc__)
    parser.add_argument("--backend", choices=("cuda", "emulator"), default="cuda")
    parser.add_argument("--case", action="append", metavar="WORDS", help="this problem alone")
    parser.add_argument("--cases", type=Path, metavar="FILE", help="the problems of its lines")
    parser.add_argument("--dtype", metavar="LIST", help="dtypes separated by commas")
    parser.add_argument("--unpooled", action="store_true", help="without CuPy's memory pools")
    parser.add_argument("--no-oracle", action="store_true", help="without the oracle")
    parser.add_argument("--trace", action="store_true", help="name every problem before it runs")
    arguments = parser.parse_args(argv)
    try:
        require(arguments.backend)
        if arguments.case or arguments.cases:  # as they are asked for, and in that order
            lines = arguments.cases.read_text().splitlines() if arguments.cases else []
            selection = Selection([named(word) for word in (*(arguments.case or ()), *lines)])
        else:
            dtypes = arguments.dtype.split(",") if arguments.dtype else None
            with planned_for(target_of_backend(arguments.backend)):
                selection = select(p for p in every() if dtypes is None or p.dtype in dtypes)
    except (ValueError, OSError, BackendUnavailable) as error:
        parser.error(str(error))
    return once(
        arguments.backend, selection, pooled=not arguments.unpooled,
        compared=not arguments.no_oracle, traced=arguments.trace,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
