"""``pycnn live``: a page on this machine where one draws, and sees every layer."""

import argparse
from pathlib import Path

from pycnn.live.network import Served, served, served_pretrained
from pycnn.models import MODELS, load_pretrained
from pycnn.runtime.backends import SELECTABLE, backends, require
from pycnn.runtime.extras import import_extra
from pycnn.runtime.options import add_threads
from pycnn.see import model_arguments

#: Where the page is, if nobody says otherwise.
PORT = 8642
BACKENDS = (*SELECTABLE, "cuda")
UNTRAINED = "The weights are random, not trained: classes mean nothing"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "live", help="a page on this machine where one draws, and sees every layer"
    )
    model_arguments.add_arguments(parser)
    add = parser.add_argument
    add("--port", type=_port, default=PORT, help=f"default {PORT}; 0: any that is free")
    add(
        "--backend", choices=BACKENDS, default="reference", help="what computes (default reference)"
    )
    add("--pretrained", action="store_true", help="trained weights, where a package ships them")
    add_threads(parser)
    parser.set_defaults(run=_run)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are 0 to 65535")
    return int(text)


def _run(arguments: argparse.Namespace) -> int:
    import_extra("tornado", "live", "pycnn live")
    require(arguments.backend)
    network = _network(arguments)
    if arguments.backend == "cuda":
        network.model.to("cuda")
    _serve(network, arguments)
    return 0


def _serve(network: Served, arguments: argparse.Namespace) -> None:
    from pycnn.live.samples import samples
    from pycnn.live.server import Live, serve
    from pycnn.live.show import Show
    from pycnn.predict import gpus

    here = [s.name for s in backends() if s.available]
    show = Show(network, *samples(network), arguments.backend, here, gpus.names())

    def began(live: Live) -> None:
        print(f"{network.name}: {live.address} (Ctrl-C ends it)", flush=True)

    serve(show, arguments.port, arguments.backend, began)


def _network(arguments: argparse.Namespace) -> Served:
    if arguments.pretrained:
        for option in ("input", "classes", "width"):
            if getattr(arguments, option) is not None:
                raise ValueError(f"--{option}: trained weights are of one network; "
                                 "allowed without --pretrained")  # fmt: skip
        trained = load_pretrained(arguments.model)
        return served_pretrained(arguments.model, trained, MODELS[arguments.model].input_shape)
    named = model_arguments.model_of(arguments)
    named.model.eval()
    file = Path(arguments.model).is_file()
    name = Path(arguments.model).stem if file else arguments.model
    return served(name, named, "" if file else UNTRAINED)
