"""What an entry says of its launches: their shape, and their parameters."""

from collections.abc import Sequence
from math import prod
from typing import Any

from pycnn.emulator.launching import runtime
from pycnn.emulator.ptx.syntax import Function, Variable

#: Blocks of a cluster: eight everywhere, sixteen where a kernel opts in to it.
MOST_BLOCKS = 16


def check_block(function: Function, block: tuple[int, int, int]) -> None:
    """Refuse a block that the entry does not allow."""
    threads = block[0] * block[1] * block[2]
    if function.required_threads and block != function.required_threads:
        raise ValueError(f"block={block}; {function.name} requires {function.required_threads}")
    if function.max_threads:
        x, y, z = function.max_threads
        if threads > x * y * z:
            raise ValueError(
                f"block={block} has {threads} threads; {function.name} allows {x * y * z}"
            )


def cluster_shape(
    function: Function, grid: tuple[int, int, int], cluster: Sequence[int] | None
) -> tuple[int, int, int]:
    """Blocks of a cluster in three dimensions, or zeros where there are no clusters."""
    required = function.required_cluster
    if cluster is None:
        if required is None:
            return 0, 0, 0
        shape = required
    else:
        if not 1 <= len(cluster) <= 3 or any(extent < 1 for extent in cluster):
            raise ValueError(f"cluster={tuple(cluster)}; allowed: one to three positive ints")
        x, y, z = (*cluster, 1, 1)[:3]
        shape = int(x), int(y), int(z)
        if required is not None and shape != required:
            raise ValueError(f"cluster={shape}; {function.name} requires {required}")
    if prod(shape) > MOST_BLOCKS:
        raise ValueError(f"cluster={shape} has {prod(shape)} blocks; allowed: {MOST_BLOCKS}")
    if any(g % c for g, c in zip(grid, shape, strict=True)):
        raise ValueError(f"grid={grid}; allowed with clusters of {shape} blocks: multiples of it")
    return shape


def packer(function: Function, written: Sequence[int]) -> Any:
    """What turns arguments into the block of parameters; `written`: through which it writes."""
    rows = []
    for i, p in enumerate(function.parameters):
        text = f"{'struct' if p.is_array else '.' + p.type.name} of {p.size} bytes"
        rows.append((p.offset, p.size, _letter(p), text, i in written))
    return runtime().PtxPacker(function.name, function.parameter_bytes, rows)


def _letter(parameter: Variable) -> str:
    return "a" if parameter.is_array else parameter.type.kind[0]
