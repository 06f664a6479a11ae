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
    model = models.create("cifar_resnet20", width=0.5, classes=len(patches.classes))
    flip = data.augment.HorizontalFlip()
    history = fit(model, patches, 8, 3e-3, cosine=True, batch=32, transform=flip)
    assert history[-1].test_accuracy >= 0.84


@pytest.mark.slow
def test_a_residual_network_learns_a_few_patches_by_heart():
    patches = data.load("photo_patches").subset("train", 128)
    model = models.create("cifar_resnet20", width=0.5, classes=len(patches.classes))
    optimizer, loss = nn.Adam(model, lr=5e-3), nn.CrossEntropyLoss()
    schedule = nn.Cosine(optimizer, 25)
    x, labels = patches.normalised(patches.images[patches.train]), patches.labels[patches.train]
    for epoch in range(25):
        schedule.set(epoch)
        order = np.random.default_rng(epoch).permutation(128)
        for chosen in np.split(order, 8):
            model.zero_grad()
            loss.forward(model.forward(x[chosen]), labels[chosen])
            model.backward(loss.backward(), needs_dx=False)
            optimizer.step()
    assert (model.eval()(x).argmax(axis=1) == labels).all()
