"""Our own matrix product and convolution in Triton, as Triton is meant to be written.

    TRITON_DISABLE_LINE_INFO=1 python benchmarks/triton/kernels.py

compiles them for sm_90a into `*.ptx` beside this file, with what launches need in `launches.json`.
It takes Triton (extra triton) and no GPU. `benchmarks/triton_facts.py` reads what comes out.
"""

import json
from pathlib import Path

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def matmul(a, b, c, m, n, k, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """C (m, n) = A (m, k) B (n, k)^T."""
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.program_id(1) * BN + tl.arange(0, BN)
    terms = tl.arange(0, BK)
    sums = tl.zeros((BM, BN), tl.float32)
    for start in range(0, k, BK):
        here = start + terms
        left = tl.load(
            a + rows[:, None] * k + here[None, :],
            mask=(rows[:, None] < m) & (here[None, :] < k),
            other=0.0,
        )
        right = tl.load(
            b + columns[None, :] * k + here[:, None],
            mask=(columns[None, :] < n) & (here[:, None] < k),
            other=0.0,
        )
        sums = tl.dot(left, right, sums)
    inside = (rows[:, None] < m) & (columns[None, :] < n)
    tl.store(c + rows[:, None] * n + columns[None, :], sums.to(tl.bfloat16), mask=inside)


@triton.jit
def conv3x3(x, w, y, images, h, width, c, n, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """3x3, padding 1; x (images, h, width, c), w (n, 3, 3, c), y (images, h, width, n)."""
    pixels = tl.program_id(0) * BM + tl.arange(0, BM)
    filters = tl.program_id(1) * BN + tl.arange(0, BN)
    channels = tl.arange(0, BK)
    total = images * h * width
    row, column = pixels // width % h, pixels % width
    sums = tl.zeros((BM, BN), tl.float32)
    blocks = tl.cdiv(c, BK)
    for step in range(9 * blocks):
        tap, here = step // blocks, step % blocks * BK + channels
        down, right = tap // 3 - 1, tap % 3 - 1
        met = (row + down >= 0) & (row + down < h) & (column + right >= 0)
        met = met & (column + right < width) & (pixels < total)
        seen = tl.load(
            x + (pixels + down * width + right)[:, None] * c + here[None, :],
            mask=met[:, None] & (here[None, :] < c),
            other=0.0,
        )
        weights = tl.load(
            w + (filters[None, :] * 9 + tap) * c + here[:, None],
            mask=(filters[None, :] < n) & (here[:, None] < c),
            other=0.0,
        )
        sums = tl.dot(seen, weights, sums)
    inside = (pixels[:, None] < total) & (filters[None, :] < n)
    tl.store(y + pixels[:, None] * n + filters[None, :], sums.to(tl.bfloat16), mask=inside)


#: Rows, columns and terms of a tile, warps, stages.
TILES = {"128x64": (128, 64, 64, 4, 4), "128x128": (128, 128, 64, 8, 3)}

#: Version of PTX, of CUDA 12.6, which older tools than Triton's own take as well.
PTX = 85

#: Sizes of the kernels, all of which are multiples of 16 where kernels can use that.
KERNELS = {
    matmul: (("a", "b", "c"), ("m", "n", "k"), ("m", "n", "k")),
    conv3x3: (("x", "w", "y"), ("images", "h", "width", "c", "n"), ("c", "n")),
}


def main() -> None:
    folder = Path(__file__).parent
    launches = {}
    for kernel, (arrays, sizes, even) in KERNELS.items():
        names = kernel.arg_names
        for tile, (bm, bn, bk, warps, stages) in TILES.items():
            signature = dict.fromkeys(arrays, "*bf16") | dict.fromkeys(sizes, "i32")
            constants = {"BM": bm, "BN": bn, "BK": bk}
            signature |= dict.fromkeys(constants, "constexpr")
            aligned = {(names.index(name),): [["tt.divisibility", 16]] for name in (*arrays, *even)}
            made = triton.compile(
                ASTSource(kernel, signature, constants, aligned),
                target=GPUTarget("cuda", 90, 32),
                options={"num_warps": warps, "num_stages": stages, "ptx_version": PTX},
            )
            name = f"{kernel.__name__}_{tile}"
            (folder / f"{name}.ptx").write_text(made.asm["ptx"])
            launches[name] = {
                "entry": made.metadata.name, "threads": 32 * made.metadata.num_warps,
                "shared": made.metadata.shared, "tile": [bm, bn, bk], "stages": stages,
                "triton": triton.__version__,
            }  # fmt: skip
    (folder / "launches.json").write_text(json.dumps(launches, indent=1) + "\n")


if __name__ == "__main__":
    main()
