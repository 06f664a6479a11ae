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
    betas : (float, float)
        How slowly Adam's means change.
    """

    entry: str
    constants: tuple[Any, ...] = ()
    row: Callable[[Any], tuple[float, float]] = lambda rates: tuple(rates)
    betas: tuple[float, float] = (0.0, 0.0)


class Group(NamedTuple):
    """Parameters that one plan moves: of one dtype, on one backend."""

    form: Form
    backend: str
    dtype: np.dtype
    grads: Grads


def grouped(form: Form | None, grads: Grads) -> tuple[list[Group], Grads]:
    """What kernels move, and what is to be moved one by one."""
    groups: dict[tuple[str, np.dtype], Grads] = {}
    apart = []
    for parameter, grad in grads:
        value = parameter.value
        backend = backend_for(value=value, grad=grad)
        whole = value.flags.c_contiguous and grad.flags.c_contiguous
        known = value.dtype == grad.dtype and value.dtype.name in plans.DTYPES
        if form is not None and backend != "reference" and whole and known:
            groups.setdefault((backend, value.dtype), []).append((parameter, grad))
        else:
            apart.append((parameter, grad))
    if form is None:
        return [], apart
    return [Group(form, *key, own) for key, own in groups.items()], apart


def rates_of(optimizer: Any, group: Group, *, counted: bool = False, exact: bool = False) -> Any:
    """What the kernels read: HEAD numbers of optim.cuh, and two of each parameter, in float64.

    Where the GPU has `counted` the steps it corrects Adam's bias; `exact` numbers it rounds itself.
    """
    steps = None if counted else optimizer.steps
    mean, square = (1.0 if steps is None else 1 - beta**steps for beta in group.form.betas)
    rates = [0.0, 1.0, 1.0, square**-0.5]  # SKIP, SCALE, CLIP, ROOT
    for parameter, _ in group.grads:
        rate, decay = group.form.row(optimizer.rates(parameter.name))
        rates += [rate / mean, decay]
    return np.array(rates if exact else [plans.rounded(rate, group.dtype) for rate in rates])


def move(
    optimizer: Any,
    group: Group,
    verdict: plans.Verdict | None = None,
    state: Any = None,
    rates: Any = None,
) -> None:
    """Move a group; with a `state` the GPU counts steps, else they are the optimiser's."""
    form = group.form
    if rates is None:
        exact = verdict is not None
        rates = library(group.grads[0][1]).asarray(
            rates_of(optimizer, group, counted=state is not None, exact=exact)
        )
    arrays: dict[str, Any] = {"state": state, "rates": rates}
    for i, (parameter, grad) in enumerate(group.grads):
        arrays[f"value[{i}]"], arrays[f"grad[{i}]"] = parameter.value, grad
        for member, slot in zip(("first", "second"), optimizer.slots, strict=False):
            arrays[f"{member}[{i}]"] = optimizer.slot(parameter, slot)
    counts = tuple([parameter.value.size for parameter, _ in group.grads])
    constants = tuple([c if isinstance(c, int) else plans.rounded(c, group.dtype)
                       for c in form.constants])  # fmt: skip
    plan = plans.step(
        form.entry, constants, counts, len(optimizer.slots), dtype_name(group.dtype), verdict
    )
    executor(group.backend).run(plan, arrays)
