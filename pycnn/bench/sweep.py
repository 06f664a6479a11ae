"""The cases of a bench shared among Dask workers, and merged to what one process would write.

A case is a layer in one direction and dtype with all its runners: what is compared is timed by one
worker (`pycnn.runtime.workers`).
"""

import argparse
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pycnn.bench import main, options
from pycnn.bench.ceilings import Ceiling
from pycnn.bench.environment import environment
from pycnn.bench.record import FAILED, Record, Run, content
from pycnn.bench.run import FULL, QUICK, Benchmark, begun, run
from pycnn.runtime import terminal
from pycnn.runtime.extras import import_extra
from pycnn.runtime.files import write_json
from pycnn.runtime.workers import client_of, shared, worker

#: What a worker must be told: all that `options.benchmarks` and a budget follow from.
TOLD = ("suite", "shape", "case", "op", "direction", "algo", "dtype", "batch", "backend", "against",
        "quick", "own")  # fmt: skip


def sweep(arguments: argparse.Namespace) -> int:
    """Run what the command line asks for; returns the exit status."""
    import_extra("distributed", "sweep", "pycnn sweep")
    arguments.prepare = False
    benchmarks = options.benchmarks(arguments)
    main.require_outputs(arguments)
    gpu = any(device == "cuda" for device, _ in main.limits(benchmarks))
    with client_of(arguments.scheduler, arguments.workers, gpu=gpu) as client:
        require_one_at_a_time(client.nthreads(), client.run(worker), gpu)
        return main.reported(
            arguments, benchmarks, functools.partial(_swept, client, benchmarks, arguments)
        )


def _swept(client: Any, benchmarks: Sequence[Benchmark], arguments: argparse.Namespace,
           path: Any) -> Run:  # fmt: skip
    """Every part there is by the end or by an interrupt, written to `path` as they come."""
    about = environment(options.command_line(arguments, "sweep"))
    parts: dict[int, dict[str, Any]] = {}
    unfinished = ""

    def keep(unfinished: str) -> Run:
        whole = merged([parts[i] for i in sorted(parts)])
        about["workers"] = whole.pop("workers")
        if path:
            write_json(path, content(about, **whole, unfinished=unfinished))
        records = [Record.from_json(r) for r in whole["results"]]
        return Run(about, [Ceiling(**c) for c in whole["ceilings"]], records, unfinished)

    def done() -> str:
        return f"{len(parts)} of {len(benchmarks)} cases done"

    keep(f"{done()} when this was written")
    told = json.dumps({name: getattr(arguments, name) for name in TOLD})
    try:
        with terminal.progress(len(benchmarks)) as (announce, advance):
            announce(f"{len(benchmarks)} cases")
            for i, part in shared(client, functools.partial(timed, told), len(benchmarks)):
                parts[i] = lost(benchmarks[i], part) if isinstance(part, str) else part
                keep(f"{done()} when this was written")
                advance()
    except KeyboardInterrupt:
        unfinished = f"interrupted: {done()}"
    return keep(unfinished)


def timed(told: str, i: int) -> dict[str, Any]:
    """A case on the worker that this is: its records, the ceilings here, and where that is."""
    benchmark, ceilings = _benchmarks(told)[i], {}
    quick = json.loads(told)["quick"]
    for pair in main.limits([benchmark]):
        ceilings[pair] = _ceiling(*pair, quick)
    found = run([benchmark], QUICK if quick else FULL, ceilings)
    return {
        "results": [record.as_json(case) for record, case in found],
        "ceilings": [ceiling.as_json() for ceiling in ceilings.values()],
        "workers": {worker(): 1},
    }


@functools.lru_cache(maxsize=4)
def _benchmarks(told: str) -> list[Benchmark]:
    return options.benchmarks(argparse.Namespace(**json.loads(told), prepare=False))


@functools.cache
def _ceiling(device: str, dtype: str, quick: bool) -> Ceiling:
    return main.ceiling(device, dtype, quick)


def merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Records in the order of `parts`, each ceiling once, as the first has it, and cases a worker.

    Examples
    --------
    >>> part = {"results": [1], "ceilings": [{"device": "cpu", "dtype": "f", "gflops": 2.0}]}
    >>> merged([{**part, "workers": {"a": 1}}, {**part, "workers": {"b": 1}}])["workers"]
    {'a': 1, 'b': 1}
    """
    ceilings: dict[tuple[str, str], Any] = {}
    workers: dict[str, int] = {}
    for part in parts:
        for ceiling in part["ceilings"]:
            ceilings.setdefault((ceiling["device"], ceiling["dtype"]), ceiling)
        for name, cases in part["workers"].items():
            workers[name] = workers.get(name, 0) + cases
    results = [record for part in parts for record in part["results"]]
    return {"ceilings": list(ceilings.values()), "results": results, "workers": workers}


def lost(benchmark: Benchmark, reason: str) -> dict[str, Any]:
    """The part of a case that costs every worker: each runner failed."""
    failed = [
        replace(begun(benchmark, runner), status=FAILED, reason=reason)
        for runner in benchmark.runners
    ]
    case = benchmark.layer.case
    return {"results": [r.as_json(case) for r in failed], "ceilings": [], "workers": {}}


def require_one_at_a_time(threads: Mapping[str, int], places: Mapping[str, str], gpu: bool) -> None:
    """Raise ValueError where two timings would run at once on one device.

    Parameters
    ----------
    threads : mapping of str to int
        Of each worker, by its address.
    places : mapping of str to str
        What `worker` says on each.
    gpu : bool
        Whether kernels are timed on GPUs.
    """
    if not threads:
        raise ValueError("the scheduler has no worker")
    for address, count in threads.items():
        if count > 1:
            raise ValueError(f"the worker at {address} has {count} threads; allowed: 1, so that "
                             "one timing runs at a time (dask worker --nthreads 1)")  # fmt: skip
    if gpu and len(set(places.values())) < len(places):
        raise ValueError("two workers see the same GPU; allowed: one worker a GPU, each started "
                         "with its own CUDA_VISIBLE_DEVICES")  # fmt: skip
