"""``pycnn visualise``: what a network makes of an image, in pictures."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pycnn.models import command_line, load_pretrained
from pycnn.nn.arrays import placer, to_numpy
from pycnn.nn.classifier import probabilities
from pycnn.nn.convolution import Conv2d
from pycnn.nn.layer import Layer
from pycnn.nn.observe import evaluating, observing
from pycnn.runtime.options import add_threads, check_output
from pycnn.runtime.terminal import progress
from pycnn.see import diagram, heat, pictures
from pycnn.see.costs import shape_text, summary
from pycnn.see.labels import kind_of, text_of
from pycnn.see.page import Picture, page
from pycnn.see.prepare import PHOTOS, PreparedImage, image_file, prepare_image, prepare_pretrained
from pycnn.see.stages import Outline, outline
from pycnn.see.trace import Step, trace
from pycnn.see.write import write_bytes

CLASSES_SHOWN = 5

#: Said beside what a network without training makes of an image.
UNTRAINED = "the weights are random, not trained: classes and heat maps mean nothing"


@dataclass(frozen=True)
class Visualisation:
    """What `visualise` returns.

    Attributes
    ----------
    pictures : tuple of Picture
    classes : tuple of (str, float)
        The most probable classes and their probabilities; none of what is no classifier.
    """

    pictures: tuple[Picture, ...]
    classes: tuple[tuple[str, float], ...]


def visualise(
    model: Layer,
    image: PreparedImage,
    patch: int | None = None,
    step: int | None = None,
    classes: Sequence[str] = (),
) -> Visualisation:
    """Pictures of a network and of what it makes of an image.

    Parameters
    ----------
    model : Layer
        Takes images (C, H, W), by default a classifier; without scores of classes there are no
        heat maps.
    image : PreparedImage
        See `pycnn.see.prepare.prepare_image`.
    patch, step : int, optional
        Of the occlusion, see `pycnn.see.heat.occlusion`.
    classes : sequence of str, optional
        Their names; by default "class 0" and so on.

    Returns
    -------
    Visualisation

    Raises
    ------
    LayerError
        If a layer cannot take the image.
    MissingExtra
        If matplotlib is not installed.
    """
    if parameters := model.parameters():
        image = replace(image, x=placer(parameters[0].value)(image.x))
    steps = trace(model, image.x.shape)
    network = outline(model, steps)
    best = _classes(model, image.x) if _is_classifier(steps[-1]) else []
    heats = heat.occlusion_batches(image.x.shape[1:], patch, step) if best else 0
    with progress(len(_spatial(network)) + heats + 4) as (announce, advance):
        announce("feature maps")
        images = list(_of_network(model, network, image, steps, advance))
        if best:
            announce("occlusion")
            images += _of_class(model, image, best[0][0], patch, step, advance)
        announce("classic filters")
        caption = (
            "Edges as the size of the change in the mean of the channels, small ones brightened."
        )
        data = pictures.classic(image.original)
        images.append(Picture("classic-filters.jpg", "Classic filters", caption, data))
        advance()
    named = [(classes[i] if classes else f"class {i}", share) for i, share in best]
    return Visualisation(tuple(images), tuple(named))


def _is_classifier(last: Step) -> bool:
    return len(last.output_shape) == 1 and last.output_shape[0] > 1


def _classes(model: Layer, x: np.ndarray) -> list[tuple[int, float]]:
    row = probabilities(model, x[None])[0]
    best = np.argsort(row, kind="stable")[::-1][:CLASSES_SHOWN]
    return [(int(i), float(row[i])) for i in best]


def _of_network(
    model: Layer,
    network: Outline,
    image: PreparedImage,
    steps: Sequence[Step],
    advance: Callable[[], None],
) -> Iterator[Picture]:
    yield Picture("network.svg", "The network", _cost(model, image), diagram.picture(network))
    advance()
    first = next((u.step for u in network.units if isinstance(u.step.layer, Conv2d)), None)
    if first is not None:
        yield _filters(first, image.blue_first)
    advance()
    results = _results(model, image.x)
    first_stage = [step for step in _first_stage(steps) if step.path in results]
    if shown := [(_name(step), results[step.path]) for step in first_stage]:
        caption = ", ".join(name for name, _ in shown)
        caption = f"The first {caption}: red is positive, blue negative."
        data = pictures.side_by_side(shown)
        yield Picture("first-stage.jpg", "One layer after the other", caption, data)
    advance()
    spatial = _spatial(network)
    for number, step in enumerate(spatial, start=1):
        channels = step.output_shape[0]
        count = min(channels, pictures.MOST_MAPS)
        caption = f"{step.path}: {count} of {channels} maps, {shape_text(step.extents)}"
        name = f"maps-{number}-{step.path}.jpg"
        yield Picture(name, "Feature maps", caption, pictures.maps(results[step.path]))
        advance()
    caption = "Frames end at the edges of the image; sizes count the padding beyond."
    yield Picture(
        "field.jpg",
        "Receptive field",
        caption,
        pictures.fields(image.photo, [s for s in spatial if s.known]),
    )


def _first_stage(steps: Sequence[Step]) -> list[Step]:
    """From the first convolution to the pooling behind it, or to where the maps are others."""
    found: list[Step] = []
    for step in (s for s in steps if not s.layer.children):
        if not found and not isinstance(step.layer, Conv2d):
            continue
        if found and (isinstance(step.layer, Conv2d) or not _same_maps(found[0], step)):
            break
        found.append(step)
        if kind_of(step) == "pooling":
            break
    return found


def _same_maps(first: Step, step: Step) -> bool:
    return len(step.extents) == 2 and step.output_shape[0] == first.output_shape[0]


def _name(step: Step) -> str:
    kind = kind_of(step)
    return text_of(step, kind, {}) if kind else type(step.layer).__name__


def _spatial(network: Outline) -> list[Step]:
    """Results of stages that still have places."""
    return [s.result for s in network.stages if s.result.extents and max(s.result.extents) > 1]


def _filters(step: Step, blue_first: bool) -> Picture:
    weight = to_numpy(step.layer.params["weight"])
    if blue_first:
        weight = weight[:, ::-1]
    caption = f"{step.path}: {min(len(weight), pictures.MOST_FILTERS)} of {len(weight)} filters"
    caption += f" {shape_text(weight.shape[1:])}"
    section = "Filters of the first convolution"
    return Picture("filters.png", section, caption, pictures.filters(weight))


def _of_class(
    model: Layer,
    image: PreparedImage,
    target: int,
    patch: int | None,
    step: int | None,
    advance: Callable[[], None],
) -> list[Picture]:
    section = "Where it looks"
    falls = heat.occlusion(model, image.x, target, patch, step, advance)
    rises = heat.grad_cam(model, image.x, target)
    return [
        Picture(
            "occlusion.jpg", section,
            f"Occlusion: how much the probability of class {target} falls where a grey patch is.",
            pictures.heat(image.photo, falls, "fall of probability", signed=True),
        ),
        Picture(
            "grad-cam.jpg", section,
            f"Grad-CAM: where the last feature maps raise the score of class {target}.",
            pictures.heat(image.photo, rises, "share of the largest", signed=False),
        ),
    ]  # fmt: skip


def _results(model: Layer, x: np.ndarray) -> dict[str, np.ndarray]:
    """What every layer makes of one image."""
    paths = {id(layer): path for path, layer in model.named_layers()}
    results: dict[str, np.ndarray] = {}

    def note(layer: Layer, x: np.ndarray, y: np.ndarray) -> None:
        if id(layer) in paths:
            results[paths[id(layer)]] = to_numpy(y[0])

    with evaluating(model), observing(note):
        model(x[None])
    return results


def _cost(model: Layer, image: PreparedImage) -> str:
    cost = summary(model, image.x.shape)
    return f"{cost.parameters:,} parameters, {cost.macs:,} multiply-adds for one image."


def html(title: str, model: Layer, image: PreparedImage, result: Visualisation) -> str:
    """The pictures on one page that needs nothing else."""
    subtitle = f"{image.name}, as an input of {shape_text(image.x.shape)}"
    return page(
        title, subtitle, result.pictures, result.classes, summary(model, image.x.shape).table()
    )


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "visualise", help="filters, feature maps, receptive fields and heat maps for an image"
    )
    command_line.add_arguments(parser)
    parser.add_argument("image", metavar="IMAGE",
                        help=f"an image file, or one of {', '.join(PHOTOS)}")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="DIR",
                        help="folder for the pictures; made if it is missing")  # fmt: skip
    parser.add_argument("--html", type=Path, metavar="FILE", help="one page with all of it")
    parser.add_argument("--pretrained", action="store_true",
                        help="trained weights, where a package ships them")  # fmt: skip
    parser.add_argument("--patch", type=int, help="side of the patch that occludes")
    parser.add_argument("--step", type=int, help="how far it moves")
    add_threads(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.output is None and arguments.html is None:
        raise ValueError("nowhere to write to: give -o DIR, --html FILE, or both")
    if arguments.html is not None:
        check_output(arguments.html, "--html")
    if arguments.output is not None and arguments.output.is_file():
        raise NotADirectoryError(f"-o {arguments.output}: it is a file, and a folder is needed")
    if arguments.pretrained:
        command_line.refuse_settings(
            arguments, "trained weights are of one network; allowed without --pretrained"
        )
    model, image, classes = _model_and_image(arguments)
    result = visualise(model, image, arguments.patch, arguments.step, classes)
    trained = arguments.pretrained or Path(arguments.model).is_file()
    if result.classes and not trained:
        print(f"{UNTRAINED} (--pretrained, or a checkpoint of pycnn train, has trained ones)")
    for name, share in result.classes:
        print(f"{share:6.1%}  {name}")
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        for picture in result.pictures:
            print(write_bytes(arguments.output / picture.name, picture.data))
    if arguments.html is not None:
        title = arguments.model if trained else f"{arguments.model} ({UNTRAINED})"
        text = html(title, model, image, result)
        print(write_bytes(arguments.html, text.encode()))
    return 0


def _model_and_image(arguments: argparse.Namespace) -> tuple[Layer, PreparedImage, Sequence[str]]:
    path = image_file(arguments.image)
    if arguments.pretrained:
        trained = load_pretrained(arguments.model)
        return trained.model, prepare_pretrained(path, trained), ()
    named = command_line.model_of(arguments)
    image = prepare_image(path, named.input_shape, named.mean, named.std)
    return named.model, image, named.classes
