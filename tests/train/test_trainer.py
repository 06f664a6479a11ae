"""Training: it learns, is reproducible bit for bit, and nothing is lost when it stops."""

import functools
import os
import re
import signal

import numpy as np
import pytest

from pycnn import data, nn, train
from pycnn.runtime.extras import MissingExtra
from pycnn.train.gradients import gradients


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
        ({"batch": 0}, "batch=0; allowed: int >= 1"),
        ({"seed": -1}, "seed=-1; allowed: int >= 0"),
        ({"clip_norm": -1}, "clip_norm=-1: allowed are positive numbers"),
        ({"optimizer": nn.SGD(nn.Linear(1, 1), 0.1)}, "optimizer is of another model"),
        (
            {"schedule": nn.Constant(nn.SGD(nn.Linear(1, 1), 0.1))},
            "schedule is of another optimizer",
        ),
        (
            {"loss": nn.CrossEntropyLoss(reduction="none")},
            "reduction='none'; allowed are 'mean', 'sum'",
        ),
    ],
)
def test_bad_settings(settings, message):
    model = network()
    with pytest.raises(ValueError, match=message):
        train.Trainer(model, digits(), **{"optimizer": nn.SGD(model, 0.1), **settings})
    with pytest.raises(ValueError, match="epochs=0; allowed: int >= 1"):
        trainer().fit(0)
    with pytest.raises(TypeError, match=r"epochs=1.5 is of type float"):
        trainer().fit(1.5)


def test_numbers_of_numpy_are_as_those_of_python(tmp_path):
    """In what is computed, and in a checkpoint."""
    path = tmp_path / "one.safetensors"
    found = []
    for of_int, of_float in ((int, float), (np.int32, np.float32)):
        model = network()
        settings = {"batch": of_int(50), "seed": of_int(3000), "patience": of_int(2),
                    "clip_norm": of_float(0.5), "checkpoint": path}  # fmt: skip
        betas = (of_float(0.5), of_float(0.75))
        loss = nn.CrossEntropyLoss(label_smoothing=of_float(0.125))
        one = train.Trainer(model, digits(), nn.Adam(model, of_float(0.125), betas), loss=loss,
                            **settings)  # fmt: skip
        found.append(one.fit(of_int(1))[-1].loss)
    assert found[0] == found[1]
    one.resume(train.load(path))


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
    loss, accuracy = train.evaluate(model, digits(), "test").values()
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


@pytest.mark.parametrize(
    "change",
    [
        {"state": []}, {"state": {}}, {"state": {"epoch": "1"}},
        {"optimizer_steps": -1.5e400},
        {"optimizer_steps": "many"}, {"lr": None}, {"lr": float("nan")}, {"schedule": []},
        {"schedule": {"base": 1.0, "set": 1.0}}, {"schedule": {"base": "1"}}, {"schedule": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_record_of_training_may_have_any_form(tmp_path, change):
    """The file may be anyone's: nothing of it is taken before all of it is looked at."""
    began = trainer(tmp_path / "m.safetensors")
    began.fit(1)
    read = train.load(tmp_path / "m.safetensors")
    if isinstance(change.get("state"), dict) and change["state"]:
        change = {"state": read.about["training"]["state"] | change["state"]}
    about = read.about | {"training": read.about["training"] | change}
    other, untouched = trainer(), trainer()
    with pytest.raises(ValueError, match="record of its training is of another form"):
        other.resume(train.Checkpoint(read.model, read.optimizer, about))
    assert same(other.model, untouched.model)
    assert vars(other.schedule).keys() == vars(untouched.schedule).keys()
    for training in ([1], "x", 7):
        with pytest.raises(ValueError, match="trained"):
            other.resume(
                train.Checkpoint(read.model, read.optimizer, about | {"training": training})
            )


def test_a_record_of_training_fits_its_epoch(tmp_path):
    began = trainer(tmp_path / "m.safetensors")
    began.fit(1)
    read = train.load(tmp_path / "m.safetensors")
    read.about["training"]["state"]["step"] = 10**12
    with pytest.raises(ValueError, match="record of its training is of another form"):
        trainer().resume(read)


@pytest.mark.parametrize("part", ["conv", "tap.head"])
def test_an_optimiser_of_a_part_is_refused(part):
    model = network()
    with pytest.raises(ValueError, match=f"optimizer is of {part}, a part of the model; allowed"):
        train.Trainer(model, digits(), nn.SGD(model.at(part), 0.1))


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.BCEWithLogitsLoss(), "cross entropy"])
def test_a_loss_whose_targets_are_no_classes_is_refused(loss):
    model = network()
    with pytest.raises(TypeError, match=r"allowed: CrossEntropyLoss, NLLLoss, or a Loss of your"):
        train.Trainer(model, digits(), nn.SGD(model, 0.1), loss=loss)
    with pytest.raises(TypeError, match=r"allowed: CrossEntropyLoss, NLLLoss, or a Loss of your"):
        train.evaluate(model, digits(), loss=loss)


def dense(*last):
    with nn.seeded(0):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), *last)


def test_a_sum_of_losses_is_shown_as_its_mean():
    """A step so small that nothing moves: both losses are the mean over the epoch's examples."""
    losses = []
    for reduction in ("mean", "sum"):
        model = dense()
        loss = nn.CrossEntropyLoss(reduction=reduction)
        one = train.Trainer(model, digits(), nn.SGD(model, 1e-12), batch=100, loss=loss)
        losses += [one.fit(1)[0].loss, one.evaluate("train")["loss"]]
    x, y = (a[digits().train] for a in (digits().images, digits().labels))
    expected = float(nn.CrossEntropyLoss()(model(digits().normalised(x)), y))
    assert losses == pytest.approx([expected] * 4, rel=1e-5)


@pytest.mark.parametrize("loss", [None, nn.NLLLoss()])
def test_a_model_that_ends_in_softmax_is_refused(loss):
    model = dense(nn.Softmax())
    with pytest.raises(ValueError, match=r"the model ends in Softmax; .*Loss takes"):
        train.Trainer(model, digits(), nn.SGD(model, 0.1), loss=loss)


def test_log_probabilities_train_as_scores_do():
    runs = []
    for model, loss in ((dense(), None), (dense(nn.LogSoftmax()), nn.NLLLoss())):
        train.Trainer(model, digits(), nn.SGD(model, 0.1), batch=200, loss=loss).fit(1)
        runs.append(model.at("1").params["weight"])
    np.testing.assert_allclose(*runs, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_are_refused(dtype):
    model = dense().to(dtype)
    with pytest.raises(ValueError, match=f"the model is {dtype}; allowed for training: float32"):
        train.Trainer(model, digits(), nn.SGD(model, 0.1))
    assert 0 <= train.evaluate(model, digits())["accuracy"] <= 1  # but can be evaluated
    later = dense()
    one = train.Trainer(later, digits(), nn.SGD(later, 0.1))
    later.to(dtype)
    with pytest.raises(ValueError, match=f"the model is {dtype}; allowed for training: float32"):
        one.fit(1)
    later.at("1").params["weight"] = np.zeros((10, 64), np.float32)
    with pytest.raises(ValueError, match=f"the model is {dtype} and float32; allowed"):
        train.Trainer(later, digits(), nn.SGD(later, 0.1))


def test_double_precision_trains_as_single_does(tmp_path):
    runs, path = [], tmp_path / "m.safetensors"
    for dtype in ("float32", "float64"):
        model = dense().to(dtype)
        train.Trainer(model, digits(), nn.Adam(model), batch=200, checkpoint=path).fit(1)
        runs.append(model.at("1").params["weight"])
    assert runs[1].dtype == np.float64
    np.testing.assert_allclose(*runs, atol=1e-5)
    other = dense().to("float64")
    again = train.Trainer(other, digits(), nn.Adam(other), batch=200)
    again.resume(train.load(path))
    assert same(other, model)


def test_a_layer_in_evaluation_mode_stays_in_it():
    one = trainer()
    norm = one.model.at("norm").eval()
    before = norm.buffers["running_mean"].copy()
    one.fit(1)
    assert not norm.training
    assert one.model.at("drop").training
    assert (norm.buffers["running_mean"] == before).all()
    whole = trainer()
    whole.model.eval()
    whole.fit(1)  # as a whole, it goes into training mode
    assert whole.model.at("norm").buffers["running_mean"].any()
    whole.model.eval().at("dense").train()
    with pytest.raises(ValueError, match="is in evaluation mode, and dense in training mode; call"):
        whole.fit(2)


def test_a_head_in_evaluation_mode_is_not_trained():
    one = trainer()
    head = one.model.at("tap").eval().children["head"]
    before = head.params["weight"].copy()
    one.fit(1)
    assert (head.params["weight"] == before).all()


def test_no_images_to_test_with():
    import dataclasses

    model = dense()
    without = dataclasses.replace(digits(), test=np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="digits has no images to test with; allowed: 1 and more"):
        train.Trainer(model, without, nn.SGD(model, 0.1))
    with pytest.raises(ValueError, match="digits has no images in 'test'"):
        train.evaluate(model, without)


def spoil_the_last_step(one, name, value):
    """An optimiser whose last step of the epoch leaves `value` in the array called `name`."""
    step = one.optimizer.step

    def spoiled():
        step()
        if one.optimizer.steps == one.steps:
            one.model.state_dict()[name][...] = value

    one.optimizer.step = spoiled


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("dense.bias", np.nan, "the parameter dense.bias is not finite after step 15 of epoch 1"),
        ("norm.running_var", np.inf, "the buffer norm.running_var is not finite after step 15"),
    ],
)
def test_what_the_last_step_of_an_epoch_breaks_is_named(tmp_path, name, value, message):
    path = tmp_path / "m.safetensors"
    one = trainer(path)
    one.save()
    kept = path.read_bytes()
    assert one.steps == 15
    spoil_the_last_step(one, name, value)
    with pytest.raises(train.Diverged, match=message):
        one.fit(1)
    assert path.read_bytes() == kept

    def interrupt(info):
        if info.step == info.steps:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = trainer(path)
    spoil_the_last_step(stopped, name, value)
    with pytest.raises(train.Diverged, match=message):
        stopped.fit(1, interrupt)
    assert path.read_bytes() == kept


def test_a_test_loss_that_is_not_finite_is_told(monkeypatch):
    one = trainer()
    monkeypatch.setattr(one, "evaluate", lambda: {"loss": np.inf})
    with pytest.raises(train.Diverged, match="the test loss after epoch 1 is inf"):
        one.fit(1)


def test_the_loss_that_is_shown_is_without_the_heads():
    losses = []
    for weight in (0.3, 1e6):
        model = network()
        model.at("tap").weight = weight
        one = train.Trainer(model, digits(), nn.SGD(model, 1e-12), batch=100)
        losses.append(one.fit(1)[0].loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


OTHER = {
    "lr=0.1: the checkpoint was made with 0.003": {"lr": 0.1},
    "optimizer.betas=[0.8, 0.9]: the checkpoint was made with [0.9, 0.999]": {"betas": (0.8, 0.9)},
    "optimizer.weight_decay=0.5: the checkpoint was made with 0.0": {"weight_decay": 0.5},
    "schedule='Constant': the checkpoint was made with 'Cosine'": {"schedule": nn.Constant},
    "schedule.epochs=4: the checkpoint was made with 3": {"schedule": lambda o: nn.Cosine(o, 4)},
    'transform="RandomCrop(padding=2': {"transform": data.augment.RandomCrop(2)},
    "clip_norm=0.5: the checkpoint was made with None": {"clip_norm": 0.5},
    "batch=50: the checkpoint was made with 100": {"batch": 50},
    "loss.label_smoothing=0.1: the": {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)},
    "loss.weight=[1.0, 1.0": {"loss": nn.CrossEntropyLoss(np.ones(10, np.float32))},
    "layer drop='Dropout(0.4)'": {"edit": lambda m: setattr(m.at("drop"), "p", 0.4)},
    "layer tap=\"Tap {'weight'": {"edit": lambda m: setattr(m.at("tap"), "weight", 0.5)},
    "layers in evaluation mode=['norm']: the": {"edit": lambda m: m.at("norm").eval()},
    "dtype='float64': the checkpoint was made": {"edit": lambda m: m.to("float64")},
    "training images=1000: the checkpoint was made with": {"count": 1000},
}


@pytest.mark.parametrize("message", OTHER)
def test_whatever_differs_from_the_checkpoint_is_named_and_refused(tmp_path, message):
    def make(lr=3e-3, edit=None, count=None, schedule=None, batch=100, **settings):
        model = network()
        (edit or len)(model)
        decay, betas = settings.pop("weight_decay", 0.0), settings.pop("betas", (0.9, 0.999))
        adam = nn.Adam(model, lr, betas, weight_decay=decay)
        images = digits().subset("train", count) if count else digits()
        settings = {"transform": data.augment.RandomCrop(1)} | settings
        return train.Trainer(
            model, images, adam, schedule(adam) if schedule else nn.Cosine(adam, 3), batch=batch,
            checkpoint=tmp_path / "m.safetensors", **settings,
        )  # fmt: skip

    make().save()
    checkpoint = train.load(tmp_path / "m.safetensors")
    make().resume(checkpoint)
    other = make(**OTHER[message])
    with pytest.raises(ValueError, match=re.escape(message)):
        other.resume(checkpoint)
    assert other.state == train.trainer.TrainState()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_training_in_16_bits_goes_on_bit_for_bit(tmp_path, precision):
    """A step that overflows is left out."""

    def make(name):
        one = trainer(tmp_path / name, precision=precision)
        if one.scale is not None:
            one.scale.scale = 2.0**26  # the first steps overflow
        return one

    whole = make("whole.safetensors")
    history = whole.fit(2)
    if precision == "float16":
        assert whole.scale.scale < 2.0**26
    half = make("half.safetensors")
    half.fit(1)
    again = make("half.safetensors")
    again.resume(train.load(tmp_path / "half.safetensors"))
    assert again.fit(2)[-1].test_loss == history[-1].test_loss
    for ours, theirs in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        assert ours.value.dtype == "float32"
        np.testing.assert_array_equal(ours.value, theirs.value)
    with pytest.raises(ValueError, match=r"precision=None: the checkpoint was made with"):
        trainer(tmp_path / "x").resume(train.load(tmp_path / "half.safetensors"))


def test_training_in_16_bits_is_as_good():
    reached = {}
    for precision in (None, "bfloat16", "float16"):
        with nn.seeded(0):
            model = nn.Sequential(
                nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)
            )
        one = train.Trainer(model, digits(), nn.Adam(model, 1e-2), precision=precision)
        reached[precision] = one.fit(2)[-1].test_accuracy
    assert min(reached.values()) > max(reached.values()) - 0.02 > 0.9, reached


def test_a_wrong_precision_is_refused():
    with pytest.raises(ValueError, match="precision='float8': allowed are float16, bfloat16"):
        trainer(precision="float8")
    model = network().to("float64")
    with pytest.raises(ValueError, match="precision='float16' for a model in float64"):
        train.Trainer(model, digits(), nn.Adam(model, 1e-3), precision="float16")


def test_a_batch_in_parts_is_the_same_batch():
    """Without what looks at a batch as a whole: the same sums, in another order."""
    moved = []
    for parts in (1, 3):
        with nn.seeded(2):
            model = nn.Sequential(
                nn.Flatten(), nn.Linear(64, 9), tap=nn.Tap(nn.Linear(9, 10)), dense=nn.Linear(9, 10)
            ).to("float64")
        one = train.Trainer(model, digits(), nn.SGD(model, 0.1), batch=100, accumulate=parts)
        row = one.fit(1)[-1]
        moved.append([row.loss, row.accuracy, *(p.value for p in model.parameters())])
    for whole, parts in zip(*moved, strict=True):
        np.testing.assert_allclose(parts, whole, rtol=1e-9)


@pytest.mark.parametrize(
    "settings",
    [
        {"weight": np.linspace(0.1, 3, 10)},
        {"ignore_index": 3},
        {"weight": np.eye(10)[3] + np.eye(10)[4], "ignore_index": 4},  # parts that count nothing
        {"weight": np.linspace(0.1, 3, 10), "label_smoothing": 0.2},
        {"weight": np.eye(10)[3] + np.eye(10)[4], "label_smoothing": 0.2},  # but smooth something
        {"reduction": "sum"},
    ],
)
def test_parts_count_by_what_the_loss_counts(settings):
    rng = np.random.default_rng(0)
    with nn.seeded(1):
        model = nn.Linear(5, 10).to("float64")
    x, labels = rng.standard_normal((23, 5)), rng.permutation(np.arange(23) % 10)
    got = []
    for count in (1, 6):
        pieces = zip(np.array_split(x, count), np.array_split(labels, count), strict=True)
        batch = gradients(
            model, nn.CrossEntropyLoss(**settings), [((piece,), own) for piece, own in pieces],
            metrics={"accuracy": train.accuracy},
        )  # fmt: skip
        figures = [batch.loss, batch.total, batch.metrics["accuracy"]]
        got.append([*figures, *(p.grad for p in model.parameters())])
    for whole, apart in zip(*got, strict=True):
        np.testing.assert_allclose(apart, whole, rtol=1e-9, atol=1e-12)


def test_rates_by_the_step():
    with nn.seeded(0):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    adam = nn.Adam(model, 1e-2)
    one = train.Trainer(model, digits(), adam, nn.Cosine(adam, 2), batch=500, by_step=True)
    rates = []
    one.fit(2, lambda info: rates.append(adam.lr))
    assert len(rates) == 2 * one.steps
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == len(rates)
    for wrong in ({"accumulate": 0}, {"accumulate": 65}, {"patience": 0}, {"patience": 1.5}):
        with pytest.raises((TypeError, ValueError), match=f"{next(iter(wrong))}=.*allowed"):
            train.Trainer(model, digits(), adam, **wrong)
    with pytest.raises(ValueError, match="best and checkpoint are both x; allowed: a file of"):
        train.Trainer(model, digits(), adam, best="x", checkpoint="x")
    with pytest.raises(ValueError, match="by_step=True with Plateau"):
        train.Trainer(model, digits(), adam, nn.Plateau(adam), by_step=True)


def test_training_stops_when_nothing_is_gained_and_the_best_is_kept(tmp_path, monkeypatch):
    losses = iter([0.5, 0.3, 0.4, 0.35, 0.2])
    one = trainer(tmp_path / "last.safetensors", patience=2, best=tmp_path / "best.safetensors")
    monkeypatch.setattr(one, "evaluate", lambda part="test": {"loss": next(losses)})
    assert [row.test_loss for row in one.fit(5)] == [0.5, 0.3, 0.4, 0.35]
    best = train.load(tmp_path / "best.safetensors")
    last = train.load(tmp_path / "last.safetensors")
    assert best.about["training"]["state"]["epoch"] == 2
    assert last.about["training"]["state"]["epoch"] == 4
