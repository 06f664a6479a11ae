"""Warps of a multiprocessor that queue for its units: how long until all of them are done.

Each of the four schedulers has its warps. A warp needs the scheduler with its pipes and ports, then
the memory unit that the four share, then L2 and memory, then waits for what nothing covers. How
many of those that run together get through in a clock is that of a closed queueing network, by mean
value analysis (Reiser and Lavenberg, "Mean-value analysis of closed multichain queuing networks",
JACM 27, 1980): one warp is bound by its own waiting, many by the busiest unit, few by both.
"""

from math import ceil
from typing import NamedTuple

from pycnn.predict.gpus import PARTITIONS

#: Of the iteration for the queues; it is near its end after some ten.
STEPS = 200


class Warp(NamedTuple):
    """What one warp takes, in clocks.

    Attributes
    ----------
    front : float
        Of its scheduler, with pipes and ports.
    memory : float
        Of the unit for L1 and shared memory.
    l2, dram : float
        Of what all multiprocessors share, as one of them sees it.
    alone : float
        From its start to its end with nothing beside it.
    channels : float
        Of the memory, for each multiprocessor: a warp that finds them idle is served by one.
    """

    front: float
    memory: float
    l2: float
    dram: float
    alone: float
    channels: float = 1.0


def together(count: float, warp: Warp, accuracy: float = 1e-4) -> float:
    """Clocks until so many warps of a multiprocessor are done."""
    if not count:
        return 0.0
    front, memory, l2, dram, alone, channels = warp
    waits = max(0.0, alone - front - memory)
    each = max(1.0, count / PARTITIONS)  # warps of a scheduler
    # A warp that comes finds its own scheduler's others, and at what is shared those of all.
    others = (each - 1) / each
    found = others + min(PARTITIONS, count) - 1
    everywhere = min(PARTITIONS, count)  # the memory has those of all multiprocessors
    queue = at_memory = at_l2 = at_dram = 0.0  # of a scheduler's warps, at each place
    rate = previous = 0.0
    for _ in range(STEPS):
        in_front = front * (1 + queue * others)
        in_memory = memory * (1 + at_memory * found)
        in_l2, in_dram = l2 * (1 + at_l2 * found), dram * (channels + at_dram * everywhere)
        previous, rate = rate, each / (in_front + in_memory + in_l2 + in_dram + waits)
        queue, at_memory, at_l2, at_dram = (
            rate * in_front, rate * in_memory, rate * in_l2, rate * in_dram
        )  # fmt: skip
        if abs(rate - previous) < accuracy * rate:
            break
    return max(alone, each / rate, each * front, count * memory)


def in_waves(blocks: float, at_once: int, sms: int, warps: int, warp: Warp,
             accuracy: float = 1e-4) -> float:  # fmt: skip
    """Clocks until all blocks are done, `at_once` on each multiprocessor: full waves and the last.

    Parameters
    ----------
    blocks : float
    at_once, sms, warps : int
        Blocks of a multiprocessor that run together, multiprocessors, warps of a block.
    warp : Warp
    accuracy : float
        Of the queues.
    """
    full, rest = divmod(blocks, at_once * sms)
    clocks = full * together(at_once * warps, warp, accuracy) if full else 0.0
    return clocks + together(ceil(rest / sms) * warps, warp, accuracy)
