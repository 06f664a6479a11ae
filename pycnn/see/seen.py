"""``pycnn visualise``: what a network makes of an image, in pictures."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pycnn.models import load_pretrained
from pycnn.nn.arrays import to_numpy
from pycnn.nn.convolution import Conv2d
from pycnn.nn.layer import Layer, evaluating, observing
from pycnn.runtime.options import add_threads, check_output
from pycnn.runtime.terminal import progress
from pycnn.see import chosen, diagram, heat, pictures
from pycnn.see.costs import shape_text, summary
from pycnn.see.page import Picture, page
from pycnn.see.prepare import PHOTOS, Sight, image_file, sight, trained_sight
from pycnn.see.stages import Outline, outline
from pycnn.see.walk import Step, walk
from pycnn.see.write import write_bytes

CLASSES_SHOWN = 5

#: Said beside what a network without training makes of an image.
UNTRAINED = "the weights are random, not trained: classes and heat maps mean nothing"


@dataclass(frozen=True)
class Seen:
    """What `visualise` made.

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
    shown: Sight,
    patch: int | None = None,
    step: int | None = None,
    classes: Sequence[str] = (),
) -> Seen:
    """Pictures of a network and of what it makes of an image.

    Parameters
    ----------
    model : Layer
        Takes images (C, H, W), by default a classifier; without scores of classes there are no
        heat maps.
    shown : Sight
        See `pycnn.see.prepare.sight`.
    patch, step : int, optional
        Of the occlusion, see `pycnn.see.heat.occlusion`.
    classes : sequence of str, optional
        Their names; by default "class 0" and so on.

    Returns
    -------
    Seen

    Raises
    ------
    LayerError
        If a layer cannot take the image.
    MissingExtra
        If matplotlib is not installed.
    """
    steps = walk(model, shown.x.shape)
    found = outline(model, steps)
    best = _classes(model, shown.x) if _is_classifier(steps[-1]) else []
    heats = heat.occlusion_batches(shown.x.shape[1:], patch, step) if best else 0
    with progress(len(_spatial(found)) + heats + 3) as (announce, advance):
        announce("feature maps")
        made = list(_of_network(model, found, shown, advance))
        if best:
            announce("occlusion")
            made += _of_class(model, shown, best[0][0], patch, step, advance)
        announce("classic filters")
        caption = "Edges and the like as the size of the change, in the mean of the channels."
        data = pictures.classic(shown.original)
        made.append(Picture("classic-filters.jpg", "Classic filters", caption, data))
        advance()
    named = [(classes[i] if classes else f"class {i}", share) for i, share in best]
    return Seen(tuple(made), tuple(named))


def _is_classifier(last: Step) -> bool:
    return len(last.output_shape) == 1 and last.output_shape[0] > 1


def _classes(model: Layer, x: np.ndarray) -> list[tuple[int, float]]:
    found = heat.probabilities(model, x[None])[0]
    best = np.argsort(found, kind="stable")[::-1][:CLASSES_SHOWN]
    return [(int(i), float(found[i])) for i in best]


def _of_network(
    model: Layer, found: Outline, shown: Sight, advance: Callable[[], None]
) -> Iterator[Picture]:
    yield Picture("network.svg", "The network", _cost(model, shown), diagram.picture(found))
    advance()
    first = next((u.step for u in found.units if isinstance(u.step.layer, Conv2d)), None)
    if first is not None:
        yield _filters(first, shown.blue_first)
    advance()
    results = _results(model, shown.x)
    spatial = _spatial(found)
    for number, step in enumerate(spatial, start=1):
        channels = step.output_shape[0]
        count = min(channels, pictures.MOST_MAPS)
        caption = f"{step.path}: {count} of {channels} maps, {shape_text(step.extents)}"
        name = f"maps-{number}-{step.path}.jpg"
        yield Picture(name, "Feature maps", caption, pictures.maps(results[step.path]))
        advance()
    caption = "Frames end at the edges of the image; sizes count the padding beyond."
    yield Picture("field.jpg", "Receptive field", caption, pictures.fields(shown.photo, spatial))


def _spatial(found: Outline) -> list[Step]:
    """Results of stages that still have places."""
    return [s.result for s in found.stages if s.result.extents and max(s.result.extents) > 1]


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
    shown: Sight,
    target: int,
    patch: int | None,
    step: int | None,
    advance: Callable[[], None],
) -> list[Picture]:
    section = "Where it looks"
    falls = heat.occlusion(model, shown.x, target, patch, step, advance)
    rises = heat.grad_cam(model, shown.x, target)
    return [
        Picture(
            "occlusion.jpg", section,
            f"Occlusion: how much the probability of class {target} falls where a grey patch is.",
            pictures.heat(shown.photo, falls, "fall of probability", signed=True),
        ),
        Picture(
            "grad-cam.jpg", section,
            f"Grad-CAM: where the last feature maps raise the score of class {target}.",
            pictures.heat(shown.photo, rises, "share of the largest", signed=False),
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


def _cost(model: Layer, shown: Sight) -> str:
    found = summary(model, shown.x.shape)
    return f"{found.parameters:,} parameters, {found.macs:,} multiply-adds for one image."


def html(title: str, model: Layer, shown: Sight, seen: Seen) -> str:
    """The pictures on one page that needs nothing else."""
    subtitle = f"{shown.name}, as an input of {shape_text(shown.x.shape)}"
    return page(title, subtitle, seen.pictures, seen.classes, summary(model, shown.x.shape).table())


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "visualise", help="filters, feature maps, receptive fields and heat maps for an image"
    )
    chosen.add_arguments(parser)
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
        for option in ("input", "classes", "width"):
            if getattr(arguments, option) is not None:
                raise ValueError(f"--{option}: trained weights are of one network; "
                                 "allowed without --pretrained")  # fmt: skip
    model, shown, classes = _given(arguments)
    seen = visualise(model, shown, arguments.patch, arguments.step, classes)
    trained = arguments.pretrained or Path(arguments.model).is_file()
    if seen.classes and not trained:
        print(f"{UNTRAINED} (--pretrained, or a checkpoint of pycnn train, has trained ones)")
    for name, share in seen.classes:
        print(f"{share:6.1%}  {name}")
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        for picture in seen.pictures:
            print(write_bytes(arguments.output / picture.name, picture.data))
    if arguments.html is not None:
        title = arguments.model if trained else f"{arguments.model} ({UNTRAINED})"
        text = html(title, model, shown, seen)
        print(write_bytes(arguments.html, text.encode()))
    return 0


def _given(arguments: argparse.Namespace) -> tuple[Layer, Sight, Sequence[str]]:
    path = image_file(arguments.image)
    if arguments.pretrained:
        trained = load_pretrained(arguments.model)
        return trained.model, trained_sight(path, trained), ()
    model, input_shape, mean, std, classes = chosen.chosen(arguments)
    return model, sight(path, input_shape, mean, std), classes
