"""Every network of `pycnn.models` and the same in PyTorch: what goes in, and what is kept.

``PYTHONPATH=.:tests/golden python tests/models/golden_networks.py [NAME ...]``, where PyTorch is
installed, writes its answers anew. Of a result and of the gradient for the input a few elements and
two sums are kept, as `golden.kept` takes them; of every other gradient, and of every running
statistic, one weighted sum.
"""

import inspect
import sys
from pathlib import Path

import golden
import numpy as np
from small_models import SMALL

import pycnn
from pycnn import nn
from pycnn.models import MODELS, create
from pycnn.tape import plain

ANSWERS = Path(__file__).with_name("golden_networks.npz")
SEED = 20261129


def model_of(name):
    """The network in float64, nothing dropped."""
    few = {"classes": 5} if "classes" in inspect.signature(MODELS[name].builder).parameters else {}
    model = create(name, **few, **SMALL[name]).to("float64")
    for _, layer in model.named_layers():
        if isinstance(layer, nn.Dropout):
            layer.eval()
    return model


def drawn(name, shapes):
    """Three examples, and weights of these shapes."""
    rng = np.random.default_rng([SEED, *name.encode()])
    shape = SMALL[name].get("input_shape", MODELS[name].input_shape)
    size = SMALL[name].get("input_size")
    x = rng.standard_normal((3, shape[0], size, size) if size else (3, *shape))
    return x, [weight(rng, shape) for shape in shapes]


def weight(rng, shape):
    """So large that signals neither grow nor vanish; factors and biases away from zero."""
    if len(shape) == 1:
        return rng.uniform(0.1, 0.5, shape)
    return rng.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5


#: What results, and then those of the heads, are multiplied with before they are summed.
FACTORS = [
    lambda shape, seed=seed: np.random.default_rng(seed).standard_normal(tuple(shape))
    for seed in range(3)
]


def by_pycnn(name):
    """Results, gradients and statistics, and the names of what has a gradient."""
    model = model_of(name)
    parameters = model.parameters()
    x, values = drawn(name, [p.value.shape for p in parameters])
    for parameter, value in zip(parameters, values, strict=True):
        parameter.layer.params[parameter.key] = value
    with pycnn.grad() as tape:
        leaf = tape.watch(x)
        results = [model(leaf), *(tap.output for tap in nn.taps(model))]
        total = sum(pycnn.sum(f(r.shape) * r) for f, r in zip(FACTORS, results, strict=False))
    (dx,) = tape.gradients_into_layers(total, None, [leaf])
    trained = {p.name for p in parameters}
    return {
        "results": [plain(r) for r in results],
        "gradients": [dx, *(p.grad for p in parameters)],
        "statistics": [a for key, a in model.state_dict().items() if key not in trained],
    }, ["x", *(p.name for p in parameters)]


def by_pytorch(name):
    """The same of PyTorch."""
    import torch_networks

    shapes = [p.value.shape for p in model_of(name).parameters()]
    x, values = drawn(name, shapes)
    return torch_networks.run(name, SMALL[name].get("width", 1), values, x, FACTORS)


def kept(found):
    """Arrays by what they are of."""
    dx, *gradients = found["gradients"]
    results = [golden.kept(r) for r in found["results"]]
    return {
        "results": np.concatenate([*results, golden.kept(dx)]),
        "gradients": np.array([golden.sums(g)[1] for g in gradients], np.float32),
        "statistics": np.array([golden.sums(s)[1] for s in found["statistics"]], np.float32),
    }


def write(names):
    import torch

    answers = dict(np.load(ANSWERS)) if ANSWERS.exists() else {}
    answers = {key: a for key, a in answers.items() if key.partition(":")[0] in SMALL}
    for name in names:
        answers |= {f"{name}:{what}": a for what, a in kept(by_pytorch(name)).items()}
    answers["torch"] = np.array(torch.__version__)
    np.savez_compressed(ANSWERS, **answers)


if __name__ == "__main__":
    write(sys.argv[1:] or SMALL)
