"""A step of an optimiser on a GPU: many parameters in one launch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pycnn.dtypes import dtype_name
from pycnn.nn.arrays import library
from pycnn.nn.module import Parameter
from pycnn.plan import optim as plans
from pycnn.runtime.backends import backend_for, executor

Grads = list[tuple[Parameter, Any]]


class Form(NamedTuple):
    """What a kernel of optim/step.cu takes.

    Attributes
    ----------
    entry : str
    constants : tuple of float and int
    row : callable
        From the rates of a parameter to (rate, decay).
    root : float
        The factor of the root of Adam's mean square.
    """

    entry: str
    constants: tuple[Any, ...] = ()
    row: Callable[[Any], tuple[float, float]] = lambda rates: tuple(rates)
    root: float = 1.0


def move_together(optimizer: Any, grads: Grads) -> Grads:
    """Move what kernels take, and return what is to be moved one by one."""
    form = optimizer.form()
    if form is None or not grads:
        return grads
    groups: dict[tuple[str, Any], Grads] = {}
    apart = []
    for parameter, grad in grads:
        value = parameter.value
        backend = backend_for(value=value, grad=grad)
        if (
            backend != "reference"
            and value.dtype == grad.dtype
            and value.dtype.name in plans.DTYPES
            and value.flags.c_contiguous
            and grad.flags.c_contiguous
        ):
            groups.setdefault((backend, value.dtype), []).append((parameter, grad))
        else:
            apart.append((parameter, grad))
    for (backend, dtype), group in groups.items():
        _launch(optimizer, form, backend, dtype, group)
    return apart


def _launch(optimizer: Any, form: Form, backend: str, dtype: np.dtype, grads: Grads) -> None:
    arrays: dict[str, Any] = {}
    head = [0.0, 1.0, 1.0, form.root]  # SKIP, SCALE, CLIP, ROOT of optim.cuh
    for i, (parameter, grad) in enumerate(grads):
        arrays[f"value[{i}]"], arrays[f"grad[{i}]"] = parameter.value, grad
        for member, slot in zip(("first", "second"), optimizer.slots, strict=False):
            arrays[f"{member}[{i}]"] = optimizer.slot(parameter, slot)
        head.extend(form.row(optimizer.rates(parameter.name)))
    counts = tuple([parameter.value.size for parameter, _ in grads])
    constants = tuple(
        [c if isinstance(c, int) else plans.rounded(c, dtype) for c in form.constants]
    )
    plan = plans.step(form.entry, constants, counts, len(optimizer.slots), dtype_name(dtype))
    rates = np.array([plans.rounded(rate, dtype) for rate in head])
    arrays["rates"] = library(grads[0][1]).asarray(rates)
    executor(backend).run(plan, arrays)
