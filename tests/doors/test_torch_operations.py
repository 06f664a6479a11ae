"""`pycnn.torch`: every operation as PyTorch's dispatcher, autograd and compiler know it."""

import inspect

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import pycnn
import pycnn.torch
from pycnn.define.operation import Gradient
from pycnn.define.registry import OPERATIONS
from pycnn.dtypes import FLOAT8, FLOATS
from pycnn.testing import TESTED
from pycnn.testing.case import Case
from pycnn.testing.tested import tensor_of
from pycnn.torch import direct
from pycnn.torch.register import REGISTERED, VIEWS
from pycnn.torch.schema import Setting

#: Settings and operands that are fused behind a sum, whose gradient is for the sum alone.
FUSED = {"activation", "scale", "shift", "residual", "relu"}

#: No gradient goes there: statistics that are constants, and what costs compare with.
CONSTANT = {"running_mean", "running_var", "target", "pos_weight"}

#: Elements of a case that finite differences are taken of.
FEW = 4000

#: For the compiler's tests, which take a second each: one of a kind.
COMPILED = ("conv2d", "max_pool2d", "batch_norm_train", "instance_norm", "softmax", "concat",
            "cross_entropy", "conv_transpose2d", "matmul", "dropout", "permute", "add_n", "split",
            "conv2d_backward")  # fmt: skip


def tensors_of(tested, case, dtype):
    drawn = tested.draw(case, np.random.default_rng(20261129), dtype)
    return {n: tensor_of(np.array(a)) for n, a in drawn.items()}


def settings_of(tested, case):
    """Of a case, and a seed where the operation would draw one."""
    settings = tested.settings(case)
    return settings | {"seed": 1} if settings.get("seed", 0) is None else settings


def through_dispatcher(tested, tensors, settings):
    """The arguments as the dispatcher takes them."""
    op = tested.op
    named = {op.operands[0].name: list(tensors.values())} if op.takes_list else tensors
    full = {**op.defaults, **settings}
    return tuple(
        a.encode(full[a.name]) if isinstance(a, Setting) else named.get(a)
        for a in REGISTERED[op.name].arguments
    )


def dtype_of(tested):
    return "float64" if "float64" in tested.op.dtypes else tested.typical_dtype


@pytest.mark.parametrize("name", REGISTERED)
def test_opcheck(name):
    """PyTorch's own check: schema, no aliases, shapes without data, autograd's registration."""
    tested = TESTED[name]
    for case in tested.cases:
        if case.standard:
            continue
        tensors = tensors_of(tested, case, dtype_of(tested))
        arguments = through_dispatcher(tested, tensors, settings_of(tested, case))
        checks = ["test_schema", "test_autograd_registration", "test_faketensor"]
        if tested.op.dtypes == tuple(FLOAT8):
            del checks[0]  # PyTorch's own fails: it multiplies the arguments, which these do not
        torch.library.opcheck(REGISTERED[name].through, arguments, test_utils=checks)


@pytest.mark.parametrize("name", [n for n in COMPILED if n not in VIEWS])
def test_opcheck_of_the_compiler(name):
    tested = TESTED[name]
    tensors = tensors_of(tested, tested.typical, dtype_of(tested))
    if not isinstance(tested.op, Gradient):
        for n, tensor in tensors.items():
            if tensor.is_floating_point() and n not in constant_of(name):
                tensor.requires_grad_()
    arguments = through_dispatcher(tested, tensors, settings_of(tested, tested.typical))
    checks = ("test_aot_dispatch_static", "test_aot_dispatch_dynamic")
    torch.library.opcheck(REGISTERED[name].through, arguments, test_utils=checks)


def differentiable():
    """Operations with a gradient, of their own or made of others."""
    none = ("continuously", "integers")
    for name, tested in TESTED.items():
        if not isinstance(tested.op, Gradient) and not any(
            w in tested.op.no_gradient for w in none
        ):
            yield name


def constant_of(name):
    """Operands that gradients do not go to."""
    return CONSTANT | ({"weight"} if "loss" in name or "entropy" in name else set())


@pytest.mark.parametrize("name", list(differentiable()))
def test_gradcheck(name):
    """The gradient that autograd finds is that of finite differences, in float64."""
    tested, tried = TESTED[name], 0
    function = getattr(pycnn.torch, name)
    constant = constant_of(name)
    for case in tested.cases:
        elements = sum(np.prod(shape, dtype=int) for shape in case.shapes.values())
        if case.standard or FUSED & {*case.shapes, *case.settings} or not 0 < elements <= FEW:
            continue
        tensors, settings = tensors_of(tested, case, "float64"), settings_of(tested, case)
        if any(t.numel() == 0 for t in tensors.values()):
            continue  # PyTorch's gradcheck refuses them
        leaves = [n for n, t in tensors.items() if t.is_floating_point() and n not in constant]

        def results(*values, tensors=tensors, leaves=leaves, settings=settings):
            given = {**tensors, **dict(zip(leaves, values, strict=True))}
            return tested.invoke(function, given, settings)[0]

        inputs = [tensors[n].requires_grad_() for n in leaves]
        assert torch.autograd.gradcheck(results, inputs, fast_mode=True)
        tried += 1
    assert tried


@pytest.mark.parametrize("name", OPERATIONS)
def test_results_are_those_on_numpy(name):
    tested = TESTED[name]
    case = tested.typical
    for dtype in tested.op.dtypes:
        if dtype not in FLOATS and dtype != tested.typical_dtype:
            continue
        drawn = tested.draw(case, np.random.default_rng(5), dtype)
        settings = settings_of(tested, case)
        tensors = {n: tensor_of(np.array(a)) for n, a in drawn.items()}
        wanted = tested.invoke(getattr(pycnn, name), drawn, settings)
        given = tested.invoke(getattr(pycnn.torch, name), tensors, settings)
        assert len(given) == len(wanted)
        for ours, want in zip(given, wanted, strict=True):
            assert str(ours.dtype) == f"torch.{want.dtype}"
            np.testing.assert_array_equal(ours.to(torch.float64), np.asarray(want, np.float64))


def test_the_active_backend_computes():
    x = torch.randn(2, 3, 8)
    with pycnn.use_backend("reference"):
        wanted = pycnn.torch.softmax(x)
    if not pycnn.backends()[1].available:
        pytest.skip(f"no emulator here: {pycnn.backends()[1].detail}")
    from pycnn.emulator import counting

    with pycnn.use_backend("emulator", checked=True), counting() as counted:
        y = pycnn.torch.softmax(x.requires_grad_())
        y.sum().backward()
    torch.testing.assert_close(y, wanted)
    assert len(counted.launches) > 1


def test_operands_are_not_copied():
    """The operation sees the memory of the tensors, and the result is the memory it wrote."""
    from pycnn.define import trace

    seen = []
    token = trace.RECORDER.set(
        lambda op, call, arrays, out, results: seen.append((arrays, results))
    )
    try:
        x, w = torch.randn(1, 3, 6, 6), torch.randn(4, 3, 3, 3)
        y = pycnn.torch.conv2d(x, w)
    finally:
        trace.RECORDER.reset(token)
    ((arrays, results),) = seen
    assert arrays["x"].ctypes.data == x.data_ptr()
    assert arrays["weight"].ctypes.data == w.data_ptr()
    assert results["y"].ctypes.data == y.data_ptr()


class TestTheShortWay:
    """Past the dispatcher, unless somebody listens there."""

    def ways(self, monkeypatch):
        seen = []
        way = direct.way
        monkeypatch.setattr(direct, "way", lambda tensors: seen.append(way(tensors)) or seen[-1])
        return seen

    def test_ordinary_tensors_take_it(self, monkeypatch):
        seen, x = self.ways(monkeypatch), torch.randn(3)
        with monkeypatch.context() as patch:  # without a gradient nothing is asked at all
            patch.setattr(REGISTERED["relu"], "through", None)
            pycnn.torch.relu(x)
        assert not seen
        pycnn.torch.relu(torch.nn.Parameter(x))
        with torch.no_grad():
            pycnn.torch.relu(torch.nn.Parameter(x))
        assert seen == [direct.GRADIENT, direct.PLAIN]

    @pytest.mark.parametrize("x", [
        torch.randn(3, dtype=torch.bfloat16), torch.randn(2, 3, 1).expand(2, 3, 4),
        torch.randn(4)[::2],
    ], ids=["bfloat16", "expanded", "strided"])  # fmt: skip
    def test_of_any_ordinary_tensor_it_is_the_same(self, x):
        y = pycnn.torch.relu(x)
        assert y.dtype == x.dtype
        assert torch.equal(y, x.relu())

    def test_a_mode_sees_the_operation(self):
        class Listening(TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                names.append(func.__name__)
                return func(*args, **(kwargs or {}))

        names, x = [], torch.randn(3)
        with Listening():
            pycnn.torch.relu(x)
        assert names == ["relu.default"]

    def test_a_function_mode_sees_the_operation(self):
        class Listening(TorchFunctionMode):
            def __torch_function__(self, func, types, args=(), kwargs=None):
                names.append(str(func))
                return func(*args, **(kwargs or {}))

        names, x = [], torch.randn(3)
        with Listening():
            pycnn.torch.relu(x)
        assert "pycnn.relu.default" in names

    def test_a_tracer_and_a_profiler_see_the_operation(self):
        x = torch.randn(3)
        traced = torch.jit.trace(lambda x: pycnn.torch.relu(x), x)
        assert "pycnn::relu" in str(traced.graph)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            pycnn.torch.relu(x)
        assert "pycnn::relu" in {event.key for event in profile.key_averages()}

    def test_a_transform_and_a_tangent_see_the_operation(self, monkeypatch):
        seen, x = self.ways(monkeypatch), torch.randn(3)
        assert torch.equal(torch.vmap(pycnn.torch.relu)(x), x.relu())
        with torch.autograd.forward_ad.dual_level():
            pycnn.torch.relu(x)
        assert seen == [direct.DISPATCHER] * 2

    def test_a_class_of_tensors_sees_the_operation(self, monkeypatch):
        class Mine(torch.Tensor):
            pass

        seen = self.ways(monkeypatch)
        pycnn.torch.relu(torch.randn(3).as_subclass(Mine))
        pycnn.torch.relu(torch.empty(3, device="meta"))
        assert seen == [direct.DISPATCHER] * 2


class TestGradients:
    def test_only_what_is_needed_is_computed(self):
        x = torch.randn(1, 3, 6, 6)
        w = torch.randn(4, 3, 3, 3, requires_grad=True)
        pycnn.torch.conv2d(x, w, torch.randn(4)).sum().backward()
        assert x.grad is None
        assert w.grad.shape == w.shape

    def test_of_a_maximum_by_the_dispatcher_alone(self):
        """Without the indices, which `pycnn.torch.max_pool2d` keeps: forward runs once more."""
        x = torch.randn(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
        torch.ops.pycnn.max_pool2d(x, [2])[0].sum().backward()
        (wanted,) = torch.autograd.grad(torch.nn.functional.max_pool2d(x, 2).sum(), x)
        torch.testing.assert_close(x.grad, wanted)

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda x: pycnn.torch.conv2d(x, x, activation="relu"), "activation is fused"),
            (lambda x: pycnn.torch.conv2d(x, x, scale=torch.ones(2).double()), "scale is fused"),
            (lambda x: pycnn.torch.mse_loss(x.detach(), x).backward(), "no gradient for target"),
            (lambda x: pycnn.torch.argmax(x).backward(), "does not require grad|no gradient"),
            (lambda x: pycnn.torch.relu_backward(x, x).sum().backward(), "no gradient"),
            (
                lambda x: pycnn.torch.batch_norm_train(x)[1].sum().backward(),
                "does not require grad",
            ),
        ],
        ids=["activation", "scale", "target", "argmax", "second", "statistics"],
    )
    def test_none_is_said(self, make, words):
        x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
        with pytest.raises((NotImplementedError, RuntimeError), match=words):
            make(x)

    def test_a_second_derivative_is_refused(self):
        x = torch.randn(3, dtype=torch.float64, requires_grad=True)
        (dx,) = torch.autograd.grad(pycnn.torch.tanh(x).sum(), x, create_graph=True)
        with pytest.raises(NotImplementedError, match="tanh_backward has no gradient"):
            dx.sum().backward()


def test_a_tangent_is_not_dropped():
    """PyTorch calls an operation without forward-mode rule as if there were no tangent."""
    x = torch.ones(3)
    with pytest.raises(NotImplementedError, match="was given a tensor with a tangent; allowed"):
        torch.func.jvp(pycnn.torch.tanh, (x,), (x,))
    with pytest.raises(NotImplementedError, match="with a tangent"), pycnn.torch.backend():
        torch.func.jvp(lambda a: torch.cat([a, x]), (x,), (x,))


def test_running_statistics_are_updated():
    x = torch.arange(8.0).reshape(1, 2, 2, 2).requires_grad_()
    mean, var = torch.zeros(2), torch.zeros(2)
    pycnn.torch.instance_norm(x, mean, var, momentum=1.0).sum().backward()
    assert mean.tolist() == [1.5, 5.5]


def test_dropout_follows_pytorchs_seed():
    x = torch.ones(1000)
    torch.manual_seed(3)
    first, second = pycnn.torch.dropout(x), pycnn.torch.dropout(x)
    torch.manual_seed(3)
    assert torch.equal(first, pycnn.torch.dropout(x))
    assert not torch.equal(first, second)
    assert torch.equal(pycnn.torch.dropout(x, training=False), x)


def test_signatures_are_ours_without_out():
    for name in OPERATIONS:
        ours = dict(inspect.signature(getattr(pycnn, name)).parameters)
        ours.pop("out", None)
        theirs = inspect.signature(getattr(pycnn.torch, name)).parameters
        assert list(theirs) == list(ours)
        if name not in VIEWS:
            assert dict(theirs) == ours


def test_bad_input_is_refused_as_on_numpy():
    x = torch.randn(1, 2, 4, 4)
    with pytest.raises(ValueError, match="stride=0; allowed"):
        pycnn.torch.conv2d(x, x, stride=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        pycnn.torch.relu(x, out=x)
    with pytest.raises(TypeError, match="one of the two"):
        pycnn.torch.softmax(x, axis=1, dim=1)
    with pytest.raises(ValueError, match="seed=-1; allowed: int"):
        pycnn.torch.dropout(x, seed=-1)


def test_case_of_two_operands_is_a_case():
    """What the tests above are made of is not empty."""
    assert len(REGISTERED) == len(OPERATIONS) - len(VIEWS) > 170
    assert isinstance(TESTED["conv2d"].typical, Case)
