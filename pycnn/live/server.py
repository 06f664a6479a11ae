"""The server: the page, and a WebSocket a tab, for this machine alone."""

import asyncio
import contextlib
import errno
import logging
from collections.abc import Callable
from typing import Any

from pycnn.live.page_text import page
from pycnn.live.show import Show
from pycnn.live.tab import Tab
from pycnn.live.worker import Worker
from pycnn.runtime.extras import import_extra

#: Of a message from the page: a photo, as its file.
MOST_BYTES = 16 * 2**20
#: Of the headers of a request. A request has no body.
MOST_HEADER = 16 * 2**10
#: Tabs at a time.
MOST_TABS = 16

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost")

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'none'",
}


class Live:
    """A server that runs until it is stopped.

    Parameters
    ----------
    show : Show
    port : int
        0: any that is free.
    backend : str

    Attributes
    ----------
    port : int
        Where it listens.
    """

    def __init__(self, show: Show, port: int, backend: str = "reference") -> None:
        self.show, self.worker = show, Worker(backend)
        self.tabs: set[Tab] = set()
        self.page = page(live=True)
        web = import_extra("tornado.web", "live", "pycnn live")
        logging.getLogger("tornado.access").setLevel(logging.ERROR)
        logging.getLogger("tornado.general").setLevel(logging.ERROR)
        application = web.Application(
            _handlers(self), websocket_max_message_size=MOST_BYTES, websocket_ping_interval=0
        )
        httpserver = import_extra("tornado.httpserver", "live", "pycnn live")
        self._server = httpserver.HTTPServer(
            application, max_header_size=MOST_HEADER, max_body_size=0, idle_connection_timeout=600
        )
        self.port = self._listen(port)

    def _listen(self, port: int) -> int:
        netutil = import_extra("tornado.netutil", "live", "pycnn live")
        try:
            sockets = netutil.bind_sockets(port, ADDRESS)
        except OSError as error:
            self.worker.stop()
            if error.errno != errno.EADDRINUSE:
                raise
            raise OSError(
                f"port {port} is taken: another program listens there; allowed: --port with "
                "another number, or 0 for any that is free"
            ) from None
        self._server.add_sockets(sockets)
        return int(sockets[0].getsockname()[1])

    @property
    def address(self) -> str:
        """What a browser is given."""
        return f"http://{ADDRESS}:{self.port}/"

    def hosts(self) -> set[str]:
        """What may stand in the header Host: names of this machine that no web page can take."""
        return {f"{name}:{self.port}" for name in NAMES}

    def refresh(self) -> None:
        """Tell every tab the news, and compute for each anew; in any thread."""
        for tab in list(self.tabs):
            tab.hear()

    def stop(self) -> None:
        """Listen no more; pages are told."""
        self._server.stop()
        self.worker.stop()
        for tab in list(self.tabs):
            tab.leave()

    async def close_all(self) -> None:
        """Wait until every connection has ended."""
        await self._server.close_all_connections()


def serve(show: Show, port: int, backend: str, began: Callable[[Live], None]) -> None:
    """Run a server until Ctrl-C; `began` is told once it listens."""

    async def run() -> None:
        live = Live(show, port, backend)
        began(live)
        try:
            await asyncio.Event().wait()
        finally:
            live.stop()
            await live.close_all()

    asyncio.run(run())


def _handlers(live: Live) -> list[Any]:
    """The page, and the WebSocket; everything else is not found."""
    web = import_extra("tornado.web", "live", "pycnn live")
    websocket = import_extra("tornado.websocket", "live", "pycnn live")

    class Checked(web.RequestHandler):  # type: ignore[name-defined]
        """Refuses who does not come by this machine's own name: a page that has another's."""

        def prepare(self) -> None:
            if self.request.headers.get("Host", "") not in live.hosts():
                raise web.HTTPError(403, reason="Host is not this server")

        def set_default_headers(self) -> None:
            for name, value in HEADERS.items():
                self.set_header(name, value)
            self.clear_header("Server")

        def write_error(self, status_code: int, **rest: Any) -> None:
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"pycnn live: {status_code} {self._reason}\n")

    class Page(Checked):
        def get(self) -> None:
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.write(live.page)

    class Missing(Checked):
        def prepare(self) -> None:
            super().prepare()
            raise web.HTTPError(404)

    class Socket(Checked, websocket.WebSocketHandler):  # type: ignore[name-defined]
        tab: Tab | None = None

        def prepare(self) -> None:
            super().prepare()
            if self.request.headers.get("Origin") not in {f"http://{h}" for h in live.hosts()}:
                raise web.HTTPError(403, reason="Origin is not this server's page")
            if len(live.tabs) >= MOST_TABS:
                raise web.HTTPError(503, reason=f"{MOST_TABS} tabs are open; close one")

        def check_origin(self, origin: str) -> bool:
            return True  # as `prepare` has found

        def open(self, *args: str, **rest: str) -> None:
            loop = asyncio.get_running_loop()

            def send(message: bytes) -> None:
                with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
                    loop.call_soon_threadsafe(self.deliver, message)

            self.tab = Tab(live.show, live.worker, send, self.close)
            live.tabs.add(self.tab)
            self.tab.begin()

        def deliver(self, message: bytes) -> None:
            if self.ws_connection is not None and not self.ws_connection.is_closing():
                self.write_message(message, binary=True)

        def on_message(self, message: str | bytes) -> None:
            if self.tab is None:
                return
            if isinstance(message, str):
                self.tab.say("a message that is none: text")
            else:
                self.tab.receive(message)

        def on_close(self) -> None:
            if self.tab is not None:
                live.tabs.discard(self.tab)
                live.worker.forget(self.tab)

    return [("/", Page), ("/socket", Socket), (".*", Missing)]
