"""Convolution, forward and backward (input and weight together)."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

import pycnn
from pycnn.bench.cases import ConvCase, Padding, Shape
from pycnn.bench.expected import recalled
from pycnn.bench.operations.base import (
    BACKWARD,
    FORWARD,
    Algorithm,
    Arrays,
    Check,
    Operation,
    Spec,
    Unsupported,
    sampled,
)
from pycnn.define.validate import Pair
from pycnn.dtypes import FLOATS
from pycnn.reference.cpu import conv as cpu
from pycnn.reference.cpu._blas import considerate
from pycnn.reference.cpu._geometry import Conv
from pycnn.reference.oracle import conv as oracle

#: Up to here the oracle computes every element, and each result is compared with all of them.
ORACLE_FLOPS, ORACLE_ELEMENTS = 4 * 10**9, 1 << 22

#: Images that the oracle takes at once, by bytes of its float64 copies.
CHUNK_BYTES = 1 << 28

#: Rows of the smallest tile of a matrix product.
TILE_FILTERS = 32

NEEDS = (True, True, False)

OUTPUTS = {FORWARD: ("y",), BACKWARD: ("dx", "dweight")}


class Conv2d(Operation):
    """`pycnn.conv2d` and `pycnn.conv2d_backward`."""

    name = "conv2d"
    case = ConvCase

    def input_specs(self, case: ConvCase, direction: str) -> dict[str, Spec]:
        specs: dict[str, Spec] = {"x": (case.x_shape, None), "weight": (case.w_shape, None)}
        return specs if direction == FORWARD else {"dy": (case.y_shape, None), **specs}

    def output_shapes(self, case: ConvCase, direction: str) -> dict[str, Shape]:
        if direction == FORWARD:
            return {"y": case.y_shape}
        return {"dx": case.x_shape, "dweight": case.w_shape}

    def flops(self, case: ConvCase, direction: str) -> int:
        return 2 * case.macs * (1 if direction == FORWARD else 2)

    def emulated_flops(self, case: ConvCase, direction: str) -> int:
        """Every group counted as at least a tile of filters, which its matrix product computes."""
        filters = case.k // case.groups
        return self.flops(case, direction) // filters * max(filters, TILE_FILTERS)

    def algorithms(self, case: ConvCase, direction: str, dtype: str) -> list[Algorithm]:
        algorithms = pycnn.conv2d_algorithms(
            case.x_shape, case.w_shape, *geometry(case), dtype=dtype, direction=direction
        )
        return [Algorithm(a.name, a.workspace_bytes, a.fits, a.reason) for a in algorithms]

    def cpu_algorithms(self, case: ConvCase, direction: str, dtype: str) -> list[Algorithm]:
        """Forward also the methods that it did not choose, if they are not the same code."""
        if direction != FORWARD:
            return [Algorithm("auto")]
        computed = FLOATS[dtype].accumulate
        choice = cpu.conv_method(case.x_shape, case.w_shape, *geometry(case), computed)
        conv = Conv(case.x_shape, case.w_shape, *geometry(case))
        others = [
            Algorithm(name)
            for name, method in cpu.METHODS.items()
            if method.applies(conv)
            and method.forward is not cpu.METHODS[choice].forward
            # who asks for float64 wants its digits, which Winograd has not
            and (name != "winograd" or computed == "float32")
        ]
        return [Algorithm("auto", chosen=choice), *others]

    def run_cpu(self, case: ConvCase, direction: str, arrays: Arrays, algo: str) -> dict[str, Any]:
        if algo == "auto":
            return self.run(case, direction, arrays, algo)
        x, weight = arrays["x"], arrays["weight"]
        computed = FLOATS[x.dtype.name].accumulate
        x32, w32 = (a.astype(computed, copy=False) for a in (x, weight))
        with considerate():
            y = cpu.conv2d(x32, w32, None, *geometry(case), method=algo)
        return {"y": y.astype(x.dtype, copy=False)}

    def run(self, case: ConvCase, direction: str, arrays: Arrays, algo: str) -> dict[str, Any]:
        x, weight = arrays["x"], arrays["weight"]
        if direction == FORWARD:
            return {"y": pycnn.conv2d(x, weight, None, *geometry(case), algo=algo)}
        dx, dweight, _ = pycnn.conv2d_backward(
            arrays["dy"], x, weight, *geometry(case), needs=NEEDS, algo=algo
        )
        return {"dx": dx, "dweight": dweight}

    def torch(
        self, case: ConvCase, direction: str, tensors: Arrays
    ) -> Callable[[], dict[str, Any]]:
        import torch

        (top, bottom), (left, right) = case.padding
        if (top, left) != (bottom, right):
            raise Unsupported("PyTorch's conv2d has no asymmetric padding")
        x, weight, padding = tensors["x"], tensors["weight"], [top, left]
        if direction == FORWARD:
            conv2d = torch.nn.functional.conv2d
            settings = (case.stride, padding, case.dilation, case.groups)
            return lambda: {"y": conv2d(x, weight, None, *settings)}
        backward = torch.ops.aten.convolution_backward
        dy = tensors["dy"]

        def call() -> dict[str, Any]:
            dx, dweight, _ = backward(
                dy, x, weight, None, case.stride, padding, case.dilation,
                False, [0, 0], case.groups, NEEDS,
            )  # fmt: skip
            return {"dx": dx, "dweight": dweight}

        return call

    def onnx_node(self, case: ConvCase) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        (top, bottom), (left, right) = case.padding
        attributes = {
            "strides": case.stride,
            "pads": (top, left, bottom, right),
            "dilations": case.dilation,
            "group": case.groups,
        }
        return "Conv", ("x", "weight"), attributes

    def checks(self, case: ConvCase, direction: str, arrays: Arrays) -> list[Check]:
        """Every element where that is quick enough; else see `_sampled_checks`."""
        terms = _terms(case)
        largest = max(prod(shape) for shape in self.output_shapes(case, direction).values())
        if self.flops(case, direction) <= ORACLE_FLOPS and largest <= ORACLE_ELEMENTS:
            expected = _oracle(case, arrays, OUTPUTS[direction])
            return [Check(name, value, terms[name]) for name, value in expected.items()]
        return _sampled_checks(case, direction, arrays) + _projected_checks(case, direction, arrays)


def geometry(case: ConvCase) -> tuple[Pair, Padding, Pair, int]:
    return case.stride, case.padding, case.dilation, case.groups


def _terms(case: ConvCase) -> dict[str, int]:
    """Length of the sum behind an element of each output."""
    taps = case.r * case.s
    return {
        "y": case.c // case.groups * taps,
        "dx": case.k // case.groups * taps,
        "dweight": case.n * case.p * case.q,
    }


def _oracle(case: ConvCase, arrays: Arrays, outputs: Sequence[str]) -> Mapping[str, np.ndarray]:
    """What the oracle says of `outputs`, where it is not known already."""
    return recalled(lambda: _computed(case, arrays, outputs))


def _computed(case: ConvCase, arrays: Arrays, outputs: Sequence[str]) -> dict[str, np.ndarray]:
    """What the oracle says of `outputs`, a few images at a time to bound its memory."""
    stride, padding, dilation, _ = geometry(case)
    x, weight = arrays["x"], arrays["weight"]
    how = (stride, padding, dilation, x.shape[1] // weight.shape[1])
    step = max(1, CHUNK_BYTES // (8 * max(x[0].size, case.k * case.p * case.q)))
    parts = [slice(i, i + step) for i in range(0, x.shape[0], step)]
    if "y" in outputs:
        ys = [oracle.convolve(x[part], weight, None, *how) for part in parts]
        return {"y": np.concatenate(ys)}
    needs = "dx" in outputs, "dweight" in outputs, False
    chunks = [
        oracle.convolve_backward(arrays["dy"][part], x[part], weight, *how, needs) for part in parts
    ]
    dxs, dweights, _ = zip(*chunks, strict=True)
    whole = {"dx": lambda: np.concatenate(dxs), "dweight": lambda: sum(dweights)}
    return {name: whole[name]() for name in outputs}


def _sampled_checks(case: ConvCase, direction: str, arrays: Arrays) -> list[Check]:
    """Elements one by one: some images of y or dx, some filters of dweight.

    They are taken from the very outputs that are timed, so the launch is that of the whole case.
    """
    terms, images = _terms(case), sampled(case.n)
    few = {name: a if name == "weight" else a[images] for name, a in arrays.items()}
    name = "y" if direction == FORWARD else "dx"
    what = f"images {_listed(images)} of {case.n}"
    expected = _oracle(case, few, [name])[name]
    of_images = [Check(name, expected, terms[name], what, lambda y: y[images])]
    if direction == FORWARD:
        return of_images
    filters, per_group = sampled(case.k), case.k // case.groups
    channels = case.c // case.groups
    rows = []
    for f in filters:
        first = f // per_group * channels
        alone = {
            "x": arrays["x"][:, first : first + channels],
            "weight": arrays["weight"][f : f + 1],
            "dy": arrays["dy"][:, f : f + 1],
        }
        rows.append(_oracle(case, alone, ["dweight"])["dweight"])
    what = f"filters {_listed(filters)} of {case.k}"
    rows_of = Check("dweight", np.concatenate(rows), terms["dweight"], what, lambda dw: dw[filters])
    return [*of_images, rows_of]


def _projected_checks(case: ConvCase, direction: str, arrays: Arrays) -> list[Check]:
    """All elements at once, at a fraction of the cost.

    Convolution is linear, so a combination of output channels with random signs v equals the
    convolution with one combined filter: sum_k v[k] y[:, k] = conv(x, sum_k v[k] w[k]). A single
    wrong element shows in it. So do dx with combined input channels, and dweight with combined
    filters (Freivalds, 1977, for matrix products).
    """
    rng, g, terms = np.random.default_rng(case.macs), case.groups, _terms(case)
    over_k = rng.choice((-1.0, 1.0), (g, case.k // g))
    over_c = rng.choice((-1.0, 1.0), (g, case.c // g))
    weight = arrays["weight"].astype(np.float64).reshape(g, case.k // g, -1, case.r, case.s)
    if direction == FORWARD:
        combined = {"x": arrays["x"], "weight": np.einsum("gk,gkcrs->gcrs", over_k, weight)}
        y = _oracle(case, combined, ["y"])["y"]
        return [_combined("y", y, terms, lambda y: _combine(y, over_k))]
    one_channel = {
        "dy": arrays["dy"],
        "x": arrays["x"][:, :: case.c // g],  # its shape alone matters for dx
        "weight": np.einsum("gc,gkcrs->gkrs", over_c, weight).reshape(case.k, 1, case.r, case.s),
    }
    dx = _oracle(case, one_channel, ["dx"])["dx"]
    one_filter = {
        "dy": _combine(arrays["dy"], over_k),
        "x": arrays["x"],
        "weight": np.zeros((g, case.c // g, case.r, case.s)),  # its shape alone matters for dweight
    }
    dweight = _oracle(case, one_filter, ["dweight"])["dweight"]

    def combine_filters(dw: np.ndarray) -> np.ndarray:
        return np.einsum("gk,gkcrs->gcrs", over_k, dw.reshape(g, case.k // g, *dw.shape[1:]))

    return [
        _combined("dx", dx, terms, lambda dx: _combine(dx, over_c)),
        _combined("dweight", dweight, terms, combine_filters),
    ]


def _combined(
    name: str, expected: np.ndarray, terms: dict[str, int], view: Callable[[np.ndarray], np.ndarray]
) -> Check:
    return Check(name, expected, terms[name], "all, channels combined", view, combined=True)


def _combine(maps: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """(N, channels, H, W) -> (N, G, H, W): the channels of every group added with `signs`."""
    g, per_group = signs.shape
    n, _, h, w = maps.shape
    return np.einsum("gc,ngchw->nghw", signs, maps.reshape(n, g, per_group, h, w))


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
