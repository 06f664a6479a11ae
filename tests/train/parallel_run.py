"""What each process of the tests of parallel training runs: parallel_run.py WHAT [FILE]

It prints, once for each process, rank, size and what came of it.
"""

import dataclasses
import hashlib
import os
import resource
import signal
import sys
import time
import tracemalloc

import numpy as np

import pycnn
from pycnn import data, nn, train
from pycnn.nn.arrays import to_numpy
from pycnn.train.parallel import MpiCommunicator, one_copy


def examples():
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (530, 1, 8, 8)).astype(np.uint8)
    labels = rng.integers(0, 10, 530)
    return data.DataSet.of(
        "random", images, labels, tuple("0123456789"), np.arange(425), np.arange(425, 530)
    )


class Twice(nn.Layer):
    """A layer that leaves statistics twice, for which the message of figures has no room."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def compute(self, x):
        return self.layer(self.layer(x))


def network(dropout=0.2, norm=Twice):
    """Everything that has a state of its own, and a parameter that no gradient reaches."""
    with nn.seeded(0):
        return nn.Sequential(
            conv=nn.Conv2d(1, 4, 3), norm=norm(nn.BatchNorm2d(4)), act=nn.ReLU(), flat=nn.Flatten(),
            tap=nn.Tap(nn.Linear(144, 10)), drop=nn.Dropout(dropout), dense=nn.Linear(144, 10),
        )  # fmt: skip


def trainer(comm, parts=6, path=None, **settings):
    model = network()
    optimizer = nn.Adam(model, 3e-3, weight_decay=0.01)
    return train.Trainer(
        model, one_copy(examples, comm), optimizer, nn.Cosine(optimizer, 3), batch=100,
        accumulate=parts, transform=data.augment.RandomCrop(1), clip_norm=1.0,
        loss=nn.CrossEntropyLoss(weight=np.linspace(0.5, 2, 10, dtype=np.float32)), checkpoint=path,
        comm=comm, **settings,
    )  # fmt: skip


def weights(one):
    arrays = {**one.model.state_dict(), **one.optimizer.state_dict()}
    return hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()


def figures(one):
    row = one.state.history[-1]
    return [weights(one)[:16], row.loss, row.accuracy, row.test_loss, row.test_accuracy]


def same(comm, path):
    one = trainer(comm)
    one.fit(2)
    return figures(one)


def stopped(comm, path):
    """Ends after the first epoch; what goes on from there is `resumed`."""
    one = trainer(comm, path=path)
    one.fit(1)
    return figures(one)


def resumed(comm, path):
    one = trainer(comm)
    one.resume(train.load(path))
    one.fit(2)
    return figures(one)


def counted(comm, path):
    """What goes round in one step."""
    said = []

    class Watch(train.Hook):
        def step(self, trainer, info):
            if info.step == 2:
                for name in ("everyones", "rows", "exchanged", "joined"):
                    setattr(comm, name, noting(name, getattr(comm, name)))
            if info.step == 3:
                for name in ("everyones", "rows", "exchanged", "joined"):
                    delattr(comm, name)

    def noting(name, method):
        return lambda *arguments: (said.append(name), method(*arguments))[1]

    with nn.seeded(0):
        model = network(norm=lambda layer: layer)
    train.Trainer(
        model, one_copy(examples, comm), nn.SGD(model, 0.1), batch=100, comm=comm, hooks=[Watch()]
    ).fit(1)
    return sorted(said)


def memory(comm, path):
    """What is held after a step and the most within one, in sizes of the model."""

    def images():
        labels = np.arange(20000) % 10
        train, test = np.arange(200), np.arange(200, 300)
        return data.DataSet.of(
            "even", np.zeros((20000, 1, 16, 32), np.uint8), labels, tuple("0123456789"), train, test
        )

    found = []

    class Measure(train.Hook):
        def step(self, trainer, info):
            found[:] = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()

    tracemalloc.start()
    with nn.seeded(0):
        model = nn.Sequential(
            nn.Flatten(),
            *(nn.Linear(512, 512, bias=False) for _ in range(4)),
            nn.Linear(512, 10),
        )
    one = train.Trainer(
        model, one_copy(images, comm), nn.SGD(model, 0.1, momentum=0.9), batch=20, comm=comm,
        hooks=[Measure()],
    )  # fmt: skip
    one.fit(1)
    size = sum(p.value.nbytes for p in model.parameters())
    return [round(value / size, 2) for value in found]


class ByTheHost:
    """The place of NCCL, which needs a GPU for each process."""

    def __init__(self, comm):
        self.comm, self.calls = comm, 0

    def all_reduce(self, array, out, stream):
        self.calls += 1
        stream.synchronize()
        everyones = self.comm.rows(array.get()).result()
        out.set(everyones.sum(axis=0, dtype=array.dtype), stream=stream)


def on_gpus(comm, path):
    """Furthest difference of any parameter, trained on a GPU and not; how many sums it took."""
    got = []
    comm._nccl = ByTheHost(comm)
    few = examples()
    few = dataclasses.replace(few, train=few.train[:20], test=few.test[:8])
    for device in ("cpu", "cuda"):
        model = network(dropout=0.0).to(device)
        optimizer = nn.SGD(model, 0.05, momentum=0.9)
        train.Trainer(model, few, optimizer, batch=10, accumulate=4, comm=comm).fit(1)
        got.append([to_numpy(array) for array in model.state_dict().values()])
    return [max(float(np.abs(a - b).max()) for a, b in zip(*got, strict=True)), comm._nccl.calls]


def asked(comm, path):
    """Ctrl-C of one of them, while a step is computed."""

    class Ask(train.Hook):
        def gradients(self, trainer):
            if comm.rank == 1 and trainer.state.step == 0:
                os.kill(os.getpid(), signal.SIGINT)

    one = trainer(comm, path=path, hooks=[Ask()])
    try:
        one.fit(2)
    except train.Interrupted:
        return [one.state.step]
    raise AssertionError("it went on")


def together(comm, path):
    """Batch normalisation over all parts, on the whole batch for one process."""
    model = network(dropout=0.0)
    optimizer = nn.SGD(model, 0.05)
    one = train.Trainer(
        model, one_copy(examples, comm), optimizer, batch=85, comm=comm, sync_batch_norm=True
    )
    one.fit(2)
    return [float(np.abs(array.astype(float)).sum()) for array in model.state_dict().values()]


def different(comm, path):
    one = trainer(comm)
    if comm.rank == 1:
        next(iter(one.model.parameters())).value[...] += 1
    with comm.together():
        one.fit(1)


def ignored(comm, path):
    """Parts in which no example counts, and statistics that all wait for."""
    rng = np.random.default_rng(0)
    target = np.full(16, -100)
    target[[0, 1, 2, 3, 13]] = 0, 1, 2, 1, 1
    few = data.Arrays(
        name="few", inputs=rng.standard_normal((16, 2, 4, 4), np.float32), target=target,
        train=np.arange(12), test=np.arange(12, 16),
    )  # fmt: skip
    with nn.seeded(0):
        model = nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 3)
        )
    one = train.Trainer(model, few, nn.SGD(model, 0.1), batch=12, comm=comm, sync_batch_norm=True)
    row = one.fit(3)[-1]
    return [row.loss, row.test_loss]


def stopped_by_one(comm, path):
    """A hook of one process says that it is enough."""

    class Enough(train.Hook):
        def epoch(self, trainer, row):
            return comm.rank == 1

    one = trainer(comm, hooks=[Enough()])
    one.fit(3)
    return figures(one)


def of_other_data(comm, path):
    """The same in form and order, and other values."""
    one = trainer(comm)
    one.data.labels[0] = comm.rank
    with comm.together():
        one.fit(1)


def interrupted(comm, path):
    """Ctrl-C where one of them is, outside a step."""
    with comm.together():
        if comm.rank == 1:
            raise KeyboardInterrupt
        comm.everyones(None)


def two_failed(comm, path):
    """An error of several, but not of the first."""
    with comm.together():
        if comm.rank:
            raise OSError("no space left")
        comm.everyones(None)


def late(comm, path):
    """One of them hangs in the second epoch."""

    class Hang(train.Hook):
        def step(self, trainer, info):
            if comm.rank == 1 and info.epoch == 2:
                time.sleep(600)

    comm.patience = 2
    trainer(comm, path=path, hooks=[Hang()]).fit(3)


def slow(comm, path):
    """Steps that take most of the patience, and one of one process more than all of it."""

    class Slow(train.Hook):
        def step(self, trainer, info):
            time.sleep(1.0 + 1.8 * (comm.rank == 1 and info.step == 3))

    comm.patience = 1.2
    one = trainer(comm, hooks=[Slow()])
    one.fit(1)
    return figures(one)


def stopped_by_signal(comm, path):
    """One of them is stopped, as by Ctrl-Z, in the second epoch."""

    class Stop(train.Hook):
        def step(self, trainer, info):
            if comm.rank == 2 and info.epoch == 2:
                os.kill(os.getpid(), signal.SIGSTOP)

    comm.patience = 2
    trainer(comm, path=path, hooks=[Stop()]).fit(3)


def full(comm, path):
    """The disk of the first one is full when it writes the second checkpoint."""

    class Fill(train.Hook):
        def step(self, trainer, info):
            if comm.rank == 0 and info.epoch == 2:
                resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))

    with comm.together():
        trainer(comm, path=path, hooks=[Fill()]).fit(3)


def too_many(comm, path):
    """Processes for a batch of two."""
    with comm.together():
        model = network()
        train.Trainer(model, one_copy(examples, comm), nn.SGD(model, 0.1), batch=2, comm=comm)


def other_version(comm, path):
    """One of them is of another release."""
    if comm.rank == 1:
        pycnn.__version__ = "0.0.9"
    with comm.together():
        trainer(comm).fit(1)


def killed(comm, path):
    """One of them dies in the second epoch."""

    class Die(train.Hook):
        def step(self, trainer, info):
            if comm.rank == 1 and info.epoch == 2:
                os.kill(os.getpid(), signal.SIGKILL)

    trainer(comm, path=path, hooks=[Die()]).fit(3)


def raised(comm, path):
    """One of them has an error of its own in the second epoch."""

    class Fail(train.Hook):
        def step(self, trainer, info):
            if comm.rank == 1 and info.epoch == 2:
                raise OSError("no space left")

    trainer(comm, path=path, hooks=[Fail()]).fit(3)


def failed(comm, path):
    """The same, told as a command tells it."""
    with comm.together():
        raised(comm, path)


if __name__ == "__main__":
    processes = train.processes()
    if processes.size > 1:
        assert isinstance(processes, MpiCommunicator)
    found = globals()[sys.argv[1]](processes, *(sys.argv[2:] or [None]))
    for rank in range(processes.size):  # lines of several processes may mix
        processes.everyones(None)
        if rank == processes.rank:
            print(rank, processes.size, *found, flush=True)
