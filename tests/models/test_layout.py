"""Networks in other layouts and dtypes, saved and loaded in one call."""

import numpy as np
import pytest

import pycnn
from pycnn import models, nn, train
from pycnn.define.trace import tracing

SMALL = {"lenet5": 28, "resnet18": 32, "cifar_resnet20": 16, "squeezenet": 35, "mobilenet": 32,
         "densenet121": 32, "vgg11": 32}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_channels_last_is_the_same_network(name):
    made = {"input_size": SMALL[name], "width": 0.1, "classes": 3, "seed": 2}
    first, last = (models.create(name, layout=layout, **made) for layout in ("NCHW", "NHWC"))
    shape = first.recipe["arguments"]["input_shape"]
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    expected = first.eval()(x)
    np.testing.assert_allclose(last.eval()(np.moveaxis(x, 1, -1)), expected, rtol=1e-4, atol=1e-4)


def test_a_layer_that_knows_no_other_layout_is_named():
    with pytest.raises(ValueError, match=r"layout='NHWC': layer c3, PartialConv2d.* knows none"):
        models.create("lenet5_1998", layout="NHWC")
    with pytest.raises(ValueError, match="layout='NCWH'; allowed"):
        models.create("lenet5", layout="NCWH")
    with pytest.raises(ValueError, match="dtype='int8'; allowed"):
        models.create("lenet5", dtype="int8")
    with tracing():
        large = models.create("lenet5", width=3e3, dtype="float64")
    assert large.at("f5").params["weight"].strides == (0, 0)


class Tied(nn.Layer):
    """Two layers of one matrix, a block that `fuse` can work at, and a name for nothing."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(
            conv=nn.Conv2d(1, 4, 3, bias=False), norm=nn.BatchNorm2d(4), act=nn.ReLU(),
            pool=nn.GlobalAvgPool(), flat=nn.Flatten(),
        )  # fmt: skip
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)
        self.other.params["weight"] = self.one.params["weight"]

    def compute(self, x):
        return self.other(pycnn.tanh(self.one(self.block(x))))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("fused", [False, True])
def test_models_go_to_a_file_and_back_in_one_call(tmp_path, dtype, fused):
    path = tmp_path / "m.safetensors"
    x = np.random.default_rng(1).standard_normal((2, 1, 28, 28))
    for make in (Tied, lambda: models.create("lenet5", width=0.5, dtype="float64")):
        model = make().to(dtype).eval()
        if fused:
            nn.fuse(model)
        train.save(path, model)
        read, _ = train.load_model(path, make() if make is Tied else None)
        ours, theirs = read.state_dict(), model.state_dict()
        assert {n: a.dtype.name for n, a in ours.items()} == dict.fromkeys(theirs, dtype)
        own = x.astype(next(iter(ours.values())).dtype)
        np.testing.assert_array_equal(read(own), model(own))
        assert repr([one for _, one in read.named_layers()]) == repr(
            [one for _, one in model.named_layers()]
        )
    assert read.recipe["name"] == "lenet5"
    train.save(path, Tied())
    read, _ = train.load_model(path, Tied().to("float64"))
    assert read.one.params["weight"] is read.other.params["weight"]


def test_dtypes_may_differ_by_layer(tmp_path):
    path = tmp_path / "m.safetensors"
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    model[0].to("float64")
    train.save(path, model)
    read, _ = train.load_model(path, nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)))
    assert [one.params["bias"].dtype.name for one in read] == ["float64", "float32"]
    with pytest.raises(ValueError, match=r"said to be a model of your own: .*shape"):
        train.load_model(path, nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)))
    with pytest.raises(ValueError, match=r"with one of your own, pycnn.train.load_model\("):
        train.load_model(path)
