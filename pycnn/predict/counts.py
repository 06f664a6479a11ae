"""How often each instruction of the machine code runs, from how often its PTX did.

Machine code names the line of PTX that an instruction was made of, and the run says how often the
basic block of that line ran. Instructions move between blocks, so a block of machine code runs as
often as most of those in it that do not move: memory accesses, multiplications, barriers. Where
ptxas has unrolled a loop once more, a block holds several copies of a line and runs that much less.
"""

from collections import Counter

import numpy as np

from pycnn.predict.sass import Instruction, Listing

#: Instructions that stay where they were written, and are one in PTX as well. Not those of a
#: warpgroup's product, which ptxas gives the line of whatever it puts beside them.
ANCHORS = frozenset(
    ("FFMA", "DFMA", "HFMA2", "HMMA", "IMMA", "WARPGROUP", "LDG", "STG", "LDS", "STS",
     "LDSM", "LDGSTS", "BAR", "ATOMS", "ATOMG", "RED", "MUFU", "SHFL", "FADD", "FMUL", "UTMALDG")
)  # fmt: skip


def of_blocks(
    listing: Listing, block_of_line: dict[int, int], executions: np.ndarray
) -> np.ndarray:
    """Executions of each basic block of `Listing.blocks`.

    Parameters
    ----------
    listing : Listing
    block_of_line : dict of int to int
        Of a line of PTX, its basic block there.
    executions : array
        How often each of those ran.
    """
    blocks = listing.blocks()
    found = np.zeros(len(blocks))
    copies: list[float] = []
    owners: list[int] = []
    for number, block in enumerate(blocks):
        inside = listing.instructions[block.begin : block.end]
        anchors = [i for i in inside if i.base in ANCHORS and i.line in block_of_line]
        known = anchors or [i for i in inside if i.line in block_of_line]
        votes = Counter(block_of_line[i.line] for i in known)
        owner = votes.most_common(1)[0][0] if votes else -1
        owners.append(owner)
        lines = Counter((i.line, i.op) for i in anchors if block_of_line[i.line] == owner)
        copies.append(float(np.median(list(lines.values()))) if lines else 1.0)
        found[number] = executions[owner] if owner >= 0 else 0.0
    _share(listing, found, copies, owners, executions)
    return found


def _share(
    listing: Listing, found: np.ndarray, copies: list[float], owners: list[int],
    executions: np.ndarray,
) -> None:  # fmt: skip
    """Copies of the same lines together do what the lines did."""
    lines = [
        {i.line for i in listing.instructions[b.begin : b.end] if i.base in ANCHORS}
        for b in listing.blocks()
    ]
    for number, owner in enumerate(owners):
        same = [n for n, o in enumerate(owners) if o == owner and lines[n] & lines[number]]
        if owner >= 0 and same:
            most = max(copies[n] for n in same)
            main = [n for n in same if copies[n] == most]
            # An unrolled loop does as much as it can, what is left over its copies do.
            of_main = executions[owner] / (most * len(main))
            found[number] = of_main if copies[number] == most else 0.0


def per_instruction(listing: Listing, executions: np.ndarray) -> list[tuple[Instruction, float]]:
    """Every instruction that runs, with how often."""
    return [
        (instruction, float(times))
        for block, times in zip(listing.blocks(), executions, strict=True)
        if times
        for instruction in listing.instructions[block.begin : block.end]
    ]
