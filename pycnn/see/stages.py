"""A network as people tell it: units that matter, one after the other, grouped into stages.

Containers are opened as long as what is inside stands in line. A block of branches is one unit,
but for a shortcut around a whole way down and up again, as in U-Net, which is opened too.
Activations, normalisations and what only rearranges belong to the unit before them.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from pycnn.nn.combine import Concat, Sequential, Sum, Tap
from pycnn.nn.layer import Layer
from pycnn.see.labels import inside, is_unit, join, kind_of, text_of
from pycnn.see.trace import Step

#: The longest pattern of units that is looked for as a repetition.
LONGEST_PATTERN = 4


@dataclass(frozen=True, eq=False)
class Unit:
    """A layer or block worth a box.

    Attributes
    ----------
    kind : str
        "convolution", "pooling", "upsampling", "dense", "residual", "branches" or "gate".
    text : str
        Such as "conv 3x3".
    step : Step
        What it does.
    result : Step
        The last step before the next unit: with activation and normalisation.
    """

    kind: str
    text: str
    step: Step
    result: Step


@dataclass(frozen=True)
class Run:
    """A pattern of units, and how often it occurs in a row."""

    units: tuple[Unit, ...]
    pattern: int

    @property
    def count(self) -> int:
        """Repetitions."""
        return len(self.units) // self.pattern

    @property
    def text(self) -> str:
        """What it is, in words."""
        pattern = ", ".join(unit.text for unit in self.units[: self.pattern])
        if self.count == 1:
            return pattern
        return f"{self.count} x ({pattern})" if self.pattern > 1 else f"{self.count} x {pattern}"


@dataclass(frozen=True)
class Stage:
    """Units between two changes of resolution."""

    units: tuple[Unit, ...]

    @property
    def result(self) -> Step:
        """The last step."""
        return self.units[-1].result

    @property
    def name(self) -> str:
        """Path of its last unit."""
        return self.units[-1].step.path

    @property
    def runs(self) -> list[Run]:
        """Its units, repetitions together."""
        return list(_runs(self.units))


@dataclass(frozen=True)
class Outline:
    """A network in stages.

    Attributes
    ----------
    input_shape : tuple of int
    stages : tuple of Stage
    shortcuts : tuple of (int, int)
        Around opened blocks: from the unit of one number (-1: the input) to that of another.
    """

    input_shape: tuple[int, ...]
    stages: tuple[Stage, ...]
    shortcuts: tuple[tuple[int, int], ...]

    @property
    def units(self) -> list[Unit]:
        """All units in a row."""
        return [unit for stage in self.stages for unit in stage.units]


def outline(model: Layer, steps: Sequence[Step]) -> Outline:
    """The stages of a network that `pycnn.see.trace.trace` has traced.

    Examples
    --------
    >>> from pycnn import nn
    >>> from pycnn.see.trace import trace
    >>> net = nn.Sequential(
    ...     nn.Conv2d(1, 6, 5), nn.ReLU(), nn.Conv2d(6, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
    ...     nn.Flatten(), nn.Linear(600, 10))
    >>> [[run.text for run in s.runs] for s in outline(net, trace(net, (1, 28, 28))).stages]
    [['2 x conv 5x5'], ['max pool 2x2 / 2'], ['dense']]
    """
    by_path = {step.path: step for step in steps}
    units: list[Unit] = []
    shortcuts: list[tuple[int, int]] = []
    leaves = list(_in_line(model, "", by_path))
    opened: list[int] = []
    for i, (path, mark) in enumerate(leaves):
        if mark == "open":
            opened.append(len(units) - 1)
        elif mark == "close":
            shortcuts.append((opened.pop(), len(units) - 1))
        elif kind := kind_of(by_path[path]):
            step, result = by_path[path], by_path[_last_of(leaves, i, by_path)]
            units.append(Unit(kind, text_of(step, kind, by_path), step, result))
    return Outline(steps[-1].input_shape, tuple(_stages(units)), tuple(shortcuts))


def _in_line(layer: Layer, path: str, steps: dict[str, Step]) -> Iterator[tuple[str, str]]:
    """(path, "") of what stands in line, and marks around an opened block of branches."""
    if isinstance(layer, Sequential) and layer.children and not is_unit(layer):
        for name, child in layer.children.items():
            yield from _in_line(child, join(path, name), steps)
    elif (deep := _way_down_and_up(layer, path, steps)) is not None:
        yield path, "open"
        yield from _in_line(layer.children[deep], join(path, deep), steps)
        yield path, "close"
    elif path in steps and not isinstance(layer, Tap):
        yield path, ""


def _way_down_and_up(layer: Layer, path: str, steps: dict[str, Step]) -> str | None:
    """Name of the one branch that goes through smaller extents, beside one of the given extents."""
    if not isinstance(layer, Concat | Sum) or len(layer.children) != 2:
        return None
    deep = [
        name
        for name in layer.children
        if any(_is_below(step, steps[path]) for step in inside(join(path, name), steps))
    ]
    return deep[0] if len(deep) == 1 else None


def _is_below(inner: Step, block: Step) -> bool:
    """Whether pixels are larger inside than after the block."""
    return any(i.jump > b.jump > 0 for i, b in zip(inner.field, block.field, strict=True))


def _last_of(leaves: Sequence[tuple[str, str]], i: int, steps: dict[str, Step]) -> str:
    """Path of the last layer that belongs to the unit at `i`."""
    last = leaves[i][0]
    for path, mark in leaves[i + 1 :]:
        if mark or kind_of(steps[path]):
            break
        if len(steps[path].output_shape) == len(steps[last].output_shape):
            last = path
    return last


# --- groups -------------------------------------------------------------------------------------


def _stages(units: Sequence[Unit]) -> Iterator[Stage]:
    held: list[Unit] = []
    for unit in units:
        if held and _resolution(unit) != _resolution(held[-1]):
            yield Stage(tuple(held))
            held = []
        held.append(unit)
    if held:
        yield Stage(tuple(held))


def _resolution(unit: Unit) -> Hashable:
    """The same for units of one stage: pixels of one size. Dense layers are a stage each."""
    step = unit.result
    if not step.extents:
        return step.path
    jumps = [span.jump for span in step.field]
    return ("jump", *jumps) if any(jumps) else ("extent", *step.extents)


def _runs(units: Sequence[Unit]) -> Iterator[Run]:
    """Repetitions, from left to right: the pattern that covers most, the shortest of those."""
    texts = [unit.text for unit in units]
    while texts:
        lengths = range(1, min(LONGEST_PATTERN, len(texts)) + 1)
        pattern = max(lengths, key=lambda n: (_covered(texts, n), -n))
        covered = _covered(texts, pattern) or 1
        pattern = pattern if covered > 1 else 1
        yield Run(tuple(units[:covered]), pattern)
        texts, units = texts[covered:], units[covered:]


def _covered(texts: Sequence[str], pattern: int) -> int:
    """Units that repetitions of the first `pattern` of them cover, if there are two at least."""
    count = 1
    while list(texts[count * pattern : (count + 1) * pattern]) == list(texts[:pattern]):
        count += 1
    return count * pattern if count > 1 else 0
