"""Two and more algorithms beside each other: what makes one slower than the other, in words."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from pycnn.predict.gpus import PARTITIONS, Gpu
from pycnn.predict.profile import Profile
from pycnn.predict.sample import WARP
from pycnn.shapes import ceil_div

#: Machine code that multiplies and adds; one of the tensor cores does many products at once.
MULTIPLY = ("FFMA", "DFMA", "HMMA", "IMMA", "DMMA", "HGMMA", "IGMMA")
#: Machine code that reads global memory, and shared memory.
GLOBAL, SHARED = ("LDG", "LDGSTS", "UTMALDG"), ("LDS", "LDSM")

#: From which ratio on a difference is explained.
_MUCH = 1.5


@dataclass(frozen=True)
class Totals:
    """All launches of an algorithm.

    Attributes
    ----------
    us : float
        Predicted, starts of launches not counted.
    launches : int
    instructions, multiply, loads, shared_loads : float
        Warp instructions: all, those of `MULTIPLY`, of `GLOBAL` and of `SHARED`.
    asked, memory, necessary : float
        Bytes asked of L1, moved by the memory, and of the arrays that are read and written.
    warps : int
        Of the longest launch.
    shared : int
        Bytes of shared memory of its block.
    bound : str
        What bounds it.
    """

    us: float
    launches: int
    instructions: float
    multiply: float
    loads: float
    shared_loads: float
    asked: float
    memory: float
    necessary: float
    warps: int
    shared: int
    bound: str


def totals(launches: Sequence[Profile]) -> Totals:
    """Sums over the launches of one algorithm."""

    def of(names: Sequence[str]) -> float:
        return sum(one.times * one.prediction.mix.get(n, 0.0) for one in launches for n in names)

    def size(name: str) -> float:
        return sum(one.times * float(getattr(one.prediction.bytes, name)) for one in launches)

    longest = max(launches, key=lambda one: one.times * one.prediction.time_us).prediction
    return Totals(
        sum(one.times * one.prediction.time_us for one in launches),
        sum(one.times for one in launches),
        sum(one.times * sum(one.prediction.mix.values()) for one in launches),
        of(MULTIPLY), of(GLOBAL), of(SHARED), size("l1_bytes"), size("dram_bytes"),
        size("necessary"), prod(longest.grid) * ceil_div(prod(longest.block), WARP), longest.shared,
        longest.bound,
    )  # fmt: skip


def text(found: Mapping[str, Sequence[Profile]], gpu: Gpu, width: int = 80) -> list[str]:
    """Why the faster of each two is so: the first algorithm beside each of the others.

    Parameters
    ----------
    found : mapping of str to sequence of Profile
        Launches by algorithm, in the order in which they shall be told.
    gpu : Gpu
    width : int
    """
    of = {name: totals(launches) for name, launches in found.items()}
    first, *others = of
    said = []
    for other in others:
        slow, fast = sorted((first, other), key=lambda name: -of[name].us)
        said += _pair(slow, of[slow], fast, of[fast], gpu)
    return [
        part
        for line in said
        for part in textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False)
    ]


def _pair(slow: str, s: Totals, fast: str, f: Totals, gpu: Gpu) -> list[str]:
    necessary = min(s.necessary, f.necessary)
    said = [
        f"{slow} beside {fast}, predicted: {s.us:.3g} us against {f.us:.3g} us, "
        f"{s.us / f.us:.2f} times as long"
    ]
    if s.multiply and f.multiply:
        a, b = s.instructions / s.multiply, f.instructions / f.multiply
        line = f"- instructions for each that multiplies: {a:.3g} against {b:.3g}"
        of_more = "{more} does little but count, find addresses and load"
        of_less = "multiplications are a larger part of what {less} does"
        said.append(line + _why(a, b, slow, fast, of_more, of_less))
        a, b = ((t.loads + t.shared_loads) / t.multiply for t in (s, f))
        line = f"- loads for each that multiplies: {a:.3g} against {b:.3g}"
        of_more = "{more} uses what it loads once and forgets it"
        of_less = "{less} keeps it in registers for several outputs"
        said.append(line + _why(a, b, slow, fast, of_more, of_less))
    a, b = s.asked / necessary, f.asked / necessary
    of = {slow: s, fast: f}
    less = fast if a > b else slow
    kept = "once, and all its threads use it from there"
    where = (
        f"{{less}} brings it into {of[less].shared} bytes of shared memory of a block {kept}"
        if of[less].shared
        else "each thread of {less} computes several outputs from it"
    )
    said.append(
        f"- every byte that is needed is asked for {a:.3g} times against {b:.3g} times"
        + _why(a, b, slow, fast, "{more} asks for it again for other outputs that need it", where)
    )
    if s.launches != f.launches:
        said.append(
            f"- launches: {s.launches} against {f.launches}; what one leaves the next must read: "
            f"{s.memory / 1e6:.3g} MB go through the memory against {f.memory / 1e6:.3g} MB"
        )
    room = gpu.sms * PARTITIONS
    said += [
        f"- {name} has {t.warps} warps for the {room} schedulers of the GPU, each of which could "
        "switch among several: nobody works while they wait"
        for name, t in of.items()
        if t.bound == "latency" and t.warps < 4 * room
    ]
    said.append(f"- bound by {s.bound} against {f.bound}")
    return said


def _why(a: float, b: float, slow: str, fast: str, of_more: str, of_less: str) -> str:
    """What explains that one number is much above the other; nothing where it is not."""
    if min(a, b) * _MUCH > max(a, b):
        return ""
    more, less = (slow, fast) if a > b else (fast, slow)
    return f": {of_more}; {of_less}".format(more=more, less=less)
