"""Our networks as ONNX files: ONNX Runtime and pycnn.onnx make the same of them."""

import numpy as np
import pytest

from pycnn import models, nn, onnx
from pycnn.models import MODELS

pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")

RNG = np.random.default_rng(3)


def peers(path, x, expected):
    """What ONNX Runtime, where it is, and we make of a file is what the model gives."""
    largest = np.abs(expected).max()
    np.testing.assert_allclose(onnx.load(path)(x), expected, rtol=0, atol=1e-4 * largest)
    try:
        import onnxruntime
    except ImportError:
        return
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": x})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * largest)


@pytest.mark.parametrize(
    "name",
    ["lenet5", "cifar_resnet20", "squeezenet", "mobilenet", "dcgan_discriminator",
     pytest.param("resnet50", marks=pytest.mark.slow),
     pytest.param("densenet121", marks=pytest.mark.slow),
     pytest.param("googlenet", marks=pytest.mark.slow),
     pytest.param("dcgan_generator", marks=pytest.mark.slow),
     pytest.param("unet", marks=pytest.mark.exhaustive),
     pytest.param("alexnet", marks=pytest.mark.exhaustive),
     pytest.param("inception_v4", marks=pytest.mark.exhaustive)],
)  # fmt: skip
def test_networks(name, tmp_path):
    model = models.create(name).eval()
    onnx.export(model, tmp_path / "m.onnx")
    for batch in (1, 2):
        x = RNG.standard_normal((batch, *MODELS[name].input_shape), dtype=np.float32)
        peers(tmp_path / "m.onnx", x, model(x))


LAYERS = [
    nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular", groups=2),
    nn.Conv2d(4, 4, (3, 2), stride=(2, 1), padding="same_lower", bias=False),
    nn.Conv2d(4, 4, 3, padding=((0, 1), (2, 1)), dilation=2, stride=2),
    nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
    nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
    nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
    nn.AvgPool2d(2),
    nn.GlobalMaxPool(),
    nn.AdaptiveAvgPool2d(1),
    nn.Hardsigmoid(), nn.Hardswish(), nn.Mish(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(),
    nn.ELU(0.5), nn.CELU(0.7), nn.SELU(), nn.LeakyReLU(0.2), nn.ReLU6(), nn.Hardtanh(-0.5, 0.7),
    nn.Clip(min=-0.3), nn.PReLU(4), nn.PReLU(), nn.Softsign(), nn.Tanh(),
    nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.GroupNorm(2, 4), nn.LayerNorm((6, 8)),
    nn.LocalResponseNorm(3), nn.Softmax(1), nn.LogSoftmax(-1),
    nn.Reshape(8, 24), nn.Permute(0, 2, 3, 1), nn.PixelShuffle(2),
    nn.Pad((1, 2, 0, 3), mode="replicate"), nn.Pad((1, 0), value=2.0),
    nn.LPPool2d(2, 2), nn.LPPool2d(4, (3, 2), stride=1, padding=1, ceil_mode=True),
    nn.Softplus(), nn.Softplus(2.5), nn.InstanceNorm(4), nn.InstanceNorm(4, affine=True),
    nn.InstanceNorm(4, affine=True, track_running_stats=True),
    nn.Permute(0, -1, 1, 2), nn.DepthToSpace(2), nn.DepthToSpace(2, "CRD"), nn.SpaceToDepth(2),
    nn.Upsample(scale_factor=2), nn.Upsample((9, 12)), nn.Upsample(scale_factor=(1.5, 2.0)),
    nn.Upsample((9, 12), mode="nearest-exact"), nn.Upsample(scale_factor=2, mode="bilinear"),
    nn.Upsample((5, 9), mode="bilinear", align_corners=True), nn.Upsample((9, 9), mode="bicubic"),
    nn.Sum(nn.ReLU(), nn.Identity()),
    nn.Sum(nn.ReLU(), nn.Tanh(), nn.Identity()),
    nn.Product(nn.Sigmoid(), nn.Identity()), nn.Concat(nn.Tanh(), nn.Identity()),
    nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), nn.Linear(8, 3, bias=False),
    nn.Sum(nn.Conv2d(4, 4, 1), nn.Identity(), scale=0.3),
    nn.Recompute(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_layers(layer, tmp_path):
    for parameter in layer.parameters():
        parameter.value[...] = RNG.standard_normal(parameter.value.shape)
    for _, one in layer.named_layers():
        if "running_var" in one.buffers:
            one.buffers["running_mean"][...] = RNG.standard_normal(4)
            one.buffers["running_var"][...] = RNG.random(4) + 0.5
    layer.eval()
    onnx.export(layer, tmp_path / "m.onnx", (4, 6, 8))
    x = RNG.standard_normal((2, 4, 6, 8), dtype=np.float32)
    peers(tmp_path / "m.onnx", x, layer(x))


def test_what_is_refused(tmp_path):
    path = tmp_path / "m.onnx"

    class Own(nn.ReLU):
        def compute(self, x):
            return x + 1

    with pytest.raises(ValueError, match=r"training mode; call model.eval\(\)"):
        onnx.export(nn.Sequential(nn.ReLU()), path, (1, 2))
    with pytest.raises(TypeError, match=r"layer model\.0, Own, is not exported"):
        onnx.export(nn.Sequential(Own()).eval(), path, (1, 2))
    with pytest.raises(ValueError, match="layout='NHWC' has no counterpart"):
        onnx.export(nn.Conv2d(1, 1, 1, layout="NHWC").eval(), path, (2, 2, 1))
    with pytest.raises(ValueError, match="layout='NHWC' has no counterpart"):
        onnx.export(nn.Flatten(layout="NHWC").eval(), path, (2, 2, 1))
    with pytest.raises(ValueError, match="input_shape is missing"):
        onnx.export(nn.ReLU().eval(), path)
    with pytest.raises(ValueError, match=r"padding"):
        onnx.export(nn.Pad(1).eval(), path, (1, 2))
    with pytest.raises(ValueError, match=r"norm_type=3 has no counterpart"):
        onnx.export(nn.LPPool2d(3, 2).eval(), path, (1, 4, 4))
    with pytest.raises(ValueError, match=r"threshold=1.0 have no counterpart"):
        onnx.export(nn.Softplus(1.0, 1.0).eval(), path, (1, 4, 4))
    smooth = nn.Upsample((2, 2), mode="bilinear", antialias=True).eval()
    with pytest.raises(ValueError, match="antialias=True has no counterpart"):
        onnx.export(smooth, path, (1, 4, 4))
    with pytest.raises(ValueError, match="output_size"):
        onnx.export(nn.AdaptiveAvgPool2d(2).eval(), path, (1, 4, 4))
    assert not path.exists()
