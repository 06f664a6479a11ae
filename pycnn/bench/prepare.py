"""``pycnn bench --prepare``: what must come out of a suite, computed on all cores beforehand."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from pycnn.bench import expected
from pycnn.bench.cases import Case
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.run import Benchmark
from pycnn.reference.cpu._blas import cores
from pycnn.runtime import cache, terminal

#: Values are kept if the oracle took this many seconds, and much longer than reading them does.
WORTH_SECONDS, READ_BYTES = 0.05, 2.5e8

#: Problems are what the processes share out; within one, BLAS has one core.
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

Task = tuple[str, Case, str, str]


def prepare(benchmarks: Sequence[Benchmark], processes: int | None = None) -> str:
    """Keep the expected values of all `benchmarks` in the disk cache; says in a line what was done.

    Parameters
    ----------
    benchmarks : sequence of Benchmark
    processes : int, optional
        By default one for each core that this process may use.
    """
    tasks = dict.fromkeys(
        (benchmark.op.name, benchmark.layer.case, benchmark.direction, benchmark.dtype)
        for benchmark in sorted(benchmarks, key=lambda b: -b.op.flops(b.layer.case, b.direction))
    )
    todo = [task for task in tasks if cache.find(_key(task), expected.SUFFIX) is None]
    jobs = min(processes or cores(), max(len(todo), 1))
    begin, took, kept = time.perf_counter(), 0.0, 0
    # spawn: a fork would copy whatever state BLAS threads have in this process.
    context = multiprocessing.get_context("spawn")
    with _one_core_each(), ProcessPoolExecutor(jobs, mp_context=context) as pool:
        pending = {pool.submit(_compute, task): task for task in todo}
        try:
            with terminal.progress(len(todo)) as (announce, advance):
                for future in as_completed(pending):
                    name, case, direction, dtype = pending[future]
                    announce(f"{name} {case} {direction} {dtype}")
                    seconds, worth = future.result()
                    took, kept = took + seconds, kept + worth
                    advance()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return (
        f"expected values of {len(tasks)} problems: {len(tasks) - len(todo)} known before, {kept} "
        f"kept now, {len(todo) - kept} computed too quickly to be kept; {took:.1f} s of work in "
        f"{time.perf_counter() - begin:.1f} s"
    )


def _compute(task: Task) -> tuple[float, bool]:
    """Seconds of a core that the problem took, and whether its values were worth keeping."""
    name, case, direction, dtype = task
    begin = time.process_time()
    arrays = OPERATIONS[name].inputs(case, direction, dtype, expected.rng())
    with_inputs = time.process_time()
    with expected.collecting() as values:
        OPERATIONS[name].checks(case, direction, arrays)
    end = time.process_time()
    nbytes = sum(value.nbytes for value in values.values())
    worth = end - with_inputs > WORTH_SECONDS + nbytes / READ_BYTES
    if worth:
        expected.keep(_key(task), values)
    return end - begin, worth


def _key(task: Task) -> str:
    name, case, direction, dtype = task
    return expected.key(name, str(case), direction, dtype)


@contextlib.contextmanager
def _one_core_each() -> Iterator[None]:
    """The variables that processes started meanwhile inherit."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
