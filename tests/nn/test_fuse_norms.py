"""Fused normalisations train as the layers one by one, and say what they took."""

import copy

import numpy as np
import pytest

import pycnn
from pycnn import models, nn, train
from pycnn.data import Arrays
from pycnn.onnx.errors import OnnxError


def block(layout="NCHW", inputs=3, filters=4):
    """A residual block: both forms of what is taken."""
    conv = {"layout": layout, "bias": False}
    branch = nn.Sequential(
        conv=nn.Conv2d(inputs, filters, 3, padding=1, **conv),
        norm=nn.BatchNorm2d(filters, layout=layout),
        relu=nn.ReLU(),
        conv2=nn.Conv2d(filters, inputs, 1, **conv),
        norm2=nn.BatchNorm2d(inputs, layout=layout),
    )
    return nn.Sequential(
        sum=nn.Sum(branch=branch, shortcut=nn.Identity()),
        relu=nn.ReLU(),
        last=nn.Conv2d(inputs, 2, 1, **conv),
    )


TAKEN = ["sum.branch.norm2 + sum + relu", "sum.branch.norm + sum.branch.relu"]


def drawn(model, seed=1):
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        p.value[...] += 0.1 * rng.standard_normal(p.value.shape)
    return model


def trained(model, x, dy):
    """What comes out, what goes back, and what a step leaves in the layers."""
    y = model.forward(x)
    dx = model.backward(dy)
    return {"y": y, "dx": dx, **model.state_dict(), **{f"d{p.name}": p.grad for p in
                                                      model.parameters()}}  # fmt: skip


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("via", ["reference", "emulator"])
def test_a_block_trains_the_same(layout, via, rng):
    apart = drawn(block(layout))
    together = copy.deepcopy(apart)
    assert sorted(map(str, nn.fuse_norms(together))) == sorted(TAKEN)
    x = rng.standard_normal((2, 3, 5, 7) if layout == "NCHW" else (2, 5, 7, 3)).astype(np.float32)
    dy = rng.standard_normal((2, 2, 5, 7) if layout == "NCHW" else (2, 5, 7, 2)).astype(np.float32)
    expected = trained(apart, x, dy)
    with pycnn.use_backend(via):
        found = trained(together, x, dy)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=2e-5, atol=2e-5, err_msg=name)
    for model in (apart, together):
        model.eval()
    np.testing.assert_allclose(together(x), apart(x), rtol=1e-5, atol=1e-5)
    before = together(x)
    assert len(nn.fuse(together)) == 2
    np.testing.assert_allclose(together(x), before, rtol=1e-4, atol=1e-5)


def test_gradients_by_differences(rng):
    model = drawn(block().to("float64"))
    nn.fuse_norms(model)
    x, dy = rng.standard_normal((3, 3, 2, 2)), rng.standard_normal((3, 2, 2, 2))

    def loss():
        return float((model.forward(x) * dy).sum())

    loss()
    dx = model.backward(dy)
    arrays = [(x, dx)] + [(p.value, p.grad) for p in model.parameters()]
    for array, grad in arrays:
        for place in list(np.ndindex(array.shape))[::5]:
            kept, ends = array[place], []
            for step in (1e-6, -1e-6):
                array[place] = kept + step
                ends.append(loss())
            array[place] = kept
            assert grad[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", ["cifar_resnet20", "resnet50", "mobilenet", "densenet121"])
def test_of_networks_every_pair_is_taken(name):
    """As many as there are ReLUs behind a normalisation, or behind a sum with one."""
    with pycnn.define.trace.tracing():
        model = models.create(name)
        fused = nn.fuse_norms(model)
    left = sum(isinstance(layer, nn.ReLU) for _, layer in model.named_layers())
    counts = {"cifar_resnet20": (19, 0), "resnet50": (49, 0), "mobilenet": (27, 0)}
    assert (len(fused), left) == counts.get(name, (121, 0))


def test_parts_of_a_batch_and_16_bits(rng):
    """By the trainer: running statistics by parts, and float32 within bfloat16."""
    x = rng.standard_normal((12, 3, 5, 5)).astype(np.float32)
    target = rng.standard_normal((12, 2, 5, 5)).astype(np.float32)
    data = Arrays(name="noise", inputs=x, target=target, train=np.arange(8),
                  test=np.arange(8, 12))  # fmt: skip
    for settings in ({"accumulate": 2}, {"precision": "bfloat16"}):
        states = []
        for fused in (False, True):
            with nn.seeded(4):
                model = drawn(block())
            if fused:
                nn.fuse_norms(model)
            trainer = train.Trainer(model, data, nn.SGD(model, 0.1), loss=nn.MSELoss(), batch=4,
                                    **settings)  # fmt: skip
            trainer.fit(epochs=2)
            states.append(model.state_dict())
        near = 1e-4 if "accumulate" in settings else 0.05
        for key, array in states[0].items():
            np.testing.assert_allclose(states[1][key], array, rtol=near, atol=near, err_msg=key)


class Own(nn.BatchNorm2d):
    def compute(self, x):
        return 2 * super().compute(x)


def test_what_is_left_as_it_is():
    norm = nn.BatchNorm2d(3)
    for model in (
        nn.Sequential(Own(3), nn.ReLU()),
        nn.Sequential(nn.BatchNorm2d(3), nn.ReLU6()),
        nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)),
        nn.Sequential(nn.Sequential(norm), nn.Sequential(norm, nn.ReLU())),
        nn.Sequential(nn.Sum(norm, nn.Identity(), scale=0.5), nn.ReLU()),
        nn.Sequential(nn.Sum(nn.Identity(), nn.Conv2d(3, 3, 1)), nn.ReLU()),
    ):
        assert nn.fuse_norms(model) == []
    once = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.ReLU())
    assert [len(nn.fuse_norms(once)), len(nn.fuse_norms(once)), len(once)] == [1, 0, 2]


def test_a_residual_of_another_shape_is_refused():
    model = nn.Sequential(nn.Sum(nn.BatchNorm2d(3), nn.MaxPool2d(1, 2)), nn.ReLU())
    nn.fuse_norms(model)
    with pytest.raises(ValueError, match=r"residual has shape .* allowed"):
        model.forward(np.ones((2, 3, 4, 4), np.float32))


def test_a_file_of_onnx_is_refused_where_it_would_lose_the_unit(tmp_path):
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())
    nn.fuse_norms(model)
    with pytest.raises((ValueError, OnnxError), match="activation='relu'"):
        pycnn.onnx.export(model.eval(), tmp_path / "m.onnx", (3, 4, 4))
