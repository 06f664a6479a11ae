"""Training: it learns, is reproducible bit for bit, and nothing is lost when it stops."""

import functools
import os
import signal

import numpy as np
import pytest

from pycnn import data, nn, train
from pycnn.runtime.extras import MissingExtra


@functools.cache
def digits():
    try:
        return data.load("digits")
    except MissingExtra as missing:
        pytest.skip(str(missing))


def network(seed=0):
    """Convolution, batch normalisation, dropout and a tap: all that has a state of its own."""
    with nn.seeded(seed):
        return nn.Sequential(
            conv=nn.Conv2d(1, 4, 3), norm=nn.BatchNorm2d(4), act=nn.ReLU(), flat=nn.Flatten(),
            tap=nn.Tap(nn.Linear(144, 10)), drop=nn.Dropout(0.2), dense=nn.Linear(144, 10),
        )  # fmt: skip


def trainer(path=None, seed=0, **settings):
    model = network()
    optimizer = nn.Adam(model, 3e-3)
    return train.Trainer(
        model, digits(), optimizer, nn.Cosine(optimizer, 3), batch=100, seed=seed,
        transform=data.augment.RandomCrop(1), checkpoint=path, **settings,
    )  # fmt: skip


def same(one, other):
    return all(
        a.tobytes() == b.tobytes()
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_it_learns():
    model = network()
    optimizer = nn.Adam(model, 2e-2)
    history = train.Trainer(model, digits(), optimizer, nn.Step(optimizer, 2, 0.5)).fit(4)
    assert [row.epoch for row in history] == [1, 2, 3, 4]
    assert history[3].loss < history[0].loss / 4
    assert history[3].test_accuracy > 0.9
    assert [row.lr for row in history] == pytest.approx([2e-2, 2e-2, 1e-2, 1e-2])


def test_the_same_seed_gives_the_same_bits():
    runs = [trainer(seed=seed) for seed in (0, 0, 1)]
    for one in runs:
        one.fit(1)
    assert same(runs[0].model, runs[1].model)
    assert not same(runs[0].model, runs[2].model)


@pytest.mark.parametrize("steps", [0, 1, 9, 14, 20])
def test_resumed_equals_uninterrupted(tmp_path, steps):
    """Ctrl-C after some steps, in either epoch; then on from the file, in new objects."""
    whole = trainer()
    whole.fit(2)
    path = tmp_path / "part.safetensors"
    part = trainer(path)
    seen = 0

    def interrupt(moment):
        nonlocal seen
        seen += 1
        if seen == max(steps, 1):
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(train.Interrupted, match=f"saved; go on with --resume {path}"):
        part.fit(2, interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    again = trainer(path)
    again.resume(train.load(path))
    assert again.state == part.state
    again.fit(2)
    assert same(again.model, whole.model)
    figures = [(r.loss, r.accuracy, r.test_loss, r.test_accuracy, r.lr)
               for t in (whole, again) for r in t.state.history]  # fmt: skip
    assert figures[:2] == figures[2:]


def test_nothing_is_saved_without_a_file():
    with pytest.raises(train.Interrupted, match="nothing saved, as no checkpoint was asked for"):
        trainer().fit(1, lambda moment: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(ValueError, match="checkpoint=None: nowhere to save to"):
        trainer().save()


def test_the_layer_that_diverged_first_is_named(tmp_path):
    path = tmp_path / "last.safetensors"
    one = trainer(path)
    one.save()
    kept = path.read_bytes()
    one.model.at("norm").buffers["running_mean"][...] = 0
    one.model.at("dense").params["weight"][3, 5] = np.inf
    with pytest.raises(train.Diverged, match=r"step 1 of epoch 1 is nan.*parameter dense.weight"):
        one.fit(1)
    assert path.read_bytes() == kept
    huge = trainer()
    huge.model.at("conv").params["weight"][...] = 3e38
    with pytest.raises(train.Diverged, match=r"first to make such a number is layer conv, Conv2d"):
        huge.fit(1)


def test_taps_are_trained():
    one = trainer()
    before = one.model.at("tap.head").params["weight"].copy()
    one.fit(1)
    assert not (one.model.at("tap.head").params["weight"] == before).all()


def test_gradients_can_be_clipped():
    model = network()
    one = train.Trainer(model, digits(), nn.SGD(model, 1.0), clip_norm=1e-6, batch=500)
    before = {p.name: p.value.copy() for p in model.parameters()}
    one.fit(1)
    moved = sum(float(((p.value - before[p.name]) ** 2).sum()) for p in model.parameters()) ** 0.5
    assert 0 < moved <= one.steps * 1.01e-6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 0}, "batch=0: allowed are 1 and more"),
        ({"optimizer": nn.SGD(nn.Linear(1, 1), 0.1)}, "optimizer is of another model"),
    ],
)
def test_bad_settings(settings, message):
    model = network()
    with pytest.raises(ValueError, match=message):
        train.Trainer(model, digits(), **{"optimizer": nn.SGD(model, 0.1), **settings})
    with pytest.raises(ValueError, match="epochs=0: allowed are 1 and more"):
        trainer().fit(0)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "one.safetensors"
    trainer(path).save()
    with pytest.raises(ValueError, match="seed=1: the checkpoint was made with 0"):
        trainer(seed=1).resume(train.load(path))
    model = network()
    other = train.Trainer(model, digits(), nn.SGD(model, 0.1), batch=100)
    with pytest.raises(ValueError, match="optimizer='SGD': the checkpoint was made with 'Adam'"):
        other.resume(train.load(path))
    alone = tmp_path / "alone.safetensors"
    train.save(alone, model)
    with pytest.raises(ValueError, match="holds a model alone, and no training to resume"):
        trainer().resume(train.load(alone))


def test_evaluation_leaves_the_mode_and_the_statistics(tmp_path):
    model = network()
    before = model.at("norm").buffers["running_mean"].copy()
    loss, accuracy = train.evaluate(model, digits(), "test")
    assert model.training
    assert (model.at("norm").buffers["running_mean"] == before).all()
    x = digits().normalised(digits().images[digits().test])
    y = digits().labels[digits().test]
    scores = model.eval()(x).astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    assert loss == pytest.approx(-logs[np.arange(len(y)), y].mean(), rel=1e-5)
    assert accuracy == pytest.approx((scores.argmax(axis=1) == y).mean())


def test_evaluation_leaves_every_layer_in_its_own_mode():
    model = network()
    model.at("norm").eval()  # frozen, as in fine-tuning
    train.evaluate(model, digits())
    assert not model.at("norm").training
    assert model.at("drop").training
    loss = nn.CrossEntropyLoss(ignore_index=3.5)
    with pytest.raises(TypeError, match="ignore_index"):
        train.evaluate(model, digits(), loss=loss)
    assert model.training
