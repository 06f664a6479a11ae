"""The networks of docs/networks.md, their inputs and weights; and the same in PyTorch.

``python tests/nn/own_networks.py``, where PyTorch is installed, writes its answers anew.
"""

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
ANSWERS = Path(__file__).with_name("own_networks.npz")


def page():
    """What the blocks of the page define; the last two, which train and count, are left out."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/networks.md").read_text(), re.DOTALL)
    names = {}
    for block in blocks[:-2]:
        exec(block, names)
    return names


def inputs():
    """Arrays of every network by name: what goes in, and then the target of its loss."""
    rng = np.random.default_rng(11)
    images, others = rng.standard_normal((2, 5, 1, 8, 8))
    classes = np.array([2, 0, 1, 1, 0])
    return {
        "Siamese": (images, others, np.array([1.0, 0, 0, 1, 0])),
        "gated_resnet": (images, classes),
        "UNet": (images, (others > 0.3).astype(np.float64)),
        "Price": (images, rng.standard_normal((5, 3)), rng.standard_normal((5, 1))),
    }


def weights(name, shapes):
    """Of every parameter, by its name, in float64."""
    rng = np.random.default_rng([7, *name.encode()])
    return {key: rng.standard_normal(shape) * 0.3 for key, shape in shapes.items()}


def by_pytorch():
    """Results, losses and gradients of the same networks, written for PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    def siamese(w, left, right, same):
        def body(x):
            y = torch.tanh(F.conv2d(x, w["body.0.weight"], w["body.0.bias"], padding=1))
            return F.linear(F.max_pool2d(y, 2).flatten(1), w["body.4.weight"], w["body.4.bias"])

        distance = ((body(left) - body(right)) ** 2).sum(1)
        return distance, (distance * same + F.relu(1 - distance) * (1 - same)).mean()

    def gated(w, x, classes):
        y = F.conv2d(x, w["stem.weight"], w["stem.bias"], padding=1)
        for block in ("blocks.0", "blocks.1"):
            own = {k.removeprefix(f"{block}."): v for k, v in w.items() if k.startswith(block)}
            z = F.conv2d(y, own["conv1.weight"], padding=1)
            z = F.batch_norm(z, None, None, own["norm1.weight"], own["norm1.bias"], training=True)
            z = F.conv2d(F.relu(z), own["conv2.weight"], padding=1)
            z = F.batch_norm(z, None, None, own["norm2.weight"], own["norm2.bias"], training=True)
            gate = F.linear(z.mean((2, 3)), own["squeeze.weight"], own["squeeze.bias"])
            gate = F.linear(F.relu(gate), own["excite.weight"], own["excite.bias"])
            y = F.relu(y + z * torch.sigmoid(gate)[..., None, None])
        scores = F.linear(y.mean((2, 3)), w["head.weight"], w["head.bias"])
        logs = F.log_softmax(scores, 1).gather(1, classes[:, None])[:, 0]
        return scores, -((1 - logs.exp()) ** 2 * logs).mean()

    def unet(w, x, mask):
        fine = F.relu(F.conv2d(x, w["down.weight"], w["down.bias"], padding=1))
        low = F.conv2d(F.max_pool2d(fine, 2), w["bottom.weight"], w["bottom.bias"], padding=1)
        up = F.conv_transpose2d(F.relu(low), w["up.weight"], w["up.bias"], stride=2)
        y = F.conv2d(torch.cat([fine, up], 1), w["join.weight"], w["join.bias"], padding=1)
        scores = F.conv2d(F.relu(y), w["scores.weight"], w["scores.bias"])
        chances = torch.sigmoid(scores)
        dice = 2 * (chances * mask).sum() / (chances.sum() + mask.sum())
        return scores, F.binary_cross_entropy_with_logits(scores, mask) + 1 - dice

    def price(w, image, facts, target):
        seen = F.relu(F.conv2d(image, w["look.0.weight"], w["look.0.bias"], stride=2)).flatten(1)
        known = torch.tanh(F.linear(facts, w["know.weight"], w["know.bias"]))
        said = F.linear(torch.cat([seen, known], 1), w["say.weight"], w["say.bias"])
        return said, nn.functional.mse_loss(said, target)

    functions = {"Siamese": siamese, "gated_resnet": gated, "UNet": unet, "Price": price}
    names, answers = page(), {}
    for name, arrays in inputs().items():
        shapes = {p.name: p.value.shape for p in names[name]().parameters()}
        w = {k: torch.tensor(v, requires_grad=True) for k, v in weights(name, shapes).items()}
        count = len(arrays) - 1  # behind them stands the target
        tensors = [
            torch.tensor(a, requires_grad=a.ndim == 4 and i < count) for i, a in enumerate(arrays)
        ]
        y, loss = functions[name](w, *tensors)
        loss.backward()
        found = {"y": y, "loss": loss, **{f"d{k}": t.grad for k, t in w.items()}}
        found |= {f"dx{i}": t.grad for i, t in enumerate(tensors) if t.requires_grad}
        answers |= {f"{name}:{key}": t.detach().numpy() for key, t in found.items()}
    answers["torch"] = np.array(torch.__version__)
    return answers


if __name__ == "__main__":
    np.savez_compressed(ANSWERS, **by_pytorch())
