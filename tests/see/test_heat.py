"""Heat maps of classifiers whose reasons are known."""

import numpy as np
import pytest

from pycnn import nn
from pycnn.see.heat import grad_cam, occlusion, occlusion_batches, positions, probabilities


def corner_classifier() -> nn.Sequential:
    """Class 1 gets the brightness of the upper left quarter, class 0 that of the lower right."""
    with nn.seeded(0):
        model = nn.Sequential(
            features=nn.Sequential(conv=nn.Conv2d(1, 1, 1, bias=False), relu=nn.ReLU()),
            flat=nn.Flatten(), scores=nn.Linear(64, 2),
        )  # fmt: skip
    model.at("features.conv").params["weight"][:] = 1
    weight = np.zeros((2, 8, 8), np.float32)
    weight[1, :4, :4] = 1 / 16
    weight[0, 4:, 4:] = 1 / 16
    model.at("scores").params["weight"][:] = weight.reshape(2, 64)
    return model


BRIGHT = np.pad(np.full((1, 4, 4), 3.0, np.float32), ((0, 0), (0, 4), (0, 4)))


def test_occlusion_finds_the_quarter_that_the_class_rests_on() -> None:
    heat = occlusion(corner_classifier(), BRIGHT, target=1, patch=4, step=4)
    # scores are (0, 3); covered by the mean, 0.75, the quarter gives (0, 0.75)
    fall = 1 / (1 + np.exp(-3)) - 1 / (1 + np.exp(-0.75))
    assert heat[:4, :4] == pytest.approx(np.full((4, 4), fall), abs=1e-6)
    # the grey patch over the lower right quarter raises the other class: (0.75, 3)
    other = 1 / (1 + np.exp(-3)) - 1 / (1 + np.exp(-2.25))
    assert heat[4:, 4:] == pytest.approx(np.full((4, 4), other), abs=1e-6)
    assert heat[:4, 4:] == pytest.approx(np.zeros((4, 4)), abs=1e-6)


def test_occlusion_is_averaged_over_patches_and_counted_in_batches() -> None:
    calls: list[int] = []
    heat = occlusion(corner_classifier(), BRIGHT, 1, 2, 1, advance=lambda: calls.append(1))
    assert heat.shape == (8, 8)
    assert len(calls) == occlusion_batches((8, 8), 2, 1) == 4  # 49 patches, 16 at a time
    assert positions(8, 3, 2) == [0, 2, 4, 5]


def test_grad_cam_by_hand() -> None:
    """Maps of two channels; the score's gradient is 2 for one and -1 for the other."""
    model = nn.Sequential(
        conv=nn.Conv2d(1, 2, 1, bias=False), pool=nn.GlobalAvgPool(), flat=nn.Flatten(),
        scores=nn.Linear(2, 3, bias=False), soft=nn.Softmax(),
    )  # fmt: skip
    model.at("conv").params["weight"][:] = np.array([1, 3], np.float32).reshape(2, 1, 1, 1)
    model.at("scores").params["weight"][:] = [[0, 0], [2, -1], [4, -1]]
    x = np.array([[[-2.0, 0.0], [1.0, 4.0]]], np.float32)
    # target 1: (2 * x - 1 * 3 x) / 4 < 0 where x > 0: only x = -2 counts
    assert grad_cam(model, x, 1).tolist() == [[1, 0], [0, 0]]
    # target 2: (4 * x - 3 x) / 4: x itself, negative ones dropped, over the largest
    assert grad_cam(model, x, 2).tolist() == [[0, 0], [0.25, 1]]
    # target 0 has no gradient
    assert not grad_cam(model, x, 0).any()


def test_grad_cam_leaves_gradients_and_modes_as_they_were() -> None:
    model = corner_classifier()
    model.forward(BRIGHT[None])
    model.backward(np.ones((1, 2), np.float32))
    before = {p.name: (p.grad, p.grad.copy()) for p in model.parameters() if p.grad is not None}
    grad_cam(model, BRIGHT, 1)
    assert model.training
    for p in model.parameters():
        if p.name in before:
            array, values = before[p.name]
            assert p.grad is array
            assert (array == values).all()


def test_probabilities_whatever_the_last_layer_is() -> None:
    plain = corner_classifier()
    expected = 1 / (1 + np.exp(-3))
    for last in (None, nn.Softmax(), nn.LogSoftmax()):
        model = plain if last is None else nn.Sequential(plain, last)
        assert probabilities(model, BRIGHT[None])[0, 1] == pytest.approx(expected, abs=1e-6)


def test_bad_requests() -> None:
    model = corner_classifier()
    with pytest.raises(ValueError, match="target=2: allowed are 0 to 1"):
        occlusion(model, BRIGHT, 2)
    with pytest.raises(ValueError, match="patch=9: allowed are 1 to 8"):
        occlusion(model, BRIGHT, 1, patch=9)
    with pytest.raises(ValueError, match="step=5: allowed are 1 to 4"):
        occlusion(model, BRIGHT, 1, patch=4, step=5)
    with pytest.raises(ValueError, match="target=-1"):
        grad_cam(model, BRIGHT, -1)
    with pytest.raises(ValueError, match=r"makes \(1, 8, 8\) of an image; allowed: scores"):
        probabilities(nn.Sequential(nn.ReLU()), BRIGHT[None])
    with pytest.raises(ValueError, match="Grad-CAM needs feature maps"):
        grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), BRIGHT, 0)
