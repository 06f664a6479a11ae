"""A block of a network with all its layers: branches beside each other, two towers as two columns.

Containers are chains; branches part and meet again in a sum, product or bar; an auxiliary head
stands aside. Activations and normalisations stand in the box of the layer before them.
"""

from collections.abc import Iterator, Mapping, Sequence

from pycnn.nn.combine import Combined, Concat, Identity, Sequential, Sum, Tap
from pycnn.nn.layer import Layer
from pycnn.see import parts
from pycnn.see.labels import is_unit, join, kind_of, text_of
from pycnn.see.parts import Part
from pycnn.see.trace import Step, trace

#: What the whole network is called.
WHOLE = "."
#: Names in a message, at most.
MOST = 12


def opened(model: Layer, input_shape: Sequence[int], path: str) -> Part:
    """The drawing of the block at `path`, as `pycnn summary` has paths; "." is the whole network.

    Raises
    ------
    ValueError
        If there is no such block; names some.
    """
    steps = _steps(model, input_shape)
    at = "" if path == WHOLE else path
    layers = dict(model.named_layers())
    if at not in layers or at not in steps:
        raise ValueError(f"--open {path}: allowed are {_blocks(layers)}")
    first = steps[at].input_shape
    line = list(_in_line(layers[at], at))
    entry = parts.box([_shape(first)], "input")
    body = _towers(line, steps) if _has_towers(line, steps) else _chain(line, steps)
    return parts.chain([entry, *([body] if body else [])])


def _steps(model: Layer, input_shape: Sequence[int]) -> dict[str, Step]:
    """By path; those of heads, which run in training only, among them."""
    steps = {step.path: step for step in trace(model, input_shape)}
    for path, layer in model.named_layers():
        if isinstance(layer, Tap) and path in steps:
            head = join(path, "head")
            for step in trace(layer.head, steps[path].output_shape):
                steps[join(head, step.path) if step.path else head] = step
    return steps


def _blocks(layers: Mapping[str, Layer]) -> str:
    """Names of blocks, one of each kind and place: those with branches first."""
    found = [WHOLE]
    branching = [
        path.rpartition(".")[0] or path
        for path, layer in layers.items()
        if isinstance(layer, Tap) or (isinstance(layer, Combined) and not _is_chain(layer))
    ]
    outermost = [path for path in layers if path and "." not in path]
    found += [p for p in dict.fromkeys([*branching, *outermost]) if p]
    more = f", and {len(found) - MOST} more" if len(found) > MOST else ""
    return ", ".join(found[:MOST]) + more


def _is_chain(layer: Layer) -> bool:
    return isinstance(layer, Sequential) and not is_unit(layer)


def _in_line(layer: Layer, path: str) -> Iterator[tuple[str, Layer]]:
    """What stands in line, chains within chains opened."""
    if _is_chain(layer) and layer.children:
        for name, child in layer.children.items():
            yield from _in_line(child, join(path, name))
    else:
        yield path, layer


def _chain(line: Sequence[tuple[str, Layer]], steps: Mapping[str, Step]) -> Part | None:
    """Parts of what stands in line; None if nothing does anything."""
    found: list[Part] = []
    words: list[str] = []
    kind = ""

    def close() -> None:
        if words:
            found.append(parts.box(words, kind))
            words.clear()

    for path, layer in line:
        if isinstance(layer, Identity):
            continue
        if isinstance(layer, Tap | Combined) and not is_unit(layer):
            close()
            found.append(_block(path, layer, steps))
        elif own := kind_of(steps[path]):
            close()
            kind = own
            words += _unit(steps[path], own, steps)
        else:
            if not words:
                kind = "normalisation" if "Norm" in type(layer).__name__ else "other"
            words.append(_word(layer))
    close()
    return parts.chain(found) if found else None


def _block(path: str, layer: Layer, steps: Mapping[str, Step]) -> Part:
    if isinstance(layer, Tap):
        head = _chain(list(_in_line(layer.head, join(path, "head"))), steps)
        loss = parts.box([f"loss, times {layer.weight:g}"], "gate")
        return parts.aside(parts.chain([head, loss]) if head else loss)
    inner = []
    for name, child in layer.children.items():
        part = _chain(list(_in_line(child, join(path, name))), steps)
        inner.append(part or parts.straight())
    lengths = [part.height for part in inner]
    is_short = [not part.texts for part in inner]
    main = lengths.index(max(lengths)) if any(is_short) or isinstance(layer, Sum) else None
    if isinstance(layer, Concat):
        sign = f"joined: {_shape(steps[path].output_shape)}"
    else:
        sign = "+" if isinstance(layer, Sum) else "\N{MULTIPLICATION SIGN}"
    return parts.branches(inner, sign, main)


def _unit(step: Step, kind: str, steps: Mapping[str, Step]) -> list[str]:
    text = text_of(step, kind, steps)
    if kind == "convolution":
        text += f", {step.output_shape[0 if not step.channels_last else -1]}"
    elif kind == "dense":
        text += f", {step.output_shape[-1]}"
    return [text, *([_shape(step.output_shape)] if len(step.output_shape) > 1 else [])]


def _word(layer: Layer) -> str:
    """A layer that is no unit, in a word or two."""
    name = type(layer).__name__
    words = {"LocalResponseNorm": "norm (local response)", "Dropout": "dropout",
             "Flatten": "flatten", "Pad": "zeros for channels"}  # fmt: skip
    if name.startswith("BatchNorm"):
        return "batch norm"
    return words.get(name, name)


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


# --- two towers ---------------------------------------------------------------------------------


def _groups(step: Step) -> int:
    """Of a convolution, else 1."""
    return next(
        (t.call.settings.problem.groups for t in step.own if t.operation.family == "conv"), 1
    )


def _has_towers(line: Sequence[tuple[str, Layer]], steps: Mapping[str, Step]) -> bool:
    """Whether convolutions in two groups stand in line, and nothing with branches."""
    simple = all(not isinstance(layer, Tap | Combined) or is_unit(layer) for _, layer in line)
    return simple and any(
        _groups(steps[path]) == 2 and steps[path].output_shape[0] > 2 for path, _ in line
    )


def _towers(line: Sequence[tuple[str, Layer]], steps: Mapping[str, Step]) -> Part:
    """Every layer in two halves; where one sees both, lines cross. The last is whole."""
    rows: list[tuple[list[str], str, bool]] = []  # words, kind, whether each half sees both
    for path, layer in line:
        step = steps[path]
        if kind := kind_of(step):
            crosses = kind == "dense" or (kind == "convolution" and _groups(step) == 1)
            channels, *extents = step.output_shape
            text = text_of(step, kind, steps)
            halved = f"{channels // 2}"
            words = [f"{text}, {halved}" if kind != "pooling" else text]
            if extents:
                words.append(" x ".join([halved, *map(str, extents)]))
            rows.append((words, kind, crosses))
        elif _word(layer) != "flatten" and rows:
            rows[-1][0].append(_word(layer))
    *halves, (_, kind, _) = rows
    last = steps[line[-1][0]]
    whole = parts.box(_unit(last, kind, steps), kind)
    drawn = [parts.box(words, kind) for words, kind, _ in halves]
    width = max(part.width for part in drawn)
    drawn = [parts.box(words, kind, width) for words, kind, _ in halves]
    left, right = width / 2, 1.5 * width + 2 * parts.BESIDE
    y, gap = parts.FORK + 2 * parts.GAP, 1.6 * parts.GAP
    middle = (left + right) / 2
    texts: list[parts.Text] = []
    paths = [parts.Path(((middle, 0.0), (x, y))) for x in (left, right)]
    for i, (part, (_, _, crosses)) in enumerate(zip(drawn, halves, strict=True)):
        for x in (left, right):
            texts += part.moved(x - part.x, y).texts
            if i:
                paths.append(parts.Path(((x, y - gap), (x, y))))
        if i and crosses:
            paths += [parts.Path(((a, y - gap), (b, y))) for a, b in ((left, right), (right, left))]
        y += part.height + gap
    texts += whole.moved(middle - whole.x, y).texts
    paths += [parts.Path(((x, y - gap), (middle, y))) for x in (left, right)]
    height = y + whole.height
    return Part(right + width / 2, height, middle, tuple(texts), tuple(paths), fork=True)
