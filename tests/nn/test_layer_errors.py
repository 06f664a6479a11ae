"""What a layer refuses says where it stands, and whether a batch is all that is missing."""

import numpy as np
import pytest

import pycnn
from pycnn import models, nn


class Inner(nn.Layer):
    def compute(self, x):
        return {}["nothing"]


class Outer(nn.Layer):
    def __init__(self):
        super().__init__()
        self.deep = nn.Sequential(nn.Identity(), last=Inner())

    def compute(self, x):
        return self.deep(x)


def test_any_other_error_says_in_which_layer():
    model = nn.Sequential(a=nn.Recompute(Outer()))
    with pytest.raises(KeyError) as caught:
        model(np.ones(3))
    assert caught.value.__notes__ == ["in layer a.layer.deep.last, Inner()"]
    with pytest.raises(NotImplementedError, match=r"Layer has no compute\(self, x\)"):
        nn.Layer()(np.ones(3))


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (models.create("lenet5", width=0.5), (1, 28, 28)),
        (nn.BatchNorm2d(3), (3, 4, 4)),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), (8, 8)),
        (nn.GroupNorm(1, 3), (3, 4, 4)),
        (nn.Dropout2d(0.5), (3, 4, 4)),
        (nn.Reshape(2, 2), (4,)),
    ],
    ids=repr,
)
def test_an_input_without_its_batch_is_told(model, shape):
    x = np.ones(shape, np.float32)
    with pytest.raises(nn.LayerError) as caught:
        model(x)
    said = f"an input of shape {shape} has no batch here, which x[None] has"
    assert str(caught.value).endswith(said)
    model(x[None])


def test_another_wrong_input_is_not_said_to_lack_a_batch():
    model = nn.Sequential(conv=nn.Conv2d(3, 2, 3), flat=nn.Flatten(), dense=nn.Linear(8, 2))
    for shape in ((1, 2, 4, 4), (5, 3, 9, 9), (2, 4, 4)):
        with pytest.raises(nn.LayerError) as caught:
            model(np.ones(shape, np.float32))
        assert "x[None]" not in str(caught.value)
        with pycnn.grad() as tape, pytest.raises(nn.LayerError) as caught:
            model(tape.watch(np.ones(shape, np.float32)))
        assert "x[None]" not in str(caught.value)
