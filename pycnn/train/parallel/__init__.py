"""Training by many processes that each compute a part of every batch."""

from pycnn.train.parallel.communicator import Alone, Communicator
from pycnn.train.parallel.copies import one_copy
from pycnn.train.parallel.launched import processes
from pycnn.train.parallel.mpi import MpiCommunicator

__all__ = ["Alone", "Communicator", "MpiCommunicator", "one_copy", "processes"]
