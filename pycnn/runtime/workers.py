"""Work shared among Dask workers, of which any may be lost.

A worker has one thread, and a GPU of its own where that is asked for. What a lost worker had not
finished is done by another; a case that costs one worker after the other is a failure of its own
and no other's.
"""

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pycnn.reference.cpu._blas import cores
from pycnn.runtime.extras import import_extra

Part = TypeVar("Part")

#: What threads are counted by, of the CPU path and of the libraries beside it.
THREADS = ("PYCNN_CPU_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

#: Of workers started here: what they say of their beginning and end helps nobody.
QUIET = "DASK_LOGGING__DISTRIBUTED"

#: Seconds in which the first worker of a cluster must be there.
PATIENCE = 60


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
    distributed = import_extra("distributed", "sweep", "a sweep")
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


def worker() -> str:
    """The machine, and the GPU of it that this process sees."""
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    return socket.gethostname() + (f", GPU {gpu}" if gpu else "")


@contextlib.contextmanager
def client_of(scheduler: str | None, workers: int | None, *, gpu: bool) -> Iterator[Any]:
    """A client of the scheduler that is named, or of workers started here.

    Parameters
    ----------
    scheduler : str or None
        Address, which ``--scheduler`` has.
    workers : int or None
        How many are started, which ``--workers`` has; by default one a GPU, or a core.
    gpu : bool
        Whether each has a GPU of its own.

    Raises
    ------
    ValueError
        If both are named, or nobody is at the address.
    """
    distributed = import_extra("distributed", "sweep", "a sweep")
    if scheduler and workers:
        raise ValueError("--workers starts workers, --scheduler has its own; allowed: one of them")
    if scheduler:
        try:
            with distributed.Client(scheduler, timeout=PATIENCE) as client:
                yield client
        except OSError as error:
            raise ValueError(f"--scheduler {scheduler}: {error}") from None
        return
    with local(of_workers(workers, gpus() if gpu else [], cores())) as client:
        yield client


@contextlib.contextmanager
def local(places: Sequence[Mapping[str, str]]) -> Iterator[Any]:
    """A client of workers on this machine, one for each of these environments."""
    distributed = import_extra("distributed", "sweep", "a sweep")
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
                f"distributed.nanny.pre-spawn-environ.{QUIET}": "error",
                "distributed.scheduler.allowed-failures": 0,
                "distributed.scheduler.worker-saturation": 1.0,
            }
        ),
        distributed.SpecCluster(workers, scheduler, silence_logs=logging.CRITICAL) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(len(places), timeout=PATIENCE)
        yield client


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
