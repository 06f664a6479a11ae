"""Whatever a file holds: it is read, or one line says why not, in little time and memory."""

import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from readers import READERS

#: Of every reader, in `make test` and in `make test-all`.
FEW, MANY = 50, 2000

#: A good file takes milliseconds; this machine may be busy.
SECONDS, BYTES = 20.0, 128 * 2**20


def judge(path: Path, name: str, seed: int) -> bool:
    """Whether the file of `seed` was read."""
    reader = READERS[name]
    path.write_bytes(reader.make(np.random.default_rng(seed)))
    began = time.process_time()
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of damaged files
            reader.read(path)
        read = True
    except ValueError as error:  # any other error is a fault
        read = False
        said = str(error)
        assert said.replace("\n", "").isprintable(), (seed, said)
        assert path.name in said or name == "training to resume", (seed, said)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < BYTES, f"seed {seed} took {peak} bytes"
    assert time.process_time() - began < SECONDS, f"seed {seed}"
    return read


@pytest.mark.parametrize("name", READERS)
def test_a_few_changed_files(tmp_path: Path, name: str) -> None:
    read = sum(judge(tmp_path / "strange", name, seed) for seed in range(FEW))
    assert read < FEW, "no change did any harm: nothing was tested"


@pytest.mark.exhaustive
@pytest.mark.parametrize("block", range(5))
@pytest.mark.parametrize("name", READERS)
def test_many_changed_files(tmp_path: Path, name: str, block: int) -> None:
    size = MANY // 5
    for seed in range(FEW + block * size, FEW + (block + 1) * size):
        judge(tmp_path / "strange", name, seed)
