"""Processes by MPI, with mpi4py; one that does not come ends all of them."""

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pycnn.runtime.extras import MissingExtra, import_extra
from pycnn.train.parallel.communicator import Communicator, Pending

#: Errors of which the message says all.
SAID = (ValueError, TypeError, OSError, ArithmeticError)

#: Seconds to wait for the others at one place before the training is ended.
PATIENCE = 60.0

#: How much longer than this process another may take where steps are long.
SLOWER = 3

#: Seconds in which a process that waits in vain says so to the others, and hears of them.
_ROLL_CALL = 1.0

#: Tags of messages: pieces of arrays, and of a process that is here.
_DATA, _HERE = 0, 1


class _Messages(Pending):
    """Under way by MPI."""

    def __init__(
        self, value: Any, requests: list[Any], there: Callable[[list[Any]], bool],
        wait: Callable[[list[Any]], None],
    ) -> None:  # fmt: skip
        super().__init__(value)
        self._requests, self._there, self._wait = requests, there, wait

    def done(self) -> bool:
        return self._there(self._requests)

    def result(self) -> Any:
        self._wait(self._requests)
        return self._value


class _OnStream(Pending):
    """Under way on a GPU; what computes with it is made to wait there, and not the host."""

    def __init__(self, value: Any, event: Any, current: Callable[[], Any]) -> None:
        super().__init__(value)
        self._event, self._current = event, current

    def done(self) -> bool:
        return bool(self._event.done)

    def result(self) -> Any:
        self._current().wait_event(self._event)
        return self._value


class MpiCommunicator(Communicator):
    """Processes that MPI started.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        All by default. A copy of it is used: messages of others do not mix with these.
    patience : float, default 60
        Seconds after which a process that has not come ends the training of all; at least three
        times what this one ever took from one message to the next.
    """

    def __init__(self, comm: Any = None, patience: float = PATIENCE) -> None:
        self._mpi = import_extra("mpi4py.MPI", "mpi", "training on several processes")
        if not patience > 0:
            raise ValueError(f"patience={patience}; allowed: more than 0 seconds")
        self._comm = (self._mpi.COMM_WORLD if comm is None else comm).Dup()
        self._grads = self._comm.Dup()  # what is under way there is in no other's order
        self._machine = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        self.rank, self.size, self.patience = self._comm.rank, self._comm.size, patience
        self._windows: list[Any] = []
        #: When the last wait ended, and the longest time that this process took to the next one.
        self._waited: float | None = None
        self._longest = 0.0
        self._nccl: Any = None
        self._stream: Any = None

    @property
    def makes_copies(self) -> bool:
        return bool(self._machine.rank == 0)

    def everyones(self, value: Any) -> list[Any]:
        self._wait([self._comm.Ibarrier()])  # which can be watched, as what follows cannot
        return list(self._comm.allgather(value))

    def rows(self, row: np.ndarray) -> Pending:
        everyones = np.empty((self.size, *row.shape), row.dtype)
        return self._begun(everyones, [self._comm.Iallgather(row, everyones)])

    def exchanged(self, pieces: list[np.ndarray]) -> Pending:
        mine = pieces[self.rank]
        come = [np.empty_like(mine) if r != self.rank else mine for r in range(self.size)]
        others = [r for r in range(self.size) if r != self.rank]
        requests = [self._grads.Irecv(come[r], r, tag=_DATA) for r in others]
        requests += [self._grads.Isend(pieces[r], r, tag=_DATA) for r in others]
        return self._begun(come, requests)

    def joined(self, whole: np.ndarray, lengths: list[int]) -> Pending:
        return self._begun(
            whole, [self._grads.Iallgatherv(self._mpi.IN_PLACE, [whole, lengths])]
        )  # fmt: skip

    def summed(self, array: Any) -> Pending:
        cupy = import_extra("cupy", "cuda13", "training on GPUs")
        if self._nccl is None:
            nccl = import_extra("cupyx.distributed", "cuda13", "training on several GPUs")
            self._nccl = nccl.NCCLBackend(self.size, self.rank, use_mpi=True)
        if self._stream is None:  # beside the one that computes, which goes on meanwhile
            self._stream = cupy.cuda.Stream(non_blocking=True)
        self._stream.wait_event(cupy.cuda.get_current_stream().record())
        self._nccl.all_reduce(array, array, stream=self._stream)
        return _OnStream(array, self._stream.record(), cupy.cuda.get_current_stream)

    def _begun(self, value: Any, requests: list[Any]) -> Pending:
        return _Messages(value, requests, self._mpi.Request.Testall, self._wait)

    def take_gpu(self) -> None:
        cupy = import_extra("cupy", "cuda13", "training on GPUs")
        count = cupy.cuda.runtime.getDeviceCount()
        if self._machine.size > count:
            raise ValueError(
                f"{self._machine.size} processes on a machine of {count} GPUs; allowed: one each"
            )
        cupy.cuda.Device(self._machine.rank).use()

    def one_copy(self, array: np.ndarray | None) -> np.ndarray:
        shape, dtype = self.from_first(None if array is None else (array.shape, array.dtype))
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        window = self._mpi.Win.Allocate_shared(
            size if self.makes_copies else 0, dtype.itemsize, comm=self._machine
        )
        self._windows.append(window)  # which owns the memory
        shared: np.ndarray = np.frombuffer(window.Shared_query(0)[0], dtype).reshape(shape)
        if array is not None:
            shared[...] = array
        self._machine.Barrier()
        shared.flags.writeable = False
        return shared

    def from_first(self, value: Any) -> Any:
        return self._machine.bcast(value)

    def _wait(self, requests: list[Any]) -> None:
        """Until messages have come and gone; a process that waits in vain ends all."""
        begin, there = time.monotonic(), self._mpi.Request.Testall
        if self._waited is not None:
            self._longest = max(self._longest, begin - self._waited)
        patience = max(self.patience, SLOWER * self._longest)
        while not there(requests):
            called = self._comm.Iprobe(tag=_HERE)
            if called or time.monotonic() > begin + patience:
                self._call_the_roll(patience)
            time.sleep(0)  # there may be more processes than cores
        self._waited = time.monotonic()

    def _call_the_roll(self, patience: float) -> None:
        """Say who has not come, once, and end all."""
        me = np.array([self.rank])
        others = [r for r in range(self.size) if r != self.rank]
        sent = [self._comm.Isend(me, r, tag=_HERE) for r in others]
        until, heard = time.monotonic() + _ROLL_CALL, {self.rank}
        while time.monotonic() < until:
            if self._comm.Iprobe(tag=_HERE):
                word = np.empty_like(me)
                self._comm.Recv(word, tag=_HERE)
                heard.add(int(word[0]))
            time.sleep(0.01)
        del sent
        if self.rank == min(heard):
            missing = [str(r) for r in range(self.size) if r not in heard]
            self.abort(
                f"process {', '.join(missing)} of {self.size} has not come for "
                f"{patience:.3g} s" if missing else
                f"the {self.size} processes wait for each other in different places"
            )  # fmt: skip
        time.sleep(_ROLL_CALL)
        self.abort()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self._let_lower_ones_speak()
            self.abort("interrupted", status=130)
        except Exception as error:
            self._let_lower_ones_speak()
            if not isinstance(error, (*SAID, MissingExtra)):
                traceback.print_exc()
            where = f"process {self.rank} of {self.size}: " if self.rank else ""
            self.abort(f"{where}{error}", status=2)

    def _let_lower_ones_speak(self) -> None:
        """Wait: what happened to several is said by the first of them, which ends the others."""
        time.sleep(_ROLL_CALL * (1 - 2.0**-self.rank))

    def ended_by(self, kind: Any, error: BaseException, trace: Any) -> None:
        """As `sys.excepthook`: an error that nobody caught ends all processes."""
        self._let_lower_ones_speak()
        sys.__excepthook__(kind, error, trace)
        self.abort()

    def abort(self, message: str = "", status: int = 1) -> None:
        """End all processes, after one message."""
        if message:
            print(f"pycnn: error: {message}", file=sys.stderr, flush=True)
        self._comm.Abort(status)
        os._exit(status)
