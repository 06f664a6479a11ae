"""What training must reach, on real data at full size. Times are measured in `benchmarks/`."""

import numpy as np
import pytest

from pycnn import data, models, nn, train


def fit(model, dataset, epochs, lr=1e-3, **settings):
    optimizer = nn.Adam(model, lr)
    schedule = nn.Cosine(optimizer, epochs) if settings.pop("cosine", False) else None
    return train.Trainer(model, dataset, optimizer, schedule, **settings).fit(epochs)


@pytest.mark.slow
def test_lenet_reads_digits():
    history = fit(models.create("lenet5"), data.load("mnist5k"), epochs=10)
    assert max(row.test_accuracy for row in history[-3:]) >= 0.955


@pytest.mark.exhaustive
def test_lenet_tells_clothes_apart():
    try:
        clothes = data.load("fashion_mnist")
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    history = fit(models.create("lenet5"), clothes, epochs=3)
    assert history[-1].test_accuracy >= 0.87


@pytest.mark.exhaustive
def test_a_small_network_tells_photos_apart():
    patches = data.load("photo_patches")
    with nn.seeded(0):
        model = nn.Sequential(
            *block(3, 16), *block(16, 32), *block(32, 64), nn.Flatten(),
            nn.Linear(1024, len(patches.classes)),
        )  # fmt: skip
    flip = data.augment.HorizontalFlip()
    history = fit(model, patches, 5, 2e-3, cosine=True, batch=32, transform=flip)
    assert history[-1].test_accuracy >= 0.84


def block(inputs, outputs):
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
        nn.MaxPool2d(2),
    )  # fmt: skip


@pytest.mark.exhaustive
def test_a_residual_network_learns_patches_by_heart():
    """128 patches that show something: of two black ones, nobody can tell whose photo it is.

    But for a few: which way the last steps go hangs on the last bits of sums.
    """
    patches = data.load("photo_patches")
    of_train = patches.images[patches.train]
    shows = of_train.reshape(len(of_train), -1).std(axis=1) > 25
    chosen = np.random.default_rng(0).permutation(patches.train[shows])[:128]
    x, labels = patches.normalised(patches.images[chosen]), patches.labels[chosen]
    model = models.create("cifar_resnet20", classes=len(patches.classes))
    optimizer, loss = nn.Adam(model, lr=3e-3), nn.CrossEntropyLoss()
    schedule = nn.Cosine(optimizer, 48)
    for epoch in range(48):
        schedule.set(epoch)
        for some in np.split(np.random.default_rng(epoch).permutation(128), 8):
            model.zero_grad()
            loss.forward(model.forward(x[some]), labels[some])
            model.backward(loss.backward(), needs_dx=False)
            optimizer.step()
    assert (model.eval()(x).argmax(axis=1) == labels).sum() >= 122
