"""PyTorch's answers to all cases of `pycnn.testing`, kept in files: what is kept, and where.

Of every output a few elements are kept, and two sums over all of them, in float64: enough to tell
any wrong element from a right one, and small. `make.py` writes the files, where PyTorch is
installed; the tests read them, and need no PyTorch.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pycnn.define.operation import Gradient
from pycnn.testing import TESTED
from pycnn.testing.tested import tensor_of

FOLDER = Path(__file__).parent / "pytorch"
SEED = 20261121

#: Elements that are kept of an output, evenly spaced.
SAMPLES = 32

CASES = {
    f"{tested.op.name}: {case.name}": (tested, case)
    for tested in TESTED.values()
    for case in tested.cases
    if not case.standard
}


@dataclass(frozen=True)
class Inputs:
    """What a case is computed from.

    Attributes
    ----------
    dtype : str
    forward : dict of str to array
        What goes into the operation; for a gradient, into the one that it is the gradient of.
    given : dict of str to array
        What goes into the public function.
    """

    dtype: str
    forward: dict
    given: dict


def draw(tested, case):
    """The inputs of a case, the same every time."""
    dtype = "float64" if "float64" in tested.op.dtypes else tested.typical_dtype
    rng = np.random.default_rng(SEED)
    if isinstance(tested.op, Gradient):
        return Inputs(dtype, *tested.draw_both(case, rng, dtype))
    given = tested.draw(case, rng, dtype)
    return Inputs(dtype, given, given)


def by_pytorch(tested, case, inputs):
    """Outputs by name, as far as PyTorch computes them; raises `NoPeer` where it does not.

    It also differentiates with respect to what is constant here, such as the target of a loss.
    """

    def tensors(arrays):
        return {name: tensor_of(array.copy("K")) for name, array in arrays.items()}

    if isinstance(tested.op, Gradient):
        upstream = {name: inputs.given[name] for name in tested.op.upstream}
        settings = tested.forward.settings(case)
        found = tested.torch_gradients(tensors(inputs.forward), tensors(upstream), settings)
    else:
        found = tested.torch(tensors(inputs.given), tested.settings(case))
    ours = by_oracle(tested, case, inputs)
    return {name: tensor.detach().numpy() for name, tensor in found.items() if name in ours}


def by_oracle(tested, case, inputs):
    """Outputs by name."""
    with np.errstate(all="ignore"):
        return tested.oracle(tested.settings(case), inputs.given)


def positions(size):
    """Which elements of an output are kept."""
    return np.linspace(0, size - 1, min(size, SAMPLES)).astype(int)


def sums(array):
    """A plain sum, and one in which every element has a weight of its own; without NaN and inf."""
    flat = np.ravel(array).astype(np.float64)
    flat = np.where(np.isfinite(flat), flat, 0.0)
    return np.array([flat.sum(), flat @ np.cos(np.arange(flat.size))])


def kept(array):
    """What is kept of an output."""
    flat = np.ravel(array).astype(np.float64)
    return np.concatenate([flat[positions(flat.size)], sums(array)])


def described(tested, case, inputs):
    """Whatever the answer depends on, to tell whether a case is still what it was.

    Of the arrays one sum, which another processor may round otherwise.
    """
    return {
        "settings": repr(tested.settings(case)),
        "arrays": {n: [str(a.dtype), *a.shape] for n, a in inputs.given.items()},
        "sums": [float(sums(a)[1]) for a in inputs.given.values()],
    }


def is_stale(entry, tested, case, inputs):
    """Whether a case has changed since PyTorch was asked."""
    now = described(tested, case, inputs)
    same = all(entry[key] == now[key] for key in ("settings", "arrays"))
    return not (same and np.allclose(entry["sums"], now["sums"], rtol=1e-9, atol=1e-9))


def read(family):
    """(the entries of a family by case, the numbers that they point to)."""
    path = FOLDER / f"{family}.json"
    if not path.exists():
        return {}, np.empty(0)
    return json.loads(path.read_text())["cases"], np.load(path.with_suffix(".npy"))
