"""What layers call: an operation each, with its settings and its defaults, none of them ignored."""

import inspect

import numpy as np
import pytest
from layer_cases import LAYERS, NO_LAYER, make

from pycnn import nn
from pycnn.define.operation import Gradient
from pycnn.define.registry import OPERATIONS
from pycnn.define.trace import placeholder, tracing

#: Settings of operations that layers have not, and why.
LACKS = {
    "activation": "set by nn.fuse",
    "negative_slope": "of the activation, set by nn.fuse",
    "algo": "auto",
    "return_indices": "kept for the gradient",
    "training": "train() and eval()",
    "use_input_stats": "train() and eval()",
    "offset": "the number of the step, which reseed() sets",
    "padding_mode": "of transposed convolution there is one",
}

#: Values to try a setting with, by its name; the first that is allowed.
OTHER = {
    "align_corners": [True],
    "block_size": [1],
    "downscale_factor": [1],
    "upscale_factor": [1],
    "alpha": [2.5],
    "antialias": [True],
    "approximate": ["tanh"],
    "axis": [0, 1, -2],
    "beta": [2.5],
    "ceil_mode": [True, False],
    "coordinate_mode": ["asymmetric"],
    "count_include_pad": [False, True],
    "dilation": [2, 3],
    "divisor_override": [3],
    "eps": [0.5],
    "groups": [2, 1],
    "k": [3.5],
    "kernel_size": [2, 3, 1],
    "keepdims": [True, False],
    "layout": ["NHWC"],
    "max": [2.5],
    "min": [-2.5],
    "mode": ["replicate", "nearest"],
    "max_val": [2.5],
    "min_val": [-2.5],
    "momentum": [0.5],
    "negative_slope": [0.5],
    "nearest_mode": ["ceil"],
    "norm_type": [3],
    "normalized_shape": [5],
    "num_groups": [3],
    "output_padding": [1, 0],
    "output_size": [2, (9, 7)],
    "p": [0.25],
    "padding": [1, 2, (1, 1), 0],
    "padding_mode": ["replicate"],
    "recompute_scale_factor": [True],
    "scale_factor": [3],
    "seed": [9],
    "size": [5, (9, 3)],
    "stride": [1, 2, 3],
    "threshold": [5.0],
    "value": [1.5],
}

#: The same of one layer.
OWN = {
    "Fold.output_size": [(15, 11)],
    "Fold.stride": [6],
    "DepthToSpace.mode": ["CRD"],
    "SpaceToDepth.mode": ["CRD"],
    "Pad.padding": [(1, 1)],
    "AdaptiveAvgPool3d.output_size": [1],
    "AdaptiveMaxPool3d.output_size": [1],
    "LPPool3d.dilation": [(2, 1, 1)],
}

#: What a setting is tried beside, where it has no effect, or is not allowed, beside all others.
BESIDE = {
    "value": [{"mode": "constant"}],
    "ceil_mode": [{"kernel_size": k, "stride": 2, "padding": 0} for k in (2, 3)],
    "size": [{"scale_factor": None}],
    "output_padding": [{"stride": 2}],
    "dilation": [{"kernel_size": 2, "padding": 1}],
    "nearest_mode": [{"mode": "nearest", "coordinate_mode": "half_pixel"}],
}


def traced(layer, x):
    """The operations that a layer calls, with their settings."""
    with tracing() as log:
        layer(placeholder(x.shape, x.dtype))
    return log


def built(name, monkeypatch):
    """The input of a layer, and the arguments that it was made with."""
    kind, given = getattr(nn, name), {}
    build, signature = kind.__init__, inspect.signature(kind)

    def spy(self, *args, **settings):
        bound = signature.bind(*args, **settings)
        given.update(bound.arguments)
        build(self, *args, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(kind, "__init__", spy)
        _, x, _ = make(name)
    return x, given


#: Layers that call one operation.
SINGLE = {}
for _name in LAYERS:
    _layer, _x, _ = make(_name)
    _log = traced(_layer, _x)
    if len(_log) == 1 and type(_layer).__name__ != "Tap":
        SINGLE[_name] = _log[0].operation


@pytest.mark.parametrize("name", SINGLE)
def test_settings_and_defaults_are_those_of_the_operation(name):
    op, own = SINGLE[name], inspect.signature(getattr(nn, name)).parameters
    for setting, default in op.defaults.items():
        if setting not in own:
            assert setting in LACKS, f"{name} has no {setting}"
        elif own[setting].default is not inspect.Parameter.empty:
            assert own[setting].default == default


def test_nothing_lacks_in_vain():
    missing = {
        setting
        for name, op in SINGLE.items()
        for setting in op.defaults
        if setting not in inspect.signature(getattr(nn, name)).parameters
    }
    assert missing == set(LACKS)


EACH = [
    pytest.param(name, setting, id=f"{name}-{setting}")
    for name, op in SINGLE.items()
    for setting in inspect.signature(getattr(nn, name)).parameters
    # axes: below; momentum: test_momentum
    if setting in {*op.defaults, *op.required} - {"axes", "momentum"}
]


@pytest.mark.parametrize(("name", "setting"), EACH)
def test_no_setting_is_ignored(name, setting, monkeypatch):
    """The operation is called with something else, if the layer is made with something else."""
    values = OWN.get(f"{name}.{setting}") or OTHER.get(setting)
    assert values, f"OTHER has no values to try {setting!r} of {name} with"
    x, given = built(name, monkeypatch)
    if setting == "layout":
        x = np.moveaxis(x, 1, -1)
    for beside in ({}, *BESIDE.get(setting, ())):
        for value in values:
            before = called(name, {**given, **beside}, x)
            after = called(name, {**given, **beside, setting: value}, x)
            if after is not None and after != before:
                return
    pytest.fail(f"{name} does the same whatever {setting} is")


def called(name, given, x):
    """What the operation is called with, in text; None where it refuses."""
    own = inspect.signature(getattr(nn, name)).parameters
    layer = getattr(nn, name)(**{n: v for n, v in given.items() if n in own}).to("float64")
    try:
        (entry,) = traced(layer, x)
    except ValueError:
        return None
    return repr((entry.call.settings, entry.call.outputs))


def test_a_momentum_that_is_none_is_refused():
    with pytest.raises(TypeError, match=r"momentum=None .*allowed: 0 to 1"):
        nn.BatchNorm2d(4, momentum=None)


@pytest.mark.parametrize("name", ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"])
def test_momentum(name):
    layer, x, _ = make(name)
    layer.momentum = 1.0
    layer(x)
    mean = x.mean(axis=(0, *range(2, x.ndim)))
    np.testing.assert_allclose(layer.buffers["running_mean"], mean, rtol=1e-12)
    again = getattr(nn, name)(x.shape[1], momentum=0.25).to("float64")
    again(x)
    np.testing.assert_allclose(again.buffers["running_mean"], 0.25 * mean, rtol=1e-12)


def test_instance_norm_keeps_statistics_for_evaluation():
    _, x, _ = make("InstanceNorm")
    layer = nn.InstanceNorm(3, momentum=1.0, affine=True, track_running_stats=True).to("float64")
    before = layer.state_dict()["running_mean"]
    layer(x)
    mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(2, 3), ddof=1).mean(axis=0)
    np.testing.assert_allclose(layer.buffers["running_mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(layer.buffers["running_var"], var, rtol=1e-12)
    assert before is layer.buffers["running_mean"]  # a state_dict taken before is not stale
    layer.eval()
    rstd = 1 / np.sqrt(var + layer.eps)[:, None, None]
    np.testing.assert_allclose(layer.forward(x), (x - mean[:, None, None]) * rstd, rtol=1e-9)
    np.testing.assert_allclose(layer.backward(x), x * rstd, rtol=1e-9)
    np.testing.assert_allclose(layer.buffers["running_mean"], mean, rtol=1e-12)


def test_every_operation_has_a_layer_or_a_reason():
    """As it is called, not as it is written."""
    called = {e.operation.name for name in LAYERS for e in traced(*make(name)[:2])}
    for axes in (1, 2, 3):
        pool = getattr(nn, f"MaxPool{axes}d")(2)
        unpool = getattr(nn, f"MaxUnpool{axes}d")(pool)
        y = pool(np.ones((1, 1, *(4,) * axes)))
        called |= {e.operation.name for e in traced(unpool, y)}
    scores, classes = placeholder((3, 4)), placeholder((3,), "int64")
    with tracing() as log:
        nn.CrossEntropyLoss()(scores, classes)
        nn.NLLLoss()(scores, classes)
        for loss in (
            *(nn.MSELoss, nn.SumOfHalfSquares, nn.BCEWithLogitsLoss, nn.L1Loss, nn.SmoothL1Loss),
            *(nn.HuberLoss, nn.KLDivLoss, nn.BCELoss),
        ):
            loss()(scores, scores)
    called |= {entry.operation.name for entry in log}
    forward = {name for name, op in OPERATIONS.items() if not isinstance(op, Gradient)}
    assert forward - called == set(NO_LAYER)
