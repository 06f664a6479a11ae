"""What launchers of MPI tell the processes that they start, before MPI itself is asked."""

import os

#: How many there are, and which one this is: MPICH and its kin, Open MPI, Slurm.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
_RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")


def launched() -> int:
    """How many processes were launched together, 1 without a launcher."""
    return max(int(os.environ.get(name, "1")) for name in _SIZES)


def is_first() -> bool:
    """Whether this process is the first of them, which says what is said once."""
    return not any(int(os.environ.get(name, "0")) for name in _RANKS)
