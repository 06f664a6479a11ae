"""What a layer is called in a diagram: its kind, and a few words."""

from collections.abc import Iterator, Mapping, Sequence

from pycnn.nn.combine import Combined, Concat, Identity, Product, Sum
from pycnn.nn.layer import Layer
from pycnn.see.trace import Step

#: Kinds of units by the family of the operation they call.
FAMILIES = {"conv": "convolution", "gemm": "dense", "pool": "pooling", "resize": "upsampling"}


def is_unit(layer: Layer) -> bool:
    """Whether a container is drawn as one: it says of what kind, and in which words, by `unit`."""
    return getattr(layer, "unit", None) is not None


def kind_of(step: Step) -> str | None:
    """Of a unit; None for what belongs to the unit before it."""
    if is_unit(step.layer):
        return str(step.layer.unit[0])
    if isinstance(step.layer, Sum):
        return "residual"
    if isinstance(step.layer, Concat):
        return "branches"
    if isinstance(step.layer, Product):
        return "gate"
    names = [t.operation.name for t in step.own]
    if any(name.startswith("conv_transpose") for name in names):
        return "upsampling"
    families = [FAMILIES[t.operation.family] for t in step.own if t.operation.family in FAMILIES]
    return families[0] if families else None


def inside(path: str, steps: Mapping[str, Step]) -> Iterator[Step]:
    """The steps at `path` and inside it."""
    return (step for p, step in steps.items() if p == path or p.startswith(f"{path}."))


def join(path: str, name: str) -> str:
    """The path of a layer inside that at `path`."""
    return f"{path}.{name}" if path else name


def text_of(step: Step, kind: str, steps: Mapping[str, Step]) -> str:
    """A few words, such as "conv 3x3"; `steps` are those of the network by path."""
    if is_unit(step.layer):
        return str(step.layer.unit[1])
    if isinstance(step.layer, Combined):
        return _block_text(step, kind, steps)
    if kind == "dense":
        return "dense"
    return _operation_text(step)


def _block_text(step: Step, kind: str, steps: Mapping[str, Step]) -> str:
    inner = {name: list(inside(join(step.path, name), steps)) for name in step.layer.children}
    filters = {n: [s for s in steps if kind_of(s) == "convolution"] for n, steps in inner.items()}
    plain = any(isinstance(child, Identity) for child in step.layer.children.values())
    if kind == "residual" or (kind == "branches" and plain):
        longest = max(filters.values(), key=len)
        sizes = ", ".join(_size(s) for s in longest)
        return f"{'residual' if kind == 'residual' else 'dense layer'} {sizes}".rstrip()
    return f"{len(inner)} branches" if kind == "branches" else "gate"


def _operation_text(step: Step) -> str:
    name = next(t.operation.name for t in step.own if t.operation.family in FAMILIES)
    if name.startswith(("global", "adaptive")):
        return {"avg": "mean", "max": "maximum"}[name.split("_")[1]] + " pool"
    if name.startswith("interpolate"):
        return "upsample"
    word = {"max": "max pool", "avg": "mean pool", "sum": "sum pool", "lp": "Lp pool"}.get(
        name.split("_")[0], "up-conv" if "transpose" in name else "conv"
    )
    if word == "conv" and _is_depthwise(step):
        word = "depthwise"
    stride = _stride(step)
    return f"{word} {_size(step)}" + ("" if set(stride) == {1} else f" / {_once(stride)}")


def _size(step: Step) -> str:
    """Extents of the filter or window."""
    call = next(t.call for t in step.own if t.operation.family in FAMILIES)
    if "weight" in call.views:
        return "x".join(map(str, call.views["weight"].shape[2:]))
    return "x".join(str(axis.kernel) for axis in call.settings.pooling.axes)


def _stride(step: Step) -> tuple[int, ...]:
    call = next(t.call for t in step.own if t.operation.family in FAMILIES)
    if "weight" in call.views:
        stride: tuple[int, ...] = call.settings.problem.stride
        return stride[2 - call.views["weight"].rank :]
    return tuple(axis.stride for axis in call.settings.pooling.axes)


def _is_depthwise(step: Step) -> bool:
    call = next(t.call for t in step.own if t.operation.family == "conv")
    groups = call.settings.problem.groups
    return bool(groups > 1 and call.views["weight"].shape[1] == 1)


def _once(numbers: Sequence[int]) -> str:
    return "x".join(map(str, numbers[:1] if len(set(numbers)) == 1 else numbers))
