"""Runs a few blocks of a launch in the emulator, and keeps what they did.

Which blocks: along each axis of the grid the first and the last, where kernels treat borders, and
some between, evenly spread. Each stands for those near it, so a sum over the samples with their
weights is one over the grid: exactly, where blocks between the borders do the same. Where blocks
take tiles in turns, some have one more than the others: each kind has samples and its own weight.
Of many tiles on tensor cores a block takes every so many, evenly spread, and counts are scaled.
"""

import ctypes
import itertools
import mmap
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.emulator.errors import KernelError
from pycnn.emulator.ptx import PtxModule
from pycnn.predict.instrument import Instrumented, instrument
from pycnn.runtime.plan import Dim3
from pycnn.shapes import ceil_div

WARP = 32

#: Bytes at whose multiples an allocation on a GPU begins.
ALIGNMENT = 256

#: Shared memory that a launch may ask for; a GPU would want to be asked first.
ALL_SHARED = 227 * 1024

#: Tiles that are run at least of a block that copies by hardware and takes twice as many in turns:
#: each lasts long, and they differ in addresses alone. Half of them are run again.
TILES = 4

#: A block as an error names it.
_BLOCK = re.compile(r"block \((\d+), (\d+), (\d+)\)")

#: Pages of one's own that count as used only when they are written to; Linux's numbers.
_UNRESERVED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000

#: Bytes on both sides of a guarded array.
_GUARD = 16 << 20


@dataclass(frozen=True)
class Sample:
    """A block that was run.

    Attributes
    ----------
    index : (int, int, int)
        Of the block in the grid.
    weight : float
        Blocks that it stands for; none where it was run only to see what neighbours share.
    counts : array of (warps, blocks of PTX)
        How often each warp ran each basic block: as often as the lane that ran it most.
    threads : array of (blocks of PTX,)
        The same, summed over threads.
    traces : array of (slots, threads)
        Addresses, as `Access.offset` says; 0 where the thread did nothing.
    ran : array of (warps, blocks of PTX)
        Counts of the run that the traces are of: less than `counts` where a block had fewer tiles.
    """

    index: Dim3
    weight: float
    counts: np.ndarray
    threads: np.ndarray
    traces: np.ndarray
    ran: np.ndarray


@dataclass(frozen=True)
class Run:
    """What the samples of one launch did.

    Attributes
    ----------
    code : Instrumented
    grid, block, cluster : (int, int, int)
    samples : list of Sample
    arrays : dict of str to (int, int)
        First address and bytes of each array that the launch was given.
    """

    code: Instrumented
    grid: Dim3
    block: Dim3
    cluster: Dim3
    samples: list[Sample]
    arrays: dict[str, tuple[int, int]]

    @property
    def warps(self) -> int:
        """Of a block."""
        return ceil_div(prod(self.block), WARP)

    @property
    def middle(self) -> Dim3:
        """A sampled block in the middle of the grid, whose neighbours were run as well."""
        x, y, z = middle(_clusters(self.grid, self.cluster))
        return x * self.cluster[0], y * self.cluster[1], z * self.cluster[2]

    def total(self, per_sample: Sequence[float]) -> float:
        """A sum over the grid of what is known of each sample."""
        return float(sum(s.weight * v for s, v in zip(self.samples, per_sample, strict=True)))

    def heaviest(self, together: int) -> float:
        """Instructions of the multiprocessor that has most of them over those of the mean one.

        It has so many blocks, evenly spread over the grid: one from each part of it.
        """
        sizes = np.array([len(self.code.opcodes.get(b, ())) for b in range(self.code.blocks)])
        work = sorted(
            ((float((s.counts @ sizes).sum()), s.weight) for s in self.samples if s.weight),
            reverse=True,
        )
        each, weights = np.array(work).T
        ends = np.cumsum(weights) / weights.sum()
        begins = np.arange(together) / together
        most = each[np.searchsorted(ends, begins + 1e-9)].mean()
        return float(most / max(np.average(each, weights=weights), 1.0))

    def warp_counts(self) -> np.ndarray:
        """How often each basic block is run by warps of the whole grid."""
        return np.sum([s.weight * s.counts.sum(axis=0) for s in self.samples], axis=0)


def axis_samples(extent: int, most: int) -> list[tuple[int, float]]:
    """Places along an axis, at most so many, and how many places each stands for.

    Examples
    --------
    >>> axis_samples(2, 3), axis_samples(9, 3)
    ([(0, 1.0), (1, 1.0)], [(0, 1.0), (4, 7.0), (8, 1.0)])
    """
    if extent <= most:
        return [(i, 1.0) for i in range(extent)]
    if most == 1:
        return [(extent // 2, float(extent))]
    between = most - 2
    if not between:
        return [(0, extent / 2), (extent - 1, extent / 2)]
    inner = [1 + (extent - 2) * (2 * i + 1) // (2 * between) for i in range(between)]
    return [(0, 1.0), *((i, (extent - 2) / between) for i in inner), (extent - 1, 1.0)]


def choose(grid: Dim3, most: int, more: int = 0) -> list[tuple[Dim3, float]]:
    """Blocks to run, about so many, with what they stand for, then neighbours of a middle one.

    Parameters
    ----------
    grid : (int, int, int)
    most : int
    more : int
        Places of the first axis, from 0 on, whose blocks do one piece of work more than the others.
        Both kinds are run, whatever `most` is.
    """
    long = [axis for axis in range(3) if grid[axis] > 1]
    each = [1, 1, 1]
    while prod(each) < most and any(each[a] < grid[a] for a in long):
        # The axis that is sampled least goes on; of equals the first, which is the longest mostly.
        axis = min((a for a in long if each[a] < grid[a]), key=lambda a: each[a])
        grown = [e + (a == axis) for a, e in enumerate(each)]
        if prod(grown) > most:
            break
        each = grown
    axes = [axis_samples(extent, e) for extent, e in zip(grid, each, strict=True)]
    if 0 < more < grid[0]:
        few = max(1, each[0] // 2)
        rest = axis_samples(grid[0] - more, few)
        axes[0] = axis_samples(more, max(1, each[0] - few)) + [(more + i, w) for i, w in rest]
    chosen = {
        (x, y, z): wx * wy * wz
        for (z, wz), (y, wy), (x, wx) in itertools.product(axes[2], axes[1], axes[0])
    }
    centre = middle(grid)
    for index in (centre, *(_step(centre, axis) for axis in long)):
        if all(i < extent for i, extent in zip(index, grid, strict=True)):
            chosen.setdefault(index, 0.0)
    return list(chosen.items())


def middle(grid: Dim3) -> Dim3:
    """The place in the middle of a grid."""
    x, y, z = (max(0, (extent - 1) // 2) for extent in grid)
    return x, y, z


def _clusters(grid: Dim3, cluster: Dim3) -> Dim3:
    x, y, z = (g // c for g, c in zip(grid, cluster, strict=True))
    return x, y, z


def _step(index: Dim3, axis: int) -> Dim3:
    x, y, z = (i + (a == axis) for a, i in enumerate(index))
    return x, y, z


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any] | type) -> np.ndarray:
    """Zeros that begin where a GPU's allocator would let them begin; no memory until written to.

    Kernels may branch on what they read, so that it must be the same in every run.
    """
    kind = np.dtype(dtype)
    size = prod(shape) * kind.itemsize
    pages = mmap.mmap(-1, max(size, 1), _UNRESERVED)
    found: np.ndarray = np.frombuffer(pages, np.uint8)[:size].view(kind).reshape(shape)
    return found


def guarded(shape: tuple[int, ...], dtype: np.dtype[Any] | type) -> np.ndarray:
    """The same between pages that nobody may touch: a stray access is a fault and does no harm."""
    kind = np.dtype(dtype)
    size = prod(shape) * kind.itemsize
    used = ceil_div(max(size, 1), mmap.PAGESIZE) * mmap.PAGESIZE
    room = np.frombuffer(mmap.mmap(-1, used + 2 * _GUARD), np.uint8)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for begin in (room.ctypes.data, room.ctypes.data + _GUARD + used):
        if protect(ctypes.c_void_p(begin), ctypes.c_size_t(_GUARD), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    begin = _GUARD + (used - size) // ALIGNMENT * ALIGNMENT
    found: np.ndarray = room[begin : begin + size].view(kind).reshape(shape)
    return found


def run(
    ptx: str,
    entry: str,
    grid: Dim3,
    block: Dim3,
    args: Sequence[Any],
    arrays: Mapping[str, np.ndarray],
    *,
    shared: int = 0,
    most: int = 8,
    tiles: int = 0,
    timeout: float = 60.0,
    checked: bool = False,
) -> Run:
    """Run a few blocks of a launch.

    Parameters
    ----------
    ptx, entry : str
        The kernel.
    grid, block : (int, int, int)
    args : sequence
        As the emulator takes them.
    arrays : mapping of str to array
        Those whose memory `args` point into, by the names that a report shall have for them.
    shared : int
        Bytes of dynamic shared memory.
    most : int
        Blocks to run; two or three more show what neighbours share.
    tiles : int
        Pieces of work that the blocks of the first axis take in turns, each its own first; 0 where
        they do not.
    timeout : float
        Seconds. A kernel whose blocks wait for blocks that are not run would hang.
    checked : bool
        By the checked build; addresses are then those of its copies of the arrays.
    """
    threads = prod(block)
    code = instrument(ptx, entry, threads)
    module = PtxModule(code.text, timeout=timeout, checked=checked)
    kernel = module.get_function(entry)
    kernel.max_dynamic_shared_size_bytes = ALL_SHARED
    cluster = kernel.required_cluster or (1, 1, 1)
    clusters = _clusters(grid, cluster)
    more = ceil_div(tiles % grid[0], cluster[0])
    chosen = choose(clusters, max(1, most // prod(cluster)), more)
    regions = len(chosen) * prod(cluster)
    launched = (len(chosen) * cluster[0], cluster[1], cluster[2])
    table, places = _table(chosen, launched, cluster)

    def once(apart: int) -> tuple[np.ndarray, np.ndarray]:
        """Counts and traces where blocks are told of a grid so many times as wide."""
        counts = np.zeros((regions, threads, code.blocks), np.uint32)
        traces = np.zeros((regions, code.slots, threads), np.uint64)
        for array in (counts, traces, table):  # the checked build knows those of arguments alone
            module.lend(array, "the counters")
        watch = module.get_global("pycnn_watch")
        watch.view(np.uint64)[:5] = (
            counts.ctypes.data, traces.ctypes.data, table.ctypes.data,
            counts[0].nbytes, traces[0].nbytes,
        )  # fmt: skip
        watch.view(np.uint32)[10:16] = (
            grid[0] * apart, *grid[1:], clusters[0] * apart, *clusters[1:],
        )  # fmt: skip
        try:
            kernel(launched, block, args, shared_mem=shared)
        except KernelError as error:
            _renumber(error, launched, [index for index, _ in places])
            raise
        return counts, traces

    bulk = any(access.space == "bulk" for access in code.accesses)
    apart = max(1, tiles // grid[0] // TILES) if bulk and not checked else 1
    counts, traces = once(apart)
    ran = counts
    if apart > 1:
        counts = _of_all(counts, once(2 * apart)[0], [x for (x, _, _), _ in places], tiles, grid[0],
                         apart)  # fmt: skip
    samples = [
        Sample(index, weight, _of_warps(counts[r]), counts[r].sum(axis=0, dtype=np.int64),
               traces[r], _of_warps(ran[r]))
        for r, (index, weight) in enumerate(places)
    ]  # fmt: skip
    where = {name: (int(a.ctypes.data), a.nbytes) for name, a in arrays.items()}
    return Run(code, grid, block, cluster, samples, where)


def _of_all(
    more: np.ndarray, less: np.ndarray, firsts: Sequence[int], tiles: int, wide: int, apart: int
) -> np.ndarray:
    """Counts of blocks that take all of their tiles, by those with every so many and half of these.

    What a block does once it does in both; the rest is in proportion to its tiles.
    """
    whole, many, few = (
        np.array([ceil_div(tiles - first, wide * step) for first in firsts])[:, None, None]
        for step in (1, apart, 2 * apart)
    )
    each = (more.astype(np.float64) - less) / (many - few)
    found: np.ndarray = np.rint(more + each * (whole - many)).astype(np.int64)
    return found


def _renumber(error: KernelError, launched: Dim3, places: Sequence[Dim3]) -> None:
    """Have an error name the blocks of the whole grid for which those at fault stand."""

    def place(index: Sequence[int]) -> Dim3:
        x, y, z = index
        return places[(z * launched[1] + y) * launched[0] + x]

    def said(text: str) -> str:
        return _BLOCK.sub(lambda m: f"block {place([int(i) for i in m.groups()])}", text)

    error.block = place(error.block)
    error.args = tuple(map(said, error.args))
    error.array, error.other = said(error.array), said(error.other)


def _table(
    chosen: list[tuple[Dim3, float]], launched: Dim3, cluster: Dim3
) -> tuple[np.ndarray, list[tuple[Dim3, float]]]:
    """Which block and cluster each launched block stands for, in the order of their numbers."""
    rows, places = [], []
    for z, y, x in itertools.product(*map(range, reversed(launched))):
        of_cluster, weight = chosen[x // cluster[0]]
        index = (
            of_cluster[0] * cluster[0] + x % cluster[0],
            of_cluster[1] * cluster[1] + y,
            of_cluster[2] * cluster[2] + z,
        )
        rows.append((*index, *of_cluster))
        places.append((index, weight))
    return np.array(rows, np.uint32), places


def _of_warps(counts: np.ndarray) -> np.ndarray:
    threads, blocks = counts.shape
    warps = ceil_div(threads, WARP)
    padded = np.zeros((warps * WARP, blocks), np.int64)
    padded[:threads] = counts
    found: np.ndarray = padded.reshape(warps, WARP, blocks).max(axis=1)
    return found
