"""Public functions have PyTorch's names, order and defaults, but for what is listed here."""

import ast

import pytest
import signatures

from pycnn.define.registry import OPERATIONS

THEIRS = signatures.read()

#: PyTorch's name -> ours, in every function or in one, and why.
RENAMED = {
    "input": "x",  # as in the formulas of all pages
    "dim": "axis",  # NumPy's; `dim` is taken too
    "keepdim": "keepdims",  # NumPy's; `keepdim` is taken too
    "add.input": "a",  # neither operand is the input of the other
    "add.other": "b",
    "mul.input": "a",
    "mul.other": "b",
    "matmul.input": "a",
    "matmul.other": "b",
    "bmm.input": "a",
    "bmm.mat2": "b",
    "scaled_mm.mat_a": "a",
    "scaled_mm.mat_b": "b",
    "cross_entropy.input": "logits",  # what they are is what goes wrong most often
    "nll_loss.input": "log_probabilities",
    "binary_cross_entropy_with_logits.input": "logits",
    "permute.dims": "axes",  # NumPy's
    "split.tensor": "x",
    "pad.pad": "padding",  # a function has no parameter of its own name
}

#: What PyTorch has and we have not, and why.
OMITTED = {
    "inplace": "`out` may be x",
    "size_average": "deprecated by PyTorch",
    "reduce": "deprecated by PyTorch",
    "dtype": "nothing is cast",
    "_stacklevel": "of PyTorch's warnings",
    "bmm.out_dtype": "nothing is cast",
    **dict.fromkeys(
        [f"scaled_mm.{what}_{x}" for what in ("scale_recipe", "swizzle") for x in "ab"],
        "a scale is of the whole matrix",
    ),
    "scaled_mm.contraction_dim": "the last of a, the first of b",
    "scaled_mm.use_fast_accum": "sums are those of the tensor cores",
    "mse_loss.weight": "weights are for classes and for unequal labels",
    "l1_loss.weight": "weights are for classes and for unequal labels",
    "huber_loss.weight": "weights are for classes and for unequal labels",
}

#: Other defaults: PyTorch's, ours, and why.
DEFAULTS = {
    "softmax.axis": (None, -1, "PyTorch guesses the axis, and warns"),
    "log_softmax.axis": (None, -1, "PyTorch guesses the axis, and warns"),
    "topk.axis": (None, -1, "None is the last axis in PyTorch"),
    "sum.axis": ("none", None, "PyTorch has a second form that takes no dim: all axes"),
    "mean.axis": ("none", None, "PyTorch has a second form that takes no dim: all axes"),
    "argmax.axis": ("none", None, "PyTorch has a second form that takes no dim: all axes"),
    "permute.axes": ("none", None, "may be called dims"),
    "pad.value": (None, 0.0, "None is zero in PyTorch"),
}

#: Keyword-only arguments that PyTorch's functions have not.
ADDED = {
    "out": "takes the result",
    "layout": "NHWC without a transposition",
    "algo": "which kernel",
    "padding_mode": "an argument of PyTorch's layers",
    "dim": "PyTorch's name of axis",
    "dims": "PyTorch's name of axes",
    "keepdim": "PyTorch's name of keepdims",
    "padding": "of Lp pooling: ONNX has it",
    "dilation": "of pooling: ONNX has it",
    "coordinate_mode": "ONNX has it",
    "nearest_mode": "ONNX has it",
    "seed": "the gradient draws the same mask again",
    "offset": "as seed",
    **dict.fromkeys(("scale", "shift", "residual", "activation", "negative_slope"), "epilogue"),
}

#: Functions that PyTorch has not.
OWN = {
    *("conv2d_integer", "qlinear_conv2d", "scaled_conv2d", "gemm"),
    *("sum_pool1d", "sum_pool2d", "sum_pool3d"),
    *("global_max_pool", "global_avg_pool", "batch_norm_train", "sum_of_half_squares", "add_n"),
    *("depth_to_space", "space_to_depth", "batch_norm_relu_train"),
    *("matmul_integer", "qlinear_matmul"),
}

#: Those among them that an operation of PyTorch's is like.
LIKE = {
    **{f"sum_pool{n}d": f"avg_pool{n}d" for n in (1, 2, 3)},
    **dict.fromkeys(("conv2d_integer", "qlinear_conv2d", "scaled_conv2d"), "conv2d"),
    **dict.fromkeys(("batch_norm_train", "batch_norm_relu_train"), "batch_norm"),
    "global_max_pool": "max_pool2d",
    "gemm": "linear",
}

used = set()


def split(words):
    """(positional, keyword-only), each as a dict of defaults; "none" where there is none."""
    star = words.index("*") if "*" in words else len(words)
    parts = []
    for part in (words[:star], words[star + 1 :]):
        pairs = [word.partition("=") for word in part]
        parts.append({n: ast.literal_eval(v) if equals else "none" for n, equals, v in pairs})
    return parts


def listed(table, function, name):
    """What a table says of an argument, and that it was asked."""
    for key in (f"{function}.{name}", name):
        if key in table:
            used.add((id(table), key))
            return table[key]
    return None


def expected(function):
    """PyTorch's arguments by our names and with our defaults."""
    parts = []
    for part in split(THEIRS[function]):
        found = {}
        for theirs, default in part.items():
            if listed(OMITTED, function, theirs):
                continue
            name = listed(RENAMED, function, theirs) or theirs
            if changed := listed(DEFAULTS, function, name):
                assert changed[0] == default
                default = changed[1]
            found[name] = default
        parts.append(found)
    positional, named = parts
    return positional, named


def check(function):
    positional, named = split(signatures.ours(function))
    theirs, theirs_named = expected(function)
    assert list(positional.items()) == list(theirs.items())
    added = {n: d for n, d in named.items() if n not in theirs_named}
    assert {n: d for n, d in named.items() if n in theirs_named} == theirs_named
    assert not [n for n in added if not listed(ADDED, function, n)]


@pytest.mark.parametrize("function", [n for n in signatures.NAMES if n not in OWN])
def test_as_pytorch(function):
    assert function in THEIRS, "python tests/golden/make.py"
    check(function)


def test_what_pytorch_has_not():
    assert set(THEIRS) == set(signatures.NAMES), "python tests/golden/make.py"
    assert {name for name, words in THEIRS.items() if words is None} == OWN


@pytest.mark.parametrize("function", LIKE)
def test_what_pytorch_has_not_has_the_defaults_of_what_is_like_it(function):
    own, like = OPERATIONS[function].defaults, OPERATIONS[LIKE[function]].defaults
    shared = own.keys() & like.keys()
    assert {n: own[n] for n in shared} == {n: like[n] for n in shared}
    off = {n for n in own if own[n] in (None, False) and n not in shared}
    assert off == own.keys() - shared - {"algo", "layout", "output_dtype"}


def test_nothing_is_listed_in_vain():
    used.clear()
    for function in signatures.NAMES:
        if function not in OWN:
            check(function)
    tables = RENAMED, OMITTED, DEFAULTS, ADDED
    assert {(id(table), key) for table in tables for key in table} == used


@pytest.mark.parametrize("name", [n for n in OPERATIONS if n.endswith("_backward")])
def test_a_gradient_has_the_defaults_of_its_operation(name):
    """An argument that both have is given by the same name, and left out to the same effect."""
    forward = OPERATIONS[name.removesuffix("_backward")]
    own = split(signatures.ours(name))
    for arguments in own:
        for argument, default in arguments.items():
            if argument in forward.defaults:
                assert default in (forward.defaults[argument], "none")


def test_pytorch_still_has_these():
    pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")
    assert {name: signatures.theirs(name) for name in signatures.NAMES} == THEIRS
