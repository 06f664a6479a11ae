"""Whether this process is one of several that a launcher of MPI started."""

import sys
from functools import cache

from pycnn.runtime.extras import import_extra
from pycnn.runtime.launcher import launched
from pycnn.train.parallel.communicator import ALONE, Communicator


@cache
def processes() -> Communicator:
    """The processes that were launched together: ``mpiexec -n 4 python train.py`` has four.

    Returns
    -------
    Communicator
        `Alone` without a launcher.

    Raises
    ------
    MissingExtra
        If there are several, and mpi4py is not installed: each would train for itself.

    Examples
    --------
    >>> processes().size
    1
    """
    if launched() == 1:
        return ALONE
    import_extra("mpi4py.MPI", "mpi", "training on several processes")
    from pycnn.train.parallel.mpi import MpiCommunicator

    comm = MpiCommunicator()
    sys.excepthook = comm.ended_by
    return comm
