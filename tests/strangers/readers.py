"""Everything in pycnn that reads a file: good files, the reader, and what it may refuse with."""

import gzip
import io
import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from mutations import changed_bytes, changed_json

from pycnn import models, nn, train
from pycnn.bench import compare, record
from pycnn.data import DataSet, read_idx, read_image
from pycnn.data.image import FORMATS
from pycnn.models.safe_pickle import read_arrays

Make = Callable[[np.random.Generator], bytes]


@dataclass(frozen=True)
class Reader:
    """How a file is made from a generator, and what reads it; refusals are ValueErrors."""

    make: Make
    read: Callable[[Path], object]


def of_samples(samples: Callable[[], tuple[bytes, ...]]) -> Make:
    """Changes of the bytes of one of the samples."""

    def make(rng: np.random.Generator) -> bytes:
        found = samples()
        return changed_bytes(rng, found[rng.integers(len(found))])

    return make


@cache
def _trainer() -> train.Trainer:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 1, 28, 28), dtype=np.uint8)
    order, labels = np.arange(12), np.arange(12) % 10
    names = tuple("0123456789")
    data = DataSet.of("tiny", images, labels, names, train=order[:8], test=order[8:])
    model = models.create("lenet5", width=0.1)
    return train.Trainer(model, data, nn.Adam(model), batch=4)


@cache
def _checkpoint() -> bytes:
    """Of a training of one epoch."""
    import tempfile

    trainer = _trainer()
    with tempfile.TemporaryDirectory() as folder:
        trainer.checkpoint = Path(folder) / "m.safetensors"
        trainer.fit(1)
        trainer.checkpoint, data = None, trainer.checkpoint.read_bytes()
    return data


def _repacked(rng: np.random.Generator) -> bytes:
    """A checkpoint whose arrays are whole, and what it says about itself is not."""
    data = _checkpoint()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    about = json.loads(header["__metadata__"]["about"])
    header["__metadata__"]["about"] = changed_json(rng, about)
    packed = json.dumps(header).encode()
    return struct.pack("<Q", len(packed)) + packed + data[8 + length :]


def _use(path: Path) -> None:
    train.load(path)
    train.load_model(path)
    train.Predictor.from_checkpoint(path)


def _resume(path: Path) -> None:
    trainer = _trainer()
    trainer.resume(train.load(path))
    trainer.fit(trainer.state.epoch or 1)


def _record(number: int) -> dict[str, Any]:
    return {
        "suite": "lenet5", "layer": f"c{number}", "count": 1, "op": "conv2d",
        "direction": "forward", "shape": "n1c1h28w28k6r5s5", "dtype": "float32", "layout": "NCHW",
        "backend": "reference", "algorithm": "im2col", "status": "timed", "time_ms": 1.5,
        "time_ms_min": 1.0, "time_ms_max": 3.0, "time_ms_p25": 1.25, "time_ms_p75": 1.75,
        "repeats": 11, "flops": 10**6, "bytes": 10**5, "gflops": 1.0, "verified": True,
        "max_abs_error": "inf", "counters": {"loads": 5}, "extents": {"n": 1},
    }  # fmt: skip


RUN: dict[str, Any] = {
    "schema": 2, "complete": True, "unfinished": "",
    "environment": {
        "date": "2026-11-28", "commit": "abc", "cpu": {"cores": 2, "load": 3.5, "model": "x"},
        "gpu": {"name": "y", "sampled": {"held_back": {"power": 0.5}}}, "variables": {"A": "1"},
    },
    "ceilings": [{"device": "cpu", "dtype": "float32", "gflops": 9.0, "gbytes_per_s": 9.0}],
    "results": [_record(1), _record(3)],
}  # fmt: skip


def _compare(path: Path) -> None:
    good = path.with_name("good.json")
    good.write_text(json.dumps(RUN))
    old, new = record.load(good), record.load(path)
    for first, second in ((old, new), (new, old)):
        changes = compare.compare_runs(first.records, second.records)
        compare.table(changes)
        compare.failures(changes)
        "\n".join(compare.differences(first, second)).encode()


@cache
def _idx() -> tuple[bytes, ...]:
    images = bytes([0, 0, 8, 3]) + struct.pack(">III", 20, 7, 7) + bytes(20 * 49)
    floats = bytes([0, 0, 13, 1]) + struct.pack(">I9f", 9, *range(9))
    return images, floats, gzip.compress(images, mtime=0), gzip.compress(floats, mtime=0)


def _packed_idx(rng: np.random.Generator) -> bytes:
    """Whole gzip around a changed file."""
    return gzip.compress(changed_bytes(rng, _idx()[rng.integers(2)]), mtime=0)


@cache
def _images() -> tuple[bytes, ...]:
    from PIL import Image

    rng, found = np.random.default_rng(0), []
    for format in FORMATS:
        for mode, channels in (("L", ()), ("RGB", (3,))):
            picture = Image.fromarray(rng.integers(0, 256, (24, 20, *channels), dtype=np.uint8))
            stream = io.BytesIO()
            picture.convert(mode).save(stream, format=format)
            found.append(stream.getvalue())
    return tuple(found)


@cache
def _pickles() -> tuple[bytes, ...]:
    arrays = {"a": [np.arange(6.0).reshape(2, 3), np.ones(3, np.float32)], "n": (1, None, "text")}
    return tuple(pickle.dumps(arrays, protocol) for protocol in (2, 3, 4))


READERS = {
    "checkpoint": Reader(of_samples(lambda: (_checkpoint(),)), _use),
    "checkpoint's text": Reader(_repacked, _use),
    "training to resume": Reader(_repacked, _resume),
    "bench JSON": Reader(lambda rng: changed_json(rng, RUN).encode(), _compare),
    "bench JSON's bytes": Reader(of_samples(lambda: (json.dumps(RUN).encode(),)), _compare),
    "idx": Reader(of_samples(_idx), read_idx),
    "gzipped idx": Reader(_packed_idx, read_idx),
    "image": Reader(of_samples(_images), read_image),
    "pickle": Reader(of_samples(_pickles), read_arrays),
}
