"""A trainer whose steps are CUDA graphs trains as without; what no graph can hold is refused."""

import numpy as np
import pytest

from pycnn import data, nn, train
from pycnn.train import graph_steps


def points(count=23):
    """No multiple of the batch: the last one has a form of its own."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((count, 3)).astype(np.float32)
    target = (x @ np.float32([[1, -2], [0.5, 1], [3, 0]])).argmax(1)
    chosen = np.arange(count)
    return data.Arrays(name="points", inputs=x, target=target, train=chosen[:18], test=chosen[18:])


def trainer(backend, **settings):
    with nn.seeded(2):
        model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    if backend.name == "cuda":
        model.to("cuda")
    optimizer = nn.AdamW(model, 0.05)
    schedule = nn.Cosine(optimizer, 3)
    return train.Trainer(model, points(), optimizer, schedule, batch=5, by_step=True, **settings)


@pytest.fixture
def anywhere(monkeypatch, backend):
    """Without a GPU the same steps, one by one."""
    if backend.name == "emulator":
        pytest.skip("runs on NumPy's arrays as the CPU path")
    if backend.name != "cuda":
        monkeypatch.setattr(graph_steps, "device_of", lambda array: "cuda")


@pytest.mark.parametrize(("precision", "clip"), [(None, None), ("float16", 0.5)])
def test_training_is_as_without(backend, anywhere, tmp_path, precision, clip):
    settings = {"precision": precision, "clip_norm": clip}
    plain = trainer(backend, **settings)
    wanted = plain.fit(3)
    file = tmp_path / "begun.safetensors"
    begun = trainer(backend, graph=True, checkpoint=file, **settings)
    begun.fit(2)
    forms = {form[0][0][0] for form in begun._move._steps}
    assert forms == {5, 3}
    assert all(s.graph == (backend.name == "cuda") for s in begun._move._steps.values())
    resumed = trainer(backend, graph=True, **settings)
    resumed.resume(train.load(file))
    found = resumed.fit(3)
    assert resumed.optimizer.steps == plain.optimizer.steps
    for row, by in zip(found, wanted, strict=True):
        assert row.loss == pytest.approx(by.loss, rel=1e-4)
        assert row.test_loss == pytest.approx(by.test_loss, rel=1e-4)
        assert row.metrics == pytest.approx(by.metrics)
    for name, array in plain.model.state_dict().items():
        np.testing.assert_allclose(
            backend.numpy(resumed.model.state_dict()[name]), backend.numpy(array), rtol=1e-4,
            atol=1e-5, err_msg=name,
        )  # fmt: skip


class Doubles(train.Hook):
    def gradients(self, trainer):
        """Between backward and the step."""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"accumulate": 2}, "graph=True with accumulate=2 on 1 processes; allowed: whole"),
        ({"hooks": [Doubles()]}, r"graph=True with Doubles\.gradients, which has no place"),
    ],
)
def test_what_no_graph_holds_is_refused(backend, anywhere, settings, said):
    with pytest.raises(ValueError, match=said):
        trainer(backend, graph=True, **settings)


def test_on_the_cpu_there_are_no_graphs():
    model = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"graph=True with a model on the CPU, .* allowed: after"):
        train.Trainer(model, points(), nn.SGD(model, 0.1), graph=True)
