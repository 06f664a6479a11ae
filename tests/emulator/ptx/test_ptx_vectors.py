"""A 16-byte access of the source is one in the PTX: NVRTC can split it, and a GPU then moves a
quarter of it at a time.
"""

import re
from functools import cache
from pathlib import Path

import pytest

from pycnn.runtime import catalogue, sources

pytest.importorskip("llvmlite", reason="llvmlite is not installed (extra emulator)")
pytest.importorskip("cuda.bindings.nvrtc", reason="NVRTC is not installed (extra compile)")

from pycnn.emulator import RawModule

ENTRY = re.compile(r"\.visible \.entry (\w+)")
FILE = re.compile(r'\.file\s+(\d+)\s+"([^"]*)"')
LOC = re.compile(r"\s*\.loc\s+(\d+)\s+(\d+)")
SCALAR = re.compile(
    r"\s*(ld|st)\.(?:global|shared)[.\w]*?\.([bfus])(16|32|64)\s.*\[(%\w+)(?:\+(-?\d+))?\]"
)

#: Those in which it has happened, and one of each family.
CHOSEN = {
    "conv/implicit_gemm.cu", "elementwise/add.cu", "gemm/5_vectorised.cu", "norm/apply.cu",
    "norm/layer.cu", "pool/max_pool.cu", "softmax/softmax.cu",
}  # fmt: skip
KERNELS = [
    pytest.param(k, id=k.file, marks=() if k.file in CHOSEN else pytest.mark.exhaustive)
    for k in catalogue.load()
]


@cache
def line_of(path: str, number: int) -> str:
    return Path(path).read_text().splitlines()[number - 1]


def split_vectors(text: str) -> set[str]:
    """Lines of vector accesses that are in 16 neighbouring bytes, one scalar after another."""
    files = dict(FILE.findall(text))
    seen: dict[tuple[str, ...], set[int]] = {}
    line, found = ("", 0), set()
    for row in text.splitlines():
        if row.startswith(("$L", "}")):
            seen.clear()
        elif loc := LOC.match(row):
            line = files[loc[1]], int(loc[2])
        elif (access := SCALAR.match(row)) and ".v" not in row:
            size, at = int(access[3]) // 8, int(access[5] or 0)
            of = seen.setdefault((access[1], access[2], access[3], access[4]), set())
            of.add(at)
            whole = any(
                all(start + k * size in of for k in range(16 // size))
                for start in range(at - 16 + size, at + 1, size)
            )
            if whole and re.search(r"\bVec\b|vector_of|whole", line_of(*line)):
                found.add(f"{Path(line[0]).name}:{line[1]}")
    return found


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_vector_access_is_split(kernel):
    # The first variant of float32 and, as those of 16 bits are more apart, the last of float16.
    for scalar, which in (("float", 0), ("__half", -1)):
        variants = [v for v in kernel.variants if dict(v).get("SCALAR") in (scalar, None)]
        options = tuple(f"-D{name}={value}" for name, value in (variants or kernel.variants)[which])
        module = RawModule(
            path=sources.kernel_path(kernel.file), options=options, via="ptx", arch=kernel.arch
        )
        assert split_vectors(module.module.module._text) == set(), options
