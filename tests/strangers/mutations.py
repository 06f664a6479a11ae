"""Files of strangers: seeded changes of good ones, of their bytes or of the JSON in them."""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np

Bytes = Callable[[np.random.Generator, bytes], bytes]

#: What stands where another value should: of every type, and at every edge.
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 7, 2000, 2**31, 2**63, 10**40, -0.0, 0.5, 1e-320, 1e308,
    float("inf"), float("nan"), "", "lenet5", "\x1b[31mred", "a\nb", "\ud800", "x" * 3000, [], {},
    [[]], [1, 1, 1], [0], [-1, 28, 28], [2**40, 28, 28], ["a", "b"], {"name": 1}, {"": None},
)  # fmt: skip


def _place(rng: np.random.Generator, data: bytes) -> int:
    """Mostly near the beginning, where headers are."""
    end = len(data) if rng.random() < 0.5 else min(len(data), 64)
    return int(rng.integers(end)) if end else 0


def _flip(rng: np.random.Generator, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + bytes([(data[at] if data else 0) ^ 1 << rng.integers(8)]) + data[at + 1 :]


def _replace(rng: np.random.Generator, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + rng.bytes(rng.integers(1, 9)) + data[at + 4 :]


def _extreme(rng: np.random.Generator, data: bytes) -> bytes:
    at, size = _place(rng, data), int(rng.choice((1, 2, 4, 8)))
    value = int(rng.choice((0, 1, 2 ** (8 * size - 1) - 1)))
    filled = b"\xff" * size if rng.random() < 0.4 else value.to_bytes(size, "little")
    return data[:at] + filled + data[at + size :]


def _cut(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: rng.integers(len(data) + 1)]


def _drop(rng: np.random.Generator, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + data[at + rng.integers(1, 20) :]


def _repeat(rng: np.random.Generator, data: bytes) -> bytes:
    at, size = _place(rng, data), int(rng.integers(1, 40))
    return data[: at + size] + data[at : at + size] * int(rng.integers(1, 20)) + data[at + size :]


def _insert(rng: np.random.Generator, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + rng.bytes(rng.integers(1, 40)) + data[at:]


CHANGES: tuple[Bytes, ...] = (_flip, _replace, _extreme, _cut, _drop, _repeat, _insert)


def changed_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    """One to five changes."""
    for _ in range(rng.integers(1, 6)):
        data = CHANGES[rng.integers(len(CHANGES))](rng, data)
    return data


def changed_json(rng: np.random.Generator, value: Any) -> str:
    """One to three changes of values and names, or now and then something nested too deep."""
    if rng.random() < 0.03:
        return "[" * 50_000 if rng.random() < 0.5 else '{"a":' * 50_000
    value = copy.deepcopy(value)
    for _ in range(rng.integers(1, 4)):
        value = _changed(rng, value)
    return json.dumps(value)


def _changed(rng: np.random.Generator, value: Any) -> Any:
    inside = isinstance(value, dict | list) and value and rng.random() < 0.85
    if not inside:
        return copy.deepcopy(ODD[rng.integers(len(ODD))])
    places = list(value) if isinstance(value, dict) else list(range(len(value)))
    place = places[rng.integers(len(places))]
    choice = rng.random()
    if choice < 0.1:
        del value[place]
    elif choice < 0.15 and isinstance(value, dict):
        value["another"] = value.pop(place)
    elif choice < 0.2 and isinstance(value, list):
        value += value
    else:
        value[place] = _changed(rng, value[place])
    return value
