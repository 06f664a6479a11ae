"""Requests, sectors, bank conflicts and what caches keep, from the addresses of the samples.

Definitions are those of NVIDIA's profiler: a request is one instruction of one warp; global memory
moves in sectors of 32 bytes; a wavefront is one pass over the 32 banks of shared memory, by the
rule of `pycnn.emulator.counting`, which the emulator counts by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pycnn.emulator.launching import runtime
from pycnn.predict.instrument import Access
from pycnn.predict.sample import WARP, Run, Sample
from pycnn.shapes import ceil_div

SECTOR, LINE = 32, 128


@dataclass(frozen=True)
class Pattern:
    """Averages of one access over its executions by whole warps.

    Attributes
    ----------
    access : Access
    requests : float
        Warp instructions, over the grid.
    sectors, lines : float
        Of global memory, a request.
    wavefronts : float
        Passes over the banks of shared memory or L1, a request.
    ideal : float
        Those that the bytes need, in shared memory.
    """

    access: Access
    requests: float
    sectors: float
    lines: float
    wavefronts: float
    ideal: float

    @property
    def conflicts(self) -> float:
        """Wavefronts beyond the necessary, of all requests."""
        return self.requests * (self.wavefronts - self.ideal)


def by_warp(sample: Sample, access: Access) -> np.ndarray:
    """Addresses of an access, a row for each request of a warp; 0 where a lane takes no part."""
    rows = sample.traces[access.offset : access.offset + access.slots]
    slots, threads = rows.shape
    warps = ceil_div(threads, WARP)
    padded = np.zeros((slots, warps * WARP), np.uint64)
    padded[:, :threads] = rows
    lanes = padded.reshape(slots * warps, WARP)
    found: np.ndarray = lanes[lanes.any(axis=1)]
    return found


def units(addresses: np.ndarray, size: int, unit: int) -> np.ndarray:
    """How many different units of memory each row touches."""
    if not len(addresses):
        return np.zeros(0)
    first, last = addresses // unit, (addresses + np.uint64(max(size, 1) - 1)) // unit
    span = int((last - first).max()) + 1
    touched = np.concatenate([np.minimum(first + np.uint64(k), last) for k in range(span)], axis=1)
    touched[np.tile(addresses == 0, span)] = 0
    touched.sort(axis=1)
    different = (np.diff(touched, axis=1) != 0).sum(axis=1) + 1
    found: np.ndarray = different - (touched[:, 0] == 0)
    return found


def wavefronts(addresses: np.ndarray, size: int, matrix: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Passes over the banks of each request, and the fewest for so many different words.

    By the emulator's own rule. Of ``ldmatrix`` eight lanes name the rows of each of `matrix` tiles.
    """
    lanes = addresses[:, : 8 * matrix or WARP]
    needed, least = runtime().bank_passes(lanes, size, bool(matrix)).T
    return needed, least


def patterns(run: Run, widths: Mapping[int, int] | None = None) -> list[Pattern]:
    """What every access of global and shared memory does.

    Parameters
    ----------
    run : Run
    widths : mapping of int to int, optional
        Of a line of PTX, the bytes that its machine instruction moves a thread. The compiler joins
        neighbouring accesses to one of 8 or 16 bytes, and the lines of the others have none.
    """
    found = []
    widths = widths or {}
    joined = {
        (a.block, a.space, a.kind) for a in run.code.accesses if widths.get(a.line, 0) > a.size
    }
    for access in run.code.accesses:
        if access.line not in widths and (access.block, access.space, access.kind) in joined:
            continue
        size = access.size if access.matrix else max(access.size, widths.get(access.line, 0))
        requests = run.total([s.counts[:, access.block].sum() for s in run.samples])
        rows = np.concatenate([by_warp(s, access) for s in run.samples if s.weight])
        if access.space not in ("global", "shared") or not len(rows):
            continue
        if size > access.size:  # such an access is aligned
            rows = rows // np.uint64(size) * np.uint64(size)
        sectors = lines = passes = ideal = 0.0
        if access.space == "global":
            sectors = float(units(rows, size, SECTOR).mean())
            lines = float(units(rows, size, LINE).mean())
            passes = float(wavefronts(rows, size)[0].mean())
        else:
            both = wavefronts(rows, size, access.matrix)
            passes, ideal = (float(part.mean()) for part in both)
        # Of executions that are kept, those in which no lane takes part are no requests.
        kept = sum(
            int(np.minimum(s.ran[:, access.block], access.slots).sum())
            for s in run.samples
            if s.weight
        )
        found.append(
            Pattern(
                access, requests * min(1.0, len(rows) / max(kept, 1)), sectors, lines, passes, ideal
            )
        )
    return found


@dataclass(frozen=True)
class Footprint:
    """Bytes that the caches see.

    Attributes
    ----------
    l1_bytes : float
        Asked of the L1 caches, by the grid.
    l2_bytes : float
        Asked of the L2 cache: what L1 does not keep, and all that is written.
    dram_bytes : float
        Asked of the memory.
    necessary : float
        Every byte touched once, and of those read and written twice.
    written : float
        Of those asked of L2, the share that stores are.
    """

    l1_bytes: float
    l2_bytes: float
    dram_bytes: float
    necessary: float
    written: float = 0.0


def footprint(run: Run, l1_room: float, l2_room: float, resident: int) -> Footprint:
    """What passes between the levels.

    Parameters
    ----------
    run : Run
    l1_room : float
        Bytes of L1 for one block.
    l2_room : float
        Bytes of the L2 cache.
    resident : int
        Blocks that run at once on the whole GPU.
    """
    accesses = [a for a in run.code.accesses if a.space == "global"]
    asked, missed, stored = [], [], []
    for sample in run.samples:
        loads, stores = 0.0, 0.0
        keys: list[np.ndarray] = []
        scale = 1.0
        for access in accesses:
            rows = sample.traces[access.offset : access.offset + access.slots]
            times = float(sample.counts[:, access.block].max(initial=0))
            kept = min(access.slots, int(sample.ran[:, access.block].max(initial=0)))
            more = times / kept if kept else 1.0
            sectors = float(units(by_warp(sample, access), access.size, SECTOR).sum()) * more
            if access.kind == "load":
                loads += sectors
                scale = max(scale, more)
                keys.append(_steps(rows, access.size))
            else:
                stores += sectors
        stored.append(SECTOR * stores)
        asked.append(SECTOR * (loads + stores))
        missed.append(SECTOR * (min(loads, _misses(keys, l1_room) * scale) + stores))
    bulk = bulk_bytes(run, "bulk")
    l1, l2 = run.total(asked) + bulk, run.total(missed) + bulk
    dram, necessary = _memory(run, accesses, l2, l2_room, resident)
    return Footprint(l1, l2, dram, necessary, run.total(stored) / max(l2, 1.0))


def _steps(rows: np.ndarray, size: int) -> np.ndarray:
    """(execution, sector) of everything that was touched, in pairs."""
    slots, lanes = np.nonzero(rows)
    first = rows[slots, lanes] // np.uint64(SECTOR)
    last = (rows[slots, lanes] + np.uint64(max(size, 1) - 1)) // np.uint64(SECTOR)
    slots = slots.astype(np.uint64)
    pairs = np.stack([np.concatenate([slots, slots]), np.concatenate([first, last])])
    found: np.ndarray = pairs
    return found


def _misses(keys: Sequence[np.ndarray], room: float) -> float:
    """Sectors that come from beyond: each once, in spans of time whose sectors fit together."""
    pairs = np.concatenate([k for k in keys if k.size] or [np.zeros((2, 0), np.uint64)], axis=1)
    if not pairs.size:
        return 0.0
    best = float(pairs.shape[1])
    for span in (1, 4, 16, 64, 256, 1 << 20):
        number = pairs[0] // np.uint64(span)
        different = len(np.unique(number << np.uint64(44) ^ pairs[1]))
        spans = len(np.unique(number))
        if span > 1 and different / spans * SECTOR > room:
            break
        best = float(different)
    return best


def bulk_bytes(run: Run, *spaces: str) -> float:
    """Bytes that tensor copies move, of accesses of these spaces."""
    total = 0.0
    for access in run.code.accesses:
        if access.space in spaces:
            each = []
            for sample in run.samples:
                rows = sample.traces[access.offset : access.offset + access.slots]
                times = sample.threads[access.block] / max(1, np.count_nonzero(rows))
                each.append(float(rows.sum()) * max(1.0, times))
            total += run.total(each)
    return total


def _memory(
    run: Run, accesses: Sequence[Access], l2_bytes: float, room: float, resident: int
) -> tuple[float, float]:
    """Bytes of the memory: of what a wave of blocks touches, what does not stay in L2."""
    chosen = {s.index: s for s in run.samples}
    middle = next(s for s in run.samples if s.index == run.middle)
    at_once = _extents(run.grid, resident)
    waves = max(1.0, float(np.prod(run.grid)) / resident)
    total = wave = whole = 0.0
    for begin, size in run.arrays.values():
        for moved in _directions(middle, accesses, begin, size):
            own = _touched(middle, moved, begin, size)
            grows_wave = grows_all = 1.0
            for axis in range(3):
                index = list(middle.index)
                index[axis] += 1
                near = chosen.get((index[0], index[1], index[2]))
                fresh = 1.0
                if near is not None:
                    other = _touched(near, moved, begin, size)
                    fresh = 1 - len(np.intersect1d(own, other)) / len(own)
                grows_wave *= 1 + (at_once[axis] - 1) * fresh
                grows_all *= 1 + (run.grid[axis] - 1) * fresh
            total += min(size, SECTOR * len(own) * grows_all)
            wave += min(size, SECTOR * len(own) * grows_wave)
            whole += size
    bulk = any(a.space == "bulk" for a in run.code.accesses)
    if bulk:  # a launch may be given arrays that it touches a part of
        necessary = min(float(sum(size for _, size in run.arrays.values())), l2_bytes)
    else:
        necessary = max(total, min(whole, l2_bytes))
    if wave <= room:
        return float(necessary), float(necessary)
    return float(max(necessary, min(l2_bytes, waves * wave))), float(necessary)


def _directions(
    sample: Sample, accesses: Sequence[Access], begin: int, size: int
) -> list[Sequence[Access]]:
    """Accesses by which an array passes once each: what is changed in place is read and written."""
    loads = [a for a in accesses if a.kind == "load"]
    others = [a for a in accesses if a.kind != "load"]
    read, written = (_touched(sample, part, begin, size) for part in (loads, others))
    if len(np.intersect1d(read, written)):
        return [loads, others]
    return [accesses] if len(read) or len(written) else []


def _extents(grid: tuple[int, int, int], count: int) -> list[float]:
    """Blocks along each axis of those that run at once, x first."""
    left, extents = float(count), []
    for extent in grid:
        here = max(1.0, min(float(extent), left))
        extents.append(here)
        left = left / here
    return extents


def _touched(sample: Sample, accesses: Sequence[Access], begin: int, size: int) -> np.ndarray:
    parts = []
    for access in accesses:
        rows = sample.traces[access.offset : access.offset + access.slots]
        inside = rows[(rows >= np.uint64(begin)) & (rows < np.uint64(begin + max(size, 1)))]
        parts.append(inside // np.uint64(SECTOR))
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64)
