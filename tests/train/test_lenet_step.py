"""A training step of LeNet-5: the kernels move its weights as the CPU path does."""

import numpy as np
import pytest

import pycnn
from pycnn import models, nn


@pytest.fixture
def batch(rng):
    """Images of noise and their labels."""
    return rng.standard_normal((3, 1, 28, 28), np.float32), np.array([7, 0, 4])


def step(backend, images, labels):
    """Weights before, gradients, and weights after a step of Adam, as NumPy arrays by name."""
    model = models.create("lenet5").to("cuda" if backend.name == "cuda" else "cpu")
    optimizer, loss = nn.Adam(model, lr=1e-2), nn.CrossEntropyLoss()
    before = {p.name: backend.numpy(p.value).copy() for p in model.parameters()}
    loss.forward(model.forward(backend.array(images)), backend.array(labels))
    model.backward(loss.backward(), needs_dx=False)
    optimizer.step()
    grads = {p.name: backend.numpy(p.grad) for p in model.parameters()}
    return before, grads, {p.name: backend.numpy(p.value) for p in model.parameters()}


def test_a_step(backend, batch):
    """The checked build has no report; gradients are those of the CPU path within rounding."""

    class Reference:
        name, array, numpy = "reference", staticmethod(np.asarray), staticmethod(np.asarray)

    with pycnn.use_backend("reference"):
        begin, want, _ = step(Reference, *batch)
    before, grads, after = step(backend, *batch)
    assert list(grads) == list(want)
    for name, grad in grads.items():
        assert before[name].tobytes() == begin[name].tobytes()
        np.testing.assert_allclose(grad, want[name], rtol=2e-4, atol=2e-5 * abs(want[name]).max())
        # The first step of Adam is lr * sign(gradient), whatever its size.
        clear = abs(grad) > 1e-5
        moved = (after[name] - before[name])[clear]
        np.testing.assert_allclose(moved, -1e-2 * np.sign(grad[clear]), rtol=2e-2)


@pytest.mark.parametrize("backend", ["cuda"], indirect=True)
def test_layers_and_batches_of_two_devices_do_not_mix(backend):
    model = models.create("lenet5").to("cuda")
    with pytest.raises(nn.LayerTypeError, match="arrays on different devices"):
        model(np.zeros((1, 1, 28, 28), np.float32))
