"""Training for more than classes: numbers, masks, several inputs, own metrics and hooks."""

import numpy as np
import pytest

import pycnn
from pycnn import data, nn, train

RNG = np.random.default_rng(3)


def examples(inputs, target, name="made"):
    count = len(target)
    return data.Arrays(name=name, inputs=inputs, target=target, train=np.arange(0, count - 8),
                       test=np.arange(count - 8, count))  # fmt: skip


def line(weights=1.0):
    x = RNG.standard_normal((48, 3)).astype(np.float32)
    return examples(x, x @ np.float32([[1], [2], [-1]]) * np.float32(weights) + 1)


def linear():
    with nn.seeded(0):
        return nn.Linear(3, 1)


class Price(nn.Layer):
    """A number from an image and a few facts."""

    def __init__(self):
        super().__init__()
        self.look, self.say = nn.Conv2d(1, 2, 3), nn.Linear(2 * 4 + 3, 1)

    def compute(self, image, facts):
        seen = pycnn.relu(self.look(image))
        return self.say(pycnn.concat([seen.reshape(len(seen), -1), facts], axis=1))


def test_numbers_are_predicted_from_several_inputs():
    images = RNG.random((48, 1, 4, 4), np.float32)
    facts = RNG.random((48, 3))  # float64: floating inputs come in the dtype of the model
    made = examples((images, facts), images.mean(axis=(1, 2, 3))[:, None] + facts[:, :1])
    with nn.seeded(1):
        model = Price()
    far = {"distance": lambda y, target: abs(y - target).mean()}
    one = train.Trainer(model, made, nn.Adam(model, 0.02), loss=nn.MSELoss(), batch=10, metrics=far)
    history = one.fit(40)
    assert history[-1].loss < history[0].loss / 20
    row = history[-1].row()
    assert list(row)[:5] == ["epoch", "loss", "distance", "test_loss", "test_distance"]
    y = model(images[40:], facts[40:].astype(np.float32))
    assert row["test_distance"] == pytest.approx(abs(y - made.target[40:]).mean(), rel=1e-4)
    assert row["test_loss"] == pytest.approx(((y - made.target[40:]) ** 2).mean(), rel=1e-4)
    assert f"distance {row['distance']:.4f}; test loss" in str(history[-1])


def test_masks_are_learnt_by_a_function():
    images = RNG.random((40, 1, 8, 8), np.float32)

    def loss(scores, mask):
        return pycnn.binary_cross_entropy_with_logits(scores, mask)

    def share(scores, mask):
        return ((scores > 0) == (mask > 0.5)).mean()

    made = examples(images, (images > 0.5).astype(np.float32))
    with nn.seeded(0):
        model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    one = train.Trainer(model, made, nn.Adam(model, 0.05), loss=loss, metrics={"share": share})
    assert one.fit(30)[-1].test_metrics["share"] > 0.9
    assert one.fit(30)[-1].metrics.keys() == {"share"}


def test_classes_of_pixels():
    images = RNG.random((24, 1, 4, 4), np.float32)
    classes = (images[:, 0] > 0.5).astype(np.int64)
    made = examples(images, classes)
    with nn.seeded(0):
        model = nn.Conv2d(1, 2, 1)
    one = train.Trainer(model, made, nn.Adam(model, 0.1), batch=8, accumulate=2)
    assert one.fit(30)[-1].test_accuracy > 0.9


def test_a_model_of_several_results_in_16_bits():
    """The loss gets float32, and the test loss is that of float32."""

    class Twice(nn.Layer):
        def __init__(self):
            super().__init__()
            self.one, self.other = linear(), linear()

        def compute(self, x):
            return self.one(x), self.other(x)

    kinds = set()

    def loss(ys, target):
        kinds.update(y.dtype.name for y in ys)
        return pycnn.mse_loss(ys[0], target) + pycnn.mse_loss(ys[1], target)

    model = Twice()
    one = train.Trainer(model, line(), nn.Adam(model, 0.1), loss=loss, precision="bfloat16")
    assert one.fit(60)[-1].test_loss < 0.1
    assert kinds == {"float32"}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("ignored", [-100, 2])
def test_a_weighted_loss_is_weighted_over_the_whole_part(reduction, ignored):
    """Whatever the batches are: the mean over a part is that of its weights, not of batches."""
    x, classes = RNG.standard_normal((31, 3)), np.sort(RNG.integers(0, 4, 31))
    made = data.Arrays(name="made", inputs=x, target=classes, train=np.arange(1),
                       test=np.arange(1, 31))  # fmt: skip
    with nn.seeded(0):
        model = nn.Linear(3, 4).to("float64")
    loss = nn.CrossEntropyLoss(np.array([0.1, 5.0, 1.0, 2.0]), ignored, reduction)
    whole = float(loss(model(x[1:]), classes[1:])) / (30 if reduction == "sum" else 1)
    for batch in (30, 7, 1):
        figures = train.evaluate(model, made, loss=loss, batch=batch)
        assert figures["loss"] == pytest.approx(whole, rel=1e-12)
    made = data.Arrays(name="made", inputs=x, target=classes, train=np.arange(1, 31),
                       test=np.arange(1))  # fmt: skip
    one = train.Trainer(model, made, nn.SGD(model, 1e-13), loss=loss, batch=29)
    assert one.fit(1)[0].loss == pytest.approx(whole, rel=1e-9)


def test_probabilities_and_weights_of_classes():
    target = np.full((6, 4), 0.25)
    loss = nn.CrossEntropyLoss(weight=np.array([0.1, 1, 2, 3]))
    assert loss.count(target) == nn.CrossEntropyLoss().count(target) == 6
    assert loss.count(target[0]) == 1
    assert loss.count(np.zeros((6, 4, 5))) == 30


def test_mixup_trains_on_probabilities():
    x, classes = RNG.standard_normal((40, 3)).astype(np.float32), RNG.integers(0, 4, 40)
    mix = data.augment.Mixup(4, alpha=1.0)
    made = examples(x, classes)
    ((inputs, target),) = data.batches(made, "train", 32, seed=1, epoch=0, mix=mix)
    ((plain, labels),) = data.batches(made, "train", 32, seed=1, epoch=0)
    exact = np.eye(4)[labels]
    share = target[exact > 0].min()  # of an example that was mixed with one of another class
    assert 0 < share < 1
    both = [(inputs[i], target[i]) for i in range(32)]
    for (mixed, chances), own, label in zip(both, plain, labels, strict=True):
        rest = (mixed - share * own) / (1 - share)
        (other,) = np.flatnonzero(np.isclose(plain, rest, atol=1e-4).all(axis=1))
        expected = share * np.eye(4)[label] + (1 - share) * exact[other]
        np.testing.assert_allclose(chances, expected, atol=1e-6)
    with nn.seeded(0):
        model = nn.Linear(3, 4)
    one = train.Trainer(model, made, nn.Adam(model, 0.1), mix=mix)
    assert one.fit(3)[-1].test_metrics.keys() == {"accuracy"}


class Watch(train.Hook):
    def __init__(self, last):
        self.seen, self.last = [], last

    def gradients(self, trainer):
        self.seen.append(float(trainer.model.grads["bias"][0]))
        trainer.model.grads["bias"][...] = 0

    def step(self, trainer, info):
        assert info.step == len(self.seen) - trainer.steps * (info.epoch - 1)

    def epoch(self, trainer, row):
        return row.epoch == self.last


def test_hooks_change_gradients_and_end_the_training():
    model = linear()
    before = model.params["bias"].copy()
    watch = Watch(last=2)
    one = train.Trainer(
        model, line(), nn.SGD(model, 0.1), loss=nn.MSELoss(), batch=16, hooks=[watch]
    )
    assert len(one.fit(5)) == 2
    assert len(watch.seen) == 2 * one.steps
    assert all(watch.seen)
    np.testing.assert_array_equal(model.params["bias"], before)


def fitted(path=None, lr=0.1, batch=16, loss=None, optimizer=nn.SGD, schedule=None, **settings):
    model, made = linear(), line()
    steps = optimizer(model, lr)
    return train.Trainer(model, made, steps, schedule and schedule(steps), batch=batch,
                         loss=loss or nn.MSELoss(), checkpoint=path, **settings)  # fmt: skip


CHANGES = {
    ("lr",): {"lr": 0.02},
    ("batch",): {"batch": 8},
    ("patience",): {"patience": 4},
    ("loss",): {"loss": nn.HuberLoss(delta=0.5)},
    ("optimizer",): {"optimizer": nn.Adam},
    ("schedule", "lr"): {"lr": 0.5, "schedule": lambda o: nn.Cosine(o, 9)},
    ("metrics",): {"metrics": {"far": lambda y, target: abs(y - target).max()}},
    ("precision",): {"precision": "float16"},
}


@pytest.mark.parametrize("names", CHANGES, ids=str)
def test_what_is_meant_to_change_is_named(tmp_path, names):
    began = fitted(tmp_path / "m.safetensors")
    began.fit(1)
    read = train.load(tmp_path / "m.safetensors")
    other = fitted(**CHANGES[names])
    with pytest.raises(ValueError, match=f"{names[0]}=.*the checkpoint was made with"):
        other.resume(read)
    assert other.state.epoch == 0
    other.resume(read, change=names)
    for ours, theirs in zip(other.model.parameters(), began.model.parameters(), strict=True):
        np.testing.assert_array_equal(ours.value, theirs.value)
    assert len(other.fit(2)) == 2
    if "lr" in names:
        assert other.optimizer.lr < 0.1 or other.schedule.base == 0.5
    with pytest.raises(ValueError, match="change has seed, which is the same as the checkpoint's"):
        fitted(**CHANGES[names]).resume(read, change=[*names, "seed"])


def test_the_place_in_an_epoch_stays_what_it_counts(tmp_path):
    one = fitted(tmp_path / "m.safetensors")

    def stop(info):
        one.save()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        one.fit(1, stop)
    read = train.load(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match=r"change has batch, and the checkpoint is of step 1 of"):
        fitted(batch=8).resume(read, change=["batch"])
    with pytest.raises(TypeError, match="change='lr'; allowed: a list of names"):
        fitted(lr=0.02).resume(read, change="lr")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "mean"}, "loss is of type str; allowed"),
        ({"hooks": [print]}, "hooks has .*; allowed: of classes derived from Hook"),
        ({"metrics": {"loss": abs}}, r"metrics\['loss'\]=.*; allowed: names of their own"),
        ({"metrics": {"far": 3}}, r"metrics\['far'\]=3; allowed"),
    ],
)
def test_what_is_no_loss_metric_or_hook(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fitted(**settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": [1, 2]}, "inputs holds list; allowed: arrays of float32"),
        ({"inputs": np.zeros(3, np.float16)}, "inputs holds float16; allowed"),
        ({"inputs": ()}, "inputs is an empty tuple"),
        ({"target": np.zeros(4)}, r"target has shape \(4,\); allowed: \(3, ...\)"),
        ({"test": np.array([1])}, "train and test share 1 examples"),
        ({"train": np.array([7])}, "train has indices from 7 to 7; allowed: 0 to 2"),
    ],
)
def test_arrays_that_are_no_examples(change, message):
    good = {"inputs": np.zeros((3, 2)), "target": np.zeros(3), "train": np.array([0, 1]),
            "test": np.array([2])}  # fmt: skip
    data.Arrays(name="good", **good)
    with pytest.raises((TypeError, ValueError), match=message):
        data.Arrays(name="bad", **good | change)


def test_what_changes_batches_returns_batches():
    made = line()
    with pytest.raises(TypeError, match="transform with Arrays; allowed: mix"):
        next(data.batches(made, "train", 4, seed=0, epoch=0, transform=abs))
    with pytest.raises(TypeError, match="mix=3; allowed: None, a function"):
        next(data.batches(made, "train", 4, seed=0, epoch=0, mix=3))
    for wrong in (lambda x, y, rng: x, lambda x, y, rng: (x[1:], y), lambda x, y, rng: (x, 0)):
        with pytest.raises((TypeError, ValueError), match=r"mix returned .*; allowed"):
            next(data.batches(made, "train", 4, seed=0, epoch=0, mix=wrong))
