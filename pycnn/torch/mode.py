"""``with pycnn.torch.backend():`` an unmodified model's functional calls run on ours."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode, resolve_name

from pycnn.torch.functional import TABLE


class Uncounted(TorchFunctionMode):
    """What `backend` does, without counting: of use around a single layer."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return TABLE.get(func, func)(*args, **(kwargs or {}))


class backend(TorchFunctionMode):  # used like a function, hence the lower case
    """Run PyTorch's functions on pycnn, as far as it has them, inside a ``with``.

    A function that pycnn has is computed by it, or refused with a reason: nothing falls back in
    silence. All others stay PyTorch's.

    Attributes
    ----------
    ours, others : Counter
        Calls by name: those that pycnn computed, and those that PyTorch did.

    Examples
    --------
    >>> import torch, pycnn.torch
    >>> with pycnn.torch.backend() as used:
    ...     y = torch.nn.functional.relu(torch.tensor([-1.0, 2.0])) + 1
    >>> y, dict(used.ours)
    (tensor([1., 3.]), {'relu': 1})
    """

    def __init__(self) -> None:
        super().__init__()
        self.ours: Counter[str] = Counter()
        self.others: Counter[str] = Counter()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        ours = TABLE.get(func)
        if ours is None:
            name = resolve_name(func) or getattr(func, "__name__", repr(func))
            if not name.endswith(("__get__", "__set__")):  # attributes
                self.others[name] += 1
            return func(*args, **(kwargs or {}))
        self.ours[ours.__name__] += 1
        return ours(*args, **(kwargs or {}))
