"""The module that CuPy 14 removed: results by sums over windows, and what is written in place."""

import inspect
import os

import numpy as np
import pytest

import pycnn
from pycnn.compat import cupy_cudnn as cudnn

CONVOLUTION = {"auto_tune": True, "tensor_core": "auto"}
BACKWARD = {**CONVOLUTION, "deterministic": False}

#: Parameters of CuPy 13's functions, those after the star by keyword.
SIGNATURES = {
    "convolution_forward": "x W b y pad stride dilation groups * auto_tune tensor_core d_layout "
    "w_layout",
    "convolution_backward_data": "W x b y pad stride dilation groups * deterministic auto_tune "
    "tensor_core d_layout w_layout",
    "convolution_backward_filter": "x gy gW pad stride dilation groups * deterministic auto_tune "
    "tensor_core d_layout w_layout",
    "pooling_forward": "x y ksize stride pad mode",
    "pooling_backward": "x y gy ksize stride pad mode",
    "activation_forward": "x mode coef",
    "activation_backward": "x y gy mode coef",
    "softmax_forward": "x axis algorithm",
    "softmax_backward": "y gy axis algorithm",
    "batch_normalization_forward_training": "x gamma beta running_mean running_var mean inv_std "
    "eps decay is_for_conv2d cudnn_mode debug d_layout",
    "batch_normalization_forward_training_ex": "x gamma beta running_mean running_var mean inv_std "
    "eps decay is_for_conv2d cudnn_mode debug d_layout",
    "batch_normalization_forward_inference": "x gamma beta mean var eps is_for_conv2d cudnn_mode "
    "d_layout",
    "batch_normalization_backward": "x gamma gy mean inv_std eps is_for_conv2d cudnn_mode debug "
    "d_layout * reserve_space",
    "get_max_workspace_size": "",
    "set_max_workspace_size": "size",
    "get_data_type": "dtype",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_those_of_cupy_13(name):
    words, keyword = [], False
    for parameter in inspect.signature(getattr(cudnn, name)).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            words.append("*")
            keyword = True
        words.append(parameter.name)
    assert " ".join(words) == SIGNATURES[name]


def windows(x, weight, pad, stride, dilation, groups):
    """The convolution as a matrix: (output elements, elements of x and weight), for any axes."""
    outs = [
        (h + 2 * p - d * (k - 1) - 1) // s + 1
        for h, k, p, s, d in zip(x.shape[2:], weight.shape[2:], pad, stride, dilation, strict=True)
    ]
    per = weight.shape[1]
    for n in range(len(x)):
        for k in range(len(weight)):
            group = k // (len(weight) // groups)
            for out in np.ndindex(*outs):
                for c in range(per):
                    for tap in np.ndindex(*weight.shape[2:]):
                        at = [
                            o * s - p + t * d
                            for o, s, p, t, d in zip(out, stride, pad, tap, dilation, strict=True)
                        ]
                        if all(0 <= a < h for a, h in zip(at, x.shape[2:], strict=True)):
                            yield (n, k, *out), (n, group * per + c, *at), (k, c, *tap)


CASES = [
    ((2, 3, 7), (4, 3, 3), (2,), (2,), (1,), 1),
    ((2, 4, 6, 5), (6, 2, 3, 2), (1, 0), (2, 1), (1, 2), 2),
    ((1, 2, 8, 7), (3, 2, 3, 3), (2, 2), (3, 2), (1, 1), 1),
    ((1, 2, 4, 3, 5), (2, 2, 2, 2, 3), (1, 0, 1), (1, 1, 2), (1, 1, 1), 1),
]


@pytest.mark.parametrize(("x", "W", "pad", "stride", "dilation", "groups"), CASES, ids=str)
def test_convolution_and_its_gradients(backend, rng, x, W, pad, stride, dilation, groups):
    x, W = rng.standard_normal(x), rng.standard_normal(W)
    x, W = x.astype(np.float32), W.astype(np.float32)
    b = rng.standard_normal(len(W)).astype(np.float32)
    where = [*windows(x, W, pad, stride, dilation, groups)]
    shape = tuple(np.max([y for y, _, _ in where], axis=0) + 1)
    gy = rng.standard_normal(shape).astype(np.float32)
    wanted = np.zeros(shape) + b.reshape(-1, *(1,) * len(pad))
    dx, dW = np.zeros(x.shape), np.zeros(W.shape)
    for o, i, w in where:
        wanted[o] += float(x[i]) * float(W[w])
        dx[i] += float(gy[o]) * float(W[w])
        dW[w] += float(gy[o]) * float(x[i])
    put = backend.array
    how = pad, stride, dilation, groups
    y, gx, gW = (put(np.full(s, np.nan, np.float32)) for s in (shape, x.shape, W.shape))
    assert cudnn.convolution_forward(put(x), put(W), put(b), y, *how, **CONVOLUTION) is None
    cudnn.convolution_backward_data(put(W), put(gy), None, gx, *how, **BACKWARD)
    cudnn.convolution_backward_filter(put(x), put(gy), gW, *how, **BACKWARD)
    for found, want in ((y, wanted), (gx, dx), (gW, dW)):
        np.testing.assert_allclose(backend.numpy(found), want, rtol=1e-4, atol=1e-4)


def test_channels_last(backend, rng):
    x = rng.standard_normal((2, 3, 5, 6)).astype(np.float32)
    W = rng.standard_normal((4, 3, 2, 3)).astype(np.float32)
    gy = rng.standard_normal((2, 4, 4, 4)).astype(np.float32)

    def last(array):
        return backend.array(np.ascontiguousarray(array.transpose(0, 2, 3, 1)))

    def first(array):
        return backend.numpy(array).transpose(0, 3, 1, 2)

    how = {"d_layout": cudnn.CUDNN_TENSOR_NHWC, "w_layout": cudnn.CUDNN_TENSOR_NHWC}
    settings = (0, 0), (1, 1), None, 1
    y, gx, gW = last(gy), last(x), last(W)
    cudnn.convolution_forward(last(x), last(W), None, y, *settings, **CONVOLUTION, **how)
    cudnn.convolution_backward_data(last(W), last(gy), None, gx, *settings, **BACKWARD, **how)
    cudnn.convolution_backward_filter(last(x), last(gy), gW, *settings, **BACKWARD, **how)
    with pycnn.use_backend("reference"):
        wanted = pycnn.conv2d(x, W)
        dx, dW, _ = pycnn.conv2d_backward(gy, x, W)
    for found, want in ((y, wanted), (gx, dx), (gW, dW)):
        np.testing.assert_allclose(first(found), want, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="allowed: None"):
        cudnn.convolution_forward(
            last(x), last(W), backend.array(W[:, 0, 0, 0]), y, *settings, **CONVOLUTION, **how
        )


class TestPooling:
    X = np.array([[[[1, 5, 2, 0], [3, 4, 7, 6], [9, 8, 1, 2], [0, 3, 5, 4]]]], np.float32)

    @pytest.mark.parametrize(
        ("mode", "wanted", "gradient"),
        [
            (0, [[5, 7], [9, 5]], [[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]]),
            (1, [[13 / 4, 15 / 4], [20 / 4, 12 / 4]], [[0.25] * 4] * 4),
        ],
    )
    def test_halves(self, backend, mode, wanted, gradient):
        x, y = backend.array(self.X), backend.array(np.zeros((1, 1, 2, 2), np.float32))
        assert cudnn.pooling_forward(x, y, (2, 2), (2, 2), (0, 0), mode) is y
        assert backend.numpy(y)[0, 0].tolist() == wanted
        gy = backend.array(np.ones((1, 1, 2, 2), np.float32))
        gx = cudnn.pooling_backward(x, y, gy, (2, 2), (2, 2), (0, 0), mode)
        assert backend.numpy(gx)[0, 0].tolist() == gradient

    @pytest.mark.parametrize(("mode", "corner"), [(1, 13 / 9), (2, 13 / 4)])
    def test_padding_counts_or_not(self, backend, mode, corner):
        y = backend.array(np.zeros((1, 1, 2, 2), np.float32))
        cudnn.pooling_forward(backend.array(self.X), y, (3, 3), (2, 2), (1, 1), mode)
        assert backend.numpy(y)[0, 0, 0, 0] == pytest.approx(corner)

    def test_the_last_window_hangs_over_where_y_says_so(self, backend):
        y = backend.array(np.zeros((1, 1, 2, 2), np.float32))
        cudnn.pooling_forward(backend.array(self.X), y, (3, 3), (2, 2), (0, 0), 0)
        assert backend.numpy(y)[0, 0].tolist() == [[9, 7], [9, 5]]

    def test_refuses(self):
        x, y = self.X, np.zeros((1, 1, 2, 2), np.float32)
        with pytest.raises(ValueError, match="mode=7; allowed: 0, 3, 1, 2"):
            cudnn.pooling_forward(x, y, (2, 2), (2, 2), (0, 0), 7)
        with pytest.raises(ValueError, match="of one length"):
            cudnn.pooling_forward(x, y, (2, 2), (2,), (0, 0), 0)
        with pytest.raises(ValueError, match="out has shape"):
            cudnn.pooling_forward(x, np.zeros((1, 1, 9, 9), np.float32), (2, 2), (2, 2), (0, 0), 0)


@pytest.mark.parametrize(
    ("mode", "coef", "f", "df"),
    [
        (0, 0.0, lambda x: 1 / (1 + np.exp(-x)), lambda x, y: y * (1 - y)),
        (1, 0.0, lambda x: np.maximum(x, 0), lambda x, y: x > 0),
        (2, 0.0, np.tanh, lambda x, y: 1 - y * y),
        (3, 0.75, lambda x: np.clip(x, 0, 0.75), lambda x, y: (x > 0) & (x < 0.75)),
        (4, 0.5, lambda x: np.where(x > 0, x, 0.5 * np.expm1(x)), lambda x, y: np.where(
            x > 0, 1, 0.5 * np.exp(x))),
        (5, 0.0, lambda x: x, lambda x, y: np.ones_like(x)),
    ],
)  # fmt: skip
def test_activations(backend, rng, mode, coef, f, df):
    x, gy = rng.standard_normal((2, 3, 20)).astype(np.float32)
    y = cudnn.activation_forward(backend.array(x), mode, coef)
    gx = cudnn.activation_backward(backend.array(x), y, backend.array(gy), mode, coef)
    np.testing.assert_allclose(backend.numpy(y), f(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(backend.numpy(gx), gy * df(x, f(x)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("algorithm", [0, 1, 2])
def test_softmax(backend, rng, algorithm):
    x, gy = rng.standard_normal((2, 3, 4, 5))
    plain = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    wanted = np.log(plain) if algorithm == cudnn.CUDNN_SOFTMAX_LOG else plain
    y = cudnn.softmax_forward(backend.array(x.astype(np.float32)), 1, algorithm)
    gx = cudnn.softmax_backward(y, backend.array(gy.astype(np.float32)), 1, algorithm)
    summed = gy if algorithm == cudnn.CUDNN_SOFTMAX_LOG else gy * plain
    gradient = summed - plain * summed.sum(1, keepdims=True)
    np.testing.assert_allclose(backend.numpy(y), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(backend.numpy(gx), gradient, rtol=1e-4, atol=1e-5)


class TestBatchNormalization:
    #: Shape of x, of the parameters, is_for_conv2d, mode, d_layout, and the axes of the sums.
    CASES = (
        ((4, 3, 5, 6), (3,), True, cudnn.CUDNN_BATCHNORM_SPATIAL, 0, (0, 2, 3)),
        ((4, 5, 6, 3), (3,), True, cudnn.CUDNN_BATCHNORM_SPATIAL_PERSISTENT, 1, (0, 1, 2)),
        ((8, 3, 2, 2), (3, 2, 2), True, cudnn.CUDNN_BATCHNORM_PER_ACTIVATION, 0, (0,)),
        ((9, 4), (4,), False, cudnn.CUDNN_BATCHNORM_SPATIAL, 0, (0,)),
        ((3, 5, 4), (4,), False, cudnn.CUDNN_BATCHNORM_PER_ACTIVATION, 0, (0, 1)),
    )

    @pytest.mark.parametrize(("shape", "own", "conv", "mode", "layout", "axes"), CASES, ids=str)
    @pytest.mark.parametrize("given", [False, True], ids=["", "into arrays"])
    def test_training(self, backend, rng, shape, own, conv, mode, layout, axes, given):
        x, gy = rng.standard_normal((2, *shape))
        gamma, beta, running_mean, running_var = rng.uniform(0.5, 1.5, (4, *own))
        eps, decay = 1e-3, 0.9
        wide = [1 if a in axes else n for a, n in enumerate(shape)]
        count = x.size // gamma.size
        mean, var = x.mean(axes), x.var(axes)
        std = 1 / np.sqrt(var + eps)
        x_hat = (x - mean.reshape(wide)) * std.reshape(wide)
        put = lambda a: backend.array(a.astype(np.float32))  # noqa: E731
        old_mean, old_var = put(running_mean), put(running_var)
        into = [put(np.zeros(own)) for _ in range(2)] if given else [None, None]
        returned = cudnn.batch_normalization_forward_training(
            put(x), put(gamma), put(beta), old_mean, old_var, *into, eps, decay, conv, mode,
            False, layout,
        )  # fmt: skip
        y, own_mean, own_std = (returned, *into) if given else returned
        grads = cudnn.batch_normalization_backward(
            put(x), put(gamma), put(gy), own_mean, own_std, eps, conv, mode, False, layout
        )
        sums = gy.sum(axes), (gy * x_hat).sum(axes)
        spread = (sums[0].reshape(wide) + x_hat * sums[1].reshape(wide)) / count
        dx = (gy - spread) * (gamma * std).reshape(wide)
        for found, want in [
            (y, x_hat * gamma.reshape(wide) + beta.reshape(wide)),
            (own_mean, mean),
            (own_std, std),
            (old_mean, decay * running_mean + (1 - decay) * mean),
            (old_var, decay * running_var + (1 - decay) * var * count / (count - 1)),
            *zip(grads, (dx, sums[1], sums[0]), strict=True),
        ]:
            assert found.shape == want.shape
            np.testing.assert_allclose(backend.numpy(found), want, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(("shape", "own", "conv", "mode", "layout", "axes"), CASES, ids=str)
    def test_inference(self, backend, rng, shape, own, conv, mode, layout, axes):
        x = rng.standard_normal(shape)
        gamma, beta, mean, var = rng.uniform(0.5, 1.5, (4, *own))
        wide = [1 if a in axes else n for a, n in enumerate(shape)]
        arrays = [backend.array(a.astype(np.float32)) for a in (x, gamma, beta, mean, var)]
        y = cudnn.batch_normalization_forward_inference(*arrays, 1e-3, conv, mode, layout)
        scale = gamma / np.sqrt(var + 1e-3)
        wanted = (x - mean.reshape(wide)) * scale.reshape(wide) + beta.reshape(wide)
        np.testing.assert_allclose(backend.numpy(y), wanted, rtol=1e-4, atol=1e-4)

    def test_half_has_wide_parameters(self):
        x = np.random.default_rng(0).standard_normal((4, 3, 2, 2)).astype(np.float16)
        gamma, beta = np.ones(3, np.float16), np.zeros(3, np.float16)
        running = [np.zeros(3, np.float16), np.ones(3, np.float16)]
        y, mean, std = cudnn.batch_normalization_forward_training(
            x, gamma, beta, *running, None, None, 1e-3, 0.9, True, 1, False
        )
        assert (y.dtype, mean.dtype, std.dtype) == (np.float16, np.float32, np.float32)
        assert running[0].any()
        grads = cudnn.batch_normalization_backward(x, gamma, y, mean, std, 1e-3, True, 1, False)
        assert [g.dtype for g in grads] == [np.float16] * 3

    def test_one_of_mean_and_deviation_is_refused(self):
        x, one = np.ones((2, 1, 2, 2), np.float32), np.ones(1, np.float32)
        with pytest.raises(ValueError, match="two arrays or two None"):
            cudnn.batch_normalization_forward_training(
                x, one, one, one, one, one, None, 1e-3, 0.9, True, 1, False
            )


def test_dropout(backend):
    states = cudnn.DropoutStates(None, 7)
    x = backend.array(np.ones(1000, np.float32))
    kept, y = states.forward(None, x, 0.25)
    _, other = states.forward(None, x, 0.25)
    y, other = backend.numpy(y), backend.numpy(other)
    assert 0.65 < (y != 0).mean() < 0.85
    assert (y != other).any()
    np.testing.assert_array_equal(backend.numpy(states.backward(None, x, 0.25, kept)), y)


def test_what_no_workspace_or_dtype_is():
    with pytest.raises(ValueError, match="size=-5; allowed: bytes from 0 on"):
        cudnn.set_max_workspace_size(-5)
    assert cudnn.get_data_type("float32") == cudnn.get_data_type(np.dtype("float32"))


def test_the_workspace(monkeypatch):
    monkeypatch.setenv("PYCNN_WORKSPACE_LIMIT", "1M")
    assert cudnn.get_max_workspace_size() == 2**20
    cudnn.set_max_workspace_size(4096)
    assert os.environ["PYCNN_WORKSPACE_LIMIT"] == "4096"
    assert cudnn.get_max_workspace_size() == 4096


def test_what_is_not_there_says_so():
    with pytest.raises(AttributeError, match="has no rnn_forward_training: it has convolution"):
        cudnn.rnn_forward_training  # noqa: B018
    with pytest.raises(TypeError, match="int64; allowed: float16"):
        cudnn.get_data_type(np.dtype("int64"))
    x = np.zeros((1, 1, 3, 3), np.float32)
    settings = (0, 0), (1, 1), (1, 1), 1
    with pytest.raises(ValueError, match="tensor_core='no'; allowed: auto, always, never"):
        cudnn.convolution_forward(x, x, None, x, *settings, auto_tune=True, tensor_core="no")
    with pytest.raises(ValueError, match=r"y has shape .*; allowed: what a convolution"):
        cudnn.convolution_backward_data(x, x, None, x.copy(), *settings, **BACKWARD)
    with pytest.raises(ValueError, match="pad has 4 axes"):
        cudnn.convolution_forward(x, x, None, x, (0,) * 4, (1,) * 4, None, 1, **CONVOLUTION)
