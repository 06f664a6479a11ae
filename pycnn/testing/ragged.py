"""Cases for kernels and variants that no small case of a definition reaches, by operation."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pycnn.testing.case import Case, Shape
from pycnn.testing.conv_scaled import WIDE as WIDE_WEIGHT
from pycnn.testing.gemm_scaled import WIDE


def _conv(name: str, x: Shape, weight: Shape, layout: str, **settings: int) -> Case:
    """A convolution; the shape of `x` is given as (N, C, H, W)."""
    n, c, h, w = x
    shape = x if layout == "NCHW" else (n, h, w, c)
    return Case(f"{name}, {layout}", {"x": shape, "weight": weight}, {"layout": layout, **settings})


#: Every side, stride, layout and vector of columns that is compiled for itself.
_DEPTHWISE = tuple(
    _conv(
        f"depthwise {side}x{side}, stride {stride}, {columns} columns",
        (2, channels, 10, columns),
        (channels, 1, side, side),
        layout,
        padding=side // 2,
        stride=stride,
        groups=channels,
    )
    for side in (3, 5)
    for stride in (1, 2)
    for layout, channels, columns in (
        ("NCHW", 7, 9), ("NCHW", 3, 14), ("NCHW", 2, 12), ("NCHW", 3, 24), ("NHWC", 6, 9),
    )
)  # fmt: skip

#: Small maps, more of them than a block has.
_MAPS = tuple(
    _conv(
        f"depthwise {kernel}x{kernel} of maps of {side}x{side}",
        (2, 37, side, side),
        (37, 1, kernel, kernel),
        "NCHW",
        padding=kernel // 2,
        groups=37,
    )
    for kernel in (3, 5)
    for side in (7, 14)
)

#: Whose gradient of the weight has more parts than warps that add them.
_MANY_PARTS = _conv(
    "depthwise in many parts", (2, 66, 16, 9), (66, 1, 3, 3), "NHWC", padding=1, groups=66
)

#: Windows that leave most of x out; and windows that have most of it between their elements, so
#: that those over one element do not fit into a tile.
_APART = {"kernel_size": 2, "stride": (7, 9)}
_SPREAD = {"kernel_size": 2, "stride": 1}


def _pools(spread: int, **settings: int) -> tuple[Case, ...]:
    wide = {"dilation": (spread, 1), **_SPREAD, **settings}
    return (
        Case("far apart", {"x": (1, 3, 40, 37)}, {**_APART, **settings}),
        Case("spread", {"x": (1, 1, 2 * spread + 5, 2)}, wide),
    )


def _strided_windows(**settings: bool) -> tuple[Case, ...]:
    """Of stride 2, whose columns begin where vectors do, an element before them, and anywhere."""
    return tuple(
        Case(
            f"{side}x{side}, {columns} columns, {low} before{', indices' * any(settings.values())}",
            {"x": (2, 3, 5, columns)},
            {"kernel_size": side, "stride": 2, "padding": ((1, 0), (low, high)), **settings},
        )
        for side, columns, low, high in (
            (2, 16, 0, 0), (2, 16, 1, 0), (2, 9, 0, 0), (3, 16, 0, 1), (3, 16, 1, 0), (3, 9, 1, 1),
        )
    )  # fmt: skip


def _stretched() -> tuple[Case, ...]:
    """Along a row by a little, and so that more than 4 and than 8 of y are made from one of x."""
    return tuple(
        Case(
            f"{mode} to {columns} columns, {layout}",
            {"x": x},
            {"size": (8, columns), "mode": mode, "layout": layout},
        )
        for mode, widths in (("nearest", (10, 42, 70)), ("bilinear", (10, 21, 35)))
        for layout, x in (("NCHW", (2, 3, 5, 7)), ("NHWC", (2, 5, 7, 24)))
        for columns in widths
        if layout == "NHWC" or columns < 70
    )


def _tiled() -> tuple[Case, ...]:
    """Planes of whole pieces, to more rows: 3, 4 and 8 columns of y are made from one of x."""
    return tuple(
        Case(f"{mode} by tiles to {columns} columns", {"x": (3, 3, 4, 8)}, settings)
        for mode, widths in (("nearest", (12, 32, 48)), ("bilinear", (12, 16, 24)))
        for columns in widths
        for settings in ({"size": (7, columns), "mode": mode},)
    )


def _doubled() -> tuple[Case, ...]:
    """To twice the size: by one, two and four columns at once, and by pieces of channels."""
    return tuple(
        Case(f"{mode} doubled, {layout}, {x[-1]}", {"x": x}, {"scale_factor": 2, **settings})
        for mode in ("nearest", "bilinear")
        for layout, x in (
            ("NCHW", (2, 3, 5, 7)), ("NCHW", (2, 3, 5, 6)), ("NCHW", (1, 3, 5, 12)),
            ("NHWC", (2, 5, 7, 24)),
        )
        for settings in ({"mode": mode, "layout": layout},)
    )  # fmt: skip


CASES: dict[str, tuple[Case, ...]] = {
    "permute": (
        Case("squares of 16 bytes", {"x": (2, 40, 3, 32)}, {"axes": (2, 0, 3, 1)}),
        Case("squares of 8 bytes, or 16", {"x": (36, 3, 44)}, {"axes": (1, 2, 0)}),
        Case("squares of 8 bytes", {"x": (34, 3, 46)}, {"axes": (1, 2, 0)}),
    ),
    "conv2d": (
        *_DEPTHWISE,
        *_MAPS,
        _MANY_PARTS,
        _conv("more than a tile", (3, 67, 7, 11), (67, 67, 1, 1), "NHWC"),
        _conv("sum in parts", (1, 263, 5, 7), (5, 263, 2, 1), "NCHW"),
        _conv("sum in parts", (1, 263, 5, 7), (5, 263, 2, 1), "NHWC"),
        _conv("chunks of channels", (2, 72, 9, 7), (88, 72, 3, 2), "NHWC", padding=1),
    ),
    "gemm": (
        Case(
            "both transposed",
            {"a": (37, 71), "b": (53, 37)},
            {"transpose_a": True, "transpose_b": True},
        ),
        Case("ragged tiles", {"a": (131, 67), "b": (67, 129)}),
        Case("longer than a ring of stages", {"a": (136, 600), "b": (600, 72)}),
        Case("several tiles of a block", {"a": (264, 72), "b": (72, 264)}),
        Case(
            "several tiles, odd rows of C", {"a": (264, 72), "b": (265, 72)}, {"transpose_b": True}
        ),
    ),
    "max_pool2d": (
        *_pools(5003),
        *_strided_windows(return_indices=False),
        *_strided_windows(return_indices=True),
    ),
    "avg_pool2d": (*_pools(24601), *_strided_windows()),
    "lp_pool2d": _pools(24601, norm_type=2),
    "max_unpool2d": (
        Case("large maps", dict.fromkeys(("x", "indices"), (1, 2, 81, 79)), {"kernel_size": 2}),
    ),
    "cross_entropy": tuple(
        Case(name, {"logits": shape, "target": shape[:1], "weight": shape[1:]}, smooth)
        for name, shape, smooth in (
            ("vectors", (7, 24), {}),
            ("vectors, smoothed", (7, 24), {"label_smoothing": 0.3}),
            ("long vectors", (3, 1032), {}),
            ("long vectors, smoothed", (3, 1032), {"label_smoothing": 0.3}),
        )
    ),
    "batch_norm_train": (
        Case("many rows of few channels", {"x": (2, 33, 31, 24)}, {"layout": "NHWC"}),
        Case("small maps", {"x": (33, 24, 7, 7)}),
    ),
    "layer_norm": (
        Case(
            "long vectors",
            {"x": (3, 1032), "weight": (1032,), "bias": (1032,)},
            {"normalized_shape": (1032,)},
        ),
        *(  # more than 16 kB of each width
            Case(f"rows of {n}", {"x": (2, n), "weight": (n,)}, {"normalized_shape": (n,)})
            for n in (2056, 4112, 8208)
        ),
    ),
    "unfold": (Case("long rows", {"x": (1, 1, 2, 24601)}, {"kernel_size": (2, 1)}),),
    "fold": (
        Case("long rows", {"x": (1, 2, 5003)}, {"output_size": (2, 5003), "kernel_size": (2, 1)}),
        Case(
            "a border past 32 bits",
            {"x": (2, 3 * 6, 3 * 4)},
            {
                "output_size": (5, 7),
                "kernel_size": (2, 3),
                "padding": (2**30, 1),
                "stride": (2**30, 2),
            },
        ),
    ),
    "interpolate": (
        Case("nearest, long rows", {"x": (1, 1, 2, 24611)}, {"size": (3, 24601)}),
        Case(
            "bilinear, long rows", {"x": (1, 1, 2, 24611)}, {"size": (3, 24601), "mode": "bilinear"}
        ),
        Case("planes left out", {"x": (1, 2, 7, 5, 3)}, {"size": (2, 5, 3)}),
        *_stretched(),
        *_tiled(),
        *_doubled(),
    ),
    "pad": tuple(
        Case(f"planes, {mode}", {"x": (2, 3, 31, 37)}, {"padding": (1, 1, 1, 0), "mode": mode})
        for mode in ("reflect", "replicate", "circular")
    ),
    "local_response_norm": (
        Case("pieces of rows", {"x": (2, 7, 3, 24)}, {"size": 5}),
        Case("odd rows", {"x": (2, 7, 3, 5)}, {"size": 5}),
        Case("pieces of channels", {"x": (2, 3, 5, 24)}, {"size": 5, "layout": "NHWC"}),
    ),
    "adaptive_avg_pool2d": (
        Case("pieces of channels", {"x": (2, 5, 7, 24)}, {"output_size": 1, "layout": "NHWC"}),
    ),
    "group_norm": (
        Case(
            "long vectors",
            {"x": (2, 4, 30, 28), "weight": (4,), "bias": (4,)},
            {"num_groups": 2},
        ),
    ),
    **{
        name: (Case("rows of a few vectors", {"x": (131, 24)}, {"axis": 1}),)
        for name in ("sum", "amax", "amin")
    },
}


def _integers(name: str, x: tuple[int, ...], weight: tuple[int, ...]) -> Case:
    """Channels innermost and many of them, as tensor cores take them, with zero points."""
    zeros: dict[str, tuple[int, ...]] = {"x_zero_point": (), "weight_zero_point": weight[:1]}
    return Case(name, {"x": x, "weight": weight, **zeros}, {"padding": 1, "layout": "NHWC"})


def _scaled(case: Case) -> Case:
    """The same, requantised."""
    weight = case.shapes["weight"]
    more = {"x_scale": (), "weight_scale": weight[:1], "y_scale": (), "y_zero_point": ()}
    return replace(case, shapes={**case.shapes, **more, "bias": weight[:1]})


#: Those of which views are taken, besides the first case of every operation.
VIEWED: dict[str, tuple[Case, ...]] = {
    # More rows than all blocks have groups of threads: a block has several rounds.
    "cross_entropy": (
        Case("rounds", {"logits": (33001, 17), "target": (33001,)}),
        Case("rounds of probabilities", {"logits": (33001, 17), "target": (33001, 17)}),
    ),
    "conv2d_integer": (_integers("chunks", (2, 9, 7, 32), (24, 32, 3, 2)),),
    "qlinear_conv2d": (_scaled(_integers("chunks", (2, 9, 7, 32), (24, 32, 3, 2))),),
    "scaled_conv2d": (
        Case(
            "chunks",
            {"x": (2, 9, 7, 32), "weight": (24, 32, 3, 2), "x_scale": (), "weight_scale": (24,)},
            {"padding": 1, "layout": "NHWC", "output_dtype": "float32"},
        ),
    ),
    "kl_div": (Case("log target", {"x": (3, 5, 7), "target": (3, 5, 7)}, {"log_target": True}),),
    "gelu": (Case("tanh", {"x": (3, 5, 7)}, {"approximate": "tanh"}),),
}


def _products(name: str, m: int, n: int, algo: str, k: int = 3) -> tuple[tuple[Case, str], ...]:
    """One product for each order of A and B in memory, as many as make a tile worth its while."""
    turned = {"": {}, "a": {"transpose_a": True}, "b": {"transpose_b": True}}
    turned["both"] = turned["a"] | turned["b"]
    return tuple(
        (
            Case(
                f"{name}, {which} transposed" if which else name,
                {
                    "a": (128, k, m) if "transpose_a" in settings else (128, m, k),
                    "b": (128, n, k) if "transpose_b" in settings else (128, k, n),
                },
                settings,
            ),
            algo,
        )
        for which, settings in turned.items()
    )


def _for_wgmma() -> Iterator[Case]:
    """Layers that are cut into each of its tiles."""
    for k in (64, 72, 136):
        yield _conv(f"{k} filters", (1, 72, 129, 127), (k, 72, 1, 1), "NHWC")
    for k in (72, 136):
        yield _conv(f"{k} filters, 3x3", (1, 72, 96, 95), (k, 72, 3, 3), "NHWC")
    yield _conv("200 filters", (1, 8, 129, 127), (200, 8, 1, 1), "NHWC")
    yield _conv("high tiles", (1, 8, 129, 194), (128, 8, 1, 1), "NHWC")
    for h in (66, 98):
        yield _conv(f"patches, {h} lines", (1, 8, h, 98), (136, 8, 3, 3), "NHWC")
    yield _conv("wide weights", (1, 1032, 7, 9), (200, 1032, 3, 3), "NHWC")
    # Sums of clusters: of each tile and number of blocks, 16 bits or 32.
    for h, c, k in ((3, 1032, 8), (3, 4104, 8), (5, 1032, 1032), (53, 2056, 264), (53, 1032, 264),
                    (54, 4600, 504)):  # fmt: skip
        yield _conv(f"{c} to {k} channels", (1, c, h, 29), (k, c, 1, 1), "NHWC")
    for k in (132 * 128, 132 * 256):  # one row of tiles, and as many as there are multiprocessors
        yield _conv(f"{k} filters", (1, 8, 5, 7), (k, 8, 1, 1), "NHWC")


#: Rows, columns and terms of products of bytes that are cut into each tile, alone and in clusters.
_OF_BYTES = (
    (40, 24, 16), (40, 16880, 16), (40, 33776, 16), (136, 24, 16), (2056, 520, 144),
    (2056, 1032, 144),
)  # fmt: skip


def _of_bytes(
    shapes: Mapping[str, Shape | None], name: str = "", **settings: str
) -> Iterator[tuple[Case, str]]:
    """By Hopper's tensor cores; a shape of None is one value a column."""
    for m, n, k in _OF_BYTES:
        more = {key: (n,) if shape is None else shape for key, shape in shapes.items()}
        size = f"{m} rows, {n} columns{name}"
        yield Case(size, {"a": (m, k), "b": (k, n), **more}, settings), "wgmma"


def _windows_of_bytes(
    sizes: Iterable[tuple[int, int, int]] = _OF_BYTES,
) -> Iterator[tuple[Case, str]]:
    """The same of windows of two pixels, with no zero points."""
    for m, n, k in sizes:
        shapes: dict[str, Shape] = {"x": (1, 1, m, k), "weight": (n, k, 1, 2)}
        how = {"padding": ((0, 0), (0, 1)), "layout": "NHWC"}
        yield Case(f"{m} pixels, {n} filters, {k} channels", shapes, how), "wgmma"


#: The like of each tile and cluster that 8-bit floats have.
_OF_FLOAT8 = (
    (40, 24, 16), (40, 200, 16), (40, 24, 528), (40, 24, 912), (6176, 136, 16), (6176, 264, 16),
    (1544, 2056, 16),
)  # fmt: skip


def _of_float8(case: Case, dtype: str, more: str = "") -> Case:
    """With scales and a bias."""
    weight = case.shapes["weight"]
    shapes = {**case.shapes, "x_scale": (), "weight_scale": weight[:1], "bias": weight[:1]}
    settings = {**case.settings, "output_dtype": dtype}
    return Case(f"{case.name}, {dtype}{more}", shapes, settings)


#: Algorithms of the same product by chunks of channels.
_BY_CHUNKS = ("implicit_gemm_mma", *(f"implicit_gemm_{how}" for how in ("tf32", "tf32x3", "ffma")))

#: Those that take the emulator minutes, each with the one algorithm that it is about.
LARGE: dict[str, tuple[tuple[Case, str], ...]] = {
    "conv2d_integer": (
        (_integers("large tiles", (1, 129, 127, 80), (72, 80, 1, 1)), ""),
        *_windows_of_bytes(),
    ),
    "qlinear_conv2d": (
        (_scaled(_integers("large tiles", (1, 129, 127, 80), (72, 80, 1, 1))), ""),
        *((_scaled(case), algo) for case, algo in _windows_of_bytes()),
    ),
    "scaled_conv2d": tuple(
        (_of_float8(case, dtype, more), algo)
        for dtype in ("float32", "bfloat16", "float16")
        for more in ("", f", {WIDE_WEIGHT}")
        for case, algo in _windows_of_bytes(_OF_FLOAT8)
    ),
    "matmul_integer": tuple(_of_bytes({})),
    "qlinear_matmul": tuple(
        _of_bytes({"a_scale": (), "b_scale": None, "y_scale": (), "y_zero_point": (), "bias": None})
    ),
    "scaled_mm": tuple(
        one
        for dtype in ("float32", "bfloat16", "float16")
        for b in ("", f", {WIDE}")
        for one in _of_bytes(
            {"scale_a": (), "scale_b": (), "bias": None}, f", {dtype}{b}", output_dtype=dtype
        )
    ),
    "conv2d": tuple(
        (_conv(name, x, weight, layout), "implicit_gemm")
        for layout in ("NCHW", "NHWC")
        for name, x, weight in (
            ("large tiles", (1, 67, 129, 127), (67, 67, 1, 1)),
            ("large tiles, in parts", (1, 67, 94, 93), (67, 67, 3, 3)),
            ("large tiles, 1x1, in parts", (1, 67, 94, 93), (515, 67, 1, 1)),
            ("large tiles of weights", (1, 1421, 3, 3), (1429, 1421, 1, 1)),
        )
    )
    + tuple(
        (_conv(name, x, weight, "NHWC"), algo)
        for algo in _BY_CHUNKS
        for name, x, weight in (
            ("large tiles of chunks", (1, 72, 129, 127), (72, 72, 1, 1)),
            ("large tiles of weights, in chunks", (1, 1424, 3, 3), (1432, 1424, 1, 1)),
        )
    )
    + (  # which large tiles are estimated to be fastest for; one for each multiprocessor
        (
            _conv("199 large tiles of chunks", (1, 8, 200, 127), (68, 8, 1, 1), "NHWC"),
            "implicit_gemm_ffma",
        ),
        (
            _conv("132 tiles of weights", (1, 1532, 3, 3), (1404, 1532, 1, 1), "NHWC"),
            _BY_CHUNKS[-1],
        ),
    )
    + tuple(
        (case, algo)
        for case in _for_wgmma()
        for algo in ("implicit_gemm_wgmma", "implicit_gemm_wgmma_tf32")
    )
    + tuple(  # runs of as many chunks as there are kernels for, windows an even or odd step apart
        (
            _conv(
                f"run of {c * side}, {stride} apart",
                (2, c, 9, 21),
                (9, c, 2, side),
                "NHWC",
                stride=stride,
            ),
            algo,
        )
        for algo, runs in (
            ("few_channels_mma", ((1, 5), (3, 7), (3, 9), (3, 13), (3, 15), (3, 3))),
            ("implicit_gemm_tf32", ((1, 5), (3, 3), (3, 5), (3, 7))),
        )
        for c, side in runs
        for stride in (1, 2)
    )
    + tuple(  # gradients of a stride, residue by residue, in small tiles and in large ones
        (_conv(f"phases of {c} channels", (n, c, h, 31), (c, c, 3, 2), "NHWC", stride=2), algo)
        for algo in _BY_CHUNKS
        for n, c, h in ((1, 24, 9), (32, 136, 33))
    ),
    "gemm": tuple(
        case
        for algo, name, m, n in (
            ("double_buffered", "large tiles", 65, 67),
            ("ffma", "small tiles", 64, 67),
            ("ffma", "large tiles", 65, 67),
            ("tensor_core", "large tiles", 65, 67),
            ("tensor_core", "high tiles", 65, 64),
            ("tensor_core", "wide tiles", 64, 67),
            ("tf32", "large tiles", 65, 67),
            ("tf32", "high tiles", 65, 64),
            ("tf32", "wide tiles", 64, 67),
            ("tf32x3", "high tiles", 65, 64),
        )
        for case in _products(name, m, n, algo)
    )
    + tuple(
        case
        for algo in ("wgmma", "wgmma_tf32")
        for m in (72, 136)
        for n in (64, 72, 200)
        for case in _products(f"{m} rows, {n} columns", m, n, algo, k=8)
    ),
}
