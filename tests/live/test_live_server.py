"""What the server refuses, and that it lives on."""

import asyncio
import contextlib
import http.client
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pycnn import nn
from pycnn.cli import main
from pycnn.live.frames import pack, unpack

PAGE = Path(__file__).parents[2] / "pycnn" / "live" / "page"

pytest.importorskip("tornado", reason="tornado is not installed (extra live)")


def get(port: int, path: str = "/", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13",
           "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip


def test_only_this_machines_names_are_answered(lenet_page: Any) -> None:
    port = lenet_page.port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        status, text = get(port, Host=host)
        assert status == 200
        assert "<!DOCTYPE html>" in text
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1"):
        assert get(port, Host=host) == (403, "pycnn live: 403 Host is not this server\n")
    assert get(port, "/../etc/passwd")[0] == 404


def test_only_the_page_itself_may_open_a_socket(lenet_page: Any) -> None:
    port = lenet_page.port
    own = f"http://127.0.0.1:{port}"
    for origin in (
        "http://evil.example",
        f"https://127.0.0.1:{port}",
        "null",
        f"{own}.evil.example",
    ):
        status, text = get(port, "/socket", Origin=origin, **UPGRADE)
        assert (status, text) == (403, "pycnn live: 403 Origin is not this server's page\n")
    assert get(port, "/socket", **UPGRADE)[0] == 403, "none at all"
    foreign = get(port, "/socket", Origin=own, Host="evil.example", **UPGRADE)
    assert foreign[0] == 403


def test_it_listens_on_this_machine_alone(lenet_page: Any) -> None:
    names = {s.getsockname()[0] for s in lenet_page._server._sockets.values()}
    assert names == {"127.0.0.1"}


def test_a_long_header_is_refused(lenet_page: Any) -> None:
    with socket.create_connection(("127.0.0.1", lenet_page.port), timeout=60) as line:
        line.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n")
        answer = b""
        try:
            while more := line.recv(4096):
                answer += more
        except ConnectionResetError:
            pass
    assert b"200" not in answer.split(b"\r\n")[0]
    assert get(lenet_page.port)[0] == 200


def talk(live: Any, act: Callable[[Any, Callable[..., Any]], Any]) -> None:
    """Open a socket as the page does; `act` gets it, and waits for messages by their type."""
    from tornado.httpclient import HTTPRequest
    from tornado.websocket import websocket_connect

    async def run() -> None:
        own = f"http://127.0.0.1:{live.port}"
        request = HTTPRequest(f"ws://127.0.0.1:{live.port}/socket", headers={"Origin": own})
        line = await websocket_connect(request, max_message_size=2**28)

        async def hear(kind: str) -> Any:
            while True:
                message = await asyncio.wait_for(line.read_message(), 60)
                if message is None:
                    return None
                header, arrays = unpack(message)
                if header["type"] == kind:
                    return header, arrays

        await act(line, hear)
        line.close()

    asyncio.run(run())


PIXELS = np.zeros((1, 28, 28), np.uint8)
NONSENSE = [
    (b"", "a message that is none"),
    (b"\xff\xff\xff\xff{}", "a message that is none"),
    (b"\x02\0\0\0[]", "a message that is none"),
    (pack({"type": "no such"}), "a message of type 'no such'"),
    (pack({"type": "pixels", "frame": 1}, {"pixels": PIXELS[:, :5]}), "for this network"),
    (pack({"type": "pixels", "frame": 1}), "pixels"),
    (pack({"type": "pixels", "frame": "x"}, {"pixels": PIXELS}), "x"),
    (pack({"type": "sample", "frame": 1, "index": 99}), "index"),
    (pack({"type": "changes", "pooling": "median", "activation": ""}), "allowed are max, avg"),
    (pack({"type": "edit", "layer": "nowhere", "filter": 0}, {"values": PIXELS}), "no weights"),
    (pack({"type": "edit", "layer": "c1.conv", "filter": 6},
          {"values": np.zeros((1, 5, 5), np.float32)}), "for weights"),
    (pack({"type": "edit", "layer": "c1.conv", "filter": 0},
          {"values": np.full((1, 5, 5), np.inf, np.float32)}), "finite"),
    (pack({"type": "weights", "layer": 77}), "index"),
    (pack({"type": "times", "backend": "abacus"}), "abacus"),
    (pack({"type": "predict", "gpu": "abacus"}), "abacus"),
]  # fmt: skip


def test_nonsense_is_answered_by_one_line_and_the_next_is_computed(lenet_page: Any) -> None:
    async def act(line: Any, hear: Any) -> None:
        for message, said in NONSENSE:
            await line.write_message(message, binary=True)
            header, _ = await hear("error")
            assert said in header["text"], header
            assert "\n" not in header["text"]
        await line.write_message("text")
        assert "none" in (await hear("error"))[0]["text"]
        await line.write_message(pack({"type": "pixels", "frame": 5}, {"pixels": PIXELS}), True)
        assert (await hear("frame"))[0]["frame"] == 5

    talk(lenet_page, act)


def test_a_message_that_is_too_large_ends_that_connection_alone(lenet_page: Any) -> None:
    from tornado.websocket import WebSocketClosedError

    async def act(line: Any, hear: Any) -> None:
        with contextlib.suppress(WebSocketClosedError):
            await line.write_message(bytes(17 * 2**20), binary=True)
        assert await hear("error") is None, "closed"

    talk(lenet_page, act)
    assert get(lenet_page.port)[0] == 200


class Failing(nn.Layer):
    elementwise = True

    def compute(self, x: Any) -> Any:
        if x.flags.writeable:
            raise RuntimeError("no memory left")
        return x + 0


def test_a_model_that_fails_is_said(serving: Any, showing: Any) -> None:
    model = nn.Sequential(failing=Failing(), flatten=nn.Flatten(), dense=nn.Linear(784, 10)).eval()

    async def act(line: Any, hear: Any) -> None:
        for frame in (1, 2):
            message = pack({"type": "pixels", "frame": frame}, {"pixels": PIXELS})
            await line.write_message(message, binary=True)
            assert "no memory left" in (await hear("error"))[0]["text"]

    with serving(showing(model)) as live:
        talk(live, act)


def test_a_taken_port_is_one_message(lenet_page: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", "lenet5", "--port", str(lenet_page.port)]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"pycnn: error: port {lenet_page.port} is taken: another program listens there; allowed: "
        "--port with another number, or 0 for any that is free\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dcgan_generator"], "allowed here: images"),
        (["lenet5", "--pretrained"], "allowed are squeezenet"),
        (["squeezenet", "--pretrained", "--width", "0.5"], "--width"),
        (["nowhere.safetensors"], "no such file"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_listens(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", *words, "--port", "0"]) == 2
    assert said in capsys.readouterr().err


def test_page_and_script_are_short_and_ask_for_nothing() -> None:
    lines = {path.name: path.read_text().count("\n") for path in PAGE.iterdir()}
    assert sum(lines.values()) <= 1500, json.dumps(lines)
    for path in PAGE.iterdir():
        assert "http://" not in path.read_text().replace("http://www.w3.org", "")
        assert "https://" not in path.read_text()
