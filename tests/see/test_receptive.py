"""Receptive fields against experiment: NaN in one element shows wherever that element is seen."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from pycnn import nn
from pycnn.nn.layer import Layer
from pycnn.see.receptive import Span
from pycnn.see.trace import trace


def seen_by_experiment(model: Layer, shape: tuple[int, ...]) -> list[list[set[int]]]:
    """For every spatial axis and every index along it in the result: the elements seen."""
    model.eval()
    result = model(np.ones((1, *shape), np.float32))
    axes = len(shape) - 1
    found: list[list[set[int]]] = [
        [set() for _ in range(result.shape[2 + axis] if result.ndim > 2 else 1)]
        for axis in range(axes)
    ]
    for axis in range(axes):
        for i in range(shape[1 + axis]):
            x = np.ones((1, *shape), np.float32)
            np.moveaxis(x, 2 + axis, 0)[i] = np.nan
            wrong = np.isnan(model(x))[0]
            if result.ndim > 2:
                wrong = np.moveaxis(wrong, 1 + axis, 0)
                hit = wrong.reshape(len(wrong), -1).any(axis=1)
            else:
                hit = np.array([wrong.any()])
            for j in np.flatnonzero(hit):
                found[axis][j].add(i)
    return found


def conv(*arguments: Any, **settings: Any) -> Layer:
    return nn.Conv2d(1, 1, *arguments, **settings)


EXACT = {
    "strides": (nn.Sequential(conv(3, stride=2, padding=1), conv(3), nn.MaxPool2d(2)), (19, 23)),
    "asymmetric": (nn.Sequential(conv((3, 5), padding=((2, 0), (1, 3))), nn.ReLU()), (9, 11)),
    "same": (nn.Sequential(conv(4, padding="same"), conv(3, stride=2, padding="same_lower")),
             (11, 14)),
    "pool with padding": (nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2)), (14, 17)),
    "pad": (nn.Sequential(nn.Pad((1, 2, 3, 0)), conv(3)), (8, 9)),
    "residual": (nn.Sequential(conv(3, padding=1), nn.Sum(
        nn.Sequential(conv(3, padding=1), nn.BatchNorm2d(1), conv(3, padding=1)), nn.Identity())),
        (13, 12)),
    "branches": (nn.Concat(conv(1), conv(3, padding=1), nn.Sequential(conv(1),
                 conv(5, padding=2)), nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(1))), (9, 9)),
    "transposed": (nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1), (6, 7)),
    "transposed, unlike": (nn.ConvTranspose2d(1, 1, (3, 2), stride=(2, 3)), (6, 5)),
    "nearest": (nn.Upsample(scale_factor=2), (5, 6)),
    "global": (nn.Sequential(conv(3), nn.GlobalAvgPool()), (6, 7)),
    "dense": (nn.Sequential(conv(3), nn.Flatten(), nn.Linear(20, 3)), (6, 7)),
    "gate": (nn.Product(nn.Identity(), nn.Sequential(nn.GlobalAvgPool(), nn.Sigmoid())), (5, 6)),
    "adaptive": (nn.AdaptiveAvgPool2d((3, 2)), (9, 8)),
    "mean over positions": (nn.Sequential(conv(3), nn.Mean(axis=(2, 3))), (6, 7)),
}  # fmt: skip

#: Where a map with one jump cannot be exact: windows of several sizes, dilation, mixed strides.
ENCLOSED = {
    "dilated": (conv(3, dilation=3), (12, 13)),
    "adaptive, uneven": (nn.AdaptiveMaxPool2d((3, 4)), (7, 9)),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), (5, 6)),
    "corners": (nn.Upsample(size=(9, 7), mode="bilinear", align_corners=True), (5, 4)),
    "u-net": (nn.Sequential(conv(3, padding=1), nn.Concat(nn.Identity(), nn.Sequential(
        nn.MaxPool2d(2), conv(3, padding=1), nn.Upsample(scale_factor=2, mode="bilinear")))),
        (8, 8)),
    "down and up": (nn.Sequential(conv(3, stride=2, padding=1),
                    nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)), (9, 9)),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_field_is_what_an_element_depends_on(name: str) -> None:
    model, extents = EXACT[name]
    shape = (1, *extents)
    field = trace(model, shape)[-1].field
    for span, extent, axis in zip(field, extents, seen_by_experiment(model, shape), strict=True):
        for i, elements in enumerate(axis):
            first, last = span.inside(i, extent)
            assert elements == set(range(first, last + 1)), (name, i)


@pytest.mark.parametrize("name", ENCLOSED)
def test_field_encloses_what_an_element_depends_on(name: str) -> None:
    model, extents = ENCLOSED[name]
    shape = (1, *extents)
    field = trace(model, shape)[-1].field
    for span, extent, axis in zip(field, extents, seen_by_experiment(model, shape), strict=True):
        for i, elements in enumerate(axis):
            first, last = span.inside(i, extent)
            assert first <= min(elements) <= max(elements) <= last, (name, i)
            assert last - first - (max(elements) - min(elements)) <= 4, "and not by far"


def test_one_and_three_axes_and_channels_last() -> None:
    assert trace(nn.Conv1d(1, 1, 3, stride=2, padding=1), (1, 9))[-1].field == (Span(-1, 2, 3),)
    deep = trace(nn.Conv3d(1, 1, (1, 3, 5)), (1, 6, 6, 6))[-1].field
    assert deep == (Span(0, 1, 1), Span(0, 1, 3), Span(0, 1, 5))
    last = nn.Sequential(
        nn.Conv2d(3, 4, (3, 5), padding="same", layout="NHWC"), nn.MaxPool2d(2, layout="NHWC")
    )
    assert trace(last, (8, 10, 3))[-1].field == (Span(-1, 2, 4), Span(-2, 2, 6))


def test_transposed_convolution_has_a_jump_of_half() -> None:
    (step,) = trace(nn.ConvTranspose1d(1, 1, 4, stride=2, padding=1), (1, 5))
    assert step.field == (Span(Fraction(-1), Fraction(1, 2), Fraction(5, 2)),)
    assert [step.field[0].at(i) for i in range(4)] == [(-1, 0), (0, 1), (0, 1), (1, 2)]


def test_a_row_of_features_has_no_axes_to_see() -> None:
    assert trace(nn.Linear(4, 3), (4,))[-1].field == ()


def test_layers_of_ones_own_are_traced_through_what_they_call() -> None:
    class Twice(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.children["conv"] = nn.Conv2d(1, 1, 3)

        def compute(self, x: Any) -> Any:
            import pycnn

            return pycnn.max_pool2d(self.children["conv"](x), 2)

    inner, outer = trace(Twice(), (1, 8, 8))
    assert (inner.path, inner.field[0]) == ("conv", Span(0, 1, 3))
    assert (outer.path, outer.field[0], outer.output_shape) == ("", Span(0, 2, 4), (1, 3, 3))
