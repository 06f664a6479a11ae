"""The command ``pycnn predict``."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pycnn import models
from pycnn.runtime.files import require_file
from pycnn.runtime.options import add_threads, is_path, positive
from pycnn.runtime.text import aligned, did_you_mean, printable
from pycnn.train.parallel import processes
from pycnn.train.predict import Predictor

#: Classes, and folders, that an error names.
MOST = 8


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("predict", help="the classes of image files")
    add = parser.add_argument
    add("model", help="a checkpoint, or a trained network that a package brings: "
                      + ", ".join(models.PRETRAINED))  # fmt: skip
    add("images", nargs="+", type=Path, metavar="IMAGE", help="a file, or a folder")
    add("--top", type=positive, default=5, help="how many classes (default 5)")
    add("--invert", action="store_true", help="dark on light becomes light on dark, as in MNIST")
    add("--accuracy", action="store_true",
        help="images lie in folders named like their classes: say how many are right")  # fmt: skip
    add("--json", action="store_true", help="print JSON")
    add_threads(parser)
    parser.set_defaults(run=_predict)


def _predict(arguments: argparse.Namespace) -> int:
    """Of several processes each predicts some of the images; the first one prints."""
    comm = processes()
    with comm.together():
        images = [file for path in arguments.images for file in _image_files(path)]
        predictor = predictor_of(arguments.model)
        if arguments.accuracy:
            _check_classes(images, predictor.classes)
        own = {
            str(path): _tried(predictor, path, arguments) for path in images[comm.rank :: comm.size]
        }
        found = {name: best for some in comm.everyones(own) for name, best in some.items()}
    refused = [found[str(path)] for path in images if isinstance(found[str(path)], Exception)]
    if len(refused) == len(images):
        raise refused[0]
    if comm.rank:
        return int(bool(refused))
    for error in refused:
        print(f"pycnn: {error}", file=sys.stderr)
    paths = map(str, images)
    _show({path: found[path] for path in paths if isinstance(found[path], list)}, arguments)
    return int(bool(refused))


def _tried(
    predictor: Predictor, path: Path, arguments: argparse.Namespace
) -> list[tuple[str, float]] | Exception:
    """The classes of an image, or why it cannot be read."""
    try:
        return predictor.top(path, arguments.top, arguments.invert)
    except (OSError, ValueError) as error:
        return error


def _show(
    classes: Mapping[str, Sequence[tuple[str, float]]], arguments: argparse.Namespace
) -> None:
    if arguments.accuracy:
        _show_accuracy(classes, arguments)
    elif arguments.json:
        print(json.dumps(classes, indent=1))
    else:
        for path, best in classes.items():
            print(printable(path, len(path)))
            rows = [("", f"{probability:7.2%}", name) for name, probability in best]
            print(*aligned(rows), sep="\n")


def _class_of(path: Path | str) -> str:
    """The folder that an image lies in; of a link, that of the link."""
    return Path(os.path.abspath(path)).parent.name


def _check_classes(images: Sequence[Path], classes: Sequence[str]) -> None:
    """Refuse images that lie in folders which are named like no class."""
    wrong: dict[str, Path] = {}
    for path in images:
        if (name := _class_of(path)) not in classes:
            wrong.setdefault(name, path)
    if wrong:
        first, *others = wrong
        raise ValueError(
            f"--accuracy: {wrong[first]} lies in the folder {first!r}, which is no class of the "
            f"model{_some(', nor is ', [*map(repr, others)])}; allowed: {_some('', classes)}"
        )


def _some(before: str, names: Sequence[str]) -> str:
    """The first of them, if there are any, behind what stands before."""
    more = ", ..." * (len(names) > MOST)
    return f"{before}{', '.join(names[:MOST])}{more}" if names else ""


def _show_accuracy(
    found: Mapping[str, Sequence[tuple[str, float]]], arguments: argparse.Namespace
) -> None:
    """How often the class of an image is the most probable one, and among the `--top`."""
    names = {path: _class_of(path) for path in found}
    first = sum(best[0][0] == names[path] for path, best in found.items())
    among = sum(names[path] in [name for name, _ in best] for path, best in found.items())
    figures = {"images": len(found), "accuracy": first / len(found),
               f"top_{arguments.top}": among / len(found)}  # fmt: skip
    if arguments.json:
        print(json.dumps(figures, indent=1))
    else:
        print(
            f"{len(found)} images: accuracy {figures['accuracy']:.2%}, among the first "
            f"{arguments.top} {among / len(found):.2%}"
        )


def _image_files(path: Path) -> list[Path]:
    """A file, or all of a folder and of the folders in it but hidden ones."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.is_file():
        return [path]
    inside = sorted(file for file in path.rglob("*") if file.is_file())
    hidden = [any(part.startswith(".") for part in f.relative_to(path).parts) for f in inside]
    files = [file for file, is_hidden in zip(inside, hidden, strict=True) if not is_hidden]
    if not files:
        raise ValueError(f"the folder {path} is empty; needed: images")
    return files


def predictor_of(name: str) -> Predictor:
    """From a checkpoint file, or a trained network by its name.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if name in models.PRETRAINED:
        return Predictor.pretrained(name)
    if not Path(name).is_file():
        if is_path(name):
            require_file(Path(name), "checkpoint")
            raise FileNotFoundError(f"{name}: no such file")
        hint = f"; {name} has no trained weights: pycnn train {name}" * (name in models.MODELS)
        raise ValueError(
            f"model={name!r}: no such checkpoint; allowed are a file that pycnn train wrote, "
            f"{', '.join(models.PRETRAINED)}{hint or did_you_mean(name, models.PRETRAINED)}"
        )
    return Predictor.from_checkpoint(name)
