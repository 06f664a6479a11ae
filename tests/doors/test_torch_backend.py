"""Unmodified PyTorch on pycnn: functional calls, layers swapped in and out, `torch.compile`."""

import copy
import inspect
import pickle

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")

import torch
from torch import nn
from torch.nn import functional

import pycnn.torch
from pycnn.define.operation import Gradient
from pycnn.testing import TESTED
from pycnn.testing.tested import NoPeer
from pycnn.torch import layers
from pycnn.torch.functional import _GONE, _RENAMED, _SAME, TABLE

#: Operations that PyTorch's functions of another name stand for, or that only ours has.
ELSEWHERE = {name for name in TESTED if name not in _SAME}


def tensors_of(tested, case):
    drawn = tested.draw(case, np.random.default_rng(11), tested.typical_dtype)
    return {n: torch.from_numpy(np.array(a)) for n, a in drawn.items()}


@pytest.mark.parametrize("name", _SAME)
def test_functions_on_ours_give_what_pytorch_gives(name):
    """Every case of the operation that PyTorch can compute, by PyTorch's function and by ours."""
    tested, ours = TESTED[name], 0
    for case in tested.cases:
        settings = tested.settings(case)
        if case.standard or "dropout" in name:
            continue
        try:
            wanted = tested.torch(tensors_of(tested, case), settings)
        except NoPeer:
            continue
        with pycnn.torch.backend() as used:
            given = tested.torch(tensors_of(tested, case), settings)
        for key, want in wanted.items():
            torch.testing.assert_close(given[key], want, equal_nan=True, rtol=1e-4, atol=1e-5)
        ours += sum(used.ours.values())
    assert ours or "dropout" in name


@pytest.mark.parametrize("name", _SAME)
def test_arguments_stand_where_pytorch_has_them(name):
    """By the signatures that PyTorch's own tests of overriding use."""
    overrides = torch.overrides.get_testing_overrides()
    spaces = (functional, f"_{name}"), (functional, name), (torch, name)
    function = next(getattr(*place) for place in spaces if hasattr(*place))
    signature = inspect.signature(overrides.get(function, function))
    theirs = [n for n, p in signature.parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    names = _SAME[name].replace("-", "").split()
    for mine, their in zip(names[1:], theirs[1:], strict=False):
        allowed = {their, _RENAMED.get(their, their), "use_input_stats", "padding"}
        assert mine in allowed | set(_GONE), (name, mine, their)


LAYERS = [
    (nn.Conv2d(4, 6, 3, padding=1, stride=2), (2, 4, 9, 8)),
    (nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular", groups=2), (2, 4, 9, 8)),
    (nn.Conv1d(4, 6, 3, padding="same", bias=False), (2, 4, 9)),
    (nn.Conv3d(2, 3, 2), (2, 2, 3, 4, 5)),
    (nn.ConvTranspose1d(4, 6, 3), (2, 4, 9)),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1), (2, 4, 5, 4)),
    (nn.ConvTranspose3d(2, 3, 2), (1, 2, 3, 4, 5)),
    *((getattr(nn, f"MaxPool{n}d")(2), (2, 3, *(6,) * n)) for n in (1, 2, 3)),
    *((getattr(nn, f"AvgPool{n}d")(2), (2, 3, *(6,) * n)) for n in (1, 2, 3)),
    *((getattr(nn, f"AdaptiveAvgPool{n}d")(2), (2, 3, *(5,) * n)) for n in (1, 2, 3)),
    *((getattr(nn, f"AdaptiveMaxPool{n}d")(2), (2, 3, *(5,) * n)) for n in (1, 2, 3)),
    *((getattr(nn, f"LPPool{n}d")(2, 2), (2, 3, *(6,) * n)) for n in (1, 2, 3)),
    *((getattr(nn, f"BatchNorm{n}d")(3), (4, 3, *(5,) * n)) for n in (1, 2, 3)),
    *((getattr(nn, f"InstanceNorm{n}d")(3, affine=True, track_running_stats=True),
       (4, 3, *(5,) * n)) for n in (1, 2, 3)),
    *((getattr(nn, name)(), (3, 7)) for name in (
        "ReLU", "ReLU6", "Hardtanh", "LeakyReLU", "ELU", "SELU", "CELU", "Sigmoid", "Hardsigmoid",
        "Tanh", "Softplus", "Softsign", "GELU", "SiLU", "Hardswish", "Mish", "PReLU")),
    (nn.ReLU(inplace=True), (3, 7)),
    (nn.GELU("tanh"), (3, 7)),
    (nn.GroupNorm(2, 4), (2, 4, 5)),
    (nn.LayerNorm((4, 5)), (2, 4, 5)),
    (nn.LocalResponseNorm(3), (2, 4, 5, 5)),
    (nn.Softmax(1), (2, 4, 5)),
    (nn.LogSoftmax(-1), (2, 4, 5)),
    (nn.Softmax2d(), (2, 4, 5, 3)),
    (nn.Linear(5, 3), (2, 4, 5)),
    (nn.Fold((4, 5), 2), (2, 8, 12)),
    (nn.Unfold(2), (2, 3, 4, 5)),
    (nn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 4, 5)),
    (nn.UpsamplingNearest2d(scale_factor=2), (2, 3, 4, 5)),
    (nn.UpsamplingBilinear2d(scale_factor=2), (2, 3, 4, 5)),
    *((getattr(nn, f"{kind}Pad{n}d")(1, *(2.0,) * (kind == "Constant")), (2, 3, *(4,) * n))
      for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular")
      for n in (1, 2, 3)),
    (nn.PixelShuffle(2), (2, 8, 3, 3)),
    (nn.PixelUnshuffle(2), (2, 2, 4, 6)),
    (nn.ChannelShuffle(2), (2, 4, 3, 3)),
]  # fmt: skip

LOSSES = [
    *(nn.CrossEntropyLoss, nn.NLLLoss, nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss),
    *(nn.KLDivLoss, nn.BCELoss, nn.BCEWithLogitsLoss),
]


def step(layer, x):
    """Result, gradients of input and parameters, and buffers after one call."""
    x = x.clone().requires_grad_()
    y = layer(x * 1)  # not a leaf: layers may work in place
    y.sin().sum().backward()
    grads = [p.grad for p in layer.parameters()]
    return [y, x.grad, *grads, *layer.buffers()]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=[repr(layer) for layer, _ in LAYERS])
def test_a_replaced_layer_computes_and_learns_as_pytorchs(layer, shape):
    theirs = copy.deepcopy(layer).double()
    ours = pycnn.torch.replace(copy.deepcopy(theirs))
    assert pycnn.torch.replaced(ours) == [""]
    x = torch.from_numpy(np.random.default_rng(1).standard_normal(shape))
    with pycnn.torch.backend() as used:
        ours.kind.forward(ours, x.clone())
    assert sum(used.ours.values()) > 0
    ours.load_state_dict(theirs.state_dict())
    for mine, want in zip(step(ours, x), step(theirs, x), strict=True):
        torch.testing.assert_close(mine, want)
    ours.eval(), theirs.eval()
    for mine, want in zip(step(ours, x), step(theirs, x), strict=True):
        torch.testing.assert_close(mine, want)


@pytest.mark.parametrize("kind", LOSSES, ids=lambda kind: kind.__name__)
def test_a_replaced_loss(kind):
    rng = np.random.default_rng(2)
    x = torch.from_numpy(rng.uniform(0.1, 0.9, (4, 5))).log()
    target = torch.from_numpy(rng.uniform(0.1, 0.9, (4, 5)))
    if kind in (nn.CrossEntropyLoss, nn.NLLLoss):
        target = torch.tensor([0, 4, 2, 1])
    if kind is nn.BCELoss:
        x = x.exp()
    results = []
    for loss in (kind(), pycnn.torch.replace(kind())):
        leaf = x.clone().requires_grad_()
        cost = loss(leaf, target)
        cost.backward()
        results.append((cost, leaf.grad))
    torch.testing.assert_close(results[1], results[0])


def test_every_layer_of_the_list_is_tried():
    tried = {type(layer).__name__ for layer, _ in LAYERS} | {kind.__name__ for kind in LOSSES}
    others = {"Dropout", "Dropout2d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"}
    assert tried | others == set(layers.NAMES)


def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.0),
        nn.Linear(8, 5),
    ).double()


class TestReplace:
    def test_and_back(self):
        model = small()
        parameters, state = list(model.parameters()), list(model.state_dict())
        kinds = [type(layer) for layer in model]
        assert pycnn.torch.replace(model) is model
        assert pycnn.torch.replaced(model) == ["0", "1", "2", "3", "4", "6", "7"]
        assert "(0): pycnn.Conv2d(" in repr(model)
        assert list(model.state_dict()) == state
        assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
        assert all(isinstance(layer, kind) for layer, kind in zip(model, kinds, strict=True))
        pycnn.torch.restore(model)
        assert [type(layer) for layer in model] == kinds
        assert "pycnn" not in repr(model)

    def test_leaves_what_it_is_told_to(self):
        model = pycnn.torch.replace(small(), skip=("0", "7"))
        assert type(model[0]) is nn.Conv2d
        with pytest.raises(ValueError, match="skip='9'; allowed: 0, 1"):
            pycnn.torch.replace(model, skip=("9",))

    def test_leaves_a_class_of_the_users(self):
        class Mine(nn.Conv2d):
            pass

        assert type(pycnn.torch.replace(Mine(1, 1, 1))) is Mine

    @pytest.mark.parametrize("norm", ["utils", "parametrizations"])
    @pytest.mark.filterwarnings("ignore:.*weight_norm.*")
    def test_weight_norm(self, norm):
        places = {"utils": nn.utils, "parametrizations": nn.utils.parametrizations}
        layer = places[norm].weight_norm(nn.Conv2d(2, 3, 3))
        x = torch.randn(1, 2, 5, 5)
        wanted, kind = layer(x), type(layer)
        assert pycnn.torch.replaced(pycnn.torch.replace(layer)) == [""]
        y = layer(x)
        torch.testing.assert_close(y, wanted)
        y.sum().backward()
        assert all(p.grad is not None for p in layer.parameters())
        assert type(pycnn.torch.restore(layer)) is kind

    def test_pickles_and_copies(self):
        model = pycnn.torch.replace(small())
        for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            assert type(again[0]) is layers.Conv2d

    def test_what_ours_cannot_do_is_an_error(self):
        layer = pycnn.torch.replace(nn.Upsample(scale_factor=2, mode="cubic"))
        with pytest.raises(ValueError, match="mode='cubic'"):
            layer(torch.zeros(1, 1, 2, 2))


class TestBackend:
    def test_counts_who_computed(self):
        model, x = small(), torch.randn(2, 3, 8, 8, dtype=torch.float64)
        with pycnn.torch.backend() as used:
            y = model(x) + 1
        assert used.ours["conv2d"] == used.ours["linear"] == 1
        assert used.others["torch.Tensor.add"] + used.others["torch.Tensor.__add__"] == 1
        torch.testing.assert_close(y, model(x) + 1)

    def test_methods_and_operators(self):
        a = torch.randn(3, 4)
        with pycnn.torch.backend() as used:
            results = (a.relu(), torch.sigmoid(a), a @ a.mT, a.softmax(1), torch.tanh(a))
        assert not [n for n in used.others if "mT" not in n]
        wanted = (a.relu(), torch.sigmoid(a), a @ a.mT, a.softmax(1), torch.tanh(a))
        torch.testing.assert_close(results, wanted)

    def test_other_spellings(self):
        a, b, c = torch.randn(3, 4), torch.randn(4, 2), torch.randn(3, 2)
        x, w, v = torch.randn(2, 4, 5), torch.rand(4), torch.rand(4)
        calls = [
            lambda: torch.mm(a, b),
            lambda: a.mm(b),
            lambda: torch.addmm(c, a, b),
            lambda: c.addmm(a, b, beta=2, alpha=0.5),
            lambda: torch.addmm(c, a, b, beta=0),
            lambda: torch.addmm(c[0], a, b),
            lambda: torch.bmm(a[None], b[None]),
            lambda: torch.baddbmm(c[None], a[None], b[None]),
            lambda: torch.layer_norm(x, (5,), None, None, 1e-3, True),
            lambda: torch.layer_norm(x, (5,), eps=1e-3, cudnn_enable=False),
            lambda: torch.group_norm(x, 2, w, v),
            lambda: torch.batch_norm(x, w, v, None, None, True, 0.1, 1e-5, True),
            lambda: torch.batch_norm(x, w, v, v, w, False, 0.1, 1e-5, False),
            lambda: torch.instance_norm(x, None, None, w, v, True, 0.1, 1e-5, True),
            lambda: torch.cat([a, a[:1]]),
            lambda: torch.cat((a.long(), a.long()), dim=1),
            lambda: torch.concat([x, x], 2),
            lambda: torch.selu(x),
        ]
        for call in calls:
            with pycnn.torch.backend() as used:
                given = call()
            assert used.ours.total() == 1, used.others
            torch.testing.assert_close(given, call(), rtol=1e-4, atol=1e-5)

    def test_what_ours_cannot_do_in_them_is_an_error(self):
        a, b = torch.randn(3, 4), torch.randn(4, 4)
        with pycnn.torch.backend():
            with pytest.raises(ValueError, match="float64"):  # a TypeError is dropped by Python
                a @ b.double()
            with pytest.raises(ValueError, match="mat2 has 1 axes; allowed: 2"):
                torch.mm(a, b[0])
            with pytest.raises(ValueError, match="mm was given out"):
                torch.mm(a, b, out=torch.empty(3, 4))
            with pytest.raises(TypeError, match=r"input is torch\.float64; allowed"):
                torch.addmm(a.double(), a, b)
            with pytest.raises(ValueError, match=r"input has shape \(4,\)"):
                torch.addmm(torch.zeros(4), a[:1], b[:, :1])

    def test_autocast(self):
        """Results have PyTorch's dtypes, and are as near as bfloat16 is."""
        x, w, one, zero = (torch.randn(*s) for s in ((2, 4, 6, 6), (3, 4, 3, 3), (4,), (4,)))
        half = x.bfloat16()
        calls = [
            lambda: functional.conv2d(x, w),
            lambda: functional.linear(x, torch.ones(5, 6)),
            lambda: half @ x,
            lambda: torch.addmm(x[0, 0], x[0, 1], half[0, 2]),
            lambda: functional.conv2d(x.double(), w.double()),
            lambda: functional.softmax(half, 1),
            lambda: functional.batch_norm(half, zero, one.abs(), one, zero),
            lambda: functional.layer_norm(half, (6,), torch.ones(6), torch.zeros(6)),
            lambda: functional.group_norm(half, 2, one, zero),
            lambda: functional.mse_loss(half, x),
            lambda: functional.cross_entropy(half[:, :, 0, 0], torch.tensor([0, 1])),
            lambda: torch.cat([half, x]),
            lambda: functional.max_pool2d(half, 2),
        ]
        with torch.autocast("cpu"):
            for call in calls:
                with pycnn.torch.backend() as used:
                    given = call()
                assert used.ours.total() == 1, used.others
                torch.testing.assert_close(given, call(), rtol=0.05, atol=0.1)
            y = pycnn.torch.replace(nn.Conv2d(4, 3, 3))(x)
        assert y.dtype is torch.bfloat16

    def test_autocast_learns(self):
        model, x = small().float(), torch.randn(2, 3, 8, 8)
        with torch.autocast("cpu"), pycnn.torch.backend():
            cost = functional.cross_entropy(model(x), torch.tensor([0, 1]))
        cost.backward()
        assert all(p.grad.dtype is torch.float32 for p in model.parameters())

    def test_in_place_is_in_place(self):
        x = torch.randn(5)
        wanted = x.clamp(min=0)
        with pycnn.torch.backend():
            assert functional.relu(x, inplace=True) is x
        assert torch.equal(x, wanted)
        y = torch.randn(5)
        with pycnn.torch.backend():
            y.relu_()
        assert (y >= 0).all()

    def test_old_arguments_are_refused(self):
        x = torch.zeros(2, 2)
        with pycnn.torch.backend(), pytest.raises(ValueError, match="size_average"):
            functional.mse_loss(x, x, size_average=False)

    def test_ends(self):
        with pycnn.torch.backend() as used:
            pass
        torch.relu(torch.zeros(1))
        assert not used.ours


class TestCompile:
    def test_trains_as_pytorch_does(self):
        x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
        theirs, ours = small(), small()
        graphs = []

        def backend(graph, inputs):
            forward = pycnn.torch.compile_backend(graph, inputs)
            graphs.append(graph)
            return forward

        compiled = torch.compile(ours, backend=backend)
        for model in (theirs, compiled):
            optimiser = torch.optim.SGD(model.parameters(), 0.1)
            for _ in range(2):
                optimiser.zero_grad()
                functional.cross_entropy(model(x), torch.tensor([0, 1, 2, 3])).backward()
                optimiser.step()
        for mine, want in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(mine, want)
        (graph,) = graphs
        targets = [node.target for node in graph.graph.nodes if node.op == "call_function"]
        assert sum(target in TABLE.values() for target in targets) >= 6


def test_our_functions_are_compiled_in_one_graph():
    """Dynamo and AOTAutograd see through `pycnn.torch`, gradients included."""

    def cost(x, w):
        y = pycnn.torch.relu(pycnn.torch.conv2d(x, w, padding=1))
        return pycnn.torch.softmax(pycnn.torch.max_pool2d(y, 2), dim=1).sin().sum()

    x, w = (torch.randn(*s, requires_grad=True) for s in ((2, 3, 8, 8), (4, 3, 3, 3)))
    compiled = torch.compile(cost, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x, w), cost(x, w))
    wanted = torch.autograd.grad(cost(x, w), (x, w))
    for mine, want in zip(torch.autograd.grad(compiled(x, w), (x, w)), wanted, strict=True):
        assert torch.equal(mine, want)


def test_every_operation_is_in_the_table_or_known_not_to_be():
    """PyTorch has no function of their name, or one of another meaning."""
    missing = {n for n in ELSEWHERE if not isinstance(TESTED[n].op, Gradient)}
    assert missing == {
        # more in `TABLE` under other names
        *("batch_norm", "batch_norm_train", "softmax", "log_softmax"),
        # arithmetic and reductions: PyTorch's promote dtypes
        *("add", "mul", "sum", "mean", "amax", "amin", "argmax", "argmin", "topk", "clip"),
        *("permute", "concat", "split"),
        # ours alone
        *("add_n", "gemm", "sum_of_half_squares", "global_avg_pool", "global_max_pool"),
        *("sum_pool1d", "sum_pool2d", "sum_pool3d", "depth_to_space", "space_to_depth"),
        *("conv2d_integer", "qlinear_conv2d", "scaled_conv2d", "scaled_mm"),
        *("matmul_integer", "qlinear_matmul", "batch_norm_relu_train"),
    }
