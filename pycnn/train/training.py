"""What settings, records and hooks see of a trainer, which itself uses them."""

from typing import Any, Protocol


class Training(Protocol):
    """The attributes of a `Trainer`, as its parameters name them."""

    model: Any
    data: Any
    optimizer: Any
    schedule: Any
    loss: Any
    batch: int
    seed: int
    transform: Any
    mix: Any
    metrics: Any
    hooks: Any
    clip_norm: float | None
    precision: str | None
    scale: Any
    accumulate: int
    sync_batch_norm: bool
    by_step: bool
    patience: int | None
    state: Any

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
