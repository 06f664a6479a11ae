"""``pycnn live``: a page on this machine where one draws, and sees every layer."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycnn import data, models, nn
from pycnn.models import arguments as of_model, command_line
from pycnn.runtime.backends import SELECTABLE, backends, require
from pycnn.runtime.extras import import_extra
from pycnn.runtime.files import replacing
from pycnn.runtime.options import add_force, add_threads, check_output, positive

if TYPE_CHECKING:
    from pycnn.live.network import Served
    from pycnn.live.server import Live
    from pycnn.live.show import Show
    from pycnn.train import Trainer

#: Where the page is, if nobody says otherwise.
PORT = 8642
BACKENDS = (*SELECTABLE, "cuda")
UNTRAINED = "The weights are random, not trained: classes mean nothing"
IN_TRAINING = "The network is being trained while you watch"
#: What is trained with, if nobody says otherwise.
DIGITS = "mnist5k"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "live", help="a page on this machine where one draws, and sees every layer"
    )
    command_line.add_arguments(parser)
    add = parser.add_argument
    add("--port", type=_port, default=PORT, help=f"default {PORT}; 0: any that is free")
    add(
        "--backend", choices=BACKENDS, default="reference", help="what computes (default reference)"
    )
    add("--pretrained", action="store_true", help="trained weights, where a package ships them")
    add(
        "--image", action="append", default=[], metavar="FILE", help="an input to choose; repeat it"
    )
    add("--train", nargs="?", const=DIGITS, metavar="DATA",
        help=f"train meanwhile: a data set, or folder of images (default {DIGITS})")  # fmt: skip
    add("--epochs", type=positive, default=10, help="of --train (default 10)")
    add("--output", "-o", type=Path, metavar="CHECKPOINT", help="where --train saves, every epoch")
    add("--export", type=Path, metavar="FILE.html", help="write one page for the inputs, and end")
    add_force(parser)
    add_threads(parser)
    parser.set_defaults(run=_run)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are 0 to 65535")
    return int(text)


def _run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    trainer = _trainer(arguments) if arguments.train else None
    network = _network(arguments, trainer)
    if arguments.export:
        _export(_show(network, arguments, False), arguments.export)
    else:
        _serve(_show(network, arguments, True), arguments, trainer)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what would be ignored, or fail later."""
    require(arguments.backend)
    if arguments.export:
        for option in ("train", "output"):
            if getattr(arguments, option) is not None:
                raise ValueError(f"--{option}: nothing is trained for a page with --export")
        check_output(arguments.export, "--export", (".html",), arguments.force)
    else:
        import_extra("tornado", "live", "pycnn live")
    if arguments.output is not None:
        if not arguments.train:
            raise ValueError("--output: nothing is trained; allowed with --train")
        check_output(arguments.output, "--output", force=arguments.force)
    if arguments.train:
        for option in ("pretrained", "classes", "input"):
            if getattr(arguments, option):
                raise ValueError(f"--{option}: the network is made for the data; "
                                 "allowed without --train")  # fmt: skip
        if Path(arguments.model).is_file():
            raise ValueError("--train begins anew; allowed: a name of pycnn.models")


def _network(arguments: argparse.Namespace, trainer: "Trainer | None") -> "Served":
    from pycnn.live.network import served, served_pretrained

    if arguments.pretrained:
        command_line.refuse_settings(
            arguments, "trained weights are of one network; allowed without --pretrained"
        )
        trained = models.load_pretrained(arguments.model)
        network = served_pretrained(
            arguments.model, trained, models.MODELS[arguments.model].input_shape
        )
    elif trainer is not None:
        of = trainer.data
        named = command_line.NamedModel(
            trainer.model, of.shape, of.mean.tolist(), of.std.tolist(), of.classes,
            of.name if of.name in data.DATA_SETS else "",
        )  # fmt: skip
        return served(arguments.model, named, IN_TRAINING)
    else:
        named = command_line.model_of(arguments)
        file = Path(arguments.model).is_file()
        name = Path(arguments.model).stem if file else arguments.model
        network = served(name, named, "" if file else UNTRAINED)
    network.model.eval()
    if arguments.backend == "cuda":
        network.model.to("cuda")
    return network


def _trainer(arguments: argparse.Namespace) -> "Trainer":
    """Adam, batches of 64, as ``pycnn train`` does by default."""
    from pycnn.train import Trainer

    name = arguments.train
    if name not in data.DATA_SETS and Path(name).is_dir():
        found = data.folder(name)
    else:
        found = data.load(name)
    width: dict[str, Any] = {} if arguments.width is None else {"width": arguments.width}
    model = models.create(
        arguments.model,
        classes=len(found.classes),
        input_shape=found.shape,
        **width,
        **of_model.read(arguments.model, arguments.own),
    )
    if arguments.backend == "cuda":
        model.to("cuda")
    return Trainer(model, found, nn.Adam(model, lr=1e-3), checkpoint=arguments.output)


def _show(network: "Served", arguments: argparse.Namespace, live: bool) -> "Show":
    from pycnn.live.samples import Sample, samples
    from pycnn.live.show import Show
    from pycnn.predict import gpus
    from pycnn.see.prepare import image_file

    files = [image_file(image) for image in arguments.image]
    own = [Sample(file.name, network.of_file(file)) for file in files]
    others, why = ([], "") if own and not live else samples(network)
    if not live:
        return Show(network, [*own, *others], why)
    here = [backend.name for backend in backends() if backend.available]
    return Show(network, [*own, *others], why, arguments.backend, here, gpus.names())


def _export(show: "Show", path: Path) -> None:
    from pycnn.live.export import export

    text = export(show)
    with replacing(path) as temporary:
        temporary.write_text(text)
    print(path)


def _serve(show: "Show", arguments: argparse.Namespace, trainer: "Trainer | None") -> None:
    from pycnn.live.server import serve
    from pycnn.live.training import Watched

    watched: list[Watched] = []

    def began(live: "Live") -> None:
        print(f"{show.network.name}: {live.address} (Ctrl-C ends it)", flush=True)
        if trainer is not None:
            watched.append(Watched(trainer, arguments.epochs, show, live.refresh))
            watched[0].start()

    try:
        serve(show, arguments.port, arguments.backend, began)
    finally:
        for one in watched:
            one.stop()
