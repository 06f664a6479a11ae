"""The networks that docs/networks.md writes down: equal to PyTorch's, gradients too."""

import numpy as np
import own_networks
import pytest

import pycnn
from pycnn import nn

PAGE, INPUTS = own_networks.page(), own_networks.inputs()
LOSSES = {
    "Siamese": PAGE["contrastive"],
    "gated_resnet": PAGE["focal_loss"],
    "UNet": PAGE["mask_loss"],
    "Price": nn.MSELoss(),
}


def made(name):
    model = PAGE[name]().to("float64")
    shapes = {p.name: p.value.shape for p in model.parameters()}
    weights = own_networks.weights(name, shapes)
    for parameter in model.parameters():
        parameter.value[...] = weights[parameter.name]
    return model


def run(model, name):
    """Results, loss and gradients by name."""
    *arrays, target = INPUTS[name]
    with pycnn.grad() as tape:
        watched = [tape.watch(a) for a in arrays]
        y = model(*watched)
        loss = LOSSES[name](y, target)
    found = {"y": y.value, "loss": loss.value}
    grads = tape.gradients_into_layers(loss, None, watched)
    found |= {f"dx{i}": g for i, g in enumerate(grads) if watched[i].ndim == 4}
    return found | {f"d{p.name}": p.grad for p in model.parameters()}


@pytest.mark.parametrize("name", INPUTS)
def test_a_network_is_equal_to_the_same_in_pytorch(name):
    with np.load(own_networks.ANSWERS) as file:
        expected = {k.removeprefix(f"{name}:"): file[k] for k in file if k.startswith(f"{name}:")}
    found = run(made(name), name)
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_allclose(found[key], array, rtol=1e-9, atol=1e-12, err_msg=key)


def test_forward_and_backward_take_several_inputs():
    model = made("Price")
    image, facts, target = INPUTS["Price"]
    y = model.forward(image, facts)
    dimage, dfacts = model.backward(2 * (y - target) / y.size)
    found = run(made("Price"), "Price")
    np.testing.assert_allclose(dimage, found["dx0"], rtol=1e-12)
    assert dfacts.shape == facts.shape


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_near_and_gradients_stay_in_float32(precision):
    model = made("gated_resnet").to("float32")
    images, classes = INPUTS["gated_resnet"]
    with pycnn.grad(precision) as tape:
        y = model(images.astype(np.float32))
        loss = pycnn.cross_entropy(y.astype("float32"), classes)
    tape.backward(loss)
    assert y.dtype.name == precision
    assert {g.dtype.name for p in model.parameters() if (g := p.grad) is not None} == {"float32"}
    exact = made("gated_resnet")
    with pycnn.grad() as tape:
        expected = exact(images)
        loss = pycnn.cross_entropy(expected, classes)
    tape.backward(loss)
    allowed = 0.1 if precision == "bfloat16" else 0.01
    for ours, theirs in zip(model.parameters(), exact.parameters(), strict=True):
        scale = abs(theirs.grad).max()
        assert abs(ours.grad - theirs.grad).max() < allowed * scale, ours.name
