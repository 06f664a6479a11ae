"""What each kernel of `triton_kernels` and `numba_kernels` is launched with and must give."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A launch of a kernel.

    Attributes
    ----------
    arguments : callable
        New arguments by name, in the order of the kernel's.
    check : callable
        Given the arguments after the launch, raises if they are wrong.
    options : dict
        Constants and options of Triton's compiler; for Numba, the block.
    maker : str
        ``"triton"`` or ``"numba"``.
    """

    name: str
    kernel: str
    arch: int
    grid: tuple[int, ...]
    arguments: Callable[[], Arguments]
    check: Callable[[Arguments], None]
    options: dict[str, Any] = field(default_factory=dict)
    maker: str = "triton"


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def _close(tolerance: float, got: np.ndarray, want: np.ndarray) -> None:
    np.testing.assert_allclose(got.astype(float), want, rtol=tolerance, atol=tolerance)


# ---- Elementwise, and by rows -------------------------------------------------------------------


def _add() -> Arguments:
    x, y = normal(1000), normal(1000, seed=1)
    return {"x": x, "y": y, "out": np.zeros_like(x), "n": 1000}


def _check_add(a: Arguments) -> None:
    np.testing.assert_array_equal(a["out"], a["x"] + a["y"])


def _softmax() -> Arguments:
    x = normal(3, 200)
    return {"x": x, "out": np.zeros_like(x), "stride": 200, "columns": 200}


def _check_softmax(a: Arguments) -> None:
    powers = np.exp(a["x"].astype(float) - a["x"].max(1, keepdims=True))
    _close(1e-6, a["out"], powers / powers.sum(1, keepdims=True))


EPSILON = 1e-5


def _normalised(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = x.astype(float)
    mean = x.mean(1, keepdims=True)
    scale = 1 / np.sqrt(x.var(1, keepdims=True) + EPSILON)
    return (x - mean) * scale, mean, scale


def _layer_norm() -> Arguments:
    x = 2 * normal(3, 300) + 1
    rows = np.zeros(3, np.float32)
    return {
        "x": x, "weight": normal(300, seed=1), "bias": normal(300, seed=2),
        "out": np.zeros_like(x), "means": rows, "scales": rows.copy(), "columns": 300,
        "epsilon": EPSILON,
    }  # fmt: skip


def _check_layer_norm(a: Arguments) -> None:
    values, mean, scale = _normalised(a["x"])
    _close(1e-5, a["out"], values * a["weight"] + a["bias"])
    _close(1e-5, a["means"], mean[:, 0])
    _close(1e-5, a["scales"], scale[:, 0])


def _layer_norm_backward() -> Arguments:
    x = 2 * normal(6, 200) + 1
    _, mean, scale = _normalised(x)
    sums = np.zeros((2, 200), np.float32)
    return {
        "dy": normal(6, 200, seed=3), "x": x, "weight": normal(200, seed=1),
        "means": mean[:, 0].astype(np.float32), "scales": scale[:, 0].astype(np.float32),
        "dx": np.zeros_like(x), "dweight": sums, "dbias": sums.copy(),
        "locks": np.zeros(4, np.int32), "columns": 200,
    }  # fmt: skip


def _check_layer_norm_backward(a: Arguments) -> None:
    values, _, scale = _normalised(a["x"])
    dy = a["dy"].astype(float)
    scaled = dy * a["weight"]
    along = (values * scaled).mean(1, keepdims=True)
    _close(1e-5, a["dx"], (scaled - values * along - scaled.mean(1, keepdims=True)) * scale)
    _close(1e-5, a["dweight"].sum(0), (dy * values).sum(0))
    _close(1e-5, a["dbias"].sum(0), dy.sum(0))


RATE, SEED = 0.3, 123


def _dropout() -> Arguments:
    x = normal(700)
    return {"x": x, "out": np.zeros_like(x), "n": 700, "rate": RATE, "seed": SEED}


def philox(counter: np.ndarray, seed: int) -> np.ndarray:
    """First word of Philox-4x32-10 (Salmon et al. 2011) at counters (counter, 0, 0, 0)."""
    c0 = counter.astype(np.uint64)
    c1 = c2 = c3 = np.zeros_like(c0)
    k0, k1, mask = np.uint64(seed), np.uint64(0), np.uint64(0xFFFFFFFF)
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (second >> np.uint64(32)) ^ c1 ^ k0, second & mask,
            (first >> np.uint64(32)) ^ c3 ^ k1, first & mask,
        )  # fmt: skip
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
    return c0.astype(np.uint32)


def _check_dropout(a: Arguments) -> None:
    words = philox(np.arange(700), SEED).view(np.int32)
    uniform = np.where(words < 0, ~words, words).astype(np.float32) * np.float32(4.6566127342e-10)
    kept = uniform > np.float32(RATE)
    assert 300 < kept.sum() < 650
    _close(1e-6, a["out"], np.where(kept, a["x"] / (1 - RATE), 0))


# ---- Products -----------------------------------------------------------------------------------


def _product(m: int, n: int, k: int, dtype: Any) -> Callable[[], Arguments]:
    def arguments() -> Arguments:
        a, b = normal(m, k, dtype=dtype), normal(k, n, seed=1, dtype=dtype)
        return {"a": a, "b": b, "c": np.zeros((m, n), dtype), "M": m, "N": n, "K": k}

    return arguments


def _check_product(tolerance: float) -> Callable[[Arguments], None]:
    def check(a: Arguments) -> None:
        _close(tolerance, a["c"], a["a"].astype(float) @ a["b"].astype(float))

    return check


def _convolution() -> Arguments:
    y = np.zeros((2, 20, 7, 9), np.float32)
    return {
        "x": normal(2, 24, 7, 9, dtype=np.float16),
        "weight": normal(20, 3, 3, 24, seed=1, dtype=np.float16),
        "y": y, "C": 24, "H": 7, "W": 9, "K": 20, "P": 7, "Q": 9,
    }  # fmt: skip


def _check_convolution(a: Arguments) -> None:
    x = np.pad(a["x"].astype(float), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    _close(1e-4, a["y"], np.einsum("nchwrs,krsc->nkhw", windows, a["weight"].astype(float)))


# ---- Numba --------------------------------------------------------------------------------------


def _block_sums() -> Arguments:
    return {"x": normal(500), "sums": np.zeros(4, np.float32)}


def _check_block_sums(a: Arguments) -> None:
    _close(1e-5, a["sums"], np.pad(a["x"].astype(float), (0, 12)).reshape(4, 128).sum(1))


def _histogram() -> Arguments:
    x = np.random.default_rng(0).integers(0, 16, 1000).astype(np.int32)
    return {"x": x, "counts": np.zeros(16, np.int32)}


def _check_histogram(a: Arguments) -> None:
    np.testing.assert_array_equal(a["counts"], np.bincount(a["x"], minlength=16))


def _tiled_product() -> Arguments:
    a, b = normal(19, 27), normal(27, 13, seed=1)
    return {"a": a, "b": b, "c": np.zeros((19, 13), np.float32)}


def _tiles(m: int, n: int, k: int, **options: int) -> dict[str, int]:
    return {"BLOCK_M": m, "BLOCK_N": n, "BLOCK_K": k, **options}


CASES = (
    Case("add", "add", 80, (4,), _add, _check_add, {"BLOCK": 256}),
    Case("softmax", "softmax", 80, (3,), _softmax, _check_softmax, {"BLOCK": 256}),
    Case("layer_norm", "layer_norm", 80, (3,), _layer_norm, _check_layer_norm, {"BLOCK": 128}),
    Case("layer_norm_backward", "layer_norm_backward", 80, (6,), _layer_norm_backward,
         _check_layer_norm_backward, {"GROUPS": 2, "BLOCK": 256}),
    Case("dropout", "dropout", 80, (3,), _dropout, _check_dropout, {"BLOCK": 256}),
    Case("matmul_float16", "matmul", 80, (2, 2), _product(50, 60, 80, np.float16),
         _check_product(3e-2), _tiles(32, 32, 32, num_stages=3)),
    Case("matmul_tf32", "matmul", 80, (2, 2), _product(50, 60, 80, np.float32),
         _check_product(3e-2), _tiles(32, 32, 32, num_stages=2)),
    Case("matmul_wgmma", "matmul", 90, (2, 1), _product(100, 60, 96, np.float16),
         _check_product(3e-2), _tiles(64, 64, 32, num_stages=3)),
    Case("matmul_tma", "matmul_descriptors", 90, (2, 1), _product(100, 64, 104, np.float16),
         _check_product(3e-2), _tiles(64, 64, 32, num_stages=3)),
    Case("convolution", "convolution", 80, (1, 2, 2), _convolution, _check_convolution,
         {"R": 3, "S": 3, "BLOCK_K": 32, "BLOCK_PIXELS": 32, "BLOCK_C": 16}),
    Case("numba_block_sums", "block_sums", 80, (4,), _block_sums, _check_block_sums,
         {"block": (128,)}, "numba"),
    Case("numba_histogram", "histogram", 90, (3,), _histogram, _check_histogram,
         {"block": (64,)}, "numba"),
    Case("numba_tiled_product", "tiled_product", 80, (3, 2), _tiled_product,
         _check_product(1e-5), {"block": (8, 8)}, "numba"),
)  # fmt: skip
