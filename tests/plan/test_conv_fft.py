"""Plans of convolution by Fourier transforms: memory, limits, and the step that is no kernel."""

from dataclasses import replace

import numpy as np
import pytest

from pycnn.define.views import View
from pycnn.plan import conv, conv_fft
from pycnn.plan._fft import good_size
from pycnn.plan.conv_problem import Problem, Unsupported
from pycnn.runtime.plan import MAX_GRID, Buffer, Launch, Transform

MIB = 2**20
DIRECTIONS = ("forward", "backward_input", "backward_weight")


def layer(n, c, extent, k, side, groups=1, dtype="float32", stride=1):
    """A layer of square filters that keeps the extent, but for the stride."""
    out = (extent - 1) // stride + 1
    shapes = (n, c, extent, extent), (k, c // groups, side, side), (n, k, out, out)
    pad = side // 2
    views = (View.contiguous(shape, dtype) for shape in shapes)
    return Problem(*views, (stride, stride), (pad, pad), groups=groups)


LAYERS = {
    "alexnet": layer(8, 64, 27, 96, 5),
    "large filter": layer(3, 7, 64, 5, 31),
    "strided": layer(9, 3, 224, 16, 11, stride=4),
    "half": layer(4, 8, 28, 6, 7, dtype="bfloat16"),
    "grouped": layer(5, 64, 14, 96, 9, groups=32, dtype="float64"),
}


def test_good_sizes_have_small_factors_and_are_the_next():
    assert [good_size(i) for i in (1, 7, 11, 13, 121, 227)] == [1, 7, 12, 14, 125, 240]
    for least in range(1, 300):
        rest = good_size(least)
        assert rest >= least
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        assert rest == 1


@pytest.mark.parametrize("limit", [60 * MIB, 1024 * MIB])
@pytest.mark.parametrize("problem", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_memory_is_named_and_within_the_limit(problem, direction, limit):
    plan = conv.plan(problem, direction, "fft", limit)
    assert plan.workspace_bytes <= limit
    given = {"x": problem.x, "weight": problem.weight, "dy": problem.y}
    size = {n: np.prod(v.shape) * problem.itemsize for n, v in given.items()}
    size |= {n: spec.nbytes for n, spec in {**plan.outputs, **plan.workspace}.items()}
    used = [a for launch in plan.launches for a in launch.args if isinstance(a, Buffer)]
    assert {*plan.outputs, *plan.workspace} <= {b.name for b in used} <= set(size)
    assert all(0 <= b.offset < size[b.name] for b in used)
    for step in plan.launches:
        if isinstance(step, Launch):
            assert all(g <= most for g, most in zip(step.grid, MAX_GRID, strict=True))
    spectra = [step for step in plan.launches if isinstance(step, Transform)]
    assert {step.kind for step in spectra} == {"rfft2", "irfft2"}
    wide = "float64" if problem.dtype == "float64" else "float32"
    assert {step.dtype for step in spectra} == {wide}


@pytest.mark.parametrize("problem", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_transforms_fit_in_the_workspace(problem, direction):
    """What the library writes is no more than the plan says; nothing else allocates it."""
    plan = conv.plan(problem, direction, "fft", 1024 * MIB)
    transforms = [x for x in plan.launches if isinstance(x, Transform)]
    assert {x.kind for x in transforms} == {"rfft2", "irfft2"}
    for step in transforms:
        images, rows, cols = step.shape
        size = np.dtype(step.dtype).itemsize
        real, half = images * rows * cols * size, images * rows * (cols // 2 + 1) * 2 * size
        source, target = step.names
        read, written = (real, half) if step.kind == "rfft2" else (half, real)
        assert read <= plan.workspace[source].nbytes
        assert written <= plan.workspace[target].nbytes
        assert target not in plan.allocated
    assert {"padded", "product_spectra"} <= set(plan.allocated)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cols", [6, 7])
def test_a_transform_and_its_inverse(rng, dtype, cols):
    """Of some of the images that an array has room for, in its precision."""
    data = rng.standard_normal((3, 5, cols)).astype(dtype)
    arrays = {"real": np.concatenate([data.ravel(), np.zeros(9, dtype)])}
    shape, names = (3, 5, cols), [Buffer(n) for n in ("real", "spectra", "back")]
    Transform("rfft2", (names[0], names[1]), shape, dtype).run(arrays, np.fft)
    assert arrays["spectra"].dtype == np.result_type(dtype, np.complex64)
    want = np.fft.fft2(data.astype(np.float64))[..., : cols // 2 + 1]
    np.testing.assert_allclose(arrays["spectra"], want.ravel(), rtol=1e-4, atol=1e-4)
    Transform("irfft2", (names[1], names[2]), shape, dtype).run(arrays, np.fft)
    assert arrays["back"].dtype == dtype
    np.testing.assert_allclose(arrays["back"], data.ravel(), rtol=1e-5, atol=1e-5)


def test_too_little_workspace_is_refused():
    for direction in DIRECTIONS:
        with pytest.raises(ValueError, match=r"a single image needs \d+ bytes of workspace"):
            conv.plan(LAYERS["alexnet"], direction, "fft", MIB)


def test_padding_modes_have_no_gradient_with_respect_to_x():
    problem = replace(layer(2, 5, 9, 7, 3), mode="circular")
    with pytest.raises(Unsupported, match="padding mode circular; allowed for the gradient: zeros"):
        conv_fft.backward_input(problem, MIB)


def test_auto_never_takes_it_unasked():
    for problem in LAYERS.values():
        for direction in DIRECTIONS:
            assert conv.algorithms(problem, direction, 2**40)[-1].name == "fft"
            assert conv.plan(problem, direction, "auto", 2**40).algo != "fft"
