"""The cases of a bench shared among Dask workers, and merged to what one process would write.

A case is a layer in one direction and dtype with all its runners: what is compared is timed by one
worker. A worker has one thread, and a GPU of its own where kernels run on one. What a lost worker
had not finished is done by another; a case that costs one worker after the other is a failure of
its own and no other's.
"""

import argparse
import contextlib
import functools
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pycnn.bench import main, options
from pycnn.bench.ceilings import Ceiling
from pycnn.bench.environment import environment
from pycnn.bench.record import FAILED, Record, Run, content
from pycnn.bench.run import FULL, QUICK, Benchmark, begun, run
from pycnn.runtime import terminal
from pycnn.runtime.extras import import_extra
from pycnn.runtime.files import write_json

Part = TypeVar("Part")

#: What threads are counted by, of the CPU path and of the libraries beside it.
THREADS = ("PYCNN_CPU_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

#: Seconds in which the first worker of a cluster must be there.
PATIENCE = 60

#: What a worker must be told: all that `options.benchmarks` and a budget follow from.
TOLD = ("suite", "shape", "case", "op", "direction", "algo", "dtype", "batch", "backend", "against",
        "quick")  # fmt: skip


def sweep(arguments: argparse.Namespace) -> int:
    """Run what the command line asks for; returns the exit status."""
    distributed = import_extra("distributed", "sweep", "pycnn sweep")
    if arguments.scheduler and arguments.workers:
        raise ValueError("--workers starts workers, --scheduler has its own; allowed: one of them")
    arguments.prepare = False
    benchmarks = options.benchmarks(arguments)
    main.require_outputs(arguments)
    gpu = any(device == "cuda" for device, _ in main.limits(benchmarks))
    with _client(distributed, arguments, gpu) as client:
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


def shared(
    client: Any, task: Callable[[int], Part], count: int
) -> Iterator[tuple[int, Part | str]]:
    """What `task` gives for each of so many cases, as they are done.

    Parameters
    ----------
    client : distributed.Client
    task : callable
        Run on a worker, again on another where that is lost.
    count : int

    Yields
    ------
    (int, object)
        The number of a case, and its part; or, in words, why there is none: workers that began it
        were lost, at last one that had nothing else to do.
    """
    distributed = import_extra("distributed", "sweep", "pycnn sweep")
    futures = [client.submit(task, i, pure=False, priority=-i) for i in range(count)]
    places = {future.key: i for i, future in enumerate(futures)}
    suspected = []
    for future in distributed.as_completed(futures):
        try:
            yield places[future.key], future.result()
        except distributed.KilledWorker:
            suspected.append(places[future.key])
        future.release()
    for i in suspected:
        yield i, alone(client, task, i, distributed.KilledWorker)


def alone(client: Any, task: Callable[[int], Part], i: int, killed: type[Exception]) -> Part | str:
    """The part of a case whose worker was lost, perhaps by another case that was there with it."""
    for _ in range(2):
        try:
            part: Part = client.submit(task, i, pure=False).result()
            return part
        except killed as error:
            said = str(error).splitlines()[0]
    return f"the worker was lost each time: {said}"


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


def worker() -> str:
    """The machine, and the GPU of it that this process sees."""
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    return socket.gethostname() + (f", GPU {gpu}" if gpu else "")


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


@contextlib.contextmanager
def _client(distributed: Any, arguments: argparse.Namespace, gpu: bool) -> Iterator[Any]:
    """Of the scheduler that is named, or of workers started here."""
    if arguments.scheduler:
        try:
            with distributed.Client(arguments.scheduler, timeout=PATIENCE) as client:
                yield client
        except OSError as error:
            raise ValueError(f"--scheduler {arguments.scheduler}: {error}") from None
        return
    with local(of_workers(arguments.workers, gpus() if gpu else [], cores())) as client:
        yield client


@contextlib.contextmanager
def local(places: Sequence[Mapping[str, str]]) -> Iterator[Any]:
    """A client of workers on this machine, one for each of these environments."""
    distributed = import_extra("distributed", "sweep", "pycnn sweep")
    host = {"host": "127.0.0.1"}
    scheduler = {"cls": distributed.Scheduler, "options": {"dashboard": False, **host}}
    workers = {
        i: {
            "cls": distributed.Nanny,
            "options": {"nthreads": 1, "memory_limit": 0, "env": dict(place), **host},
        }
        for i, place in enumerate(places)
    }
    import dask

    with (
        # `shared` tries again itself, and each worker shall have one case at a time.
        dask.config.set(
            {
                "distributed.scheduler.allowed-failures": 0,
                "distributed.scheduler.worker-saturation": 1.0,
            }
        ),
        distributed.SpecCluster(workers, scheduler, silence_logs=logging.CRITICAL) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(len(places), timeout=PATIENCE)
        yield client


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def gpus() -> list[str]:
    """Of this machine, as ``CUDA_VISIBLE_DEVICES`` names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        return visible.split(",")
    import cupy

    return [str(i) for i in range(cupy.cuda.runtime.getDeviceCount())]


def of_workers(workers: int | None, gpus: Sequence[str], cores: int) -> list[dict[str, str]]:
    """Variables of the environment of each worker on this machine.

    Examples
    --------
    >>> [place["CUDA_VISIBLE_DEVICES"] for place in of_workers(None, ["0", "2"], 8)]
    ['0', '2']
    >>> [place["PYCNN_CPU_THREADS"] for place in of_workers(3, [], 8)]
    ['2', '2', '2']
    """
    count = workers or len(gpus) or cores
    if gpus and count > len(gpus):
        raise ValueError(f"--workers {count}; allowed: up to {len(gpus)}, one a GPU")
    threads = dict.fromkeys(THREADS, str(max(1, cores // count)))
    return [
        {**threads, **({"CUDA_VISIBLE_DEVICES": gpus[i]} if gpus else {})} for i in range(count)
    ]


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
